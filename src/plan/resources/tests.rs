use super::*;
use serde_json::{Value, json};

fn convert(asked: Value) -> Result<Resources> {
    Resources::convert(&serde_json::from_value(asked).unwrap())
}

/// `FILE=VALUE`, in order.
fn writes(asked: Value) -> Vec<String> {
    convert(asked).unwrap().writes().iter().map(|write| format!("{}={}", write.file, write.value)).collect()
}

fn refused(asked: Value) -> String {
    convert(asked).unwrap_err().field_path().unwrap_or_default().to_owned()
}

#[test]
fn nothing_asked_is_nothing_written() {
    for asked in [
        json!({}),
        json!({"memory": {}, "cpu": {}, "blockIO": {}, "unified": {}, "hugepageLimits": [], "rdma": {}}),
        json!({"memory": {"limit": 0, "swap": 0, "reservation": 0}, "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": ""}}),
        json!({"blockIO": {"weight": 0}}),
    ] {
        assert!(convert(asked.clone()).unwrap().is_empty(), "{asked}");
    }
}

#[test]
fn what_v2_has_no_place_for_is_refused() {
    let refusal = |asked: &serde_json::Value| {
        let asked = serde_json::from_value(asked.clone()).unwrap();
        Resources::refuse_what_v2_lacks(&asked).err().map(|error| error.field_path().unwrap_or_default().to_owned())
    };
    for (part, key, value) in [
        ("memory", "kernel", json!(1)),
        ("memory", "kernelTCP", json!(2)),
        ("memory", "swappiness", json!(3)),
        ("memory", "disableOOMKiller", json!(true)),
        ("cpu", "realtimeRuntime", json!(1)),
        ("cpu", "realtimePeriod", json!(2)),
        ("network", "classID", json!(5)),
        ("network", "priorities", json!([{"name": "eth0", "priority": 1}])),
        ("blockIO", "leafWeight", json!(100)),
        ("blockIO", "weightDevice", json!([{"major": 8, "minor": 0, "leafWeight": 10}])),
    ] {
        assert_eq!(refusal(&json!({part: {key: value}})).unwrap(), format!("linux.resources.{part}.{key}"));
    }
    let memory = json!({"kernel": 0, "kernelTCP": -1, "disableOOMKiller": false, "useHierarchy": true, "limit": 100});
    let nothing = json!({"memory": memory, "cpu": {"realtimeRuntime": 0, "realtimePeriod": 0, "shares": 5},
        "network": {"classID": 0, "priorities": []}, "blockIO": {"leafWeight": 0}});
    assert_eq!(refusal(&nothing), None);
}

#[test]
fn an_update_leaves_out_what_v2_has_no_place_for() {
    let memory = json!({"kernel": 1, "kernelTCP": 2, "swappiness": 3, "disableOOMKiller": true, "useHierarchy": true});
    let asked = json!({"memory": memory, "cpu": {"realtimeRuntime": 1, "realtimePeriod": 2},
        "network": {"classID": 5, "priorities": [{"name": "eth0", "priority": 1}]}, "blockIO": {"leafWeight": 100}});
    assert!(convert(asked).unwrap().is_empty());
}

#[test]
fn memory_is_in_bytes_and_swap_is_what_is_left() {
    for (memory, expected) in [
        (json!({"limit": 100}), vec!["memory.max=100"]),
        (json!({"limit": -1}), vec!["memory.swap.max=max", "memory.max=max"]),
        (json!({"limit": 100, "swap": 150}), vec!["memory.swap.max=50", "memory.max=100"]),
        (json!({"limit": 100, "swap": 100}), vec!["memory.swap.max=0", "memory.max=100"]),
        (json!({"limit": 100, "swap": -1}), vec!["memory.swap.max=max", "memory.max=100"]),
        (json!({"swap": -1}), vec!["memory.swap.max=max"]),
        (json!({"reservation": 7}), vec!["memory.low=7"]),
        (json!({"reservation": -1}), vec!["memory.low=max"]),
    ] {
        assert_eq!(writes(json!({"memory": memory})), expected, "{memory}");
    }
}

#[test]
fn memory_that_cannot_be_meant() {
    for (memory, field) in [
        (json!({"swap": 100}), "swap"),
        (json!({"limit": -1, "swap": 100}), "swap"),
        (json!({"limit": 100, "swap": 99}), "swap"),
        (json!({"limit": -2}), "limit"),
        (json!({"limit": 1, "swap": -2}), "swap"),
        (json!({"reservation": -2}), "reservation"),
    ] {
        assert_eq!(refused(json!({"memory": memory})), format!("linux.resources.memory.{field}"), "{memory}");
    }
}

#[test]
fn a_kernel_that_accounts_no_swap_is_asked_for_none() {
    let otherwise = |memory: Value| convert(json!({"memory": memory})).unwrap().writes()[0].otherwise.clone();
    assert_eq!(otherwise(json!({"limit": 5, "swap": 5})), Otherwise::Skip);
    assert_eq!(otherwise(json!({"limit": 5, "swap": -1})), Otherwise::Skip);
    assert_eq!(otherwise(json!({"limit": 5, "swap": 6})), Otherwise::Fail);
}

/// The table of <https://github.com/kubernetes/enhancements> KEP 2254 and of runc's own tests.
#[test]
fn shares_become_a_weight() {
    for (shares, weight) in
        [(0, None), (1, Some(1)), (2, Some(1)), (1024, Some(100)), (262_144, Some(10_000)), (9_999_999, Some(10_000))]
    {
        assert_eq!(cpu_weight(shares), weight, "{shares}");
    }
    let weights: Vec<u64> = (2..=262_144).filter_map(cpu_weight).collect();
    assert!(weights.is_sorted());
    assert!(weights.iter().all(|weight| (1..=10_000).contains(weight)));
}

