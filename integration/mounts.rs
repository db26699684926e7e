//! The root file system and what is mounted in it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::{Container, HostMount, Need, needs};

cases![
    the_default_configs_mounts,
    nothing_else_is_mounted,
    nothing_of_the_host_is_reachable,
    a_read_only_root,
    a_writable_root,
    mount_points_are_made,
    mounts_follow_the_configs_order,
    a_bind_mount_of_a_directory,
    a_bind_mount_of_a_file,
    a_bind_mount_of_a_socket_and_a_device,
    a_read_only_bind_mount,
    a_bind_mounts_own_flags,
    a_relative_bind_source_is_the_bundles,
    a_bind_source_may_be_a_symlink,
    a_bind_mount_without_a_type,
    a_bind_mount_leaves_submounts_out,
    a_recursive_bind_mount_takes_submounts,
    a_recursive_bind_mount_read_only_at_the_top,
    a_recursive_bind_mount_read_only_throughout,
    a_target_that_is_a_symlink_stays_inside,
    a_target_below_a_symlink_stays_inside,
    a_target_with_dots_stays_inside,
    a_target_that_is_a_dangling_symlink_is_made_inside,
    a_mount_over_a_mount,
    a_mount_at_the_root_of_a_mount,
    each_option_shows,
    defaults_is_no_file_system_option,
    file_system_options_are_passed,
    a_tmpfs_takes_the_mode_of_its_mount_point,
    propagation_of_a_mount,
    propagation_of_the_root,
    the_hosts_later_mounts_come_in_if_asked,
    the_containers_mounts_stay_in,
    an_overlay,
    proc_options,
    the_cgroup_mount_is_the_containers,
    the_cgroup_mount_can_be_writable,
    a_rootfs_that_is_a_mount_point,
    an_absolute_root_path,
    a_hundred_mounts,
    mounts_in_a_user_namespace,
    bind_mounts_in_a_user_namespace,
];

pub(crate) fn report_of(c: &Container) -> Value {
    c.run().ok().report()
}

/// The topmost mount at a target.
pub(crate) fn mount_at<'a>(report: &'a Value, target: &str) -> &'a Value {
    let all = report["mounts"].as_array().expect("a report has mounts");
    all.iter().rev().find(|mount| mount["target"] == target).unwrap_or_else(|| panic!("nothing is mounted at {target}"))
}

pub(crate) fn has_options(mount: &Value, wanted: &[&str]) -> bool {
    let options = mount["options"].as_array().expect("a list");
    wanted.iter().all(|wanted| options.iter().any(|option| option == wanted))
}

pub(crate) fn has_super_options(mount: &Value, wanted: &[&str]) -> bool {
    let options = mount["superOptions"].as_array().expect("a list");
    wanted.iter().all(|wanted| options.iter().any(|option| option == wanted))
}

/// A directory on the host with one file in it.
pub(crate) fn source(c: &Container, name: &str) -> PathBuf {
    let path = c.dir().join(name);
    fs::create_dir_all(&path).expect("create a source");
    fs::write(path.join("file"), "content").expect("write into it");
    path
}

fn the_default_configs_mounts() {
    let report = report_of(&Container::new());
    let expected: [(&str, &str, &[&str], &[&str]); 7] = [
        ("/proc", "proc", &["rw"], &[]),
        ("/dev", "tmpfs", &["nosuid", "rw"], &["mode=755", "size=65536k"]),
        ("/dev/pts", "devpts", &["nosuid", "noexec"], &["gid=5", "mode=620", "ptmxmode=666"]),
        ("/dev/shm", "tmpfs", &["nosuid", "nodev", "noexec"], &["size=65536k"]),
        ("/dev/mqueue", "mqueue", &["nosuid", "nodev", "noexec"], &[]),
        ("/sys", "sysfs", &["nosuid", "nodev", "noexec", "ro"], &[]),
        ("/sys/fs/cgroup", "cgroup2", &["nosuid", "nodev", "noexec", "relatime", "ro"], &[]),
    ];
    for (target, kind, options, super_options) in expected {
        let mount = mount_at(&report, target);
        assert_eq!(mount["type"], kind, "{target}");
        assert!(has_options(mount, options), "{target} has {}", mount["options"]);
        assert!(has_super_options(mount, super_options), "{target} has {}", mount["superOptions"]);
    }
    assert_eq!(report["dev"]["shm"]["mode"], 0o1777);
    // No option of this kind means relatime; strictatime means neither.
    assert!(!has_options(mount_at(&report, "/dev"), &["relatime"]));
}

