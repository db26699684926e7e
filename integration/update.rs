//! `update`: new limits for a container that is there already.

use std::fs;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use serde_json::{Value, json};

use crate::resources::{disk_name, for_disk};
use crate::support::case::{cases, in_parallel};
use crate::support::{Call, Container, Need, Output, needs, until};
use crate::systemd_driver::{cgroup_of, property, scope_dir, scoped, systemctl, unit_of, up_in_scope};

cases![
    each_flag_is_its_limit,
    sizes_have_units,
    a_file_says_the_same,
    standard_input_says_the_same,
    nothing_on_standard_input,
    with_a_file_the_other_flags_say_nothing,
    what_is_not_named_stays,
    a_second_update_builds_on_the_first,
    memory_and_swap_go_up_and_down,
    memory_in_use_is_looked_at_first,
    block_devices_are_slower_and_faster,
    less_memory_kills_and_more_lets_live,
    fewer_processes_make_a_fork_fail,
    less_time_is_throttled,
    one_that_fails_changes_nothing,
    what_was_named_before_a_failure_is_put_back,
    devices_are_left_alone,
    a_created_or_paused_container_is_updated,
    a_stopped_container_is_not_running,
    a_missing_container_does_not_exist,
    values_that_are_none_are_refused,
    fields_that_cannot_be_meant_are_refused_by_name,
    obsolete_flags_are_taken,
    schemata_of_intel_rdt_are_refused,
    two_at_once_forget_nothing,
    a_start_that_waits_is_no_hindrance,
    in_a_scope_systemd_knows,
    in_a_scope_idle_is_no_longer_idle,
    in_a_scope_one_that_fails_changes_nothing,
    a_record_without_limits_is_updated,
];

fn update(c: &Container, words: &[&str]) -> Output {
    c.call("update").args(words).arg(c.id()).run()
}

/// With that on standard input.
fn update_with(c: &Container, resources: &Value) -> Output {
    c.call("update").args(["-r", "-"]).arg(c.id()).stdin(&resources.to_string()).run()
}

fn file_in(dir: &Path, name: &str) -> String {
    let path = dir.join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}

fn file(c: &Container, name: &str) -> String {
    file_in(&c.cgroup_dir(), name)
}

