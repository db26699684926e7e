//! [`keyctl`](https://man7.org/linux/man-pages/man2/keyctl.2.html): the session keyring.

use std::ffi::CStr;

use rustix::io::Errno;

use super::checked;

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;

/// Gives this process a new session keyring called `name`, or joins the one that has that name.
///
/// # Errors
/// `ENOSYS` where the kernel has no keyrings, `EDQUOT` at the user's quota of keys, `EACCES` for somebody else's keyring.
pub fn join_session_keyring(name: &CStr) -> Result<(), Errno> {
    // SAFETY: `name` is a NUL-terminated string that outlives the call.
    checked(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) }).map(|_| ())
}
