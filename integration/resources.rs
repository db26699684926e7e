//! `linux.resources`: each limit in the kernel's own files, and what happens at it.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::{Container, Need, needs, until};

cases![
    memory_limits_are_set,
    memory_and_swap_become_swap,
    unlimited_memory_is_unlimited,
    more_memory_than_allowed_is_killed,
    the_killing_of_an_init_is_told,
    half_a_mebibyte_starts_a_program,
    cpu_weight_and_time_are_set,
    idle_comes_before_weight,
    more_time_than_allowed_is_throttled,
    cpus_and_nodes_are_set,
    processes_are_limited,
    one_process_is_enough,
    a_fork_too_many_fails,
    an_empty_limit_of_processes_is_none,
    weights_of_block_devices,
    throttles_of_block_devices,
    a_throttled_device_is_slower,
    huge_pages_are_limited,
    unified_has_the_last_word,
    unified_names_that_lead_elsewhere_are_refused,
    a_missing_controller_names_the_field,
    to_be_unlimited_needs_no_controller,
    a_value_that_the_kernel_refuses_names_the_field,
    values_that_cannot_be_meant_are_refused,
    controllers_reach_every_cgroup_on_the_way,
    limits_are_there_before_hooks_run,
    what_v2_has_no_place_for_is_refused,
    to_ask_for_nothing_that_v2_lacks_is_fine,
    an_empty_object_asks_for_nothing,
];

/// A created container with those resources beside the device rules.
fn created(resources: &[(&str, Value)]) -> Container {
    let c = resources.iter().fold(Container::new().args(["sleep"]), |c, (name, value)| {
        c.set(&format!("/linux/resources/{name}"), value.clone())
    });
    c.create().ok();
    c
}

fn file(c: &Container, name: &str) -> String {
    let path = c.cgroup_dir().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}

fn memory_limits_are_set() {
    needs(Need::Controller("memory"));
    let c = created(&[("memory", json!({"limit": 64 << 20, "reservation": 32 << 20}))]);
    assert_eq!(file(&c, "memory.max"), (64 << 20).to_string());
    assert_eq!(file(&c, "memory.low"), (32 << 20).to_string());
    assert_eq!(file(&c, "memory.swap.max"), "max");
}

fn memory_and_swap_become_swap() {
    needs(Need::Controller("memory"));
    let c = created(&[("memory", json!({"limit": 64 << 20, "swap": 80 << 20}))]);
    assert_eq!(file(&c, "memory.swap.max"), (16 << 20).to_string());
    let c = created(&[("memory", json!({"limit": 64 << 20, "swap": 64 << 20}))]);
    assert_eq!(file(&c, "memory.swap.max"), "0");
}

fn unlimited_memory_is_unlimited() {
    needs(Need::Controller("memory"));
    let c = created(&[("memory", json!({"limit": -1, "reservation": -1}))]);
    assert_eq!((file(&c, "memory.max").as_str(), file(&c, "memory.swap.max").as_str()), ("max", "max"));
    assert_eq!(file(&c, "memory.low"), "max");
}

fn more_memory_than_allowed_is_killed() {
    needs(Need::Controller("memory"));
    let limited = |words: [&str; 2]| {
        let c = Container::new().args(words);
        c.set("/linux/resources/memory", json!({"limit": 32 << 20, "swap": 32 << 20}))
    };
    assert_eq!(limited(["eat", "8"]).run().ok().stdout.trim(), "ate 2048");
    limited(["eat", "64"]).run().exits(137);
}

fn the_killing_of_an_init_is_told() {
    needs(Need::Orlop("the error names the limit"));
    needs(Need::Controller("memory"));
    let c = Container::new().set("/linux/resources/memory", json!({"limit": 4096, "swap": 4096}));
    let message = c.run().exits(1).message();
    assert!(message.contains("linux.resources.memory.limit"), "{message}");
    c.nothing_left();
}

fn half_a_mebibyte_starts_a_program() {
    needs(Need::Controller("memory"));
    let c = Container::new().args(["exit", "0"]);
    let c = c.set("/linux/resources/memory", json!({"limit": 512 << 10, "swap": 512 << 10}));
    c.run_with(["--keep"]).ok();
    println!("memory.peak of a start within 512 KiB: {}", file(&c, "memory.peak"));
}

