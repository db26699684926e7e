//! Who owns the container's cgroup.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use crate::case::cases;
use crate::config::{drop_mount, drop_namespaces};
use crate::container::Container;
use crate::outcome::{Not, Verdict, expect};
use crate::subject::Subject;

cases![
    changed_for_a_writable_mount,
    not_without_a_cgroup_namespace,
    not_for_a_read_only_mount,
    not_without_a_mount,
    only_what_is_delegated,
    what_is_delegated,
    without_the_kernels_list,
];

const BASE: u32 = 100_000;

/// A container with a user namespace, whose root is user 100000 outside, and a cgroup mount with these options.
fn with_mount(s: &Subject, options: Option<Value>) -> Container<'_> {
    let c = Container::new(s).args(["sleep"]).user_namespace(BASE, 65_536);
    match options {
        Some(options) => {
            c.mount(json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options}))
        }
        None => c,
    }
}

/// The owners of the cgroup and its files; the cgroup itself is "".
fn owners(c: &Container) -> Verdict<BTreeMap<String, u32>> {
    c.create_if_supported()?;
    owners_of_created(c)
}

fn owners_of_created(c: &Container) -> Verdict<BTreeMap<String, u32>> {
    let pid = c.pid()?;
    let table = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let place = table.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let dir = std::path::Path::new("/sys/fs/cgroup").join(place);
    let mut owners = BTreeMap::new();
    let owner = |path: &std::path::Path| fs::metadata(path).map(|found| found.uid()).unwrap_or_default();
    owners.insert(String::new(), owner(&dir));
    for entry in fs::read_dir(&dir).into_iter().flatten().flatten().filter(|entry| entry.path().is_file()) {
        owners.insert(entry.file_name().to_string_lossy().into_owned(), owner(&entry.path()));
    }
    Ok(owners)
}

fn delegated() -> Vec<String> {
    let list = fs::read_to_string("/sys/kernel/cgroup/delegate").unwrap_or_default();
    list.split_whitespace().map(str::to_owned).collect()
}

fn writable(s: &Subject) -> Container<'_> {
    with_mount(s, Some(json!(["nosuid", "noexec", "nodev"])))
}

fn changed_for_a_writable_mount(s: &Subject) -> Verdict {
    let owner = owners(&writable(s))?[""];
    expect(owner == BASE, format!("the cgroup's owner is {BASE}"), format!("its owner is {owner}"))
}

fn unchanged(c: &Container) -> Verdict {
    let owner = owners(c)?[""];
    expect(owner == 0, "the cgroup's owner stays 0", format!("its owner is {owner}"))
}

fn not_without_a_cgroup_namespace(s: &Subject) -> Verdict {
    unchanged(&writable(s).edit(|config| drop_namespaces(config, &["cgroup"])))
}

fn not_for_a_read_only_mount(s: &Subject) -> Verdict {
    unchanged(&with_mount(s, Some(json!(["nosuid", "noexec", "nodev", "ro"]))))
}

fn not_without_a_mount(s: &Subject) -> Verdict {
    unchanged(&with_mount(s, None))
}

/// The owners where the runtime changes any; one that doesn't may do so.
fn changed(s: &Subject) -> Verdict<BTreeMap<String, u32>> {
    let owners = owners(&writable(s))?;
    if owners.values().all(|owner| *owner == 0) {
        return Err(Not::Supported("it changes no owner".into()));
    }
    Ok(owners)
}

fn only_what_is_delegated(s: &Subject) -> Verdict {
    let allowed = delegated();
    let owners = changed(s)?;
    let others: Vec<&String> = owners
        .iter()
        .filter(|(name, owner)| **owner != 0 && !name.is_empty() && !allowed.contains(name))
        .map(|(name, _)| name)
        .collect();
    expect(others.is_empty(), "no other file changes its owner", format!("{others:?} did"))
}

fn what_is_delegated(s: &Subject) -> Verdict {
    let owners = changed(s)?;
    let kept: Vec<String> =
        delegated().into_iter().filter(|name| owners.get(name).is_some_and(|owner| *owner != BASE)).collect();
    expect(kept.is_empty(), "every file that is delegated changes its owner", format!("{kept:?} didn't"))
}

/// The runtime is called where something is mounted over the kernel's list.
fn without_the_kernels_list(s: &Subject) -> Verdict {
    changed(s)?;
    // The kernel mounts no sysfs in a user namespace while something of the one that is there is hidden.
    let c = writable(s).edit(|config| drop_mount(config, "/sys"));
    let call = c.create_call().arg(c.id());
    let create = || {
        crate::lane::unshare_mounts().expect("make a mount namespace");
        rustix::mount::mount("none", "/sys/kernel/cgroup", "tmpfs", rustix::mount::MountFlags::empty(), None)
            .expect("mount a tmpfs");
        call.run()
    };
    let done = std::thread::scope(|scope| scope.spawn(create).join().expect("the thread doesn't panic"));
    c.remember(done).ok()?;
    let owners = owners_of_created(&c)?;
    for name in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
        let owner = owners.get(name).copied().unwrap_or_default();
        expect(owner == BASE, format!("the owner of {name:?} is {BASE}"), format!("it is {owner}"))?;
    }
    Ok(())
}
