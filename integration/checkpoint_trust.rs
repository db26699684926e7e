//! Whoever wrote a checkpoint's files doesn't decide how its processes are confined: the config does, or there is no restore.
//!
//! CVE-2026-94603 (Podman ignored the sandbox that was asked for when it ran a checkpoint image), CVE-2026-47262 and CVE-2026-53488
//! (containerd believed what a checkpoint said of paths and devices). Each case asks for a bit less than the checkpoint has.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::checkpoint::{counting, counts_beyond, nothing_written, up, written};
use crate::support::apparmor::Profile;
use crate::support::case::cases;
use crate::support::config::{drop_mount, drop_namespaces};
use crate::support::{Container, Lane, Need, Output, needs, until};

cases![
    capabilities_that_were_taken_away,
    privileges_that_may_not_be_gained,
    a_filter_where_there_was_none,
    another_filter,
    the_same_filter_passes,
    a_profile_is_kept,
    another_profile_is_put_in_force,
    a_profile_where_there_was_none,
    a_profile_of_the_flag_is_compared_with_the_configs,
    criu_is_the_machines,
    another_user,
    another_group,
    a_namespace_that_was_not_there,
    a_namespace_of_somebody_elses,
    a_bind_mount_of_something_else,
    a_bind_mount_that_was_writable,
    a_bind_mount_that_was_taken_away,
    a_mount_without_its_options,
    a_mount_that_was_not_there,
    a_mount_that_was_taken_away,
    a_path_that_was_not_masked,
    a_path_that_was_writable,
    a_root_that_was_writable_is_not_any_more,
    less_than_the_config_allows_passes,
    a_runtime_that_is_killed_lets_nothing_run,
    no_restore_of_what_cannot_be_restored,
];

fn restore(c: &Container) -> Output {
    c.restore_with(&c.images(), [""; 0])
}

/// Written as `before` makes it, and refused when it is to be as `after` makes it. Nothing of it ran on, and nothing stays.
fn refused(before: impl FnOnce(&mut Value), after: impl FnOnce(&mut Value), texts: &[&str]) {
    let c = up(counting().edit(before));
    let count = written(&c);
    let c = c.edit(after);
    restore(&c).fails(texts.iter().copied());
    c.nothing_left();
    let text = fs::read_to_string(c.dir().join("out/count")).expect("read");
    assert_eq!(text.lines().count() as u64, count, "it went on");
}

fn accepted(before: impl FnOnce(&mut Value), after: impl FnOnce(&mut Value)) -> Container {
    let c = up(counting().edit(before));
    let count = written(&c);
    let c = c.edit(after);
    restore(&c).quiet();
    counts_beyond(&c, count);
    c
}

fn nothing(_: &mut Value) {}

fn capabilities_that_were_taken_away() {
    let more = |config: &mut Value| {
        let all = json!(["CAP_KILL", "CAP_SYS_ADMIN"]);
        config["process"]["capabilities"] = json!({"bounding": all, "effective": all, "permitted": all});
    };
    let less = |config: &mut Value| {
        config["process"]["capabilities"] = json!({"bounding": ["CAP_KILL"], "effective": [], "permitted": []});
    };
    refused(more, less, &["process.capabilities: ", "CapPrm 0000000000200000"]);
}

fn privileges_that_may_not_be_gained() {
    let may = |config: &mut Value| config["process"]["noNewPrivileges"] = json!(false);
    let may_not = |config: &mut Value| config["process"]["noNewPrivileges"] = json!(true);
    refused(may, may_not, &["process.noNewPrivileges: ", "it may gain privileges"]);
}

fn filter(config: &mut Value, call: &str) {
    let rules = json!([{"names": [call], "action": "SCMP_ACT_ERRNO"}]);
    config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules});
}

fn a_filter_where_there_was_none() {
    refused(nothing, |config| filter(config, "mkdir"), &["linux.seccomp: ", "under no filter"]);
}

fn another_filter() {
    let other = |config: &mut Value| filter(config, "rmdir");
    refused(|config| filter(config, "mkdir"), other, &["linux.seccomp: ", "under another filter than this profile"]);
}

fn the_same_filter_passes() {
    let c = accepted(|config| filter(config, "mkdir"), nothing);
    let status = fs::read_to_string(format!("/proc/{}/status", c.pid())).expect("read");
    assert!(status.contains("Seccomp:\t2"), "{status}");
}

fn current_profile(c: &Container) -> String {
    fs::read_to_string(format!("/proc/{}/attr/apparmor/current", c.pid())).expect("read").trim_end().to_owned()
}

