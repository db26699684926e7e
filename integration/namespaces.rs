//! Namespaces: each kind new, shared with the host, or joined by path; user namespaces with their id maps; host names.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::config::{drop_mount, drop_namespaces, join_namespace};
use crate::support::{Call, Container, Lane, Need, View, needs};

cases![
    each_configured_kind_is_new,
    each_omitted_kind_is_the_hosts,
    each_kind_is_joined_by_path,
    several_are_joined_at_once,
    a_mount_namespace_is_joined_by_path,
    in_a_joined_pid_namespace_it_is_not_the_first,
    a_user_namespace_has_the_configured_maps,
    a_user_namespace_with_several_ranges,
    a_users_ids_are_mapped,
    a_new_user_namespace_with_the_others_joined,
    a_user_namespace_is_joined_by_path,
    a_joined_user_namespace_needs_no_maps,
    a_joined_user_namespace_with_a_new_pid_namespace,
    a_joined_user_namespace_with_a_joined_pid_namespace,
    the_host_name_is_the_configs,
    the_domain_name_is_the_configs,
    without_a_name_the_hosts_stays,
    a_joined_uts_namespace_can_be_renamed,
    loopback_is_up_in_a_new_network,
    a_new_network_has_loopback_alone,
    a_sysfs_that_is_mounted_first_is_the_new_networks,
    the_cgroup_namespace_starts_at_its_cgroup,
    ipc_mounts_belong_to_the_new_namespace,
    a_joined_pid_namespace_whose_init_is_gone,
];

/// Kinds as configs call them and as /proc does.
const KINDS: [(&str, &str); 6] =
    [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("mount", "mnt"), ("cgroup", "cgroup")];

fn namespace_of(pid: &str, file: &str) -> String {
    fs::read_link(format!("/proc/{pid}/ns/{file}")).expect("read a namespace link").to_string_lossy().into_owned()
}

fn report_of(c: &Container) -> Value {
    c.run().ok().report()
}

fn each_configured_kind_is_new() {
    let report = report_of(&Container::new());
    for (kind, file) in KINDS {
        assert_ne!(report["namespaces"][file], namespace_of("self", file), "{kind} is the host's");
    }
    assert_eq!(report["namespaces"]["user"], namespace_of("self", "user"));
}

fn each_omitted_kind_is_the_hosts() {
    for (kind, file) in KINDS.into_iter().filter(|(kind, _)| *kind != "mount") {
        let mut c = Container::new().edit(|config| drop_namespaces(config, &[kind]));
        if kind == "uts" {
            c = c.unset("/hostname");
        }
        if kind == "ipc" {
            // In the host's, the kernel refuses a second mqueue mount with options of its own in some set-ups.
            c = c.edit(|config| drop_mount(config, "/dev/mqueue"));
        }
        let report = report_of(&c);
        assert_eq!(report["namespaces"][file], namespace_of("self", file), "{kind}");
    }
}

fn each_kind_is_joined_by_path() {
    let other = Container::sleeping();
    for (kind, file) in KINDS.into_iter().filter(|(kind, _)| *kind != "mount") {
        let path = format!("/proc/{}/ns/{file}", other.pid());
        let mut c = Container::new().edit(|config| join_namespace(config, kind, &path));
        if kind == "uts" {
            c = c.unset("/hostname");
        }
        let report = report_of(&c);
        assert_eq!(report["namespaces"][file], namespace_of(&other.pid().to_string(), file), "{kind}");
    }
}

/// Joins every kind given of that container.
fn join(config: &mut Value, other: &Container, kinds: &[(&str, &str)]) {
    for (kind, file) in kinds {
        join_namespace(config, kind, &format!("/proc/{}/ns/{file}", other.pid()));
    }
}

