//! [`faccessat2`](https://man7.org/linux/man-pages/man2/access.2.html) on a descriptor itself, which rustix refuses to ask.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::checked;

/// Whether this process, by its effective ids and capabilities, may execute what `file` names; an `O_PATH` descriptor will do.
///
/// # Errors
/// `EACCES` when it may not, for want of permission or because the file's mount is `noexec`.
pub fn may_execute(file: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = libc::AT_EACCESS | libc::AT_EMPTY_PATH;
    // SAFETY: the path is an empty NUL-terminated string that outlives the call.
    checked(unsafe { libc::syscall(libc::SYS_faccessat2, file.as_raw_fd(), c"".as_ptr(), libc::X_OK, flags) })
        .map(|_| ())
}
