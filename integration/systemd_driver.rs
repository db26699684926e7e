//! `--systemd-cgroup`: systemd makes the container's cgroup, a scope, and ends it.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use serde_json::json;

use crate::resources::for_disk;
use crate::rootless::bundle_of;
use crate::support::case::{cases, in_parallel};
use crate::support::wait::rounds;
use crate::support::{Call, Container, Exit, Lane, Need, Output, needs, until};

cases![
    without_systemd_the_error_says_so,
    a_bus_that_hangs_up_is_an_error,
    a_path_of_the_other_driver_is_refused,
    annotations_are_refused_by_name,
    a_run_without_it_asks_systemd_nothing,
    the_scope_has_its_properties,
    the_slice_is_the_configs,
    without_a_path_it_is_named_after_the_id,
    the_container_is_in_its_scope,
    annotations_become_properties,
    limits_are_properties_and_outlive_a_reload,
    limits_hold_in_a_scope,
    a_throttled_device_is_slower_in_a_scope,
    the_killing_of_an_init_in_a_scope_is_told,
    one_question_and_no_thread,
    delete_ends_the_scope_and_needs_no_flag,
    a_run_leaves_no_unit,
    a_scope_that_ended_by_itself_is_forgotten,
    a_failed_creation_leaves_no_unit,
    a_failed_unit_gives_way,
    a_unit_in_use_is_refused,
    an_exec_is_in_the_scope,
    pause_stops_all_of_it,
    cgroups_of_the_containers_own_go_with_it,
    device_rules_outlive_a_reload,
    a_user_namespace_changes_nothing,
    many_creations_and_deletions_sixteen_at_a_time,
    a_user_has_a_scope_of_its_own,
    a_subgroup_of_the_scope_is_the_containers,
    an_empty_subgroup_is_none,
    a_delegated_cgroup_is_below_the_subgroup,
    a_subgroup_ends_with_a_failed_creation,
];

/// A container that leaves its cgroup to systemd.
pub(crate) fn scoped() -> Container {
    needs(Need::Systemd);
    needs(Need::Orlop("the unit's name, and what the other runtimes leave behind"));
    let c = Container::new();
    let path = format!(":test:{}", c.id());
    c.set("/linux/cgroupsPath", path)
}

pub(crate) fn unit_of(c: &Container) -> String {
    format!("test-{}.scope", c.id())
}

/// A command with the flag.
fn driven(c: &Container, command: &str) -> Call {
    let call = c.prepare(Call::runtime(c.dir())).arg("--systemd-cgroup").arg(command);
    call.arg("--bundle").arg(c.bundle()).arg("--pid-file").arg(c.dir().join("pid"))
}

fn create(c: &Container) -> Output {
    driven(c, "create").arg(c.id()).run()
}

fn run(c: &Container) -> Output {
    driven(c, "run").arg(c.id()).run()
}

/// Created with the flag, started without it, as engines do.
pub(crate) fn up_in_scope(c: Container) -> Container {
    create(&c).ok();
    c.start().ok();
    c
}

pub(crate) fn systemctl(c: &Container, words: &[&str]) -> String {
    Call::new(c.dir(), "systemctl").args(words).run().ok().stdout.trim_end().to_owned()
}

pub(crate) fn property(c: &Container, unit: &str, name: &str) -> String {
    systemctl(c, &["show", "--value", "--property", name, unit])
}

/// systemd knows nothing of it, and its cgroup is gone.
fn is_forgotten(c: &Container) {
    let unit = unit_of(c);
    assert_eq!(property(c, &unit, "LoadState"), "not-found", "{unit}");
    assert_eq!(systemctl(c, &["list-units", "--failed", "--plain", "--no-legend", &unit]), "");
    assert!(!cgroup_dir(&format!("/system.slice/{unit}")).exists());
    c.nothing_left();
}

pub(crate) fn cgroup_of(pid: i32) -> String {
    let table = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("read a cgroup");
    table.lines().find_map(|line| line.strip_prefix("0::")).expect("a line of cgroup v2").to_owned()
}

pub(crate) fn scope_dir(c: &Container) -> std::path::PathBuf {
    cgroup_dir(&format!("/system.slice/{}", unit_of(c)))
}

fn cgroup_dir(path: &str) -> std::path::PathBuf {
    Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'))
}