fn cpu_weight_and_time_are_set() {
    needs(Need::Controller("cpu"));
    let c = created(&[("cpu", json!({"shares": 2048, "quota": 50_000, "period": 200_000, "burst": 10_000}))]);
    needs(Need::Not("crun", "before 1.24 it converts shares in another way"));
    needs(Need::Not("runc", "before 1.3.2 it converts shares in another way"));
    assert_eq!(file(&c, "cpu.weight"), "174");
    assert_eq!((file(&c, "cpu.max").as_str(), file(&c, "cpu.max.burst").as_str()), ("50000 200000", "10000"));
    let c = created(&[("cpu", json!({"quota": -1}))]);
    assert_eq!(file(&c, "cpu.max"), "max 100000");
}

fn idle_comes_before_weight() {
    needs(Need::Controller("cpu"));
    let c = created(&[("cpu", json!({"shares": 2048, "idle": 1}))]);
    assert_eq!(file(&c, "cpu.idle"), "1");
    assert_ne!(file(&c, "cpu.weight"), "174");
}

fn more_time_than_allowed_is_throttled() {
    needs(Need::Controller("cpu"));
    let c = Container::new().args(["sequence", "spin", "600", "--", "sleep"]);
    let c = c.set("/linux/resources/cpu", json!({"quota": 10_000, "period": 100_000})).up();
    let stat = file(&c, "cpu.stat");
    let throttled = stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")).expect("the counter");
    assert!(throttled.parse::<u32>().expect("a number") > 0, "{stat}");
}

fn cpus_and_nodes_are_set() {
    needs(Need::Controller("cpuset"));
    let c = created(&[("cpu", json!({"cpus": "0", "mems": "0"}))]);
    assert_eq!((file(&c, "cpuset.cpus").as_str(), file(&c, "cpuset.mems").as_str()), ("0", "0"));
    let c = Container::new().set("/linux/resources/cpu", json!({"cpus": "0"}));
    assert_eq!(c.run().ok().report()["cpus"], "0");
}

fn processes_are_limited() {
    needs(Need::Controller("pids"));
    for (limit, expected) in [(17, "17"), (-1, "max")] {
        assert_eq!(file(&created(&[("pids", json!({"limit": limit}))]), "pids.max"), expected);
    }
}

fn one_process_is_enough() {
    needs(Need::Controller("pids"));
    let c = Container::new().args(["exit", "0"]).set("/linux/resources/pids", json!({"limit": 1}));
    c.run_with(["--keep"]).ok();
    if let Ok(peak) = fs::read_to_string(c.cgroup_dir().join("memory.peak")) {
        println!("memory.peak of a start with one process: {}", peak.trim());
    }
}

fn a_fork_too_many_fails() {
    needs(Need::Controller("pids"));
    let c = Container::new().args(["try-exec", "/probe", "exit", "0"]);
    assert_eq!(c.set("/linux/resources/pids", json!({"limit": 1})).run().ok().stdout.trim(), "EAGAIN");
}

fn an_empty_limit_of_processes_is_none() {
    needs(Need::Controller("pids"));
    assert_eq!(file(&created(&[("pids", json!({}))]), "pids.max"), "max");
}

/// The numbers of the disk that the suite's directory is on.
fn disk() -> Value {
    let device = fs::metadata(crate::support::Lane::get().dir()).expect("the suite's directory").dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let part = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/../dev"));
    let whole = part.ok().and_then(|text| {
        let (major, minor) = text.trim().split_once(':')?;
        Some(json!({"major": major.parse::<u32>().ok()?, "minor": minor.parse::<u32>().ok()?}))
    });
    whole.unwrap_or_else(|| json!({"major": major, "minor": minor}))
}

/// Entries of a list in `blockIO`: the disk, and the given field.
pub(crate) fn for_disk(field: &str, value: u64) -> Value {
    let mut entry = disk();
    entry[field] = value.into();
    json!([entry])
}

pub(crate) fn disk_name() -> String {
    format!("{}:{}", disk()["major"], disk()["minor"])
}

fn weights_of_block_devices() {
    needs(Need::Controller("io"));
    let c = Container::new().args(["sleep"]);
    let c = c.set("/linux/resources/blockIO", json!({"weight": 500}));
    let created = c.create();
    let (bfq, plain) = (c.cgroup_dir().join("io.bfq.weight"), c.cgroup_dir().join("io.weight"));
    match (bfq.exists(), plain.exists()) {
        (true, _) => assert_eq!(fs::read_to_string(bfq).expect("read").trim(), "default 500"),
        (false, true) => assert_eq!(fs::read_to_string(plain).expect("read").trim(), "default 4950"),
        (false, false) => {
            created.fails(["linux.resources.blockIO.weight"]);
        }
    }
}

