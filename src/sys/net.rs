//! [`netdevice`](https://man7.org/linux/man-pages/man7/netdevice.7.html): a network device's flags.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::checked;

/// The libc crate's own is of another type than its ioctl(2) takes, with musl.
const SIOCSIFFLAGS: libc::Ioctl = 0x8914;

/// Sets the device called `name`, of this process's network namespace, up.
///
/// # Errors
/// `ENODEV` when there is none, `EPERM` without `CAP_NET_ADMIN` over the namespace.
pub fn bring_up(name: &CStr) -> Result<(), Errno> {
    // SAFETY: integers only.
    let socket = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    checked(libc::c_long::from(socket))?;
    // SAFETY: the kernel has just made this descriptor for us.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
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
