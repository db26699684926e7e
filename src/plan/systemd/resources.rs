//! Which properties of systemd's say what a file of a cgroup says.
//!
//! The files are written as well, by Orlop itself. systemd has to know all the same, or it writes its own values into them when
//! its configuration is loaded anew. What it has no property for stays as it is written. Source: systemd.resource-control(5).

use std::collections::BTreeMap;

use super::super::number_list;
use super::super::resources::{Otherwise, Resources, Write};
use super::{Property, Value};
use crate::error::{Annotate, Error, Result};

/// systemd's "infinity".
const INFINITY: u64 = u64::MAX;

/// A weight that is left to the kernel.
const NOT_SET: u64 = u64::MAX;

/// The kernel's period of a CPU quota, in microseconds, where none is named.
const CPU_PERIOD: u64 = 100_000;

/// systemd keeps a quota in hundredths of a CPU: in steps of 10 ms a second.
const QUOTA_STEP: u64 = 10_000;

/// CPUs and memory nodes are numbered below this.
const MOST_CPUS: u32 = 8191;

/// The properties for limits.
///
/// # Errors
/// Names the field where systemd has no such value.
pub fn properties(limits: &Resources) -> Result<Vec<Property>> {
    let mut found = BTreeMap::new();
    for Write { file, value, field, otherwise } in limits.writes() {
        let mut add = |file: &str, value: &str| {
            for (name, value) in one(file, value.trim()).field(&field)? {
                insert(&mut found, name, value);
            }
            Ok::<_, Error>(())
        };
        add(&file, &value)?;
        if let Otherwise::Use(file, value) = otherwise {
            add(file, &value)?;
        }
    }
    let dispensable = |(name, value): (&str, Value)| Property { name: name.into(), value, dispensable: true };
    Ok(found.into_iter().map(dispensable).collect())
}

/// The last word counts, but a list of devices grows, and a group that is only idle has no weight beside that.
fn insert(found: &mut BTreeMap<&'static str, Value>, name: &'static str, value: Value) {
    match (found.get_mut(name), value) {
        (Some(Value::U64(0)), _) if name == "CPUWeight" => (),
        (Some(Value::Weights(devices)), Value::Weights(more)) => devices.extend(more),
        (_, value) => drop(found.insert(name, value)),
    }
}

fn one(file: &str, value: &str) -> Result<Vec<(&'static str, Value)>> {
    let limit = |name| Ok(vec![(name, Value::U64(number_or_max(value)?))]);
    match file {
        // Idle is a weight to systemd; and so is the kernel's own, where it isn't told another one.
        "cpu.idle" => Ok(vec![("CPUWeight", Value::U64(if value == "1" { 0 } else { NOT_SET }))]),
        "cpu.weight" => limit("CPUWeight"),
        "cpu.max" => cpu_quota(value),
        "cpuset.cpus" => Ok(set("AllowedCPUs", value)?),
        "cpuset.mems" => Ok(set("AllowedMemoryNodes", value)?),
        "io.weight" => io_weight(value),
        "memory.high" => limit("MemoryHigh"),
        "memory.low" => limit("MemoryLow"),
        "memory.max" => limit("MemoryMax"),
        "memory.min" => limit("MemoryMin"),
        "memory.oom.group" => Ok(vec![("OOMPolicy", oom_policy(value)?)]),
        "memory.swap.max" => limit("MemorySwapMax"),
        "memory.zswap.max" => limit("MemoryZSwapMax"),
        "pids.max" => limit("TasksMax"),
        _ => Ok(Vec::new()),
    }
}

fn number(text: &str) -> Result<u64> {
    text.parse().map_err(|_| Error::new(format!("{text:?} is not a number")))
}

fn number_or_max(text: &str) -> Result<u64> {
    if text == "max" { Ok(INFINITY) } else { number(text) }
}

/// `QUOTA PERIOD`. Rounded up, so that a cgroup below can have as much as the config says.
fn cpu_quota(value: &str) -> Result<Vec<(&'static str, Value)>> {
    let (quota, period) = value.split_once(' ').map_or((value, None), |(quota, period)| (quota, Some(period.trim())));
    let period = period.map_or(Ok(CPU_PERIOD), number)?;
    let quota = number_or_max(quota)?;
    let per_second = match quota {
        INFINITY => INFINITY,
        quota => {
            let exact = u128::from(quota) * 1_000_000 / u128::from(period.max(1));
            u64::try_from(exact).unwrap_or(INFINITY).div_ceil(QUOTA_STEP).saturating_mul(QUOTA_STEP)
        }
    };
    Ok(vec![("CPUQuotaPeriodUSec", Value::U64(period)), ("CPUQuotaPerSecUSec", Value::U64(per_second))])
}

