//! The container's root: attached, entered, closed behind.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};
use rustix::process::{chdir, chroot, fchdir, pivot_root};

use crate::error::{Annotate, Context, Error, Result};
use crate::inside::Inside;
use crate::plan::{Kind, Plan, Propagation};
use crate::sys::{MountAttr, mount_setattr};
use crate::timeline;

const SLAVE: Propagation = Propagation { kind: libc::MS_SLAVE, recursive: true };

/// Attaches the copy of the root file system where this process can look paths up in it: over its own directory, where hooks
/// look for it by the path that they know. Without a mount namespace its directory is where it is, and nothing is changed.
pub(super) fn attach(plan: &Plan, tree: OwnedFd) -> Result<Inside> {
    let _step = timeline::step("attach the root");
    if plan.namespaces.has(Kind::Mount) {
        attach_copy(plan, tree.as_fd())?;
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));
    Ok(Inside::new(tree))
}

fn attach_copy(plan: &Plan, tree: BorrowedFd<'_>) -> Result<()> {
    // Nothing that is mounted or unmounted here may reach the host.
    let old_root = open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).call("open")?;
    propagate(old_root.as_fd(), SLAVE).doing(|| "part from the host's mounts")?;
    let parted = plan.root.propagation.filter(|p| p.recursive && p.kind == libc::MS_PRIVATE).unwrap_or(SLAVE);
    propagate(tree, parted).field("linux.rootfsPropagation")?;
    let place = place(plan);
    move_mount(tree, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .call("move_mount")
        .doing(|| format!("attach the root file system at {}", place.display()))
        .field("root.path")
}

/// A process in a user namespace may not be allowed to see the directory, and one that is not going to pivot needs its root to
/// cover the old one: both have it on top of `/`.
fn place(plan: &Plan) -> &Path {
    let reachable = || rustix::fs::access(&plan.root.path, rustix::fs::Access::EXISTS).is_ok();
    if plan.root.no_pivot || !reachable() { Path::new("/") } else { &plan.root.path }
}

/// Makes the container's root this process's, and leaves nothing of the old one.
pub(super) fn enter(plan: &Plan, root: &Inside) -> Result<()> {
    let _step = timeline::step("enter the root");
    fchdir(root.root()).call("fchdir")?;
    if plan.root.no_pivot || !plan.namespaces.has(Kind::Mount) {
        chroot(".").call("chroot")?;
    } else {
        // The old root ends up on top of the new one, at the same place, and is taken off from there: pivot_root(2), NOTES.
        pivot_root(".", ".").map_err(pivot_error)?;
        unmount(".", UnmountFlags::DETACH).call("umount2").doing(|| "leave the host's root")?;
    }
    chdir("/").call("chdir")
}

fn pivot_error(errno: Errno) -> Error {
    let error = Error::call("pivot_root", errno).field("root.path");
    if errno == Errno::INVAL {
        return error.hint("the host's root may be an initramfs, which can't be pivoted away from: use --no-pivot");
    }
    error
}

/// What had to wait until everything was made and mounted: the root's own propagation, and read-only mounts.
pub(super) fn finish(plan: &Plan, root: &Inside) -> Result<()> {
    let _step = timeline::step("finish the root");
    let readonly = MountAttr { set: libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    for mount in plan.mounts.iter().filter(|mount| mount.late_readonly) {
        let target = root.find(&mount.target).call("openat2").field(mount.field)?;
        mount_setattr(target.as_fd(), false, readonly).call("mount_setattr").field(mount.field)?;
    }
    if let Some(propagation) = plan.root.propagation {
        // The root alone: what is mounted below has what its own options say.
        propagate(root.root(), Propagation { recursive: false, ..propagation }).field("linux.rootfsPropagation")?;
    }
    if plan.root.readonly {
        mount_setattr(root.root(), false, readonly).call("mount_setattr").field("root.readonly")?;
    }
    Ok(())
}

/// Changes how mounts travel between `mount` and its peers.
pub(super) fn propagate(mount: BorrowedFd<'_>, propagation: Propagation) -> Result<()> {
    let attr = MountAttr { propagation: propagation.kind, ..MountAttr::default() };
    mount_setattr(mount, propagation.recursive, attr).call("mount_setattr")
}
