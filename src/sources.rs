//! What the container gets of the host's file tree, opened before anything of the container's is mounted: the root file
//! system, the sources of bind mounts, and device nodes where they can't be made.
//!
//! Each is a detached copy of a mount. All are opened before the first is attached, so that no source path is ever looked up in
//! a tree that already has container mounts in it (CVE-2021-30465).
//!
//! The parent opens them, with its privileges and its view, and the child inherits them; but in a user namespace the child
//! does, because only copies of its own mounts keep the flags and submounts locked that the host's root put there. Except for
//! id-mapped mounts: mapping the owners of a host's files takes privileges over the host's file system.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, fstatfs, open, readlinkat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{Annotate, Context, Error, Result};
use crate::inside::{PROC_ROOT_INO, PROC_SUPER_MAGIC};
use crate::plan::{Device, IdMapped, Kind, LiveMounts, Mount, MountIds, MountSource, Plan, ProcTarget, SourceLink};
use crate::{spawn, sys, timeline};

/// What a mount has of the host.
#[derive(Debug)]
pub enum Source {
    /// A detached copy of a mount.
    Tree(OwnedFd),
    /// Where a symbolic link leads that is to be copied.
    Link(CString),
}

/// Detached copies of the host's mounts, in the plan's order.
#[derive(Debug)]
pub struct Sources {
    /// The container's root, with everything that is mounted below it; without a mount namespace the directory itself.
    pub root: OwnedFd,
    /// One for each of the plan's mounts that is a bind mount, or may have to become one.
    pub mounts: Vec<Option<Source>>,
    /// One for each of the plan's device nodes, in a user namespace.
    pub devices: Vec<OwnedFd>,
    /// The limit of open files as it was, where it had to be raised to hold all this.
    pub file_limit: Option<Rlimit>,
}

/// What the parent opens for the child.
#[derive(Debug)]
pub enum Opened {
    /// Everything.
    All(Sources),
    /// What has to be opened with the parent's privileges, by the place in the plan's mounts. The child opens the rest.
    IdMapped(Vec<(usize, OwnedFd)>),
}

impl Opened {
    /// In the parent.
    pub fn new(plan: &Plan) -> Result<Self> {
        let id_mapped = id_mapped(&plan.mounts)?;
        if rustix::process::geteuid().is_root() && !plan.namespaces.has(Kind::User) {
            Sources::open(plan, id_mapped).map(Self::All)
        } else {
            Ok(Self::IdMapped(id_mapped))
        }
    }

    /// In the child: opens what the parent could not.
    pub fn complete(self, plan: &Plan) -> Result<Sources> {
        match self {
            Self::All(sources) => Ok(sources),
            Self::IdMapped(opened) => Sources::open(plan, opened),
        }
    }
}

impl Sources {
    /// Everything, in the parent: for CRIU, which mounts with the host's privileges in every container.
    pub fn for_criu(plan: &Plan) -> Result<Self> {
        Self::open(plan, id_mapped(&plan.mounts)?)
    }

    fn open(plan: &Plan, id_mapped: Vec<(usize, OwnedFd)>) -> Result<Self> {
        let _step = timeline::step("open what comes from the host");
        let file_limit = allow_many_files(plan.mounts.len());
        Ok(Self {
            file_limit,
            root: root(plan).field("root.path")?,
            mounts: mount_sources(&plan.mounts, id_mapped, Some(&plan.cgroup.root))?,
            devices: devices(plan)?,
        })
    }
}

