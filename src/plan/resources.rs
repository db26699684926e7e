//! `linux.resources`, converted to the files of cgroup v2.
//!
//! The config speaks cgroup v1, from which it comes. What v2 has under another name or in another unit is converted as runc does it;
//! what v2 has no place for (`memory.kernel`, `memory.swappiness`, `cpu.realtimePeriod`, `network`, …) is refused when a container is
//! created, and left out of an update: docs/compatibility.md has the table. <https://docs.kernel.org/admin-guide/cgroup-v2.html> describes the files.

use std::collections::BTreeMap;

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};

use crate::error::{Error, Result};

/// What a container may use. What is `None` stays as the kernel has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// The memory controller.
    pub memory: Memory,
    /// The cpu controller.
    pub cpu: Cpu,
    /// The cpuset controller.
    pub cpuset: Cpuset,
    /// How many processes and threads.
    pub pids: Option<Limit>,
    /// The io controller.
    pub io: Io,
    /// Huge pages of each size.
    pub huge_pages: Vec<HugePages>,
    /// RDMA devices.
    pub rdma: Vec<Rdma>,
    /// Files by name, written last.
    pub unified: BTreeMap<String, String>,
}

/// A number, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// As much as there is.
    Max,
    /// At most this.
    At(u64),
}

impl Limit {
    /// Where there is no controller nothing is limited, which is what was asked for, too.
    fn otherwise(self) -> Otherwise {
        if self == Self::Max { Otherwise::Skip } else { Otherwise::Fail }
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::At(number) => number.fmt(f),
        }
    }
}

/// In bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// `memory.max`.
    pub max: Option<Limit>,
    /// `memory.swap.max`: swap alone, where the config has memory and swap.
    pub swap: Option<Limit>,
    /// `memory.low`.
    pub low: Option<Limit>,
    /// Whether a new limit below what is used is refused, rather than met by killing.
    pub check_before_update: bool,
}

/// Shares and time of the CPUs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cpu {
    /// `cpu.weight`, from 1 to 10,000.
    pub weight: Option<u64>,
    /// Of `cpu.max`: microseconds of each period.
    pub quota: Option<Limit>,
    /// Of `cpu.max`: in microseconds.
    pub period: Option<u64>,
    /// `cpu.max.burst`, in microseconds.
    pub burst: Option<u64>,
    /// `cpu.idle`.
    pub idle: Option<bool>,
}

/// Lists as the kernel takes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cpuset {
    /// `cpuset.cpus`.
    pub cpus: Option<String>,
    /// `cpuset.mems`.
    pub mems: Option<String>,
}

/// Weights and throttles of block devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Io {
    /// Of BFQ's range, from 1 to 1000.
    pub weight: Option<u16>,
    /// The same for single devices.
    pub device_weights: Vec<(Device, u16)>,
    /// Lines of `io.max`.
    pub throttles: Vec<Throttle>,
}

/// A block device's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Of its driver.
    pub major: u32,
    /// Among that driver's devices.
    pub minor: u32,
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// How fast a device may be used in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throttle {
    /// Which one.
    pub device: Device,
    /// `rbps`, `wbps`, `riops` or `wiops`.
    pub key: &'static str,
    /// Bytes or operations a second.
    pub rate: u64,
    /// Its place in the config.
    pub field: String,
}

/// How many bytes of huge pages of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HugePages {
    /// As in the file's name, `2MB`.
    pub size: String,
    /// In bytes.
    pub limit: Limit,
    /// Its place in the config.
    pub field: String,
}

/// A line of `rdma.max`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rdma {
    /// Its name.
    pub device: String,
    /// How many handles may be open.
    pub handles: Option<u32>,
    /// How many objects there may be.
    pub objects: Option<u32>,
}

/// A value for a file of the cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Its name.
    pub file: String,
    /// What is written.
    pub value: String,
    /// The field that asks for it.
    pub field: String,
    /// What is done where the file isn't there.
    pub otherwise: Otherwise,
}

