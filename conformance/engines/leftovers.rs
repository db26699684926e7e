//! What containers leave where they should not.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What engines name the cgroups and scopes of containers by.
const PREFIXES: [&str; 9] =
    ["docker-", "libpod-", "cri-containerd-", "orlop-", "crun-", "runc-", "buildah-", "ctr-", "crio-"];

/// Where runtimes keep their state for engines.
const STATES: [&str; 9] = [
    "/run/docker/runtime-runc/moby",
    "/run/docker/runtime-orlop/moby",
    "/run/containerd/runc/default",
    "/run/containerd/runc/k8s.io",
    "/run/orlop",
    "/run/runc",
    "/run/crun",
    "/run/user/1000/orlop",
    "/run/user/1000/crun",
];

/// Where crun keeps compiled filters, beside the states, for its next containers: of none of them.
const CACHE: &str = ".cache";

/// What sits beside a container for as long as it lives.
const ATTENDANTS: [&str; 8] =
    ["containerd-shim", "conmon", "docker-proxy", "rootlessport", "aardvark-dns", "orlop", "runc", "crun"];

/// Processes, cgroups, scopes, state directories and mounts of containers.
pub(crate) fn of_containers() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    processes(&mut found);
    cgroups(Path::new("/sys/fs/cgroup"), &mut found);
    scopes(&mut found);
    for root in STATES {
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        let entries = entries.filter(|entry| entry.file_name() != CACHE);
        found.extend(entries.map(|entry| format!("state {}", entry.path().display())));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let paths = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let of_a_container = |path: &&str| ["/merged", "/rootfs", "/shm", "/netns/"].iter().any(|part| path.contains(part));
    // The machine's own, and dockerd's handle on the machine's own network.
    let of_the_machine = ["/dev/shm", "/run/docker/netns/default"];
    let paths = paths.filter(of_a_container).filter(|path| !of_the_machine.contains(path));
    found.extend(paths.map(|path| format!("mount {path}")));
    found
}

/// Those whose root is not this one, and those that stay beside a container.
fn processes(found: &mut BTreeSet<String>) {
    let root = |pid: &str| fs::metadata(format!("/proc/{pid}/root/")).map(|root| (root.dev(), root.ino()));
    let own = root("self").ok();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) else { continue };
        // One that ends meanwhile is none that is left.
        let Ok(program) = fs::read_to_string(format!("/proc/{pid}/comm")) else { continue };
        let Ok(its) = root(pid) else { continue };
        if Some(its) != own || ATTENDANTS.iter().any(|attendant| program.starts_with(attendant)) {
            found.insert(format!("process {pid} {}", program.trim_end()));
        }
    }
}

fn cgroups(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
        if of_a_container(&entry.file_name().to_string_lossy()) {
            found.insert(format!("cgroup {}", entry.path().display()));
        }
        cgroups(&entry.path(), found);
    }
}

/// Units of systemd's that have no cgroup any more, but that it remembers as failed.
fn scopes(found: &mut BTreeSet<String>) {
    let list = "systemctl list-units --all --plain --no-legend --type=scope,service";
    for command in [list.to_owned(), crate::machine::as_user(&list.replace("systemctl", "systemctl --user"))] {
        let output = Command::new("sh").args(["-c", &command]).output().expect("there is a shell");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let units = text.lines().filter_map(|line| line.split_ascii_whitespace().next());
        found.extend(units.filter(|unit| of_a_container(unit)).map(|unit| format!("unit {unit}")));
    }
}

fn of_a_container(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// What there is beside `before`, after engines had a few seconds to tidy up.
pub(crate) fn in_the_end(before: &BTreeSet<String>) -> BTreeSet<String> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let left: BTreeSet<_> = of_containers().difference(before).cloned().collect();
        if left.is_empty() || Instant::now() > end {
            return left;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
