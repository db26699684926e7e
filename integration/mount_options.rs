//! The words of `mounts[].options`, and the mappings of a mount: what each does, seen from inside.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;

use serde_json::{Value, json};

use crate::mounts::{has_options, has_super_options, mount_at, report_of, source};
use crate::support::case::cases;
use crate::support::config::{drop_namespaces, join_namespace};
use crate::support::{Container, HostMount, Need, needs};

cases![
    every_option_that_features_lists_is_taken,
    recursive_options_reach_below,
    recursive_opposites_lift_what_was_set,
    plain_options_stay_at_the_top,
    the_flags_of_the_hosts_mounts_stay_in_a_user_namespace,
    a_flag_of_the_hosts_mount_cannot_be_lifted_in_a_user_namespace,
    a_remount_changes_the_file_system,
    a_relative_target_is_the_roots,
    mappings_change_the_owners,
    mappings_of_a_mount_in_a_user_namespace,
    idmap_takes_the_containers_mappings,
    idmap_takes_the_mappings_of_a_joined_namespace,
    idmap_with_mappings_of_its_own,
    idmap_stays_at_the_top,
    ridmap_reaches_below,
    an_id_mapped_mount_can_be_written,
    many_id_mapped_mounts,
    a_file_system_that_cannot_be_mapped,
    half_a_mapping,
    mappings_of_a_file_system,
    idmap_without_a_mapping,
    idmap_with_words_that_are_no_mapping,
    tmpcopyup_copies_what_was_there,
    tmpcopyup_of_a_missing_directory,
    tmpcopyup_can_be_read_only,
    tmpcopyup_in_a_user_namespace,
    tmpcopyup_that_does_not_fit,
    tmpcopyup_of_something_else,
    copy_symlink_makes_the_same_link,
    copy_symlink_binds_what_is_no_link,
    copy_symlink_never_replaces_anything,
    src_nofollow_mounts_the_link,
    dest_nofollow_mounts_on_the_link,
    sysfs_without_a_network_namespace_is_the_hosts_read_only,
    a_cgroup_mount_without_a_cgroup_namespace_is_the_hosts,
];

const OLD: &str = "releases before 1.2 don't know it";

fn tmpfs<'a>(target: &str, options: impl IntoIterator<Item = &'a str>) -> Value {
    let options: Vec<&str> = options.into_iter().collect();
    json!({"destination": target, "type": "tmpfs", "source": "tmpfs", "options": options})
}

fn map(container: u32, host: u32, size: u32) -> Value {
    json!([{"containerID": container, "hostID": host, "size": size}])
}

/// A bind mount whose files' owners are mapped.
fn mapped(path: &Path, target: &str, options: &[&str], ids: &Value) -> Value {
    json!({"destination": target, "type": "bind", "source": path, "options": options, "uidMappings": ids, "gidMappings": ids})
}

fn owner(entry: &Value) -> (u64, u64) {
    (entry["uid"].as_u64().expect("an owner"), entry["gid"].as_u64().expect("a group"))
}

