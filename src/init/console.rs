//! The container's terminal: a pseudo terminal of its own devpts, whose main side goes to the caller.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fchown, fstat, fstatfs, mknodat, openat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::process::ioctl_tiocsctty;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stdin};
use rustix::termios::{Winsize, tcsetwinsize};

use super::mounts::put;
use crate::error::{Annotate, Context, Error, Result};
use crate::inside::{Inside, Make};
use crate::plan::Process;
use crate::sync::{Step, Sync, send_fd};
use crate::timeline;

const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;

/// Opens the terminal, makes it this process's own, its standard streams and `/dev/console`. What comes back is the main side.
pub(super) fn open(process: &Process, root: &Inside) -> Result<Option<OwnedFd>> {
    let main = open_streams(process, root)?;
    if main.is_some() {
        bind_console(root, stdin()).doing(|| "bind /dev/console").field("process.terminal")?;
        control()?;
    }
    Ok(main)
}

/// Opens the terminal and makes it the standard streams, and no more than that.
pub(super) fn open_streams(process: &Process, root: &Inside) -> Result<Option<OwnedFd>> {
    let Some(terminal) = process.terminal else { return Ok(None) };
    let main = open_main(root).doing(|| "open a terminal").field("process.terminal")?;
    // The other side by ioctl, not by the name that it seems to have (rule R3, CVE-2025-52565).
    let peer = ioctl_tiocgptpeer(&main, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
        .call("ioctl(TIOCGPTPEER)")
        .field("process.terminal")?;
    if let Some((rows, columns)) = terminal.size {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&main, size).call("ioctl(TIOCSWINSZ)").field("process.consoleSize")?;
    }
    let owner = rustix::process::Uid::from_raw(process.user.uid);
    fchown(&peer, Some(owner), None).call("fchown").field("process.terminal")?;
    dup2_stdin(&peer).and_then(|()| dup2_stdout(&peer)).and_then(|()| dup2_stderr(&peer)).call("dup2")?;
    Ok(Some(main))
}

/// Makes the terminal on the standard streams the controlling one of this process, which leads a session.
pub(super) fn control() -> Result<()> {
    ioctl_tiocsctty(stdin()).call("ioctl(TIOCSCTTY)").field("process.terminal")
}

/// A directory that is a devpts by its magic number has nothing in it but terminals.
fn open_main(root: &Inside) -> Result<OwnedFd> {
    let missing = || Error::new("a terminal needs a devpts mount at /dev/pts").hint("add it to mounts");
    let pts = root.find(Path::new("/dev/pts")).map_err(|_| missing())?;
    if fstatfs(&pts).call("fstatfs")?.f_type != DEVPTS_SUPER_MAGIC {
        return Err(missing());
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let main = openat(&pts, "ptmx", flags, Mode::empty()).call("open").doing(|| "/dev/pts/ptmx")?;
    unlockpt(&main).call("ioctl(TIOCSPTLCK)")?;
    Ok(main)
}

/// Puts the terminal on `/dev/console`, which must be a file of that directory and no link.
fn bind_console(root: &Inside, peer: BorrowedFd<'_>) -> Result<()> {
    let dev = root.find_or_make(Path::new("/dev"), Make::Dir)?;
    match mknodat(&dev, "console", FileType::RegularFile, Mode::from_raw_mode(0o600), 0) {
        Ok(()) | Err(Errno::EXIST) => (),
        Err(errno) => return Err(Error::call("mknodat", errno)),
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = openat(&dev, "console", flags, Mode::empty()).call("open")?;
    if matches!(FileType::from_raw_mode(fstat(&target).call("fstat")?.st_mode), FileType::Symlink | FileType::Directory)
    {
        return Err(Error::new("it is a symbolic link or a directory"));
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let copy = open_tree(peer, "", flags).call("open_tree")?;
    put(copy.as_fd(), target.as_fd())
}

/// Sends the main side to the console socket, or to the parent where there is none.
pub(super) fn hand_over(main: Option<OwnedFd>, socket: Option<BorrowedFd<'_>>, parent: &Sync) -> Result<()> {
    let Some(main) = main else { return Ok(()) };
    let _step = timeline::step("hand the terminal over");
    match socket {
        None => parent.send(Step::Terminal, &[], Some(main.as_fd())),
        // runc's name for the terminal is the text that goes with it.
        Some(socket) => {
            send_fd(socket, b"/dev/pts/ptmx", main.as_fd()).doing(|| "send the terminal to the console socket")
        }
    }
}