fn controllers(names: &[&'static str]) {
    for name in names {
        needs(Need::Controller(name));
    }
}

/// Limits that a cgroup has without a controller.
fn depth(levels: u32) -> Value {
    json!({"unified": {"cgroup.max.depth": levels.to_string()}})
}

const EACH_FLAG: [(&[&str], &str, &str); 17] = [
    (&["--memory", "67108864"], "memory.max", "67108864"),
    (&["--memory-reservation", "33554432"], "memory.low", "33554432"),
    (&["--memory-swap", "100663296"], "memory.swap.max", "33554432"),
    (&["--pids-limit", "17"], "pids.max", "17"),
    (&["--pids-limit=-1"], "pids.max", "max"),
    (&["--pids-limit", "0"], "pids.max", "1"),
    (&["--cpu-share", "1024"], "cpu.weight", "100"),
    (&["--cpu-quota", "50000"], "cpu.max", "50000 100000"),
    (&["--cpu-period", "200000"], "cpu.max", "50000 200000"),
    (&["--cpu-burst", "10000"], "cpu.max.burst", "10000"),
    (&["--cpu-quota", "-1"], "cpu.max", "max 200000"),
    (&["--cpu-idle", "1"], "cpu.idle", "1"),
    (&["--cpu-idle", "0"], "cpu.idle", "0"),
    (&["--cpuset-cpus", "0"], "cpuset.cpus", "0"),
    (&["--cpuset-mems", "0"], "cpuset.mems", "0"),
    (&["-memory=-1"], "memory.max", "max"),
    (&["--memory", "1g", "--memory-swap", "-1"], "memory.swap.max", "max"),
];

fn each_flag_is_its_limit() {
    controllers(&["memory", "cpu", "cpuset", "pids"]);
    needs(Need::Not("crun", "it lacks some of them"));
    let c = Container::sleeping();
    for (words, name, value) in EACH_FLAG {
        update(&c, words).quiet();
        assert_eq!(file(&c, name), value, "{words:?}");
    }
    needs(Need::Controller("io"));
    update(&c, &["--blkio-weight", "500"]).quiet();
    let (bfq, plain) = (c.cgroup_dir().join("io.bfq.weight"), c.cgroup_dir().join("io.weight"));
    let weight = if bfq.exists() { (bfq, "default 500") } else { (plain, "default 4950") };
    assert_eq!(fs::read_to_string(weight.0).expect("read").trim(), weight.1);
}

fn sizes_have_units() {
    controllers(&["memory"]);
    needs(Need::Not("crun", "it knows no units"));
    let c = Container::sleeping();
    for (size, bytes) in [("64M", 64 << 20), ("32mb", 32 << 20), ("1.5GiB", 3 << 29), ("40000k", 40_960_000)] {
        update(&c, &["--memory", size]).quiet();
        assert_eq!(file(&c, "memory.max"), bytes.to_string(), "{size}");
    }
}

fn a_file_says_the_same() {
    let c = Container::sleeping();
    let path = c.dir().join("resources.json");
    for (words, levels) in [(["--resources", "resources.json"], 3), (["-r", "./resources.json"], 4)] {
        fs::write(&path, depth(levels).to_string()).expect("write the file");
        c.call("update").cwd(c.dir()).args(words).arg(c.id()).run().quiet();
        assert_eq!(file(&c, "cgroup.max.depth"), levels.to_string());
    }
    let missing = c.dir().join("missing.json");
    update(&c, &["-r", missing.to_str().expect("text")]).fails(["no such file or directory"]);
}

fn standard_input_says_the_same() {
    let c = Container::sleeping();
    for (words, levels) in [(&["--resources", "-"][..], 3), (&["--resources=-"], 4), (&["-r", "-"], 5), (&["-r=-"], 6)]
    {
        c.call("update").args(words).arg(c.id()).stdin(&depth(levels).to_string()).run().quiet();
        assert_eq!(file(&c, "cgroup.max.depth"), levels.to_string());
    }
}

fn nothing_on_standard_input() {
    needs(Need::Not("crun", "its text is another"));
    let c = Container::sleeping();
    assert_eq!(update(&c, &["-r", "-"]).exits(1).message(), "EOF");
    for text in ["{", "no", "[]", "{} {}"] {
        c.call("update").args(["-r", "-"]).arg(c.id()).stdin(text).run().fails(["standard input: "]);
    }
}

fn with_a_file_the_other_flags_say_nothing() {
    needs(Need::Not("crun", "it takes them all"));
    let c = Container::sleeping();
    let call = c.call("update").args(["--pids-limit", "5", "--cpu-quota", "7", "-r", "-", c.id()]);
    call.stdin(&depth(7).to_string()).run().quiet();
    assert_eq!(file(&c, "cgroup.max.depth"), "7");
    if let Ok(limit) = fs::read_to_string(c.cgroup_dir().join("pids.max")) {
        assert_eq!(limit.trim(), "max");
    }
}

fn what_is_not_named_stays() {
    controllers(&["memory", "cpu", "cpuset", "pids"]);
    needs(Need::Not("crun", "it writes a period's default beside a quota"));
    let c = Container::new().args(["sleep"]).edit(|config| {
        config["linux"]["resources"] = json!({
            "memory": {"limit": 64 << 20, "swap": 80 << 20, "reservation": 32 << 20},
            "cpu": {"shares": 2048, "quota": 50_000, "period": 200_000, "cpus": "0"},
            "pids": {"limit": 17},
        });
    });
    let c = c.up();
    update(&c, &["--cpu-quota", "60000"]).quiet();
    for (name, value) in [
        ("cpu.max", "60000 200000"),
        ("cpuset.cpus", "0"),
        ("memory.max", "67108864"),
        ("memory.swap.max", "16777216"),
        ("memory.low", "33554432"),
        ("pids.max", "17"),
    ] {
        assert_eq!(file(&c, name), value, "{name}");
    }
    // What somebody else has set meanwhile stays as well.
    fs::write(c.cgroup_dir().join("pids.max"), "23").expect("write");
    update(&c, &["--cpu-quota", "70000"]).quiet();
    assert_eq!(file(&c, "pids.max"), "23");
}

fn a_second_update_builds_on_the_first() {
    controllers(&["memory", "cpu"]);
    needs(Need::Not("crun", "it forgets the first"));
    let c = Container::sleeping();
    update(&c, &["--memory", "64M", "--cpu-period", "50000"]).quiet();
    update(&c, &["--memory-swap", "96M", "--cpu-quota", "10000"]).quiet();
    assert_eq!((file(&c, "memory.max"), file(&c, "memory.swap.max")), ((64 << 20).to_string(), (32 << 20).to_string()));
    assert_eq!(file(&c, "cpu.max"), "10000 50000");
    let error = update(&c, &["--memory", "128M"]).exits(1).message();
    assert!(error.starts_with("linux.resources.memory.swap: ") && error.contains("name both"), "{error}");
    assert_eq!(file(&c, "memory.max"), (64 << 20).to_string());
}

fn memory_and_swap_go_up_and_down() {
    controllers(&["memory"]);
    needs(Need::Not("crun", "it may fail in one direction"));
    let c = Container::new().args(["sleep"]);
    let c = c.set("/linux/resources/memory", json!({"limit": 32 << 20, "swap": 48 << 20})).up();
    for (memory, both) in [(64, 256), (16, 17), (128, 129), (16, 512), (512, 512)] {
        let (memory, both) = (memory << 20, both << 20);
        update(&c, &["--memory", &memory.to_string(), "--memory-swap", &both.to_string()]).quiet();
        assert_eq!(
            (file(&c, "memory.max"), file(&c, "memory.swap.max")),
            (memory.to_string(), (both - memory).to_string())
        );
    }
    update(&c, &["--memory=-1"]).quiet();
    assert_eq!((file(&c, "memory.max").as_str(), file(&c, "memory.swap.max").as_str()), ("max", "max"));
}

fn memory_in_use_is_looked_at_first() {
    controllers(&["memory"]);
    needs(Need::Orlop("the field before the text"));
    let c = Container::new().args(["sequence", "hold", "24", "--", "sleep"]);
    let c =
        c.set("/linux/resources/memory", json!({"limit": 64 << 20, "swap": 64 << 20, "checkBeforeUpdate": true})).up();
    let limit = 8 << 20;
    let error = update(&c, &["--memory", "8M", "--memory-swap", "8M"]).exits(1).message();
    assert!(error.contains(&format!("rejecting memory+swap limit {limit} <= usage ")), "{error}");
    let error = update_with(&c, &json!({"memory": {"limit": limit, "swap": -1}})).exits(1).message();
    assert!(
        error.starts_with(&format!("linux.resources.memory.limit: rejecting memory limit {limit} <= usage ")),
        "{error}"
    );
    assert_eq!(file(&c, "memory.max"), (64 << 20).to_string());
    update(&c, &["--memory", "48M", "--memory-swap", "48M"]).quiet();
    assert_eq!(file(&c, "memory.max"), (48 << 20).to_string());
    assert_eq!(c.status(), "running");
}

fn block_devices_are_slower_and_faster() {
    controllers(&["io"]);
    needs(Need::Not("crun", "it takes no devices in an update"));
    let out = |c: &Container| {
        let written = c.call("exec").args([c.id(), "/probe", "write-out", "/out/file", "3"]).run().ok().stdout;
        written.trim().parse::<u64>().expect("milliseconds")
    };
    let c = Container::new().args(["sleep"]);
    let dir = c.dir().join("out");
    fs::create_dir(&dir).expect("make a directory");
    let c = c.bind(&dir, "/out", []).up();
    update_with(&c, &json!({"blockIO": {"throttleWriteBpsDevice": for_disk("rate", 1 << 20)}})).quiet();
    update_with(&c, &json!({"blockIO": {"throttleReadIOPSDevice": for_disk("rate", 900)}})).quiet();
    assert_eq!(file(&c, "io.max"), format!("{} rbps=max wbps={} riops=900 wiops=max", disk_name(), 1 << 20));
    let slow = out(&c);
    assert!(slow > 1500, "3 MiB at 1 MiB a second took {slow} ms");
    update_with(&c, &json!({"blockIO": {"throttleWriteBpsDevice": for_disk("rate", 1 << 30)}})).quiet();
    let fast = out(&c);
    assert!(fast < slow / 2, "{fast} ms without a limit, {slow} ms with one");
}

fn less_memory_kills_and_more_lets_live() {
    controllers(&["memory"]);
    let c = Container::sleeping();
    let eat = || c.call("exec").args([c.id(), "/probe", "eat", "48"]).run();
    eat().ok();
    update(&c, &["--memory", "16777216", "--memory-swap", "16777216"]).quiet();
    eat().exits(137);
    update(&c, &["--memory", "134217728", "--memory-swap", "134217728"]).quiet();
    eat().ok();
    assert_eq!(c.status(), "running");
}

fn fewer_processes_make_a_fork_fail() {
    controllers(&["pids"]);
    let c = Container::sleeping();
    let fork_three = || c.call("exec").args([c.id(), "/probe", "spawn", "3"]).run();
    update(&c, &["--pids-limit", "3"]).quiet();
    let refused = fork_three().exits(125);
    assert!(refused.stderr.contains("EAGAIN"), "{}", refused.stderr);
    update(&c, &["--pids-limit", "30"]).quiet();
    fork_three().ok();
}

fn less_time_is_throttled() {
    controllers(&["cpu"]);
    let c = Container::sleeping();
    let throttled = || {
        c.call("exec").args([c.id(), "/probe", "spin", "500"]).run().ok();
        let stat = file(&c, "cpu.stat");
        let line = stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")).expect("the counter");
        line.parse::<u32>().expect("a number")
    };
    assert_eq!(throttled(), 0);
    update(&c, &["--cpu-quota", "10000", "--cpu-period", "100000"]).quiet();
    let after = throttled();
    assert!(after > 0);
    update(&c, &["--cpu-quota", "-1"]).quiet();
    assert_eq!(throttled(), after);
}

fn one_that_fails_changes_nothing() {
    needs(Need::Not("crun", "it stops half-way"));
    needs(Need::Not("runc", "it stops half-way"));
    let c = Container::sleeping();
    update_with(&c, &depth(5)).quiet();
    // The first one is fine.
    let asked = json!({"unified": {"cgroup.max.depth": "7", "cgroup.max.descendants": "many"}});
    update_with(&c, &asked).fails(["linux.resources.unified[\"cgroup.max.descendants\"]: "]);
    assert_eq!((file(&c, "cgroup.max.depth").as_str(), file(&c, "cgroup.max.descendants").as_str()), ("5", "max"));
}

fn what_was_named_before_a_failure_is_put_back() {
    controllers(&["memory", "cpu", "cpuset", "pids", "hugetlb", "io"]);
    needs(Need::Orlop("it puts back what was not set by it, too"));
    let c = Container::new().args(["sleep"]);
    let c = c.set("/linux/resources/memory", json!({"limit": 64 << 20, "swap": 80 << 20})).up();
    let names = [
        "memory.max",
        "memory.swap.max",
        "memory.low",
        "cpu.weight",
        "cpu.max",
        "cpu.max.burst",
        "cpuset.cpus.effective",
        "pids.max",
        "hugetlb.2MB.max",
        "io.max",
    ];
    let all = || names.map(|name| file(&c, name));
    let before = all();
    let wrong = json!({
        "memory": {"limit": 32 << 20, "swap": 33 << 20, "reservation": 1 << 20},
        "cpu": {"shares": 77, "quota": 50_000, "period": 200_000, "burst": 10_000, "cpus": "0"},
        "pids": {"limit": 3},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 2 << 20}],
        "blockIO": {"throttleReadBpsDevice": for_disk("rate", 1_000_000)},
        "unified": {"memory.high": "much"},
    });
    update_with(&c, &wrong).fails(["linux.resources.unified[\"memory.high\"]: "]);
    assert_eq!(all(), before);
    // Nor is it remembered.
    update(&c, &["--cpu-quota", "7000"]).quiet();
    assert_eq!(file(&c, "cpu.max"), "7000 100000");
}