fn every_option_that_features_lists_is_taken() {
    needs(Need::Orlop("others list what they don't take, and take what they don't list"));
    let c = Container::new();
    let features = c.call("features").run().ok().json();
    let names: Vec<&str> =
        features["mountOptions"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let path = source(&c, "source");
    let c = names.iter().enumerate().fold(c.user_namespace(100_000, 65_536), |c, (i, name)| {
        let target = format!("/m{i}");
        match *name {
            "remount" => c.mount(tmpfs("/tmp", [])).mount(json!({"destination": "/tmp", "options": ["remount"]})),
            "bind" | "rbind" | "idmap" | "ridmap" | "src-nofollow" | "copy-symlink" => c.bind(&path, &target, [*name]),
            name => c.mount(tmpfs(&target, [name])),
        }
    });
    // A word that was handed on would be an unknown option of a tmpfs.
    assert!(names.len() >= 70, "{names:?}");
    report_of(&c);
}

/// Each recursive word, and what mountinfo shows for it.
const RECURSIVE: [(&str, &str); 7] = [
    ("rro", "ro"),
    ("rnosuid", "nosuid"),
    ("rnodev", "nodev"),
    ("rnoexec", "noexec"),
    ("rnoatime", "noatime"),
    ("rnodiratime", "nodiratime"),
    ("rnosymfollow", "nosymfollow"),
];

/// A bind mount with a mount below it, with these options: whether the top and what is below show `flag`.
fn shows(options: &[&str], flag: &str) -> (bool, bool) {
    let c = Container::new();
    let host = HostMount::new();
    let _sub = HostMount::at(&host.path().join("sub"));
    let report = report_of(&c.bind(host.path(), "/mnt", options.iter().copied()));
    (has_options(mount_at(&report, "/mnt"), &[flag]), has_options(mount_at(&report, "/mnt/sub"), &[flag]))
}

fn recursive_options_reach_below() {
    needs(Need::Not("crun", "it has no rnosymfollow"));
    needs(Need::Not("runc", OLD));
    for (word, flag) in RECURSIVE {
        assert_eq!(shows(&["rbind", word], flag), (true, true), "{word}");
    }
    for word in ["ratime", "rrelatime", "rnostrictatime"] {
        assert_eq!(shows(&["rbind", "rnoatime", word], "noatime"), (false, false), "{word}");
        assert_eq!(shows(&["rbind", "rnoatime", word], "relatime"), (true, true), "{word}");
    }
    for word in ["rstrictatime", "rnorelatime"] {
        assert_eq!(shows(&["rbind", word], "relatime"), (false, false), "{word}");
    }
}

fn recursive_opposites_lift_what_was_set() {
    needs(Need::Not("crun", "it has no rsymfollow"));
    needs(Need::Not("runc", OLD));
    let opposites = ["rrw", "rsuid", "rdev", "rexec", "ratime", "rdiratime", "rsymfollow"];
    for ((word, flag), opposite) in RECURSIVE.into_iter().zip(opposites) {
        assert_eq!(shows(&["rbind", word, opposite], flag), (false, false), "{word},{opposite}");
    }
    // The host's mounts are nosuid, and it is the host's root who asks.
    assert_eq!(shows(&["rbind"], "nosuid"), (true, true));
    assert_eq!(shows(&["rbind", "rsuid"], "nosuid"), (false, false));
}

fn plain_options_stay_at_the_top() {
    needs(Need::Not("crun", "it has no nosymfollow"));
    needs(Need::Not("runc", OLD));
    for (word, flag) in RECURSIVE.into_iter().filter(|(word, _)| *word != "rnosuid") {
        assert_eq!(shows(&["rbind", word.strip_prefix('r').expect("an r")], flag), (true, false), "{word}");
    }
}

fn the_flags_of_the_hosts_mounts_stay_in_a_user_namespace() {
    let c = Container::new().user_namespace(100_000, 65_536);
    let host = HostMount::new();
    let report = report_of(&c.bind(host.path(), "/mnt", ["rw", "exec"]));
    assert!(has_options(mount_at(&report, "/mnt"), &["nosuid", "rw"]));
}

fn a_flag_of_the_hosts_mount_cannot_be_lifted_in_a_user_namespace() {
    needs(Need::Orlop("it names the mount"));
    let c = Container::new().user_namespace(100_000, 65_536);
    let host = HostMount::new();
    c.bind(host.path(), "/mnt", ["rsuid"]).run().fails(["mounts[7]: ", "mount_setattr: operation not permitted"]);
}

fn a_remount_changes_the_file_system() {
    let remount = json!({"destination": "/t", "type": "tmpfs", "options": ["remount", "ro", "size=64k"]});
    let c = Container::new().mount(tmpfs("/t", ["size=1024k"])).mount(remount);
    let report = report_of(&c);
    assert!(has_super_options(mount_at(&report, "/t"), &["size=64k"]), "{}", mount_at(&report, "/t"));
    assert!(has_options(mount_at(&report, "/t"), &["ro"]));
}

fn a_relative_target_is_the_roots() {
    needs(Need::Not("crun", "it warns on its standard error"));
    let report = report_of(&Container::new().mount(tmpfs("some/where", [])));
    assert_eq!(mount_at(&report, "/some/where")["type"], "tmpfs");
}

/// A directory of the host with the file `file` of that owner.
fn owned(c: &Container, name: &str, uid: u32, gid: u32) -> std::path::PathBuf {
    let path = source(c, name);
    chown(path.join("file"), Some(uid), Some(gid)).expect("chown");
    path
}

fn mappings_change_the_owners() {
    needs(Need::Not("runc", OLD));
    for options in [&["bind"][..], &["bind", "idmap"], &["rbind", "ridmap", "ro"]] {
        let c = Container::new();
        let path = owned(&c, "source", 5, 6);
        let c = c.mount(mapped(&path, "/mnt", options, &map(0, 1000, 100))).args(["report", "/mnt"]);
        assert_eq!(owner(&report_of(&c)["paths"]["/mnt"]["file"]), (1005, 1006), "{options:?}");
    }
}

fn mappings_of_a_mount_in_a_user_namespace() {
    needs(Need::Not("runc", OLD));
    let c = Container::new().user_namespace(100_000, 65_536);
    let path = owned(&c, "source", 5, 6);
    // On disk 5 is 100,005 to the host, and 5 again to the container.
    let c = c.mount(mapped(&path, "/mnt", &["bind", "ro"], &map(0, 100_000, 10))).args(["report", "/mnt"]);
    let report = report_of(&c);
    assert_eq!(owner(&report["paths"]["/mnt"]["file"]), (5, 6));
    assert!(has_options(mount_at(&report, "/mnt"), &["ro"]));
}

fn idmap_takes_the_containers_mappings() {
    needs(Need::Not("runc", OLD));
    for (options, expected) in [(&["idmap"][..], (7, 8)), (&[], (65_534, 65_534))] {
        let c = Container::new().user_namespace(100_000, 65_536);
        let path = owned(&c, "source", 7, 8);
        let c = c.bind(&path, "/mnt", options.iter().copied()).args(["report", "/mnt"]);
        assert_eq!(owner(&report_of(&c)["paths"]["/mnt"]["file"]), expected, "{options:?}");
    }
}

fn idmap_takes_the_mappings_of_a_joined_namespace() {
    needs(Need::Orlop("others want the mappings again"));
    let first = Container::new().user_namespace(100_000, 65_536).args(["sleep"]).up();
    let c = Container::new();
    let path = owned(&c, "source", 7, 8);
    chown(c.rootfs(), Some(100_000), Some(100_000)).expect("chown the root file system");
    let namespace = format!("/proc/{}/ns/user", first.pid());
    let c = c.edit(|config| join_namespace(config, "user", &namespace)).bind(&path, "/mnt", ["idmap"]);
    assert_eq!(owner(&report_of(&c.args(["report", "/mnt"]))["paths"]["/mnt"]["file"]), (7, 8));
}

fn idmap_with_mappings_of_its_own() {
    needs(Need::Not("runc", "the words are crun's"));
    let words = [
        ("idmap=uids=0-1000-10#10-2000-10;gids=0-3000-100", (1005, 3012)),
        ("idmap=uids=@0-20-10;gids=@0-30-100", (25, 42)),
    ];
    for (word, expected) in words {
        let c = Container::new();
        let c = if word.contains('@') { c.user_namespace(100_000, 65_536) } else { c };
        let path = owned(&c, "source", 5, 12);
        let c = c.bind(&path, "/mnt", [word]).args(["report", "/mnt"]);
        assert_eq!(owner(&report_of(&c)["paths"]["/mnt"]["file"]), expected, "{word}");
    }
}

/// The owners of a file in an id-mapped mount and in a mount below it.
fn owners_below(option: &str) -> ((u64, u64), (u64, u64)) {
    let c = Container::new();
    let host = HostMount::new();
    let sub = HostMount::at(&host.path().join("sub"));
    for mount in [&host, &sub] {
        chown(mount.path().join("below"), Some(5), Some(5)).expect("chown");
    }
    let c = c.mount(mapped(host.path(), "/mnt", &["rbind", option], &map(0, 1000, 100)));
    let report = report_of(&c.args(["report", "/mnt", "/mnt/sub"]));
    (owner(&report["paths"]["/mnt"]["below"]), owner(&report["paths"]["/mnt/sub"]["below"]))
}

fn idmap_stays_at_the_top() {
    needs(Need::Not("runc", OLD));
    needs(Need::Not("crun", "it maps what is below too"));
    assert_eq!(owners_below("idmap"), ((1005, 1005), (5, 5)));
}

fn ridmap_reaches_below() {
    needs(Need::Not("runc", OLD));
    needs(Need::Not("crun", "it has no ridmap"));
    assert_eq!(owners_below("ridmap"), ((1005, 1005), (1005, 1005)));
}

fn an_id_mapped_mount_can_be_written() {
    needs(Need::Not("runc", OLD));
    let c = Container::new().user_namespace(100_000, 65_536);
    let path = source(&c, "source");
    let c = c.bind(&path, "/mnt", ["idmap"]).args(["write", "/mnt/new", "x"]);
    c.run().quiet();
    let made = fs::metadata(path.join("new")).expect("it was written");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), 0, "the container's root is root on disk");
}