const POD: [(&str, &str); 4] = [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")];

fn several_are_joined_at_once() {
    let other = Container::sleeping();
    let c = Container::new().unset("/hostname").edit(|config| join(config, &other, &POD));
    let report = report_of(&c);
    for (kind, file) in POD {
        assert_eq!(report["namespaces"][file], namespace_of(&other.pid().to_string(), file), "{kind}");
    }
    assert_eq!(report["hostname"], "orlop-test");
}

fn a_mount_namespace_is_joined_by_path() {
    needs(Need::Not("runc", "it remounts the root of the namespace that it joins, which is busy"));
    let c = Container::new();
    // A process in a mount namespace of its own, which the container may rearrange.
    let holder = Call::new(c.dir(), Lane::get().probe()).arg("sleep").view(View::Private).spawn();
    holder.wait_for("ready");
    let path = format!("/proc/{}/ns/mnt", holder.pid());
    let wanted = namespace_of(&holder.pid().to_string(), "mnt");
    assert_ne!(wanted, namespace_of("self", "mnt"));
    let c = c.edit(|config| join_namespace(config, "mount", &path));
    let report = report_of(&c);
    assert_eq!((&report["namespaces"]["mnt"], &report["exe"]), (&json!(wanted), &json!("/probe")));
    holder.signal(rustix::process::Signal::KILL);
    assert_eq!(holder.wait().signal, Some(9));
}

fn in_a_joined_pid_namespace_it_is_not_the_first() {
    let other = Container::sleeping();
    let report = report_of(&Container::new().edit(|config| join(config, &other, &[("pid", "pid")])));
    assert_ne!(report["pid"], 1);
    assert_eq!(report["ppid"], 0, "its parent is outside");
}

fn a_user_namespace_has_the_configured_maps() {
    let c = Container::new().user_namespace(100_000, 65_536);
    let report = report_of(&c);
    assert_ne!(report["namespaces"]["user"], namespace_of("self", "user"));
    assert_eq!(
        (&report["uidMap"], &report["gidMap"]),
        (&json!([[0, 100_000, 65_536]]), &json!([[0, 100_000, 65_536]]))
    );
    assert_eq!((&report["uid"]["effective"], &report["gid"]["effective"]), (&json!(0), &json!(0)));
    assert_eq!(report["setgroups"], "allow");
    for (kind, file) in KINDS {
        assert_ne!(report["namespaces"][file], namespace_of("self", file), "{kind} is the host's");
    }
}

fn a_user_namespace_with_several_ranges() {
    let map = json!([
        {"containerID": 0, "hostID": 200_000, "size": 10}, {"containerID": 10, "hostID": 10, "size": 1},
        {"containerID": 1000, "hostID": 300_000, "size": 50},
    ]);
    let c = Container::new().user_namespace(200_000, 10);
    let c = c.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    let rows = json!([[0, 200_000, 10], [10, 10, 1], [1000, 300_000, 50]]);
    let report = report_of(&c);
    assert_eq!((&report["uidMap"], &report["gidMap"]), (&rows, &rows));
}

fn a_users_ids_are_mapped() {
    let c = Container::new().args(["sleep"]).user_namespace(100_000, 65_536);
    let c = c.set("/process/user", json!({"uid": 7, "gid": 8, "additionalGids": [9]})).up();
    let status = fs::read_to_string(format!("/proc/{}/status", c.pid())).expect("read init's status");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(field("Uid:"), ["100007"; 4]);
    assert_eq!(field("Gid:"), ["100008"; 4]);
    assert!(field("Groups:").contains(&"100009".to_owned()));
    assert_eq!(fs::metadata(format!("/proc/{}", c.pid())).expect("stat init").uid(), 100_007);
}

fn a_new_user_namespace_with_the_others_joined() {
    let other = Container::sleeping();
    let kinds = [("network", "net"), ("ipc", "ipc"), ("uts", "uts")];
    let c = Container::new().unset("/hostname").user_namespace(100_000, 65_536).edit(|config| {
        join(config, &other, &kinds);
        // What belongs to the joined network and ipc namespaces can't be mounted by this user namespace.
        drop_mount(config, "/sys");
        drop_mount(config, "/sys/fs/cgroup");
        drop_mount(config, "/dev/mqueue");
    });
    let report = report_of(&c);
    for (kind, file) in kinds {
        assert_eq!(report["namespaces"][file], namespace_of(&other.pid().to_string(), file), "{kind}");
    }
    assert_eq!(report["uidMap"], json!([[0, 100_000, 65_536]]));
}

/// A sleeping container with a user namespace.
fn with_user_namespace() -> Container {
    Container::new().args(["sleep"]).user_namespace(100_000, 65_536).up()
}

/// Joins the user namespace of `other` and these kinds of its others.
fn in_user_namespace_of(other: &Container, kinds: &[(&str, &str)]) -> Container {
    Container::new().unset("/hostname").user_namespace(100_000, 65_536).edit(|config| {
        join(config, other, kinds);
        join(config, other, &[("user", "user")]);
    })
}

fn a_user_namespace_is_joined_by_path() {
    let other = with_user_namespace();
    let kinds = [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")];
    let report = report_of(&in_user_namespace_of(&other, &kinds));
    for (kind, file) in kinds.into_iter().chain([("user", "user")]) {
        assert_eq!(report["namespaces"][file], namespace_of(&other.pid().to_string(), file), "{kind}");
    }
    assert_eq!((&report["uid"]["effective"], &report["uidMap"]), (&json!(0), &json!([[0, 100_000, 65_536]])));
}

fn a_joined_user_namespace_needs_no_maps() {
    needs(Need::Not("runc", "older releases ask for maps all the same"));
    let other = with_user_namespace();
    let c = in_user_namespace_of(&other, &[]).unset("/linux/uidMappings").unset("/linux/gidMappings");
    assert_eq!(report_of(&c)["uidMap"], json!([[0, 100_000, 65_536]]));
}

fn a_joined_user_namespace_with_a_new_pid_namespace() {
    let other = with_user_namespace();
    let report = report_of(&in_user_namespace_of(&other, &[]));
    assert_eq!(report["namespaces"]["user"], namespace_of(&other.pid().to_string(), "user"));
    assert_eq!(report["pid"], 1);
    for (kind, file) in KINDS {
        assert_ne!(report["namespaces"][file], namespace_of("self", file), "{kind} is the host's");
        assert_ne!(report["namespaces"][file], namespace_of(&other.pid().to_string(), file), "{kind} is the other's");
    }
}

fn a_joined_user_namespace_with_a_joined_pid_namespace() {
    let other = with_user_namespace();
    let c = in_user_namespace_of(&other, &[("pid", "pid")]).args(["sleep"]).up();
    assert_eq!(namespace_of(&c.pid().to_string(), "pid"), namespace_of(&other.pid().to_string(), "pid"));
    // The pid that the runtime tells is the host's, even though two forks lie between.
    assert_eq!(fs::read_to_string(format!("/proc/{}/comm", c.pid())).expect("read its name").trim(), "probe");
    assert_eq!(c.state()["pid"], json!(c.pid()));
}

fn the_host_name_is_the_configs() {
    let before = rustix::system::uname().nodename().to_owned();
    assert_eq!(report_of(&Container::new().set("/hostname", "a-name.example"))["hostname"], "a-name.example");
    assert_eq!(rustix::system::uname().nodename(), &*before, "the host's own name changed");
}

fn the_domain_name_is_the_configs() {
    needs(Need::Not("runc", "older releases ignore it"));
    assert_eq!(report_of(&Container::new().set("/domainname", "example.org"))["domainname"], "example.org");
}

fn without_a_name_the_hosts_stays() {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    assert_eq!(report_of(&Container::new().unset("/hostname"))["hostname"], host);
}

fn a_joined_uts_namespace_can_be_renamed() {
    let other = Container::sleeping();
    let c = Container::new().edit(|config| join(config, &other, &[("uts", "uts")])).set("/hostname", "renamed");
    assert_eq!(report_of(&c)["hostname"], "renamed");
}

fn loopback_is_up_in_a_new_network() {
    let c = Container::new().args(["cat", "/sys/class/net/lo/flags"]);
    let flags = c.run().ok().stdout;
    let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).expect("flags in hexadecimal");
    assert_eq!(flags & 1, 1, "lo has the flags {flags:#x}");
}

fn a_new_network_has_loopback_alone() {
    has_loopback_alone(Container::new(), "/sys/class/net");
}

fn has_loopback_alone(c: Container, listing: &str) {
    let report = report_of(&c.args(["report", listing]));
    let mut names: Vec<&String> = report["paths"][listing].as_object().expect("a listing").keys().collect();
    // Tunnels that the kernel gives each new network by itself.
    names.retain(|name| {
        !["sit0", "tunl0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6gre0"]
            .contains(&name.as_str())
    });
    assert_eq!(names, ["lo"]);
}

fn a_sysfs_that_is_mounted_first_is_the_new_networks() {
    let mount = json!({"destination": "/first", "type": "sysfs", "source": "sysfs", "options": ["ro"]});
    let c = Container::new().edit(|config| config["mounts"].as_array_mut().expect("mounts").insert(0, mount.clone()));
    has_loopback_alone(c, "/first/class/net");
}

fn the_cgroup_namespace_starts_at_its_cgroup() {
    let own = |report: &Value| {
        let table = report["cgroup"].as_str().expect("a report has its cgroup").to_owned();
        table.lines().find_map(|line| line.strip_prefix("0::")).expect("a line of cgroup v2").to_owned()
    };
    assert_eq!(own(&report_of(&Container::new())), "/");
    let c = Container::new().edit(|config| drop_namespaces(config, &["cgroup"]));
    assert_eq!(own(&report_of(&c)), Lane::cgroup(c.id()));
}

fn ipc_mounts_belong_to_the_new_namespace() {
    let c = Container::new().args(["report", "/dev/mqueue"]);
    assert_eq!(report_of(&c)["paths"]["/dev/mqueue"], json!({}));
}

fn a_joined_pid_namespace_whose_init_is_gone() {
    needs(Need::Orlop("the errno alone says that memory is short"));
    let first = Container::sleeping();
    let namespace = fs::File::open(format!("/proc/{}/ns/pid", first.pid())).expect("open its pid namespace");
    first.kill("KILL").ok();
    first.wait_exit();
    let path = format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd());
    let c = Container::new().edit(|config| join_namespace(config, "pid", &path));
    c.create().fails(["clone3: ", "the init of the pid namespace that it joins has ended"]);
    c.nothing_left();
}
