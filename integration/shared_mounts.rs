//! A container without a mount namespace: it shares the runtime's mounts, has its root by chroot, and nothing is mounted for it.

use std::ffi::CStr;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use serde_json::{Value, json};

use crate::support::apparmor::Profile;
use crate::support::case::{cases, in_parallel};
use crate::support::config::{drop_namespaces, join_namespace};
use crate::support::lane::unshare_mounts;
use crate::support::{Container, Need, Output, Pty, needs};

cases![
    the_runtimes_mounts_are_inherited,
    the_runtimes_own_namespace_by_its_path_is_inherited_too,
    not_one_mount_changes,
    its_root_is_all_that_it_sees,
    what_the_host_mounts_below_its_root_appears,
    devices_are_made_in_its_root,
    hooks_run,
    a_process_joins_its_root,
    a_process_joins_all_that_its_init_has,
    a_process_joins_with_a_terminal_of_the_roots,
    without_any_namespace,
    in_a_user_namespace,
    in_a_user_namespace_no_device_can_be_made,
    it_is_confined_by_apparmor,
    what_would_be_mounted_is_refused,
    systemds_socket_is_refused,
    nothing_can_be_mounted_later,
    it_cannot_be_checkpointed,
    the_first_processs_mounts_are_not_joined,
];

/// Runs a case in a mount namespace that stands in for the host's.
fn on_a_host(case: fn()) {
    in_parallel(1, 1, |_| {
        unshare_mounts().expect("make a mount namespace");
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).expect("make it private");
        // What is mounted there is what a runtime could share by mistake.
        mount("host", "/mnt", "tmpfs", MountFlags::empty(), None).expect("mount a tmpfs");
        mount_change("/mnt", MountPropagationFlags::SHARED).expect("share it");
        case();
    });
}

/// All of this thread's mounts, with their options and peers.
fn mounts() -> String {
    fs::read_to_string("/proc/thread-self/mountinfo").expect("read the own mounts")
}

/// Nothing in its config asks for a mount.
fn container() -> Container {
    let c = Container::new().set("/root/readonly", false).set("/mounts", json!([]));
    let c = c.unset("/linux/maskedPaths").unset("/linux/readonlyPaths");
    c.edit(|config| drop_namespaces(config, &["mount"])).directory("/proc")
}

/// What the host has mounted below a container's root, for as long as this lives.
struct Below(PathBuf);

impl Below {
    fn new(c: &Container, name: &str, fstype: &str, options: Option<&CStr>) -> Self {
        let path = c.rootfs().join(name);
        mount(fstype, &path, fstype, MountFlags::empty(), options).expect("mount it");
        Self(path)
    }
}

impl Drop for Below {
    fn drop(&mut self) {
        let unmounted = unmount(&self.0, UnmountFlags::DETACH);
        assert!(std::thread::panicking() || unmounted.is_ok(), "{}: {unmounted:?}", self.0.display());
    }
}

fn proc_below(c: &Container) -> Below {
    Below::new(c, "proc", "proc", None)
}

fn mount_namespace(pid: &str) -> String {
    fs::read_link(format!("/proc/{pid}/ns/mnt")).expect("read a namespace link").to_string_lossy().into_owned()
}

fn exec<'a>(c: &Container, words: impl IntoIterator<Item = &'a str>) -> Output {
    c.call("exec").args([c.id(), "/probe"]).args(words).run()
}

fn the_runtimes_mounts_are_inherited() {
    on_a_host(|| {
        let c = container().args(["sleep"]).up();
        assert_eq!(mount_namespace(&c.pid().to_string()), mount_namespace("thread-self"));
        c.delete_by_force().ok();
        c.nothing_left();
    });
}

fn the_runtimes_own_namespace_by_its_path_is_inherited_too() {
    needs(Need::Orlop("runc and crun take the host's root away"));
    on_a_host(|| {
        let before = mounts();
        let c = container().args(["sleep"]).edit(|config| join_namespace(config, "mount", "/proc/self/ns/mnt"));
        let c = c.up();
        assert_eq!(mount_namespace(&c.pid().to_string()), mount_namespace("thread-self"));
        assert_eq!(mounts(), before);
        c.delete_by_force().ok();
        let c = Container::new().edit(|config| join_namespace(config, "mount", "/proc/self/ns/mnt"));
        c.run().fails(["mounts: would be mounted on the host"]);
        assert_eq!(mounts(), before);
    });
}

