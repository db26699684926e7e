//! What a runtime leaves behind: found by the suite's own means, and removed by them.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::lane::Lane;
pub(crate) use super::processes::stat;
use super::processes::{self, mounts_below};

/// The variable that each call carries, so that a process outside of the container's cgroup can be told to be its.
pub(crate) const MARK: &str = "CONFORMANCE_CONTAINER";

/// Everything of that container's that still exists: cgroup, processes, mounts.
pub(crate) fn of_container(id: &str, dir: &Path) -> Vec<String> {
    let mut left = Vec::new();
    let cgroup = Lane::cgroup_dir(id);
    left.extend(cgroup.exists().then(|| format!("the cgroup {}", Lane::cgroup(id))));
    left.extend(processes_of(id).into_iter().map(|(pid, words)| format!("the process {pid} ({words})")));
    left.extend(mounts_below(dir).into_iter().map(|target| format!("a mount at {target}")));
    left
}

/// Removes what is left.
pub(crate) fn remove(id: &str, dir: &Path) {
    // What can't be removed here is found again when the suite leaves the lane.
    remove_cgroup(&Lane::cgroup_dir(id)).unwrap_or_default();
    for _ in 0..100 {
        let processes = processes_of(id);
        if processes.is_empty() {
            break;
        }
        for (pid, _) in processes {
            kill(pid);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    for target in mounts_below(dir).into_iter().rev() {
        rustix::mount::unmount(target, rustix::mount::UnmountFlags::DETACH).unwrap_or_default();
    }
}

/// Kills a process that may be gone by itself.
pub(crate) fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        kill_process(pid, Signal::KILL).unwrap_or_default();
    }
}

/// Kills what is in a cgroup and removes it with those below it.
pub(crate) fn remove_cgroup(cgroup: &Path) -> Result<(), String> {
    if !cgroup.exists() {
        return Ok(());
    }
    let fail = |what: &str, error: std::io::Error| format!("{what} {}: {error}", cgroup.display());
    // A runtime may have left it frozen.
    fs::write(cgroup.join("cgroup.freeze"), "0").map_err(|error| fail("thaw", error))?;
    fs::write(cgroup.join("cgroup.kill"), "1").map_err(|error| fail("kill", error))?;
    let end = Instant::now() + Duration::from_secs(10);
    let populated =
        || fs::read_to_string(cgroup.join("cgroup.events")).is_ok_and(|events| events.contains("populated 1"));
    while populated() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(2));
    }
    for entry in
        fs::read_dir(cgroup).map_err(|error| fail("list", error))?.flatten().filter(|entry| entry.path().is_dir())
    {
        remove_cgroup(&entry.path())?;
    }
    fs::remove_dir(cgroup).map_err(|error| fail("remove", error))
}

/// Living processes of that container, with their command lines. Reaps its dead on the way.
pub(crate) fn processes_of(id: &str) -> Vec<(i32, String)> {
    processes::of_container(id, MARK, |pid| {
        reap(pid);
    })
}

/// Whether it exists and isn't a zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    stat(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// Takes the exit of a process that the runtime left to the suite: the code, or 128 and the signal.
pub(crate) fn reap(pid: i32) -> Option<i32> {
    let (_, status) = waitpid(Pid::from_raw(pid), WaitOptions::NOHANG).ok()??;
    status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal))
}
