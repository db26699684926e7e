//! A process on its way to become CRIU. For a restore it first makes itself a mount namespace in which CRIU finds what the
//! container gets of the host's; all of that ends with it, and nothing is ever mounted where others see it.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, mkdirat, mknodat, open, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create, fsmount,
    fsopen, move_mount, open_tree, unmount,
};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::attach::container_root;
use super::mounts::{is_dir, put};
use super::rootfs::propagate;
use super::{identity, namespaces};
use crate::criu::{Images, Program, Served};
use crate::error::{Annotate, Context, Error, Result};
use crate::inside::{Inside, Make};
use crate::plan::{Kind, Mount, MountSource, Plan, Propagation};
use crate::sources::{Source, Sources};
use crate::spawn::set_undumpable;
use crate::sync::{Step, Sync};
use crate::sys::{MountAttr, mount_setattr};

/// Where the root file system is in the place.
pub const ROOT: &str = "root";

/// Where it is once more, while mount points are made.
const SCRATCH: &str = "scratch";

/// What CRIU gets to work with.
#[derive(Debug, Clone, Copy)]
pub struct Tools<'a> {
    /// The program.
    pub program: &'a Program,
    /// The checkpoint's files.
    pub images: &'a Images,
    /// Where its own files go, if not there too.
    pub work: Option<&'a Images>,
}

/// Becomes CRIU to make a checkpoint. Returns an exit status when that failed, and the parent was told why.
pub fn serve(tools: Tools<'_>, parent: &Sync) -> u8 {
    let execute = || {
        // What it has to say goes to its log.
        let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).call("open")?;
        dup2_stdin(&null).and_then(|()| dup2_stdout(&null)).and_then(|()| dup2_stderr(&null)).call("dup2")?;
        execute(tools, &[], parent)
    };
    tell(execute(), parent)
}

/// What it gets beside those to restore a container.
#[derive(Debug, Clone, Copy)]
pub struct Restoration<'a> {
    /// What the container gets of the host's.
    pub sources: &'a Sources,
    /// Descriptors of namespaces, which CRIU knows by number.
    pub kept: &'a [OwnedFd],
    /// An empty directory. In CRIU's mount namespace it has the root file system.
    pub place: &'a Path,
}

/// Becomes CRIU to restore a container. Returns as [`serve`].
pub fn restore(plan: &Plan, tools: Tools<'_>, with: Restoration<'_>, parent: &Sync) -> u8 {
    let execute = || {
        if plan.cgroup.scope.is_some() {
            super::wait(parent, Step::Placed)?;
        }
        attach_for_criu(plan, with.sources, with.place)?;
        // No checkpoint has a keyring: processes get the one that CRIU has.
        identity::join_keyring(plan.keyring.as_deref())?;
        execute(tools, with.kept, parent)
    };
    tell(execute(), parent)
}

fn tell(outcome: Result<Infallible>, parent: &Sync) -> u8 {
    match outcome {
        Ok(never) => match never {},
        Err(error) => parent.fault(&error),
    }
    1
}

fn execute(tools: Tools<'_>, kept: &[OwnedFd], parent: &Sync) -> Result<Infallible> {
    let (served, callers) = Served::new(tools.images, tools.work)?;
    parent.send(Step::Executing, served.numbers().as_bytes(), Some(callers.as_fd()))?;
    drop(callers);
    tools.program.execute(&served, kept)
}

/// CRIU wants the root as a mount of its own that nothing lies on. It is below a file system that only this process has.
fn attach_for_criu(plan: &Plan, sources: &Sources, place: &Path) -> Result<()> {
    let old_root = open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).call("open")?;
    propagate(old_root.as_fd(), SLAVE).doing(|| "part from the host's mounts")?;
    let tmpfs = tmpfs()?;
    move_mount(&tmpfs, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .call("move_mount")
        .doing(|| place.display().to_string())?;
    attach(&sources.root, &tmpfs, ROOT).field("root.path")?;
    let mounts: Vec<(&Mount, Option<&OwnedFd>)> =
        plan.mounts.iter().zip(sources.mounts.iter().map(|source| tree(source.as_ref()))).collect();
    make_mount_points(&mounts, &sources.root, &tmpfs)?;
    unmount(place.join(SCRATCH), UnmountFlags::DETACH).call("umount2")
}

/// Makes the root of a restored container read-only, in a process for that alone: CRIU has to write there before. Returns its exit
/// status, and tells the parent how it went.
pub fn make_root_readonly(container: BorrowedFd<'_>, parent: &Sync) -> u8 {
    let make = || {
        set_undumpable()?;
        namespaces::join_all(container, Kind::Mount.bit())?;
        let readonly = MountAttr { set: libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() };
        mount_setattr(container_root()?.root(), false, readonly).call("mount_setattr").field("root.readonly")?;
        parent.tell(Step::Ready)
    };
    match make() {
        Ok(()) => 0,
        Err(error) => {
            parent.fault(&error);
            1
        }
    }
}

const SLAVE: Propagation = Propagation { kind: libc::MS_SLAVE, recursive: true };

fn tree(source: Option<&Source>) -> Option<&OwnedFd> {
    match source {
        Some(Source::Tree(tree)) => Some(tree),
        Some(Source::Link(_)) | None => None,
    }
}

fn tmpfs() -> Result<OwnedFd> {
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).call("fsopen")?;
    fsconfig_create(&fs).call("fsconfig")?;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).call("fsmount")
}

/// Attaches a tree to an entry of the place, which is made.
fn attach(tree: &OwnedFd, place: &OwnedFd, name: &str) -> Result<()> {
    propagate(tree.as_fd(), SLAVE)?;
    if is_dir(tree.as_fd())? {
        mkdirat(place, name, Mode::from_raw_mode(0o700)).call("mkdirat")?;
    } else {
        mknodat(place, name, FileType::RegularFile, Mode::from_raw_mode(0o600), 0).call("mknodat")?;
    }
    let target =
        openat(place, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).call("openat")?;
    put(tree.as_fd(), target.as_fd())
}

/// Makes the mount points that are missing, in a copy of the root that is thrown away with what had to be mounted for that.
/// What is inside a file system that CRIU restores comes from the image.
fn make_mount_points(mounts: &[(&Mount, Option<&OwnedFd>)], root: &OwnedFd, place: &OwnedFd) -> Result<()> {
    let scratch = copy(root.as_fd())?;
    attach(&scratch, place, SCRATCH)?;
    let scratch = Inside::new(scratch);
    let mut restored: Vec<&Path> = Vec::new();
    for (mount, tree) in mounts {
        if restored.iter().any(|above| mount.target.starts_with(above)) {
            continue;
        }
        if matches!(mount.source, MountSource::Filesystem { .. }) {
            restored.push(&mount.target);
        }
        make_mount_point(mount, *tree, &scratch)
            .doing(|| format!("make the mount point {}", mount.target.display()))
            .field(mount.field)?;
    }
    Ok(())
}

fn make_mount_point(mount: &Mount, tree: Option<&OwnedFd>, scratch: &Inside) -> Result<()> {
    let make = match tree {
        Some(tree) if !is_dir(tree.as_fd())? => Make::File,
        _ => Make::Dir,
    };
    let target = scratch.find_or_make(&mount.target, make)?;
    match (&mount.source, tree) {
        (MountSource::Bind { .. }, Some(tree)) => put(tree.as_fd(), target.as_fd()),
        (MountSource::Remount(_), _) => Err(Error::new("a restored container's mounts are not mounted again")),
        _ => Ok(()),
    }
}

fn copy(mount: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    open_tree(mount, "", flags).call("open_tree")
}
