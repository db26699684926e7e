//! Annotations of crun's that change what is done, and that engines set: `run.oci.*`. Those of systemd's properties are in
//! `systemd_driver`, the one about mount labels is in `labels`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::call::report_in;
use crate::support::case::cases;
use crate::support::config::drop_namespaces;
use crate::support::{Call, ConsoleSocket, Container, Exit, Need, needs};

cases![
    the_callers_groups_are_kept,
    the_callers_groups_are_kept_in_a_user_namespace,
    a_process_that_joins_keeps_its_callers_groups,
    groups_are_not_kept_without_being_asked_to,
    hooks_write_where_the_caller_says,
    what_hooks_wrote_before_stays,
    what_a_failing_hook_said_goes_there_too,
    the_program_has_none_of_the_hooks_files,
    hooks_files_that_cannot_be_opened_fail_create,
    poststop_hooks_run_without_their_file,
    a_delegated_cgroup_is_below_the_containers,
    a_delegated_cgroup_without_a_cgroup_namespace,
    a_process_that_joins_is_in_the_delegated_cgroup,
    a_delegated_cgroup_in_one_that_exists_goes_with_the_container,
    a_delegated_cgroup_goes_when_the_creation_fails,
    limits_are_above_the_delegated_cgroup,
    a_pidfd_of_the_init_is_sent,
    a_pidfd_goes_to_both_who_asked,
    without_a_receiver_there_is_no_container,
    a_subgroup_needs_systemd,
    bad_values_are_refused,
    others_are_passed_through,
];

fn annotated(name: &str, value: &str) -> Container {
    needs(Need::Not("runc", "it doesn't read these annotations"));
    Container::new().set("/annotations", json!({name: value}))
}

/// The report of a program whose runtime was called by somebody with these groups.
fn report_with_groups(c: &Container, groups: &str) -> Value {
    let call = c.prepare(Call::launched(c.dir(), &["--groups", groups])).arg("run").arg("--bundle").arg(c.bundle());
    call.arg(c.id()).run().ok().report()
}

fn the_callers_groups_are_kept() {
    for user in [json!({"uid": 0, "gid": 0}), json!({"uid": 1000, "gid": 1000, "additionalGids": [7]})] {
        let c = annotated("run.oci.keep_original_groups", "1").set("/process/user", user);
        assert_eq!(report_with_groups(&c, "4242,4243")["groups"], json!([4242, 4243]));
    }
}

/// Groups that have no name inside are there all the same.
fn the_callers_groups_are_kept_in_a_user_namespace() {
    let c = annotated("run.oci.keep_original_groups", "1").user_namespace(100_000, 65_536);
    assert_eq!(report_with_groups(&c, "4242,100007")["groups"], json!([65534, 7]));
}

fn a_process_that_joins_keeps_its_callers_groups() {
    let c = annotated("run.oci.keep_original_groups", "1").args(["sleep"]).up();
    let call = c.prepare(Call::launched(c.dir(), &["--groups", "4242"])).arg("exec");
    assert_eq!(call.args([c.id(), "/probe", "report"]).run().quiet().report()["groups"], json!([4242]));
}

fn groups_are_not_kept_without_being_asked_to() {
    let c = annotated("run.oci.keep_original_groups", "0");
    assert_eq!(report_with_groups(&c, "4242")["groups"], json!([]));
}

const ALL: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// With a hook of each kind, which says its name on both its streams.
fn with_hooks(out: &Path, err: &Path, c: Container) -> Container {
    let c = c.set("/annotations", json!({"run.oci.hooks.stdout": out, "run.oci.hooks.stderr": err}));
    ALL.iter().fold(c, |c, kind| c.hook(kind, &["--say", &format!("{kind} out"), "--print", &format!("{kind} err")]))
}

fn hooks_write_where_the_caller_says() {
    needs(Need::Not("runc", "it doesn't read these annotations"));
    needs(Need::Not("crun", "older releases run poststart hooks before the program, and others before the mounts"));
    let c = Container::new().args(["exit", "0"]);
    let (out, err) = (c.dir().join("out"), c.dir().join("err"));
    let c = with_hooks(&out, &err, c);
    c.run().quiet();
    let lines = |what: &str| ALL.map(|kind| format!("{kind} {what}\n")).concat();
    assert_eq!(fs::read_to_string(&out).expect("read"), lines("out"));
    assert_eq!(fs::read_to_string(&err).expect("read"), lines("err"));
    c.nothing_left();
}

