//! runc's layout of an event, one line of JSON: <https://github.com/opencontainers/runc/blob/main/types/events.go>.
//!
//! It is that of cgroup v1. What v2 doesn't count is zero or left out, as there.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::cgroupv2::{Amount, MemoryUse, Pressure, Stall, Statistics};
use crate::error::{Error, Result};
use crate::plan::Limit;

/// A line of statistics.
pub(super) fn stats(id: &str, statistics: &Statistics) -> Result<String> {
    line(&Event { kind: "stats", id, data: Some(Data::new(statistics)) })
}

/// A line about a kill for want of memory.
pub(super) fn oom(id: &str) -> Result<String> {
    line(&Event { kind: "oom", id, data: None })
}

fn line(event: &Event<'_>) -> Result<String> {
    serde_json::to_string(event).map(|text| text + "\n").map_err(|error| Error::new(error.to_string()))
}

#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
}

#[derive(Serialize)]
struct Data<'a> {
    cpu: Cpu,
    cpuset: Cpuset,
    memory: Memory<'a>,
    pids: Pids,
    blkio: Blkio,
    hugetlb: BTreeMap<&'a str, HugePages>,
    intel_rdt: IntelRdt,
    /// Of virtual cables that a config of libcontainer's may have, and none of the runtime-spec's.
    network_interfaces: Option<()>,
}

impl<'a> Data<'a> {
    fn new(statistics: &'a Statistics) -> Self {
        let memory = statistics.memory.as_ref();
        Self {
            cpu: Cpu::new(statistics),
            cpuset: Cpuset::default(),
            memory: memory.map(Memory::new).unwrap_or_default().with(statistics.memory_pressure),
            pids: Pids { current: statistics.pids.current, limit: finite(statistics.pids.limit).unwrap_or_default() },
            blkio: Blkio::new(statistics),
            hugetlb: statistics
                .huge_pages
                .iter()
                .map(|(size, pages)| (size.as_str(), HugePages { usage: pages.current, failcnt: pages.refused }))
                .collect(),
            intel_rdt: IntelRdt {},
            network_interfaces: None,
        }
    }
}

fn finite(limit: Limit) -> Option<u64> {
    match limit {
        Limit::Max => None,
        Limit::At(number) => Some(number),
    }
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Serialize)]
struct Cpu {
    #[serde(skip_serializing_if = "is_zero")]
    usage: CpuUsage,
    #[serde(skip_serializing_if = "is_zero")]
    throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Psi>,
}

/// In nanoseconds.
#[derive(Serialize, Default, PartialEq)]
struct CpuUsage {
    #[serde(skip_serializing_if = "is_zero")]
    total: u64,
    kernel: u64,
    user: u64,
}

#[derive(Serialize, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Throttling {
    #[serde(skip_serializing_if = "is_zero")]
    periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    throttled_periods: u64,
    /// In nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    throttled_time: u64,
}

impl Cpu {
    fn new(statistics: &Statistics) -> Self {
        let time = statistics.cpu;
        let nanoseconds = |microseconds: u64| microseconds.saturating_mul(1000);
        Self {
            usage: CpuUsage {
                total: nanoseconds(time.total),
                kernel: nanoseconds(time.system),
                user: nanoseconds(time.user),
            },
            throttling: Throttling {
                periods: time.periods,
                throttled_periods: time.throttled_periods,
                throttled_time: nanoseconds(time.throttled),
            },
            psi: statistics.cpu_pressure.map(Psi::from),
        }
    }
}

#[derive(Serialize, Default)]
struct Cpuset {
    cpu_exclusive: u64,
    mem_hardwall: u64,
    mem_exclusive: u64,
    memory_migrate: u64,
    memory_spread_page: u64,
    memory_spread_slab: u64,
    memory_pressure: u64,
    sched_load_balance: u64,
    sched_relax_domain_level: i64,
}

#[derive(Serialize, Default)]
struct Memory<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    cache: u64,
    #[serde(skip_serializing_if = "is_zero")]
    usage: Entry,
    /// As v1 counted: memory and swap together.
    #[serde(skip_serializing_if = "is_zero")]
    swap: Entry,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<&'a BTreeMap<String, u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Psi>,
}

