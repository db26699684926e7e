//! The six kinds of hooks: when each runs, what it is given, and what its failure fails.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::{Container, Need, needs};

cases![
    all_six_in_order,
    all_six_in_order_for_run,
    several_of_a_kind_in_their_order,
    each_is_told_the_state,
    the_state_has_the_annotations,
    each_runs_in_its_namespaces,
    arguments_are_the_configs,
    without_arguments_it_is_given_its_path,
    the_environment_is_the_configs,
    prestart_sees_the_container_from_outside,
    the_runtimes_side_stays_in_its_network,
    create_container_sees_the_mounts,
    a_failing_prestart_hook_fails_create,
    a_failing_create_runtime_hook_fails_create,
    a_failing_create_container_hook_fails_create,
    a_failing_start_container_hook_fails_start,
    a_failing_poststart_hook_fails_start,
    a_failing_poststop_hook_is_only_told,
    a_hook_after_a_failing_one_does_not_run,
    a_hook_killed_by_a_signal_has_failed,
    a_hook_out_of_time_is_killed_and_has_failed,
    a_hook_in_time_is_left_alone,
    a_missing_hook_fails_create,
    a_hook_that_does_not_read_its_input,
    poststop_runs_at_a_forced_delete,
    what_a_failing_hook_said_is_told,
];

const CREATE: [&str; 3] = ["prestart", "createRuntime", "createContainer"];
const ALL: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

fn with_all(c: Container) -> Container {
    ALL.iter().fold(c, |c, kind| c.hook(kind, &[]))
}

fn all_six_in_order() {
    needs(Need::Not("crun", "older releases run poststart hooks before the program"));
    needs(Need::Not("runc", "older releases run poststart hooks before the program"));
    let c = with_all(Container::new().args(["sleep"]));
    c.create().quiet();
    assert_eq!(c.hook_order(), CREATE);
    c.start().quiet();
    assert_eq!(c.hook_order(), ALL[..5]);
    c.wait_for("ready");
    c.kill("KILL").quiet();
    c.wait_dead();
    assert_eq!(c.hook_order(), ALL[..5]);
    c.delete().quiet();
    assert_eq!(c.hook_order(), ALL);
    c.nothing_left();
}

fn all_six_in_order_for_run() {
    needs(Need::Not("runc", "older releases run poststart hooks before the program"));
    needs(Need::Not("crun", "older releases run poststart hooks before the program"));
    let c = with_all(Container::new().args(["exit", "0"]));
    c.run().quiet();
    assert_eq!(c.hook_order(), ALL);
    c.nothing_left();
}

fn several_of_a_kind_in_their_order() {
    needs(Need::Not("runc", "older releases run poststart hooks before the program"));
    needs(Need::Not("crun", "older releases run poststart hooks before the program"));
    let c = ALL.iter().fold(Container::new().args(["exit", "0"]), |c, kind| {
        (0..3).fold(c, |c, number| c.hook(kind, &["--tag", &number.to_string()]))
    });
    c.run().quiet();
    let tags: Vec<Value> = c.hooks().iter().map(|hook| hook["args"][4].clone()).collect();
    assert_eq!(tags.len(), 18);
    assert!(tags.iter().all(|tag| tag == "--tag"));
    let numbers: Vec<Value> = c.hooks().iter().map(|hook| hook["args"][5].clone()).collect();
    assert_eq!(json!(numbers), json!(["0", "1", "2"].repeat(6)));
}

