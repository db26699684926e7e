//! What the caller of a command gave to it and waits for: inherited signals and descriptors, sockets, the pid file.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::error::{Annotate, Context, Error, Result};
use crate::host::read_proc;
use crate::plan::{ListenFds, PIDFD_RECEIVER, annotation_field};
use crate::sync::send_fd;
use crate::sys;
use crate::timeline;

/// Takes back what a caller may have decided about signals, and this program's own children need otherwise. To be called first.
pub fn settle_signals() {
    sys::keep_ended_children();
}

/// Who takes a process's terminal, when it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TerminalGoes {
    /// To `--console-socket`; this process goes away.
    ToSocket,
    /// To this process, which stays with it.
    Here,
}

/// Connects to `--console-socket`, by runc's rules and texts for which terminal needs which socket.
pub(crate) fn console_socket(
    path: Option<&Path>,
    has_terminal: bool,
    terminal: TerminalGoes,
) -> Result<Option<OwnedFd>> {
    let wanted = has_terminal && terminal == TerminalGoes::ToSocket;
    match path {
        None if wanted => Err(Error::new("cannot allocate tty if orlop will detach without setting console socket")
            .field("process.terminal")),
        Some(_) if !wanted => Err(Error::new("cannot use console socket if orlop will not detach or allocate tty")),
        None => Ok(None),
        Some(path) => connect(path).map(Some).doing(|| format!("--console-socket {}", path.display())),
    }
}

/// Connects to `--pidfd-socket`.
pub(crate) fn pidfd_socket(path: Option<&Path>) -> Result<Option<OwnedFd>> {
    path.map(|path| connect(path).doing(|| format!("--pidfd-socket {}", path.display()))).transpose()
}

/// Connects to the socket that the annotation names.
pub(crate) fn pidfd_receiver(path: Option<&Path>) -> Result<Option<OwnedFd>> {
    let connect = |path: &Path| connect(path).doing(|| path.display().to_string());
    path.map(connect).transpose().field_with(|| annotation_field(PIDFD_RECEIVER))
}

/// Sends a descriptor of the process there, with runc's word for what made it: `standard` or `setns`.
pub(crate) fn send_pidfd(sockets: impl IntoIterator<Item = OwnedFd>, word: &str, pidfd: BorrowedFd<'_>) -> Result<()> {
    let send = |socket: OwnedFd| send_fd(socket.as_fd(), word.as_bytes(), pidfd);
    sockets.into_iter().try_for_each(send).doing(|| "send a pidfd to the socket that was named for it")
}

fn connect(path: &Path) -> Result<OwnedFd> {
    UnixStream::connect(path).call("connect").map(OwnedFd::from)
}

/// The sockets that systemd's socket activation, or who speaks as it does, left to this process: `sd_listen_fds(3)`.
pub(crate) fn listen_fds() -> Option<ListenFds> {
    let value = |name| std::env::var(name).ok();
    let is_for_us = value("LISTEN_PID")?.parse() == Ok(rustix::process::getpid().as_raw_nonzero().get());
    let count = value("LISTEN_FDS")?.parse().ok().filter(|count| *count > 0)?;
    is_for_us.then(|| ListenFds { count, names: value("LISTEN_FDNAMES") })
}

/// The signals that this process ignores, and with it all that it makes: those that its caller does (nohup, for one), and SIGPIPE,
/// which Rust's runtime does. The lowest bit is signal 1.
///
/// To ask the kernel about each of them would be sixty-four system calls, and a container starts with none of them ignored.
pub(crate) fn ignored_signals() -> Result<u64> {
    let status = read_proc("/proc/self/status")?;
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .ok_or_else(|| Error::new("/proc/self/status doesn't say which signals are ignored"))
}

/// Whether the descriptors that `LISTEN_FDS` and `--preserve-fds` count are there.
pub(crate) fn check_preserved_fds(count: u32) -> Result<()> {
    for i in 0..count {
        let number = i32::try_from(3 + i).map_err(|_| Error::new("--preserve-fds is too large"))?;
        sys::inherited_fd(number)
            .call("fcntl")
            .doing(|| format!("unable to stat preserved-fd {number} (of {count})"))
            .hint("LISTEN_FDS and --preserve-fds count from descriptor 3, and the caller has to leave them open")?;
    }
    Ok(())
}

/// Digits only, and there in one piece or not at all.
pub(crate) fn write_pid_file(path: Option<&Path>, pid: i32) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let _step = timeline::step("write the pid file");
    let describe = || format!("--pid-file {}", path.display());
    let name = path.file_name().ok_or_else(|| Error::new("it has no file name").doing(describe()))?;
    let temporary = path.with_file_name([OsStr::new("."), name].join(OsStr::new("")));
    write_new(&temporary, &pid.to_string())
        .and_then(|()| fs::rename(&temporary, path))
        .call("write")
        .doing(describe)
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
}

/// A file that an earlier, killed create left is replaced, and a link that somebody put in its place is never followed.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    File::options().write(true).create_new(true).mode(0o644).open(path)?.write_all(text.as_bytes())
}