#[derive(Serialize, Default, PartialEq)]
struct Entry {
    limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max: u64,
    failcnt: u64,
}

/// What stands for no limit.
const UNLIMITED: u64 = u64::MAX;

impl Entry {
    fn new(amount: Amount) -> Self {
        let limit = finite(amount.limit).unwrap_or(UNLIMITED);
        Self { limit, usage: amount.current, max: amount.peak.unwrap_or_default(), failcnt: 0 }
    }

    /// Of memory and swap together there is no peak.
    fn both(memory: Amount, swap: Option<Amount>) -> Self {
        let memory = Self::new(memory);
        let Some(swap) = swap.map(Self::new) else { return Self { max: 0, ..memory } };
        let limit = memory.limit.saturating_add(swap.limit);
        Self { limit, usage: memory.usage.saturating_add(swap.usage), max: 0, failcnt: 0 }
    }
}

impl<'a> Memory<'a> {
    fn new(used: &'a MemoryUse) -> Self {
        Self {
            cache: used.details.get("file").copied().unwrap_or_default(),
            usage: Entry::new(used.memory),
            swap: Entry::both(used.memory, used.swap),
            raw: Some(&used.details).filter(|lines| !lines.is_empty()),
            psi: None,
        }
    }

    fn with(self, pressure: Option<Pressure>) -> Self {
        Self { psi: pressure.map(Psi::from), ..self }
    }
}

