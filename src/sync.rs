//! The conversation between the parent and the process that it made, until that is as it shall be.
//!
//! One pair of SEQPACKET sockets, one small message a step, in an order that both sides know from the plan:
//!
//! | # | from   | message      | carries            | when |
//! |---|--------|--------------|--------------------|------|
//! | 1 | parent | `Placed`     |                    | `--systemd-cgroup`: systemd has moved the child into its cgroup |
//! | 2 | child  | `Replaced`   | pid, pidfd         | a second clone is needed, see `spawn::Unjoined::needs_replacement` |
//! | 3 | parent | `IdsMapped`  |                    | as 2: the parent knows it; and once more for a new user namespace |
//! | 4 | child  | `Mounted`    |                    | there are prestart, createRuntime or createContainer hooks, or network devices |
//! | 5 | parent | `HooksDone`  |                    | as 4 |
//! | 6 | child  | `Terminal`   | the pty's main side | a terminal without `--console-socket` |
//! | 7 | child  | `Ready`      |                    | always: everything is in place, the program was found |
//! | 8 | parent | `Saved`      |                    | always: the state is on disk, the child may outlive its parent |
//!
//! A process that joins a container (`exec`) is born in the same way, and has less to say:
//!
//! | # | from   | message      | carries            | when |
//! |---|--------|--------------|--------------------|------|
//! | 1 | parent | `Placed`     |                    | only systemd may move it into the container's cgroup, and has |
//! | 2 | child  | `Terminal`   | the pty's main side | a terminal without `--console-socket` |
//! | 3 | child  | `Ready`      |                    | always: it has joined, and the program was found |
//! | 4 | parent | `Limited`    |                    | always: the limits are set |
//! | 5 | child  | `Replaced`   | pid, pidfd         | the container has a pid namespace: another process is the program |
//! | 6 | parent | `IdsMapped`  |                    | as 5: the parent knows it |
//! | 7 | child  | `Executing`  |                    | always: the end of the conversation now means that the program was executed |
//! | 8 | child  | `Listener`   | the filter's listener | a seccomp profile with the action `SCMP_ACT_NOTIFY`; before 5 without `noNewPrivileges` |
//!
//! A container's init says the last two of these to whoever opened its gate.
//!
//! Instead of any of its own messages the child may send `Fault` with the error, and is gone. The end of the
//! conversation anywhere else means that the other side died: a child then exits, a parent says how the child ended.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recv, recvmsg, sendmsg, socketpair,
};

use crate::error::{Context, Error, Result};

/// A step of the conversation; the table above says who sends which when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// The cgroup is there, and the child is in it.
    Placed = 1,
    /// Another process is the container's init from here on.
    Replaced,
    /// The id maps are written.
    IdsMapped,
    /// All namespaces are entered, all mounts and devices are there.
    Mounted,
    /// The network devices are there, the hooks of the runtime's side ran, and the cgroup is finished.
    HooksDone,
    /// Here is the terminal.
    Terminal,
    /// Waiting at the gate from now on.
    Ready,
    /// The parent may go away.
    Saved,
    /// The limits are set.
    Limited,
    /// The program comes next.
    Executing,
    /// Here is the listener of the seccomp filter.
    Listener,
    /// Failed; the payload is the error.
    Fault,
}

impl Step {
    const ALL: [Self; 12] = [
        Self::Placed,
        Self::Replaced,
        Self::IdsMapped,
        Self::Mounted,
        Self::HooksDone,
        Self::Terminal,
        Self::Ready,
        Self::Saved,
        Self::Limited,
        Self::Executing,
        Self::Listener,
        Self::Fault,
    ];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step as u8 == byte)
    }
}

/// One end of the conversation.
#[derive(Debug)]
pub struct Sync {
    socket: OwnedFd,
}

/// What arrived beside the step.
#[derive(Debug, Default)]
pub struct Received {
    /// The bytes behind the step.
    pub payload: Vec<u8>,
    /// At most one descriptor.
    pub fd: Option<OwnedFd>,
}

/// The other side is gone.
#[derive(Debug)]
pub struct Closed;

impl Sync {
    /// Both ends.
    pub fn pair() -> Result<(Self, Self)> {
        let (parent, child) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).call("socketpair")?;
        Ok((Self { socket: parent }, Self { socket: child }))
    }

    /// A conversation over a socket of the same kind that was made otherwise.
    pub fn over(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Says that a step is done.
    pub fn tell(&self, step: Step) -> Result<()> {
        self.send(step, &[], None)
    }

    /// Says that a step is done, with its payload and descriptor.
    pub fn send(&self, step: Step, payload: &[u8], fd: Option<BorrowedFd<'_>>) -> Result<()> {
        send(self.as_fd(), &[IoSlice::new(&[step as u8]), IoSlice::new(payload)], fd)
    }

    /// Hands the other side an error in place of the next step. There is nobody left to tell when that fails.
    pub fn fault(&self, error: &Error) {
        if let Err(lost) = self.send(Step::Fault, &error.to_wire(), None) {
            tracing::debug!("an error could not be handed to the parent: {lost}");
        }
    }

    /// Waits for the next step of the other side, which has to be `expected`.
    ///
    /// # Errors
    /// The fault that the other side sent instead. `Ok(Err(Closed))` when it is gone without a word.
    pub fn wait_for(&self, expected: Step) -> Result<Result<Received, Closed>> {
        match self.next()? {
            Ok((step, received)) if step == expected => Ok(Ok(received)),
            Ok((step, _)) => Err(out_of_order(step, expected)),
            Err(closed) => Ok(Err(closed)),
        }
    }

    /// Waits for the next step of the other side, whichever it is.
    ///
    /// # Errors
    /// As [`Sync::wait_for`].
    pub fn next(&self) -> Result<Result<(Step, Received), Closed>> {
        let Some((message, fd)) = receive(self.as_fd())? else { return Ok(Err(Closed)) };
        let payload = message[1..].to_vec();
        match Step::from_byte(message[0]) {
            Some(Step::Fault) => Err(Error::from_wire(&payload)),
            Some(step) => Ok(Ok((step, Received { payload, fd }))),
            None => Err(Error::new("the other side sent something unknown")),
        }
    }
}

