//! The container's cgroup: where it is, what is in it, and that it goes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::config::{drop_mount, drop_namespaces};
use crate::support::{Call, Container, Exit, Lane, Need, View, needs};

cases![
    an_absolute_path_is_below_the_mount,
    a_relative_path_is_beside_the_callers_cgroup,
    without_a_path_it_is_named_after_the_id,
    a_path_with_dots_stays_below_the_mount,
    parents_are_made,
    init_is_in_it,
    what_the_program_starts_is_in_it,
    delete_removes_it,
    delete_removes_cgroups_that_the_container_made,
    delete_leaves_the_parents_of_others_alone,
    a_writable_cgroup_is_the_containers_own,
    a_read_only_cgroup_stays_the_machines,
    what_is_the_containers_own_without_the_kernels_list,
    an_existing_empty_cgroup_is_used,
    an_existing_cgroup_with_a_process_is_refused,
    a_frozen_cgroup_is_refused,
    the_root_of_the_hierarchy_is_refused,
    the_callers_own_cgroup_is_refused_and_left_alone,
    an_empty_path_ends_nobody_else,
    a_missing_controller_is_an_error,
    a_hybrid_machine_runs_containers,
    a_hybrid_machine_keeps_its_old_hierarchies,
    a_hybrid_machine_goes_through_the_lifecycle,
    processes_left_by_a_program_without_a_pid_namespace_end,
    processes_in_an_existing_cgroup_end_with_it_too,
    devices_are_ruled_before_the_program_runs,
];

fn cgroup_of(pid: i32) -> String {
    let table = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("read a cgroup");
    table.lines().find_map(|line| line.strip_prefix("0::")).expect("a line of cgroup v2").to_owned()
}

fn an_absolute_path_is_below_the_mount() {
    let c = Container::sleeping();
    assert_eq!(cgroup_of(c.pid()), Lane::cgroup(c.id()));
    assert!(c.cgroup_dir().is_dir());
}

fn a_relative_path_is_beside_the_callers_cgroup() {
    needs(Need::Not("crun", "it is below the root"));
    let c = Container::new().args(["sleep"]);
    let relative = json!(c.id());
    let c = c.set("/linux/cgroupsPath", relative).up();
    // The suite sits in a cgroup `self`, and the parent of that is where a container's own belongs.
    assert_eq!(cgroup_of(c.pid()), Lane::cgroup(c.id()));
}

fn without_a_path_it_is_named_after_the_id() {
    needs(Need::Not("crun", "it is below the root"));
    let c = Container::new().args(["sleep"]).unset("/linux/cgroupsPath").up();
    assert_eq!(cgroup_of(c.pid()), Lane::cgroup(c.id()));
    c.delete_by_force().quiet();
    c.nothing_left();
    let c = Container::new().args(["sleep"]).set("/linux/cgroupsPath", "").up();
    assert_eq!(cgroup_of(c.pid()), Lane::cgroup(c.id()));
}

fn a_path_with_dots_stays_below_the_mount() {
    needs(Need::Not("crun", "it is refused"));
    let c = Container::new().args(["sleep"]);
    let path = format!("/../../..{}", Lane::cgroup(c.id()));
    let c = c.set("/linux/cgroupsPath", path).up();
    assert_eq!(cgroup_of(c.pid()), Lane::cgroup(c.id()));
}

fn parents_are_made() {
    let c = Container::new().args(["sleep"]);
    let path = format!("{}/deep/below", Lane::cgroup(c.id()));
    let c = c.set("/linux/cgroupsPath", path.clone()).up();
    assert_eq!(cgroup_of(c.pid()), path);
    c.delete_by_force().quiet();
    assert!(!c.cgroup_dir().join("deep/below").exists());
    // Whether the parents go too is the runtime's choice.
    crate::support::leftovers::remove_cgroup(&c.cgroup_dir()).expect("the parents can be removed");
}

fn init_is_in_it() {
    let c = Container::new().args(["sleep"]);
    c.create().ok();
    let pids = fs::read_to_string(c.cgroup_dir().join("cgroup.procs")).expect("read its processes");
    assert_eq!(pids.trim(), c.pid().to_string());
}

