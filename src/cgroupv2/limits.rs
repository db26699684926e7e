//! What a cgroup may use: the controllers that reach it, and the values in their files.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use super::Cgroup;
use crate::error::{Error, Result};
use crate::plan::{LimitWrite, Otherwise, Resources};

const CONTROLLERS: &str = "cgroup.controllers";
const SUBTREE_CONTROL: &str = "cgroup.subtree_control";

impl Cgroup {
    /// Puts limits in force.
    ///
    /// # Errors
    /// Names the field of the config whose value the kernel doesn't take, or which no controller is there for.
    pub fn limit(&self, resources: &Resources) -> Result<()> {
        self.write_limits(&resources.writes())
    }

    pub(super) fn write_limits(&self, writes: &[LimitWrite]) -> Result<()> {
        let mut again = Vec::new();
        for write in writes {
            match self.set(write) {
                Ok(()) => (),
                // The time of a period and its burst bound each other: that which goes first may be refused for the other's old
                // value.
                Err(Errno::INVAL) if write.file.starts_with("cpu.max") => again.push(write),
                Err(errno) => return Err(self.refused(write, errno)),
            }
        }
        again.iter().try_for_each(|write| self.set(write).map_err(|errno| self.refused(write, errno)))
    }

    pub(super) fn set(&self, write: &LimitWrite) -> Result<(), Errno> {
        match self.write(&write.file, &write.value) {
            Err(Errno::NOENT) => match &write.otherwise {
                Otherwise::Fail => Err(Errno::NOENT),
                Otherwise::Skip => Ok(()),
                Otherwise::Use(file, value) => self.write(file, value),
            },
            done => done,
        }
    }

    pub(super) fn refused(&self, write: &LimitWrite, errno: Errno) -> Error {
        let LimitWrite { file, value, field, .. } = write;
        let error = Error::call("write", errno).doing(format!("{value:?} to {file}")).field(field);
        let controller = file.split('.').next().unwrap_or_default();
        let there = self.read(CONTROLLERS).unwrap_or_default();
        match errno {
            Errno::NOENT if controller != "cgroup" && !has(&there, controller) => {
                let path = self.path.display();
                let text = format!("the {controller} controller doesn't reach the cgroup {path}");
                let hint = "a cgroup above it doesn't hand it on, or cgroup v1 or the kernel has it; cgroup.controllers and \
                            cgroup.subtree_control of those above say where it ends";
                Error::new(text).hint(hint).field(field)
            }
            Errno::NOENT => error.hint("this kernel has no such file"),
            Errno::INVAL | Errno::RANGE => error.hint("the kernel doesn't take this value"),
            Errno::NODEV => error.hint("there is no such device"),
            _ => error,
        }
    }
}

/// Has the cgroups from `root` to the parent of `path` hand on all controllers that the root has. What doesn't work is not told here:
/// a limit that needs it will name its field.
///
/// # Errors
/// When the files can't be read.
pub(super) fn hand_controllers_down(root: &Path, path: &Path, own: BorrowedFd<'_>) -> Result<(), Errno> {
    let all = read(CWD, &root.join(CONTROLLERS))?;
    // The usual case: whoever made the parent had it done.
    if lacking(&read(own, Path::new(CONTROLLERS))?, &all).is_empty() {
        return Ok(());
    }
    let mut above: Vec<PathBuf> = path.ancestors().skip(1).map(|ancestor| root.join(ancestor)).collect();
    above.reverse();
    for ancestor in above {
        let file = ancestor.join(SUBTREE_CONTROL);
        let missing = lacking(&read(CWD, &file)?, &all);
        if !missing.is_empty() && enable(&file, &missing.join(" ")).is_err() {
            // All of them or none: one that can't be enabled here keeps the others off.
            for one in missing {
                enable(&file, &one).unwrap_or_else(|errno| tracing::debug!("{one} in {}: {errno}", file.display()));
            }
        }
    }
    Ok(())
}

/// The controllers of `all` that `some` lacks, as they are enabled.
fn lacking(some: &str, all: &str) -> Vec<String> {
    all.split_ascii_whitespace().filter(|name| !has(some, name)).map(|name| format!("+{name}")).collect()
}

fn has(list: &str, name: &str) -> bool {
    list.split_ascii_whitespace().any(|one| one == name)
}

fn enable(file: &Path, controllers: &str) -> Result<(), Errno> {
    let file = openat(CWD, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, controllers.as_bytes()).map(drop)
}

/// One line, in three system calls.
fn read(dir: impl AsFd, file: &Path) -> Result<String, Errno> {
    let file = File::from(openat(dir, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
    let mut line = [0; 512];
    let len = rustix::io::read(&file, &mut line)?;
    Ok(String::from_utf8_lossy(&line[..len]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_enabled_and_nothing_else() {
        assert_eq!(lacking("memory pids\n", "cpuset cpu memory pids\n"), ["+cpuset", "+cpu"]);
        assert!(lacking("cpu memory\n", "memory cpu\n").is_empty());
        assert_eq!(lacking("", "cpu\n"), ["+cpu"]);
    }
}
