//! What containers leave where they should not.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Cgroups, state directories and mounts of containers, by their paths.
pub(crate) fn of_containers() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    cgroups(Path::new("/sys/fs/cgroup"), &mut found);
    for root in
        ["/run/docker/runtime-runc/moby", "/run/containerd/runc/default", "/run/orlop", "/run/runc", "/run/crun"]
    {
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        found.extend(entries.map(|entry| format!("state {}", entry.path().display())));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let paths = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    found.extend(
        paths.filter(|path| path.contains("/merged") || path.contains("/rootfs")).map(|path| format!("mount {path}")),
    );
    found
}

fn cgroups(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let of_a_container = ["docker-", "libpod-", "cri-containerd-", "orlop-", "crun-", "runc-", "buildah-"];
        if of_a_container.iter().any(|prefix| name.starts_with(prefix)) {
            found.insert(format!("cgroup {}", entry.path().display()));
        }
        cgroups(&entry.path(), found);
    }
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
