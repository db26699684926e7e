//! What a cgroup has used, how much it may use, and how long its processes waited for it.
//!
//! <https://docs.kernel.org/admin-guide/cgroup-v2.html> describes the files, <https://docs.kernel.org/accounting/psi.html> those of
//! pressure. A file that isn't there leaves its part out: its controller doesn't reach this cgroup, or the kernel doesn't account for it.

use std::collections::BTreeMap;

use rustix::fs::Dir;
use rustix::io::Errno;

use super::Cgroup;
use crate::error::{Annotate, Context, Error, Result};
use crate::plan::Limit;

/// All that is read, at about the same moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Statistics {
    /// Time on the CPUs.
    pub cpu: CpuTime,
    /// How long processes waited for a CPU.
    pub cpu_pressure: Option<Pressure>,
    /// Memory, where that controller is.
    pub memory: Option<MemoryUse>,
    /// How long processes waited for memory.
    pub memory_pressure: Option<Pressure>,
    /// What went to and came from block devices.
    pub io: Vec<DeviceIo>,
    /// How long processes waited for block devices.
    pub io_pressure: Option<Pressure>,
    /// Processes and threads.
    pub pids: Pids,
    /// Huge pages by size, `2MB`.
    pub huge_pages: BTreeMap<String, HugePageUse>,
}

/// In microseconds, where it is a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// All of it.
    pub total: u64,
    /// In user mode.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
    /// Periods of a quota that have passed.
    pub periods: u64,
    /// Those in which the quota was used up.
    pub throttled_periods: u64,
    /// How long it was throttled.
    pub throttled: u64,
}

/// In bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Memory alone.
    pub memory: Amount,
    /// Swap alone, where the kernel accounts for it.
    pub swap: Option<Amount>,
    /// `memory.stat`, line by line.
    pub details: BTreeMap<String, u64>,
}

/// How much of something is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// Now.
    pub current: u64,
    /// The most that may be.
    pub limit: Limit,
    /// The most that ever was, since Linux 5.19, of swap since 6.5.
    pub peak: Option<u64>,
}

impl Default for Amount {
    fn default() -> Self {
        Self { current: 0, limit: Limit::Max, peak: None }
    }
}

/// Of one block device. Discards are left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeviceIo {
    /// The device's driver.
    pub major: u64,
    /// The device among that driver's.
    pub minor: u64,
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Bytes that were written.
    pub written_bytes: u64,
    /// How often something was read.
    pub reads: u64,
    /// How often something was written.
    pub writes: u64,
}

/// Processes and threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pids {
    /// Now. Without the controller, the processes of this cgroup alone.
    pub current: u64,
    /// The most that may be.
    pub limit: Limit,
}

impl Default for Pids {
    fn default() -> Self {
        Self { current: 0, limit: Limit::Max }
    }
}

/// Huge pages of one size: what is reserved, or used by a kernel that doesn't account for reservations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HugePageUse {
    /// In bytes.
    pub current: u64,
    /// How often the limit refused one.
    pub refused: u64,
}

/// How long something was waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// By some of the processes.
    pub some: Stall,
    /// By all of them at once.
    pub full: Stall,
}

/// Shares of the time in percent, and a time in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stall {
    /// Of the last ten seconds.
    pub avg10: f64,
    /// Of the last minute.
    pub avg60: f64,
    /// Of the last five minutes.
    pub avg300: f64,
    /// Since the cgroup was made.
    pub total: u64,
}

impl Cgroup {
    /// Reads all of them.
    ///
    /// # Errors
    /// When the cgroup is gone, or a file says what nobody understands.
    pub fn statistics(&self) -> Result<Statistics> {
        self.read_statistics().doing(|| format!("statistics of cgroup {}", self.path.display()))
    }

    fn read_statistics(&self) -> Result<Statistics> {
        Ok(Statistics {
            // First, because it is there for as long as the cgroup is.
            pids: self.pid_count()?,
            cpu: self.parsed("cpu.stat", keyed)?.map(|stat| cpu_time(&stat)).unwrap_or_default(),
            cpu_pressure: self.parsed("cpu.pressure", pressure)?,
            memory: self.memory_use()?,
            memory_pressure: self.parsed("memory.pressure", pressure)?,
            io: self.parsed("io.stat", device_io)?.unwrap_or_default(),
            io_pressure: self.parsed("io.pressure", pressure)?,
            huge_pages: self.huge_page_use()?,
        })
    }

