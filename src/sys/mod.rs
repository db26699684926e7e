//! The kernel calls that neither rustix nor nix wraps, one function each: owned descriptors in, owned descriptors out.
//!
//! This is the only room where `unsafe` may be written. It holds no policy and knows nothing of OCI.
#![allow(unsafe_code)]

mod access;
mod bpf;
mod clone;
mod fd;
mod keyring;
mod mount;
mod net;
mod schedule;
mod seccomp;
mod shared;
mod signal;

pub use access::may_execute;
pub use bpf::{attach_device_program, attached_device_program, load_device_program};
pub use clone::{CloneFlags, Cloned, clone_sibling, clone3, exit_now, unshare, unshare_descriptors};
pub use fd::{cloexec_from, close_all_but, inherited_fd};
pub use keyring::join_session_keyring;
pub use mount::{MountAttr, map_mount_ids, mount_setattr};
pub use net::bring_up;
pub use schedule::{SchedulingAttributes, ioprio_set, sched_setattr, set_mempolicy};
pub use seccomp::{knows_seccomp_flag, set_seccomp_filter};
pub use shared::shared_words;
pub use signal::{block_no_signal, keep_ended_children, pidfd_send_signal, reset_signals};

use rustix::io::Errno;

/// The result of a raw system call: -1 becomes the errno that libc recorded.
fn checked(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result == -1 {
        let errno = std::io::Error::last_os_error();
        return Err(Errno::from_io_error(&errno).unwrap_or(Errno::INVAL));
    }
    Ok(result)
}
