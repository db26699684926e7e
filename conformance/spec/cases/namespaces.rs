//! Namespaces: new ones, inherited ones, joined ones.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::mount::{MountFlags, mount};
use serde_json::json;

use crate::case::cases;
use crate::config::{add_namespace, drop_namespaces, join_namespace};
use crate::container::{Container, namespace_of};
use crate::lane::Lane;
use crate::outcome::{Verdict, expect, same};
use crate::subject::{Done, Subject};

cases![
    no_type,
    new_pid,
    new_network,
    new_mount,
    new_ipc,
    new_uts,
    new_user,
    new_cgroup,
    new_time,
    relative_path,
    joined_pid,
    joined_network,
    joined_ipc,
    joined_uts,
    joined_cgroup,
    joined_user,
    joined_time,
    joined_mount,
    path_of_another_type,
    path_of_no_namespace,
    inherited_pid,
    inherited_network,
    inherited_ipc,
    inherited_uts,
    inherited_cgroup,
    inherited_time,
    inherited_user,
    inherited_mount,
    twice,
];

fn no_type(s: &Subject) -> Verdict {
    Container::new(s).set("/linux/namespaces/-", json!({})).create_refused("a namespace has no type")
}

/// The name of a type below /proc/PID/ns.
fn link(kind: &str) -> &str {
    match kind {
        "network" => "net",
        "mount" => "mnt",
        other => other,
    }
}

/// The kinds are SHOULDs: a runtime that refuses one says so.
fn new(s: &Subject, kind: &str) -> Verdict {
    let c = Container::new(s).args(["sleep"]);
    let c =
        if kind == "user" { c.user_namespace(100_000, 65_536) } else { c.edit(|config| add_namespace(config, kind)) };
    c.create_if_supported()?;
    c.start()?;
    c.wait_for("ready")?;
    let (inside, outside) = (c.namespace(link(kind))?, namespace_of("self", link(kind))?);
    expect(inside != outside, format!("a {kind} namespace of its own"), "that of the runtime")
}

fn new_pid(s: &Subject) -> Verdict {
    new(s, "pid")?;
    same("the program's pid", &Container::new(s).report()?["pid"], 1)
}

fn new_network(s: &Subject) -> Verdict {
    new(s, "network")
}

fn new_mount(s: &Subject) -> Verdict {
    new(s, "mount")
}

fn new_ipc(s: &Subject) -> Verdict {
    new(s, "ipc")
}

fn new_uts(s: &Subject) -> Verdict {
    new(s, "uts")
}

fn new_user(s: &Subject) -> Verdict {
    new(s, "user")
}

fn new_cgroup(s: &Subject) -> Verdict {
    new(s, "cgroup")?;
    let report = Container::new(s).report()?;
    let seen = report["cgroup"].as_str().unwrap_or_default().to_owned();
    expect(seen.lines().any(|line| line == "0::/"), "the program's cgroup is / inside", seen)
}

fn new_time(s: &Subject) -> Verdict {
    new(s, "time")
}

fn relative_path(s: &Subject) -> Verdict {
    let c = Container::new(s).edit(|config| join_namespace(config, "network", "proc/self/ns/net"));
    c.create_refused("the path of a namespace is relative")
}

/// Somebody who is in new namespaces of some types.
struct Holder(Child);

impl Holder {
    fn new(flags: &[&str]) -> Self {
        let mut command = Command::new("unshare");
        command.args(flags).arg(Lane::get().probe()).arg("sleep");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("run unshare(1)");
        let mut ready = [0; 5];
        let mut output = child.stdout.take().expect("it is piped");
        std::io::Read::read_exact(&mut output, &mut ready).expect("the holder is ready");
        Self(child)
    }

