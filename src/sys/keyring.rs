//! [`keyctl`](https://man7.org/linux/man-pages/man2/keyctl.2.html): the session keyring.

use std::ffi::CStr;

use rustix::io::Errno;

use super::checked;

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
const KEYCTL_SETPERM: libc::c_long = 5;

/// What a new session keyring allows (all to who has it; view, read, link to its user), and to its user to search it, without
/// which it can't be joined by name: keyctl(2).
const SHARED: libc::c_ulong = 0x3f1b_0000;

/// Gives this process a new session keyring called `name`, or joins the one of this user and user namespace that has that name.
///
/// # Errors
/// `ENOSYS` where the kernel has no keyrings, `EDQUOT` at the user's quota of keys, `EACCES` for somebody else's keyring.
pub fn join_session_keyring(name: &CStr) -> Result<(), Errno> {
    // SAFETY: `name` is a NUL-terminated string that outlives the call.
    let keyring = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) };
    let keyring = checked(keyring)?;
    // SAFETY: integers only.
    match checked(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_SETPERM, keyring, SHARED) }) {
        // Joined, and so somebody else's to decide about.
        Ok(_) | Err(Errno::ACCESS) => Ok(()),
        Err(errno) => Err(errno),
    }
}
