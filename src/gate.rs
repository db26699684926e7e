//! The gate: what a created container waits at, and `start` opens.
//!
//! A listening socket in the state directory, made before the container's init is born and inherited by it. `start`
//! connects and says "go"; the init accepts, and the two go on in the words of `sync`: `Executing` when it has nothing left to do
//! but execve(2), which it calls with the connection still open. Close-on-exec then ends the connection: executed. A failure
//! is written to it first, an end before `Executing` is a death, and an init that is gone refuses at once.
//!
//! A connection that ends before "go" opens nothing.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
    recv, socket_with,
};

use crate::agent::never_came;
use crate::error::{Annotate, Context, Error, Result};
use crate::sync::{Step, Sync, out_of_order};
use crate::timeline;

/// What takes the listener of the init's seccomp filter.
pub type HandOver<'a> = &'a dyn Fn(&OwnedFd) -> Result<()>;

const NAME: &str = "gate";
const GO: &[u8] = b"go";

/// Makes the gate in a state directory, closed.
pub fn make(state_dir: BorrowedFd<'_>) -> Result<OwnedFd> {
    let _step = timeline::step("make the gate");
    let listener = socket(SocketFlags::CLOEXEC)?;
    bind(&listener, &address(state_dir)?).call("bind").doing(|| "make the gate")?;
    listen(&listener, 16).call("listen").doing(|| "make the gate")?;
    Ok(listener)
}

/// Waits until somebody opens the gate. The connection that comes back tells them how it went, by its end.
pub fn wait(gate: BorrowedFd<'_>) -> Result<Sync> {
    let _step = timeline::step("wait at the gate");
    loop {
        let caller = match accept_with(gate, SocketFlags::CLOEXEC) {
            Err(Errno::INTR | Errno::CONNABORTED) => continue,
            accepted => accepted.call("accept")?,
        };
        let mut word = [0; GO.len()];
        match recv(&caller, &mut word, RecvFlags::empty()) {
            Ok(_) if word == GO => return Ok(Sync::over(caller)),
            Ok(_) | Err(Errno::CONNRESET | Errno::INTR) => (),
            Err(errno) => return Err(Error::call("recv", errno)),
        }
    }
}

/// Tells whoever opened the gate that the program comes next.
pub fn announce_program(caller: &Sync) -> Result<()> {
    timeline::last_step("execute the program");
    match caller.tell(Step::Executing) {
        // The caller of start went away; the program doesn't depend on it.
        Err(error) if matches!(error.errno(), Some(Errno::PIPE | Errno::CONNRESET)) => Ok(()),
        told => told,
    }
}

/// Opens the gate, and returns when the program was executed. `agent` is given the listener of the init's seccomp filter.
///
/// # Errors
/// The init's own report of why the program could not be executed, or that it died before. `ECONNREFUSED` or `ENOENT` when
/// nobody waits there: the gate was opened before, or the init is dead.
pub fn open(state_dir: BorrowedFd<'_>, agent: Option<HandOver<'_>>) -> Result<()> {
    let _step = timeline::step("open the gate, until the program is executed");
    let caller = socket(SocketFlags::CLOEXEC)?;
    connect(&caller, &address(state_dir)?).call("connect").doing(|| "open the gate")?;
    rustix::net::send(&caller, GO, SendFlags::NOSIGNAL).call("send").doing(|| "open the gate")?;
    if agent.is_none() {
        wait_for_end(caller.as_fd())?;
    }
    let init = Sync::over(caller);
    let (mut program_is_next, mut listener_is_due) = (false, agent.is_some());
    loop {
        match init.next()? {
            Ok((Step::Executing, _)) => program_is_next = true,
            Ok((Step::Listener, received)) => {
                hand_over(received.fd, agent)?;
                listener_is_due = false;
            }
            Ok((step, _)) => return Err(out_of_order(step, Step::Executing)),
            Err(_closed) if program_is_next && listener_is_due => return Err(never_came()),
            Err(_closed) if program_is_next => return Ok(()),
            Err(_closed) => return Err(died()),
        }
    }
}

fn hand_over(listener: Option<OwnedFd>, agent: Option<HandOver<'_>>) -> Result<()> {
    match (listener, agent) {
        (Some(listener), Some(agent)) => agent(&listener),
        _ => Err(Error::new("a listener came that nobody asked for")),
    }
}

/// Sleeps through everything that is said, which waits to be read: to be woken twice would cost the program time.
fn wait_for_end(caller: BorrowedFd<'_>) -> Result<()> {
    loop {
        match poll(&mut [PollFd::new(&caller, PollFlags::RDHUP)], None) {
            Err(Errno::INTR) => (),
            other => return other.call("poll").map(drop),
        }
    }
}

/// What became of an init that left no word.
pub fn died() -> Error {
    Error::new("the container's init died before it executed the program")
}

/// Takes the gate away once the program was executed.
pub fn remove(state_dir: BorrowedFd<'_>) -> Result<()> {
    match unlinkat(state_dir, NAME, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(Error::call("unlink", errno).doing("remove the gate")),
    }
}

fn socket(flags: SocketFlags) -> Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).call("socket")
}

/// A socket's address has room for 107 bytes; by the directory's descriptor it is short wherever the state root is.
fn address(state_dir: BorrowedFd<'_>) -> Result<SocketAddrUnix> {
    SocketAddrUnix::new(format!("/proc/self/fd/{}/{NAME}", state_dir.as_raw_fd())).call("socket address")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn state_dir() -> (tempfile::TempDir, std::fs::File) {
        let dir = tempfile::tempdir().unwrap();
        let fd = std::fs::File::open(dir.path()).unwrap();
        (dir, fd)
    }

    #[test]
    fn an_end_after_the_announcement_is_an_execution() {
        let (_dir, fd) = state_dir();
        let gate = make(fd.as_fd()).unwrap();
        let init = thread::spawn(move || announce_program(&wait(gate.as_fd()).unwrap()).unwrap());
        open(fd.as_fd(), None).unwrap();
        init.join().unwrap();
        assert_eq!(open(fd.as_fd(), None).unwrap_err().errno(), Some(Errno::CONNREFUSED));
    }

    #[test]
    fn an_end_before_the_program_is_a_death() {
        let (_dir, fd) = state_dir();
        let gate = make(fd.as_fd()).unwrap();
        let init = thread::spawn(move || drop(wait(gate.as_fd()).unwrap()));
        assert!(open(fd.as_fd(), None).unwrap_err().to_string().contains("died before it executed"));
        init.join().unwrap();
    }

    #[test]
    fn a_failure_arrives_as_the_error_that_it_was() {
        let (_dir, fd) = state_dir();
        let gate = make(fd.as_fd()).unwrap();
        let error = Error::call("execve", Errno::NOEXEC).field("process.args[0]");
        let sent = error.clone();
        let init = thread::spawn(move || wait(gate.as_fd()).unwrap().fault(&sent));
        assert_eq!(open(fd.as_fd(), None).unwrap_err(), error);
        init.join().unwrap();
    }

    #[test]
    fn a_connection_without_a_word_opens_nothing() {
        let (_dir, fd) = state_dir();
        let gate = make(fd.as_fd()).unwrap();
        let connect_and_go = || {
            connect(socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK).unwrap(), &address(fd.as_fd()).unwrap())
                .unwrap();
        };
        (0..5).for_each(|_| connect_and_go());
        let init = thread::spawn(move || announce_program(&wait(gate.as_fd()).unwrap()).unwrap());
        open(fd.as_fd(), None).unwrap();
        init.join().unwrap();
    }
}
