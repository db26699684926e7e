//! Stopping everything in a cgroup where it stands, and letting it go on.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, open, openat};
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

/// Whoever asks of one cgroup after the other whether it is frozen. They are most often next to each other, and the directory above the
/// last one stays open.
#[derive(Debug, Default)]
pub struct FreezeCheck {
    above: Option<(String, OwnedFd)>,
    /// What is opened in there.
    file: String,
}

impl FreezeCheck {
    /// See [`is_frozen`].
    pub fn is_frozen(&mut self, path: &str) -> Result<bool> {
        let Some((above, name)) = path.rsplit_once('/') else { return is_frozen(Path::new(path)) };
        if self.above.as_ref().is_none_or(|(known, _)| known != above) {
            let opened = open(above, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
            self.above = opened.ok().map(|dir| (above.to_owned(), dir));
        }
        self.file.clear();
        self.file.extend([name, "/cgroup.freeze"]);
        match self.above.as_ref().map(|(_, dir)| read_frozen(dir, Path::new(&self.file))) {
            // What is found there is what the path leads to: a cgroup keeps its name, and one that is gone had none below it.
            Some(Ok(frozen)) => Ok(frozen),
            // Gone; or the directory above is, and was made anew since it was opened.
            _ => is_frozen(Path::new(path)),
        }
    }
}

/// Such a file is one digit and a line's end, told in one go.
fn read_frozen(dir: impl AsFd, file: &Path) -> Result<bool> {
    let mut text = [0; 2];
    let opened = openat(dir, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).call("open")?;
    let length = rustix::io::read(opened, &mut text).call("read")?;
    Ok(text[..length] == *b"1\n")
}

fn says_frozen(dir: impl AsFd, file: &Path) -> Result<bool> {
    match read_frozen(dir, file) {
        // Gone, perhaps since it was opened: then nothing in it is frozen.
        Err(error) if matches!(error.errno(), Some(Errno::NODEV | Errno::NOENT)) => Ok(false),
        read => read.doing(|| file.display().to_string()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_cgroup_that_was_made_anew_is_told_from_one_that_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let above = root.path().join("above");
        let make = |name: &str, text: &str| {
            fs::create_dir_all(above.join(name)).unwrap();
            fs::write(above.join(name).join("cgroup.freeze"), text).unwrap();
        };
        let mut check = FreezeCheck::default();
        let mut is_frozen = |name: &str| check.is_frozen(above.join(name).to_str().unwrap()).unwrap();
        make("a", "1\n");
        make("b", "0\n");
        assert!(is_frozen("a") && !is_frozen("b") && !is_frozen("missing"));
        fs::remove_dir_all(&above).unwrap();
        assert!(!is_frozen("a"));
        make("a", "1\n");
        assert!(is_frozen("a"));
    }
}