fn many_id_mapped_mounts() {
    needs(Need::Not("runc", OLD));
    let c = Container::new().user_namespace(100_000, 65_536);
    let path = owned(&c, "source", 7, 8);
    let c = (0..50).fold(c, |c, i| c.bind(&path, &format!("/m/{i}"), ["idmap"])).args(["report", "/m/0", "/m/49"]);
    let report = report_of(&c);
    for target in ["/m/0", "/m/49"] {
        assert_eq!(owner(&report["paths"][target]["file"]), (7, 8));
    }
}

fn a_file_system_that_cannot_be_mapped() {
    needs(Need::Orlop("it names the field"));
    let c = Container::new().mount(mapped(Path::new("/proc"), "/mnt", &["bind"], &map(0, 1000, 100)));
    c.run().fails(["mounts[7].uidMappings: ", "mount_setattr: invalid argument", "can't be id-mapped"]);
    let c = Container::new().user_namespace(100_000, 65_536).bind(Path::new("/proc"), "/mnt", ["ro", "idmap"]);
    c.run().fails(["mounts[7].options[2]: ", "can't be id-mapped"]);
}

fn half_a_mapping() {
    needs(Need::Orlop("it names the field"));
    let ids = map(0, 1000, 100);
    let with = |name: &str, ids: &Value| {
        let mut mount = json!({"destination": "/mnt", "type": "bind", "source": "/", "options": ["bind"]});
        mount[name] = ids.clone();
        Container::new().mount(mount)
    };
    with("uidMappings", &ids).run().fails(["mounts[7].gidMappings: "]);
    with("gidMappings", &ids).run().fails(["mounts[7].uidMappings: "]);
    let none = map(0, 1000, 0);
    with("uidMappings", &none).run().fails(["mounts[7].uidMappings[0].size: "]);
}

