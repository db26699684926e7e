//! Signals by number, the real-time ones too, and dispositions, which execve(2) keeps when they are "ignore".

use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::Errno;

use super::checked;

/// Sends a signal to the process that a pidfd names: [`pidfd_send_signal`](https://man7.org/linux/man-pages/man2/pidfd_send_signal.2.html).
///
/// # Errors
/// `ESRCH` when the process is gone, `EPERM`, `EINVAL` for a number that is no signal.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: integers, and a null pointer that the kernel takes for "as kill(2) would".
    checked(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) }).map(|_| ())
}

/// Has `command` start with no signal blocked, whatever this process holds back for itself.
pub fn block_no_signal(command: &mut Command) {
    let unblock = || nix::sys::signal::SigSet::empty().thread_set_mask().map_err(std::io::Error::from);
    // SAFETY: between fork and exec the closure makes one system call, and neither allocates nor takes a lock.
    unsafe { command.pre_exec(unblock) };
}

/// Lets ended children stay until they are waited for. A caller who ignores SIGCHLD leaves that to its programs, and the kernel then
/// drops the children's exit codes: wait(2), NOTES.
pub fn keep_ended_children() {
    // SAFETY: SIG_DFL runs no code of ours, and SIGCHLD can be set.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Sets the signals of the set, whose lowest bit is signal 1, to their default action, and blocks none.
///
/// Of those that aren't ignored execve(2) takes care.
pub fn reset_signals(ignored: u64) -> Result<(), Errno> {
    let unblocked = nix::sys::signal::SigSet::empty().thread_set_mask();
    unblocked.map_err(|errno| Errno::from_raw_os_error(errno as i32))?;
    // Of the kernel itself: a C library keeps some real-time signals from its own function, musl one more than glibc. A `struct
    // sigaction` of the kernel's that is all zero is SIG_DFL, without flags.
    let default = [0_u64; 4];
    let none = std::ptr::null::<u64>();
    for number in (1..=64).filter(|number| ignored >> (number - 1) & 1 == 1) {
        // SAFETY: the kernel reads a structure that is no longer than `default`, and SIG_DFL runs no code of ours.
        checked(unsafe { libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), none, size_of::<u64>()) })?;
    }
    Ok(())
}