/// When a file isn't there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Otherwise {
    /// The field can't be honoured.
    Fail,
    /// The kernel has nothing to limit there.
    Skip,
    /// Another file stands for it, with that value.
    Use(&'static str, String),
}

impl Resources {
    /// Converts what the config has.
    ///
    /// # Errors
    /// Names the field whose value can't be meant.
    pub fn convert(asked: &LinuxResources) -> Result<Self> {
        Ok(Self {
            memory: asked.memory().as_ref().map(memory).transpose()?.unwrap_or_default(),
            cpu: asked.cpu().as_ref().map(cpu).transpose()?.unwrap_or_default(),
            cpuset: asked.cpu().as_ref().map(cpuset).unwrap_or_default(),
            pids: asked.pids().as_ref().map(|pids| pids_limit(pids.limit())),
            io: asked.block_io().as_ref().map(io).transpose()?.unwrap_or_default(),
            huge_pages: huge_pages(asked)?,
            rdma: rdma(asked)?,
            unified: unified(asked)?,
        })
    }

    /// Refuses what cgroup v1 has and v2 has nothing like: "if the conversion is not possible the runtime MUST generate an error"
    /// (config-linux.md, Unified). A number of nothing is no wish, nor is it one to leave the OOM killer on.
    ///
    /// # Errors
    /// Names the field.
    pub fn refuse_what_v2_lacks(asked: &LinuxResources) -> Result<()> {
        let is_limit = |value: Option<i64>| value.is_some_and(|value| value > 0);
        let memory = asked.memory().unwrap_or_default();
        let cpu = asked.cpu().clone().unwrap_or_default();
        let network = asked.network().clone().unwrap_or_default();
        let io = asked.block_io().clone().unwrap_or_default();
        let device_leaf = io.weight_device().iter().flatten().any(|device| device.leaf_weight().is_some_and(|w| w > 0));
        let lacking = [
            (is_limit(memory.kernel()), "memory.kernel"),
            (is_limit(memory.kernel_tcp()), "memory.kernelTCP"),
            (memory.swappiness().is_some(), "memory.swappiness"),
            (memory.disable_oom_killer() == Some(true), "memory.disableOOMKiller"),
            (is_limit(cpu.realtime_runtime()), "cpu.realtimeRuntime"),
            (cpu.realtime_period().is_some_and(|period| period > 0), "cpu.realtimePeriod"),
            (io.leaf_weight().is_some_and(|weight| weight > 0), "blockIO.leafWeight"),
            (device_leaf, "blockIO.weightDevice"),
            (network.class_id().is_some_and(|id| id > 0), "network.classID"),
            (network.priorities().as_ref().is_some_and(|list| !list.is_empty()), "network.priorities"),
        ];
        match lacking.into_iter().find(|(is_asked, _)| *is_asked) {
            Some((_, name)) => {
                let text = "is a matter of cgroup v1, which cgroup v2 has nothing like";
                Err(Error::new(text).hint("leave it out").field(format!("linux.resources.{name}")))
            }
            None => Ok(()),
        }
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.writes().is_empty()
    }

    /// What is to be written, in order. `unified` comes last and so has the last word.
    pub fn writes(&self) -> Vec<Write> {
        let mut writes = Writes(Vec::new());
        writes.add_limit("pids.max", self.pids, "linux.resources.pids.limit");
        self.memory.write(&mut writes);
        self.io.write(&mut writes);
        self.cpu.write(&mut writes);
        writes.add_all("cpuset.cpus", self.cpuset.cpus.as_ref(), "linux.resources.cpu.cpus");
        writes.add_all("cpuset.mems", self.cpuset.mems.as_ref(), "linux.resources.cpu.mems");
        for HugePages { size, limit, field } in &self.huge_pages {
            writes.add_limit(&format!("hugetlb.{size}.max"), Some(*limit), field);
            writes.add(&format!("hugetlb.{size}.rsvd.max"), limit, field);
            // Since Linux 5.7.
            writes.last().otherwise = Otherwise::Skip;
        }
        for Rdma { device, handles, objects } in &self.rdma {
            let handles = handles.map(|number| format!(" hca_handle={number}")).unwrap_or_default();
            let objects = objects.map(|number| format!(" hca_object={number}")).unwrap_or_default();
            writes.add("rdma.max", &format!("{device}{handles}{objects}"), &format!("linux.resources.rdma.{device}"));
        }
        for (file, value) in &self.unified {
            // A file takes one line at a time.
            for line in value.lines() {
                writes.add(file, line, &format!("linux.resources.unified[{file:?}]"));
            }
        }
        writes.0
    }
}

