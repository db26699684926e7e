//! `start` returns when the program was executed, or with the reason why it wasn't.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::case::{cases, in_parallel};
use crate::support::{Container, Exit, Need, needs, until};

cases![
    start_returns_when_the_program_was_executed,
    start_says_that_the_program_is_gone,
    start_says_that_the_program_cannot_be_executed,
    start_says_that_it_is_no_program,
    start_says_that_init_is_dead,
    start_says_why_a_hook_failed,
    one_of_two_starts_wins,
    it_is_created_until_the_program_is_executed,
    a_short_program_is_started_all_the_same,
    nothing_of_the_gate_stays_open,
];

fn start_returns_when_the_program_was_executed() {
    needs(Need::Orlop("the gate"));
    for _ in 0..20 {
        let c = Container::new().args(["ignore-term"]);
        c.create().ok();
        c.start().ok();
        let words = fs::read(format!("/proc/{}/cmdline", c.pid())).expect("read its command line");
        assert_eq!(String::from_utf8_lossy(&words), "/probe\0ignore-term\0");
    }
}

/// Creates a container, changes its program, and then starts it.
fn start_after(change: impl FnOnce(&std::path::Path), texts: &[&str]) {
    needs(Need::Orlop("the gate"));
    let c = Container::new().file("/program", "").set("/process/args", serde_json::json!(["/program", "exit", "0"]));
    let program = c.rootfs().join("program");
    fs::remove_file(&program).expect("remove");
    fs::hard_link(c.rootfs().join("probe"), &program).expect("link");
    c.create().ok();
    change(&program);
    c.start().fails(texts.iter().copied());
    c.wait_dead();
    assert_eq!(c.status(), "stopped");
    c.delete().quiet();
    c.nothing_left();
}

fn start_says_that_the_program_is_gone() {
    start_after(|program| fs::remove_file(program).expect("remove"), &["/program", "no such file or directory"]);
}

fn replace(program: &std::path::Path, content: &[u8], mode: u32) {
    fs::remove_file(program).expect("remove");
    fs::write(program, content).expect("write");
    fs::set_permissions(program, fs::Permissions::from_mode(mode)).expect("chmod");
}

fn start_says_that_the_program_cannot_be_executed() {
    start_after(|program| replace(program, b"#!/probe\n", 0o644), &["/program", "permission denied"]);
}

fn start_says_that_it_is_no_program() {
    start_after(|program| replace(program, b"\x7fnothing that could run", 0o755), &["/program", "exec format error"]);
}

fn start_says_that_init_is_dead() {
    needs(Need::Not("crun", "its text is another"));
    let c = Container::new().args(["sleep"]);
    c.create().ok();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(c.pid()).expect("a pid"),
        rustix::process::Signal::KILL,
    )
    .expect("kill init");
    assert_eq!(c.wait_exit(), Exit::Signal(9));
    c.start().fails(["cannot start a container that has stopped"]);
}

fn start_says_why_a_hook_failed() {
    needs(Need::Orlop("the gate"));
    let c = Container::new().args(["sleep"]).hook("startContainer", &["--print", "not today", "--exit", "3"]);
    c.create().ok();
    c.start().fails(["hooks.startContainer[0]", "not today"]);
    c.wait_dead();
}

fn one_of_two_starts_wins() {
    needs(Need::Not("runc", "older releases let the loser hang"));
    for _ in 0..10 {
        let c = Container::new().args(["sleep"]);
        c.create().ok();
        let calls: Vec<_> = (0..2).map(|_| c.call("start").arg(c.id()).spawn()).collect();
        let outputs: Vec<_> = calls.into_iter().map(crate::support::Running::wait).collect();
        let (won, lost): (Vec<_>, Vec<_>) = outputs.into_iter().partition(|output| output.code == Some(0));
        assert_eq!((won.len(), lost.len()), (1, 1));
        for output in lost {
            output.fails([]);
        }
        c.wait_for("ready");
        assert_eq!(c.status(), "running");
    }
}

fn it_is_created_until_the_program_is_executed() {
    needs(Need::Orlop("the gate"));
    let c = Container::new().args(["sleep"]).hook("startContainer", &["--sleep", "600"]);
    c.create().ok();
    let start = c.call("start").arg(c.id()).spawn();
    until("the hook to run", || (!c.hooks().is_empty()).then_some(()));
    assert_eq!(c.status(), "created");
    c.delete_by_force().ok();
    start.wait().fails([]);
}

fn a_short_program_is_started_all_the_same() {
    in_parallel(2, 20, |_| {
        let c = Container::new().args(["exit", "6"]);
        c.create().ok();
        c.start().quiet();
        assert_eq!(c.wait_exit(), Exit::Code(6));
    });
}

fn nothing_of_the_gate_stays_open() {
    let c = Container::new();
    c.create().ok();
    c.start().ok();
    let fds = c.report()["fds"].as_object().expect("descriptors").len();
    assert_eq!(fds, 3);
}