fn a_profile_is_kept() {
    needs(Need::AppArmor);
    let profile = Profile::loaded();
    let c = accepted(|config| config["process"]["apparmorProfile"] = json!(profile.name()), nothing);
    assert_eq!(current_profile(&c), profile.enforced());
}

/// CRIU can change this one, for all processes.
fn another_profile_is_put_in_force() {
    needs(Need::AppArmor);
    let (profile, other) = (Profile::loaded(), Profile::loaded());
    let c = accepted(
        |config| config["process"]["apparmorProfile"] = json!(profile.name()),
        |config| config["process"]["apparmorProfile"] = json!(other.name()),
    );
    assert_eq!(current_profile(&c), other.enforced());
}

fn a_profile_where_there_was_none() {
    needs(Need::AppArmor);
    let profile = Profile::loaded();
    let c = up(counting());
    written(&c);
    let c = c.set("/process/apparmorProfile", profile.name());
    restore(&c).fails(["process.apparmorProfile: ", "it runs under \"unconfined\""]);
    c.nothing_left();
}

/// Whoever calls may name another, and the config's counts.
fn a_profile_of_the_flag_is_compared_with_the_configs() {
    needs(Need::AppArmor);
    let (profile, other) = (Profile::loaded(), Profile::loaded());
    let c = up(counting().set("/process/apparmorProfile", profile.name()));
    written(&c);
    let flag = format!("--lsm-profile=apparmor:{}", other.name());
    c.restore_with(&c.images(), [flag]).fails(["process.apparmorProfile: ", "it runs under \"", other.name()]);
    c.nothing_left();
}

/// An image may have a program of that name too (CVE-2026-84042).
fn criu_is_the_machines() {
    let c = counting();
    for dir in ["/usr/sbin", "/usr/bin", "/sbin", "/bin"] {
        fs::create_dir_all(c.rootfs().join(dir.trim_start_matches('/'))).expect("make a directory");
        fs::hard_link(Lane::get().probe(), c.rootfs().join(format!("{dir}/criu").trim_start_matches('/')))
            .expect("link");
    }
    let c = up(c);
    let count = written(&c);
    restore(&c).quiet();
    counts_beyond(&c, count);
}

fn another_user() {
    refused(nothing, |config| config["process"]["user"]["uid"] = json!(1000), &["process.user.uid: "]);
}

fn another_group() {
    refused(nothing, |config| config["process"]["user"]["gid"] = json!(1000), &["process.user.gid: "]);
}

fn a_namespace_that_was_not_there() {
    let hosts = |config: &mut Value| drop_namespaces(config, &["ipc"]);
    let own = |config: &mut Value| {
        config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({"type": "ipc"}));
    };
    refused(hosts, own, &["linux.namespaces: ", "the runtime's own ipc namespace"]);
}

fn a_namespace_of_somebody_elses() {
    let other = Container::sleeping();
    for kind in ["mount", "cgroup"] {
        let c = counting();
        nothing_written(&c);
        let path = format!("/proc/{}/ns/{}", other.pid(), if kind == "mount" { "mnt" } else { kind });
        let c = c.edit(|config| crate::support::config::join_namespace(config, kind, &path));
        restore(&c).fails(["linux.namespaces[", &format!("a restored container can't join a {kind} namespace")]);
        c.nothing_left();
    }
}

/// The source is the new config's, and is what the container gets.
fn a_bind_mount_of_something_else() {
    let c = up(counting().bind(Path::new("/etc/hostname"), "/etc/name", ["ro"]));
    let count = written(&c);
    let at = c.config()["mounts"].as_array().expect("a list").len() - 1;
    let c = c.set(&format!("/mounts/{at}/source"), "/etc/passwd");
    restore(&c).quiet();
    counts_beyond(&c, count);
    let seen = c.call("exec").arg(c.id()).args(["/probe", "cat", "/etc/name"]).run().ok().stdout;
    assert_eq!(seen, fs::read_to_string("/etc/passwd").expect("read"));
}

fn a_bind_mount_that_was_writable() {
    let readonly = |config: &mut Value| {
        let mounts = config["mounts"].as_array_mut().expect("a list");
        mounts.last_mut().expect("the bind mount")["options"] = json!(["bind", "ro"]);
    };
    refused(nothing, readonly, &["mounts[7]: ", "has /out without ro"]);
}

fn a_bind_mount_that_was_taken_away() {
    refused(nothing, |config| drop_mount(config, "/out"), &["criu restore: ", "Error (criu/", "No mapping for"]);
}

