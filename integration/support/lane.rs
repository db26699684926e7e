//! The host lane: a private mount namespace in which /sys/fs/cgroup is cgroup2, a cgroup of the suite's own, and the facts
//! about this machine and the runtime under test that conditions ask for.
//!
//! Entered before any thread exists, left after the last case. Nothing of the host's own set-up is changed.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::mount::mount_bind;
use rustix::thread::UnshareFlags;

use super::leftovers;
pub(crate) use super::machine::unshare_mounts;
use super::machine::{CGROUP, install_probe, is_cgroup2, own_cgroup, part_from_the_host};

/// Whose behaviour is under test.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Orlop,
    /// The first word of its `--version`.
    Other(String),
}

impl Kind {
    pub(crate) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Other(other) if other == name)
    }
}

pub(crate) struct Lane {
    root: bool,
    hybrid: bool,
    /// The mount namespace that the suite was started in.
    outside: OwnedFd,
    /// The cgroup that the suite was started in, below the cgroup2 mount.
    came_from: PathBuf,
    dir: tempfile::TempDir,
    runtime: PathBuf,
    kind: Kind,
    probe: PathBuf,
    mounts: usize,
}

static LANE: OnceLock<Lane> = OnceLock::new();

impl Lane {
    /// The one lane. Panics before [`Lane::enter`].
    pub(crate) fn get() -> &'static Self {
        LANE.get().expect("main enters the lane first")
    }

    /// Makes the lane. Single-threaded until then.
    pub(crate) fn enter() -> std::io::Result<()> {
        let root = rustix::process::geteuid().is_root();
        let hybrid = !is_cgroup2(CGROUP) && is_cgroup2("/sys/fs/cgroup/unified");
        let outside = fs::File::open("/proc/self/ns/mnt")?.into();
        if root {
            part_from_the_host()?;
        }
        // A container's mapped root has to get through to its root file system.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        let dir = tempfile::Builder::new().prefix("orlop-").permissions(open).tempdir()?;
        let (runtime, kind) = runtime()?;
        let probe = install_probe(dir.path())?;
        let came_from = own_cgroup()?;
        let lane =
            Self { root, hybrid, outside, came_from, dir, runtime, kind, probe, mounts: leftovers::mount_count() };
        if root {
            leftovers::remove_dead_suites(Path::new(CGROUP));
            fs::create_dir_all(Self::cgroup_dir("self"))?;
            fs::write(Self::cgroup_dir("self").join("cgroup.procs"), "0")?;
        }
        assert!(LANE.set(lane).is_ok(), "the lane is entered once");
        Ok(())
    }

    /// Goes back to where the suite came from and says what is still there that wasn't before.
    pub(crate) fn leave(&self) -> Vec<String> {
        if !self.root {
            return Vec::new();
        }
        let mut left = leftovers::of_the_suite(self.mounts);
        let back = fs::write(Path::new(CGROUP).join(&self.came_from).join("cgroup.procs"), "0");
        left.extend(
            back.err().map(|error| format!("cannot return to the cgroup {}: {error}", self.came_from.display())),
        );
        left.extend(leftovers::remove_cgroup(&Self::cgroup_dir("")).err());
        left.extend(fs::remove_dir_all(self.dir.path()).err().map(|error| format!("temporary directory: {error}")));
        left
    }

    /// An unprivileged user, whom no machine knows.
    pub(crate) const USER: u32 = 54_321;

    /// The first of the ids that [`super::View::Granted`] grants to that user.
    pub(crate) const GRANTED: u32 = 700_000;

    /// Puts files over /etc/passwd, /etc/subuid and /etc/subgid, in this thread's own mount namespace.
    pub(crate) fn grant_ids(&self) -> std::io::Result<()> {
        let user = format!("orlop-test:x:{0}:{0}::/:/bin/sh\n", Self::USER);
        let ids = format!("orlop-test:{}:1000\n", Self::GRANTED);
        let known = fs::read_to_string("/etc/passwd")?;
        let dir = tempfile::tempdir_in(self.dir())?;
        for (name, text) in [("passwd", known + &user), ("subuid", ids.clone()), ("subgid", ids)] {
            let file = dir.path().join(name);
            fs::write(&file, text)?;
            mount_bind(&file, Path::new("/etc").join(name))?;
        }
        Ok(())
    }

    pub(crate) fn is_root(&self) -> bool {
        self.root
    }

    pub(crate) fn is_hybrid(&self) -> bool {
        self.hybrid
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    pub(crate) fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// The probe on the host, in the suite's own directory so that bundles can link to it.
    pub(crate) fn probe(&self) -> &Path {
        &self.probe
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn outside(&self) -> BorrowedFd<'_> {
        self.outside.as_fd()
    }

    /// The cgroup, as a config names it, below which all of the suite's containers live.
    pub(crate) fn cgroup(name: &str) -> String {
        format!("/orlop-test-{}/{name}", std::process::id())
    }

    /// The same as a directory.
    pub(crate) fn cgroup_dir(name: &str) -> PathBuf {
        Path::new(CGROUP).join(Self::cgroup(name).trim_start_matches('/'))
    }

    pub(crate) fn has_controller(name: &str) -> bool {
        words_of(&Path::new(CGROUP).join("cgroup.controllers")).iter().any(|controller| controller == name)
    }

    pub(crate) fn has_capability(name: &str) -> bool {
        name.parse().is_ok_and(|capability| caps::has_cap(None, caps::CapSet::Bounding, capability).unwrap_or(false))
    }

    pub(crate) fn has_program(name: &str) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
    }

    pub(crate) fn has_systemd() -> bool {
        Path::new("/run/systemd/system").is_dir() && Path::new("/run/dbus/system_bus_socket").exists()
    }

    pub(crate) fn knows_filesystem(name: &str) -> bool {
        words_of(Path::new("/proc/filesystems")).iter().any(|word| word == name)
    }
}

fn words_of(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// Gives this thread its own root and working directory, without which it can't join a mount namespace.
#[expect(deprecated, reason = "the safe form is unsound for descriptor tables alone, which stay shared here")]
pub(crate) fn unshare_directories() -> std::io::Result<()> {
    Ok(rustix::thread::unshare(UnshareFlags::FS)?)
}

fn runtime() -> std::io::Result<(PathBuf, Kind)> {
    let Some(path) = std::env::var_os("ORLOP_TEST_RUNTIME").map(PathBuf::from) else {
        return Ok((PathBuf::from(env!("CARGO_BIN_EXE_orlop")), Kind::Orlop));
    };
    let version = Command::new(&path).arg("--version").output()?.stdout;
    let first = String::from_utf8_lossy(&version).split_whitespace().next().unwrap_or_default().to_owned();
    let kind = if first == "orlop" { Kind::Orlop } else { Kind::Other(first) };
    Ok((path.canonicalize()?, kind))
}
