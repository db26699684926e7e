//! An unprivileged user's containers: no root anywhere, in as bare a setting as there is.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::config::drop_namespaces;
use crate::support::{Call, Container, Lane, Need, View, needs};

cases![
    what_spec_writes_runs,
    the_user_is_root_inside_and_nobody_else,
    an_empty_environment_is_enough,
    the_whole_life_of_a_container,
    the_state_is_in_the_users_own_directory,
    granted_ids_are_mapped,
    granted_ids_need_no_environment,
    ids_that_were_not_granted_are_refused,
    no_cgroup_is_made_where_none_may_be,
    a_cgroup_that_was_asked_for_is_an_error,
    a_delegated_cgroup_is_used,
    devices_are_the_hosts,
    nothing_of_others_can_be_id_mapped,
    in_a_container_with_a_user_namespace,
    in_the_user_namespace_of_another_container,
    namespaces_that_there_is_no_way_back_from,
    the_mounts_of_the_user_are_shared,
];

/// Nobody's on any machine that we know of; `/etc/passwd` of [`View::Granted`] has it.
const UID: u32 = Lane::USER;

fn rootless() -> Container {
    bundle_of(UID)
}

/// The bundle of a user, with the config that `spec --rootless` writes for it.
pub(crate) fn bundle_of(uid: u32) -> Container {
    needs(Need::Not("crun", "older releases write no such config"));
    let c = Container::new();
    for path in [c.dir().to_owned(), c.bundle(), c.rootfs()] {
        chown(path, Some(uid), Some(uid)).expect("chown");
    }
    as_user(&c, Call::launched(c.dir(), &["--groups", "", "--uid", &uid.to_string()]).env_clear())
        .args(["spec", "--rootless", "--bundle"])
        .arg(c.bundle())
        .run()
        .ok();
    let text = fs::read_to_string(c.bundle().join("config.json")).expect("it was written");
    let written: Value = serde_json::from_str(&text).expect("it is JSON");
    c.edit(|config| *config = written).set("/process/terminal", false).args(["report"])
}

fn as_user(c: &Container, call: Call) -> Call {
    call.arg("--root").arg(c.dir().join("state"))
}

/// The runtime as that user.
fn call(c: &Container, command: &str) -> Call {
    let id = UID.to_string();
    c.prepare(Call::launched(c.dir(), &["--groups", "", "--uid", &id])).arg(command)
}

fn run(c: &Container) -> Call {
    call(c, "run").arg("--bundle").arg(c.bundle()).arg(c.id())
}

/// Maps what [`View::Granted`] grants.
fn with_granted_ids(c: Container) -> Container {
    let maps = json!([{"containerID": 0, "hostID": UID, "size": 1}, {"containerID": 1, "hostID": Lane::GRANTED, "size": 1000}]);
    c.set("/linux/uidMappings", maps.clone()).set("/linux/gidMappings", maps).view(View::Granted)
}

fn what_spec_writes_runs() {
    let c = rootless();
    let report = run(&c).run().quiet().report();
    assert_eq!(
        (&report["uid"]["real"], &report["pid"], &report["hostname"]),
        (&json!(0), &json!(1), &c.config()["hostname"])
    );
    c.nothing_left();
}

fn the_user_is_root_inside_and_nobody_else() {
    let report = run(&rootless()).run().ok().report();
    assert_eq!((&report["uidMap"], &report["gidMap"]), (&json!([[0, UID, 1]]), &json!([[0, UID, 1]])));
    assert_eq!(report["setgroups"], "deny");
}

fn an_empty_environment_is_enough() {
    run(&rootless().args(["exit", "7"])).env_clear().run().exits(7);
}

fn the_whole_life_of_a_container() {
    let c = rootless().args(["sleep"]);
    let pid_file = c.dir().join("pid");
    call(&c, "create").arg("--bundle").arg(c.bundle()).arg("--pid-file").arg(&pid_file).arg(c.id()).run().ok();
    call(&c, "start").arg(c.id()).run().quiet();
    assert_eq!(call(&c, "state").arg(c.id()).run().quiet().json()["status"], "running");
    call(&c, "kill").arg(c.id()).arg("KILL").run().quiet();
    c.wait_exit();
    call(&c, "delete").arg(c.id()).run().quiet();
    c.nothing_left();
}