/// The list while it grows.
struct Writes(Vec<Write>);

impl Writes {
    fn add(&mut self, file: &str, value: &(impl ToString + ?Sized), field: &str) {
        let (file, value, field) = (file.to_owned(), value.to_string(), field.to_owned());
        self.0.push(Write { file, value, field, otherwise: Otherwise::Fail });
    }

    fn add_all(&mut self, file: &str, value: Option<impl ToString>, field: &str) {
        if let Some(value) = value {
            self.add(file, &value, field);
        }
    }

    fn add_limit(&mut self, file: &str, limit: Option<Limit>, field: &str) {
        if let Some(limit) = limit {
            self.add(file, &limit, field);
            self.last().otherwise = limit.otherwise();
        }
    }

    /// The one that was just added.
    fn last(&mut self) -> &mut Write {
        let last = self.0.len() - 1;
        &mut self.0[last]
    }
}

impl Memory {
    fn write(&self, writes: &mut Writes) {
        if let Some(swap) = self.swap {
            writes.add("memory.swap.max", &swap, "linux.resources.memory.swap");
            // A kernel that accounts no swap can't forbid it, and needs not to be told to allow it.
            if matches!(swap, Limit::Max | Limit::At(0)) {
                writes.last().otherwise = Otherwise::Skip;
            }
        }
        writes.add_limit("memory.max", self.max, "linux.resources.memory.limit");
        writes.add_limit("memory.low", self.low, "linux.resources.memory.reservation");
    }
}

impl Cpu {
    fn write(&self, writes: &mut Writes) {
        // A weight can't be set while the group is idle.
        writes.add_all("cpu.idle", self.idle.map(u8::from), "linux.resources.cpu.idle");
        if self.idle != Some(true) {
            writes.add_all("cpu.weight", self.weight, "linux.resources.cpu.shares");
        }
        let max = (self.quota.is_some() || self.period.is_some()).then(|| {
            let (quota, period) = (self.quota.unwrap_or(Limit::Max), self.period.unwrap_or(DEFAULT_PERIOD));
            format!("{quota} {period}")
        });
        let field = if self.quota.is_some() { "linux.resources.cpu.quota" } else { "linux.resources.cpu.period" };
        writes.add_all("cpu.max", max.as_ref(), field);
        if max.is_some() {
            writes.last().otherwise = self.quota.unwrap_or(Limit::Max).otherwise();
        }
        writes.add_all("cpu.max.burst", self.burst, "linux.resources.cpu.burst");
    }
}

impl Io {
    fn write(&self, writes: &mut Writes) {
        let mut weigh = |weight: u16, device: Option<&Device>, field: &str| {
            let line = |weight: u64| match device {
                Some(device) => format!("{device} {weight}"),
                None => weight.to_string(),
            };
            writes.add("io.bfq.weight", &line(weight.into()), field);
            writes.last().otherwise = Otherwise::Use("io.weight", line(io_weight(weight)));
        };
        if let Some(weight) = self.weight {
            weigh(weight, None, "linux.resources.blockIO.weight");
        }
        for (i, (device, weight)) in self.device_weights.iter().enumerate() {
            weigh(*weight, Some(device), &format!("linux.resources.blockIO.weightDevice[{i}].weight"));
        }
        for Throttle { device, key, rate, field } in &self.throttles {
            writes.add("io.max", &format!("{device} {key}={rate}"), field);
        }
    }
}

