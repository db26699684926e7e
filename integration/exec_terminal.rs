//! `exec` with a terminal: the relay of the foreground, the console socket of the detached, slow and closed readers; and the
//! socket that gets a descriptor of the process.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::{Value, json};

use crate::support::call::report_in;
use crate::support::case::cases;
use crate::support::container::Adopted;
use crate::support::wait::readable;
use crate::support::{Call, ConsoleSocket, Container, Need, Pty, Running, needs, until};

cases![
    the_terminal_is_the_processes_own,
    the_foreground_has_the_callers_size,
    a_change_of_size_is_passed_on,
    a_change_of_size_told_by_signal_is_passed_on,
    what_is_typed_arrives,
    a_control_character_reaches_the_program,
    the_exit_code_is_the_processes,
    the_callers_terminal_is_raw_meanwhile,
    without_the_flag_there_is_no_terminal,
    no_output_is_lost_to_a_slow_reader,
    a_closed_reader_holds_nobody_up,
    a_file_may_ask_for_it,
    a_size_in_the_file_is_set,
    detached_the_master_is_sent,
    the_words_of_conmon_rs,
    the_words_of_a_shim,
    the_terminal_belongs_to_the_user,
    a_terminal_in_a_user_namespace,
    a_terminal_without_a_socket_is_an_error,
    a_socket_without_a_terminal_is_an_error,
    a_terminal_without_a_devpts_is_an_error,
    a_pidfd_of_the_process_is_sent,
    a_pidfd_of_the_init_is_sent,
];

/// `exec -t OPTIONS ID /probe WORDS` in the foreground, with `pty` for standard streams and controlling terminal.
fn exec_on<'a>(c: &Container, pty: &Pty, options: &[&str], words: impl IntoIterator<Item = &'a str>) -> Running {
    let call = c.prepare(Call::launched(c.dir(), &["--session"])).arg("exec").args(options);
    call.args([c.id(), "/probe"]).args(words).spawn_on(pty.terminal())
}

fn report_on(pty: &mut Pty) -> Value {
    let text = pty.drain();
    report_in(&text).unwrap_or_else(|| panic!("no report in {text:?}"))
}

fn the_terminal_is_the_processes_own() {
    needs(Need::Not("crun", "older releases abort the report"));
    let c = Container::sleeping();
    let mut pty = Pty::new(80, 24);
    let running = exec_on(&c, &pty, &["-t"], ["report"]);
    let report = report_on(&mut pty);
    running.wait().ok();
    let fds = report["fds"].as_object().expect("descriptors");
    assert!(fds.len() == 3 && fds.values().all(|target| target == "/dev/pts/0"), "{fds:?}");
    // The device number of /dev/pts/0.
    assert_eq!(report["tty"]["controlling"], 136 << 8);
    assert_eq!(report["sid"], report["pid"]);
    assert!(report["dev"].get("console").is_none(), "/dev/console is the init's");
}

fn the_foreground_has_the_callers_size() {
    needs(Need::Not("runc", "older releases set it when the program may be running"));
    needs(Need::Not("crun", "older releases leave the size at nothing"));
    let c = Container::sleeping();
    let mut pty = Pty::new(71, 17);
    let running = exec_on(&c, &pty, &["--tty"], ["report"]);
    let tty = report_on(&mut pty)["tty"].clone();
    assert_eq!((&tty["columns"], &tty["rows"]), (&json!(71), &json!(17)));
    running.wait().ok();
}

fn a_change_of_size_is_passed_on() {
    needs(Need::Not("crun", "older releases leave the size at nothing"));
    let c = Container::sleeping();
    let mut pty = Pty::new(80, 24);
    let running = exec_on(&c, &pty, &["-t"], ["tty-size-on-winch"]);
    pty.wait_for("ready");
    for (columns, rows) in [(123, 45), (10, 5), (200, 99)] {
        pty.resize(columns, rows);
        pty.wait_for(&format!("{columns}x{rows}"));
    }
    pty.type_text("\u{3}");
    running.wait().exits(128 + 2);
}

