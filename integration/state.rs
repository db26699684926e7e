//! What `state` prints, and that it is what is so.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::{Call, Container, Exit, Lane, Need, needs, until};

cases![
    it_has_the_fields_that_callers_read,
    annotations_are_the_configs,
    without_annotations_there_is_no_such_field,
    a_stopped_container_has_no_pid,
    a_dead_init_is_stopped_at_once,
    a_zombie_is_stopped,
    a_container_killed_before_start_is_stopped,
    a_frozen_container_is_paused,
    created_stays_the_same,
    an_unknown_id_does_not_exist,
    an_unknown_root_does_not_exist,
    the_state_directory_is_the_owners_alone,
    nothing_else_is_printed,
    a_name_that_is_no_text_is_a_name,
    what_cannot_be_looked_at_is_not_stopped,
];

fn it_has_the_fields_that_callers_read() {
    let c = Container::sleeping();
    let state = c.state();
    assert!(state["ociVersion"].as_str().is_some_and(|version| version.starts_with("1.")), "{state}");
    assert_eq!(state["id"], c.id());
    assert_eq!(state["pid"], json!(c.pid()));
    assert_eq!(state["status"], "running");
    assert_eq!(state["bundle"], json!(c.bundle()));
    let created = state["created"].as_str().expect("created is a string");
    let created = humantime::parse_rfc3339(created).expect("created is RFC 3339");
    let age = std::time::SystemTime::now().duration_since(created).expect("it was created in the past");
    assert!(age.as_secs() < 60, "created {} s ago", age.as_secs());
    if !crate::support::Lane::get().kind().is("crun") {
        assert_eq!(state["rootfs"], json!(c.rootfs()));
    }
}

fn annotations_are_the_configs() {
    let annotations = json!({"org.example.key": "value", "io.kubernetes.cri.container-type": "sandbox", "empty": ""});
    let c = Container::new().args(["sleep"]).set("/annotations", annotations.clone());
    c.create().ok();
    assert_eq!(c.state()["annotations"], annotations);
}

fn without_annotations_there_is_no_such_field() {
    let c = Container::new().args(["sleep"]);
    c.create().ok();
    assert!(c.state().get("annotations").is_none_or(Value::is_null));
}

fn a_stopped_container_has_no_pid() {
    let c = Container::new().args(["exit", "0"]);
    c.create().ok();
    c.start().ok();
    assert_eq!(c.wait_exit(), Exit::Code(0));
    let state = c.state();
    assert_eq!((&state["status"], &state["pid"]), (&json!("stopped"), &json!(0)));
}

fn kill_init(c: &Container) {
    let pid = rustix::process::Pid::from_raw(c.pid()).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill init");
}

fn a_dead_init_is_stopped_at_once() {
    let c = Container::sleeping();
    kill_init(&c);
    assert_eq!(c.wait_exit(), Exit::Signal(9));
    assert_eq!(c.status(), "stopped");
}

fn a_zombie_is_stopped() {
    let c = Container::sleeping();
    kill_init(&c);
    c.wait_dead();
    let state = c.state();
    assert_eq!((&state["status"], &state["pid"]), (&json!("stopped"), &json!(0)));
}

fn a_container_killed_before_start_is_stopped() {
    let c = Container::new();
    c.create().ok();
    kill_init(&c);
    c.wait_dead();
    assert_eq!(c.status(), "stopped");
    c.delete().quiet();
    c.nothing_left();
}

fn a_frozen_container_is_paused() {
    let c = Container::sleeping();
    fs::write(c.cgroup_dir().join("cgroup.freeze"), "1").expect("freeze");
    until("the cgroup to be frozen", || {
        fs::read_to_string(c.cgroup_dir().join("cgroup.events"))
            .is_ok_and(|events| events.contains("frozen 1"))
            .then_some(())
    });
    assert_eq!(c.status(), "paused");
    fs::write(c.cgroup_dir().join("cgroup.freeze"), "0").expect("thaw");
    assert_eq!(c.status(), "running");
}

fn created_stays_the_same() {
    let c = Container::new().args(["sleep"]);
    c.create().ok();
    let created = c.state()["created"].clone();
    c.start().ok();
    assert_eq!(c.state()["created"], created);
    kill_init(&c);
    c.wait_dead();
    assert_eq!(c.state()["created"], created);
}

fn an_unknown_id_does_not_exist() {
    needs(Need::Not("crun", "its text is another"));
    let c = Container::new();
    // A root that exists, with another container in it.
    let other = Container::beside(&c).args(["sleep"]);
    other.create().ok();
    let output = c.call("state").arg(c.id()).run().fails(["does not exist"]);
    assert_eq!(output.stdout, "");
}

fn an_unknown_root_does_not_exist() {
    needs(Need::Not("crun", "its text is another"));
    let c = Container::new();
    c.call("state").arg(c.id()).run().fails(["does not exist"]);
}

fn the_state_directory_is_the_owners_alone() {
    needs(Need::Orlop("its state directory"));
    let c = Container::sleeping();
    let directory = c.state_root().join(c.id());
    let metadata = fs::metadata(&directory).expect("the state directory is named after the id");
    assert_eq!((metadata.mode() & 0o777, metadata.uid()), (0o700, 0));
}

fn nothing_else_is_printed() {
    let c = Container::new().args(["sleep"]);
    c.create().ok();
    let output = c.call("state").arg(c.id()).run().quiet();
    assert!(output.stdout.starts_with('{') && output.stdout.trim_end().ends_with('}'), "{}", output.stdout);
    assert_eq!(output.log.as_deref(), Some(""), "a success is nothing for the log");
}

fn a_name_that_is_no_text_is_a_name() {
    // The kernel keeps 15 bytes of a program's name, which cuts the eighth letter of this one in two.
    let name = "/\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}";
    let c = Container::new();
    fs::hard_link(c.rootfs().join("probe"), c.rootfs().join(&name[1..])).expect("link the probe");
    let c = c.set("/process/args", json!([name, "sleep"])).up();
    assert_eq!((c.status().as_str(), &c.state()["pid"]), ("running", &json!(c.pid())));
    c.delete().fails(["that is not stopped: running"]);
    c.kill("KILL").ok();
    assert_eq!(c.wait_exit(), Exit::Signal(9));
}

fn what_cannot_be_looked_at_is_not_stopped() {
    needs(Need::Orlop("how many descriptors it needs"));
    let c = Container::sleeping();
    for limit in 3..12 {
        let script = format!("ulimit -n {limit}; exec \"$@\"");
        let call = c.prepare(Call::new(c.dir(), "/bin/sh").args(["-c", &script, "sh"]).arg(Lane::get().runtime()));
        let output = call.args(["state", c.id()]).run();
        match output.code {
            Some(0) => assert_eq!(output.json()["status"], "running", "with {limit} descriptors"),
            _ => assert!(output.stderr.contains("too many open files"), "with {limit}: {}", output.stderr),
        }
    }
}