fn devices_are_left_alone() {
    let c = Container::new().args(["sleep"]);
    // The kernel's log, which no rule allows.
    mknodat(CWD, c.rootfs().join("log"), FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(1, 11))
        .expect("make a device");
    let c = c.up();
    let open = || c.call("exec").args([c.id(), "/probe", "try-open-read", "/log"]).run().ok().stdout;
    assert_eq!(open().trim(), "EPERM");
    let mut asked = depth(3);
    asked["devices"] = json!([{"allow": true, "access": "rwm"}]);
    update_with(&c, &asked).quiet();
    assert_eq!((file(&c, "cgroup.max.depth").as_str(), open().trim()), ("3", "EPERM"));
}

fn a_created_or_paused_container_is_updated() {
    let c = Container::new().args(["sleep"]);
    c.create().ok();
    update_with(&c, &depth(3)).quiet();
    c.start().ok();
    c.wait_for("ready");
    c.call("pause").arg(c.id()).run().quiet();
    update_with(&c, &depth(4)).quiet();
    assert_eq!((file(&c, "cgroup.max.depth").as_str(), c.status().as_str()), ("4", "paused"));
}

fn a_stopped_container_is_not_running() {
    needs(Need::Not("crun", "its text is another"));
    let c = Container::new().args(["exit", "0"]);
    c.create().ok();
    c.start().ok();
    c.wait_dead();
    for words in [&["--pids-limit", "5"][..], &[]] {
        assert_eq!(update(&c, words).exits(1).message(), "container not running");
    }
}