#[test]
fn time_of_the_cpus() {
    for (cpu, expected) in [
        (json!({"shares": 1024}), vec!["cpu.weight=100"]),
        (json!({"quota": 5000, "period": 10_000}), vec!["cpu.max=5000 10000"]),
        (json!({"quota": 5000}), vec!["cpu.max=5000 100000"]),
        (json!({"period": 10_000}), vec!["cpu.max=max 10000"]),
        (json!({"quota": -1}), vec!["cpu.max=max 100000"]),
        (json!({"quota": 5000, "burst": 100}), vec!["cpu.max=5000 100000", "cpu.max.burst=100"]),
        (json!({"idle": 1, "shares": 1024}), vec!["cpu.idle=1"]),
        (json!({"idle": 0, "shares": 1024}), vec!["cpu.idle=0", "cpu.weight=100"]),
        (json!({"cpus": "0-1", "mems": "0"}), vec!["cpuset.cpus=0-1", "cpuset.mems=0"]),
    ] {
        assert_eq!(writes(json!({"cpu": cpu})), expected, "{cpu}");
    }
    assert_eq!(refused(json!({"cpu": {"idle": 2}})), "linux.resources.cpu.idle");
}

#[test]
fn processes() {
    for (limit, expected) in [(5, "pids.max=5"), (0, "pids.max=1"), (-1, "pids.max=max"), (-7, "pids.max=max")] {
        assert_eq!(writes(json!({"pids": {"limit": limit}})), [expected]);
    }
}

#[test]
fn block_devices() {
    let asked = json!({
        "weight": 500,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 10}, {"major": 8, "minor": 16, "leafWeight": 10}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 600}],
        "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 601}],
        "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 602}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 603}],
    });
    let writes = convert(json!({"blockIO": asked})).unwrap().writes();
    let lines: Vec<String> = writes.iter().map(|write| format!("{}={}", write.file, write.value)).collect();
    assert_eq!(
        lines,
        [
            "io.bfq.weight=500",
            "io.bfq.weight=8:0 10",
            "io.max=8:0 rbps=600",
            "io.max=8:0 wbps=601",
            "io.max=8:0 riops=602",
            "io.max=8:16 wiops=603",
        ]
    );
    assert_eq!(writes[0].otherwise, Otherwise::Use("io.weight", "4950".into()));
    assert_eq!(writes[1].otherwise, Otherwise::Use("io.weight", "8:0 1".into()));
    assert_eq!(writes[4].field, "linux.resources.blockIO.throttleReadIOPSDevice[0]");
}

#[test]
fn block_devices_that_cannot_be_meant() {
    for (io, field) in [
        (json!({"weight": 9}), "weight"),
        (json!({"weight": 1001}), "weight"),
        (json!({"weightDevice": [{"major": 1, "minor": 1, "weight": 5000}]}), "weightDevice[0].weight"),
        (json!({"weightDevice": [{"major": -1, "minor": 1, "weight": 50}]}), "weightDevice[0].major"),
        (json!({"throttleReadBpsDevice": [{"major": 1, "minor": -1, "rate": 50}]}), "throttleReadBpsDevice[0].minor"),
    ] {
        assert_eq!(refused(json!({"blockIO": io})), format!("linux.resources.blockIO.{field}"), "{io}");
    }
}

#[test]
fn huge_pages_and_their_reservation() {
    let asked = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}, {"pageSize": "1GB", "limit": -1}]});
    assert_eq!(
        writes(asked),
        ["hugetlb.2MB.max=4194304", "hugetlb.2MB.rsvd.max=4194304", "hugetlb.1GB.max=max", "hugetlb.1GB.rsvd.max=max"]
    );
    for wrong in ["", "2", "MB", "2mb", "2TB", "../2MB", "2MB.max"] {
        let asked = json!({"hugepageLimits": [{"pageSize": wrong, "limit": 1}]});
        assert_eq!(refused(asked), "linux.resources.hugepageLimits[0].pageSize", "{wrong}");
    }
}

#[test]
fn rdma_devices() {
    let asked =
        json!({"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}, "mlx4_0": {"hcaObjects": 5}, "x": {}}});
    assert_eq!(writes(asked), ["rdma.max=mlx4_0 hca_object=5", "rdma.max=mlx5_1 hca_handle=3 hca_object=10000"]);
    assert_eq!(refused(json!({"rdma": {"a b": {"hcaObjects": 1}}})), "linux.resources.rdma");
}

#[test]
fn unified_comes_last_and_line_by_line() {
    let asked = json!({"pids": {"limit": 5}, "unified": {"pids.max": "7", "io.max": "8:0 rbps=1\n8:16 rbps=2\n"}});
    assert_eq!(writes(asked), ["pids.max=5", "io.max=8:0 rbps=1", "io.max=8:16 rbps=2", "pids.max=7"]);
}

#[test]
fn unified_names_files_of_the_cgroup_alone() {
    for wrong in ["../memory.max", "/memory.max", "a/b.c", "memory", "", ".", "..", ".x", "cgroup.procs", "cgroup.kill"]
    {
        assert_eq!(refused(json!({"unified": {wrong: "1"}})), format!("linux.resources.unified[{wrong:?}]"));
    }
}
