//! Mounts in a container that runs already, made and taken away by a process that enters its namespaces for that alone. It stays
//! out of the container's pid namespace, and so out of its sight, and out of its cgroup, which may be frozen.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::fchdir;

use super::{attach, identity, mounts, namespaces};
use crate::error::{Annotate, Context, Error, Result};
use crate::inside::Inside;
use crate::plan::{Kind, LiveMounts, Mount};
use crate::sources::{Source, of_live_mounts};
use crate::spawn::set_undumpable;
use crate::sync::{Step, Sync};

/// What is to be done.
#[derive(Debug)]
pub enum Work {
    /// The mounts are made. Their sources, where the parent opened them.
    Add(Option<Vec<Option<Source>>>),
    /// They are taken away.
    Remove,
}

/// Runs in a process that was just born. Returns its exit status, and tells the parent how it went.
pub fn run(plan: &LiveMounts, container: BorrowedFd<'_>, work: Work, parent: &Sync) -> u8 {
    match work_in(plan, container, work).and_then(|()| parent.tell(Step::Ready)) {
        Ok(()) => 0,
        Err(error) => {
            parent.fault(&error);
            1
        }
    }
}

fn work_in(plan: &LiveMounts, container: BorrowedFd<'_>, work: Work) -> Result<()> {
    set_undumpable()?;
    match work {
        Work::Add(Some(sources)) => add(plan, &enter(plan, container, plan.namespaces)?, sources),
        Work::Add(None) => {
            let sources = sources_in_user_namespace(plan, container)?;
            // A user namespace can't be joined twice.
            add(plan, &enter(plan, container, plan.namespaces & !Kind::User.bit())?, sources)
        }
        Work::Remove => {
            let root = enter(plan, container, plan.namespaces)?;
            plan.mounts.iter().try_for_each(|mount| remove(mount, &root))
        }
    }
}

/// As at the container's creation: only copies of mounts that belong to its user namespace keep the flags locked that the host's
/// root put there.
fn sources_in_user_namespace(plan: &LiveMounts, container: BorrowedFd<'_>) -> Result<Vec<Option<Source>>> {
    namespaces::join_all(container, Kind::User.bit())?;
    crate::sys::unshare(Kind::Mount.bit()).call("unshare").doing(|| "copy the host's mounts")?;
    of_live_mounts(plan)
}

fn enter(plan: &LiveMounts, container: BorrowedFd<'_>, namespaces: u64) -> Result<Inside> {
    namespaces::join_all(container, namespaces & !Kind::Pid.bit())?;
    identity::become_root(plan.in_user_namespace(), false)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    attach::container_root()
}

/// All of them or none.
fn add(plan: &LiveMounts, root: &Inside, sources: Vec<Option<Source>>) -> Result<()> {
    for (i, (mount, source)) in plan.mounts.iter().zip(sources).enumerate() {
        if let Err(error) = mounts::attach_one(mount, root, source) {
            for done in plan.mounts[..i].iter().rev() {
                if let Err(left) = remove(done, root) {
                    tracing::debug!("a mount is left behind: {left}");
                }
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Takes away what is mounted on top at the destination. Its directory is found inside the root and gone to, so that what is
/// unmounted is a plain name and no path (rule R1).
fn remove(mount: &Mount, root: &Inside) -> Result<()> {
    let (parent, name) =
        (mount.target.parent().unwrap_or(Path::new("/")), mount.target.file_name().unwrap_or_default());
    let describe = || format!("unmount {:?}", mount.target.display().to_string());
    let parent = root.find(parent).call("openat2").doing(describe).field(mount.field)?;
    fchdir(parent.as_fd()).call("fchdir")?;
    unmount(name, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .map_err(|errno| {
            let error = Error::call("umount2", errno);
            if errno == Errno::INVAL { error.hint("nothing is mounted there") } else { error }
        })
        .doing(describe)
        .field_with(|| format!("{}.destination", mount.field))
}