fn nothing_else_is_mounted() {
    let c = Container::new().unset("/linux/maskedPaths").unset("/linux/readonlyPaths");
    let report = report_of(&c);
    let targets: Vec<&str> =
        report["mounts"].as_array().expect("mounts").iter().filter_map(|m| m["target"].as_str()).collect();
    let expected = ["/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"];
    assert_eq!(targets, expected);
    assert!(mount_at(&report, "/")["root"].as_str().expect("a path").ends_with("/bundle/rootfs"));
}

fn nothing_of_the_host_is_reachable() {
    let report = report_of(&Container::new().args(["report", "/"]));
    let mut names: Vec<&String> = report["paths"]["/"].as_object().expect("a listing").keys().collect();
    names.sort();
    assert_eq!(
        names,
        ["dev", "proc", "probe", "sys"]
            .into_iter()
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
    assert_eq!((&report["cwd"], &report["exe"]), (&json!("/"), &json!("/probe")));
}

fn a_read_only_root() {
    let c = Container::new().args(["sequence", "try-mkdir", "/new", "--", "try-open-write", "/file", "--", "report"]);
    let c = c.file("/file", "");
    let output = c.run().ok();
    assert!(output.stdout.starts_with("EROFS\nEROFS\n"), "{}", output.stdout);
    assert!(has_options(mount_at(&output.report(), "/"), &["ro"]));
    assert!(!c.rootfs().join("new").exists());
}

fn a_writable_root() {
    let c = Container::new().args(["sequence", "mkdir", "/new", "--", "write", "/new/file", "x", "--", "report"]);
    let c = c.set("/root/readonly", false);
    assert!(has_options(mount_at(&report_of(&c), "/"), &["rw"]));
    assert_eq!(fs::read_to_string(c.rootfs().join("new/file")).expect("it was written"), "x");
    let c = Container::new().args(["mkdir", "/new"]).edit(|config| config["root"] = json!({"path": "rootfs"}));
    c.run().quiet();
}

fn mount_points_are_made() {
    let c = Container::new();
    let (directory, file) = (source(&c, "source"), source(&c, "source").join("file"));
    let c = c.bind(&directory, "/a/b/c", []).bind(&file, "/etc/deep/file", []);
    let c = c.args(["report", "/a/b/c", "/etc/deep/file"]);
    let report = report_of(&c);
    assert!(report["paths"]["/a/b/c"].get("file").is_some());
    assert_eq!(report["paths"]["/etc/deep/file"]["type"], "file");
    assert!(c.rootfs().join("a/b/c").is_dir());
    assert!(c.rootfs().join("etc/deep/file").is_file());
    assert_eq!(fs::metadata(c.rootfs().join("a")).expect("stat").mode() & 0o777, 0o755);
}

fn mounts_follow_the_configs_order() {
    let c = Container::new();
    let path = source(&c, "source");
    let tmpfs = json!({"destination": "/run", "type": "tmpfs", "source": "tmpfs"});
    let c = c.mount(tmpfs.clone()).bind(&path, "/run/inside", []).args(["cat", "/run/inside/file"]);
    assert_eq!(c.run().ok().stdout, "content");
    assert!(!c.rootfs().join("run/inside").exists(), "the mount point was made below the tmpfs");
    let c = Container::new();
    let path = source(&c, "source");
    let c = c.bind(&path, "/run/inside", []).mount(tmpfs).args(["ls", "/run"]);
    assert_eq!(c.run().ok().stdout.trim(), "{}");
}

fn a_bind_mount_of_a_directory() {
    let c = Container::new();
    let path = source(&c, "source");
    let c =
        c.bind(&path, "/mnt", ["rw"]).args(["sequence", "cat", "/mnt/file", "--", "write", "/mnt/new", "from inside"]);
    assert_eq!(c.run().ok().stdout, "content");
    assert_eq!(fs::read_to_string(path.join("new")).expect("it was written"), "from inside");
}

fn a_bind_mount_of_a_file() {
    let c = Container::new();
    let path = source(&c, "source").join("file");
    let c = c.bind(&path, "/etc/resolv.conf", ["rprivate"]).args(["cat", "/etc/resolv.conf"]);
    assert_eq!(c.run().ok().stdout, "content");
}

fn a_bind_mount_of_a_socket_and_a_device() {
    let c = Container::new();
    let path = c.dir().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&path).expect("bind a socket");
    let c = c.bind(&path, "/run/socket", []).bind(std::path::Path::new("/dev/null"), "/run/null", []);
    let report = report_of(&c.args(["report", "/run"]));
    assert_eq!(
        (&report["paths"]["/run"]["socket"]["type"], &report["paths"]["/run"]["null"]["type"]),
        (&json!("socket"), &json!("char"))
    );
}

