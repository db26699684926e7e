//! Who is in a cgroup, and the cgroups below it.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{Cgroup, DIRECTORY, read_at};
use crate::error::{Annotate, Context, Error, Result};
use crate::sys;

/// How often a container is looked through for processes that were started while it was being signalled.
const ROUNDS: u32 = 100;

impl Cgroup {
    /// The pids of all processes in it and in the cgroups below it, sorted, as this process's pid namespace has them.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let mut pids = Vec::new();
        collect(self.dir.as_fd(), &mut pids).call("read").doing(|| format!("cgroup {}", self.path.display()))?;
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Sends a signal to every process in it and in the cgroups below it, also to those that are started meanwhile by one that
    /// hasn't got it yet.
    pub fn signal(&self, signal: i32) -> Result<()> {
        let mut reached = HashSet::new();
        for _ in 0..ROUNDS {
            let new: Vec<_> = self.pids()?.into_iter().filter(|pid| !reached.contains(pid)).collect();
            if new.is_empty() {
                break;
            }
            let opened: Vec<_> = new.iter().filter_map(|pid| Some((*pid, open_process(*pid)?))).collect();
            // A pid that is still listed belongs to the process that was opened, or to another one in here.
            let listed = self.pids()?;
            for (pid, process) in opened.iter().filter(|(pid, _)| listed.binary_search(pid).is_ok()) {
                match sys::pidfd_send_signal(process.as_fd(), signal) {
                    Ok(()) | Err(Errno::SRCH) => (),
                    Err(errno) => return Err(Error::call("pidfd_send_signal", errno).doing(format!("process {pid}"))),
                }
            }
            reached.extend(new);
        }
        Ok(())
    }

    /// The cgroup at `path` below this one.
    ///
    /// # Errors
    /// runc's text where the path leads out of this one.
    pub fn below(&self, path: &Path) -> Result<Self> {
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(Error::new(format!("{} is not a sub cgroup path", path.display())));
        }
        let relative = path.strip_prefix("/").unwrap_or(path);
        let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let dir = openat2(&self.dir, relative, DIRECTORY, Mode::empty(), resolve).call("open");
        let path = self.path.join(relative);
        Ok(Self { dir: dir.doing(|| format!("cgroup {}", path.display()))?, path })
    }
}

/// `None` for one that has gone since it was listed.
fn open_process(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

fn collect(dir: BorrowedFd<'_>, pids: &mut Vec<i32>) -> Result<(), Errno> {
    match read_at(dir, "cgroup.procs") {
        // A pid of 0 is a process that this pid namespace doesn't have.
        Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0)),
        // A threaded cgroup: its processes are in the file of the domain above.
        Err(Errno::OPNOTSUPP) => (),
        // Removed since it was listed.
        Err(Errno::NOENT | Errno::NODEV) => return Ok(()),
        Err(errno) => return Err(errno),
    }
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type() != FileType::Directory || name == c"." || name == c".." {
            continue;
        }
        match openat(dir, name, DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(child) => collect(child.as_fd(), pids)?,
            Err(Errno::NOENT) => (),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