fn without_systemd_the_error_says_so() {
    needs(Need::Orlop("the text"));
    let c = Container::new().unset("/linux/cgroupsPath");
    let nowhere = format!("unix:path={}/nowhere", c.dir().display());
    driven(&c, "create").arg(c.id()).env("DBUS_SYSTEM_BUS_ADDRESS", &nowhere).run().fails([
        &format!("--systemd-cgroup: start orlop-{}.scope: systemd's bus at {nowhere}", c.id()),
        "connect: no such file or directory",
    ]);
    c.nothing_left();
}

fn a_bus_that_hangs_up_is_an_error() {
    needs(Need::Orlop("the text"));
    let c = Container::new().unset("/linux/cgroupsPath");
    let path = c.dir().join("bus");
    let bus = UnixListener::bind(&path).expect("bind a socket");
    let hang_up = std::thread::spawn(move || drop(bus.accept().expect("accept a connection")));
    let address = format!("unix:path={}", path.display());
    let create = driven(&c, "create").arg(c.id()).env("DBUS_SYSTEM_BUS_ADDRESS", &address).run();
    create.fails(["--systemd-cgroup: ", &address]);
    hang_up.join().expect("it doesn't panic");
    c.nothing_left();
}

fn a_path_of_the_other_driver_is_refused() {
    needs(Need::Orlop("the text"));
    let c = Container::new();
    create(&c).fails(["linux.cgroupsPath: expected cgroupsPath to be of format \"slice:prefix:name\""]);
    let c = c.set("/linux/cgroupsPath", "system:test:x");
    create(&c).fails(["linux.cgroupsPath: invalid slice name: system"]);
    c.nothing_left();
}

fn annotations_are_refused_by_name() {
    needs(Need::Orlop("the list of what may be set"));
    for (name, value) in [("PIDs", "[uint32 1]"), ("Wants", "['x.service']"), ("MemoryMax", "'much'")] {
        let annotation = format!("org.systemd.property.{name}");
        let c = Container::new().unset("/linux/cgroupsPath");
        let c = c.edit(|config| config["annotations"] = json!({&annotation: value}));
        create(&c).fails([format!("annotations[\"{annotation}\"]: ").as_str()]);
        c.nothing_left();
    }
}

/// What strace saw of a creation: connections, messages and births, the child's own apart.
fn traced(c: &Container, options: &[&str]) -> String {
    needs(Need::Program("strace"));
    let trace = c.dir().join("trace");
    let strace = Call::new(c.dir(), "strace").args(["-e", "trace=connect,sendmsg,clone,clone3,epoll_create1", "-o"]);
    let call = strace.arg(&trace).arg(Lane::get().runtime()).arg("--root").arg(c.state_root()).args(options);
    c.write_config();
    call.arg("create")
        .arg("--bundle")
        .arg(c.bundle())
        .arg("--pid-file")
        .arg(c.dir().join("pid"))
        .arg(c.id())
        .run()
        .ok();
    fs::read_to_string(trace).expect("read the trace")
}

fn a_run_without_it_asks_systemd_nothing() {
    needs(Need::Orlop("what it does beside"));
    let c = Container::new().args(["sleep"]);
    let trace = traced(&c, &[]);
    for call in ["epoll_create1(", "system_bus_socket", "AUTH EXTERNAL"] {
        assert!(!trace.contains(call), "{trace}");
    }
}

fn one_question_and_no_thread() {
    let c = scoped().args(["sleep"]);
    let trace = traced(&c, &["--systemd-cgroup"]);
    let connect = trace.lines().find(|line| line.contains("/run/dbus/system_bus_socket")).expect("it connects");
    let descriptor = connect.split(['(', ',']).nth(1).expect("a descriptor");
    // The greeting, the word on which jobs to tell of, and the one question.
    let sent = trace.lines().filter(|line| line.contains(&format!("sendmsg({descriptor},"))).count();
    assert_eq!(sent, 3, "{trace}");
    assert_eq!(trace.lines().filter(|line| line.contains("clone")).count(), 1, "{trace}");
}