fn a_change_of_size_told_by_signal_is_passed_on() {
    needs(Need::Not("crun", "older releases leave the size at nothing"));
    needs(Need::Not("runc", "older releases lose the signal"));
    // As BuildKit does it: the terminal is not the runtime's controlling one, the signal is sent by hand.
    let c = Container::sleeping();
    let mut pty = Pty::new(80, 24);
    let running = c.call("exec").args(["-t", c.id(), "/probe", "tty-size-on-winch"]).spawn_on(pty.terminal());
    pty.wait_for("ready");
    pty.resize(99, 55);
    running.signal(Signal::WINCH);
    pty.wait_for("99x55");
    running.signal(Signal::INT);
    running.wait().exits(128 + 2);
}

fn what_is_typed_arrives() {
    let c = Container::sleeping();
    let mut pty = Pty::new(80, 24);
    let running = exec_on(&c, &pty, &["-t"], ["echo-line"]);
    pty.wait_for("ready");
    pty.type_text("hello\r");
    pty.wait_for("got hello");
    running.wait().ok();
}

fn a_control_character_reaches_the_program() {
    let c = Container::sleeping();
    let mut pty = Pty::new(80, 24);
    let running = exec_on(&c, &pty, &["-t"], ["sleep"]);
    pty.wait_for("ready");
    pty.type_text("\u{1c}");
    pty.wait_for("SIGQUIT");
    running.wait().exits(128 + 3);
}

fn the_exit_code_is_the_processes() {
    let c = Container::sleeping();
    for code in [0, 9] {
        let pty = Pty::new(80, 24);
        exec_on(&c, &pty, &["-t"], ["exit", &code.to_string()]).wait().exits(code);
    }
}

fn the_callers_terminal_is_raw_meanwhile() {
    let c = Container::sleeping();
    let mut pty = Pty::new(80, 24);
    let modes = |pty: &Pty| tcgetattr(pty.terminal()).expect("read the terminal's modes").local_modes;
    let before = modes(&pty);
    let running = exec_on(&c, &pty, &["-t"], ["echo-line"]);
    pty.wait_for("ready");
    let during = modes(&pty);
    assert!(!during.intersects(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG), "not raw: {during:?}");
    pty.type_text("x\r");
    running.wait().ok();
    assert_eq!(modes(&pty), before);
    // Nor does a failure leave it raw.
    needs(Need::Not("crun", "it makes the directory"));
    exec_on(&c, &pty, &["-t", "--cwd", "/nope"], ["exit", "0"]).wait().exits(255);
    assert_eq!(modes(&pty), before);
}

fn without_the_flag_there_is_no_terminal() {
    needs(Need::Not("crun", "older releases abort the report"));
    // The container's own process has one; a process that joins has one only on request, as with runc.
    let c = Container::new().args(["sleep"]).set("/process/terminal", true);
    let socket = ConsoleSocket::new(c.dir());
    c.create_with([Path::new("--console-socket"), socket.path()]).quiet();
    let (mut pty, _) = socket.receive();
    c.start().quiet();
    pty.wait_for("ready");
    let report = c.call("exec").args([c.id(), "/probe", "report"]).run().quiet().report();
    assert_eq!((&report["tty"]["stdin"], &report["tty"]["controlling"]), (&json!(false), &json!(0)));
}

fn no_output_is_lost_to_a_slow_reader() {
    let c = Container::sleeping();
    let mut pty = Pty::new(80, 24);
    let running = exec_on(&c, &pty, &["-t"], ["flood", "80000"]);
    std::thread::sleep(Duration::from_millis(300));
    let seen = pty.drain();
    running.wait().ok();
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines.len(), 10_000);
    assert!(lines.iter().enumerate().all(|(index, line)| line.parse() == Ok(index)), "lines are out of order");
}

fn a_closed_reader_holds_nobody_up() {
    needs(Need::Not("crun", "it ends with an error"));
    needs(Need::Not("runc", "older releases want a terminal to talk to"));
    let c = Container::sleeping();
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
    drop(read);
    let call = c.call("exec").args(["-t", c.id(), "/probe", "flood", "800000"]);
    call.spawn_into(write).wait().ok();
}

