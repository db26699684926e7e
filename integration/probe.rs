//! The static program that is a container's only file, and the suite's trampoline and hook on the host.
//!
//! `probe WORD ARGS…` does one small thing and exits; `probe sequence A… -- B… -- C…` does several in turn and stops at
//! the first that fails. Words that wait print `ready` first. What can't be known (no /proc, say) is `null`.
#![allow(missing_docs)]

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::sys::signal::{SigSet, Signal};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};

#[path = "probe/calls.rs"]
mod calls;
#[path = "probe/report.rs"]
mod report;
#[path = "probe/snoop.rs"]
mod snoop;
#[path = "probe/source.rs"]
mod source;

/// What a word comes to: the code to exit with, or the failed call.
type Step = std::io::Result<u8>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    match step(&args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("probe {}: {}", args.join(" "), errno_name(&error));
            ExitCode::from(125)
        }
    }
}

fn step(args: &[String]) -> Step {
    let Some((word, rest)) = args.split_first() else { return Ok(0) };
    match word.as_str() {
        "sequence" => sequence(rest),
        "report" => print(&report::report(rest).to_string()),
        "stat" => print(&rest.iter().map(|path| (path.clone(), report::entry(path))).collect::<Value>().to_string()),
        "ls" => print(&report::listing(&rest[0]).to_string()),
        "source" => print(&source::hash()),
        "exit" => Ok(rest[0].parse().unwrap_or(124)),
        "print" => print(&rest.join(" ")),
        "print-error" => print_error(&rest.join(" ")),
        "flood" => flood(rest[0].parse().unwrap_or(0)),
        "cat" => cat(&rest[0]),
        "write" => std::fs::write(&rest[0], &rest[1]).map(|()| 0),
        "mkdir" => std::fs::create_dir(&rest[0]).map(|()| 0),
        "try-open-write" => print(&outcome(open_for_writing(&rest[0]))),
        "try-open-read" => print(&outcome(std::fs::File::open(&rest[0]))),
        "keep-exe" => keep_executable(&rest[0]),
        "try-write" => print(&outcome(write_into(&rest[0], &rest[1]))),
        "try-mkdir" => print(&outcome(std::fs::create_dir(&rest[0]))),
        "try-exec" => print(&outcome(Command::new(&rest[0]).args(&rest[1..]).status())),
        "try-mknod" => print(&outcome(make_char_device(&rest[0], &rest[1], &rest[2]))),
        "syscall" => print(&calls::outcome(calls::native(&numbers(rest)))),
        "syscall32" => print(&calls::outcome(calls::compat(&numbers(rest)))),
        "eat" => eat(rest[0].parse().unwrap_or(0)),
        "hold" => Ok(hold(rest[0].parse().unwrap_or(0))),
        "spin" => Ok(spin(rest[0].parse().unwrap_or(0))),
        "write-out" => write_out(&rest[0], rest[1].parse().unwrap_or(0)),
        "sleep" => sleep(),
        "ignore-term" => ignore_signals(),
        "spawn" => spawn(rest[0].parse().unwrap_or(1), rest.get(1).map_or("ignore-term", String::as_str)),
        "tty-size-on-winch" => size_on_winch(),
        "echo-line" => echo_line(),
        "count" => count(&rest[0]),
        "hook" => hook(rest),
        "snoop" => snoop::snoop(),
        "notify" => notify(rest),
        "launch" => launch(rest),
        other => {
            eprintln!("probe: no such word: {other}");
            Ok(126)
        }
    }
}

fn numbers(words: &[String]) -> Vec<i64> {
    words.iter().map(|word| word.parse().unwrap_or(0)).collect()
}

fn sequence(args: &[String]) -> Step {
    for one in args.split(|arg| arg == "--") {
        let code = step(one)?;
        if code != 0 {
            return Ok(code);
        }
    }
    Ok(0)
}

fn print(line: &str) -> Step {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(0)
}

fn print_error(line: &str) -> Step {
    writeln!(std::io::stderr(), "{line}")?;
    Ok(0)
}

/// Writes that many bytes in numbered lines, so that a lost or doubled piece shows.
fn flood(bytes: usize) -> Step {
    let mut out = std::io::stdout().lock();
    for line in 0..bytes / 8 {
        writeln!(out, "{line:07}")?;
    }
    out.flush()?;
    Ok(0)
}

/// Copies a file, or with `-` its standard input, to standard output.
fn cat(path: &str) -> Step {
    let mut from: Box<dyn Read> = match path {
        "-" => Box::new(std::io::stdin()),
        path => Box::new(std::fs::File::open(path)?),
    };
    std::io::copy(&mut from, &mut std::io::stdout())?;
    std::io::stdout().flush()?;
    Ok(0)
}