fn a_read_only_bind_mount() {
    let c = Container::new();
    let path = source(&c, "source");
    let words = ["sequence", "cat", "/mnt/file", "--", "try-open-write", "/mnt/file", "--", "report"];
    let c = c.bind(&path, "/mnt", ["ro"]).args(words);
    let output = c.run().ok();
    assert!(output.stdout.starts_with("contentEROFS\n"), "{}", output.stdout);
    assert!(has_options(mount_at(&output.report(), "/mnt"), &["ro"]));
    fs::write(path.join("file"), "the source itself is writable").expect("write");
}

fn a_bind_mounts_own_flags() {
    let c = Container::new();
    let path = source(&c, "source");
    let c = c.bind(&path, "/mnt", ["nosuid", "nodev", "noexec", "noatime"]);
    let report = report_of(&c);
    assert!(has_options(mount_at(&report, "/mnt"), &["nosuid", "nodev", "noexec", "noatime", "rw"]));
}

fn a_relative_bind_source_is_the_bundles() {
    let c = Container::new();
    fs::create_dir(c.bundle().join("data")).expect("create a source");
    fs::write(c.bundle().join("data/file"), "the bundle's").expect("write");
    let c = c.bind(std::path::Path::new("data"), "/mnt", []).args(["cat", "/mnt/file"]);
    let run = c.call("run").arg("--bundle").arg(c.bundle()).arg(c.id()).cwd("/").run().ok();
    assert_eq!(run.stdout, "the bundle's");
}

fn a_bind_source_may_be_a_symlink() {
    let c = Container::new();
    let path = source(&c, "source");
    let link = c.dir().join("link");
    std::os::unix::fs::symlink(&path, &link).expect("symlink");
    let c = c.bind(&link, "/mnt", []).args(["cat", "/mnt/file"]);
    assert_eq!(c.run().ok().stdout, "content");
}

fn a_bind_mount_without_a_type() {
    let c = Container::new();
    let path = source(&c, "source");
    for mount in [
        json!({"options": ["bind"]}),
        json!({"type": "none", "options": ["rbind"]}),
        json!({"type": "", "options": ["rbind"]}),
    ] {
        let mut mount = mount;
        mount["destination"] = json!("/mnt");
        mount["source"] = json!(path);
        let c = Container::new().mount(mount).args(["cat", "/mnt/file"]);
        assert_eq!(c.run().ok().stdout, "content");
    }
}

fn a_bind_mount_leaves_submounts_out() {
    let c = Container::new();
    let host = HostMount::new();
    let _sub = HostMount::at(&host.path().join("sub"));
    let c = c.bind(host.path(), "/mnt", []).args(["ls", "/mnt/sub"]);
    assert_eq!(c.run().ok().stdout.trim(), "{}");
}

fn a_recursive_bind_mount_takes_submounts() {
    let c = Container::new();
    let host = HostMount::new();
    let _sub = HostMount::at(&host.path().join("sub"));
    let c = c.bind(host.path(), "/mnt", ["rbind"]).args(["cat", "/mnt/sub/below"]);
    assert_eq!(c.run().ok().stdout, "below");
}

fn a_recursive_bind_mount_read_only_at_the_top() {
    let c = Container::new();
    let host = HostMount::new();
    let _sub = HostMount::at(&host.path().join("sub"));
    let c = c.bind(host.path(), "/mnt", ["rbind", "ro"]);
    let report = report_of(&c);
    assert!(has_options(mount_at(&report, "/mnt"), &["ro"]));
    assert!(has_options(mount_at(&report, "/mnt/sub"), &["rw"]));
}

fn a_recursive_bind_mount_read_only_throughout() {
    let c = Container::new();
    let host = HostMount::new();
    let _sub = HostMount::at(&host.path().join("sub"));
    let c = c.bind(host.path(), "/mnt", ["rbind", "rro", "rnoexec"]);
    let report = report_of(&c);
    assert!(has_options(mount_at(&report, "/mnt"), &["ro", "noexec"]));
    assert!(has_options(mount_at(&report, "/mnt/sub"), &["ro", "noexec"]));
}

