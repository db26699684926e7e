//! [`netdevice`](https://man7.org/linux/man-pages/man7/netdevice.7.html): a network device's flags, and the network namespace of a socket.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::checked;

/// The libc crate's own is of another type than its ioctl(2) takes, with musl.
const SIOCSIFFLAGS: libc::Ioctl = 0x8914;

/// The libc crate doesn't have it.
const SIOCGSKNS: libc::Ioctl = 0x894c;

/// Sets the device called `name`, of the network namespace that the socket is in, up.
///
/// # Errors
/// `ENODEV` when there is none, `EPERM` without `CAP_NET_ADMIN` over the namespace.
pub fn bring_up(socket: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    // SAFETY: `ifreq` is plain integers and arrays of them, for which all-zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let bytes = name.to_bytes();
    if bytes.len() >= libc::IFNAMSIZ {
        return Err(Errno::NODEV);
    }
    for (to, from) in request.ifr_name.iter_mut().zip(bytes) {
        *to = from.cast_signed();
    }
    // The flags start out as none but this one: a fresh loopback device has no others that could be set.
    request.ifr_ifru.ifru_flags = 1; // IFF_UP
    // SAFETY: SIOCSIFFLAGS reads an `ifreq`, which outlives the call.
    checked(unsafe { libc::c_long::from(libc::ioctl(socket.as_raw_fd(), SIOCSIFFLAGS, &raw const request)) })
        .map(|_| ())
}

/// The network namespace that the socket is in.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` over the namespace.
pub fn network_namespace_of(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    // SAFETY: SIOCGSKNS takes no argument.
    let namespace = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGSKNS) };
    checked(libc::c_long::from(namespace))?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(namespace) })
}