fn throttles_of_block_devices() {
    needs(Need::Controller("io"));
    let c = created(&[(
        "blockIO",
        json!({
            "throttleReadBpsDevice": for_disk("rate", 1_000_000), "throttleWriteBpsDevice": for_disk("rate", 2_000_000),
            "throttleReadIOPSDevice": for_disk("rate", 300), "throttleWriteIOPSDevice": for_disk("rate", 400),
        }),
    )]);
    let expected = format!("{} rbps=1000000 wbps=2000000 riops=300 wiops=400", disk_name());
    assert_eq!(file(&c, "io.max"), expected);
}

fn a_throttled_device_is_slower() {
    needs(Need::Controller("io"));
    let c = Container::new().args(["write-out", "/out/file", "3"]);
    let out = c.dir().join("out");
    fs::create_dir(&out).expect("make a directory");
    let c = c.bind(&out, "/out", []).set(
        "/linux/resources/blockIO",
        json!({
            "throttleWriteBpsDevice": for_disk("rate", 1 << 20)
        }),
    );
    let took: u64 = c.run().ok().stdout.trim().parse().expect("milliseconds");
    assert!(took > 1500, "3 MiB at 1 MiB a second took {took} ms");
}

fn huge_pages_are_limited() {
    needs(Need::Controller("hugetlb"));
    let c = created(&[("hugepageLimits", json!([{"pageSize": "2MB", "limit": 4 << 20}]))]);
    assert_eq!(file(&c, "hugetlb.2MB.max"), (4 << 20).to_string());
    needs(Need::Not("crun", "it leaves the reservation alone"));
    assert_eq!(file(&c, "hugetlb.2MB.rsvd.max"), (4 << 20).to_string());
}

fn unified_has_the_last_word() {
    needs(Need::Controller("hugetlb"));
    let c = created(&[
        ("hugepageLimits", json!([{"pageSize": "2MB", "limit": 4 << 20}])),
        ("unified", json!({"hugetlb.2MB.max": "8388608", "cgroup.max.depth": "3"})),
    ]);
    assert_eq!((file(&c, "hugetlb.2MB.max").as_str(), file(&c, "cgroup.max.depth").as_str()), ("8388608", "3"));
}

fn unified_names_that_lead_elsewhere_are_refused() {
    needs(Need::Not("crun", "1.8 takes any name that has a dot"));
    for name in ["../cgroup.max.depth", "/etc/passwd", "a/../../cgroup.max.depth"] {
        let c = Container::new().set("/linux/resources/unified", json!({name: "1"}));
        c.run().fails([name]);
        c.nothing_left();
    }
}

fn a_missing_controller_names_the_field() {
    needs(Need::Orlop("the error names the controller and the field"));
    let cases = [
        ("memory", "memory", json!({"limit": 64 << 20}), "memory.limit"),
        ("cpu", "cpu", json!({"shares": 5}), "cpu.shares"),
        ("pids", "pids", json!({"limit": 5}), "pids.limit"),
        ("cpuset", "cpu", json!({"cpus": "0"}), "cpu.cpus"),
    ];
    let absent = |name: &&(&str, &str, Value, &str)| !crate::support::Lane::has_controller(name.0);
    let Some((controller, resource, value, field)) = cases.iter().find(absent) else {
        return needs(Need::NoController("memory"));
    };
    let c = Container::new().set(&format!("/linux/resources/{resource}"), value.clone());
    c.run().fails([format!("linux.resources.{field}: the {controller} controller doesn't reach").as_str()]);
    c.nothing_left();
}

fn to_be_unlimited_needs_no_controller() {
    needs(Need::Root);
    needs(Need::Not("runc", "it fails without the controllers"));
    needs(Need::Not("crun", "it fails without the controllers"));
    let unlimited = json!({
        "memory": {"limit": -1, "swap": -1, "reservation": -1},
        "cpu": {"quota": -1, "period": 100_000},
        "pids": {"limit": -1},
    });
    Container::new().set("/linux/resources", unlimited).run().ok();
}