fn a_missing_container_does_not_exist() {
    needs(Need::Not("crun", "its text is another"));
    let c = Container::new();
    update(&c, &["--pids-limit", "5"]).fails(["container does not exist"]);
}

fn values_that_are_none_are_refused() {
    needs(Need::Orlop("the end of the text"));
    let c = Container::sleeping();
    for (flag, value, text) in [
        ("--memory", "much", "invalid value for memory: invalid size: 'much'"),
        ("--memory-swap", "5x", "invalid value for memory-swap: invalid suffix: 'x'"),
        ("--memory-reservation", "-5", "invalid value for memory-reservation: invalid size: '-5'"),
        ("--cpu-share", "-5", "invalid value for cpu-share: parsing \"-5\": invalid digit found in string"),
        ("--cpu-quota", "1.5", "invalid value for cpu-quota: parsing \"1.5\": invalid digit found in string"),
        ("--cpu-idle", "yes", "invalid value for cpu-idle: parsing \"yes\": invalid digit found in string"),
    ] {
        let error = update(&c, &[flag, value]).exits(1).message();
        assert_eq!(error, text, "{flag} {value}");
    }
    for (flag, value) in [("--pids-limit", "many"), ("--blkio-weight", "x")] {
        let text = format!("invalid value \"{value}\" for flag -{}: parse error", flag.trim_start_matches('-'));
        let refused = update(&c, &[flag, value]).exits(1);
        assert!(refused.stderr.contains(&text), "{}", refused.stderr);
    }
}

