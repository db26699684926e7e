//! Who is in a cgroup, and the cgroups below it.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Component, Path};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use super::{Cgroup, DIRECTORY, read_at};
use crate::error::{Annotate, Context, Error, Result};

impl Cgroup {
    /// The pids of all processes in it and in the cgroups below it, sorted, as this process's pid namespace has them.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let mut pids = Vec::new();
        collect(self.dir.as_fd(), &mut pids).call("read").doing(|| format!("cgroup {}", self.path.display()))?;
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
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