fn not_one_mount_changes() {
    needs(Need::Orlop("runc and crun change how all mounts travel, and mount the root on itself"));
    on_a_host(|| {
        let before = mounts();
        let c = container().args(["sleep"]).hook("createRuntime", &[]).hook("createContainer", &[]);
        c.create().quiet();
        assert_eq!(mounts(), before, "created");
        c.start().quiet();
        c.wait_for("ready");
        assert_eq!(mounts(), before, "running");
        exec(&c, ["exit", "0"]).quiet();
        assert_eq!(mounts(), before, "joined");
        c.kill("TERM").quiet();
        c.wait_dead();
        c.delete().quiet();
        assert_eq!(mounts(), before, "deleted");
        c.nothing_left();
        c.run_with(["--no-pivot", "--detach"]).quiet();
        assert_eq!(mounts(), before, "without pivot_root");
        c.delete_by_force().ok();
        assert_eq!(mounts(), before, "deleted by force");
        c.args(["/no/such"]).set("/process/args", json!(["/no/such"])).run().exits(1);
        assert_eq!(mounts(), before, "failed");
    });
}

/// What is in its root, what a path that leads up leads to, and where it is.
const LOOK: [&str; 9] = ["sequence", "ls", "/", "--", "ls", "/../..", "--", "report", "/file"];

fn sees_its_root_alone(text: &str) {
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [root, above, report] = &lines[..] else { panic!("{text}") };
    assert_eq!(root, above);
    let names: Vec<&String> = root.as_object().expect("a listing").keys().collect();
    assert_eq!(names, ["dev", "file", "probe", "proc"]);
    assert_eq!(report["cwd"], "/");
}

fn its_root_is_all_that_it_sees() {
    on_a_host(|| {
        let c = container().file("/file", "").args(LOOK);
        sees_its_root_alone(&c.run().ok().stdout);
        let c = container().set("/process/cwd", "/../made/here").args(["report"]);
        assert_eq!(c.run().ok().report()["cwd"], "/made/here");
        assert!(c.rootfs().join("made/here").is_dir());
    });
}

fn what_the_host_mounts_below_its_root_appears() {
    on_a_host(|| {
        let c = container().directory("/early").directory("/late").args(["sleep"]);
        let below = |name: &str| {
            let below = Below::new(&c, name, "tmpfs", None);
            fs::write(below.0.join("text"), name).expect("write into it");
            below
        };
        let _early = below("early");
        c.create().ok();
        let _late = below("late");
        c.start().ok();
        c.wait_for("ready");
        for name in ["early", "late"] {
            assert_eq!(exec(&c, ["cat", &format!("/{name}/text")]).ok().stdout, name);
        }
        c.delete_by_force().ok();
        assert!(c.rootfs().join("late/text").exists(), "what the host has mounted stays");
    });
}

fn devices_are_made_in_its_root() {
    on_a_host(|| {
        let c = container().set("/linux/devices", json!([{"path": "/dev/own", "type": "c", "major": 1, "minor": 5}]));
        let dev = c.run().ok().report()["dev"].clone();
        for name in ["null", "zero", "full", "random", "urandom", "tty", "own"] {
            assert_eq!(dev[name]["type"], "char", "{name}: {dev}");
        }
        assert_eq!(dev["fd"]["target"], "/proc/self/fd");
        // They stay with the root file system, and are right the next time as well.
        c.run().ok();
        assert!(c.rootfs().join("dev/null").exists());
    });
}

fn hooks_run() {
    on_a_host(|| {
        let kinds = ["createRuntime", "createContainer", "poststart", "poststop"];
        let c = kinds.iter().fold(container().file("/log", ""), |c, kind| c.hook(kind, &[]));
        let inside = json!([{"path": "/probe", "args": ["hook", "hook", "/log", "startContainer"]}]);
        let c = c.set("/hooks/startContainer", inside).args(["exit", "0"]);
        c.run().ok();
        assert_eq!(c.hook_order(), kinds);
        let log = fs::read_to_string(c.rootfs().join("log")).expect("read what it recorded");
        let seen: Value = serde_json::from_str(&log).expect("JSON");
        assert!(seen["root"].get("probe").is_some(), "{seen}");
    });
}