fn a_target_that_is_a_symlink_stays_inside() {
    let c = Container::new().directory("/real").symlink("/link", "/real");
    let path = source(&c, "source");
    let report = report_of(&c.bind(&path, "/link", []));
    assert_eq!(mount_at(&report, "/real")["type"], mount_at(&report, "/")["type"]);
}

fn a_target_below_a_symlink_stays_inside() {
    needs(Need::Not("crun", "older releases don't make what a symlink lacks"));
    let outside = Container::new();
    let trap = source(&outside, "trap");
    // The same path exists inside and outside; only the one inside may be touched.
    let c = Container::new().symlink("/link", trap.to_str().expect("a path"));
    let tmpfs = json!({"destination": "/link/sub", "type": "tmpfs", "source": "tmpfs"});
    let report = report_of(&c.mount(tmpfs));
    assert_eq!(mount_at(&report, &format!("{}/sub", trap.display()))["type"], "tmpfs");
    assert!(!trap.join("sub").exists(), "a directory was made on the host");
}

fn a_target_with_dots_stays_inside() {
    let tmpfs = json!({"destination": "/../../../../dots", "type": "tmpfs", "source": "tmpfs"});
    assert_eq!(mount_at(&report_of(&Container::new().mount(tmpfs)), "/dots")["type"], "tmpfs");
    assert!(!std::path::Path::new("/dots").exists());
}

fn a_target_that_is_a_dangling_symlink_is_made_inside() {
    needs(Need::Not("crun", "older releases don't make what a symlink lacks"));
    let c = Container::new().symlink("/link", "/nowhere/yet");
    let path = source(&c, "source");
    let c = c.bind(&path, "/link", []).args(["cat", "/nowhere/yet/file"]);
    assert_eq!(c.run().ok().stdout, "content");
    assert!(!std::path::Path::new("/nowhere").exists());
}

fn a_mount_over_a_mount() {
    let c = Container::new();
    let path = source(&c, "source");
    let c = c.mount(json!({"destination": "/mnt", "type": "tmpfs", "source": "tmpfs"})).bind(&path, "/mnt", []);
    assert_eq!(c.args(["cat", "/mnt/file"]).run().ok().stdout, "content");
}

fn a_mount_at_the_root_of_a_mount() {
    let c = Container::new();
    let path = source(&c, "source");
    fs::create_dir(path.join("sub")).expect("create a mount point in the source");
    let c = c
        .bind(&path, "/mnt", [])
        .mount(json!({"destination": "/mnt/sub", "type": "tmpfs", "source": "t", "options": ["ro"]}));
    assert!(has_options(mount_at(&report_of(&c), "/mnt/sub"), &["ro"]));
}

/// Options of a tmpfs and what mountinfo then shows for it.
const OPTIONS: [(&str, &str); 18] = [
    ("ro", "ro"),
    ("rw", "rw"),
    ("nosuid", "nosuid"),
    ("nodev", "nodev"),
    ("noexec", "noexec"),
    ("noatime", "noatime"),
    ("nodiratime", "nodiratime"),
    ("relatime", "relatime"),
    ("strictatime", "rw"),
    ("nosymfollow", "nosymfollow"),
    ("lazytime", "super:lazytime"),
    ("sync", "super:sync"),
    ("dirsync", "super:dirsync"),
    ("mand", "rw"),
    ("suid", "rw"),
    ("exec", "rw"),
    ("dev", "rw"),
    ("async", "rw"),
];

fn each_option_shows() {
    let c = OPTIONS.iter().enumerate().fold(Container::new(), |c, (index, (option, _))| {
        c.mount(json!({"destination": format!("/m{index}"), "type": "tmpfs", "source": "t", "options": [option]}))
    });
    let report = report_of(&c);
    for (index, (option, shown)) in OPTIONS.iter().enumerate() {
        let mount = mount_at(&report, &format!("/m{index}"));
        let shows = match shown.strip_prefix("super:") {
            Some(shown) => has_super_options(mount, &[shown]),
            None => has_options(mount, &[shown]),
        };
        assert!(shows, "{option}: {mount}");
    }
}

fn defaults_is_no_file_system_option() {
    needs(Need::Not("runc", "older releases pass it on"));
    let c =
        Container::new().mount(json!({"destination": "/m", "type": "tmpfs", "source": "t", "options": ["defaults"]}));
    assert!(has_options(mount_at(&report_of(&c), "/m"), &["rw"]));
}