/// The kernel's own, in microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

/// From BFQ's 10 to 1000 to io.weight's 1 to 10,000, as runc.
fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight).saturating_sub(10)) * 9999 / 990
}

/// -1 is none, and 0 says nothing.
fn bytes(value: Option<i64>, field: &str) -> Result<Option<Limit>> {
    match value {
        None | Some(0) => Ok(None),
        Some(-1) => Ok(Some(Limit::Max)),
        Some(number) => u64::try_from(number)
            .map(|number| Some(Limit::At(number)))
            .map_err(|_| Error::new(format!("{number} is negative; unlimited is -1")).field(field)),
    }
}

fn memory(asked: &LinuxMemory) -> Result<Memory> {
    let field = "linux.resources.memory.swap";
    let max = bytes(asked.limit(), "linux.resources.memory.limit")?;
    // v1 counts memory and swap together, v2 swap alone.
    let swap = match (bytes(asked.swap(), field)?, max) {
        (Some(Limit::Max), _) | (None, Some(Limit::Max)) => Some(Limit::Max),
        (None, _) => None,
        (Some(Limit::At(both)), Some(Limit::At(memory))) if both >= memory => Some(Limit::At(both - memory)),
        (Some(Limit::At(both)), Some(Limit::At(memory))) => {
            let text = format!("{both} for memory and swap is less than {memory} for memory");
            return Err(Error::new(text).field(field));
        }
        (Some(Limit::At(_)), Some(Limit::Max) | None) => {
            return Err(
                Error::new("is a limit of memory and swap, and needs linux.resources.memory.limit").field(field)
            );
        }
    };
    Ok(Memory {
        max,
        swap,
        low: bytes(asked.reservation(), "linux.resources.memory.reservation")?,
        check_before_update: asked.check_before_update().unwrap_or(false),
    })
}

fn cpu(asked: &LinuxCpu) -> Result<Cpu> {
    let idle = match asked.idle() {
        None => None,
        Some(0) => Some(false),
        Some(1) => Some(true),
        Some(other) => {
            return Err(Error::new(format!("{other} is neither 0 nor 1")).field("linux.resources.cpu.idle"));
        }
    };
    let quota = match asked.quota() {
        None | Some(0) => None,
        Some(quota) => Some(u64::try_from(quota).map_or(Limit::Max, Limit::At)),
    };
    Ok(Cpu {
        weight: asked.shares().and_then(cpu_weight),
        quota,
        period: asked.period().filter(|period| *period != 0),
        burst: asked.burst(),
        idle,
    })
}

fn cpuset(asked: &LinuxCpu) -> Cpuset {
    let list = |list: &Option<String>| list.clone().filter(|list| !list.is_empty());
    Cpuset { cpus: list(asked.cpus()), mems: list(asked.mems()) }
}

/// From v1's shares to v2's weight, so that the least, the default and the most of one (2, 1024, 262144) are those of the other (1, 100,
/// 10000): quadratic in their logarithms, as runc has it since 1.3.2 and crun since 1.24. Zero shares say nothing.
pub fn cpu_weight(shares: u64) -> Option<u64> {
    match shares {
        0 => None,
        1..=2 => Some(1),
        262_144.. => Some(10_000),
        shares => {
            #[expect(clippy::cast_precision_loss, reason = "at most 2^18")]
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 10,000")]
            Some(10_f64.powf(exponent).ceil() as u64)
        }
    }
}

/// As in runc, where 0 is the least that a container can do with.
fn pids_limit(limit: i64) -> Limit {
    match u64::try_from(limit) {
        Ok(0) => Limit::At(1),
        Ok(limit) => Limit::At(limit),
        Err(_) => Limit::Max,
    }
}