fn mappings_of_a_file_system() {
    needs(Need::Orlop("it names the field"));
    let mut mount = tmpfs("/mnt", []);
    mount["uidMappings"] = map(0, 1000, 100);
    mount["gidMappings"] = map(0, 1000, 100);
    Container::new().mount(mount).run().fails(["mounts[7].uidMappings: ", "only a bind mount can be id-mapped"]);
}

fn idmap_without_a_mapping() {
    needs(Need::Orlop("it names the field"));
    Container::new().bind(Path::new("/"), "/mnt", ["ridmap"]).run().fails(["mounts[7].options[1]: needs uidMappings"]);
}

fn idmap_with_words_that_are_no_mapping() {
    needs(Need::Orlop("it names the field"));
    for word in ["idmap=", "idmap=uids=0-0-1", "idmap=uids=a-b-c;gids=0-0-1", "idmap=uids=@0-0-1;gids=@0-0-1"] {
        Container::new().bind(Path::new("/"), "/mnt", [word]).run().fails(["mounts[7].options[1]: "]);
    }
}

/// A root file system with something to copy in `/run`.
fn with_content() -> Container {
    let c =
        Container::new().file("/run/a/b/file", "deep").file("/run/file", "content").symlink("/run/link", "/nowhere");
    let run = c.rootfs().join("run");
    fs::set_permissions(run.join("file"), fs::Permissions::from_mode(0o4751)).expect("chmod");
    fs::set_permissions(run.join("a"), fs::Permissions::from_mode(0o710)).expect("chmod");
    chown(run.join("file"), Some(5), Some(6)).expect("chown");
    fs::set_permissions(run.join("file"), fs::Permissions::from_mode(0o4751)).expect("chmod");
    lchown(run.join("link"), Some(7), Some(8)).expect("chown");
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, run.join("fifo"), kind, rustix::fs::Mode::from_raw_mode(0o666), 0)
        .expect("FIFO");
    c
}