fn what_hooks_wrote_before_stays() {
    let c = Container::new();
    let file = c.dir().join("both");
    fs::write(&file, "before\n").expect("write");
    let c = annotated("run.oci.hooks.stdout", file.to_str().expect("text")).args(["exit", "0"]);
    c.hook("createRuntime", &["--say", "after"]).run().ok();
    assert_eq!(fs::read_to_string(&file).expect("read"), "before\nafter\n");
}

fn what_a_failing_hook_said_goes_there_too() {
    let c = Container::new();
    let file = c.dir().join("err");
    let c = annotated("run.oci.hooks.stderr", file.to_str().expect("text"));
    let c = c.hook("prestart", &["--print", "the reason", "--exit", "3"]);
    c.create().fails([]);
    assert_eq!(fs::read_to_string(&file).expect("read"), "the reason\n");
    c.nothing_left();
}

/// They stay open while the container waits, and not a moment longer (rule R4).
fn the_program_has_none_of_the_hooks_files() {
    needs(Need::Not("runc", "it doesn't read these annotations"));
    let c = Container::new();
    let (out, err) = (c.dir().join("out"), c.dir().join("err"));
    let c = with_hooks(&out, &err, c);
    c.create().ok();
    c.start().ok();
    let fds = c.report()["fds"].clone();
    assert_eq!(fds.as_object().map(serde_json::Map::len), Some(3), "{fds}");
    assert_eq!(c.wait_exit(), Exit::Code(0));
    // Those of `start` and `delete` have what their caller left open.
    for hook in c.hooks().iter().filter(|hook| hook["name"] != "poststart") {
        assert_eq!(hook["fds"].as_object().map(serde_json::Map::len), Some(3), "{hook}");
    }
}

fn hooks_files_that_cannot_be_opened_fail_create() {
    needs(Need::Orlop("the annotation is named"));
    for (name, value) in [("run.oci.hooks.stdout", "/nonexistent/out"), ("run.oci.hooks.stderr", "/")] {
        let c = annotated(name, value);
        c.create().fails([format!("annotations[{name:?}]: {value}: open: ").as_str()]);
        c.nothing_left();
    }
}

/// The bundle, with whatever is in it, may be gone before the container is deleted.
fn poststop_hooks_run_without_their_file() {
    needs(Need::Orlop("it warns, and goes on"));
    let c = Container::new().args(["sleep"]);
    let logs = c.dir().join("logs");
    fs::create_dir(&logs).expect("make a directory");
    let c = c.set("/annotations", json!({"run.oci.hooks.stdout": logs.join("out")})).hook("poststop", &[]).up();
    fs::remove_dir_all(&logs).expect("remove it");
    let output = c.delete_by_force().ok();
    assert!(output.stderr.contains("warning: annotations[\"run.oci.hooks.stdout\"]"), "{}", output.stderr);
    assert_eq!(c.hook_order(), ["poststop"]);
    c.nothing_left();
}

fn delegated(value: &str) -> Container {
    annotated("run.oci.delegate-cgroup", value)
}

fn procs(dir: &Path) -> Vec<i32> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).expect("read cgroup.procs");
    text.lines().map(|line| line.parse().expect("a pid")).collect()
}

/// Where it is below the cgroup namespace's root.
fn cgroup_in(report: &Value) -> String {
    let table = report["cgroup"].as_str().unwrap_or_default();
    table.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned()
}

fn a_delegated_cgroup_is_below_the_containers() {
    for (value, below) in [("payload", "payload"), ("/init", "init"), ("a/b", "a/b")] {
        let c = delegated(value).args(["sequence", "report", "--", "sleep"]).up();
        assert_eq!(cgroup_in(&c.report()), format!("/{below}"));
        assert_eq!((procs(&c.cgroup_dir()), procs(&c.cgroup_dir().join(below))), (vec![], vec![c.pid()]));
        c.kill("KILL").ok();
        c.wait_dead();
        c.delete().quiet();
        assert!(!c.cgroup_dir().exists());
        c.nothing_left();
    }
}

fn a_delegated_cgroup_without_a_cgroup_namespace() {
    let c = delegated("payload").edit(|config| drop_namespaces(config, &["cgroup"])).args(["sleep"]).up();
    assert_eq!(procs(&c.cgroup_dir().join("payload")), [c.pid()]);
}

fn a_process_that_joins_is_in_the_delegated_cgroup() {
    let c = delegated("payload").args(["sleep"]).up();
    let report = c.call("exec").args([c.id(), "/probe", "report"]).run().quiet().report();
    assert_eq!(cgroup_in(&report), "/payload");
}