    /// What a file says; `None` where there is no such file.
    fn parsed<T>(&self, file: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>> {
        let text = match self.read(file) {
            Ok(text) => text,
            // ENOTSUP: pressure, which some kernels account for only when booted with psi=1.
            Err(Errno::NOENT | Errno::OPNOTSUPP) => return Ok(None),
            Err(errno) => return Err(Error::call("read", errno).doing(file)),
        };
        let understood = parse(&text);
        understood.map(Some).ok_or_else(|| Error::new(format!("{file} can't be understood: {text:?}")))
    }

    fn pid_count(&self) -> Result<Pids> {
        if let Some(current) = self.parsed("pids.current", number)? {
            return Ok(Pids { current, limit: self.parsed("pids.max", limit)?.unwrap_or(Limit::Max) });
        }
        let procs = match self.read("cgroup.procs") {
            // A threaded cgroup.
            Err(Errno::OPNOTSUPP) => self.read("cgroup.threads"),
            read => read,
        };
        Ok(Pids { current: procs.call("read").doing(|| "cgroup.procs")?.lines().count() as u64, limit: Limit::Max })
    }

    fn memory_use(&self) -> Result<Option<MemoryUse>> {
        let Some(memory) = self.amount("memory")? else { return Ok(None) };
        let details = self.parsed("memory.stat", keyed)?.unwrap_or_default();
        Ok(Some(MemoryUse { memory, swap: self.amount("memory.swap")?, details }))
    }

    fn amount(&self, of: &str) -> Result<Option<Amount>> {
        let Some(current) = self.parsed(&format!("{of}.current"), number)? else { return Ok(None) };
        let limit = self.parsed(&format!("{of}.max"), limit)?.unwrap_or(Limit::Max);
        Ok(Some(Amount { current, limit, peak: self.parsed(&format!("{of}.peak"), number)? }))
    }

    fn huge_page_use(&self) -> Result<BTreeMap<String, HugePageUse>> {
        let mut all = BTreeMap::new();
        for entry in Dir::read_from(&self.dir).call("read")? {
            let entry = entry.call("read")?;
            let name = entry.file_name().to_string_lossy();
            // `hugetlb.2MB.max`, and not `hugetlb.2MB.rsvd.max`.
            let size = name.strip_prefix("hugetlb.").and_then(|rest| rest.strip_suffix(".max"));
            let Some(size) = size.filter(|size| !size.contains('.')) else { continue };
            let reserved = self.huge_pages_of(&format!("hugetlb.{size}.rsvd"))?;
            let used =
                reserved.map_or_else(|| self.huge_pages_of(&format!("hugetlb.{size}")), |found| Ok(Some(found)))?;
            all.extend(used.map(|used| (size.to_owned(), used)));
        }
        Ok(all)
    }

    fn huge_pages_of(&self, prefix: &str) -> Result<Option<HugePageUse>> {
        let Some(current) = self.parsed(&format!("{prefix}.current"), number)? else { return Ok(None) };
        let events = self.parsed(&format!("{prefix}.events"), keyed)?.unwrap_or_default();
        Ok(Some(HugePageUse { current, refused: value(&events, "max") }))
    }
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn limit(text: &str) -> Option<Limit> {
    if text.trim() == "max" { Some(Limit::Max) } else { number(text).map(Limit::At) }
}

/// Lines of a name and a number.
fn keyed(text: &str) -> Option<BTreeMap<String, u64>> {
    let pair = |line: &str| line.split_once(' ').and_then(|(name, value)| Some((name.to_owned(), number(value)?)));
    text.lines().map(pair).collect()
}

fn value(lines: &BTreeMap<String, u64>, name: &str) -> u64 {
    lines.get(name).copied().unwrap_or_default()
}

/// Without the cpu controller there are the first three alone.
fn cpu_time(stat: &BTreeMap<String, u64>) -> CpuTime {
    CpuTime {
        total: value(stat, "usage_usec"),
        user: value(stat, "user_usec"),
        system: value(stat, "system_usec"),
        periods: value(stat, "nr_periods"),
        throttled_periods: value(stat, "nr_throttled"),
        throttled: value(stat, "throttled_usec"),
    }
}

/// `8:0 rbytes=1 wbytes=2 …`. A device without any traffic may be there with its name alone, on older kernels without an end of line.
fn device_io(text: &str) -> Option<Vec<DeviceIo>> {
    let mut devices: Vec<DeviceIo> = Vec::new();
    for word in text.split_ascii_whitespace() {
        let Some((key, value)) = word.split_once('=') else {
            let (major, minor) = word.split_once(':')?;
            devices.push(DeviceIo { major: number(major)?, minor: number(minor)?, ..DeviceIo::default() });
            continue;
        };
        let device = devices.last_mut()?;
        match key {
            "rbytes" => device.read_bytes = number(value)?,
            "wbytes" => device.written_bytes = number(value)?,
            "rios" => device.reads = number(value)?,
            "wios" => device.writes = number(value)?,
            // dbytes, dios, and what io.cost and the like add.
            _ => (),
        }
    }
    devices.retain(|device| *device != DeviceIo { major: device.major, minor: device.minor, ..DeviceIo::default() });
    Some(devices)
}

/// Lines of `some avg10=0.00 avg60=0.00 avg300=0.00 total=0` and `full …`.
fn pressure(text: &str) -> Option<Pressure> {
    let mut pressure = Pressure::default();
    for line in text.lines() {
        let (who, rest) = line.split_once(' ')?;
        match who {
            "some" => pressure.some = stall(rest)?,
            "full" => pressure.full = stall(rest)?,
            _ => (),
        }
    }
    Some(pressure)
}

fn stall(words: &str) -> Option<Stall> {
    let mut stall = Stall::default();
    for word in words.split_ascii_whitespace() {
        match word.split_once('=')? {
            ("avg10", value) => stall.avg10 = value.parse().ok()?,
            ("avg60", value) => stall.avg60 = value.parse().ok()?,
            ("avg300", value) => stall.avg300 = value.parse().ok()?,
            ("total", value) => stall.total = number(value)?,
            _ => (),
        }
    }
    Some(stall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_on_the_cpus() {
        let text = "usage_usec 3\nuser_usec 1\nsystem_usec 2\nnice_usec 0\ncore_sched.force_idle_usec 9\nnr_periods 20\n\
                    nr_throttled 3\nthrottled_usec 89099\nnr_bursts 0\nburst_usec 0\n";
        let expected = CpuTime { total: 3, user: 1, system: 2, periods: 20, throttled_periods: 3, throttled: 89_099 };
        assert_eq!(keyed(text).map(|stat| cpu_time(&stat)), Some(expected));
        let without_controller = keyed("usage_usec 3\nuser_usec 1\nsystem_usec 2\n").unwrap();
        assert_eq!(cpu_time(&without_controller), CpuTime { total: 3, user: 1, system: 2, ..CpuTime::default() });
    }

    #[test]
    fn devices_with_and_without_traffic() {
        let sda = DeviceIo { major: 8, minor: 0, read_bytes: 1, written_bytes: 2, reads: 3, writes: 4 };
        let sdb = DeviceIo { major: 8, minor: 16, read_bytes: 5, ..DeviceIo::default() };
        let all = "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6 cost.usage=7\n8:16 rbytes=5\n";
        assert_eq!(device_io(all), Some(vec![sda, sdb]));
        // A bare name, and two of them as Linux 5.13 wrote them.
        assert_eq!(device_io("7:0\n8:16 rbytes=5\n"), Some(vec![sdb]));
        assert_eq!(device_io("7:0 7:1 8:16 rbytes=5\n"), Some(vec![sdb]));
        assert_eq!(device_io("253:0 rbytes=0 wbytes=0 rios=0 wios=0\n"), Some(vec![]));
        assert_eq!(device_io(""), Some(vec![]));
        for wrong in ["rbytes=1", "8 rbytes=1", "8:0 rbytes=x", "x:0"] {
            assert_eq!(device_io(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn pressure_of_some_and_of_all() {
        let text =
            "some avg10=3.46 avg60=2.57 avg300=0.67 total=2218344\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        let some = Stall { avg10: 3.46, avg60: 2.57, avg300: 0.67, total: 2_218_344 };
        assert_eq!(pressure(text), Some(Pressure { some, full: Stall::default() }));
        assert_eq!(pressure("some avg10=0.00 total=1\n").map(|pressure| pressure.some.total), Some(1));
        assert_eq!(pressure("some avg10=much"), None);
    }

    #[test]
    fn limits_are_numbers_or_none() {
        assert_eq!((limit("max\n"), limit("5\n"), limit("-1")), (Some(Limit::Max), Some(Limit::At(5)), None));
    }

    #[test]
    fn lines_that_are_no_pairs_are_not_understood() {
        assert_eq!(keyed("anon 1\nfile\n"), None);
        assert_eq!(keyed("anon -1\n"), None);
    }
}
