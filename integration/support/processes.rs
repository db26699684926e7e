//! Processes and mounts as procfs shows them. The suite of the specification looks at them too.

use std::fs;
use std::path::Path;

/// All processes that can be seen.
pub(crate) fn pids() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// A process's state letter and parent.
pub(crate) fn stat(pid: i32) -> Option<(char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut rest = stat.rsplit_once(") ")?.1.split(' ');
    Some((rest.next()?.chars().next()?, rest.next()?.parse().ok()?))
}

pub(crate) fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned()
}

/// Whether a process is in the cgroup of that container, or was started for it: `mark` is the variable that each invocation carries.
fn belongs_to(pid: i32, id: &str, mark: &str) -> bool {
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let in_cgroup = cgroup.lines().any(|line| line.split('/').any(|part| part.trim_end_matches(" (deleted)") == id));
    in_cgroup || {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == format!("{mark}={id}").as_bytes())
    }
}

/// Living processes of that container, with their command lines. Has its dead reaped on the way, where they are this process's.
pub(crate) fn of_container(id: &str, mark: &str, reap: impl Fn(i32)) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for pid in pids().into_iter().filter(|pid| belongs_to(*pid, id, mark)) {
        match stat(pid) {
            Some(('Z' | 'X', parent)) if parent == std::process::id().cast_signed() => reap(pid),
            Some(('Z' | 'X', _)) | None => {}
            Some(_) => found.push((pid, command_line(pid))),
        }
    }
    found
}

/// What is mounted at a directory and below, the first mounted first.
pub(crate) fn mounts_below(dir: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let targets = table.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned);
    targets.filter(|target| Path::new(target).starts_with(dir)).collect()
}
