//! Limits of the cgroup, as the files of cgroup v2 have them afterwards.

use std::fs;

use serde_json::{Value, json};

use crate::case::cases;
use crate::container::Container;
use crate::lane::Lane;
use crate::outcome::{Not, Verdict, applies, expect};
use crate::subject::Subject;

cases![
    memory_limit,
    memory_reservation,
    memory_swap,
    memory_unlimited,
    cpu_shares,
    cpu_quota,
    cpu_burst,
    cpu_burst_above_quota,
    cpus,
    mems,
    cpu_idle,
    io_weight,
    io_weight_of_a_device,
    io_throttle,
    hugepages,
    unknown_hugepages,
    pids,
    pids_unlimited,
    pids_zero,
    what_cannot_be_converted,
];

/// Ends the case where the machine has no such controller.
pub(crate) fn needs(controller: &str) -> Verdict {
    applies(Lane::get().has_controller(controller), format!("this machine's cgroup v2 has no controller {controller}"))
}

/// A created container with these resources.
fn created<'s>(s: &'s Subject, resources: &Value) -> Verdict<Container<'s>> {
    let c = Container::new(s).args(["sleep"]).edit(|config| {
        for (name, value) in resources.as_object().into_iter().flatten() {
            config["linux"]["resources"][name] = value.clone();
        }
    });
    c.create()?;
    Ok(c)
}

/// The file of the container's cgroup, also where the runtime has another cgroup below it for the process.
pub(crate) fn file(c: &Container, name: &str) -> Verdict<String> {
    fs::read_to_string(c.cgroup_dir().join(name))
        .map(|text| text.trim().to_owned())
        .map_err(|error| crate::outcome::wrong(format!("the cgroup has {name}"), error))
}

fn is(c: &Container, name: &str, expected: &str) -> Verdict {
    let seen = file(c, name)?;
    expect(seen == expected, format!("{name} is {expected}"), format!("{name} is {seen}"))
}

const MIB: i64 = 1 << 20;

fn memory_limit(s: &Subject) -> Verdict {
    needs("memory")?;
    is(&created(s, &json!({"memory": {"limit": 64 * MIB}}))?, "memory.max", &(64 * MIB).to_string())
}

fn memory_reservation(s: &Subject) -> Verdict {
    needs("memory")?;
    is(&created(s, &json!({"memory": {"reservation": 32 * MIB}}))?, "memory.low", &(32 * MIB).to_string())
}

fn memory_swap(s: &Subject) -> Verdict {
    needs("memory")?;
    let c = created(s, &json!({"memory": {"limit": 64 * MIB, "swap": 80 * MIB}}))?;
    applies(c.cgroup_dir().join("memory.swap.max").exists(), "the kernel doesn't count swap")?;
    is(&c, "memory.swap.max", &(16 * MIB).to_string())
}

fn memory_unlimited(s: &Subject) -> Verdict {
    needs("memory")?;
    is(&created(s, &json!({"memory": {"limit": -1}}))?, "memory.max", "max")
}

/// How shares become a weight is the runtime's to say; the order of shares has to stay.
fn cpu_shares(s: &Subject) -> Verdict {
    needs("cpu")?;
    let weight = |shares: u64| -> Verdict<u64> {
        let text = file(&created(s, &json!({"cpu": {"shares": shares}}))?, "cpu.weight")?;
        Ok(text.parse().unwrap_or_default())
    };
    let weights = (weight(2)?, weight(1024)?, weight(262_144)?);
    let good = weights.0 == 1 && weights.2 == 10_000 && weights.0 < weights.1 && weights.1 < weights.2;
    expect(good, "2, 1024 and 262144 shares are a weight of 1, one in between, and 10000", format!("{weights:?}"))
}

fn cpu_quota(s: &Subject) -> Verdict {
    needs("cpu")?;
    is(&created(s, &json!({"cpu": {"quota": 40_000, "period": 80_000}}))?, "cpu.max", "40000 80000")?;
    is(&created(s, &json!({"cpu": {"quota": -1, "period": 80_000}}))?, "cpu.max", "max 80000")
}

fn cpu_burst(s: &Subject) -> Verdict {
    needs("cpu")?;
    let c = created(s, &json!({"cpu": {"quota": 40_000, "period": 80_000, "burst": 10_000}}))?;
    is(&c, "cpu.max.burst", "10000")
}

fn cpu_burst_above_quota(s: &Subject) -> Verdict {
    needs("cpu")?;
    let cpu = json!({"cpu": {"quota": 40_000, "period": 80_000, "burst": 50_000}});
    Container::new(s).set("/linux/resources", cpu).create_refused("burst is more than quota")
}

fn cpus(s: &Subject) -> Verdict {
    needs("cpuset")?;
    is(&created(s, &json!({"cpu": {"cpus": "0"}}))?, "cpuset.cpus", "0")
}

fn mems(s: &Subject) -> Verdict {
    needs("cpuset")?;
    is(&created(s, &json!({"cpu": {"mems": "0"}}))?, "cpuset.mems", "0")
}