fn the_state_is_in_the_users_own_directory() {
    let c = rootless().args(["exit", "0"]);
    let xdg = c.dir().join("xdg");
    fs::create_dir(&xdg).expect("create a directory");
    chown(&xdg, Some(UID), Some(UID)).expect("chown");
    c.write_config();
    let call = Call::launched(c.dir(), &["--groups", "", "--uid", &UID.to_string()]).env("XDG_RUNTIME_DIR", &xdg);
    call.arg("run").arg("--bundle").arg(c.bundle()).arg(c.id()).run().ok();
    let made: Vec<_> = fs::read_dir(&xdg).expect("list it").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(made, [if Lane::get().kind().is("runc") { "runc" } else { "orlop" }]);
}

fn granted_ids_are_mapped() {
    needs(Need::Program("newuidmap"));
    let c = with_granted_ids(rootless());
    let report = run(&c).run().ok().report();
    assert_eq!(report["uidMap"].as_array().map(Vec::len), Some(2), "{}", report["uidMap"]);
    assert_eq!(report["gidMap"].as_array().map(Vec::len), Some(2));
    // Whom the machine granted ids may drop groups, and become somebody else.
    let c = with_granted_ids(rootless()).set("/process/user", json!({"uid": 1000, "gid": 999, "additionalGids": [5]}));
    let report = run(&c).run().ok().report();
    assert_eq!(
        (&report["uid"]["real"], &report["gid"]["real"], &report["groups"]),
        (&json!(1000), &json!(999), &json!([5]))
    );
}

fn granted_ids_need_no_environment() {
    needs(Need::Program("newuidmap"));
    needs(Need::Orlop("others look in PATH alone"));
    run(&with_granted_ids(rootless()).args(["exit", "7"])).env_clear().run().exits(7);
}

fn ids_that_were_not_granted_are_refused() {
    needs(Need::Program("newuidmap"));
    needs(Need::Orlop("it names the field"));
    let c = with_granted_ids(rootless()).set("/linux/uidMappings/1/hostID", Lane::GRANTED - 1);
    run(&c).run().fails(["linux.uidMappings: newuidmap: ", "/etc/subuid"]);
    let c = with_granted_ids(rootless()).set("/linux/gidMappings/1/hostID", Lane::GRANTED - 1);
    run(&c).run().fails(["linux.gidMappings: newgidmap: ", "/etc/subgid"]);
    c.nothing_left();
}

fn no_cgroup_is_made_where_none_may_be() {
    let c = rootless();
    let report = run(&c).run().quiet().report();
    // What it sees is the cgroup that the caller was in.
    assert!(report["cgroup"].as_str().expect("it has one").lines().any(|line| line == "0::/"), "{}", report["cgroup"]);
}

fn a_cgroup_that_was_asked_for_is_an_error() {
    needs(Need::Orlop("it names the field"));
    let c = rootless();
    let path = Lane::cgroup(c.id());
    run(&c.set("/linux/cgroupsPath", path)).run().fails(["linux.cgroupsPath: ", "permission denied"]);
}

