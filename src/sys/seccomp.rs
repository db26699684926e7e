//! [`seccomp`](https://man7.org/linux/man-pages/man2/seccomp.2.html): a filter for the calls of this process.

use std::os::fd::{FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::checked;
use crate::seccomp::SockFilter;

const SECCOMP_SET_MODE_FILTER: libc::c_uint = 1;

/// Installs a filter for this thread and all that it will make, by `SECCOMP_FILTER_FLAG_*` bits. What comes back is the
/// listener, where the flags ask for one; it is close-on-exec.
///
/// # Errors
/// The errno of seccomp(2): `EACCES` with neither `no_new_privs` nor `CAP_SYS_ADMIN`, `EINVAL` for a flag that the kernel doesn't
/// know or a program that it refuses, `EBUSY` when there is a listener already.
pub fn set_seccomp_filter(flags: u32, program: &[SockFilter]) -> Result<Option<OwnedFd>, Errno> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::TOOBIG)?,
        filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    // SAFETY: `SockFilter` is laid out as the kernel's `struct sock_filter`; the kernel only reads `len` of them, and they outlive
    // the call.
    let fd = unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    let fd = i32::try_from(checked(fd)?).map_err(|_| Errno::BADF)?;
    if libc::c_ulong::from(flags) & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER == 0 {
        return Ok(None);
    }
    // SAFETY: with that flag the kernel returns a descriptor that it has just made for us.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Whether the kernel knows a `SECCOMP_FILTER_FLAG_*` bit: it looks at flags before it looks for a program.
pub fn knows_seccomp_flag(flag: u32) -> bool {
    // SAFETY: the null pointer is never followed; a known flag gets as far as EFAULT.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, flag, std::ptr::null::<libc::sock_fprog>())
    };
    checked(result).is_err_and(|errno| errno == Errno::FAULT)
}
