//! A seccomp agent: takes the listener that a runtime sends it, and answers calls in the kernel's place.
#![allow(unsafe_code, reason = "the two requests of a listener are in no library that is not C's")]

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use serde_json::Value;

use super::wait::{deadline, readable};

const NOTIF_RECV: libc::c_ulong = 0xc050_2100;
const NOTIF_SEND: libc::c_ulong = 0xc018_2101;
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`.
const CONTINUE: u32 = 1;

/// The socket that `listenerPath` names.
pub(crate) struct Agent {
    socket: UnixListener,
    path: PathBuf,
}

/// The listener of one filter.
pub(crate) struct Notified {
    listener: OwnedFd,
}

impl Agent {
    pub(crate) fn new(dir: &Path) -> Self {
        let path = dir.join("agent.sock");
        Self { socket: UnixListener::bind(&path).expect("bind the agent's socket"), path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What a runtime sends: the process's state and the listener.
    pub(crate) fn receive(&self) -> (Value, Notified) {
        assert!(readable(self.socket.as_fd(), deadline()), "nobody connected to the agent");
        let (stream, _) = self.socket.accept().expect("accept");
        assert!(readable(stream.as_fd(), deadline()), "nothing was sent to the agent");
        let mut text = [0; 8192];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let buffers = &mut [std::io::IoSliceMut::new(&mut text)];
        let received = rustix::net::recvmsg(&stream, buffers, &mut control, RecvFlags::CMSG_CLOEXEC).expect("recvmsg");
        let rights = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let descriptors: Vec<OwnedFd> = rights.flatten().collect();
        let [listener] = <[OwnedFd; 1]>::try_from(descriptors).expect("exactly one descriptor");
        (serde_json::from_slice(&text[..received.bytes]).expect("JSON"), Notified { listener })
    }
}

/// `struct seccomp_notif`.
#[repr(C)]
#[derive(Default)]
struct Notification {
    id: u64,
    pid: u32,
    flags: u32,
    number: i32,
    arch: u32,
    instruction: u64,
    args: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Answer {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

impl Notified {
    /// Waits for a call and answers it with a value, or with minus an errno. Returns the call's first argument.
    pub(crate) fn answer(&self, value: i64) -> u64 {
        assert!(readable(self.listener.as_fd(), deadline()), "no call came");
        let mut call = Notification::default();
        self.request(NOTIF_RECV, (&raw mut call).cast());
        let (value, error) = if value < 0 { (0, i32::try_from(value).expect("an errno")) } else { (value, 0) };
        let mut answer = Answer { id: call.id, value, error, flags: 0 };
        self.request(NOTIF_SEND, (&raw mut answer).cast());
        call.args[0]
    }

    /// Lets the kernel do every call that comes, until nobody is left who could make one. Returns how many came.
    pub(crate) fn pass_all(&self) -> usize {
        for count in 0.. {
            assert!(readable(self.listener.as_fd(), deadline()), "no call came");
            let mut call = Notification::default();
            if !self.try_request(NOTIF_RECV, (&raw mut call).cast()) {
                return count;
            }
            let mut answer = Answer { id: call.id, value: 0, error: 0, flags: CONTINUE };
            self.try_request(NOTIF_SEND, (&raw mut answer).cast());
        }
        0
    }

    fn request(&self, request: libc::c_ulong, data: *mut libc::c_void) {
        assert!(self.try_request(request, data), "ioctl {request:#x}: {}", std::io::Error::last_os_error());
    }

    /// Whether it was done. What it is about may be gone: ENOENT.
    #[allow(clippy::cast_possible_truncation, reason = "with musl a request is an int, of the same bits")]
    fn try_request(&self, request: libc::c_ulong, data: *mut libc::c_void) -> bool {
        // SAFETY: each request is made with the structure that the kernel expects for it, and that outlives the call.
        let result = unsafe { libc::ioctl(self.listener.as_raw_fd(), request as _, data) };
        let gone = std::io::Error::last_os_error().raw_os_error() == Some(libc::ENOENT);
        assert!(result != -1 || gone, "ioctl {request:#x}: {}", std::io::Error::last_os_error());
        result != -1
    }
}
