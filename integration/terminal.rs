//! Terminals: the console socket of detached containers, and the relay of a foreground run.

use std::fs::File;
use std::path::Path;

use rustix::process::Signal;
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::json;

use crate::support::call::report_in;
use crate::support::case::cases;
use crate::support::{Call, ConsoleSocket, Container, Need, Pty, Running, needs};

cases![
    create_sends_the_master,
    the_three_streams_are_the_terminal,
    the_console_is_the_terminal,
    the_terminal_is_the_controlling_one,
    the_configured_size_is_set,
    typed_text_arrives,
    a_detached_run_sends_the_master,
    the_terminal_belongs_to_the_user,
    a_terminal_in_a_user_namespace,
    the_socket_may_have_a_relative_path,
    a_foreground_run_has_the_callers_size,
    a_foreground_run_passes_what_is_typed,
    a_foreground_run_returns_the_code,
    a_foreground_run_makes_the_callers_terminal_raw_and_restores_it,
    a_control_character_reaches_the_program,
    a_signal_to_the_runtime_reaches_the_program,
    a_change_of_size_is_passed_on,
    a_change_of_size_told_by_signal_is_passed_on,
    a_foreground_run_loses_no_output,
    a_foreground_run_restores_the_terminal_when_killed,
    input_that_cannot_be_read_ends_nothing,
    output_that_cannot_be_written_ends_nothing,
];

fn with_terminal<'a>(words: impl IntoIterator<Item = &'a str>) -> Container {
    Container::new().args(words).set("/process/terminal", true)
}

/// Creates it with a console socket.
fn create(c: &Container) -> Pty {
    let socket = ConsoleSocket::new(c.dir());
    c.create_with([Path::new("--console-socket"), socket.path()]).quiet();
    socket.receive().0
}

/// The report of a container that writes it to its terminal.
fn report_on(pty: &mut Pty) -> serde_json::Value {
    let text = pty.drain();
    report_in(&text).unwrap_or_else(|| panic!("no report in {text:?}"))
}

fn create_sends_the_master() {
    let c = with_terminal(["report"]);
    let socket = ConsoleSocket::new(c.dir());
    c.create_with([Path::new("--console-socket"), socket.path()]).quiet();
    let (mut pty, payload) = socket.receive();
    assert!(!payload.is_empty() && payload.len() < 4096, "{} bytes came with it", payload.len());
    c.start().quiet();
    assert_eq!(report_on(&mut pty)["pid"], 1);
}

fn the_three_streams_are_the_terminal() {
    let c = with_terminal(["report"]);
    let mut pty = create(&c);
    c.start().quiet();
    let report = report_on(&mut pty);
    let tty = &report["tty"];
    assert_eq!((&tty["stdin"], &tty["stdout"], &tty["stderr"]), (&json!(true), &json!(true), &json!(true)));
    let fds = report["fds"].as_object().expect("descriptors");
    assert!(fds.len() == 3 && fds.values().all(|target| target == "/dev/pts/0"), "{fds:?}");
}

fn the_console_is_the_terminal() {
    let c = with_terminal(["report"]);
    let mut pty = create(&c);
    c.start().quiet();
    let report = report_on(&mut pty);
    let console = &report["dev"]["console"];
    assert_eq!((&console["type"], &console["major"], &console["minor"]), (&json!("char"), &json!(136), &json!(0)));
    let mount = report["mounts"].as_array().expect("mounts").iter().find(|mount| mount["target"] == "/dev/console");
    assert_eq!(mount.expect("a mount at /dev/console")["type"], "devpts");
}

fn the_terminal_is_the_controlling_one() {
    let c = with_terminal(["report"]);
    let mut pty = create(&c);
    c.start().quiet();
    // The device number of /dev/pts/0, as /proc/PID/stat shows it.
    assert_eq!(report_on(&mut pty)["tty"]["controlling"], 136 << 8);
}