fn a_delegated_cgroup_is_used() {
    needs(Need::Program("sh"));
    let c = rootless().args(["sleep"]);
    let delegated = Lane::cgroup_dir(&format!("{}-delegated", c.id()));
    fs::create_dir_all(delegated.join("caller")).expect("create cgroups");
    for dir in [delegated.clone(), delegated.join("caller")] {
        for name in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
            chown(dir.join(name), Some(UID), Some(UID)).expect("chown");
        }
    }
    let _removed = Removed(&delegated);
    c.write_config();
    let script = r#"echo 0 > "$0/caller/cgroup.procs" && exec "$@""#;
    let call = Call::new(c.dir(), "sh").arg("-c").arg(script).arg(&delegated).arg(Lane::get().probe());
    let call = call.args(["launch", "--groups", "", "--uid", &UID.to_string(), "--"]).arg(Lane::get().runtime());
    let call = as_user(&c, call).args(["run", "--detach", "--pid-file"]).arg(c.dir().join("pid"));
    call.arg("--bundle").arg(c.bundle()).arg(c.id()).run().ok();
    let own = fs::read_to_string(delegated.join(c.id()).join("cgroup.procs")).expect("it has a cgroup of its own");
    assert_eq!(own.trim(), c.pid().to_string());
    self::call(&c, "kill").arg(c.id()).arg("KILL").run().quiet();
    c.wait_dead();
    self::call(&c, "delete").arg(c.id()).run().quiet();
    assert!(!delegated.join(c.id()).exists(), "the cgroup is removed again");
}

/// A delegated cgroup, removed with what is below it.
struct Removed<'a>(&'a Path);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        let removed = fs::remove_dir(self.0.join("caller")).and_then(|()| fs::remove_dir(self.0));
        assert!(std::thread::panicking() || removed.is_ok(), "{}: {removed:?}", self.0.display());
    }
}

fn devices_are_the_hosts() {
    let c = rootless().args(["sequence", "try-write", "/dev/null", "x", "--", "report"]);
    let output = run(&c).run().ok();
    assert!(output.stdout.starts_with("ok\n"), "{}", output.stdout);
    assert_eq!(output.report()["dev"]["null"]["type"], "char");
}

fn nothing_of_others_can_be_id_mapped() {
    needs(Need::Orlop("it names the field"));
    let c = rootless().bind(Path::new("/usr"), "/mnt", ["idmap"]);
    run(&c).run().fails([".options[1]: ", "unprivileged", "CAP_SYS_ADMIN"]);
}

/// The runtime inside one of its own containers, whose root is nobody in particular outside.
fn in_a_container_with_a_user_namespace() {
    needs(Need::Orlop("others are not static"));
    let inner = Container::new().user_namespace(1000, 1000).args(["print", "from the inner one"]).edit(|config| {
        config["linux"].as_object_mut().expect("an object").remove("cgroupsPath");
        config["linux"].as_object_mut().expect("an object").remove("resources");
    });
    assert_eq!(run_in_another(&inner), "from the inner one\n");
}

/// As an engine that is a user's root runs them: no namespace of its own, and rules for devices that nobody there may make.
fn in_the_user_namespace_of_another_container() {
    needs(Need::Orlop("others are not static"));
    let inner = Container::new().args(["try-open-read", "/dev/null"]).edit(|config| {
        config["linux"].as_object_mut().expect("an object").remove("cgroupsPath");
    });
    assert_eq!(run_in_another(&inner), "ok\n");
}

