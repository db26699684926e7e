//! The container's new network namespace, which the parent makes while the child mounts.
//!
//! To make one takes the kernel as long as all other namespaces and all mounts of a usual container together, and the child doesn't
//! need it before sysfs is mounted. The parent, which has nothing else to do then, goes there and comes back:
//! `docs/decisions/0017-network.md`.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::{Annotate, Context, Error, Result};
use crate::plan::{Kind, Namespaces};
use crate::{sys, timeline};

/// A network namespace that is to be made.
#[derive(Debug)]
pub struct NewNetwork {
    /// Where this process is, and comes back to.
    home: File,
}

impl NewNetwork {
    /// Sees whether this process can make it: not where it would have to belong to a user namespace of the container's, and not where
    /// there is no way back, because the own one belongs to a user namespace further out. It is made at the child's birth then.
    ///
    /// # Errors
    /// When this process's own can't be opened.
    pub fn beside(namespaces: &Namespaces) -> Result<Option<Self>> {
        if !namespaces.is_new(Kind::Network) || namespaces.has(Kind::User) {
            return Ok(None);
        }
        let home = File::open("/proc/self/ns/net").call("open").doing(|| "/proc/self/ns/net")?;
        // To join where one is changes nothing, but asks for the right to come back.
        match move_into_link_name_space(home.as_fd(), Some(LinkNameSpaceType::Network)) {
            Ok(()) => Ok(Some(Self { home })),
            Err(_) => Ok(None),
        }
    }

    /// Makes it, hands it over as soon as it is there, and brings its loopback device up.
    ///
    /// # Errors
    /// Where it can't be made, and those of `hand_over`.
    pub fn make(self, hand_over: impl FnOnce(BorrowedFd<'_>) -> Result<()>) -> Result<()> {
        let _step = timeline::step("make the network namespace");
        sys::unshare(Kind::Network.bit()).map_err(make_error)?;
        let made = hand_over_this(hand_over);
        move_into_link_name_space(self.home.as_fd(), Some(LinkNameSpaceType::Network))
            .call("setns")
            .doing(|| "return to the runtime's own network namespace")?;
        made
    }
}

fn hand_over_this(hand_over: impl FnOnce(BorrowedFd<'_>) -> Result<()>) -> Result<()> {
    let socket = socket()?;
    hand_over(sys::network_namespace_of(socket.as_fd()).call("ioctl(SIOCGSKNS)")?.as_fd())?;
    bring_loopback_up(socket.as_fd())
}

/// Any socket: it stays in the network namespace that it was made in, and stands for it.
pub fn socket() -> Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).call("socket")
}

/// A new network namespace starts with its loopback device down, and programs expect it up.
pub fn bring_loopback_up(socket: BorrowedFd<'_>) -> Result<()> {
    let _step = timeline::step("bring the loopback device up");
    sys::bring_up(socket, c"lo")
        .call("ioctl(SIOCSIFFLAGS)")
        .doing(|| "bring the loopback device up")
        .field("linux.namespaces")
}

fn make_error(errno: Errno) -> Error {
    let error = Error::call("unshare", errno).doing("make the network namespace").field("linux.namespaces");
    match errno {
        Errno::NOSPC => error.hint("a limit on namespaces is reached: see /proc/sys/user/max_net_namespaces"),
        Errno::PERM => error.hint("new namespaces need CAP_SYS_ADMIN, or a new user namespace"),
        _ => error,
    }
}