/// The caller's own cgroup stays, as it does without the annotation.
fn a_delegated_cgroup_in_one_that_exists_goes_with_the_container() {
    needs(Need::Not("crun", "it removes what it was given"));
    let c = delegated("payload").args(["sleep"]);
    fs::create_dir(c.cgroup_dir()).expect("make the cgroup");
    let c = c.up();
    c.delete_by_force().ok();
    assert!(c.cgroup_dir().is_dir() && !c.cgroup_dir().join("payload").exists());
    fs::remove_dir(c.cgroup_dir()).expect("remove the cgroup");
}

fn a_delegated_cgroup_goes_when_the_creation_fails() {
    needs(Need::Orlop("the step that fails comes after the cgroup"));
    let c = delegated("payload")
        .set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 1, "hard": u64::MAX - 1}]));
    fs::create_dir(c.cgroup_dir()).expect("make the cgroup");
    c.create().fails(["process.rlimits[0]"]);
    assert!(c.cgroup_dir().is_dir() && !c.cgroup_dir().join("payload").exists());
    fs::remove_dir(c.cgroup_dir()).expect("remove the cgroup");
    c.create().fails(["process.rlimits[0]"]);
    c.nothing_left();
}

fn limits_are_above_the_delegated_cgroup() {
    needs(Need::Controller("pids"));
    let c = delegated("payload").set("/linux/resources/pids", json!({"limit": 17})).args(["sleep"]).up();
    let limit = |dir: &Path| fs::read_to_string(dir.join("pids.max")).expect("read pids.max");
    assert_eq!((limit(&c.cgroup_dir()), limit(&c.cgroup_dir().join("payload"))), ("17\n".into(), "max\n".into()));
}

fn a_pidfd_of_the_init_is_sent() {
    let c = Container::new();
    let socket = ConsoleSocket::new(c.dir());
    let c = annotated("run.oci.pidfd_receiver", socket.path().to_str().expect("text")).args(["sleep"]);
    c.create().quiet();
    assert_eq!(pid_of(&socket.receive_fd().0), c.pid());
}

fn pid_of(pidfd: &rustix::fd::OwnedFd) -> i32 {
    use rustix::fd::AsRawFd;
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).expect("read the fdinfo");
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).expect("it is a pidfd");
    pid.trim().parse().expect("a pid")
}

fn a_pidfd_goes_to_both_who_asked() {
    needs(Need::Orlop("runc has the flag, crun the annotation"));
    let c = Container::new();
    let other = Container::new();
    let (flag, annotation) = (ConsoleSocket::new(c.dir()), ConsoleSocket::new(other.dir()));
    let c = c.set("/annotations", json!({"run.oci.pidfd_receiver": annotation.path()})).args(["sleep"]);
    c.create_with([Path::new("--pidfd-socket"), flag.path()]).quiet();
    assert_eq!((pid_of(&flag.receive_fd().0), pid_of(&annotation.receive_fd().0)), (c.pid(), c.pid()));
}

fn without_a_receiver_there_is_no_container() {
    needs(Need::Orlop("the annotation is named"));
    let c = annotated("run.oci.pidfd_receiver", "/nonexistent/socket");
    c.create().fails(["annotations[\"run.oci.pidfd_receiver\"]: /nonexistent/socket: connect: no such file"]);
    c.nothing_left();
}

/// It is about systemd's scope, and says nothing where there is none, as with crun.
fn a_subgroup_needs_systemd() {
    let c = annotated("run.oci.systemd.subgroup", "inner").args(["sleep"]).up();
    assert_eq!(procs(&c.cgroup_dir()), [c.pid()]);
}

fn bad_values_are_refused() {
    needs(Need::Orlop("crun follows some of them"));
    for (name, value) in [
        ("run.oci.keep_original_groups", "true"),
        ("run.oci.hooks.stdout", "relative"),
        ("run.oci.hooks.stderr", "/var/../etc/passwd"),
        ("run.oci.pidfd_receiver", "socket"),
        ("run.oci.delegate-cgroup", "../outside"),
        ("run.oci.delegate-cgroup", "a/../../../outside"),
        ("run.oci.systemd.subgroup", ".."),
    ] {
        let c = annotated(name, value);
        c.create().fails([format!("annotations[{name:?}]: ").as_str()]);
        c.nothing_left();
    }
}

fn others_are_passed_through() {
    let others = json!({"run.oci.handler": "none", "run.oci.unknown": "../..", "org.example": "/x"});
    needs(Need::Not("crun", "it looks for a handler"));
    let c = Container::new().set("/annotations", others.clone()).args(["sleep"]).up();
    assert_eq!(c.state()["annotations"], others);
    assert!(report_in(&c.stdout()).is_none());
}