fn process(c: &Container, fields: &Value) -> std::path::PathBuf {
    let mut whole = json!({"cwd": "/", "args": ["/probe", "report"], "user": {"uid": 0, "gid": 0}, "terminal": true});
    whole.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    let path = c.dir().join("process.json");
    std::fs::write(&path, whole.to_string()).expect("write the process file");
    path
}

/// BuildKit's way: a file, the foreground, a pseudoterminal of its own for standard streams.
fn a_file_may_ask_for_it() {
    let c = Container::sleeping();
    let mut pty = Pty::new(80, 24);
    let path = process(&c, &json!({"args": ["/probe", "echo-line"]}));
    let running = c.call("exec").arg("--process").arg(path).arg(c.id()).spawn_on(pty.terminal());
    pty.wait_for("ready");
    pty.type_text("hello\r");
    pty.wait_for("got hello");
    running.wait().ok();
}

fn a_size_in_the_file_is_set() {
    let c = Container::sleeping();
    let socket = ConsoleSocket::new(c.dir());
    let path = process(&c, &json!({"consoleSize": {"width": 99, "height": 33}}));
    let call = c.call("exec").arg("--process").arg(path).arg("--console-socket").arg(socket.path());
    let _process = detached(&c, call.args(["--detach", "--pid-file"]), &[c.id()]);
    let (mut pty, _) = socket.receive();
    assert_eq!(pty.size(), (99, 33));
    needs(Need::Not("crun", "older releases abort the report"));
    assert_eq!(report_on(&mut pty)["tty"]["columns"], 99);
}

/// Makes a call that ends in `--pid-file` and still lacks `words`, and takes care of what it leaves running.
fn detached(c: &Container, call: Call, words: &[&str]) -> Adopted {
    let pid_file = c.dir().join("exec.pid");
    call.arg(&pid_file).args(words).run().quiet();
    Adopted::from_pid_file(&pid_file)
}

fn detached_the_master_is_sent() {
    let c = Container::sleeping();
    let socket = ConsoleSocket::new(c.dir());
    let call = c.call("exec").args(["-d", "-t", "--console-socket"]).arg(socket.path()).arg("--pid-file");
    let _process = detached(&c, call, &[c.id(), "/probe", "echo-line"]);
    let (mut pty, payload) = socket.receive();
    assert!(!payload.is_empty() && payload.len() < 4096, "{} bytes came with it", payload.len());
    pty.wait_for("ready");
    pty.type_text("hello\n");
    pty.wait_for("got hello");
}

fn the_words_of_conmon_rs() {
    let c = Container::sleeping();
    let socket = ConsoleSocket::new(c.dir());
    let call = c.call("exec").arg("-d").arg(format!("--console-socket={}", socket.path().display())).arg("--tty");
    let pid_file = c.dir().join("exec.pid");
    let call = call.arg(format!("--pid-file={}", pid_file.display()));
    call.args([c.id(), "/probe", "echo-line"]).run().quiet();
    let _process = Adopted::from_pid_file(&pid_file);
    let (mut pty, _) = socket.receive();
    pty.wait_for("ready");
    pty.type_text("x\n");
    pty.drain();
}

fn the_words_of_a_shim() {
    let c = Container::sleeping();
    let socket = ConsoleSocket::new(c.dir());
    let path = process(&c, &json!({"args": ["/probe", "echo-line"]}));
    let call = c.call("exec").arg("--process").arg(path).arg("--console-socket").arg(socket.path());
    let _process = detached(&c, call.args(["--detach", "--pid-file"]), &[c.id()]);
    let (mut pty, _) = socket.receive();
    pty.wait_for("ready");
    pty.type_text("x\n");
    pty.drain();
}