    /// The pid of who sits in the namespaces: with --fork that is unshare's child.
    fn pid(&self) -> String {
        let own = self.0.id();
        let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        children.split_whitespace().next().map_or(own.to_string(), str::to_owned)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        if let Ok(pid) = self.pid().parse() {
            crate::leftovers::kill(pid);
        }
        // It may have ended by itself.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

fn joined(s: &Subject, kind: &str, flags: &[&str]) -> Verdict {
    let holder = Holder::new(flags);
    let path = format!("/proc/{}/ns/{}", holder.pid(), link(kind));
    let expected = namespace_of(&holder.pid(), link(kind))?;
    let c = Container::new(s).args(["sleep"]).edit(|config| {
        join_namespace(config, kind, &path);
        if kind == "uts" {
            config.as_object_mut().expect("an object").remove("hostname");
        }
    });
    let c = if kind == "user" {
        let root = c.rootfs();
        std::os::unix::fs::chown(root, Some(0), Some(0)).expect("chown");
        // Some runtimes want to be told the mappings of what they join.
        let map = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
        c.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map)
    } else {
        c
    };
    c.create()?;
    c.start()?;
    c.wait_for("ready")?;
    let seen = c.namespace(link(kind))?;
    expect(seen == expected, format!("the program is in {expected}"), format!("it is in {seen}"))
}

fn joined_pid(s: &Subject) -> Verdict {
    joined(s, "pid", &["--pid", "--fork"])
}

fn joined_network(s: &Subject) -> Verdict {
    joined(s, "network", &["--net"])
}

fn joined_ipc(s: &Subject) -> Verdict {
    joined(s, "ipc", &["--ipc"])
}

fn joined_uts(s: &Subject) -> Verdict {
    joined(s, "uts", &["--uts"])
}

fn joined_cgroup(s: &Subject) -> Verdict {
    joined(s, "cgroup", &["--cgroup"])
}

fn joined_user(s: &Subject) -> Verdict {
    joined(s, "user", &["--user", "--map-root-user"])
}

fn joined_time(s: &Subject) -> Verdict {
    joined(s, "time", &["--time", "--fork"])
}

fn joined_mount(s: &Subject) -> Verdict {
    joined(s, "mount", &["--mount", "--propagation", "private"])
}

fn path_of_another_type(s: &Subject) -> Verdict {
    let holder = Holder::new(&["--ipc"]);
    let path = format!("/proc/{}/ns/ipc", holder.pid());
    let c = Container::new(s).edit(|config| join_namespace(config, "network", &path));
    c.create_refused("the path of a network namespace is an ipc namespace's")
}

fn path_of_no_namespace(s: &Subject) -> Verdict {
    let c = Container::new(s);
    let file = c.source("volume").join("inside");
    let path = file.display().to_string();
    c.edit(|config| join_namespace(config, "network", &path))
        .create_refused("the path of a namespace is a plain file")?;
    let missing = Path::new("/not/there");
    let c = Container::new(s).edit(|config| join_namespace(config, "network", &missing.display().to_string()));
    c.create_refused("the path of a namespace doesn't exist")
}

fn inherited(s: &Subject, kind: &str) -> Verdict {
    let c = Container::new(s).args(["sleep"]).edit(|config| {
        drop_namespaces(config, &[kind]);
        match kind {
            "uts" => {
                config.as_object_mut().expect("an object").remove("hostname");
            }
            // sysfs belongs to a network; without an own one the host's can be shown.
            "network" => crate::config::drop_mount(config, "/sys"),
            _ => {}
        }
    });
    c.create()?;
    c.start()?;
    c.wait_for("ready")?;
    let (inside, outside) = (c.namespace(link(kind))?, namespace_of("self", link(kind))?);
    expect(inside == outside, format!("the runtime's {kind} namespace, {outside}"), inside)
}

fn inherited_pid(s: &Subject) -> Verdict {
    inherited(s, "pid")
}

fn inherited_network(s: &Subject) -> Verdict {
    inherited(s, "network")
}

fn inherited_ipc(s: &Subject) -> Verdict {
    inherited(s, "ipc")
}

fn inherited_uts(s: &Subject) -> Verdict {
    inherited(s, "uts")
}

fn inherited_cgroup(s: &Subject) -> Verdict {
    inherited(s, "cgroup")
}

fn inherited_time(s: &Subject) -> Verdict {
    inherited(s, "time")
}

fn inherited_user(s: &Subject) -> Verdict {
    inherited(s, "user")
}

/// A container that shares the runtime's mounts, and asks for none.
pub(super) fn sharing_mounts(s: &Subject) -> Container<'_> {
    let c = Container::new(s).directory("/dev").directory("/proc").set("/mounts", json!([]));
    c.edit(|config| drop_namespaces(config, &["mount"]))
}

/// The runtime is called in a mount namespace of its own, since it may change the root of that, and what it mounts stays there. A
/// procfs is mounted in it already: that some runtimes need one is not what these cases are about.
/// Returns that namespace, and what came of `create`.
pub(super) fn create_in_own_mounts(c: &Container) -> Verdict<(String, Done)> {
    let proc = c.rootfs().join("proc");
    let call = c.create_call().arg(c.id());
    let made = std::thread::scope(|scope| {
        let create = || {
            crate::lane::unshare_mounts().expect("make a mount namespace");
            mount("proc", proc, "proc", MountFlags::empty(), None).expect("mount a procfs");
            let own = namespace_of("thread-self", "mnt");
            (own, call.run())
        };
        scope.spawn(create).join().expect("the thread doesn't panic")
    });
    Ok((made.0?, c.remember(made.1)))
}

fn inherited_mount(s: &Subject) -> Verdict {
    let c = sharing_mounts(s).args(["sleep"]);
    let (outside, created) = create_in_own_mounts(&c)?;
    created.ok()?;
    c.start()?;
    c.wait_for("ready")?;
    let inside = c.namespace("mnt")?;
    expect(inside == outside, format!("the runtime's mount namespace, {outside}"), inside)?;
    let root = fs::metadata(format!("/proc/{}/root", c.pid()?)).and_then(|root| Ok((root, fs::metadata(c.rootfs())?)));
    let is_its_own = root.as_ref().is_ok_and(|(seen, own)| (seen.dev(), seen.ino()) == (own.dev(), own.ino()));
    expect(is_its_own, "its root is that of the config", format!("{root:?}"))
}

fn twice(s: &Subject) -> Verdict {
    Container::new(s)
        .set("/linux/namespaces/-", json!({"type": "ipc"}))
        .create_refused("a type of namespace comes twice")
}