fn a_mount_without_its_options() {
    let loose = |config: &mut Value| {
        config["mounts"][3]["options"] = json!(["mode=1777", "size=65536k"]);
    };
    let strict = |config: &mut Value| {
        config["mounts"][3]["options"] = json!(["noexec", "mode=1777", "size=65536k"]);
    };
    refused(loose, strict, &["mounts[3]: ", "has /dev/shm without noexec"]);
}

fn a_mount_that_was_not_there() {
    let c = up(counting().directory("/tmp"));
    written(&c);
    let c = c.mount(json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}));
    restore(&c).fails(["mounts[8]: ", "nothing mounted at /tmp"]);
    c.nothing_left();
}

fn a_mount_that_was_taken_away() {
    let tmpfs = json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"});
    let c = up(counting().directory("/tmp").mount(tmpfs));
    written(&c);
    let c = c.edit(|config| drop_mount(config, "/tmp"));
    restore(&c).fails(["mounts: ", "has a tmpfs at /tmp, the config not"]);
    c.nothing_left();
}

fn a_path_that_was_not_masked() {
    let masked = |path: &'static str| move |config: &mut Value| config["linux"]["maskedPaths"] = json!([path]);
    refused(
        masked("/proc/timer_list"),
        masked("/proc/meminfo"),
        &["linux.maskedPaths[0]: ", "doesn't hide /proc/meminfo"],
    );
    refused(masked("/proc/timer_list"), masked("/proc/irq"), &["linux.maskedPaths[0]: ", "doesn't hide /proc/irq"]);
}

fn a_path_that_was_writable() {
    let readonly = |path: &'static str| move |config: &mut Value| config["linux"]["readonlyPaths"] = json!([path]);
    refused(readonly("/proc/bus"), readonly("/proc/sys"), &["linux.readonlyPaths[0]: ", "has /proc/sys writable"]);
}

/// This one can be put in force.
fn a_root_that_was_writable_is_not_any_more() {
    let c =
        accepted(|config| config["root"]["readonly"] = json!(false), |config| config["root"]["readonly"] = json!(true));
    let words = ["/probe", "try-mkdir", "/new"];
    assert_eq!(c.call("exec").arg(c.id()).args(words).run().ok().stdout, "EROFS\n");
}

fn less_than_the_config_allows_passes() {
    let less = |config: &mut Value| {
        config["process"]["capabilities"] = json!({"bounding": [], "effective": [], "permitted": []});
    };
    let more = |config: &mut Value| {
        let all = json!(["CAP_KILL", "CAP_CHOWN"]);
        config["process"]["capabilities"] = json!({"bounding": all, "effective": all, "permitted": all});
        config["process"]["noNewPrivileges"] = json!(false);
    };
    let c = accepted(less, more);
    let status = fs::read_to_string(format!("/proc/{}/status", c.pid())).expect("read");
    assert!(status.contains("CapBnd:\t0000000000000000"), "{status}");
}

/// CRIU goes on without its caller, and an engine may kill a runtime that takes long.
fn a_runtime_that_is_killed_lets_nothing_run() {
    let c = up(counting().set("/process/noNewPrivileges", false));
    let count = written(&c);
    let c = c.set("/process/noNewPrivileges", true);
    let whole = restore(&c).fails(["process.noNewPrivileges: "]).took;
    for round in 1..=6 {
        let call =
            c.call("restore").arg("--detach").arg("--image-path").arg(c.images()).arg("--bundle").arg(c.bundle());
        let running = call.arg(c.id()).spawn();
        std::thread::sleep(whole * round / 6);
        running.signal(Signal::KILL);
        drop(running.wait());
        std::thread::sleep(whole / 2);
        let text = fs::read_to_string(c.dir().join("out/count")).expect("read");
        assert_eq!(text.lines().count() as u64, count, "it went on after {round}/6");
        c.delete_by_force().ok();
        until("everything to be gone", || c.is_gone().then_some(()));
    }
}

fn no_restore_of_what_cannot_be_restored() {
    let c = counting();
    nothing_written(&c);
    let mapping = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
    let c = c.edit(|config| {
        let mounts = config["mounts"].as_array_mut().expect("a list");
        let bind = mounts.last_mut().expect("the bind mount");
        bind["uidMappings"] = mapping.clone();
        bind["gidMappings"] = mapping;
    });
    restore(&c).fails(["mounts[7].uidMappings: an id-mapped mount can't be restored"]);
    c.nothing_left();
}