fn the_scope_has_its_properties() {
    let c = scoped().args(["sleep"]);
    create(&c).ok();
    for (name, value) in [
        ("ActiveState", "active"),
        ("Slice", "system.slice"),
        ("Delegate", "yes"),
        ("MemoryAccounting", "yes"),
        ("TasksAccounting", "yes"),
        ("CPUAccounting", "yes"),
        ("IOAccounting", "yes"),
        ("DefaultDependencies", "no"),
        ("CollectMode", "inactive-or-failed"),
        ("DevicePolicy", "strict"),
        ("Transient", "yes"),
        ("Description", &format!("OCI container {}", c.id())),
    ] {
        assert_eq!(property(&c, &unit_of(&c), name), value, "{name}");
    }
    let devices = property(&c, &unit_of(&c), "DeviceAllow");
    assert!(devices.contains("/dev/char/1:3 rwm") && devices.contains("char-136 rwm"), "{devices}");
}

fn the_slice_is_the_configs() {
    let c = scoped().args(["sleep"]);
    let slice = format!("orloptest{}", std::process::id());
    let c = c.set("/linux/cgroupsPath", format!("{slice}-inner.slice:test:it"));
    let c = up_in_scope(c);
    let path = format!("/{slice}.slice/{slice}-inner.slice/test-it.scope");
    assert_eq!(cgroup_of(c.pid()), path);
    assert_eq!(property(&c, "test-it.scope", "ControlGroup"), path);
    c.delete_by_force().quiet();
    assert!(!cgroup_dir(&path).exists());
    systemctl(&c, &["stop", &format!("{slice}.slice")]);
}

fn without_a_path_it_is_named_after_the_id() {
    let c = scoped().unset("/linux/cgroupsPath").args(["sleep"]);
    create(&c).ok();
    assert_eq!(cgroup_of(c.pid()), format!("/system.slice/orlop-{}.scope", c.id()));
}

fn the_container_is_in_its_scope() {
    let c = scoped();
    let report = run(&c).quiet().report();
    // The cgroup namespace begins at the scope.
    assert!(report["cgroup"].as_str().is_some_and(|text| text.ends_with("0::/\n")), "{}", report["cgroup"]);
    let c = scoped().args(["sleep"]);
    create(&c).ok();
    assert_eq!(cgroup_of(c.pid()), format!("/system.slice/{}", unit_of(&c)));
    // And so does the cgroup mount: its uppermost directory is not the machine's.
    let c = scoped().args(["cat", "/sys/fs/cgroup/cgroup.type"]);
    assert_eq!(run(&c).quiet().stdout.trim_end(), "domain");
}

fn annotations_become_properties() {
    let c = scoped().args(["sleep"]).edit(|config| {
        config["annotations"] = json!({
            "org.systemd.property.TimeoutStopSec": "7",
            "org.systemd.property.KillSignal": "15",
            "org.systemd.property.MemoryHigh": "uint64 123456789",
            "org.systemd.property.After": "['sysinit.target']",
        });
    });
    create(&c).ok();
    for (name, value) in [("TimeoutStopUSec", "7s"), ("KillSignal", "15"), ("MemoryHigh", "123456789")] {
        assert_eq!(property(&c, &unit_of(&c), name), value, "{name}");
    }
    assert!(property(&c, &unit_of(&c), "After").split(' ').any(|unit| unit == "sysinit.target"));
}