/// Receives a message, with at most one descriptor; `None` at the end of the conversation.
pub fn receive(socket: BorrowedFd<'_>) -> Result<Option<(Vec<u8>, Option<OwnedFd>)>> {
    let mut buffer = vec![0; next_length(socket)?];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR | Errno::CONNRESET) => (),
            other => break other.call("recvmsg")?,
        }
    };
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    buffer.truncate(received.bytes);
    // Which is also what an empty buffer receives.
    Ok((!buffer.is_empty()).then_some((buffer, fd)))
}

/// A step came that the protocol doesn't have there.
pub fn out_of_order(step: Step, expected: Step) -> Error {
    Error::new(format!("the other side is at {step:?} where {expected:?} comes next"))
}

/// Waits for a message and says how long it is; once more where the other side has closed its end with something of ours unread, which
/// the kernel says first, and once: what the other side had to say before is there still.
///
/// The length is 0 at the end of the conversation. A buffer for the longest error would be many pages that are never used.
fn next_length(socket: BorrowedFd<'_>) -> Result<usize> {
    loop {
        let mut none: [u8; 0] = [];
        match recv(socket, &mut none, RecvFlags::PEEK | RecvFlags::TRUNC) {
            Err(Errno::INTR | Errno::CONNRESET) => (),
            other => return Ok(other.call("recv")?.1),
        }
    }
}

impl AsFd for Sync {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sends a descriptor, with a text, to whoever listens at a socket of the caller's.
pub fn send_fd(socket: BorrowedFd<'_>, text: &[u8], fd: BorrowedFd<'_>) -> Result<()> {
    send(socket, &[IoSlice::new(text)], Some(fd))
}

fn send(socket: BorrowedFd<'_>, parts: &[IoSlice<'_>], fd: Option<BorrowedFd<'_>>) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<_> = fd.into_iter().collect();
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Error::new("no room for a descriptor in a message"));
    }
    sendmsg(socket, parts, &mut control, SendFlags::NOSIGNAL).call("sendmsg").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_arrive_in_order_with_what_they_carry() {
        let (parent, child) = Sync::pair().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        child.tell(Step::Mounted).unwrap();
        child.send(Step::Terminal, b"pts", Some(null.as_fd())).unwrap();
        assert!(parent.wait_for(Step::Mounted).unwrap().unwrap().fd.is_none());
        let terminal = parent.wait_for(Step::Terminal).unwrap().unwrap();
        assert_eq!(terminal.payload, b"pts");
        assert!(terminal.fd.is_some());
    }

    #[test]
    fn a_fault_arrives_as_the_error_that_it_was() {
        let (parent, child) = Sync::pair().unwrap();
        let error = Error::call("openat2", Errno::NOENT).field("mounts[2]");
        child.fault(&error);
        assert_eq!(parent.wait_for(Step::Ready).unwrap_err(), error);
    }

    #[test]
    fn an_error_that_quotes_a_long_path_arrives_whole() {
        let (parent, child) = Sync::pair().unwrap();
        let error = Error::new("x".repeat(60 * 1024));
        child.fault(&error);
        assert_eq!(parent.wait_for(Step::Ready).unwrap_err(), error);
    }

    #[test]
    fn a_fault_arrives_when_something_of_ours_was_not_read() {
        let (parent, child) = Sync::pair().unwrap();
        parent.tell(Step::Placed).unwrap();
        let error = Error::call("openat2", Errno::NOENT).field("mounts[2]");
        child.fault(&error);
        drop(child);
        assert_eq!(parent.wait_for(Step::Ready).unwrap_err(), error);
        assert!(parent.wait_for(Step::Ready).unwrap().is_err());
    }

    #[test]
    fn the_wrong_step_and_the_end_are_told_apart() {
        let (parent, child) = Sync::pair().unwrap();
        child.tell(Step::Ready).unwrap();
        assert!(parent.wait_for(Step::Mounted).unwrap_err().to_string().contains("Ready where Mounted"));
        drop(child);
        assert!(parent.wait_for(Step::Ready).unwrap().is_err());
    }

    #[test]
    fn every_step_is_known_by_its_byte() {
        for step in Step::ALL {
            assert_eq!(Step::from_byte(step as u8), Some(step));
        }
        assert_eq!(Step::from_byte(0), None);
    }
}
