//! What the kernel weighs when processes compete, and where their memory comes from.

use rustix::io::Errno;
use rustix::process::Pid;

use super::checked;

/// What of `struct sched_attr` (`<linux/sched/types.h>`) its first version has.
#[derive(Debug, Clone, Copy, Default)]
pub struct SchedulingAttributes {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// From -20 to 19.
    pub nice: i32,
    /// Of the real-time policies.
    pub priority: u32,
    /// Of `SCHED_DEADLINE`, in nanoseconds.
    pub runtime: u64,
    /// Of `SCHED_DEADLINE`, in nanoseconds.
    pub deadline: u64,
    /// Of `SCHED_DEADLINE`, in nanoseconds.
    pub period: u64,
}

/// Sets how a process is scheduled: [`sched_setattr`](https://man7.org/linux/man-pages/man2/sched_setattr.2.html).
///
/// # Errors
/// `EPERM` without `CAP_SYS_NICE` for what needs it, `EINVAL` for parameters that the kernel doesn't take together, `EBUSY` where
/// the CPUs can't keep a deadline.
pub fn sched_setattr(pid: Pid, attributes: SchedulingAttributes) -> Result<(), Errno> {
    // In the kernel's order, without padding; the size is that of the first version of the structure.
    #[repr(C)]
    struct SchedAttr {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        times: [u64; 3],
    }
    let SchedulingAttributes { policy, flags, nice, priority, runtime, deadline, period } = attributes;
    let mut attr = SchedAttr { size: 48, policy, flags, nice, priority, times: [runtime, deadline, period] };
    // SAFETY: a structure of the size that it says, which the kernel reads, and writes its own size to on E2BIG.
    checked(unsafe { libc::syscall(libc::SYS_sched_setattr, pid.as_raw_nonzero().get(), &raw mut attr, 0) }).map(|_| ())
}

/// Sets the I/O priority of one process: [`ioprio_set`](https://man7.org/linux/man-pages/man2/ioprio_set.2.html). `class` is 1 to 3,
/// `level` 0 to 7.
///
/// # Errors
/// `EPERM` for the real-time class without `CAP_SYS_NICE` or `CAP_SYS_ADMIN`.
pub fn ioprio_set(pid: Pid, class: u16, level: u16) -> Result<(), Errno> {
    const WHO_PROCESS: libc::c_int = 1;
    let value = libc::c_int::from(class << 13 | level);
    // SAFETY: takes integers only.
    checked(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, pid.as_raw_nonzero().get(), value) }).map(|_| ())
}

/// Sets from which NUMA nodes this process and its children get memory:
/// [`set_mempolicy`](https://man7.org/linux/man-pages/man2/set_mempolicy.2.html).
///
/// # Errors
/// `EINVAL` for a node that the machine or the cgroup doesn't have, or a mode that the kernel doesn't know; `ENOSYS` on a kernel
/// without NUMA.
pub fn set_mempolicy(mode: i32, nodes: &[u64]) -> Result<(), Errno> {
    let mask = if nodes.is_empty() { std::ptr::null() } else { nodes.as_ptr() };
    // The kernel reads one bit less than it is told: a count that starts at one, since Linux 2.5.
    let bits = if nodes.is_empty() { 0 } else { nodes.len() * 64 + 1 };
    // SAFETY: the mask has that many bits, or is null and has none. The kernel reads whole words, of which the last is the slice's.
    checked(unsafe { libc::syscall(libc::SYS_set_mempolicy, libc::c_long::from(mode), mask, bits) }).map(|_| ())
}
