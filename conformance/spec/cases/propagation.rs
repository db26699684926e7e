//! `rootfsPropagation`.

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use serde_json::Value;

use super::filesystems::mount_at;
use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, expect};
use crate::subject::Subject;

cases![shared, slave, private, unbindable];

/// The container's root on a shared mount of the host, as rootfsPropagation is meant for.
fn on_a_shared_mount<'s>(s: &'s Subject, propagation: &str) -> Container<'s> {
    let c = Container::new(s).set("/linux/rootfsPropagation", propagation);
    let root = c.rootfs();
    mount_bind(&root, &root).expect("bind the root file system");
    mount_change(&root, MountPropagationFlags::SHARED).expect("share a mount");
    c
}

fn tags(report: &Value) -> Verdict<Vec<String>> {
    let root = mount_at(report, "/")?;
    Ok(root["propagation"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn tagged(s: &Subject, propagation: &str, tag: &str) -> Verdict {
    let seen = tags(&on_a_shared_mount(s, propagation).report()?)?;
    let good = seen.iter().any(|one| one.starts_with(tag));
    expect(good, format!("the root has {tag}"), format!("the root has {seen:?}"))
}

fn shared(s: &Subject) -> Verdict {
    tagged(s, "shared", "shared:")
}

/// What is mounted on the host after start appears inside.
fn slave(s: &Subject) -> Verdict {
    let c = on_a_shared_mount(s, "slave").directory("/later").args(["sequence", "sleep"]);
    c.create()?;
    c.start()?;
    c.wait_for("ready")?;
    mount("ours", c.rootfs().join("later"), "tmpfs", MountFlags::empty(), None).expect("mount a tmpfs");
    let pid = c.pid()?;
    let table = || std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    let table = table();
    let root = table.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap_or_default().to_owned();
    let tags = root.split(" - ").next().unwrap_or_default().split(' ').skip(6).collect::<Vec<_>>().join(" ");
    let seen = format!("it doesn't; the root's propagation is {tags:?}");
    expect(table.contains(" /later "), "what is mounted on the host appears inside", seen)
}

fn private(s: &Subject) -> Verdict {
    let seen = tags(&on_a_shared_mount(s, "private").report()?)?;
    expect(seen.is_empty(), "the root has no propagation", format!("the root has {seen:?}"))
}

fn unbindable(s: &Subject) -> Verdict {
    tagged(s, "unbindable", "unbindable")
}
