//! Masked and read-only paths.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
    open_tree,
};

use super::mounts::put;
use crate::error::{Annotate, Context, Error, Result};
use crate::inside::Inside;
use crate::plan::Plan;
use crate::sys::{MountAttr, mount_setattr};

/// Makes the read-only paths read-only, and hides the masked ones.
pub(super) fn protect(plan: &Plan, root: &Inside, null: Option<OwnedFd>) -> Result<()> {
    for (i, path) in plan.readonly_paths.iter().enumerate() {
        each(root, path, |found| make_readonly(found.as_fd())).field_with(|| format!("linux.readonlyPaths[{i}]"))?;
    }
    let mut covers = Covers { file: null, file_used: false, dir: None };
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
    let copy = copy(found)?;
    let readonly = MountAttr { set: libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    mount_setattr(copy.as_fd(), false, readonly).call("mount_setattr")?;
    put(copy.as_fd(), found)
}

fn copy(mount: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    open_tree(mount, "", flags).call("open_tree")
}

/// What masked paths are hidden behind: the null device, and one empty directory for all.
struct Covers {
    file: Option<OwnedFd>,
    file_used: bool,
    dir: Option<OwnedFd>,
}

impl Covers {
    fn hide(&mut self, found: &OwnedFd) -> Result<()> {
        if FileType::from_raw_mode(fstat(found).call("fstat")?.st_mode) == FileType::Directory {
            return self.hide_dir(found.as_fd());
        }
        let null = self.file.as_ref().ok_or_else(|| Error::new("the null device was not opened"))?;
        if std::mem::replace(&mut self.file_used, true) {
            return put(copy(null.as_fd())?.as_fd(), found.as_fd());
        }
        put(null.as_fd(), found.as_fd())
    }

    /// The first use attaches the one directory itself; the others get copies of the mount, never a file system each.
    fn hide_dir(&mut self, found: BorrowedFd<'_>) -> Result<()> {
        if let Some(dir) = &self.dir {
            return put(copy(dir.as_fd())?.as_fd(), found);
        }
        let dir = self.dir.insert(empty_dir()?);
        put(dir.as_fd(), found)
    }
}

fn empty_dir() -> Result<OwnedFd> {
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).call("fsopen")?;
    for (key, value) in [("source", "tmpfs"), ("size", "4k"), ("nr_inodes", "2"), ("mode", "0555")] {
        fsconfig_set_string(&fs, key, value).call("fsconfig")?;
    }
    fsconfig_create(&fs).call("fsconfig")?;
    let attr = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attr).call("fsmount")
}
