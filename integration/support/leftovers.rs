//! What a runtime may leave behind, how it is found, and how it is removed so that the next case starts clean.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::lane::Lane;
use super::processes::{self, command_line, pids};
pub(crate) use super::processes::{mounts_below, stat};
use super::wait::until;

/// The variable that each invocation carries, so that a process outside the container's cgroup can be told to be its.
pub(crate) const MARK: &str = "ORLOP_TEST_CONTAINER";

/// Everything of that container's that still exists: state, cgroup, processes, mounts.
pub(crate) fn of_container(id: &str, state_root: &Path, dir: &Path) -> Vec<String> {
    let mut left = Vec::new();
    left.extend(entries_about(state_root, id).into_iter().map(|name| format!("state {name}")));
    let cgroup = Lane::cgroup_dir(id);
    left.extend(cgroup.exists().then(|| format!("cgroup {}", cgroup.display())));
    left.extend(processes_of(id).into_iter().map(|(pid, what)| format!("process {pid} ({what})")));
    left.extend(mounts_below(dir).into_iter().map(|line| format!("mount {line}")));
    left
}

/// Removes by hand what the runtime did not, so that one failure doesn't become many.
pub(crate) fn remove(id: &str, dir: &Path) {
    // A process may be gone by itself, a mount busy: whatever stays is found again at the end of the suite.
    remove_cgroup(&Lane::cgroup_dir(id)).unwrap_or_default();
    for (pid, _) in processes_of(id) {
        if let Some(pid) = Pid::from_raw(pid) {
            kill_process(pid, Signal::KILL).unwrap_or_default();
        }
    }
    for target in mounts_below(dir).into_iter().rev() {
        rustix::mount::unmount(target, rustix::mount::UnmountFlags::DETACH).unwrap_or_default();
    }
}

/// Kills what is in a cgroup and removes it with those below it.
pub(crate) fn remove_cgroup(cgroup: &Path) -> Result<(), String> {
    if !cgroup.exists() {
        return Ok(());
    }
    let fail = |what: &str, error: std::io::Error| format!("{what} {}: {error}", cgroup.display());
    fs::write(cgroup.join("cgroup.kill"), "1").map_err(|error| fail("kill", error))?;
    until("a killed cgroup to be empty", || {
        fs::read_to_string(cgroup.join("cgroup.events"))
            .is_ok_and(|events| events.contains("populated 0"))
            .then_some(())
    });
    let below = fs::read_dir(cgroup).map_err(|error| fail("list", error))?;
    for entry in below.flatten().filter(|entry| entry.path().is_dir()) {
        remove_cgroup(&entry.path())?;
    }
    fs::remove_dir(cgroup).map_err(|error| fail("remove", error))
}

fn entries_about(state_root: &Path, id: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(state_root) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains(id)).collect()
}

/// Living processes in the container's cgroup or started for it, with their command lines. Reaps its dead on the way.
pub(crate) fn processes_of(id: &str) -> Vec<(i32, String)> {
    processes::of_container(id, MARK, reap)
}

fn reap(pid: i32) {
    let reaped = Pid::from_raw(pid).map(|pid| waitpid(Some(pid), WaitOptions::NOHANG));
    // Another thread may have been faster: then it is gone all the same.
    reaped.transpose().unwrap_or_default();
}

/// How many mounts this namespace has.
pub(crate) fn mount_count() -> usize {
    fs::read_to_string("/proc/self/mountinfo").unwrap_or_default().lines().count()
}

/// What must not be there when the last case is over.
pub(crate) fn of_the_suite(mounts_before: usize) -> Vec<String> {
    let me = std::process::id().cast_signed();
    let mut left = Vec::new();
    for pid in pids() {
        match stat(pid) {
            Some(('Z' | 'X', parent)) if parent == me => reap(pid),
            Some((_, parent)) if parent == me => left.push(format!("process {pid} ({})", command_line(pid))),
            _ => {}
        }
    }
    let mounts = mount_count();
    left.extend((mounts != mounts_before).then(|| format!("{mounts} mounts instead of {mounts_before}")));
    left.extend(cgroups_of_the_suite().into_iter().map(|name| format!("cgroup {name}")));
    left
}

/// The names of the cgroups beside the suite's own.
pub(crate) fn cgroups_of_the_suite() -> Vec<String> {
    let Ok(entries) = fs::read_dir(Lane::cgroup_dir("")) else { return Vec::new() };
    let dirs = entries.flatten().filter(|entry| entry.path().is_dir() && entry.file_name() != "self");
    dirs.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Removes the cgroups of suites that were killed before they could.
pub(crate) fn remove_dead_suites(cgroup2: &Path) {
    let Ok(entries) = fs::read_dir(cgroup2) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let alive = |pid: &str| Path::new(&format!("/proc/{pid}")).exists() || has_outsiders(&entry.path());
        if name.strip_prefix("orlop-test-").is_some_and(|pid| !alive(pid)) {
            // One that can't be removed hurts nobody: this suite has its own.
            remove_cgroup(&entry.path()).unwrap_or_default();
        }
    }
}

/// Whether a suite of another pid namespace is in there: the kernel has no pid to show for it.
fn has_outsiders(suite: &Path) -> bool {
    fs::read_to_string(suite.join("self/cgroup.procs")).is_ok_and(|pids| pids.lines().any(|pid| pid == "0"))
}