/// The hook of that kind as it was called.
fn hook_of(c: &Container, kind: &str) -> Value {
    let found = c.hooks().into_iter().find(|hook| hook["name"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} hook ran: {:?}", c.hook_order()))
}

fn each_is_told_the_state() {
    needs(Need::Not("runc", "older releases run poststart hooks before the program"));
    needs(Need::Not("crun", "older releases tell a pid of 0 and other statuses"));
    let c = with_all(Container::new().args(["sleep"]));
    c.create().ok();
    let pid = json!(c.pid());
    c.start().ok();
    c.delete_by_force().ok();
    for (kind, status) in ALL.iter().zip(["creating", "creating", "creating", "created", "running", "stopped"]) {
        let state = hook_of(&c, kind)["state"].clone();
        assert_eq!(state["id"], c.id(), "{kind}");
        assert_eq!(state["bundle"], json!(c.bundle()), "{kind}");
        assert!(state["ociVersion"].as_str().is_some_and(|version| version.starts_with("1.")), "{kind}: {state}");
        // A hook that runs inside may be told the pid there; after the end there is none.
        let inside = ["createContainer", "startContainer"].contains(kind) && state["pid"] == 1;
        assert!(state["pid"] == pid || inside || *kind == "poststop", "{kind}: {state}");
        assert_eq!(state["status"], *status, "{kind}");
    }
}

fn the_state_has_the_annotations() {
    let c = Container::new().args(["exit", "0"]).set("/annotations", json!({"org.example.key": "value"}));
    let c = c.hook("createRuntime", &[]);
    c.run().quiet();
    assert_eq!(hook_of(&c, "createRuntime")["state"]["annotations"], json!({"org.example.key": "value"}));
}

fn each_runs_in_its_namespaces() {
    let c = with_all(Container::new().args(["sleep"])).up();
    c.delete_by_force().ok();
    let own = |file: &str| json!(fs::read_link(format!("/proc/self/ns/{file}")).expect("read").to_string_lossy());
    for kind in ["prestart", "createRuntime", "poststart", "poststop"] {
        let namespaces = hook_of(&c, kind)["namespaces"].clone();
        assert_eq!((&namespaces["mnt"], &namespaces["pid"]), (&own("mnt"), &own("pid")), "{kind}");
    }
    let inside = hook_of(&c, "startContainer")["namespaces"].clone();
    for file in ["mnt", "pid", "net", "uts", "ipc"] {
        assert_ne!(inside[file], own(file), "startContainer: {file}");
    }
    assert!(hook_of(&c, "startContainer")["root"].get("probe").is_some(), "startContainer has the container's root");
}

fn arguments_are_the_configs() {
    let c = Container::new().args(["exit", "0"]).hook("prestart", &["--tag", "a b", ""]);
    c.run().quiet();
    let args = hook_of(&c, "prestart")["args"].clone();
    assert_eq!(args[0], "the-hook");
    assert_eq!((&args[4], &args[5], &args[6]), (&json!("--tag"), &json!("a b"), &json!("")));
}

fn without_arguments_it_is_given_its_path() {
    // The probe without a word succeeds; a hook's name is the only way to see what it was called.
    let c = Container::new().args(["exit", "0"]);
    let script = c.dir().join("script");
    let seen = c.dir().join("seen");
    fs::write(&script, format!("#!/bin/sh\necho \"$0 $#\" > {}\n", seen.display())).expect("write a script");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    let c = c.set("/hooks", json!({"prestart": [{"path": script}]}));
    c.run().quiet();
    assert_eq!(fs::read_to_string(seen).expect("it ran"), format!("{} 0\n", script.display()));
}

fn the_environment_is_the_configs() {
    let env = json!(["ONE=1", "TWO=2"]);
    let c = ALL
        .iter()
        .fold(Container::new().args(["exit", "0"]), |c, kind| c.hook_with(kind, &[], |hook| hook["env"] = env.clone()));
    c.run().quiet();
    for kind in ALL {
        assert_eq!(hook_of(&c, kind)["env"], env, "{kind}");
    }
}

fn prestart_sees_the_container_from_outside() {
    // What an engine's network hook does: look into the new network namespace by the pid that it is told.
    let c = Container::new().args(["exit", "0"]);
    let (script, seen) = (c.dir().join("script"), c.dir().join("seen"));
    let text = "#!/bin/sh\npid=$(sed 's/.*\"pid\" *: *\\([0-9]*\\).*/\\1/')\nreadlink /proc/$pid/ns/net > ";
    fs::write(&script, format!("{text}{}\n", seen.display())).expect("write a script");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    let c = c.args(["report"]).set("/hooks", json!({"createRuntime": [{"path": script}]}));
    let report = c.run().ok().report();
    assert_eq!(report["namespaces"]["net"], fs::read_to_string(seen).expect("it ran").trim());
}

fn the_runtimes_side_stays_in_its_network() {
    let own = fs::read_link("/proc/self/ns/net").expect("a namespace");
    let c = Container::new().args(["exit", "0"]);
    let seen = c.dir().join("seen");
    let script = c.dir().join("script");
    fs::write(&script, format!("#!/bin/sh\nreadlink /proc/self/ns/net >> {}\n", seen.display()))
        .expect("write a script");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    let hook = json!([{"path": script}]);
    let c = c.set("/hooks", json!({"createRuntime": hook, "poststart": hook, "poststop": hook}));
    c.run().quiet();
    let seen = fs::read_to_string(seen).expect("they ran");
    assert_eq!(seen.lines().map(str::trim).collect::<Vec<_>>(), [own.to_str().expect("text"); 3]);
}

fn create_container_sees_the_mounts() {
    needs(Need::Not("crun", "older releases run it before the mounts"));
    let c = Container::new().args(["exit", "0"]);
    let (script, seen) = (c.dir().join("script"), c.dir().join("seen"));
    let text = format!(
        "#!/bin/sh\ngrep -c ' {}' /proc/self/mountinfo > {}\n",
        c.rootfs().join("proc").display(),
        seen.display()
    );
    fs::write(&script, text).expect("write a script");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    let c = c.set("/hooks", json!({"createContainer": [{"path": script}]}));
    c.run().quiet();
    let count: u32 = fs::read_to_string(seen).expect("it ran").trim().parse().expect("a count");
    assert!(count >= 1, "the container's /proc isn't mounted yet");
}

fn fails_create(kind: &str) {
    let c = Container::new().args(["sleep"]).hook(kind, &["--exit", "3"]).hook("poststart", &[]);
    c.create().fails([]);
    assert_eq!(c.hook_order(), [kind]);
    c.nothing_left();
    c.run().fails([]);
    c.nothing_left();
}

fn a_failing_prestart_hook_fails_create() {
    fails_create("prestart");
}

fn a_failing_create_runtime_hook_fails_create() {
    fails_create("createRuntime");
}

fn a_failing_create_container_hook_fails_create() {
    fails_create("createContainer");
}

fn a_failing_start_container_hook_fails_start() {
    needs(Need::Not("crun", "older releases don't tell the caller of start"));
    needs(Need::Not("runc", "older releases don't tell the caller of start"));
    let c = Container::new().args(["sequence", "print", "ran", "--", "sleep"]);
    let c = c.hook("startContainer", &["--exit", "3"]).hook("poststop", &[]);
    c.create().ok();
    c.start().fails([]);
    assert_eq!(c.stdout(), "");
    c.nothing_left();
    assert_eq!(c.hook_order(), ["startContainer", "poststop"]);
    c.delete().fails(["does not exist"]);
}

fn a_failing_poststart_hook_fails_start() {
    needs(Need::Not("crun", "older releases run poststart hooks before the program"));
    needs(Need::Not("runc", "older releases run poststart hooks before the program"));
    let c = Container::new().args(["sleep"]).hook("poststart", &["--exit", "3"]);
    c.create().ok();
    let pid = rustix::process::Pid::from_raw(c.pid()).expect("a pid");
    c.start().fails([]);
    let killed =
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).expect("it is this process's child");
    assert!(killed.is_some(), "the program lives on");
    c.nothing_left();
}

