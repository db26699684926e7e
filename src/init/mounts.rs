//! The config's mounts. Each is made or copied while it is attached nowhere, gets its attributes there, and is put on its
//! target by two descriptors. No path of the container's is ever handed to a mount call (rule R1).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, XattrFlags, fsetxattr, fstat, fstatfs, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_reconfigure,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, fspick, move_mount,
};

use super::copy_up::copy_up;
use super::rootfs::propagate;
use crate::error::{Annotate, Context, Error, Result};
use crate::inside::{Inside, Make, PROC_SUPER_MAGIC};
use crate::plan::{FsLabel, FsOption, Mount, MountLabel, MountSource, Plan, ProcTarget, Propagation};
use crate::sources::Source;
use crate::sys::{MountAttr, mount_setattr};
use crate::timeline;

/// Mounts everything, in the config's order.
pub(super) fn attach(plan: &Plan, root: &Inside, sources: Vec<Option<Source>>) -> Result<()> {
    let _step = timeline::step("mount");
    plan.mounts.iter().zip(sources).try_for_each(|(mount, source)| attach_one(mount, root, source))
}

/// Mounts one.
pub(super) fn attach_one(mount: &Mount, root: &Inside, source: Option<Source>) -> Result<()> {
    let _step = timeline::step_with(|| format!("mount {}", mount.target.display()).into());
    attach_at_target(mount, root, source)
        .doing(|| format!("mount {:?}", mount.target.display().to_string()))
        .field(mount.field)
}

fn attach_at_target(mount: &Mount, root: &Inside, source: Option<Source>) -> Result<()> {
    let destination = || format!("{}.destination", mount.field);
    match (&mount.source, source) {
        (MountSource::Remount(options), _) => {
            let target = root.find(&mount.target).call("openat2").field_with(destination)?;
            reconfigure(mount, options, target.as_fd())?;
            set_attributes(mount, target.as_fd(), mount.attr)
        }
        (MountSource::Filesystem { fstype, source, options }, fallback) => {
            let target = target(mount, root, || Ok(Make::Dir)).field_with(destination)?;
            match (make(mount, fstype, source, options, target.as_fd()), fallback) {
                (Err(error), Some(Source::Tree(tree))) if error.errno() == Some(Errno::PERM) => {
                    put_readonly(mount, &tree, target.as_fd()).field_with(destination)
                }
                (made, _) => {
                    let made = made?;
                    mount.propagation.iter().try_for_each(|p| propagate(made.as_fd(), *p))?;
                    put(made.as_fd(), target.as_fd()).field_with(destination)
                }
            }
        }
        (_, Some(Source::Link(text))) => root.make_link(&mount.target, &text).field_with(destination),
        (_, Some(Source::Tree(tree))) => {
            set_attributes(mount, tree.as_fd(), mount.attr)?;
            let target = target(mount, root, || like(tree.as_fd())).field_with(destination)?;
            put(tree.as_fd(), target.as_fd()).field_with(destination)
        }
        (_, None) => Err(Error::new("its source was not opened")),
    }
}

/// In place of a file system that the container may not have: the host's, to look at.
fn put_readonly(mount: &Mount, tree: &OwnedFd, target: BorrowedFd<'_>) -> Result<()> {
    // As in `plan`: what the host's mount forbids stays forbidden.
    set_attributes(mount, tree.as_fd(), MountAttr { clear: mount.attr.clear & libc::MOUNT_ATTR__ATIME, ..mount.attr })?;
    let readonly = MountAttr { set: libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    mount_setattr(tree.as_fd(), true, readonly).call("mount_setattr")?;
    put(tree.as_fd(), target)
}

/// New options for the file system that is mounted there.
fn reconfigure(mount: &Mount, options: &[FsOption], target: BorrowedFd<'_>) -> Result<()> {
    if options.is_empty() {
        return Ok(());
    }
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    let fs = fspick(target, "", flags).call("fspick")?;
    for option in options {
        configure(fs.as_fd(), option).field_with(|| format!("{}.options[{}]", mount.field, option.index))?;
    }
    fsconfig_reconfigure(&fs)
        .map_err(|errno| with_kernels_words(fs.as_fd(), Error::call("fsconfig", errno).doing("change the file system")))
}

/// Puts a detached mount on its target.
pub(super) fn put(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags).map_err(|errno| {
        let error = Error::call("move_mount", errno);
        match (is_dir(mount), is_dir(target)) {
            (Ok(true), Ok(false)) => error.hint("a directory can't be mounted on a file"),
            (Ok(false), Ok(true)) => error.hint("a file can't be mounted on a directory"),
            _ => error,
        }
    })
}