fn a_process_joins_its_root() {
    on_a_host(|| {
        let c = container().file("/file", "").args(["sleep"]).up();
        sees_its_root_alone(&exec(&c, LOOK).ok().stdout);
        let away = c.call("exec").args(["--cwd", "/../../tmp", c.id(), "/probe", "report"]).run();
        assert!(away.code != Some(0), "{}", away.stdout);
    });
}

fn a_process_joins_all_that_its_init_has() {
    on_a_host(|| {
        let c = container().args(["sleep"]);
        let _proc = proc_below(&c);
        c.create().ok();
        c.start().ok();
        c.wait_for("ready");
        let report = exec(&c, ["report"]).ok().report();
        assert_eq!((&report["exe"], &report["cwd"]), (&json!("/probe"), &json!("/")));
        assert_eq!(report["namespaces"]["mnt"], mount_namespace("thread-self"));
        for kind in ["pid", "net", "ipc", "uts", "cgroup"] {
            let own = fs::read_link(format!("/proc/{}/ns/{kind}", c.pid())).expect("read a namespace link");
            assert_eq!(report["namespaces"][kind], own.to_string_lossy().into_owned(), "{kind}");
        }
        let fds = report["fds"].as_object().expect("descriptors").keys().cloned().collect::<Vec<_>>();
        assert_eq!(fds, ["0", "1", "2"], "nothing of the host's is open in it");
    });
}

fn a_process_joins_with_a_terminal_of_the_roots() {
    on_a_host(|| {
        let c = container().args(["sleep"]).directory("/dev/pts").up();
        let call = || c.call("exec").args(["--tty", c.id(), "/probe", "report"]);
        let pty = Pty::new(80, 24);
        call().spawn_on(pty.terminal()).wait().exits(255);
        let _devpts = Below::new(&c, "dev/pts", "devpts", Some(c"newinstance,ptmxmode=0666"));
        call().spawn_on(pty.terminal()).wait().ok();
    });
}

fn without_any_namespace() {
    on_a_host(|| {
        let before = mounts();
        let c = container().unset("/hostname").set("/linux/namespaces", json!([])).args(["sleep"]).up();
        for kind in ["mnt", "pid", "net", "ipc", "uts", "user", "cgroup"] {
            let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect("read a namespace link");
            assert_eq!(of(&c.pid().to_string()), of("thread-self"), "{kind}");
        }
        let names = exec(&c, ["ls", "/"]).ok().stdout;
        assert!(names.contains("probe") && !names.contains("\"etc\""), "{names}");
        c.kill("KILL").ok();
        c.wait_dead();
        c.delete().ok();
        needs(Need::Orlop("runc and crun change how all mounts travel, and mount the root on itself"));
        assert_eq!(mounts(), before);
    });
}

/// The nodes that every container has, as the machine's root makes them.
fn make_devices(c: &Container) {
    for (name, minor) in [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)] {
        make_device(&c.rootfs().join("dev").join(name), 1, minor);
    }
    make_device(&c.rootfs().join("dev/tty"), 5, 0);
}

fn make_device(path: &Path, major: u32, minor: u32) {
    let (kind, mode) = (rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::from_raw_mode(0o666));
    let number = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, number).expect("make a device");
}

fn in_a_user_namespace() {
    needs(Need::Orlop("runc and crun bind devices, on the host"));
    on_a_host(|| {
        let c = container().directory("/dev").user_namespace(100_000, 65_536);
        make_devices(&c);
        std::os::unix::fs::chown(c.rootfs().join("dev"), Some(100_000), Some(100_000)).expect("chown");
        let before = mounts();
        let c = c.set("/linux/sysctl", json!({"net.ipv4.ip_default_ttl": "77"})).args(["sleep"]).up();
        assert_eq!(mounts(), before);
        let report = exec(&c, ["report"]).ok().report();
        assert_eq!((&report["cwd"], &report["dev"]["null"]["type"]), (&json!("/"), &json!("char")));
        let map = fs::read_to_string(format!("/proc/{}/uid_map", c.pid())).expect("read the map");
        assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "100000", "65536"]);
        assert_eq!(mounts(), before);
    });
}

