//! Masked and read-only paths.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
    open_tree,
};

use super::mounts::{put, set_context};
use crate::error::{Annotate, Context, Error, Result};
use crate::inside::{Inside, is_char_device};
use crate::plan::{MountLabel, Plan};
use crate::sys::{MountAttr, mount_setattr};
use crate::timeline;

/// Makes the read-only paths read-only, and hides the masked ones.
pub(super) fn protect(plan: &Plan, root: &Inside) -> Result<()> {
    let _step = timeline::step("mask paths, and make paths read-only");
    for (i, path) in plan.readonly_paths.iter().enumerate() {
        each(root, path, |found| make_readonly(found.as_fd())).field_with(|| format!("linux.readonlyPaths[{i}]"))?;
    }
    let mut covers = Covers { root, label: plan.mount_label.as_ref(), file: None, dir: None };
    for (i, path) in plan.masked_paths.iter().enumerate() {
        each(root, path, |found| covers.hide(&found)).field_with(|| format!("linux.maskedPaths[{i}]"))?;
    }
    Ok(())
}

/// A path that this machine or image doesn't have needs no protection.
fn each(root: &Inside, path: &Path, protect: impl FnOnce(OwnedFd) -> Result<()>) -> Result<()> {
    match root.find(path) {
        Ok(found) => protect(found),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(errno) => Err(Error::call("openat2", errno)),
    }
    .doing(|| path.display().to_string())
}

fn make_readonly(found: BorrowedFd<'_>) -> Result<()> {
    let copy = copy(found, OpenTreeFlags::AT_RECURSIVE)?;
    let readonly = MountAttr { set: libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    mount_setattr(copy.as_fd(), false, readonly).call("mount_setattr")?;
    put(copy.as_fd(), found)
}

fn copy(mount: BorrowedFd<'_>, more: OpenTreeFlags) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(mount, "", flags | more).call("open_tree")
}

/// What masked paths are hidden behind: the null device, and one empty directory for all. The first use attaches the one
/// itself; the others get copies of the mount, never a file system each.
struct Covers<'a> {
    root: &'a Inside,
    label: Option<&'a MountLabel>,
    file: Option<OwnedFd>,
    dir: Option<OwnedFd>,
}

impl Covers<'_> {
    fn hide(&mut self, found: &OwnedFd) -> Result<()> {
        let is_dir = FileType::from_raw_mode(fstat(found).call("fstat")?.st_mode) == FileType::Directory;
        let cover = if is_dir { &mut self.dir } else { &mut self.file };
        if let Some(cover) = cover {
            // The cover alone: where a path is named twice, one cover is mounted on another.
            return put(copy(cover.as_fd(), OpenTreeFlags::empty())?.as_fd(), found.as_fd());
        }
        let cover = cover.insert(if is_dir { empty_dir(self.label)? } else { null(self.root)? });
        put(cover.as_fd(), found.as_fd())
    }
}

/// The container's own null device, checked by its numbers: what is called null may be something else (CVE-2025-31133). Read-only
/// means that its mode and owner can't be changed; where the container's `/dev` is the host's, that matters.
fn null(root: &Inside) -> Result<OwnedFd> {
    let broken =
        || Error::new("the container's /dev/null is not the null device, which masked files are hidden behind");
    let null = root.find(Path::new("/dev/null")).map_err(|_| broken())?;
    if !is_char_device(&fstat(&null).call("fstat")?, 1, 3) {
        return Err(broken());
    }
    let copy = copy(null.as_fd(), OpenTreeFlags::empty())?;
    let set = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;
    mount_setattr(copy.as_fd(), false, MountAttr { set, ..MountAttr::default() }).call("mount_setattr")?;
    Ok(copy)
}

fn empty_dir(label: Option<&MountLabel>) -> Result<OwnedFd> {
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).call("fsopen")?;
    for (key, value) in [("source", "tmpfs"), ("size", "4k"), ("nr_inodes", "2"), ("mode", "0555")] {
        fsconfig_set_string(&fs, key, value).call("fsconfig")?;
    }
    if let Some(label) = label {
        set_context(fs.as_fd(), label)?;
    }
    fsconfig_create(&fs).call("fsconfig")?;
    let attr = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attr).call("fsmount")
}