fn tmpcopyup_copies_what_was_there() {
    needs(Need::Not("runc", "older releases fail at a link or a FIFO"));
    let c = with_content().mount(tmpfs("/run", ["tmpcopyup"]));
    let c =
        c.args(["sequence", "cat", "/run/a/b/file", "--", "write", "/run/new", "x", "--", "report", "/run", "/run/a"]);
    let output = c.run().ok();
    assert!(output.stdout.starts_with("deep"), "{}", output.stdout);
    let report = output.report();
    let run = &report["paths"]["/run"];
    assert_eq!(mount_at(&report, "/run")["type"], "tmpfs");
    assert_eq!((run["file"]["mode"].as_u64(), owner(&run["file"])), (Some(0o4751), (5, 6)));
    assert_eq!(
        (run["a"]["mode"].as_u64(), &run["link"]["type"], &run["fifo"]["type"]),
        (Some(0o710), &json!("symlink"), &json!("fifo"))
    );
    assert_eq!(owner(&run["link"]), (7, 8));
    assert!(!c.rootfs().join("run/new").exists(), "what is written goes to the tmpfs");
}

fn tmpcopyup_of_a_missing_directory() {
    let c = Container::new().mount(tmpfs("/new/place", ["tmpcopyup"])).args(["write", "/new/place/file", "x"]);
    c.run().quiet();
}

fn tmpcopyup_can_be_read_only() {
    needs(Need::Not("runc", "older releases fail at a link or a FIFO"));
    let c = with_content().mount(tmpfs("/run", ["ro", "tmpcopyup"]));
    let c = c.args(["sequence", "cat", "/run/a/b/file", "--", "try-mkdir", "/run/new"]);
    assert_eq!(c.run().ok().stdout, "deepEROFS\n");
}

fn tmpcopyup_in_a_user_namespace() {
    let c = Container::new().file("/run/file", "content").user_namespace(100_000, 65_536);
    for path in ["run", "run/file"] {
        chown(c.rootfs().join(path), Some(100_003), Some(100_004)).expect("chown");
    }
    let c = c.mount(tmpfs("/run", ["tmpcopyup"])).args(["report", "/run"]);
    assert_eq!(owner(&report_of(&c)["paths"]["/run"]["file"]), (3, 4));
}

fn tmpcopyup_that_does_not_fit() {
    needs(Need::Orlop("it says why"));
    let c = Container::new().file("/run/big", &"x".repeat(100_000)).mount(tmpfs("/run", ["size=16k", "tmpcopyup"]));
    c.run().fails(["mounts[7]: ", "tmpcopyup: big: write: no space left on device", "option size"]);
}

fn tmpcopyup_of_something_else() {
    needs(Need::Orlop("others ignore it"));
    let mount = json!({"destination": "/m", "type": "mqueue", "source": "m", "options": ["nosuid", "tmpcopyup"]});
    Container::new().mount(mount).run().fails(["mounts[7].options[1]: only a tmpfs"]);
}