fn a_failing_poststop_hook_is_only_told() {
    needs(Need::Not("runc", "it fails"));
    let c = Container::new().args(["sleep"]).hook("poststop", &["--exit", "3"]).hook("poststop", &["--tag", "second"]);
    c.create().ok();
    c.delete_by_force().ok();
    assert_eq!(c.hook_order(), ["poststop", "poststop"]);
    c.nothing_left();
}

fn a_hook_after_a_failing_one_does_not_run() {
    let c = Container::new()
        .hook("createRuntime", &["--exit", "3"])
        .hook("createRuntime", &[])
        .hook("createContainer", &[]);
    c.create().fails([]);
    assert_eq!(c.hook_order(), ["createRuntime"]);
    c.nothing_left();
}

fn a_hook_killed_by_a_signal_has_failed() {
    let c =
        Container::new().set("/hooks", json!({"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", "kill -9 $$"]}]}));
    c.create().fails([]);
    c.nothing_left();
}

fn a_hook_out_of_time_is_killed_and_has_failed() {
    let c = Container::new().hook_with("prestart", &["--sleep", "600"], |hook| hook["timeout"] = json!(1));
    let started = Instant::now();
    c.create().fails([]);
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(10), "it took {} ms", took.as_millis());
    let pid = hook_of(&c, "prestart")["pid"].as_i64().expect("a pid");
    assert!(!std::path::Path::new(&format!("/proc/{pid}/exe")).exists(), "the hook lives on");
    c.nothing_left();
}

fn a_hook_in_time_is_left_alone() {
    let c = Container::new()
        .args(["exit", "0"])
        .hook_with("prestart", &["--sleep", "1"], |hook| hook["timeout"] = json!(10));
    c.run().quiet();
}

fn a_missing_hook_fails_create() {
    needs(Need::Not("crun", "it doesn't say why"));
    let c = Container::new().set("/hooks", json!({"createRuntime": [{"path": "/none/such"}]}));
    c.create().fails(["/none/such", "o such file or directory"]);
    c.nothing_left();
}

fn a_hook_that_does_not_read_its_input() {
    // A state larger than a pipe holds, so that a writer that waits for the reader would wait forever.
    let large = json!({"org.example.large": "x".repeat(100_000)});
    let c = Container::new().args(["exit", "0"]).set("/annotations", large);
    c.set("/hooks", json!({"createRuntime": [{"path": "/bin/true"}]})).run().ok();
}

fn poststop_runs_at_a_forced_delete() {
    let c = Container::new().args(["sleep"]).hook("poststop", &[]).up();
    c.delete_by_force().quiet();
    assert_eq!(c.hook_order(), ["poststop"]);
}

fn what_a_failing_hook_said_is_told() {
    needs(Need::Not("crun", "it leaves stderr to the hook"));
    let c = Container::new().hook("createRuntime", &["--print", "no route today", "--exit", "3"]);
    c.create().fails(["no route today"]);
}
