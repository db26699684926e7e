//! System calls by their numbers and by every entry that the kernel has, for what a seccomp filter makes of them.
#![allow(unsafe_code, reason = "no library makes a call by a wrong number or through another machine's entry")]

/// What a raw call returned: `ok` and its value, or the name of the errno.
pub(crate) fn outcome(result: i64) -> String {
    match i32::try_from(-result) {
        Ok(errno @ 1..=4095) => format!("{:?}", nix::errno::Errno::from_raw(errno)),
        _ => format!("ok {result}"),
    }
}

/// `syscall NUMBER ARGS…` by the machine's own entry.
pub(crate) fn native(numbers: &[i64]) -> i64 {
    let at = |index: usize| numbers.get(index).copied().unwrap_or(0);
    // SAFETY: the suite makes calls whose arguments are integers; a filter answers most of them.
    let result = unsafe { libc::syscall(at(0), at(1), at(2), at(3), at(4), at(5), at(6)) };
    if result == -1 { -std::io::Error::last_os_error().raw_os_error().map_or(1, i64::from) } else { result }
}

/// How this process is scheduled: policy, flags, niceness, priority, runtime, deadline, period.
pub(crate) fn scheduling() -> Option<serde_json::Value> {
    #[repr(C)]
    #[derive(Default)]
    struct SchedAttr {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        times: [u64; 3],
        clamps: [u32; 2],
    }
    let mut attr = SchedAttr::default();
    // SAFETY: a structure of the size that is told, for the kernel to fill.
    let result = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attr, size_of::<SchedAttr>(), 0) };
    let SchedAttr { policy, flags, nice, priority, times, .. } = attr;
    (result == 0).then(|| {
        serde_json::json!({"policy": policy, "flags": flags, "nice": nice, "priority": priority, "runtime": times[0],
            "deadline": times[1], "period": times[2]})
    })
}

/// The I/O priority of this process: class and level.
pub(crate) fn io_priority() -> [i64; 2] {
    // SAFETY: takes integers only; 1 is IOPRIO_WHO_PROCESS, 0 this process.
    let value = unsafe { libc::syscall(libc::SYS_ioprio_get, 1, 0) };
    [value >> 13, value & 0x1fff]
}

/// The mode of this process's memory policy and its first 64 nodes; the errno's name where there is no such thing.
pub(crate) fn memory_policy() -> serde_json::Value {
    let (mut mode, mut nodes) = (0_i32, [0_u64; 16]);
    // SAFETY: room for the mode and for 1024 nodes.
    let result = unsafe { libc::syscall(libc::SYS_get_mempolicy, &raw mut mode, nodes.as_mut_ptr(), 1024, 0, 0) };
    if result == -1 {
        return format!("{:?}", nix::errno::Errno::last()).into();
    }
    serde_json::json!({"mode": mode, "nodes": nodes[0]})
}

/// The same by `int 0x80`, whose numbers are those of 32-bit x86.
#[cfg(target_arch = "x86_64")]
pub(crate) fn compat(numbers: &[i64]) -> i64 {
    let at = |index: usize| numbers.get(index).copied().unwrap_or(0);
    let result: i64;
    // SAFETY: as above. LLVM keeps rbx for itself, so it is exchanged around the call.
    unsafe {
        std::arch::asm!(
            "xchg {first}, rbx", "int 0x80", "xchg {first}, rbx",
            first = inout(reg) at(1) => _,
            inlateout("rax") at(0) => result,
            in("rcx") at(2), in("rdx") at(3),
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
    // 32 bits come back.
    i64::from(i32::try_from(result & 0xffff_ffff).unwrap_or_else(|_| {
        let low = u32::try_from(result & 0xffff_ffff).unwrap_or(0);
        low.cast_signed()
    }))
}

/// Elsewhere there is no such entry.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn compat(_numbers: &[i64]) -> i64 {
    -i64::from(libc::ENOSYS)
}