fn file_system_options_are_passed() {
    let options = ["size=1024k", "mode=700", "uid=5", "gid=6", "nr_inodes=100"];
    let c = Container::new().mount(json!({"destination": "/mnt", "type": "tmpfs", "source": "t", "options": options}));
    let report = report_of(&c.args(["report", "/"]));
    assert!(has_super_options(
        mount_at(&report, "/mnt"),
        &["size=1024k", "mode=700", "uid=5", "gid=6", "nr_inodes=100"]
    ));
    let entry = &report["paths"]["/"]["mnt"];
    assert_eq!((&entry["mode"], &entry["uid"], &entry["gid"]), (&json!(0o700), &json!(5), &json!(6)));
}

fn a_tmpfs_takes_the_mode_of_its_mount_point() {
    needs(Need::Not("crun", "it leaves the kernel's 1777"));
    let c = Container::new()
        .directory("/private")
        .mount(json!({"destination": "/private", "type": "tmpfs", "source": "t"}));
    fs::set_permissions(c.rootfs().join("private"), fs::Permissions::from_mode(0o710)).expect("chmod");
    assert_eq!(report_of(&c.args(["report", "/"]))["paths"]["/"]["private"]["mode"], 0o710);
}

/// `shared`, `slave`, `private` as mountinfo shows them.
fn propagation(mount: &Value) -> &'static str {
    let tags = mount["propagation"].to_string();
    match () {
        () if tags.contains("shared:") => "shared",
        () if tags.contains("master:") => "slave",
        () if tags.contains("unbindable") => "unbindable",
        () => "private",
    }
}

fn propagation_of_a_mount() {
    needs(Need::Not("crun", "older releases set it before they move the mount"));
    for option in ["shared", "rshared", "private", "rprivate", "unbindable", "runbindable"] {
        let c = Container::new();
        let path = source(&c, "source");
        let report = report_of(&c.bind(&path, "/mnt", [option]));
        assert_eq!(propagation(mount_at(&report, "/mnt")), option.trim_start_matches('r'), "{option}");
    }
    for option in ["slave", "rslave"] {
        let c = Container::new();
        let host = HostMount::new();
        host.share();
        let report = report_of(&c.bind(host.path(), "/mnt", [option]));
        assert_eq!(propagation(mount_at(&report, "/mnt")), "slave", "{option}");
    }
}

fn propagation_of_the_root() {
    needs(Need::Not("crun", "it can't mask paths below an unbindable root"));
    needs(Need::Not("runc", "it sets that of the parent"));
    let all = ["private", "rprivate", "shared", "rshared", "unbindable", "runbindable"];
    for (value, expected) in all.map(|value| (value, value.trim_start_matches('r'))) {
        let c = Container::new().set("/linux/rootfsPropagation", value);
        assert_eq!(propagation(mount_at(&report_of(&c), "/")), expected, "{value}");
    }
    assert_eq!(propagation(mount_at(&report_of(&Container::new()), "/")), "private");
}

fn the_hosts_later_mounts_come_in_if_asked() {
    needs(Need::Not("crun", "the root's propagation wins over the mount's"));
    for (options, expected) in [(["rbind", "rslave"], "later"), (["rbind", "rprivate"], "ENOENT")] {
        let c = Container::new();
        let host = HostMount::new();
        host.share();
        fs::create_dir(host.path().join("sub")).expect("create a mount point");
        let c = c.bind(host.path(), "/mnt", options).args([
            "sequence",
            "echo-line",
            "--",
            "try-open-read",
            "/mnt/sub/below",
        ]);
        let c = c.set("/process/terminal", false);
        let fifo = c.dir().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .expect("FIFO");
        let input = fs::OpenOptions::new().read(true).write(true).open(&fifo).expect("open the FIFO");
        let run = c
            .call("run")
            .arg("--bundle")
            .arg(c.bundle())
            .arg(c.id())
            .stdin_file(input.try_clone().expect("dup"))
            .spawn();
        run.wait_for("ready");
        let later = HostMount::at(&host.path().join("sub"));
        std::io::Write::write_all(&mut &input, b"go\n").expect("let it go on");
        let output = run.wait().ok();
        let seen = output.stdout.lines().last().unwrap_or_default().replace("ok", "later");
        assert_eq!(seen, expected, "{options:?}");
        drop(later);
    }
}

fn the_containers_mounts_stay_in() {
    let c = Container::new().args(["sleep"]).up();
    c.nothing_mounted();
}