fn what_the_program_starts_is_in_it() {
    let c = Container::new().args(["sequence", "spawn", "3", "--", "sleep"]).up();
    let pids = fs::read_to_string(c.cgroup_dir().join("cgroup.procs")).expect("read its processes");
    assert_eq!(pids.lines().count(), 4);
}

fn delete_removes_it() {
    let c = Container::sleeping();
    c.kill("KILL").ok();
    c.wait_dead();
    assert!(c.cgroup_dir().exists());
    c.delete().quiet();
    assert!(!c.cgroup_dir().exists());
}

fn delete_removes_cgroups_that_the_container_made() {
    let c = Container::new().set("/mounts/6/options", json!(["nosuid", "noexec", "nodev", "relatime", "rw"]));
    let words = ["mkdir", "/sys/fs/cgroup/a", "--", "mkdir", "/sys/fs/cgroup/a/b", "--", "mkdir", "/sys/fs/cgroup/c"];
    let c = c.args(["sequence"].into_iter().chain(words).chain(["--", "sleep"])).up();
    assert!(c.cgroup_dir().join("a/b").is_dir());
    c.kill("KILL").ok();
    c.wait_dead();
    c.delete().quiet();
    c.nothing_left();
}

fn delete_leaves_the_parents_of_others_alone() {
    let (one, other) = (Container::new().args(["sleep"]), Container::new().args(["sleep"]));
    let parent = Lane::cgroup(&format!("{}-parent", one.id()));
    let (first, second) = (format!("{parent}/{}", one.id()), format!("{parent}/{}", other.id()));
    let one = one.set("/linux/cgroupsPath", first).up();
    let other = other.set("/linux/cgroupsPath", second.clone()).up();
    one.delete_by_force().quiet();
    assert_eq!(cgroup_of(other.pid()), second);
    assert_eq!(other.status(), "running");
    other.delete_by_force().quiet();
    let parent = Lane::cgroup_dir(&format!("{}-parent", one.id()));
    crate::support::leftovers::remove_cgroup(&parent).expect("the parent can be removed");
}

/// The owner of its cgroup, and what comes of making another one in it.
fn owner_and_attempt(options: Value) -> (u32, String) {
    let c = Container::new().user_namespace(300_000, 1000).set("/mounts/6/options", options);
    let c = c.args(["sequence", "try-mkdir", "/sys/fs/cgroup/own", "--", "print", "ready", "--", "sleep"]).up();
    let said = c.stdout().lines().next().unwrap_or_default().trim_end_matches("ready").to_owned();
    (fs::metadata(c.cgroup_dir()).expect("it is there").uid(), said)
}

fn a_writable_cgroup_is_the_containers_own() {
    needs(Need::Not("runc", "only with systemd"));
    let (owner, attempt) = owner_and_attempt(json!(["nosuid", "noexec", "nodev", "rw"]));
    assert_eq!((owner, attempt.as_str()), (300_000, "ok"));
}

/// The three files that a cgroup can't be used without, and nothing that limits it.
fn what_is_the_containers_own_without_the_kernels_list() {
    needs(Need::Not("runc", "only with systemd"));
    needs(Need::Not("crun", "it changes nothing then"));
    let c =
        Container::new().user_namespace(300_000, 1000).set("/mounts/6/options", json!(["nosuid", "noexec", "nodev"]));
    // The kernel mounts no sysfs in a user namespace while something of the one that is there is hidden.
    let c = c.edit(|config| drop_mount(config, "/sys"));
    let c = c.view(View::WithoutDelegation).args(["sleep"]).up();
    let owner = |name| fs::metadata(c.cgroup_dir().join(name)).expect("it is there").uid();
    for name in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
        assert_eq!(owner(name), 300_000, "{name}");
    }
    assert_eq!(owner("cgroup.max.descendants"), 0);
}

fn a_read_only_cgroup_stays_the_machines() {
    needs(Need::Not("crun", "it is the container's all the same"));
    let (owner, attempt) = owner_and_attempt(json!(["nosuid", "noexec", "nodev", "ro"]));
    assert_eq!((owner, attempt.as_str()), (0, "EROFS"));
}