fn fields_that_cannot_be_meant_are_refused_by_name() {
    needs(Need::Orlop("the error names the field"));
    let c = Container::sleeping();
    for (words, field) in [
        (&["--blkio-weight", "5"], "blockIO.weight"),
        (&["--blkio-weight", "70000"], "blockIO.weight"),
        (&["--cpu-idle", "2"], "cpu.idle"),
        (&["--memory-swap", "5M"], "memory.swap"),
    ] {
        update(&c, words).fails([format!("linux.resources.{field}: ").as_str()]);
    }
    for (asked, field) in [
        (json!({"memory": {"limit": "5"}}), "memory.limit"),
        (json!({"pids": {"limit": -1.5}}), "pids.limit"),
        (json!({"unified": {"../x.y": "1"}}), "unified[\"../x.y\"]"),
    ] {
        update_with(&c, &asked).fails([format!("linux.resources.{field}: ").as_str()]);
    }
}

fn obsolete_flags_are_taken() {
    let c = Container::sleeping();
    update(&c, &["--kernel-memory", "5M", "--kernel-memory-tcp", "5M"]).quiet();
    update(&c, &["--cpu-rt-period", "0", "--cpu-rt-runtime", "0"]).quiet();
}

fn schemata_of_intel_rdt_are_refused() {
    needs(Need::Orlop("others may have them"));
    let c = Container::sleeping();
    let text = "updating a non-existent Intel RDT configuration is not supported";
    let is_there = Path::new("/sys/fs/resctrl/schemata").exists();
    for (flag, schema, absent) in [
        ("--l3-cache-schema", "L3:0=1", "Intel RDT/CAT: l3 cache schema is not enabled"),
        ("--mem-bw-schema", "MB:0=20", "Intel RDT/MBA: memory bandwidth schema is not enabled"),
    ] {
        assert_eq!(update(&c, &[flag, schema]).exits(1).message(), if is_there { text } else { absent });
    }
    update(&c, &["--mem-bw-schema", "L3:0=1"]).fails(["linux.intelRdt.memBwSchema: "]);
}