fn an_overlay() {
    needs(Need::Filesystem("overlay"));
    let c = Container::new();
    let lower = source(&c, "lower");
    // Overlays don't lie on overlays, so the upper layer gets a tmpfs.
    let host = HostMount::new();
    let (upper, work) = (host.path().join("upper"), host.path().join("work"));
    fs::create_dir(&upper).expect("create the upper layer");
    fs::create_dir(&work).expect("create its work directory");
    let data = format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    let options: Vec<&str> = data.split(',').collect();
    let c = c.mount(json!({"destination": "/mnt", "type": "overlay", "source": "overlay", "options": options}));
    let c = c.args(["sequence", "cat", "/mnt/file", "--", "write", "/mnt/new", "x"]);
    assert_eq!(c.run().ok().stdout, "content");
    assert_eq!(fs::read_to_string(upper.join("new")).expect("it is in the upper layer"), "x");
}

fn proc_options() {
    let c = Container::new().set("/mounts/0/options", json!(["nosuid", "noexec", "nodev", "hidepid=2"]));
    let report = report_of(&c);
    let proc = mount_at(&report, "/proc");
    assert!(has_options(proc, &["nosuid", "noexec", "nodev"]));
    assert!(proc["superOptions"].to_string().contains("hidepid="), "{proc}");
}

fn the_cgroup_mount_is_the_containers() {
    let c = Container::new().args([
        "sequence",
        "try-mkdir",
        "/sys/fs/cgroup/sub",
        "--",
        "cat",
        "/sys/fs/cgroup/cgroup.procs",
    ]);
    assert_eq!(c.run().ok().stdout, "EROFS\n1\n");
}

fn the_cgroup_mount_can_be_writable() {
    let c = Container::new().set("/mounts/6/options", json!(["nosuid", "noexec", "nodev", "relatime", "rw"]));
    let c = c.args(["sequence", "try-mkdir", "/sys/fs/cgroup/sub"]);
    c.create().ok();
    c.start().ok();
    c.wait_for("ok");
    assert!(c.cgroup_dir().join("sub").is_dir());
}

fn a_rootfs_that_is_a_mount_point() {
    let c = Container::new();
    let host = HostMount::new();
    fs::copy(crate::support::Lane::get().probe(), host.path().join("probe")).expect("copy the probe");
    let report = report_of(&c.set("/root/path", json!(host.path())).args(["report", "/"]));
    assert_eq!((&mount_at(&report, "/")["type"], report["paths"]["/"].get("below").is_some()), (&json!("tmpfs"), true));
}

fn an_absolute_root_path() {
    let c = Container::new();
    let path = json!(c.rootfs());
    let c = c.set("/root/path", path);
    c.run().quiet();
}

fn a_hundred_mounts() {
    let c = (0..100).fold(Container::new(), |c, index| {
        c.mount(
            json!({"destination": format!("/many/{index}"), "type": "tmpfs", "source": "t", "options": ["size=4k"]}),
        )
    });
    let report = report_of(&c);
    assert_eq!(mount_at(&report, "/many/99")["type"], "tmpfs");
}

fn mounts_in_a_user_namespace() {
    let c = Container::new().user_namespace(100_000, 65_536);
    let report = report_of(&c);
    for (target, kind) in
        [("/proc", "proc"), ("/dev", "tmpfs"), ("/dev/pts", "devpts"), ("/sys", "sysfs"), ("/sys/fs/cgroup", "cgroup2")]
    {
        assert_eq!(mount_at(&report, target)["type"], kind);
    }
    assert_eq!(report["dev"]["shm"]["uid"], 0, "the container's root owns what is mounted for it");
}

fn bind_mounts_in_a_user_namespace() {
    let c = Container::new().user_namespace(100_000, 65_536);
    let path = source(&c, "source");
    let hidden = c.dir().join("hidden");
    fs::create_dir(&hidden).expect("create");
    fs::write(hidden.join("file"), "seen").expect("write");
    // The container's root may not even look into the directory above the source.
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o700)).expect("chmod");
    let c = c.bind(&path, "/mnt", ["ro"]).bind(&hidden.join("file"), "/mnt2", ["ro"]);
    let output = c.args(["sequence", "cat", "/mnt/file", "--", "cat", "/mnt2", "--", "report"]).run().ok();
    assert!(output.stdout.starts_with("contentseen"), "{}", output.stdout);
    assert!(has_options(mount_at(&output.report(), "/mnt"), &["ro"]));
}