/// `0-3,7` as a mask, the lowest byte first. An empty list asks for nothing.
fn set(name: &'static str, list: &str) -> Result<Vec<(&'static str, Value)>> {
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let numbers = number_list::parse(list, MOST_CPUS)?;
    let mut mask = vec![0_u8; numbers.iter().max().map_or(0, |most| *most as usize / 8 + 1)];
    for number in numbers {
        mask[number as usize / 8] |= 1 << (number % 8);
    }
    Ok(vec![(name, Value::Bytes(mask))])
}

/// Lines of `default 100`, `100` or `8:16 100`.
fn io_weight(value: &str) -> Result<Vec<(&'static str, Value)>> {
    let mut found = Vec::new();
    let mut devices = Vec::new();
    for line in value.lines() {
        match line.trim().split_once(' ') {
            None => found.push(("IOWeight", Value::U64(number(line.trim())?))),
            Some(("default", weight)) => found.push(("IOWeight", Value::U64(number(weight.trim())?))),
            Some((_, "default")) => (),
            Some((device, weight)) => devices.push((format!("/dev/block/{device}"), number(weight.trim())?)),
        }
    }
    if !devices.is_empty() {
        found.push(("IODeviceWeight", Value::Weights(devices)));
    }
    Ok(found)
}

/// systemd writes memory.oom.group by its own policy for the unit.
fn oom_policy(value: &str) -> Result<Value> {
    match value {
        "0" => Ok(Value::Text("continue".into())),
        "1" => Ok(Value::Text("kill".into())),
        other => Err(Error::new(format!("{other:?} is neither 0 nor 1"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Result<Vec<(String, Value)>> {
        let unified = files.iter().map(|(file, value)| ((*file).to_owned(), (*value).to_owned())).collect();
        let properties = properties(&Resources { unified, ..Resources::default() })?;
        assert!(properties.iter().all(|property| property.dispensable));
        Ok(properties.into_iter().map(|property| (property.name, property.value)).collect())
    }

    #[test]
    fn limits_have_their_properties() {
        for (file, value, name, number) in [
            ("cpu.weight", "100", "CPUWeight", 100),
            ("cpu.idle", "1", "CPUWeight", 0),
            ("memory.high", "max", "MemoryHigh", INFINITY),
            ("memory.low", "1", "MemoryLow", 1),
            ("memory.max", " 67108864\n", "MemoryMax", 67_108_864),
            ("memory.min", "0", "MemoryMin", 0),
            ("memory.swap.max", "max", "MemorySwapMax", INFINITY),
            ("memory.zswap.max", "5", "MemoryZSwapMax", 5),
            ("pids.max", "max", "TasksMax", INFINITY),
            ("pids.max", "7", "TasksMax", 7),
            ("io.weight", "default 50", "IOWeight", 50),
            ("io.weight", "50", "IOWeight", 50),
        ] {
            assert_eq!(of(&[(file, value)]), Ok(vec![(name.to_owned(), Value::U64(number))]), "{file} {value}");
        }
    }

    #[test]
    fn quotas_are_rounded_up_to_what_systemd_can_keep() {
        for (value, per_second, period) in [
            ("50000 100000", 500_000, 100_000),
            ("50000", 500_000, 100_000),
            ("max 50000", INFINITY, 50_000),
            ("max", INFINITY, 100_000),
            ("1000 100000", 10_000, 100_000),
            ("12345 100000", 130_000, 100_000),
            ("200000 100000", 2_000_000, 100_000),
        ] {
            let expected = vec![
                ("CPUQuotaPerSecUSec".to_owned(), Value::U64(per_second)),
                ("CPUQuotaPeriodUSec".to_owned(), Value::U64(period)),
            ];
            assert_eq!(of(&[("cpu.max", value)]), Ok(expected), "{value}");
        }
    }

    #[test]
    fn sets_become_masks() {
        for (list, mask) in [("0", vec![1]), ("0-3,7", vec![0x8f]), ("8", vec![0, 1]), ("1,15", vec![2, 0x80])] {
            assert_eq!(of(&[("cpuset.cpus", list)]), Ok(vec![("AllowedCPUs".to_owned(), Value::Bytes(mask.clone()))]));
            assert_eq!(of(&[("cpuset.mems", list)]), Ok(vec![("AllowedMemoryNodes".to_owned(), Value::Bytes(mask))]));
        }
        assert_eq!(of(&[("cpuset.cpus", "")]), Ok(vec![]));
    }

    #[test]
    fn what_the_config_says_otherwise_than_in_files_has_its_properties_too() {
        let asked = serde_json::json!({
            "memory": {"limit": 1_048_576, "swap": 2_097_152},
            "cpu": {"shares": 1024, "quota": 20_000, "cpus": "0"},
            "pids": {"limit": 9},
            "blockIO": {"weight": 500, "weightDevice": [
                {"major": 8, "minor": 0, "weight": 10},
                {"major": 8, "minor": 16, "weight": 1000},
            ]},
            "unified": {"memory.max": "524288"},
        });
        let limits = Resources::convert(&serde_json::from_value(asked).unwrap()).unwrap();
        let all: BTreeMap<_, _> = properties(&limits).unwrap().into_iter().map(|p| (p.name, p.value)).collect();
        // `unified` has the last word.
        assert_eq!(all["MemoryMax"], Value::U64(524_288));
        assert_eq!(all["MemorySwapMax"], Value::U64(1_048_576));
        assert_eq!(all["CPUWeight"], Value::U64(100));
        assert_eq!(all["CPUQuotaPerSecUSec"], Value::U64(200_000));
        assert_eq!(all["AllowedCPUs"], Value::Bytes(vec![1]));
        assert_eq!(all["TasksMax"], Value::U64(9));
        assert_eq!(all["IOWeight"], Value::U64(4950));
        let devices = vec![("/dev/block/8:0".into(), 1), ("/dev/block/8:16".into(), 10_000)];
        assert_eq!(all["IODeviceWeight"], Value::Weights(devices));
    }

    #[test]
    fn weights_of_devices_name_the_device() {
        let weights = Value::Weights(vec![("/dev/block/8:16".into(), 200)]);
        let expected = vec![("IODeviceWeight".to_owned(), weights), ("IOWeight".to_owned(), Value::U64(100))];
        assert_eq!(of(&[("io.weight", "default 100\n8:16 200")]), Ok(expected));
    }

    #[test]
    fn what_is_only_idle_has_no_weight() {
        let idle = Ok(vec![("CPUWeight".to_owned(), Value::U64(0))]);
        assert_eq!(of(&[("cpu.idle", "1"), ("cpu.weight", "100")]), idle);
        assert_eq!(of(&[("cpu.weight", "100"), ("cpu.idle", "1")]), idle);
        assert_eq!(of(&[("cpu.idle", "0")]), Ok(vec![("CPUWeight".to_owned(), Value::U64(NOT_SET))]));
        assert_eq!(of(&[("cpu.idle", "0"), ("cpu.weight", "7")]), Ok(vec![("CPUWeight".to_owned(), Value::U64(7))]));
    }

    #[test]
    fn the_group_of_the_oom_killer_is_a_policy() {
        assert_eq!(of(&[("memory.oom.group", "1")]), Ok(vec![("OOMPolicy".to_owned(), Value::Text("kill".into()))]));
        assert_eq!(
            of(&[("memory.oom.group", "0")]),
            Ok(vec![("OOMPolicy".to_owned(), Value::Text("continue".into()))])
        );
    }

    #[test]
    fn other_files_are_none_of_systemds_business() {
        assert_eq!(of(&[("hugetlb.2MB.max", "0"), ("io.max", "8:0 rbps=1"), ("misc.max", "x 1")]), Ok(vec![]));
    }

    #[test]
    fn values_that_no_file_takes_are_refused_by_name() {
        for (file, value) in [
            ("cpu.weight", "much"),
            ("cpu.max", "1 x"),
            ("cpuset.cpus", "3-1"),
            ("cpuset.cpus", "9999"),
            ("io.weight", "8:0 x"),
            ("memory.max", "-1"),
            ("memory.max", "18446744073709551616"),
            ("memory.oom.group", "2"),
            ("pids.max", "1.5"),
        ] {
            let error = of(&[(file, value)]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("linux.resources.unified[\"{file}\"]: ")), "{file}={value}: {error}");
        }
    }
}
