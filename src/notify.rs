//! systemd's readiness protocol (`sd_notify(3)`), when the caller speaks it: what the container's process says at a socket in the
//! state directory is passed on to the caller's `NOTIFY_SOCKET`.
//!
//! `create` makes the socket's directory, which the container has at `/run/notify`. Who starts the program makes the socket,
//! because a datagram socket without its listener only refuses. Nothing but the readiness is passed on, as with runc: whose main
//! process it is, say, is not for the container to tell.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, Mode, chmodat, mkdirat, unlinkat};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect, recv, send,
    socket_with,
};

use crate::error::{Annotate, Context, Error, Result};
use crate::plan::NOTIFY_NAME;
use crate::state::State;
use crate::sync::send_fd;

/// The directory's name in the state directory.
const DIR: &str = "notify";

/// How long systemd gets to say that it has understood.
const BARRIER: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// Whether the caller wants to know when the program is ready.
pub fn is_asked_for() -> bool {
    callers_socket().is_some()
}

fn callers_socket() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty())
}

/// Where the socket's directory is, for the container's mount.
pub fn dir(root: &Path, id: &str) -> PathBuf {
    root.join(id).join(DIR)
}

/// Makes the socket's directory.
pub fn make_dir(state_dir: BorrowedFd<'_>) -> Result<()> {
    mkdirat(state_dir, DIR, Mode::from_raw_mode(0o755))
        .call("mkdir")
        .doing(|| "make the directory of the notify socket")
}

/// Removes the socket's directory with what is in it.
pub fn remove_dir(state_dir: BorrowedFd<'_>) -> Result<()> {
    let gone = |result| if result == Err(Errno::NOENT) { Ok(()) } else { result };
    gone(unlinkat(state_dir, format!("{DIR}/{NOTIFY_NAME}"), AtFlags::empty()))
        .and_then(|()| gone(unlinkat(state_dir, DIR, AtFlags::REMOVEDIR)))
        .call("unlink")
        .doing(|| "remove the notify socket")
}

/// The socket at which the container's process speaks, and the caller's.
#[derive(Debug)]
pub struct Notify {
    listener: OwnedFd,
    caller: OwnedFd,
}

impl Notify {
    /// Makes the socket. `None` when the caller doesn't want to know, or the container was created for one who did not.
    pub fn begin(state: &State) -> Result<Option<Self>> {
        let Some(path) = callers_socket() else { return Ok(None) };
        let listener = socket()?;
        // A start that failed may have left one.
        match unlinkat(state.dir(), format!("{DIR}/{NOTIFY_NAME}"), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => (),
            Err(errno) => return Err(Error::call("unlink", errno).doing("replace the notify socket")),
        }
        let address = format!("/proc/self/fd/{}/{DIR}/{NOTIFY_NAME}", state.dir().as_raw_fd());
        match bind(&listener, &SocketAddrUnix::new(address).call("socket address")?) {
            Err(Errno::NOENT) => return Ok(None),
            bound => bound.call("bind").doing(|| "make the notify socket")?,
        }
        // Whoever the container's process is.
        let mode = Mode::from_raw_mode(0o777);
        chmodat(state.dir(), format!("{DIR}/{NOTIFY_NAME}"), mode, AtFlags::empty()).call("chmod")?;
        Ok(Some(Self { listener, caller: connect_to(&path)? }))
    }

    /// Waits until the program is ready, and the caller has understood that and which process it is. A program that ends before
    /// was never ready, and that is for the caller to see.
    pub fn wait_ready(&self, init: BorrowedFd<'_>, pid: i32) -> Result<()> {
        loop {
            let mut fds = [PollFd::new(&self.listener, PollFlags::IN), PollFd::new(&init, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) => (),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(Error::call("poll", errno)),
            }
            if !fds[0].revents().is_empty() && self.pass_on(pid)? {
                return self.wait_understood();
            }
            if !fds[1].revents().is_empty() {
                return Ok(());
            }
        }
    }

    /// Reads what the program said, and when that is that it is ready, says so, and that `pid` is the process to watch.
    pub fn pass_on(&self, pid: i32) -> Result<bool> {
        let mut text = [0; 4096];
        let length = match recv(&self.listener, &mut text, RecvFlags::DONTWAIT) {
            Ok((length, _)) => length,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(errno) => return Err(Error::call("recv", errno).doing("the notify socket")),
        };
        let Some(ready) = text[..length].split(|b| *b == b'\n').find(|line| line.starts_with(b"READY=")) else {
            return Ok(false);
        };
        self.tell(&[ready, b"\n"].concat())?;
        self.tell(format!("MAINPID={pid}\n").as_bytes())?;
        Ok(true)
    }

    fn tell(&self, text: &[u8]) -> Result<()> {
        send(&self.caller, text, SendFlags::NOSIGNAL).call("send").doing(|| "NOTIFY_SOCKET").map(drop)
    }

    /// systemd knows who sent a message only as long as the sender lives. It closes the descriptor when it is done with all that came
    /// before: `sd_notify_barrier(3)`.
    fn wait_understood(&self) -> Result<()> {
        let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).call("pipe2")?;
        send_fd(self.caller.as_fd(), b"BARRIER=1", theirs.as_fd()).doing(|| "NOTIFY_SOCKET")?;
        drop(theirs);
        loop {
            match poll(&mut [PollFd::new(&ours, PollFlags::empty())], Some(&BARRIER)) {
                Ok(0) => return Err(Error::new("nobody acknowledged the readiness in 30 s").doing("NOTIFY_SOCKET")),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => (),
                Err(errno) => return Err(Error::call("poll", errno)),
            }
        }
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

fn socket() -> Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).call("socket")
}

/// A name that begins with `@` is an abstract one.
fn connect_to(path: &OsString) -> Result<OwnedFd> {
    let describe = || format!("NOTIFY_SOCKET {}", path.display());
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddrUnix::new_abstract_name(name),
        None => SocketAddrUnix::new(path.as_os_str()),
    };
    let caller = socket()?;
    connect(&caller, &address.call("socket address").doing(describe)?).call("connect").doing(describe)?;
    Ok(caller)
}
