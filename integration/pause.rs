//! `pause` and `resume`: who stands still, what can be done meanwhile, and what may not be paused.

use std::fs;
use std::time::Duration;

use crate::support::case::cases;
use crate::support::{Container, Exit, Need, Output, needs};

cases![
    a_paused_container_stands_still,
    it_stands_when_pause_returns,
    a_paused_container_is_paused_only_once,
    a_running_container_is_not_resumed,
    a_stopped_container_is_neither_paused_nor_resumed,
    a_missing_container_does_not_exist,
    a_created_container_can_be_paused,
    a_paused_container_can_be_killed,
    a_paused_container_is_deleted_by_force_alone,
    an_almost_empty_environment_is_enough,
];

fn pause(c: &Container) -> Output {
    c.call("pause").arg(c.id()).run()
}

fn resume(c: &Container) -> Output {
    c.call("resume").arg(c.id()).run()
}

fn a_paused_container_stands_still() {
    let c = Container::sleeping();
    pause(&c).quiet();
    assert_eq!(c.status(), "paused");
    c.kill("USR1").quiet();
    std::thread::sleep(Duration::from_millis(50));
    assert!(!c.stdout().contains("SIGUSR1"), "it got a signal while it should stand still");
    resume(&c).quiet();
    assert_eq!(c.wait_exit(), Exit::Code(128 + 10));
}

fn it_stands_when_pause_returns() {
    needs(Need::Not("crun", "it doesn't wait"));
    let c = Container::sleeping();
    for _ in 0..10 {
        pause(&c).quiet();
        let events = fs::read_to_string(c.cgroup_dir().join("cgroup.events")).expect("read cgroup.events");
        assert!(events.contains("frozen 1"), "{events}");
        resume(&c).quiet();
        assert_eq!(c.status(), "running");
    }
}

fn a_paused_container_is_paused_only_once() {
    needs(Need::Not("crun", "its text is another"));
    let c = Container::sleeping();
    pause(&c).quiet();
    pause(&c).fails(["container not running"]);
    assert_eq!(c.status(), "paused");
}

fn a_running_container_is_not_resumed() {
    needs(Need::Not("crun", "it says nothing"));
    let c = Container::sleeping();
    resume(&c).fails(["container not paused"]);
}

fn a_stopped_container_is_neither_paused_nor_resumed() {
    needs(Need::Not("crun", "its text is another"));
    let c = Container::new().args(["exit", "0"]);
    c.create().ok();
    c.start().ok();
    c.wait_dead();
    pause(&c).fails(["container not running"]);
    resume(&c).fails(["container not paused"]);
}

fn a_missing_container_does_not_exist() {
    needs(Need::Not("crun", "its text is another"));
    let c = Container::new();
    pause(&c).fails(["container does not exist"]);
    resume(&c).fails(["container does not exist"]);
}

fn a_created_container_can_be_paused() {
    needs(Need::Not("crun", "it wants a running one"));
    let c = Container::new().args(["sleep"]);
    c.create().ok();
    pause(&c).quiet();
    assert_eq!(c.status(), "paused");
    needs(Need::Not("runc", "older releases hang"));
    c.start().fails(["cannot start a container in the paused state"]);
    resume(&c).quiet();
    assert_eq!(c.status(), "created");
    c.start().quiet();
    c.wait_for("ready");
}

fn a_paused_container_can_be_killed() {
    let c = Container::sleeping();
    pause(&c).quiet();
    c.kill("KILL").quiet();
    assert_eq!(c.wait_exit(), Exit::Signal(9));
    assert_eq!(c.status(), "stopped");
    c.delete().quiet();
    c.nothing_left();
}

fn a_paused_container_is_deleted_by_force_alone() {
    needs(Need::Not("crun", "its text is another"));
    let c = Container::sleeping();
    pause(&c).quiet();
    c.delete().fails(["that is not stopped: paused"]);
    c.delete_by_force().quiet();
    c.nothing_left();
}

fn an_almost_empty_environment_is_enough() {
    let c = Container::sleeping();
    for command in ["pause", "resume"] {
        c.call(command).arg(c.id()).env_clear().env("XDG_RUNTIME_DIR", "/run").run().quiet();
    }
}
