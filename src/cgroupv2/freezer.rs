//! Stopping everything in a cgroup where it stands, and letting it go on.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use super::Cgroup;
use crate::error::{Annotate, Context, Error, Result};

/// Whether everything in the cgroup whose directory is `path` is stopped, or about to be. In one that is gone nothing is.
pub fn is_frozen(path: &Path) -> Result<bool> {
    let mut file = PathBuf::with_capacity(path.as_os_str().len() + 16);
    file.push(path);
    file.push("cgroup.freeze");
    says_frozen(CWD, &file)
}

/// Such a file is one digit and a line's end, told in one go.
fn says_frozen(dir: impl AsFd, file: &Path) -> Result<bool> {
    let mut text = [0; 2];
    let opened = openat(dir, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    match opened.and_then(|opened| rustix::io::read(opened, &mut text)) {
        Ok(length) => Ok(text[..length] == *b"1\n"),
        // Gone, perhaps since it was opened: then nothing in it is frozen.
        Err(Errno::NODEV | Errno::NOENT) => Ok(false),
        Err(errno) => Err(Error::call("read", errno).doing(file.display().to_string())),
    }
}

impl Cgroup {
    /// See [`is_frozen`].
    pub fn is_frozen(&self) -> Result<bool> {
        says_frozen(&self.dir, Path::new("cgroup.freeze"))
    }

    /// Stops every process in it and in the cgroups below it, and returns when they stand.
    ///
    /// # Errors
    /// When one of them doesn't within ten seconds; then all go on.
    pub fn freeze(&self) -> Result<()> {
        self.set_frozen(true)?;
        if self.wait_for_event("frozen 1")? {
            return Ok(());
        }
        self.set_frozen(false)?;
        Err(Error::new("its processes don't stand still ten seconds after they were told to").doing(self.described()))
    }

    /// Lets them go on, and returns when they do.
    pub fn thaw(&self) -> Result<()> {
        self.set_frozen(false)?;
        if self.wait_for_event("frozen 0")? {
            return Ok(());
        }
        Err(Error::new("its processes still stand ten seconds after they were let go").doing(self.described()))
    }

    pub(super) fn set_frozen(&self, frozen: bool) -> Result<()> {
        self.write("cgroup.freeze", if frozen { "1" } else { "0" })
            .call("write")
            .doing(|| format!("{}/cgroup.freeze", self.path.display()))
    }

    fn described(&self) -> String {
        format!("cgroup {}", self.path.display())
    }
}
