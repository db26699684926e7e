//! The cgroup that everything here runs below.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::process::{WaitOptions, waitpid};

use crate::Result;

/// Below it every container has its own, so that no runtime can mistake the root cgroup for the container's; and every run of this
/// program, so that none ends another's.
pub fn parent() -> String {
    format!("/orlop-bench-{}", std::process::id())
}

/// The parent of all the cgroups here; removed at the end, with what the runtimes left in it.
pub struct Cgroups(PathBuf);

impl Cgroups {
    pub fn create() -> Result<Self> {
        let path = Path::new("/sys/fs/cgroup").join(parent().trim_start_matches('/'));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }

    /// Ends what runs below. The killed become our children, if they aren't yet, and are gone only when they are waited for.
    pub fn empty(&self) -> Result<()> {
        fs::write(self.0.join("cgroup.kill"), "1")?;
        while fs::read_to_string(self.0.join("cgroup.events"))?.contains("populated 1") {
            while waitpid(None, WaitOptions::NOHANG).is_ok_and(|ended| ended.is_some()) {}
            thread::sleep(Duration::from_millis(1));
        }
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// Removes a cgroup and those below it.
fn remove(path: &Path) -> Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    Ok(fs::remove_dir(path)?)
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        if let Err(error) = self.empty().and_then(|()| Ok(fs::remove_dir(&self.0)?)) {
            eprintln!("compare: remove {}: {error}", self.0.display());
        }
    }
}