fn an_existing_empty_cgroup_is_used() {
    let c = Container::new();
    fs::create_dir(c.cgroup_dir()).expect("create a cgroup");
    c.run().quiet();
    // Whether it goes with the container, which didn't make it, is the runtime's choice; it must be empty.
    crate::support::leftovers::remove_cgroup(&c.cgroup_dir()).expect("it can be removed");
}

fn an_existing_cgroup_with_a_process_is_refused() {
    needs(Need::Not("runc", "older releases only warn"));
    needs(Need::Not("crun", "it shares the cgroup"));
    let c = Container::new();
    fs::create_dir(c.cgroup_dir()).expect("create a cgroup");
    let other = Call::new(c.dir(), Lane::get().probe()).arg("sleep").spawn();
    other.wait_for("ready");
    fs::write(c.cgroup_dir().join("cgroup.procs"), other.pid().to_string()).expect("move a process into it");
    c.run().fails([Lane::cgroup(c.id()).as_str()]);
    assert!(Path::new(&format!("/proc/{}", other.pid())).exists(), "a process that wasn't the container's was killed");
    other.signal(rustix::process::Signal::KILL);
    assert_eq!(other.wait().signal, Some(9));
    fs::remove_dir(c.cgroup_dir()).expect("the cgroup is still there and empty");
}

fn a_frozen_cgroup_is_refused() {
    needs(Need::Not("crun", "it hangs"));
    let c = Container::new();
    fs::create_dir(c.cgroup_dir()).expect("create a cgroup");
    fs::write(c.cgroup_dir().join("cgroup.freeze"), "1").expect("freeze it");
    c.run().fails(["frozen"]);
    fs::remove_dir(c.cgroup_dir()).expect("the cgroup is still there and empty");
}

/// A process of somebody else's, in the cgroup that this suite was put into.
fn bystander(c: &Container) -> crate::support::Running {
    let bystander = Call::new(c.dir(), Lane::get().probe()).arg("sleep").spawn();
    bystander.wait_for("ready");
    bystander
}

fn the_root_of_the_hierarchy_is_refused() {
    needs(Need::Orlop("others join it, and may end whatever is in it"));
    for path in ["/", "///", "/..", "/a/../..", "/."] {
        let c = Container::new().args(["exit", "0"]).set("/linux/cgroupsPath", path);
        let bystander = bystander(&c);
        for output in [c.run(), c.create()] {
            output.fails(["linux.cgroupsPath: is the root of the cgroup hierarchy"]);
        }
        c.delete_by_force().quiet();
        c.nothing_left();
        assert!(bystander.is_alive(), "{path}");
        bystander.signal(rustix::process::Signal::KILL);
        drop(bystander.wait());
    }
}

fn the_callers_own_cgroup_is_refused_and_left_alone() {
    needs(Need::Orlop("others share it, and may end whatever is in it"));
    let c = Container::new().args(["exit", "0"]).set("/linux/cgroupsPath", Lane::cgroup("self"));
    let c = c.set("/linux/resources", serde_json::json!({"unified": {"cgroup.max.depth": "1"}}));
    let bystander = bystander(&c);
    for output in [c.run(), c.create()] {
        output.fails(["linux.cgroupsPath: ", "processes are in it"]);
    }
    c.delete_by_force().quiet();
    let own = Lane::cgroup_dir("self");
    let file = |name: &str| fs::read_to_string(own.join(name)).expect("a file of the suite's cgroup");
    assert_eq!((file("cgroup.max.depth").trim(), file("cgroup.freeze").trim()), ("max", "0"));
    assert!(bystander.is_alive());
    bystander.signal(rustix::process::Signal::KILL);
    drop(bystander.wait());
}

fn an_empty_path_ends_nobody_else() {
    needs(Need::Not("crun", "it is below the root"));
    let c = Container::new().args(["ignore-term"]).set("/linux/cgroupsPath", "");
    let bystander = bystander(&c);
    let c = c.up();
    assert_eq!(cgroup_of(i32::try_from(bystander.pid()).expect("a pid")), Lane::cgroup("self"));
    c.call("pause").arg(c.id()).run().quiet();
    c.call("resume").arg(c.id()).run().quiet();
    c.delete_by_force().quiet();
    c.nothing_left();
    assert!(bystander.is_alive());
    bystander.signal(rustix::process::Signal::KILL);
    drop(bystander.wait());
}