#[derive(Serialize)]
struct Pids {
    #[serde(skip_serializing_if = "is_zero")]
    current: u64,
    #[serde(skip_serializing_if = "is_zero")]
    limit: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blkio {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_service_bytes_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_serviced_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Psi>,
}

#[derive(Serialize)]
struct BlkioEntry {
    #[serde(skip_serializing_if = "is_zero")]
    major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    minor: u64,
    op: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    value: u64,
}

impl Blkio {
    fn new(statistics: &Statistics) -> Self {
        let (mut bytes, mut times) = (Vec::new(), Vec::new());
        for device in &statistics.io {
            let entry = |op, value| BlkioEntry { major: device.major, minor: device.minor, op, value };
            bytes.extend([entry("Read", device.read_bytes), entry("Write", device.written_bytes)]);
            times.extend([entry("Read", device.reads), entry("Write", device.writes)]);
        }
        Self {
            io_service_bytes_recursive: bytes,
            io_serviced_recursive: times,
            psi: statistics.io_pressure.map(Psi::from),
        }
    }
}

#[derive(Serialize)]
struct HugePages {
    #[serde(skip_serializing_if = "is_zero")]
    usage: u64,
    failcnt: u64,
}

#[derive(Serialize)]
struct IntelRdt {}

#[derive(Serialize)]
struct Psi {
    #[serde(skip_serializing_if = "is_zero")]
    some: PsiLine,
    #[serde(skip_serializing_if = "is_zero")]
    full: PsiLine,
}

#[derive(Serialize, Default, PartialEq)]
struct PsiLine {
    #[serde(serialize_with = "as_go")]
    avg10: f64,
    #[serde(serialize_with = "as_go")]
    avg60: f64,
    #[serde(serialize_with = "as_go")]
    avg300: f64,
    total: u64,
}

impl From<Pressure> for Psi {
    fn from(pressure: Pressure) -> Self {
        let line =
            |stall: Stall| PsiLine { avg10: stall.avg10, avg60: stall.avg60, avg300: stall.avg300, total: stall.total };
        Self { some: line(pressure.some), full: line(pressure.full) }
    }
}

/// Go writes a whole number without a point.
#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn as_go<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share in percent")]
    if value.fract() == 0.0 { serializer.serialize_u64(*value as u64) } else { serializer.serialize_f64(*value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroupv2::{CpuTime, DeviceIo, HugePageUse, Pids as PidCount};

    /// What runc 1.5.0-rc.1 printed on a machine with all controllers, and on a hybrid one.
    const WITH_ALL: &str = include_str!("samples/all.json");
    const HYBRID: &str = include_str!("samples/hybrid.json");

    fn stall(avg10: f64, avg60: f64, avg300: f64, total: u64) -> Stall {
        Stall { avg10, avg60, avg300, total }
    }

    #[test]
    fn with_all_controllers_it_is_runcs_line() {
        let sample: serde_json::Value = serde_json::from_str(WITH_ALL).unwrap();
        let details = serde_json::from_value(sample["data"]["memory"]["raw"].clone()).unwrap();
        let statistics = Statistics {
            cpu: CpuTime {
                total: 1_674_589,
                user: 552_529,
                system: 1_122_060,
                periods: 20,
                throttled_periods: 3,
                throttled: 89_099,
            },
            cpu_pressure: Some(Pressure {
                some: stall(3.46, 2.57, 0.67, 2_218_344),
                full: stall(2.7, 2.05, 0.54, 1_773_134),
            }),
            memory: Some(MemoryUse {
                memory: Amount { current: 290_816, limit: Limit::At(268_435_456), peak: Some(5_718_016) },
                swap: Some(Amount { current: 0, limit: Limit::At(268_435_456), peak: Some(7) }),
                details,
            }),
            memory_pressure: Some(Pressure::default()),
            io: Vec::new(),
            io_pressure: Some(Pressure::default()),
            pids: PidCount { current: 1, limit: Limit::At(100) },
            huge_pages: [("2MB".to_owned(), HugePageUse::default())].into(),
        };
        assert_eq!(stats("vs-runc-main-fs", &statistics).unwrap(), WITH_ALL);
    }

    #[test]
    fn without_controllers_it_is_runcs_line() {
        let statistics = Statistics {
            cpu: CpuTime { total: 11_996, system: 11_996, ..CpuTime::default() },
            cpu_pressure: Some(Pressure { some: stall(0.0, 0.0, 0.0, 2741), full: stall(0.0, 0.0, 0.0, 1576) }),
            memory_pressure: Some(Pressure::default()),
            io_pressure: Some(Pressure { some: stall(0.0, 0.0, 0.0, 536), full: stall(0.0, 0.0, 0.0, 536) }),
            pids: PidCount { current: 1, limit: Limit::Max },
            huge_pages: ["1GB", "2MB"].map(|size| (size.to_owned(), HugePageUse::default())).into(),
            ..Statistics::default()
        };
        assert_eq!(stats("smp-runc", &statistics).unwrap(), HYBRID);
    }

    #[test]
    fn without_limits_and_swap() {
        let mut used = MemoryUse { memory: Amount { current: 5, ..Amount::default() }, ..MemoryUse::default() };
        let text = serde_json::to_string(&Memory::new(&used)).unwrap();
        let entry = r#"{"limit":18446744073709551615,"usage":5,"failcnt":0}"#;
        assert_eq!(text, format!(r#"{{"usage":{entry},"swap":{entry}}}"#));
        used.swap = Some(Amount { current: 1, limit: Limit::At(3), peak: None });
        // runc's sum runs over, and shows a limit of two.
        let text = serde_json::to_string(&Memory::new(&used).swap).unwrap();
        assert_eq!(text, r#"{"limit":18446744073709551615,"usage":6,"failcnt":0}"#);
    }

    #[test]
    fn devices() {
        let device = DeviceIo { major: 8, minor: 0, read_bytes: 1, written_bytes: 0, reads: 3, writes: 4 };
        let statistics = Statistics { io: vec![device], ..Statistics::default() };
        assert_eq!(
            serde_json::to_string(&Blkio::new(&statistics)).unwrap(),
            r#"{"ioServiceBytesRecursive":[{"major":8,"op":"Read","value":1},{"major":8,"op":"Write"}],"ioServicedRecursive":[{"major":8,"op":"Read","value":3},{"major":8,"op":"Write","value":4}]}"#
        );
    }

    #[test]
    fn a_kill_for_want_of_memory_has_no_data() {
        assert_eq!(oom("a").unwrap(), "{\"type\":\"oom\",\"id\":\"a\"}\n");
    }
}
