//! [`clone3`](https://man7.org/linux/man-pages/man2/clone.2.html), used like fork(2).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Pid;

use super::checked;

// The libc crate's own constants overflow their type (its issue 3584); these are the kernel's, <linux/sched.h>.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// The `CLONE_*` bits that a caller may pass: namespaces, and the parent of the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CloneFlags(u64);

impl CloneFlags {
    /// The child gets the caller's own parent, so that it becomes the caller's sibling.
    pub const PARENT: Self = Self(libc::CLONE_PARENT as u64);

    /// Takes namespace bits (`CLONE_NEW*`).
    pub fn namespaces(bits: u64) -> Self {
        Self(bits)
    }

    /// Both sets of bits.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// On which side of the clone the caller is.
#[derive(Debug)]
pub enum Cloned {
    /// The new process. It shares nothing with its parent but open files.
    Child,
    /// The process that called: the child's pid as this process sees it, and a descriptor that names it without a race.
    Parent(Pid, OwnedFd),
}

/// Makes a process, as fork(2) does, in the new namespaces of `flags` and (with `cgroup`) directly inside that cgroup.
///
/// The child's signal handlers are reset (`CLONE_CLEAR_SIGHAND`); the parent is told of its death by `SIGCHLD`.
///
/// # Errors
/// The errno of clone3(2): `EAGAIN` at a process limit, `EBUSY`/`EOPNOTSUPP` for a cgroup that takes no process, `EPERM`,
/// `ENOSPC` at a namespace limit, `ENOSYS` on a kernel before 5.3.
pub fn clone3(flags: CloneFlags, cgroup: Option<BorrowedFd<'_>>) -> Result<Cloned, Errno> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: `clone_args` is plain integers, for which all-zero is a valid value meaning "not used".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags.0 | libc::CLONE_PIDFD as u64 | CLONE_CLEAR_SIGHAND;
    args.pidfd = (&raw mut pidfd) as u64;
    // With CLONE_PARENT the kernel takes the signal from the parent's own and refuses another one.
    if flags.0 & CloneFlags::PARENT.0 == 0 {
        args.exit_signal = libc::SIGCHLD as u64;
    }
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::try_from(cgroup.as_raw_fd()).unwrap_or(u64::MAX);
    }
    // SAFETY: no CLONE_VM and no new stack, so the child goes on here in its own copy of this memory, as after fork(2).
    // The callers keep the process single-threaded until they are done cloning, so that no lock (the allocator's above
    // all) can be held by a thread that does not exist in the child. `args` and `pidfd` outlive the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match i32::try_from(checked(pid)?).ok().and_then(Pid::from_raw) {
        None => Ok(Cloned::Child),
        // SAFETY: the kernel has stored a new descriptor there for the parent, and nobody else owns it.
        Some(pid) => Ok(Cloned::Parent(pid, unsafe { OwnedFd::from_raw_fd(pidfd) })),
    }
}

/// Makes a process as [`clone3`] does with [`CloneFlags::PARENT`] and no namespace, by the older clone(2). Signal handlers stay
/// as they are.
///
/// # Errors
/// The errno of clone(2).
pub fn clone_sibling() -> Result<Cloned, Errno> {
    let mut pidfd: libc::c_int = -1;
    let flags = libc::CLONE_PARENT | libc::CLONE_PIDFD;
    // SAFETY: as in `clone3`. The third argument is where the pidfd goes; that those after it differ in their order between
    // machines doesn't matter, as all are zero.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, &raw mut pidfd, 0, 0) };
    match i32::try_from(checked(pid)?).ok().and_then(Pid::from_raw) {
        None => Ok(Cloned::Child),
        // SAFETY: as in `clone3`.
        Some(pid) => Ok(Cloned::Parent(pid, unsafe { OwnedFd::from_raw_fd(pidfd) })),
    }
}

/// Ends this process without running exit handlers and without flushing buffers, which in a cloned child are its parent's.
pub fn exit_now(status: u8) -> ! {
    // SAFETY: _exit(2) takes an integer and does not return.
    unsafe { libc::_exit(i32::from(status)) }
}

/// Gives this thread a table of descriptors of its own, which begins as a copy and ends with the thread. What a thread opens after
/// this is open for nobody else, so no descriptor may pass between this thread and another one.
///
/// # Errors
/// The errno of unshare(2).
pub fn unshare_descriptors() -> Result<(), Errno> {
    // SAFETY: what is open now is open in both tables, under the same numbers, so every descriptor that either side holds stays valid.
    checked(unsafe { libc::c_long::from(libc::unshare(libc::CLONE_FILES)) }).map(|_| ())
}

/// Moves this process into new namespaces, by their `CLONE_NEW*` bits.
///
/// # Errors
/// The errno of unshare(2).
pub fn unshare(namespaces: u64) -> Result<(), Errno> {
    let flags = i32::try_from(namespaces).map_err(|_| Errno::INVAL)?;
    // SAFETY: namespace bits change what this process sees, not what it has in memory, and the callers are single-threaded.
    checked(unsafe { libc::c_long::from(libc::unshare(flags)) }).map(|_| ())
}