fn in_a_user_namespace_no_device_can_be_made() {
    needs(Need::Orlop("runc and crun bind devices, on the host"));
    on_a_host(|| {
        let before = mounts();
        let c = container().user_namespace(100_000, 65_536);
        c.run().fails(["make /dev/null", "root file system has to have it"]);
        assert_eq!(mounts(), before);
        c.nothing_left();
    });
}

fn it_is_confined_by_apparmor() {
    needs(Need::AppArmor);
    on_a_host(|| {
        let profile = Profile::loaded();
        // What the profile forbids is a path of the mount namespace, and there the file is another one.
        let words = ["sequence", "cat", "/proc/self/attr/apparmor/current", "--", "try-open-read", "/forbidden"];
        let c = container().file("/forbidden", "").set("/process/apparmorProfile", profile.name());
        let c = c.args([&words[..], &["--", "sleep"]].concat());
        let _proc = proc_below(&c);
        c.create().ok();
        c.start().ok();
        let expected = format!("{}\nok\n", profile.enforced());
        assert_eq!(c.wait_for("ready"), format!("{expected}ready\n"));
        assert_eq!(exec(&c, words).ok().stdout, expected);
    });
}

fn what_would_be_mounted_is_refused() {
    needs(Need::Orlop("runc refuses masked and read-only paths alone"));
    on_a_host(|| {
        let before = mounts();
        let proc = json!([{"destination": "/proc", "type": "proc", "source": "proc"}]);
        for (pointer, value, field) in [
            ("/mounts", proc, "mounts"),
            ("/linux/maskedPaths", json!(["/probe"]), "linux.maskedPaths"),
            ("/linux/readonlyPaths", json!(["/probe"]), "linux.readonlyPaths"),
            ("/root/readonly", json!(true), "root.readonly"),
            ("/linux/rootfsPropagation", json!("private"), "linux.rootfsPropagation"),
            ("/process/terminal", json!(true), "process.terminal"),
        ] {
            let c = container().set(pointer, value);
            c.create().fails([&format!("{field}: ")[..], "add a mount namespace to linux.namespaces"]);
            assert_eq!(mounts(), before, "{field}");
            c.nothing_left();
        }
    });
}

fn systemds_socket_is_refused() {
    needs(Need::Orlop("runc and crun mount it on the host"));
    on_a_host(|| {
        let c = container();
        let before = mounts();
        c.create_call([""; 0]).env("NOTIFY_SOCKET", "/run/none").run().fails(["NOTIFY_SOCKET", "unset the variable"]);
        assert_eq!(mounts(), before);
        c.nothing_left();
    });
}

fn nothing_can_be_mounted_later() {
    needs(Need::Orlop("runc lacks the command"));
    on_a_host(|| {
        let c = container().directory("/here").args(["sleep"]).up();
        let before = mounts();
        let path = c.dir().join("mounts.json");
        fs::write(&path, json!([{"destination": "/here", "type": "tmpfs", "source": "tmpfs"}]).to_string())
            .expect("write");
        for action in ["add", "remove"] {
            let refused = c.call("mounts").args([action, c.id()]).arg(&path).run();
            refused.fails(["the container has no mount namespace"]);
        }
        assert_eq!(mounts(), before);
    });
}

fn it_cannot_be_checkpointed() {
    needs(Need::Orlop("runc leaves it to CRIU"));
    on_a_host(|| {
        let c = container().args(["sleep"]).up();
        c.checkpoint_with([""; 0]).fails(["linux.namespaces", "without a mount namespace"]);
        assert_eq!(c.status(), "running");
    });
}

/// The host's own namespace is not this one, and would be changed without any way back.
fn the_first_processs_mounts_are_not_joined() {
    needs(Need::Orlop("runc and crun would take the machine's root away"));
    needs(Need::FirstProcess);
    let before = fs::read_to_string("/proc/1/mountinfo").expect("read process 1's mounts").lines().count();
    let c = container().edit(|config| join_namespace(config, "mount", "/proc/1/ns/mnt"));
    c.run().fails(["linux.namespaces[5].path", "process 1"]);
    assert_eq!(fs::read_to_string("/proc/1/mountinfo").expect("read process 1's mounts").lines().count(), before);
    c.nothing_left();
}