fn limits_are_properties_and_outlive_a_reload() {
    for controller in ["memory", "cpu", "cpuset", "pids", "io"] {
        needs(Need::Controller(controller));
    }
    let c = scoped().args(["sleep"]).edit(|config| {
        config["linux"]["resources"] = json!({
            "memory": {"limit": 67_108_864, "swap": 100_663_296, "reservation": 33_554_432},
            "cpu": {"shares": 512, "quota": 12_345, "period": 50_000, "cpus": "0"},
            "pids": {"limit": 77},
            "blockIO": {"weight": 100},
            "unified": {"memory.high": "50331648"},
        });
    });
    create(&c).ok();
    // systemd keeps a quota in hundredths of a CPU, and that is what a reload makes of it.
    assert_eq!(fs::read_to_string(scope_dir(&c).join("cpu.max")).expect("the quota").trim(), "12345 50000");
    let files = [
        ("memory.max", "67108864"),
        ("memory.swap.max", "33554432"),
        ("memory.low", "33554432"),
        ("memory.high", "50331648"),
        ("cpuset.cpus", "0"),
        ("pids.max", "77"),
    ];
    let read_back = || {
        for (file, value) in files {
            let text = fs::read_to_string(scope_dir(&c).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!(text.trim(), value, "{file}");
        }
    };
    read_back();
    for (name, value) in [
        ("MemoryMax", "67108864"),
        ("MemorySwapMax", "33554432"),
        ("MemoryLow", "33554432"),
        ("MemoryHigh", "50331648"),
        ("CPUWeight", "59"),
        ("CPUQuotaPerSecUSec", "250ms"),
        ("AllowedCPUs", "0"),
        ("TasksMax", "77"),
        ("IOWeight", "910"),
    ] {
        assert_eq!(property(&c, &unit_of(&c), name), value, "{name}");
    }
    systemctl(&c, &["daemon-reload"]);
    read_back();
}

fn limits_hold_in_a_scope() {
    for controller in ["memory", "cpu", "pids"] {
        needs(Need::Controller(controller));
    }
    let limited = |words: &[&str], resource: &str, limit: serde_json::Value| {
        scoped().args(words.iter().copied()).set(&format!("/linux/resources/{resource}"), limit)
    };
    let memory = serde_json::json!({"limit": 32 << 20, "swap": 32 << 20});
    run(&limited(&["eat", "8"], "memory", memory.clone())).ok();
    run(&limited(&["eat", "64"], "memory", memory)).exits(137);
    let small = serde_json::json!({"limit": 512 << 10, "swap": 512 << 10});
    run(&limited(&["exit", "0"], "memory", small)).ok();
    let fork = limited(&["try-exec", "/probe", "exit", "0"], "pids", serde_json::json!({"limit": 1}));
    assert_eq!(run(&fork).ok().stdout.trim(), "EAGAIN");
    let cpu = serde_json::json!({"quota": 10_000, "period": 100_000});
    let c = up_in_scope(limited(&["sequence", "spin", "600", "--", "sleep"], "cpu", cpu));
    until("its periods to be over", || {
        let stat = fs::read_to_string(scope_dir(&c).join("cpu.stat")).expect("the counters");
        stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")).filter(|count| *count != "0").map(drop)
    });
}

fn a_throttled_device_is_slower_in_a_scope() {
    needs(Need::Controller("io"));
    let c = scoped().args(["write-out", "/out/file", "3"]);
    let out = c.dir().join("out");
    fs::create_dir(&out).expect("make a directory");
    let throttles = serde_json::json!({"throttleWriteBpsDevice": for_disk("rate", 1 << 20)});
    let c = c.bind(&out, "/out", []).set("/linux/resources/blockIO", throttles);
    let took: u64 = run(&c).ok().stdout.trim().parse().expect("milliseconds");
    assert!(took > 1500, "3 MiB at 1 MiB a second took {took} ms");
}

fn the_killing_of_an_init_in_a_scope_is_told() {
    needs(Need::Controller("memory"));
    let c = scoped().set("/linux/resources/memory", serde_json::json!({"limit": 4096, "swap": 4096}));
    let message = run(&c).exits(1).message();
    assert!(message.contains("linux.resources.memory.limit"), "{message}");
    is_forgotten(&c);
}

fn delete_ends_the_scope_and_needs_no_flag() {
    let c = up_in_scope(scoped().args(["sleep"]));
    c.kill("KILL").ok();
    assert_eq!(c.wait_exit(), Exit::Signal(9));
    c.delete().quiet();
    is_forgotten(&c);
    let c = up_in_scope(scoped().args(["ignore-term"]));
    c.delete_by_force().quiet();
    is_forgotten(&c);
    let c = scoped().args(["sleep"]);
    create(&c).ok();
    c.delete().quiet();
    is_forgotten(&c);
}

fn a_run_leaves_no_unit() {
    let c = scoped().args(["exit", "3"]);
    run(&c).exits(3);
    is_forgotten(&c);
}

fn a_scope_that_ended_by_itself_is_forgotten() {
    let c = scoped().args(["exit", "0"]);
    create(&c).ok();
    c.start().ok();
    c.wait_exit();
    until("systemd to forget the scope", || (property(&c, &unit_of(&c), "LoadState") == "not-found").then_some(()));
    assert_eq!(c.status(), "stopped");
    c.delete().quiet();
    is_forgotten(&c);
}

fn a_failed_creation_leaves_no_unit() {
    let c = scoped().set("/process/args", json!(["/missing"]));
    create(&c).fails(["no such file or directory"]);
    is_forgotten(&c);
}

fn a_failed_unit_gives_way() {
    let c = scoped().args(["sleep"]);
    let scope =
        Call::new(c.dir(), "systemd-run").args(["--scope", "--quiet", "--property", "RuntimeMaxSec=100ms", "--unit"]);
    let _killed = scope.arg(unit_of(&c)).args(["sleep", "60"]).run();
    until("the unit to fail", || (property(&c, &unit_of(&c), "ActiveState") == "failed").then_some(()));
    create(&c).ok();
    assert_eq!(property(&c, &unit_of(&c), "ActiveState"), "active");
    c.delete_by_force().quiet();
    is_forgotten(&c);
}

fn a_unit_in_use_is_refused() {
    let first = scoped().args(["sleep"]);
    let second = scoped().args(["sleep"]).set("/linux/cgroupsPath", format!(":test:{}", first.id()));
    create(&first).ok();
    let pid = first.pid();
    create(&second).fails(["--systemd-cgroup: start ", &unit_of(&first)]);
    second.nothing_left();
    assert_eq!(first.status(), "created");
    assert_eq!(cgroup_of(pid), format!("/system.slice/{}", unit_of(&first)));
}

fn an_exec_is_in_the_scope() {
    let c = up_in_scope(scoped().args(["sleep"]));
    let report = c.call("exec").arg(c.id()).args(["/probe", "report"]).run().quiet().report();
    assert!(report["cgroup"].as_str().is_some_and(|text| text.ends_with("0::/\n")), "{}", report["cgroup"]);
}

fn pause_stops_all_of_it() {
    let c = up_in_scope(scoped().args(["sleep"]));
    c.call("pause").arg(c.id()).run().quiet();
    assert_eq!(c.status(), "paused");
    let frozen = fs::read_to_string(cgroup_dir(&format!("/system.slice/{}", unit_of(&c))).join("cgroup.events"));
    assert!(frozen.is_ok_and(|events| events.contains("frozen 1")));
    c.delete_by_force().quiet();
    is_forgotten(&c);
}

fn cgroups_of_the_containers_own_go_with_it() {
    let rw = json!(["nosuid", "noexec", "nodev", "relatime", "rw"]);
    let c = scoped().user_namespace(300_000, 1000).set("/mounts/6/options", rw);
    let words = ["sequence", "mkdir", "/sys/fs/cgroup/a", "--", "mkdir", "/sys/fs/cgroup/a/b", "--", "sleep"];
    let c = up_in_scope(c.args(words));
    let own = cgroup_dir(&format!("/system.slice/{}/a/b", unit_of(&c)));
    until("the container's own cgroup", || own.is_dir().then_some(()));
    c.delete_by_force().quiet();
    is_forgotten(&c);
}

fn device_rules_outlive_a_reload() {
    let c = scoped().args(["sleep"]);
    // The kernel's log, which no rule allows.
    mknodat(CWD, c.rootfs().join("log"), FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(1, 11))
        .expect("make a device");
    let c = up_in_scope(c);
    let open = || c.call("exec").arg(c.id()).args(["/probe", "try-open-read", "/log"]).run().quiet().stdout;
    assert_eq!(open().trim_end(), "EPERM");
    systemctl(&c, &["daemon-reload"]);
    assert_eq!(open().trim_end(), "EPERM");
    let null = c.call("exec").arg(c.id()).args(["/probe", "try-open-read", "/dev/null"]).run().quiet().stdout;
    assert_eq!(null.trim_end(), "ok");
}

fn a_user_namespace_changes_nothing() {
    let c = scoped().user_namespace(300_000, 1000);
    let report = run(&c).quiet().report();
    assert!(report["cgroup"].as_str().is_some_and(|text| text.ends_with("0::/\n")), "{}", report["cgroup"]);
    is_forgotten(&c);
}

fn many_creations_and_deletions_sixteen_at_a_time() {
    needs(Need::Systemd);
    let failed =
        || Call::new(Lane::get().dir(), "systemctl").args(["list-units", "--failed", "--plain", "--no-legend"]);
    let failed_before = failed().run().ok().stdout;
    in_parallel(16, rounds(64), |_| {
        let c = scoped().args(["sleep"]);
        create(&c).ok();
        c.delete().quiet();
        is_forgotten(&c);
    });
    assert_eq!(failed().run().ok().stdout, failed_before);
}

/// A user that every Debian has, so that there can be a systemd of its own.
const DAEMON: u32 = 1;

/// That user's systemd, until it is dropped.
struct Session<'a>(&'a Container);

