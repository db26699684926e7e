//! The machine made fit for a suite: mounts of its own, with cgroup2 in its place. The suite of the specification has that too.

use std::fs;
use std::io::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use rustix::thread::UnshareFlags;

#[path = "../probe/source.rs"]
mod source;

/// Where cgroups are.
pub(crate) const CGROUP: &str = "/sys/fs/cgroup";

const CGROUP2_SUPER_MAGIC: u32 = 0x6367_7270;

/// Gives the process mounts of its own, with cgroup2 at [`CGROUP`], and the orphans of whatever it starts. Before any thread exists.
pub(crate) fn part_from_the_host() -> std::io::Result<()> {
    // What a runtime leaves behind is adopted here, and so can be reaped.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    unshare_mounts()?;
    // What the machine mounts later is to be seen here (a user's runtime directory, by systemd), but not the other way round.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    if is_cgroup2(CGROUP) { Ok(()) } else { replace_cgroup_mounts() }
}

/// A new mount namespace for this thread (and, before there are others, for the process).
#[expect(deprecated, reason = "the safe form is unsound for descriptor tables alone, which stay shared here")]
pub(crate) fn unshare_mounts() -> std::io::Result<()> {
    Ok(rustix::thread::unshare(UnshareFlags::NEWNS)?)
}

/// Whether cgroup2 is mounted there.
pub(crate) fn is_cgroup2(path: &str) -> bool {
    rustix::fs::statfs(path).is_ok_and(|fs| u32::try_from(fs.f_type).is_ok_and(|magic| magic == CGROUP2_SUPER_MAGIC))
}

fn replace_cgroup_mounts() -> std::io::Result<()> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let targets = table.lines().filter_map(|line| line.split(' ').nth(4));
    // The last mounted first, and so what lies on top of another.
    for target in targets.filter(|target| Path::new(target).starts_with(CGROUP)).collect::<Vec<_>>().into_iter().rev() {
        unmount(target, UnmountFlags::DETACH)?;
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RELATIME;
    Ok(mount("cgroup2", CGROUP, "cgroup2", flags, None)?)
}

/// The cgroup that the process is in, below the mount.
pub(crate) fn own_cgroup() -> std::io::Result<PathBuf> {
    let table = fs::read_to_string("/proc/self/cgroup")?;
    let path = table.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    Ok(PathBuf::from(path))
}

/// Puts the probe into a directory that bundles can link from. It lies beside the suite, or where cargo builds it:
/// `…/PROFILE/deps/SUITE-HASH` and `…/PROFILE/examples/probe`.
pub(crate) fn install_probe(dir: &Path) -> std::io::Result<PathBuf> {
    let suite = std::env::current_exe()?;
    let places =
        [suite.with_file_name("probe"), suite.ancestors().nth(2).unwrap_or(Path::new("/")).join("examples/probe")];
    let built = places.iter().find(|place| place.is_file());
    let missing = |why: &str| Error::other(format!("the probe: {why}; `cargo build --example probe`"));
    let installed = dir.join("probe");
    fs::copy(built.ok_or_else(|| missing("not built"))?, &installed)?;
    let source = Command::new(&installed).arg("source").output()?.stdout;
    if String::from_utf8_lossy(&source).trim() == source::hash() {
        Ok(installed)
    } else {
        Err(missing("not built from this source"))
    }
}