fn a_value_that_the_kernel_refuses_names_the_field() {
    needs(Need::Orlop("the error names the field"));
    let c = Container::new().set("/linux/resources/unified", json!({"cgroup.max.depth": "deep"}));
    c.run().fails(["linux.resources.unified[\"cgroup.max.depth\"]", "write", "\"deep\" to cgroup.max.depth"]);
    c.nothing_left();
    let c = Container::new().set("/linux/resources/unified", json!({"cgroup.nothing": "1"}));
    c.run().fails(["linux.resources.unified[\"cgroup.nothing\"]", "no such file"]);
}

fn values_that_cannot_be_meant_are_refused() {
    needs(Need::Orlop("the error names the field"));
    for (resource, value, field) in [
        ("memory", json!({"limit": 5, "swap": 4}), "memory.swap"),
        ("memory", json!({"limit": "5"}), "memory.limit"),
        ("memory", json!({"limit": -3}), "memory.limit"),
        ("cpu", json!({"idle": 3}), "cpu.idle"),
        ("blockIO", json!({"weight": 5}), "blockIO.weight"),
        ("hugepageLimits", json!([{"pageSize": "../x", "limit": 1}]), "hugepageLimits[0].pageSize"),
        ("unified", json!({"cgroup.kill": "1"}), "unified[\"cgroup.kill\"]"),
    ] {
        let c = Container::new().set(&format!("/linux/resources/{resource}"), value);
        c.run().fails([format!("linux.resources.{field}: ").as_str()]);
        c.nothing_left();
    }
}

fn controllers_reach_every_cgroup_on_the_way() {
    needs(Need::Controller("hugetlb"));
    let c = Container::new().args(["sleep"]);
    let path = format!("{}/deep/below", crate::support::Lane::cgroup(c.id()));
    let c = c.set("/linux/cgroupsPath", path).up();
    let own = c.cgroup_dir().join("deep/below");
    let words = |path: &std::path::Path| {
        let text = fs::read_to_string(path.join("cgroup.controllers")).expect("read");
        text.split_whitespace().map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    let root = std::path::Path::new("/sys/fs/cgroup");
    assert_eq!(words(&own), words(root));
    c.delete_by_force().quiet();
    crate::support::leftovers::remove_cgroup(&c.cgroup_dir()).expect("the parents can be removed");
}

fn limits_are_there_before_hooks_run() {
    needs(Need::Controller("hugetlb"));
    let c = Container::new().args(["sleep"]);
    let limit = c.cgroup_dir().join("hugetlb.2MB.max");
    let copy = c.dir().join("seen");
    let script = format!("cat {} > {}", limit.display(), copy.display());
    let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script]});
    let c = c
        .set("/linux/resources/hugepageLimits", json!([{"pageSize": "2MB", "limit": 2 << 20}]))
        .set("/hooks", json!({"createRuntime": [hook]}));
    c.create().ok();
    let seen = until("the hook", || fs::read_to_string(&copy).ok().filter(|text| !text.is_empty()));
    assert_eq!(seen.trim(), (2 << 20).to_string());
}

fn what_v2_has_no_place_for_is_refused() {
    needs(Need::Not("runc", "it leaves them out"));
    for (part, key, value) in [
        ("memory", "swappiness", json!(10)),
        ("memory", "kernel", json!(1 << 20)),
        ("cpu", "realtimeRuntime", json!(1000)),
        ("network", "classID", json!(5)),
    ] {
        let c = Container::new().set(&format!("/linux/resources/{part}"), json!({key: value}));
        c.run().fails([&format!("linux.resources.{part}.{key}")[..]]);
        c.nothing_left();
    }
}

/// What some caller may say of all containers.
fn to_ask_for_nothing_that_v2_lacks_is_fine() {
    needs(Need::Not("crun", "it refuses them"));
    let c = Container::new()
        .set("/linux/resources/memory", json!({"disableOOMKiller": false, "kernel": 0, "kernelTCP": -1}))
        .set("/linux/resources/cpu", json!({"realtimeRuntime": 0, "realtimePeriod": 0}))
        .set("/linux/resources/network", json!({"classID": 0, "priorities": []}));
    c.run().ok();
}

fn an_empty_object_asks_for_nothing() {
    let c = Container::new().set(
        "/linux/resources",
        json!({"memory": {}, "cpu": {}, "pids": {}, "blockIO": {}, "unified": {}, "hugepageLimits": [], "rdma": {}}),
    );
    c.run().ok();
}