impl<'a> Session<'a> {
    const UNITS: [&'static str; 2] = ["user@1.service", "user-runtime-dir@1.service"];

    fn start(c: &'a Container) -> Self {
        systemctl(c, &["start", Self::UNITS[0]]);
        Self(c)
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let [manager, directory] = Self::UNITS;
        let _output = Call::new(self.0.dir(), "systemctl").args(["stop", manager, directory]).run();
    }
}

fn a_user_has_a_scope_of_its_own() {
    needs(Need::Systemd);
    needs(Need::Orlop("the unit's name"));
    let c = bundle_of(DAEMON).args(["sleep"]);
    let _session = Session::start(&c);
    chown(c.dir(), Some(DAEMON), Some(DAEMON)).expect("chown");
    let uid = DAEMON.to_string();
    let call = || c.prepare(Call::launched(c.dir(), &["--groups", "", "--uid", &uid]).env_clear());
    let create = call().arg("--systemd-cgroup").arg("create").arg("--pid-file").arg(c.dir().join("pid"));
    create.arg("--bundle").arg(c.bundle()).arg(c.id()).run().ok();
    let slice = "/user.slice/user-1.slice/user@1.service/user.slice";
    assert_eq!(cgroup_of(c.pid()), format!("{slice}/orlop-{}.scope", c.id()));
    call().arg("start").arg(c.id()).run().quiet();
    // This process comes from outside of what the user may move things in, and so does what it starts.
    let report = call().arg("exec").arg(c.id()).args(["/probe", "report"]).run().quiet().report();
    assert!(report["cgroup"].as_str().is_some_and(|text| text.ends_with("0::/\n")), "{}", report["cgroup"]);
    call().args(["delete", "--force"]).arg(c.id()).run().quiet();
    assert!(!cgroup_dir(&format!("{slice}/orlop-{}.scope", c.id())).exists());
    c.nothing_left();
}

/// As it sees it itself, in the container's cgroup namespace.
fn cgroup_of_a_process_that_joins(c: &Container) -> String {
    let joined = c.call("exec").args([c.id(), "/probe", "cat", "/proc/self/cgroup"]).run().quiet().stdout;
    joined.lines().find_map(|line| line.strip_prefix("0::")).expect("a line of cgroup v2").to_owned()
}

/// crun's way to have the scope to systemd, and a cgroup in it to the container.
fn a_subgroup_of_the_scope_is_the_containers() {
    let c = scoped().set("/annotations", json!({"run.oci.systemd.subgroup": "inner"}));
    let c = up_in_scope(c.set("/linux/resources/pids", json!({"limit": 123})).args(["sleep"]));
    let inner = format!("/system.slice/{}/inner", unit_of(&c));
    assert_eq!(cgroup_of(c.pid()), inner);
    // The root of its own cgroup namespace.
    assert_eq!(cgroup_of_a_process_that_joins(&c), "/");
    let limit = fs::read_to_string(cgroup_dir(&inner).join("pids.max")).expect("read pids.max");
    assert_eq!((limit.trim(), property(&c, &unit_of(&c), "TasksMax").as_str()), ("123", "123"));
    c.call("pause").arg(c.id()).run().quiet();
    assert_eq!(c.status(), "paused");
    c.call("resume").arg(c.id()).run().quiet();
    c.delete_by_force().quiet();
    is_forgotten(&c);
}

fn an_empty_subgroup_is_none() {
    let c = up_in_scope(scoped().set("/annotations", json!({"run.oci.systemd.subgroup": ""})).args(["sleep"]));
    assert_eq!(cgroup_of(c.pid()), format!("/system.slice/{}", unit_of(&c)));
    c.delete_by_force().quiet();
    is_forgotten(&c);
}

fn a_delegated_cgroup_is_below_the_subgroup() {
    let both = json!({"run.oci.systemd.subgroup": "inner", "run.oci.delegate-cgroup": "payload"});
    let c = up_in_scope(scoped().set("/annotations", both).args(["sleep"]));
    assert_eq!(cgroup_of(c.pid()), format!("/system.slice/{}/inner/payload", unit_of(&c)));
    assert_eq!(cgroup_of_a_process_that_joins(&c), "/payload");
    c.delete_by_force().quiet();
    is_forgotten(&c);
}

fn a_subgroup_ends_with_a_failed_creation() {
    let c = scoped()
        .set("/annotations", json!({"run.oci.systemd.subgroup": "inner"}))
        .set("/process/args", json!(["/none"]));
    create(&c).fails(["process.args[0]"]);
    is_forgotten(&c);
}