fn like(source: BorrowedFd<'_>) -> Result<Make> {
    Ok(if is_dir(source)? { Make::Dir } else { Make::File })
}

pub(super) fn is_dir(fd: BorrowedFd<'_>) -> Result<bool> {
    Ok(FileType::from_raw_mode(fstat(fd).call("fstat")?.st_mode) == FileType::Directory)
}

/// Finds the target, and makes it where it is missing. What must not be hidden is checked on what was found, not on the path.
fn target(mount: &Mount, root: &Inside, make: impl FnOnce() -> Result<Make>) -> Result<OwnedFd> {
    if mount.proc == ProcTarget::Refused {
        let found =
            if mount.target_itself { itself(mount, root, make)? } else { root.find_or_make_as(&mount.target, make)? };
        return if is_proc(found.as_fd())? { Err(crate::plan::inside_proc(&mount.target)) } else { Ok(found) };
    }
    match root.find_without_links(&mount.target) {
        Err(Errno::NOENT) => {
            let made = root.find_or_make(&mount.target, make()?)?;
            // Made just now, and so without links; a link that somebody put there meanwhile is found out here.
            drop(made);
            root.find_without_links(&mount.target).map_err(|errno| not_ordinary(mount, errno))
        }
        found => found.map_err(|errno| not_ordinary(mount, errno)),
    }
    .and_then(|found| check_ordinary(mount, found))
}

/// A link in the target's place is mounted on itself; only what is missing is made.
fn itself(mount: &Mount, root: &Inside, make: impl FnOnce() -> Result<Make>) -> Result<OwnedFd> {
    match root.find_itself(&mount.target) {
        Err(Errno::NOENT) => {
            drop(root.find_or_make(&mount.target, make()?)?);
            root.find_itself(&mount.target)
        }
        found => found,
    }
    .call("openat2")
}

fn check_ordinary(mount: &Mount, found: OwnedFd) -> Result<OwnedFd> {
    if mount.proc != ProcTarget::Allowed && !is_dir(found.as_fd())? {
        Err(not_ordinary(mount, Errno::NOTDIR))
    } else {
        Ok(found)
    }
}

/// CVE-2019-19921: a symbolic link in its place would put procfs elsewhere, and leave an attacker's files where it belongs.
fn not_ordinary(mount: &Mount, errno: Errno) -> Error {
    let target = mount.target.display();
    Error::call("openat2", errno)
        .doing(format!("{target} must be mounted on an ordinary directory, reached without links"))
}

fn is_proc(target: BorrowedFd<'_>) -> Result<bool> {
    Ok(fstatfs(target).call("fstatfs")?.f_type == PROC_SUPER_MAGIC)
}

/// A new file system, attached nowhere.
fn make(mount: &Mount, fstype: &str, source: &str, options: &[FsOption], target: BorrowedFd<'_>) -> Result<OwnedFd> {
    let fs = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC).map_err(|errno| {
        let error = Error::call("fsopen", errno);
        if errno == Errno::NODEV {
            error.hint(format!("this kernel doesn't know the file system {fstype:?}"))
        } else {
            error
        }
    })?;
    if !source.is_empty() {
        fsconfig_set_string(&fs, "source", source).call("fsconfig").doing(|| format!("source {source:?}"))?;
    }
    if fstype == "tmpfs" && !options.iter().any(|option| option.key == "mode") {
        // As runc: what was there before keeps its permissions.
        let mode = format!("{:o}", fstat(target).call("fstat")?.st_mode & 0o7777);
        fsconfig_set_string(&fs, "mode", &mode).call("fsconfig")?;
    }
    for option in options {
        configure(fs.as_fd(), option).field_with(|| format!("{}.options[{}]", mount.field, option.index))?;
    }
    if let Some(FsLabel::Option(label)) = &mount.label {
        set_context(fs.as_fd(), label)?;
    }
    fsconfig_create(&fs).map_err(|errno| create_error(fs.as_fd(), fstype, errno))?;
    // What is copied into it has to be written first.
    let late = if mount.copy_up { mount.attr.set & libc::MOUNT_ATTR_RDONLY } else { 0 };
    let attr =
        u32::try_from(mount.attr.set & !late).map_err(|_| Error::new("an attribute that fsmount doesn't take"))?;
    let made = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::from_bits_retain(attr)).call("fsmount")?;
    if let Some(FsLabel::Root(label)) = &mount.label {
        label_root(made.as_fd(), label).field("linux.mountLabel")?;
    }
    if mount.copy_up {
        copy_up(target, made.as_fd()).doing(|| "tmpcopyup")?;
        mount_setattr(made.as_fd(), false, MountAttr { set: late, ..MountAttr::default() }).call("mount_setattr")?;
    }
    if mount.recursive_attr != MountAttr::default() {
        mount_setattr(made.as_fd(), true, mount.recursive_attr).call("mount_setattr")?;
    }
    Ok(made)
}