fn two_at_once_forget_nothing() {
    controllers(&["cpu"]);
    needs(Need::Not("runc", "it takes no lock"));
    needs(Need::Not("crun", "it remembers nothing"));
    for round in 1..=10 {
        let c = Container::sleeping();
        let (quota, period) = ((7000 + round).to_string(), (50_000 + round).to_string());
        in_parallel(2, 2, |which| {
            let words = if which == 0 { ["--cpu-quota", &quota] } else { ["--cpu-period", &period] };
            update(&c, &words).quiet();
        });
        assert_eq!(file(&c, "cpu.max"), format!("{quota} {period}"));
    }
}

fn a_start_that_waits_is_no_hindrance() {
    needs(Need::Orlop("start waits for readiness"));
    let c = Container::new().args(["sleep"]);
    let path = c.dir().join("notify");
    let _socket = std::os::unix::net::UnixDatagram::bind(&path).expect("bind a socket");
    let create = c.create_call([""; 0]).env("NOTIFY_SOCKET", &path);
    create.run().ok();
    let start = c.call("start").arg(c.id()).env("NOTIFY_SOCKET", &path).spawn();
    until("the container to run", || (c.status() == "running").then_some(()));
    update_with(&c, &depth(3)).quiet();
    assert_eq!(file(&c, "cgroup.max.depth"), "3");
    assert!(start.is_alive(), "it waits for the program to be ready");
    c.delete_by_force().quiet();
    drop(start.wait());
}