fn open_for_writing(path: &str) -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().write(true).open(path)
}

/// Opens the executable of that process for reading, and when told to end opens what it kept for writing: CVE-2019-5736.
fn keep_executable(pid: &str) -> Step {
    let set = block_all()?;
    let kept = match std::fs::File::open(format!("/proc/{pid}/exe")) {
        Ok(kept) => kept,
        refused => return print(&outcome(refused)),
    };
    print("kept")?;
    while !matches!(set.wait()?, Signal::SIGTERM) {}
    print(&outcome(open_for_writing(&format!("/proc/self/fd/{}", kept.as_raw_fd()))))
}

fn write_into(path: &str, text: &str) -> std::io::Result<()> {
    open_for_writing(path)?.write_all(text.as_bytes())
}

fn make_char_device(path: &str, major: &str, minor: &str) -> std::io::Result<()> {
    let (major, minor) = (major.parse().unwrap_or(0), minor.parse().unwrap_or(0));
    let device = rustix::fs::makedev(major, minor);
    Ok(rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::CharacterDevice, Mode::RUSR, device)?)
}

fn outcome<T>(result: std::io::Result<T>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(error) => errno_name(&error),
    }
}

fn errno_name(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => format!("{:?}", nix::errno::Errno::from_raw(errno)),
        None => error.to_string(),
    }
}

fn block_all() -> std::io::Result<SigSet> {
    let set = SigSet::all();
    set.thread_block()?;
    Ok(set)
}

/// Waits until signalled, says by which signal, and exits as a shell would. Works as pid 1 too, where a signal without a
/// handler is dropped by the kernel.
fn sleep() -> Step {
    let set = block_all()?;
    print("ready")?;
    loop {
        match set.wait()? {
            Signal::SIGCHLD | Signal::SIGWINCH | Signal::SIGURG | Signal::SIGCONT => {}
            signal => {
                print(signal.as_str())?;
                return Ok(128 + u8::try_from(signal as i32).unwrap_or(0));
            }
        }
    }
}

fn ignore_signals() -> Step {
    let set = block_all()?;
    print("ready")?;
    loop {
        print(set.wait()?.as_str())?;
    }
}

fn size_on_winch() -> Step {
    let mut set = SigSet::empty();
    set.add(Signal::SIGWINCH);
    set.thread_block()?;
    print("ready")?;
    // A size that was set before the program ran may still be signalled, so one signal says nothing.
    loop {
        set.wait()?;
        let size = rustix::termios::tcgetwinsize(std::io::stdin())?;
        print(&format!("{}x{}", size.ws_col, size.ws_row))?;
    }
}

fn echo_line() -> Step {
    print("ready")?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    print(&format!("got {}", line.trim_end()))
}