fn cpu_idle(s: &Subject) -> Verdict {
    needs("cpu")?;
    is(&created(s, &json!({"cpu": {"idle": 1}}))?, "cpu.idle", "1")
}

/// A block device that takes limits.
fn block_device() -> Verdict<(u64, u64)> {
    for name in ["vda", "sda", "nvme0n1"] {
        if let Ok(text) = fs::read_to_string(format!("/sys/block/{name}/dev"))
            && let Some((major, minor)) = text.trim().split_once(':')
            && let (Ok(major), Ok(minor)) = (major.parse(), minor.parse())
        {
            return Ok((major, minor));
        }
    }
    Err(Not::Applicable("this machine has no block device that takes limits".into()))
}

/// The kernel has one of two files for weights, and with many schedulers none.
fn weight_file(c: &Container) -> Verdict<&'static str> {
    let found = ["io.bfq.weight", "io.weight"].into_iter().find(|name| c.cgroup_dir().join(name).exists());
    found.ok_or_else(|| Not::Applicable("this kernel has no weights for block devices".into()))
}

fn io_weight(s: &Subject) -> Verdict {
    needs("io")?;
    weight_file(&created(s, &json!({}))?)?;
    let c = created(s, &json!({"blockIO": {"weight": 1000}}))?;
    let name = weight_file(&c)?;
    let seen = file(&c, name)?;
    let expected = if name == "io.weight" { "default 10000" } else { "1000" };
    expect(seen.contains(expected), format!("{name} has {expected}"), seen)
}

fn io_weight_of_a_device(s: &Subject) -> Verdict {
    needs("io")?;
    let (major, minor) = block_device()?;
    let plain = created(s, &json!({}))?;
    applies(weight_file(&plain)? == "io.bfq.weight", "weights of single devices take the scheduler BFQ")?;
    let scheduler = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/queue/scheduler")).unwrap_or_default();
    applies(scheduler.contains("[bfq]"), "the device has another scheduler than BFQ")?;
    let c = created(s, &json!({"blockIO": {"weightDevice": [{"major": major, "minor": minor, "weight": 321}]}}))?;
    let seen = file(&c, "io.bfq.weight")?;
    let expected = format!("{major}:{minor} 321");
    expect(seen.contains(&expected), format!("io.bfq.weight has {expected}"), seen)
}

fn io_throttle(s: &Subject) -> Verdict {
    needs("io")?;
    let (major, minor) = block_device()?;
    let rate = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
    let io = json!({"blockIO": {
        "throttleReadBpsDevice": rate(1_048_576), "throttleWriteBpsDevice": rate(2_097_152),
        "throttleReadIOPSDevice": rate(111), "throttleWriteIOPSDevice": rate(222),
    }});
    is(&created(s, &io)?, "io.max", &format!("{major}:{minor} rbps=1048576 wbps=2097152 riops=111 wiops=222"))
}

fn hugepages(s: &Subject) -> Verdict {
    needs("hugetlb")?;
    applies(
        std::path::Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").exists(),
        "the kernel has no pages of 2 MB",
    )?;
    let c = created(s, &json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]}))?;
    let name =
        if c.cgroup_dir().join("hugetlb.2MB.rsvd.max").exists() { "hugetlb.2MB.rsvd.max" } else { "hugetlb.2MB.max" };
    is(&c, name, &(4 * MIB).to_string())
}

fn unknown_hugepages(s: &Subject) -> Verdict {
    let c =
        Container::new(s).set("/linux/resources", json!({"hugepageLimits": [{"pageSize": "3MB", "limit": 3 * MIB}]}));
    c.create_refused("pages of 3 MB")
}

fn pids(s: &Subject) -> Verdict {
    needs("pids")?;
    is(&created(s, &json!({"pids": {"limit": 77}}))?, "pids.max", "77")
}

fn pids_unlimited(s: &Subject) -> Verdict {
    needs("pids")?;
    is(&created(s, &json!({"pids": {"limit": -1}}))?, "pids.max", "max")
}

/// 0 is less than the process itself; some runtimes make it 1. Nothing more can be started in either.
fn pids_zero(s: &Subject) -> Verdict {
    needs("pids")?;
    let seen = file(&created(s, &json!({"pids": {"limit": 0}}))?, "pids.max")?;
    expect(seen == "0" || seen == "1", "pids.max is 0 (or 1, which is no different)", seen)
}

/// Wishes of cgroup v1 for controllers that are there, and that have nothing of the kind in cgroup v2.
fn what_cannot_be_converted(s: &Subject) -> Verdict {
    needs("memory")?;
    needs("cpu")?;
    for (part, key, value) in
        [("memory", "swappiness", 10), ("memory", "kernel", 1 << 24), ("cpu", "realtimeRuntime", 1000)]
    {
        let c = Container::new(s).edit(|config| config["linux"]["resources"][part] = json!({key: value}));
        c.create_refused(&format!("{part}.{key}, of which cgroup v2 has nothing"))?;
    }
    Ok(())
}