fn the_configured_size_is_set() {
    let c = with_terminal(["report"]).set("/process/consoleSize", json!({"width": 99, "height": 33}));
    let mut pty = create(&c);
    assert_eq!(pty.size(), (99, 33));
    c.start().quiet();
    let report = report_on(&mut pty);
    assert_eq!((&report["tty"]["columns"], &report["tty"]["rows"]), (&json!(99), &json!(33)));
}

fn typed_text_arrives() {
    let c = with_terminal(["echo-line"]);
    let mut pty = create(&c);
    c.start().quiet();
    pty.wait_for("ready");
    pty.type_text("hello\n");
    pty.wait_for("got hello");
}

fn a_detached_run_sends_the_master() {
    let c = with_terminal(["echo-line"]);
    let socket = ConsoleSocket::new(c.dir());
    c.run_with([Path::new("--detach"), Path::new("--console-socket"), socket.path()]).quiet();
    let (mut pty, _) = socket.receive();
    pty.wait_for("ready");
    pty.type_text("hello\n");
    pty.wait_for("got hello");
}

fn the_terminal_belongs_to_the_user() {
    let c = with_terminal(["report", "/dev/pts"]).set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let mut pty = create(&c);
    c.start().quiet();
    assert_eq!(report_on(&mut pty)["paths"]["/dev/pts"]["0"]["uid"], 1000);
}

fn a_terminal_in_a_user_namespace() {
    let c = with_terminal(["echo-line"]).user_namespace(100_000, 65_536);
    let mut pty = create(&c);
    c.start().quiet();
    pty.wait_for("ready");
    pty.type_text("hello\n");
    pty.wait_for("got hello");
}

fn the_socket_may_have_a_relative_path() {
    needs(Need::Not("runc", "it is looked for in the bundle"));
    needs(Need::Not("crun", "it is looked for in the bundle"));
    let c = with_terminal(["sleep"]);
    let socket = ConsoleSocket::new(c.dir());
    c.create_call(["--console-socket", "console.sock"]).cwd(c.dir()).run().quiet();
    socket.receive();
}

/// Starts a foreground run whose standard streams and controlling terminal are `pty`.
fn run_on(c: &Container, pty: &Pty) -> Running {
    let call = c.prepare(Call::launched(c.dir(), &["--session"]));
    call.arg("run").arg("--bundle").arg(c.bundle()).arg(c.id()).spawn_on(pty.terminal())
}

fn a_foreground_run_has_the_callers_size() {
    needs(Need::Not("runc", "older releases set it when the program may be running"));
    needs(Need::Not("crun", "older releases leave the size at nothing"));
    let c = with_terminal(["report"]);
    let mut pty = Pty::new(71, 17);
    let run = run_on(&c, &pty);
    let tty = report_on(&mut pty)["tty"].clone();
    assert_eq!((&tty["columns"], &tty["rows"], &tty["stdin"]), (&json!(71), &json!(17), &json!(true)));
    run.wait().ok();
    c.nothing_left();
}

fn a_foreground_run_passes_what_is_typed() {
    let c = with_terminal(["echo-line"]);
    let mut pty = Pty::new(80, 24);
    let run = run_on(&c, &pty);
    pty.wait_for("ready");
    pty.type_text("hello\r");
    pty.wait_for("got hello");
    run.wait().ok();
}

fn a_foreground_run_returns_the_code() {
    let c = with_terminal(["exit", "9"]);
    let pty = Pty::new(80, 24);
    run_on(&c, &pty).wait().exits(9);
    c.nothing_left();
}

fn a_foreground_run_makes_the_callers_terminal_raw_and_restores_it() {
    let c = with_terminal(["echo-line"]);
    let mut pty = Pty::new(80, 24);
    let modes = |pty: &Pty| tcgetattr(pty.terminal()).expect("read the terminal's modes").local_modes;
    let before = modes(&pty);
    assert!(before.contains(LocalModes::ECHO | LocalModes::ICANON));
    let run = run_on(&c, &pty);
    pty.wait_for("ready");
    let during = modes(&pty);
    assert!(!during.intersects(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG), "not raw: {during:?}");
    pty.type_text("x\r");
    run.wait().ok();
    assert_eq!(modes(&pty), before);
}