/// Counts: into a file, a line each, or for `-` to standard output. The standard streams that it doesn't need are the container's own
/// null device from the beginning, so that nothing of it is anybody else's.
fn count(path: &str) -> Step {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    let mut to: Box<dyn Write> = if path == "-" {
        Box::new(std::io::stdout())
    } else {
        rustix::stdio::dup2_stdout(&null)?;
        Box::new(std::fs::OpenOptions::new().append(true).create(true).open(path)?)
    };
    drop(null);
    for number in 1_u64.. {
        writeln!(to, "{number}")?;
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Ok(0)
}

/// Says each of the texts to the socket that `NOTIFY_SOCKET` names.
fn notify(texts: &[String]) -> Step {
    let socket = std::os::unix::net::UnixDatagram::unbound()?;
    socket.connect(std::env::var_os("NOTIFY_SOCKET").unwrap_or_default())?;
    for text in texts {
        socket.send(text.as_bytes())?;
    }
    Ok(0)
}

/// Takes that many MiB of memory, touches all of it, and says so.
fn eat(mebibytes: usize) -> Step {
    let mut memory = vec![0_u8; mebibytes << 20];
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    print(&format!("ate {}", memory.iter().map(|byte| u64::from(*byte)).sum::<u64>()))
}

/// Takes that many MiB of memory, touches all of it, and keeps it until the end.
fn hold(mebibytes: usize) -> u8 {
    let memory = vec![0_u8; mebibytes << 20].leak();
    memory.chunks_mut(4096).for_each(|page| page[0] = 1);
    0
}

/// Keeps a CPU busy for that many milliseconds.
fn spin(milliseconds: u64) -> u8 {
    let end = std::time::Instant::now() + std::time::Duration::from_millis(milliseconds);
    while std::time::Instant::now() < end {
        std::hint::spin_loop();
    }
    0
}

/// Writes a file of that many MiB through to its device, and says how many milliseconds that took.
fn write_out(path: &str, mebibytes: usize) -> Step {
    let begin = std::time::Instant::now();
    let mut file = std::fs::File::create(path)?;
    for _ in 0..mebibytes {
        file.write_all(&vec![1; 1 << 20])?;
    }
    file.sync_all()?;
    print(&begin.elapsed().as_millis().to_string())
}

/// Leaves that many children behind that are at this word.
fn spawn(count: u32, word: &str) -> Step {
    for _ in 0..count {
        Command::new("/proc/self/exe").arg(word).stdout(std::process::Stdio::null()).spawn()?;
    }
    Ok(0)
}

/// `hook FILE NAME [--exit N] [--sleep SECONDS] [--say TEXT] [--print TEXT] [ANYTHING…]`: appends one line to FILE about how it was
/// called.
fn hook(args: &[String]) -> Step {
    let mut state = String::new();
    std::io::stdin().read_to_string(&mut state)?;
    let option = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let record = json!({
        "name": args[1],
        "args": report::arguments(),
        "env": report::environment(),
        "cwd": report::cwd(),
        "state": serde_json::from_str::<Value>(&state).unwrap_or(Value::String(state)),
        "namespaces": report::namespaces("self"),
        "root": report::listing("/"),
        "pid": std::process::id(),
        "fds": report::fds(),
        "apparmor": report::apparmor(),
    });
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&args[0])?;
    file.write_all(format!("{record}\n").as_bytes())?;
    if let Some(text) = option("--say") {
        print(text)?;
    }
    if let Some(text) = option("--print") {
        print_error(text)?;
    }
    if let Some(seconds) = option("--sleep") {
        std::thread::sleep(std::time::Duration::from_secs(seconds.parse().unwrap_or(0)));
    }
    Ok(option("--exit").map_or(0, |code| code.parse().unwrap_or(124)))
}

/// `launch [--fd N=PATH]… [--session] [--umask OCTAL] [--uid N] [--groups N,N] [--inheritable CAP] [--activated] -- PROGRAM ARGS…`:
/// becomes PROGRAM with that changed, with --activated also with its pid in `LISTEN_PID`. PATH is opened read-only and stays
/// open over the execve under exactly that number.
fn launch(args: &[String]) -> Step {
    let mut words = args.iter();
    let mut kept: Vec<OwnedFd> = Vec::new();
    let mut umask = None;
    let mut uid = None;
    let mut activated = false;
    while let Some(word) = words.next().filter(|word| *word != "--") {
        let mut value = || words.next().map(String::as_str).unwrap_or_default();
        match word.as_str() {
            "--fd" => kept.push(inheritable(value())?),
            "--umask" => umask = u32::from_str_radix(value(), 8).ok(),
            "--uid" => uid = value().parse().ok(),
            "--groups" => {
                let ids = value().split(',').filter_map(|id| id.parse().ok()).map(rustix::process::Gid::from_raw);
                rustix::thread::set_thread_groups(&ids.collect::<Vec<_>>())?;
            }
            "--inheritable" => {
                let capability = value().parse::<caps::Capability>().map_err(std::io::Error::other)?;
                caps::raise(None, caps::CapSet::Inheritable, capability).map_err(std::io::Error::other)?;
            }
            "--activated" => activated = true,
            "--session" => {
                rustix::process::setsid()?;
                rustix::process::ioctl_tiocsctty(std::io::stdin())?;
            }
            other => eprintln!("probe: launch has no {other}"),
        }
    }
    if let Some(mask) = umask {
        rustix::process::umask(Mode::from_raw_mode(mask));
    }
    let program: Vec<OsString> = words.map(OsString::from).collect();
    let mut command = Command::new(&program[0]);
    command.args(&program[1..]);
    if let Some(uid) = uid {
        command.uid(uid).gid(uid);
    }
    if activated {
        command.env("LISTEN_PID", std::process::id().to_string());
    }
    Err(command.exec())
}

fn inheritable(spec: &str) -> std::io::Result<OwnedFd> {
    let (number, path) = spec.split_once('=').unwrap_or(("3", spec));
    let number = number.parse().unwrap_or(3);
    let mut file = rustix::fs::open(Path::new(path), OFlags::RDONLY, Mode::empty())?;
    if file.as_raw_fd() != number {
        file = rustix::io::fcntl_dupfd_cloexec(&file, number)?;
    }
    if file.as_raw_fd() != number {
        return Err(std::io::Error::other(format!("descriptor {number} is in use")));
    }
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty())?;
    Ok(file)
}
