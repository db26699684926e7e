//! Where the suite runs: a private mount namespace in which /sys/fs/cgroup is cgroup2, a cgroup and a directory of its own.
//!
//! Entered before any thread exists. Nothing of the host's own set-up is changed, and nothing is needed of the runtime.

use std::fs;
use std::io::Error;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::thread::UnshareFlags;

use super::leftovers;
pub(crate) use super::machine::unshare_mounts;
use super::machine::{CGROUP, install_probe, own_cgroup, part_from_the_host};

pub(crate) struct Lane {
    dir: tempfile::TempDir,
    probe: PathBuf,
    /// The cgroup that the suite came from, below the mount.
    came_from: PathBuf,
    controllers: Vec<String>,
    patience: u32,
}

static LANE: OnceLock<Lane> = OnceLock::new();

impl Lane {
    pub(crate) fn get() -> &'static Self {
        LANE.get().expect("main enters the lane first")
    }

    /// Makes the lane. Single-threaded until then; wants root.
    pub(crate) fn enter() -> std::io::Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::other("needs root"));
        }
        part_from_the_host()?;
        // A container's mapped root has to get through to its root file system.
        let open = fs::Permissions::from_mode(0o755);
        let dir = tempfile::Builder::new().prefix("conformance-").permissions(open).tempdir()?;
        let probe = install_probe(dir.path())?;
        let came_from = own_cgroup()?;
        let controllers = fs::read_to_string(Path::new(CGROUP).join("cgroup.controllers"))?;
        let controllers: Vec<String> = controllers.split_whitespace().map(str::to_owned).collect();
        let patience = std::env::var("ORLOP_TEST_PATIENCE").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
        fs::create_dir_all(Self::cgroup_dir("self"))?;
        fs::write(Self::cgroup_dir("self").join("cgroup.procs"), "0")?;
        assert!(LANE.set(Self { dir, probe, came_from, controllers, patience }).is_ok(), "the lane is entered once");
        Ok(())
    }

    /// Goes back to where the suite came from, and says what is still there.
    pub(crate) fn leave(&self) -> Vec<String> {
        let back = fs::write(Path::new(CGROUP).join(&self.came_from).join("cgroup.procs"), "0");
        let mut left: Vec<String> =
            back.err().map(|error| format!("the suite's cgroup: {error}")).into_iter().collect();
        left.extend(leftovers::remove_cgroup(&Self::cgroup_dir("")).err());
        left.extend(
            fs::remove_dir_all(self.dir.path()).err().map(|error| format!("{}: {error}", self.dir.path().display())),
        );
        left
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn probe(&self) -> &Path {
        &self.probe
    }

    /// A cgroup as a config names it.
    pub(crate) fn cgroup(name: &str) -> String {
        format!("/conformance-{}/{name}", std::process::id())
    }

    /// The same as a directory.
    pub(crate) fn cgroup_dir(name: &str) -> PathBuf {
        Path::new(CGROUP).join(Self::cgroup(name).trim_start_matches('/'))
    }

    pub(crate) fn has_controller(&self, name: &str) -> bool {
        self.controllers.iter().any(|controller| controller == name)
    }

    /// The kernel and its controllers, for a table's head.
    pub(crate) fn machine(&self) -> String {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        // What follows the number is the builder's, and says nothing to a reader.
        let number = release.trim().split(['-', '+']).next().unwrap_or_default();
        let controllers = if self.controllers.is_empty() { "none".to_owned() } else { self.controllers.join(" ") };
        format!("Linux {number}, controllers of cgroup v2: {controllers}")
    }

    /// How long a call may take: long beside what is usual, because machines can be slow.
    pub(crate) fn limit(&self) -> Duration {
        Duration::from_secs(10) * self.patience
    }
}

/// New namespaces for this thread.
#[expect(deprecated, reason = "the safe form is unsound for descriptor tables alone, which stay shared here")]
pub(crate) fn unshare(flags: UnshareFlags) -> std::io::Result<()> {
    Ok(rustix::thread::unshare(flags)?)
}
