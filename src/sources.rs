//! What the container gets of the host's file tree, opened before anything of the container's is mounted: the root file
//! system, the sources of bind mounts, and device nodes where they can't be made.
//!
//! Each is a detached copy of a mount. All are opened before the first is attached, so that no source path is ever looked up in
//! a tree that already has container mounts in it (CVE-2021-30465).
//!
//! The parent opens them, with its privileges and its view, and the child inherits them; but in a user namespace the child
//! does, because only copies of its own mounts keep the flags and submounts locked that the host's root put there.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, fstat, fstatfs};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{Annotate, Context, Error, Result};
use crate::inside::{PROC_ROOT_INO, PROC_SUPER_MAGIC};
use crate::plan::{Device, Kind, LiveMounts, Mount, MountSource, Plan, ProcTarget};

/// Detached copies of the host's mounts, in the plan's order.
#[derive(Debug)]
pub struct Sources {
    /// The container's root, with everything that is mounted below it.
    pub root: OwnedFd,
    /// One for each of the plan's mounts that is a bind mount.
    pub mounts: Vec<Option<OwnedFd>>,
    /// One for each of the plan's device nodes, in a user namespace.
    pub devices: Vec<OwnedFd>,
    /// The limit of open files as it was, where it had to be raised to hold all this.
    pub file_limit: Option<Rlimit>,
}

impl Sources {
    /// Opens everything that the plan needs of the host.
    pub fn open(plan: &Plan) -> Result<Self> {
        let file_limit = allow_many_files(plan.mounts.len());
        Ok(Self {
            file_limit,
            root: copy(&plan.root.path, true).field("root.path")?,
            mounts: plan.mounts.iter().map(|mount| mount_source(mount, plan)).collect::<Result<_>>()?,
            devices: devices(plan)?,
        })
    }
}

/// The sources of mounts for a container that runs already.
pub fn of_live_mounts(plan: &LiveMounts) -> Result<Vec<Option<OwnedFd>>> {
    let one = |mount: &Mount| match &mount.source {
        MountSource::Bind { path, recursive } => {
            copy(path, *recursive).map(Some).field_with(|| format!("{}.source", mount.field))
        }
        _ => Ok(None),
    };
    plan.mounts.iter().map(one).collect()
}

/// A detached copy of what is mounted at `path`, with `recursive` of everything below too.
fn copy(path: &Path, recursive: bool) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let flags = if recursive { flags | OpenTreeFlags::AT_RECURSIVE } else { flags };
    open_tree(CWD, path, flags).map_err(|errno| {
        let error = Error::call("open_tree", errno).doing(format!("source {:?}", path.display().to_string()));
        match errno {
            Errno::INVAL => {
                error.hint("it is unbindable, or (in a user namespace) something is mounted below it: use rbind")
            }
            _ => error,
        }
    })
}

fn mount_source(mount: &Mount, plan: &Plan) -> Result<Option<OwnedFd>> {
    let source = match &mount.source {
        MountSource::Bind { path, recursive } => {
            copy(path, *recursive).field_with(|| format!("{}.source", mount.field))?
        }
        MountSource::HostCgroups => copy(&plan.cgroup.root, true).field(&mount.field)?,
        MountSource::Filesystem { .. } | MountSource::Remount => return Ok(None),
    };
    if mount.proc == ProcTarget::BoundProc {
        check_is_proc(source.as_fd()).field_with(|| format!("{}.source", mount.field))?;
    }
    Ok(Some(source))
}

/// Only a whole procfs may stand in for /proc; a directory of one could be anything (CVE-2019-16884).
fn check_is_proc(source: BorrowedFd<'_>) -> Result<()> {
    let is_proc = fstatfs(source).call("fstatfs")?.f_type == PROC_SUPER_MAGIC;
    if is_proc && fstat(source).call("fstat")?.st_ino == PROC_ROOT_INO {
        return Ok(());
    }
    Err(Error::new("what is mounted on /proc has to be the root of a proc file system"))
}

/// In a user namespace no device node can be made, and the host's are bound instead.
fn devices(plan: &Plan) -> Result<Vec<OwnedFd>> {
    let bound = plan.namespaces.has(Kind::User) || !rustix::process::geteuid().is_root();
    let nodes = plan.devices.as_ref().filter(|_| bound).map_or(&[][..], |devices| &devices.nodes);
    nodes.iter().map(|device| device_source(device).field(&device.field)).collect()
}

fn device_source(device: &Device) -> Result<OwnedFd> {
    copy(&device.path, false).hint("in a user namespace devices are bound from the host, which has to have them")
}

/// Each bind mount's source is a descriptor until it is attached; a thousand of them need more than the usual limit of open
/// files. Returns the limit as it was.
fn allow_many_files(mounts: usize) -> Option<Rlimit> {
    const SPARE: u64 = 128;
    let limit = getrlimit(Resource::Nofile);
    let wanted = SPARE + mounts as u64;
    if limit.current.is_none_or(|current| current >= wanted) {
        return None;
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        Ok(()) => Some(limit),
        Err(errno) => {
            tracing::debug!("the limit of open files can't be raised: {errno}");
            None
        }
    }
}

/// In the child: the container gets the limit of open files that its caller had.
pub fn restore_file_limit(limit: Option<Rlimit>) -> Result<()> {
    limit.map_or(Ok(()), |limit| setrlimit(Resource::Nofile, limit).call("setrlimit").doing(|| "RLIMIT_NOFILE"))
}