fn io(asked: &LinuxBlockIo) -> Result<Io> {
    let mut device_weights = Vec::new();
    for (i, one) in asked.weight_device().iter().flatten().enumerate() {
        let field = format!("linux.resources.blockIO.weightDevice[{i}]");
        if let Some(weight) = weight(one.weight(), &format!("{field}.weight"))? {
            device_weights.push((device(one.major(), one.minor(), &field)?, weight));
        }
    }
    let mut throttles = Vec::new();
    let lists: [(&str, &'static str, &Option<Vec<LinuxThrottleDevice>>); 4] = [
        ("throttleReadBpsDevice", "rbps", asked.throttle_read_bps_device()),
        ("throttleWriteBpsDevice", "wbps", asked.throttle_write_bps_device()),
        ("throttleReadIOPSDevice", "riops", asked.throttle_read_iops_device()),
        ("throttleWriteIOPSDevice", "wiops", asked.throttle_write_iops_device()),
    ];
    for (name, key, list) in lists {
        for (i, one) in list.iter().flatten().enumerate() {
            let field = format!("linux.resources.blockIO.{name}[{i}]");
            let device = device(one.major(), one.minor(), &field)?;
            throttles.push(Throttle { device, key, rate: one.rate(), field });
        }
    }
    Ok(Io { weight: weight(asked.weight(), "linux.resources.blockIO.weight")?, device_weights, throttles })
}

fn weight(asked: Option<u16>, field: &str) -> Result<Option<u16>> {
    match asked {
        None | Some(0) => Ok(None),
        Some(weight @ 10..=1000) => Ok(Some(weight)),
        Some(weight) => Err(Error::new(format!("{weight} is not from 10 to 1000")).field(field)),
    }
}

fn device(major: i64, minor: i64, field: &str) -> Result<Device> {
    let number = |number: i64, name: &str| {
        u32::try_from(number)
            .map_err(|_| Error::new(format!("{number} is no device number")).field(format!("{field}.{name}")))
    };
    Ok(Device { major: number(major, "major")?, minor: number(minor, "minor")? })
}

fn huge_pages(asked: &LinuxResources) -> Result<Vec<HugePages>> {
    let limits = asked.hugepage_limits().iter().flatten().enumerate();
    limits
        .map(|(i, one)| {
            let field = format!("linux.resources.hugepageLimits[{i}]");
            let size = one.page_size();
            let unit = size.trim_start_matches(|c: char| c.is_ascii_digit());
            if unit.len() == size.len() || !["KB", "MB", "GB"].contains(&unit) {
                let text = format!("{size:?} is no size of a page, such as 2MB");
                return Err(Error::new(text).field(format!("{field}.pageSize")));
            }
            let limit = u64::try_from(one.limit()).map_or(Limit::Max, Limit::At);
            Ok(HugePages { size: size.clone(), limit, field: format!("{field}.limit") })
        })
        .collect()
}

fn rdma(asked: &LinuxResources) -> Result<Vec<Rdma>> {
    let mut devices = Vec::new();
    for (device, limits) in asked.rdma().iter().flatten() {
        if device.is_empty() || device.contains(char::is_whitespace) {
            let text = format!("{device:?} is no name of a device");
            return Err(Error::new(text).field("linux.resources.rdma"));
        }
        let (handles, objects) = (limits.hca_handles(), limits.hca_objects());
        if handles.is_some() || objects.is_some() {
            devices.push(Rdma { device: device.clone(), handles, objects });
        }
    }
    devices.sort_by(|a, b| a.device.cmp(&b.device));
    Ok(devices)
}

/// Files that say which processes there are and whether they run, which is for the runtime to know.
const NOT_LIMITS: [&str; 5] =
    ["cgroup.freeze", "cgroup.kill", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"];

fn unified(asked: &LinuxResources) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for (file, value) in asked.unified().iter().flatten() {
        let refuse = |text: &str| Err(Error::new(text).field(format!("linux.resources.unified[{file:?}]")));
        if !file.contains('.') || file.contains(['/', '\0']) || file.starts_with('.') {
            return refuse("is not the name of a file of a cgroup, such as memory.high");
        }
        if NOT_LIMITS.contains(&file.as_str()) {
            return refuse("is the runtime's own, and no limit");
        }
        files.insert(file.clone(), value.clone());
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