/// A link on the host, and what it leads to.
fn link(c: &Container) -> (std::path::PathBuf, std::path::PathBuf) {
    let (path, link) = (source(c, "source"), c.dir().join("link"));
    symlink(&path, &link).expect("symlink");
    (link, path)
}

fn copy_symlink_makes_the_same_link() {
    needs(Need::Not("crun", "older releases follow the link"));
    needs(Need::Not("runc", "the word is crun's"));
    let c = Container::new();
    let (link, path) = link(&c);
    let c = c.bind(&link, "/some/link", ["copy-symlink"]).args(["report", "/some"]);
    let report = report_of(&c);
    assert_eq!(report["paths"]["/some"]["link"]["type"], "symlink");
    assert_eq!(fs::read_link(c.rootfs().join("some/link")).expect("it is a link"), path);
    // The second time it is there already.
    assert_eq!(report_of(&c)["paths"]["/some"]["link"]["type"], "symlink");
}

fn copy_symlink_binds_what_is_no_link() {
    needs(Need::Not("runc", "the word is crun's"));
    let c = Container::new();
    let path = source(&c, "source");
    assert_eq!(c.bind(&path, "/mnt", ["copy-symlink"]).args(["cat", "/mnt/file"]).run().ok().stdout, "content");
}

fn copy_symlink_never_replaces_anything() {
    needs(Need::Orlop("it names the field"));
    let c = Container::new().file("/link", "the image's");
    let (link, _) = link(&c);
    let c = c.bind(&link, "/link", ["copy-symlink"]);
    c.run().fails(["mounts[7].destination: ", "symlinkat: file exists"]);
    assert_eq!(fs::read_to_string(c.rootfs().join("link")).expect("it is there still"), "the image's");
}

fn src_nofollow_mounts_the_link() {
    needs(Need::Not("crun", "older releases follow the link"));
    needs(Need::Not("runc", "the word is crun's"));
    let c = Container::new();
    let (link, _) = link(&c);
    let c = c.symlink("/link", "/elsewhere").bind(&link, "/link", ["src-nofollow", "dest-nofollow"]);
    let report = report_of(&c.args(["report", "/"]));
    assert_eq!(report["paths"]["/"]["link"]["type"], "symlink");
    assert!(mount_at(&report, "/link")["root"].as_str().expect("a path").ends_with("/link"));
}

fn dest_nofollow_mounts_on_the_link() {
    needs(Need::Not("crun", "older releases follow the link"));
    needs(Need::Not("runc", "the word is crun's"));
    let c = Container::new().symlink("/link", "/elsewhere").file("/elsewhere", "the image's");
    let path = source(&c, "source").join("file");
    let c = c.bind(&path, "/link", ["dest-nofollow"]);
    let c = c.args(["sequence", "cat", "/link", "--", "cat", "/elsewhere"]);
    assert_eq!(c.run().ok().stdout, "contentthe image's");
}

fn sysfs_without_a_network_namespace_is_the_hosts_read_only() {
    needs(Need::Not("crun", "1.8 fails"));
    needs(Need::Not("runc", "it fails"));
    let c = Container::new().user_namespace(100_000, 65_536).edit(|config| drop_namespaces(config, &["network"]));
    let c = c.set("/mounts/5/options", json!(["nosuid", "noexec", "nodev"]));
    let report = report_of(&c);
    let sys = mount_at(&report, "/sys");
    assert_eq!(sys["type"], "sysfs");
    assert!(has_options(sys, &["nosuid", "noexec", "nodev", "ro"]), "{sys}");
}

fn a_cgroup_mount_without_a_cgroup_namespace_is_the_hosts() {
    let c = Container::new().edit(|config| drop_namespaces(config, &["cgroup"]));
    let own = format!("/sys/fs/cgroup{}/cgroup.procs", c.config()["linux"]["cgroupsPath"].as_str().expect("a path"));
    // As /proc/self/cgroup says it, and read-only as the config does.
    let c = c.args(["sequence", "cat", &own, "--", "try-mkdir", "/sys/fs/cgroup/sub"]);
    assert_eq!(c.run().ok().stdout, "1\nEROFS\n");
}
