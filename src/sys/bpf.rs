//! [`bpf`](https://man7.org/linux/man-pages/man2/bpf.2.html): loading a device program and attaching it to a cgroup.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::checked;

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_PROG_QUERY: libc::c_long = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;
const BPF_F_REPLACE: u32 = 4;

/// The most programs that a cgroup has: the kernel's `BPF_CGROUP_MAX_PROGS`.
const MOST_PROGRAMS: usize = 64;

/// By which its device programs are known.
const NAME: [u8; 16] = *b"orlop_devices\0\0\0";

/// `union bpf_attr` for `BPF_PROG_LOAD`, as far as it is used; the kernel takes the rest as zero.
#[repr(C)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

/// `union bpf_attr` for `BPF_PROG_ATTACH`.
#[repr(C)]
struct AttachAttr {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

/// `union bpf_attr` for `BPF_PROG_QUERY`.
#[repr(C)]
struct QueryAttr {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
}

/// `union bpf_attr` for `BPF_PROG_GET_FD_BY_ID`.
#[repr(C)]
struct IdAttr {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

/// `union bpf_attr` for `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct InfoAttr {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// `struct bpf_prog_info` up to the name; the kernel writes no more than there is room for.
#[repr(C)]
#[derive(Default)]
struct ProgInfo {
    before_name: [u64; 8],
    name: [u8; 16],
}

/// Loads a `BPF_PROG_TYPE_CGROUP_DEVICE` program of 8-byte instructions.
///
/// # Errors
/// The errno of bpf(2): `EPERM` without `CAP_BPF` or `CAP_SYS_ADMIN` in the first user namespace, `EINVAL`/`EACCES` when the verifier
/// refuses the program, `E2BIG` when it is too long.
pub fn load_device_program(instructions: &[u64]) -> Result<OwnedFd, Errno> {
    let attr = LoadAttr {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(instructions.len()).map_err(|_| Errno::TOOBIG)?,
        insns: instructions.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
        prog_name: NAME,
    };
    // SAFETY: `attr` is laid out as the kernel's union for this command and as long as said; the instructions and the license outlive the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attr, size_of::<LoadAttr>()) };
    let fd = i32::try_from(checked(fd)?).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a device program to a cgroup, in the place of `old`, with nothing in between, or beside those that others have attached
/// (a device is open to all of them or to none).
///
/// # Errors
/// The errno of bpf(2): `EPERM` when an ancestor forbids further programs or privileges are missing.
pub fn attach_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    old: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let attr = AttachAttr {
        target_fd: cgroup.as_raw_fd().cast_unsigned(),
        attach_bpf_fd: program.as_raw_fd().cast_unsigned(),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI | if old.is_some() { BPF_F_REPLACE } else { 0 },
        replace_bpf_fd: old.map_or(0, |old| old.as_raw_fd().cast_unsigned()),
    };
    // SAFETY: `attr` is laid out as the kernel's union for this command and as long as said; it outlives the call.
    checked(unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const attr, size_of::<AttachAttr>()) })
        .map(|_| ())
}

/// The device program that an earlier [`attach_device_program`] of this program's left at a cgroup.
///
/// # Errors
/// The errno of bpf(2): `EPERM` where privileges are missing.
pub fn attached_device_program(cgroup: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Errno> {
    let mut ids = [0_u32; MOST_PROGRAMS];
    let mut attr = QueryAttr {
        target_fd: cgroup.as_raw_fd().cast_unsigned(),
        attach_type: BPF_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: 64,
    };
    // SAFETY: `attr` is laid out as the kernel's union for this command and as long as said; the array has room for as many ids as said.
    checked(unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, &raw mut attr, size_of::<QueryAttr>()) })?;
    for prog_id in ids.into_iter().take_while(|id| *id != 0) {
        let attr = IdAttr { prog_id, next_id: 0, open_flags: 0 };
        // SAFETY: as above.
        let fd = checked(unsafe {
            libc::syscall(libc::SYS_bpf, BPF_PROG_GET_FD_BY_ID, &raw const attr, size_of::<IdAttr>())
        })?;
        let fd = i32::try_from(fd).map_err(|_| Errno::BADF)?;
        // SAFETY: the kernel has just made this descriptor for us.
        let program = unsafe { OwnedFd::from_raw_fd(fd) };
        if name_of(&program)? == NAME {
            return Ok(Some(program));
        }
    }
    Ok(None)
}

fn name_of(program: &OwnedFd) -> Result<[u8; 16], Errno> {
    let mut info = ProgInfo::default();
    let attr = InfoAttr {
        bpf_fd: program.as_raw_fd().cast_unsigned(),
        info_len: u32::try_from(size_of::<ProgInfo>()).map_err(|_| Errno::TOOBIG)?,
        info: (&raw mut info) as u64,
    };
    // SAFETY: `attr` is laid out as the kernel's union for this command and as long as said; `info` has room for as many bytes as said,
    // all of which may have any value.
    checked(unsafe { libc::syscall(libc::SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &raw const attr, size_of::<InfoAttr>()) })?;
    Ok(info.name)
}