fn a_missing_controller_is_an_error() {
    needs(Need::Orlop("the error names the controller and the field"));
    needs(Need::NoController("memory"));
    let c = Container::new().set("/linux/resources/memory", json!({"limit": 64 << 20}));
    c.run().fails(["linux.resources.memory"]);
    c.nothing_left();
}

fn a_hybrid_machine_runs_containers() {
    needs(Need::Orlop("cgroup v2 on a hybrid machine"));
    needs(Need::HybridMachine);
    let c = Container::new().view(View::Outside);
    c.run().quiet();
    c.nothing_left();
}

fn a_hybrid_machine_keeps_its_old_hierarchies() {
    needs(Need::Orlop("cgroup v2 on a hybrid machine"));
    needs(Need::HybridMachine);
    let own = fs::read_to_string("/proc/self/cgroup").expect("read the own cgroups");
    let c = Container::new().args(["sleep"]).view(View::Outside).up();
    let its = fs::read_to_string(format!("/proc/{}/cgroup", c.pid())).expect("read the container's cgroups");
    let old =
        |table: &str| table.lines().filter(|line| !line.starts_with("0::")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(old(&its), old(&own));
    assert_eq!(cgroup_of(c.pid()), Lane::cgroup(c.id()));
}

fn a_hybrid_machine_goes_through_the_lifecycle() {
    needs(Need::Orlop("cgroup v2 on a hybrid machine"));
    needs(Need::HybridMachine);
    let c = Container::new().args(["sleep"]).view(View::Outside).up();
    assert_eq!(c.status(), "running");
    c.kill("TERM").quiet();
    assert_eq!(c.wait_exit(), Exit::Code(128 + 15));
    c.delete().quiet();
    c.nothing_left();
}

fn processes_left_by_a_program_without_a_pid_namespace_end() {
    needs(Need::Not("runc", "older releases leave the cgroup behind"));
    let c = Container::new().edit(|config| drop_namespaces(config, &["pid"]));
    let c = c.args(["sequence", "spawn", "3", "--", "sleep"]).up();
    c.kill("TERM").ok();
    c.wait_dead();
    let left = fs::read_to_string(c.cgroup_dir().join("cgroup.procs")).expect("read its processes");
    assert_eq!(left.lines().count(), 3, "its children outlive it");
    c.delete_by_force().quiet();
    c.nothing_left();
}

fn processes_in_an_existing_cgroup_end_with_it_too() {
    needs(Need::Not("runc", "older releases want --all"));
    needs(Need::Not("crun", "it wants --all"));
    let processes =
        |c: &Container| fs::read_to_string(c.cgroup_dir().join("cgroup.procs")).expect("read its processes");
    let up = || {
        let c = Container::new().edit(|config| drop_namespaces(config, &["pid"]));
        fs::create_dir(c.cgroup_dir()).expect("create a cgroup");
        c.args(["sequence", "spawn", "3", "--", "sleep"]).up()
    };
    let c = up();
    c.delete_by_force().quiet();
    assert_eq!(processes(&c), "");
    fs::remove_dir(c.cgroup_dir()).expect("the cgroup, which somebody else made, is still there");
    let c = up();
    c.kill("KILL").quiet();
    crate::support::until("the cgroup to be empty", || processes(&c).is_empty().then_some(()));
    c.delete().quiet();
    fs::remove_dir(c.cgroup_dir()).expect("the cgroup, which somebody else made, is still there");
}

fn devices_are_ruled_before_the_program_runs() {
    // Without the cgroup mount the rules still hold: they belong to the cgroup, not to the mount.
    needs(Need::Not("crun", "it may not load rules on every machine"));
    let node =
        json!([{"path": "/dev/it", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666, "uid": 0, "gid": 0}]);
    let c = Container::new().set("/linux/devices", node).edit(|config| drop_mount(config, "/sys/fs/cgroup"));
    assert_eq!(c.args(["try-open-read", "/dev/it"]).run().ok().stdout, "EPERM\n");
}