/// A copy is for attaching it, and without a mount namespace nothing is attached.
fn root(plan: &Plan) -> Result<OwnedFd> {
    if plan.namespaces.has(Kind::Mount) {
        return copy(&plan.root.path, true);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(&plan.root.path, flags, Mode::empty())
        .call("open")
        .doing(|| format!("{:?}", plan.root.path.display().to_string()))
}

/// The sources of mounts for a container that runs already.
pub fn of_live_mounts(plan: &LiveMounts) -> Result<Vec<Option<Source>>> {
    mount_sources(&plan.mounts, id_mapped(&plan.mounts)?, None)
}

/// The sources of all mounts, some of which are open already.
fn mount_sources(
    mounts: &[Mount],
    opened: Vec<(usize, OwnedFd)>,
    cgroups: Option<&Path>,
) -> Result<Vec<Option<Source>>> {
    let mut opened = opened.into_iter().peekable();
    let source = |(i, mount)| match opened.next_if(|(place, _)| *place == i) {
        Some((_, tree)) => Ok(Some(Source::Tree(tree))),
        None => mount_source(mount, cgroups),
    };
    mounts.iter().enumerate().map(source).collect()
}

/// The id-mapped mounts. Those with the same mapping share the user namespace that it is taken from.
fn id_mapped(mounts: &[Mount]) -> Result<Vec<(usize, OwnedFd)>> {
    let mut known: Vec<(&MountIds, OwnedFd)> = Vec::new();
    let mut all = Vec::new();
    for (i, mount) in mounts.iter().enumerate() {
        let (Some(id_mapped), MountSource::Bind { path, recursive, link }) = (&mount.id_mapped, &mount.source) else {
            continue;
        };
        if !rustix::process::geteuid().is_root() {
            return Err(Error::new("an unprivileged user can't map the owners of files")
                .hint("it takes CAP_SYS_ADMIN in the user namespace that the file system belongs to")
                .field(&id_mapped.field));
        }
        let place = if let Some(place) = known.iter().position(|(ids, _)| *ids == &id_mapped.ids) {
            place
        } else {
            known.push((&id_mapped.ids, user_namespace(&id_mapped.ids).field(&id_mapped.field)?));
            known.len() - 1
        };
        let namespace = &known[place].1;
        let tree = copy_link(path, *recursive, *link).field_with(|| format!("{}.source", mount.field))?;
        map_ids(&tree, id_mapped, namespace.as_fd()).doing(|| format!("id-map {:?}", path.display().to_string()))?;
        all.push((i, tree));
    }
    Ok(all)
}

fn user_namespace(ids: &MountIds) -> Result<OwnedFd> {
    match ids {
        MountIds::Ranges(ids) => spawn::user_namespace(ids),
        MountIds::Like(path) => File::open(path).call("open").map(OwnedFd::from).doing(|| path.display().to_string()),
    }
}

fn map_ids(tree: &OwnedFd, id_mapped: &IdMapped, namespace: BorrowedFd<'_>) -> Result<()> {
    sys::map_mount_ids(tree.as_fd(), id_mapped.recursive, namespace).map_err(|errno| {
        let error = Error::call("mount_setattr", errno).field(&id_mapped.field);
        match errno {
            Errno::INVAL => error.hint("its file system can't be id-mapped, or what is mounted there is already"),
            Errno::PERM => error.hint("needs CAP_SYS_ADMIN in the user namespace that the file system belongs to"),
            _ => error,
        }
    })
}

/// A detached copy of what is mounted at `path`, with `recursive` of everything below too.
fn copy(path: &Path, recursive: bool) -> Result<OwnedFd> {
    copy_link(path, recursive, SourceLink::Followed)
}

fn copy_link(path: &Path, recursive: bool, link: SourceLink) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    flags.set(OpenTreeFlags::AT_SYMLINK_NOFOLLOW, link == SourceLink::Itself);
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

fn mount_source(mount: &Mount, cgroups: Option<&Path>) -> Result<Option<Source>> {
    let field = || format!("{}.source", mount.field);
    let source = match &mount.source {
        MountSource::Bind { path, recursive, link } => {
            if *link == SourceLink::Copied
                && let Some(text) = link_text(path).field_with(field)?
            {
                return Ok(Some(Source::Link(text)));
            }
            copy_link(path, *recursive, *link).field_with(field)?
        }
        MountSource::HostCgroups => match cgroups {
            Some(path) => copy(path, true).field(mount.field)?,
            None => return Ok(None),
        },
        MountSource::Filesystem { .. } => match &mount.fallback {
            Some(path) => copy(path, true).field(mount.field)?,
            None => return Ok(None),
        },
        MountSource::Remount(_) => return Ok(None),
    };
    if mount.proc == ProcTarget::BoundProc {
        check_is_proc(source.as_fd()).field_with(|| format!("{}.source", mount.field))?;
    }
    Ok(Some(Source::Tree(source)))
}

/// Where a symbolic link leads; `None` of anything else.
fn link_text(path: &Path) -> Result<Option<CString>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let doing = || format!("source {:?}", path.display().to_string());
    let found = open(path, flags, Mode::empty()).call("open").doing(doing)?;
    if FileType::from_raw_mode(fstat(&found).call("fstat")?.st_mode) != FileType::Symlink {
        return Ok(None);
    }
    readlinkat(&found, "", Vec::new()).call("readlinkat").doing(doing).map(Some)
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
    let can_not_be_made = plan.namespaces.has(Kind::User) || !rustix::process::geteuid().is_root();
    let bound = can_not_be_made && plan.namespaces.has(Kind::Mount);
    let nodes = plan.devices.as_ref().filter(|_| bound).map_or(&[][..], |devices| &devices.nodes);
    nodes.iter().map(|device| device_source(device).field(&device.field)).collect()
}

/// The host's device of that path, to be bound.
pub fn device_source(device: &Device) -> Result<OwnedFd> {
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