/// The SELinux context of a file system in the making.
pub(super) fn set_context(fs: BorrowedFd<'_>, label: &MountLabel) -> Result<()> {
    let (option, context) = (label.of.option(), label.context.as_str());
    fsconfig_set_string(fs, option, context)
        .map_err(|errno| with_kernels_words(fs, Error::call("fsconfig", errno).doing(format!("{option} {context:?}"))))
        .field("linux.mountLabel")
}

fn label_root(made: BorrowedFd<'_>, label: &str) -> Result<()> {
    let root = openat(made, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).call("openat")?;
    fsetxattr(&root, "security.selinux", label.as_bytes(), XattrFlags::empty())
        .call("fsetxattr")
        .doing(|| format!("{label:?}"))
}

fn configure(fs: BorrowedFd<'_>, FsOption { key, value, .. }: &FsOption) -> Result<()> {
    let result = match value {
        None => fsconfig_set_flag(fs, key.as_str()),
        Some(value) => fsconfig_set_string(fs, key.as_str(), value.as_str()),
    };
    let text = || value.as_ref().map_or_else(|| key.clone(), |value| format!("{key}={value}"));
    result.map_err(|errno| with_kernels_words(fs, Error::call("fsconfig", errno).doing(format!("option {:?}", text()))))
}

fn create_error(fs: BorrowedFd<'_>, fstype: &str, errno: Errno) -> Error {
    let error = Error::call("fsconfig", errno).doing(format!("make a {fstype} file system"));
    match (fstype, errno) {
        ("sysfs", Errno::PERM) => {
            error.hint("sysfs needs a network namespace that belongs to the container's user namespace")
        }
        ("proc", Errno::PERM) => {
            error.hint("proc needs a pid namespace that belongs to the container's user namespace")
        }
        _ => with_kernels_words(fs, error),
    }
}

/// The kernel says on the descriptor what it didn't like.
fn with_kernels_words(fs: BorrowedFd<'_>, error: Error) -> Error {
    let mut line = [0; 1024];
    match rustix::io::read(fs, &mut line) {
        Ok(length) => error.hint(String::from_utf8_lossy(&line[..length]).trim().trim_start_matches("e ").to_owned()),
        Err(_) => error,
    }
}

/// Attributes and propagation of a copied mount.
fn set_attributes(mount: &Mount, fd: BorrowedFd<'_>, attr: MountAttr) -> Result<()> {
    let set = |attr: MountAttr, recursive| {
        let nothing = attr == MountAttr::default();
        if nothing { Ok(()) } else { mount_setattr(fd, recursive, attr).map_err(locked) }
    };
    match (&mount.source, &mount.propagation[..]) {
        // A single mount, for which one call does both.
        (MountSource::Bind { recursive: false, .. }, [Propagation { kind, .. }]) => {
            set(MountAttr { propagation: *kind, ..attr }, false)?;
        }
        (_, list) => {
            list.iter().try_for_each(|propagation| propagate(fd, *propagation))?;
            set(attr, false)?;
        }
    }
    set(mount.recursive_attr, true)
}

fn locked(errno: Errno) -> Error {
    let error = Error::call("mount_setattr", errno);
    if errno == Errno::PERM {
        return error.hint("a user namespace can't lift what the host's mount forbids");
    }
    error
}
