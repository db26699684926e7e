//! [`mount_setattr`](https://man7.org/linux/man-pages/man2/mount_setattr.2.html), the part of the mount API that rustix lacks.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::checked;

/// What to set and clear on a mount: `MOUNT_ATTR_*` bits, and a propagation type (`MS_PRIVATE`, … or 0 for as it is).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MountAttr {
    /// Bits to set.
    pub set: u64,
    /// Bits to clear first.
    pub clear: u64,
    /// One of `MS_SHARED`, `MS_PRIVATE`, `MS_SLAVE`, `MS_UNBINDABLE`, or 0.
    pub propagation: u64,
}

/// Changes the mount whose root `mount` is, and with `recursive` every mount below it.
///
/// # Errors
/// The errno of the call: `EPERM` when a flag is locked by a more privileged user namespace, `EINVAL` when `mount` is not
/// the root of a mount or bits contradict each other, `ENOSYS` on a kernel before 5.12.
pub fn mount_setattr(mount: BorrowedFd<'_>, recursive: bool, attr: MountAttr) -> Result<(), Errno> {
    let attr =
        libc::mount_attr { attr_set: attr.set, attr_clr: attr.clear, propagation: attr.propagation, userns_fd: 0 };
    set(mount, recursive, &attr)
}

/// Gives the files of a detached mount the owners that `namespace`, a user namespace, has for theirs.
///
/// # Errors
/// The errno of the call: `EINVAL` when the file system can't be id-mapped or the mount is already, `EPERM` without
/// `CAP_SYS_ADMIN` in the user namespace that the file system belongs to.
pub fn map_mount_ids(mount: BorrowedFd<'_>, recursive: bool, namespace: BorrowedFd<'_>) -> Result<(), Errno> {
    let userns_fd = u64::try_from(namespace.as_raw_fd()).map_err(|_| Errno::BADF)?;
    let attr = libc::mount_attr { attr_set: libc::MOUNT_ATTR_IDMAP, attr_clr: 0, propagation: 0, userns_fd };
    set(mount, recursive, &attr)
}

fn set(mount: BorrowedFd<'_>, recursive: bool, attr: &libc::mount_attr) -> Result<(), Errno> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty NUL-terminated string, and `attr` is a `mount_attr` of the size given; both outlive the call.
    checked(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<libc::mount_attr>(),
        )
    })
    .map(|_| ())
}