fn a_control_character_reaches_the_program() {
    let c = with_terminal(["sleep"]);
    let mut pty = Pty::new(80, 24);
    let run = run_on(&c, &pty);
    pty.wait_for("ready");
    pty.type_text("\u{3}");
    pty.wait_for("SIGINT");
    run.wait().exits(128 + 2);
}

fn a_signal_to_the_runtime_reaches_the_program() {
    let c = with_terminal(["sleep"]);
    let mut pty = Pty::new(80, 24);
    let run = run_on(&c, &pty);
    pty.wait_for("ready");
    run.signal(Signal::TERM);
    pty.wait_for("SIGTERM");
    run.wait().exits(128 + 15);
}

fn a_change_of_size_is_passed_on() {
    needs(Need::Not("crun", "older releases leave the size at nothing"));
    let c = with_terminal(["tty-size-on-winch"]);
    let mut pty = Pty::new(80, 24);
    let run = run_on(&c, &pty);
    pty.wait_for("ready");
    pty.resize(123, 45);
    pty.wait_for("123x45");
    c.kill("KILL").ok();
    run.wait().exits(128 + 9);
}

fn a_change_of_size_told_by_signal_is_passed_on() {
    needs(Need::Not("crun", "older releases leave the size at nothing"));
    // As BuildKit does it: the terminal is not the runtime's controlling one, the signal is sent by hand.
    let c = with_terminal(["tty-size-on-winch"]);
    let mut pty = Pty::new(80, 24);
    let run = c.call("run").arg("--bundle").arg(c.bundle()).arg(c.id()).spawn_on(pty.terminal());
    pty.wait_for("ready");
    pty.resize(99, 55);
    run.signal(Signal::WINCH);
    pty.wait_for("99x55");
    c.kill("KILL").ok();
    run.wait().exits(128 + 9);
}

fn a_foreground_run_loses_no_output() {
    let c = with_terminal(["flood", "400000"]);
    let mut pty = Pty::new(80, 24);
    let run = run_on(&c, &pty);
    let seen = pty.drain();
    run.wait().ok();
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines.len(), 50_000);
    assert!(lines.iter().enumerate().all(|(index, line)| line.parse() == Ok(index)), "lines are out of order");
}

fn a_foreground_run_restores_the_terminal_when_killed() {
    let c = with_terminal(["sleep"]);
    let mut pty = Pty::new(80, 24);
    let before = tcgetattr(pty.terminal()).expect("read the modes").local_modes;
    let run = run_on(&c, &pty);
    pty.wait_for("ready");
    c.kill("KILL").ok();
    run.wait().exits(128 + 9);
    assert_eq!(tcgetattr(pty.terminal()).expect("read the modes").local_modes, before);
}

fn input_that_cannot_be_read_ends_nothing() {
    needs(Need::Not("crun", "it ends with an error"));
    let only_for_writing = File::options().write(true).open("/dev/null").expect("open /dev/null");
    for input in [File::open("/").expect("open a directory"), only_for_writing] {
        let c = with_terminal(["sequence", "print", "here", "--", "exit", "9"]);
        let output = c.call("run").arg("--bundle").arg(c.bundle()).arg(c.id()).stdin_file(input).run();
        assert_eq!((output.code, output.stdout.as_str()), (Some(9), "here\r\n"), "{}", output.stderr);
    }
}

fn output_that_cannot_be_written_ends_nothing() {
    needs(Need::Orlop("a warning says so"));
    let c = with_terminal(["sequence", "print", "here", "--", "exit", "9"]);
    let full = File::options().write(true).open("/dev/full").expect("open /dev/full");
    let output = c.call("run").arg("--bundle").arg(c.bundle()).arg(c.id()).spawn_into(full.into()).wait();
    assert_eq!(output.code, Some(9), "{}", output.stderr);
    assert!(output.stderr.starts_with("warning: write: no space left on device"), "{}", output.stderr);
}
