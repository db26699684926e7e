//! A socket that a runtime is told to send descriptors to.

use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use super::outcome::{Verdict, expect, wrong};

pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    limit: Duration,
}

/// What came over one connection.
pub(crate) struct Received {
    pub(crate) descriptors: Vec<OwnedFd>,
    pub(crate) text: String,
    pub(crate) stream: UnixStream,
}

impl Socket {
    pub(crate) fn new(dir: &Path, limit: Duration) -> Self {
        let path = dir.join("socket");
        Self { listener: UnixListener::bind(&path).expect("bind a socket"), path, limit }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The first message of the next connection.
    pub(crate) fn receive(&self) -> Verdict<Received> {
        expect(readable(self.listener.as_fd(), self.limit), "the runtime connects to the socket", "nobody did")?;
        let (stream, _) = self.listener.accept().map_err(|error| wrong("a connection", error))?;
        expect(readable(stream.as_fd(), self.limit), "something is sent over the connection", "nothing was")?;
        let mut payload = [0; 16_384];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let buffers = &mut [std::io::IoSliceMut::new(&mut payload)];
        let received = rustix::net::recvmsg(&stream, buffers, &mut control, RecvFlags::CMSG_CLOEXEC);
        let received = received.map_err(|error| wrong("a message", error))?;
        let rights = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let descriptors = rights.flatten().collect();
        Ok(Received { descriptors, text: String::from_utf8_lossy(&payload[..received.bytes]).into_owned(), stream })
    }
}

impl Received {
    /// Whether the other side closes the connection in time, and what it says until then.
    pub(crate) fn rest(&mut self, limit: Duration) -> (bool, String) {
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        while readable(self.stream.as_fd(), limit) {
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return (true, String::from_utf8_lossy(&text).into_owned()),
                Ok(count) => text.extend_from_slice(&buffer[..count]),
            }
        }
        (false, String::from_utf8_lossy(&text).into_owned())
    }
}

/// Whether the descriptor becomes readable, or its other end is closed, in time.
pub(crate) fn readable(fd: BorrowedFd<'_>, within: Duration) -> bool {
    let timeout = Timespec { tv_sec: within.as_secs().cast_signed(), tv_nsec: i64::from(within.subsec_nanos()) };
    poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&timeout)).is_ok_and(|ready| ready > 0)
}