/// As Podman of a user runs them: in a user namespace, but still in the machine's other namespaces, to which somebody without rights
/// there can't come back. With a new user namespace and without; not the pid namespace with a new one,
/// where nobody could mount /proc.
fn namespaces_that_there_is_no_way_back_from() {
    needs(Need::Orlop("others are not static"));
    needs(Need::Program("nsenter"));
    let outer = Container::new().user_namespace(100_000, 65_536).args(["sleep"]).up();
    let pid = outer.pid();
    for (kinds, with_user) in [
        (&["network"][..], false),
        (&["ipc", "uts"], true),
        (&["pid"], false),
        (&["network", "ipc", "uts", "pid"], false),
        (&["network", "ipc", "uts"], true),
    ] {
        let c = Container::new().args(["report"]).unset("/linux/cgroupsPath").unset("/linux/resources");
        let c = c.unset("/linux/maskedPaths").unset("/linux/readonlyPaths");
        let c = if with_user { c.user_namespace(1000, 1000) } else { c };
        let path = |kind: &str| format!("/proc/{pid}/ns/{}", if kind == "network" { "net" } else { kind });
        let c = c.edit(|config| {
            for namespace in config["linux"]["namespaces"].as_array_mut().expect("an array") {
                let kind = namespace["type"].as_str().expect("a text").to_owned();
                if kinds.contains(&kind.as_str()) {
                    namespace["path"] = json!(path(&kind));
                }
            }
            // These change or show a namespace, for which one has to own it.
            if with_user {
                config.as_object_mut().expect("an object").remove("hostname");
                super::support::config::drop_mount(config, "/sys");
                super::support::config::drop_mount(config, "/dev/mqueue");
            }
        });
        c.write_config();
        chown(c.dir(), Some(100_000), Some(100_000)).expect("chown");
        let root = if with_user { 101_000 } else { 100_000 };
        chown(c.rootfs(), Some(root), Some(root)).expect("chown");
        let pid = pid.to_string();
        let call =
            Call::new(c.dir(), "nsenter").args(["--target", &pid, "--user", "--setuid", "0", "--setgid", "0", "--"]);
        // Mounts are theirs in such a place.
        let call = call
            .args(["unshare", "--mount"])
            .arg(Lane::get().runtime())
            .arg("--root")
            .arg(c.dir().join("state"))
            .args(["run", "--bundle"]);
        let report = call.arg(c.bundle()).arg(c.id()).run().ok().report();
        for kind in kinds {
            let seen = if *kind == "network" { "net" } else { kind };
            let joined = fs::read_link(path(kind)).expect("read a link");
            assert_eq!(report["namespaces"][seen], joined.display().to_string(), "{kinds:?} {kind}");
        }
    }
}

/// What it prints when a container with a user namespace runs it.
fn run_in_another(inner: &Container) -> String {
    inner.write_config();
    let bundle = inner.bundle();
    let outer = Container::new().user_namespace(100_000, 65_536);
    let all = json!([
        "CAP_SYS_ADMIN",
        "CAP_SETUID",
        "CAP_SETGID",
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_SETPCAP",
        "CAP_NET_ADMIN",
        "CAP_KILL",
        "CAP_AUDIT_WRITE",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT",
        "CAP_MKNOD",
        "CAP_SYS_RESOURCE",
        "CAP_FOWNER"
    ]);
    let outer = ["bounding", "effective", "permitted"]
        .iter()
        .fold(outer, |c, set| c.set(&format!("/process/capabilities/{set}"), all.clone()))
        .unset("/linux/maskedPaths")
        .unset("/linux/readonlyPaths")
        .mount(json!({"destination": "/run", "type": "tmpfs", "source": "t"}))
        .bind(Lane::get().runtime(), "/run/runtime", ["ro"])
        .bind(&bundle, "/run/bundle", ["idmap"]);
    let args = json!(["/run/runtime", "--root", "/run/state", "run", "--bundle", "/run/bundle", "inner"]);
    outer.set("/process/args", args).run().ok().stdout
}

/// Without a mount namespace of its own. Its user can make no devices, so that they have to be there.
fn the_mounts_of_the_user_are_shared() {
    needs(Need::Orlop("runc and crun bind the devices, and may not"));
    let c = rootless().set("/mounts", json!([])).set("/root/readonly", false).directory("/dev");
    let c = c.edit(|config| {
        drop_namespaces(config, &["mount"]);
        for key in ["maskedPaths", "readonlyPaths"] {
            config["linux"].as_object_mut().expect("an object").remove(key);
        }
    });
    chown(c.rootfs().join("dev"), Some(UID), Some(UID)).expect("chown");
    run(&c).run().fails(["make /dev/null", "root file system has to have it"]);
    for (name, major, minor) in
        [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)]
    {
        let (kind, mode) = (rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::from_raw_mode(0o666));
        let path = c.rootfs().join("dev").join(name);
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, rustix::fs::makedev(major, minor))
            .expect("make a device");
    }
    let report = run(&c).run().ok().report();
    assert_eq!((&report["cwd"], &report["dev"]["null"]["type"]), (&json!("/"), &json!("char")));
}