fn in_a_scope_systemd_knows() {
    controllers(&["memory", "cpu", "cpuset", "pids", "io"]);
    let c = up_in_scope(scoped().args(["sleep"]));
    assert_eq!(cgroup_of(c.pid()), format!("/system.slice/{}", unit_of(&c)));
    // No flag says which driver it is.
    update(
        &c,
        &["--memory", "64M", "--memory-swap", "96M", "--pids-limit", "77", "--cpu-share", "512", "--cpuset-cpus", "0"],
    )
    .quiet();
    update(
        &c,
        &["--cpu-quota", "20000", "--cpu-period", "50000", "--memory-reservation", "32M", "--blkio-weight", "100"],
    )
    .quiet();
    let read_back = |when: &str| {
        for (name, value) in [
            ("memory.max", "67108864"),
            ("memory.swap.max", "33554432"),
            ("memory.low", "33554432"),
            ("cpu.max", "20000 50000"),
            ("cpuset.cpus", "0"),
            ("pids.max", "77"),
        ] {
            assert_eq!(file_in(&scope_dir(&c), name), value, "{name} {when}");
        }
    };
    read_back("at once");
    for (name, value) in [
        ("MemoryMax", "67108864"),
        ("MemorySwapMax", "33554432"),
        ("MemoryLow", "33554432"),
        ("CPUWeight", "59"),
        ("CPUQuotaPerSecUSec", "400ms"),
        ("AllowedCPUs", "0"),
        ("TasksMax", "77"),
        ("IOWeight", "910"),
    ] {
        assert_eq!(property(&c, &unit_of(&c), name), value, "{name}");
    }
    read_back("after a while");
    systemctl(&c, &["daemon-reload"]);
    read_back("after a reload");
    update(&c, &["--memory", "-1", "--pids-limit", "-1", "--cpu-quota", "-1"]).quiet();
    for (name, value) in [("memory.max", "max"), ("pids.max", "max"), ("cpu.max", "max 50000")] {
        assert_eq!(file_in(&scope_dir(&c), name), value, "{name}");
    }
    assert_eq!(property(&c, &unit_of(&c), "TasksMax"), "infinity");
}

fn in_a_scope_idle_is_no_longer_idle() {
    controllers(&["cpu"]);
    let c = up_in_scope(scoped().args(["sleep"]));
    for (idle, value) in [("1", "1"), ("0", "0")] {
        update(&c, &["--cpu-idle", idle]).quiet();
        systemctl(&c, &["daemon-reload"]);
        assert_eq!(file_in(&scope_dir(&c), "cpu.idle"), value);
    }
}

fn in_a_scope_one_that_fails_changes_nothing() {
    controllers(&["memory", "pids"]);
    let c = up_in_scope(scoped().args(["sleep"]).set("/linux/resources/pids", json!({"limit": 50})));
    let wrong = json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 60}, "unified": {"cgroup.max.depth": "deep"}});
    update_with(&c, &wrong).fails(["linux.resources.unified[\"cgroup.max.depth\"]: "]);
    assert_eq!(
        (file_in(&scope_dir(&c), "memory.max").as_str(), file_in(&scope_dir(&c), "pids.max").as_str()),
        ("max", "50")
    );
    assert_eq!(
        (property(&c, &unit_of(&c), "MemoryMax").as_str(), property(&c, &unit_of(&c), "TasksMax").as_str()),
        ("infinity", "50")
    );
    // systemd can't be asked: nothing of it stays.
    let call = c.call("update").args(["--pids-limit", "60"]).arg(c.id());
    let record = c.state_root().join(c.id()).join("state.json");
    let text = fs::read_to_string(&record).expect("the record");
    fs::write(&record, text.replace("/run/dbus/system_bus_socket", "/run/dbus/nowhere")).expect("change the record");
    call.run().fails(["systemd's bus at unix:path=/run/dbus/nowhere"]);
    assert_eq!(file_in(&scope_dir(&c), "pids.max"), "50");
    fs::write(&record, text).expect("change it back");
}

/// As a container has it that was created before there was `update`.
fn a_record_without_limits_is_updated() {
    needs(Need::Orlop("its state directory"));
    let c = Container::sleeping();
    let path = c.state_root().join(c.id()).join("state.json");
    let mut record: Value = serde_json::from_str(&fs::read_to_string(&path).expect("the record")).expect("JSON");
    record.as_object_mut().expect("an object").remove("resources").expect("it has limits");
    fs::write(&path, record.to_string()).expect("write the record");
    update_with(&c, &depth(3)).quiet();
    assert_eq!(file(&c, "cgroup.max.depth"), "3");
    let _help = Call::runtime(c.dir()).args(["update", "--help"]).run().quiet();
}
