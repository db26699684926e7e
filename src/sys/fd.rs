//! Ranges of descriptors ([`close_range`](https://man7.org/linux/man-pages/man2/close_range.2.html)) and those that
//! the caller of the program left open for it.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use rustix::io::Errno;

use super::checked;

/// Closes every descriptor from `first` on but `kept`, whoever owns it: for a process that is about to wait and to execute.
///
/// Owners of the closed ones must not be dropped afterwards; a caller never returns to them.
pub fn close_all_but<'a>(first: u32, mut kept: impl AsMut<[BorrowedFd<'a>]>) -> Result<(), Errno> {
    let kept = kept.as_mut();
    kept.sort_by_key(AsRawFd::as_raw_fd);
    let mut next = first;
    for kept in kept.iter().map(|fd| fd.as_raw_fd().cast_unsigned()) {
        if kept > next {
            close_range(next, kept - 1, 0)?;
        }
        next = next.max(kept + 1);
    }
    close_range(next, u32::MAX, 0)
}

/// Marks every descriptor from `first` on close-on-exec.
pub fn cloexec_from(first: u32) -> Result<(), Errno> {
    close_range(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

fn close_range(first: u32, last: u32, flags: u32) -> Result<(), Errno> {
    // SAFETY: takes integers only. What it closes is the contract of `close_all_but`, above.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }).map(|_| ())
}

/// A descriptor that was open when the program started, such as those of `--preserve-fds`.
///
/// # Errors
/// `EBADF` when there is none of that number.
pub fn inherited_fd(number: RawFd) -> Result<BorrowedFd<'static>, Errno> {
    // SAFETY: fcntl(F_GETFD) reads one flag of whatever the number names, or fails.
    let flags = checked(unsafe { libc::c_long::from(libc::fcntl(number, libc::F_GETFD)) })?;
    // What came through execve(2) can't have the flag, and everything that this program opens has it.
    if flags & libc::c_long::from(libc::FD_CLOEXEC) != 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: it is open, was not opened by this program, and so nothing here owns or closes it.
    Ok(unsafe { BorrowedFd::borrow_raw(number) })
}