fn the_terminal_belongs_to_the_user() {
    needs(Need::Not("crun", "older releases abort the report"));
    let c = Container::sleeping();
    let mut pty = Pty::new(80, 24);
    let running = exec_on(&c, &pty, &["-t", "--user", "1000:1000"], ["report", "/dev/pts"]);
    assert_eq!(report_on(&mut pty)["paths"]["/dev/pts"]["0"]["uid"], 1000);
    running.wait().ok();
}

fn a_terminal_in_a_user_namespace() {
    let c = Container::new().args(["sleep"]).user_namespace(100_000, 65_536).up();
    let mut pty = Pty::new(80, 24);
    let running = exec_on(&c, &pty, &["-t"], ["echo-line"]);
    pty.wait_for("ready");
    pty.type_text("hello\r");
    pty.wait_for("got hello");
    running.wait().ok();
}

fn a_terminal_without_a_socket_is_an_error() {
    needs(Need::Not("crun", "it takes what there is"));
    let c = Container::sleeping();
    let output = c.call("exec").args(["-d", "-t", c.id(), "/probe", "exit", "0"]).run().exits(255);
    assert!(output.message().contains("will detach without setting console socket"));
}

fn a_socket_without_a_terminal_is_an_error() {
    needs(Need::Not("crun", "it takes what there is"));
    let c = Container::sleeping();
    let socket = ConsoleSocket::new(c.dir());
    for options in [&["-d"][..], &["-t"]] {
        let call = c.call("exec").args(options).arg("--console-socket").arg(socket.path());
        let output = call.args([c.id(), "/probe", "exit", "0"]).run().exits(255);
        assert!(output.message().contains("cannot use console socket if"));
    }
}

fn a_terminal_without_a_devpts_is_an_error() {
    needs(Need::Orlop("the text"));
    let c = Container::new().args(["sleep"]).edit(|config| crate::support::config::drop_mount(config, "/dev/pts")).up();
    let output = c.call("exec").args(["-t", c.id(), "/probe", "exit", "0"]).run().exits(255);
    assert!(
        output.message().contains("process.terminal: open a terminal: a terminal needs a devpts mount at /dev/pts")
    );
}

/// The process behind a pidfd.
fn pid_of(pidfd: &OwnedFd) -> i32 {
    use std::os::fd::AsRawFd;
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).expect("fdinfo");
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).expect("a pidfd");
    pid.trim().parse().expect("a pid")
}

fn a_pidfd_of_the_process_is_sent() {
    needs(Need::Not("runc", "older releases have no such flag"));
    needs(Need::Not("crun", "it has no such flag"));
    let c = Container::sleeping();
    let (socket, pid_file) = (ConsoleSocket::new(c.dir()), c.dir().join("exec.pid"));
    let call = c.call("exec").arg("--pidfd-socket").arg(socket.path()).arg("--pid-file").arg(&pid_file);
    let running = call.args([c.id(), "/probe", "sleep"]).spawn();
    running.wait_for("ready");
    let (pidfd, text) = socket.receive_fd();
    assert_eq!(text, "setns");
    // The program may be quicker than the runtime, which writes the file once it was executed.
    let pid = until("the pid file", || std::fs::read_to_string(&pid_file).ok());
    assert_eq!(pid_of(&pidfd).to_string(), pid);
    assert!(!readable(pidfd.as_fd(), Duration::ZERO));
    running.signal(Signal::TERM);
    running.wait().exits(128 + 15);
    assert!(readable(pidfd.as_fd(), Duration::ZERO));
}

fn a_pidfd_of_the_init_is_sent() {
    needs(Need::Not("runc", "older releases have no such flag"));
    needs(Need::Not("crun", "it has no such flag"));
    let c = Container::new().args(["sleep"]);
    let socket = ConsoleSocket::new(c.dir());
    c.create_with([Path::new("--pidfd-socket"), socket.path()]).quiet();
    let (pidfd, text) = socket.receive_fd();
    assert_eq!((text.as_str(), pid_of(&pidfd)), ("standard", c.pid()));
    let missing = Container::new();
    missing
        .create_with(["--pidfd-socket", "/nope"])
        .fails(["--pidfd-socket /nope: connect: no such file or directory"]);
    missing.nothing_left();
}
