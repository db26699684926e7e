//! `features` and `--version`: what a runtime says of itself, to whoever asks and from wherever.

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::{Call, Lane, Need, needs};

cases![
    it_is_json_and_nothing_else,
    it_needs_no_root_and_leaves_nothing,
    the_versions_are_there,
    the_hooks_are_all_six,
    the_namespaces_are_the_kernels,
    the_mount_options_are_named,
    the_capabilities_are_named,
    cgroup_v2_is_true_and_v1_is_not,
    security_modules_and_the_like_are_claimed,
    the_version_is_for_people_and_parsers,
];

fn features() -> Value {
    needs(Need::Not("crun", "older releases have no such command"));
    Call::runtime(Lane::get().dir()).arg("features").run().quiet().json()
}

fn has(list: &Value, names: &[&str]) {
    let list: Vec<&str> = list.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let missing: Vec<&&str> = names.iter().filter(|name| !list.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?} missing in {list:?}");
}

fn it_is_json_and_nothing_else() {
    assert!(features().is_object());
}

fn it_needs_no_root_and_leaves_nothing() {
    needs(Need::Not("crun", "older releases have no such command"));
    needs(Need::Root);
    let directory = tempfile::tempdir_in(Lane::get().dir()).expect("create a directory");
    std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    let root = directory.path().join("root");
    let call = Call::launched(directory.path(), &["--uid", "65534"]);
    call.arg("--root").arg(&root).arg("features").env_clear().cwd("/").run().quiet();
    assert!(!root.exists());
}

fn the_versions_are_there() {
    let features = features();
    assert_eq!(features["ociVersionMin"], "1.0.0");
    let max = features["ociVersionMax"].as_str().unwrap_or_default();
    assert!(max.starts_with("1."), "ociVersionMax is {max:?}");
}

fn the_hooks_are_all_six() {
    let all = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    assert_eq!(features()["hooks"], json!(all));
}

fn the_namespaces_are_the_kernels() {
    has(&features()["linux"]["namespaces"], &["cgroup", "ipc", "mount", "network", "pid", "user", "uts"]);
}

fn the_mount_options_are_named() {
    let names = [
        "async",
        "atime",
        "bind",
        "defaults",
        "dev",
        "diratime",
        "dirsync",
        "exec",
        "noatime",
        "nodev",
        "nodiratime",
        "noexec",
        "norelatime",
        "nostrictatime",
        "nosuid",
        "private",
        "rbind",
        "relatime",
        "remount",
        "ro",
        "rprivate",
        "rro",
        "rshared",
        "rslave",
        "runbindable",
        "rw",
        "shared",
        "slave",
        "strictatime",
        "suid",
        "sync",
        "unbindable",
    ];
    has(&features()["mountOptions"], &names);
}

fn the_capabilities_are_named() {
    let all = features()["linux"]["capabilities"].clone();
    has(&all, &["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE"]);
    assert_eq!(all.as_array().map(Vec::len), Some(41));
}

fn cgroup_v2_is_true_and_v1_is_not() {
    let cgroup = features()["linux"]["cgroup"].clone();
    assert_eq!(cgroup["v2"], true);
    if !Lane::get().kind().is("runc") {
        assert_ne!(cgroup["v1"], true);
    }
}

/// features.md: what was built in, whatever this machine has; a machine that lacks it is an error at `create`.
fn security_modules_and_the_like_are_claimed() {
    needs(Need::Not("runc", "older releases have fewer of them"));
    let linux = features()["linux"].clone();
    for part in ["apparmor", "selinux", "intelRdt", "netDevices"] {
        assert_eq!(linux[part]["enabled"], true, "{part}");
    }
    assert_eq!(linux["mountExtensions"]["idmap"]["enabled"], true);
    assert_eq!((&linux["intelRdt"]["schemata"], &linux["intelRdt"]["monitoring"]), (&json!(true), &json!(true)));
}

fn the_version_is_for_people_and_parsers() {
    for option in ["--version", "-v"] {
        let text = Call::runtime(Lane::get().dir()).arg(option).run().quiet().stdout;
        let first = text.lines().next().unwrap_or_default();
        let (name, version) = first.split_once(" version ").expect("NAME version VERSION");
        assert!(!name.is_empty() && version.starts_with(|first: char| first.is_ascii_digit()), "{first}");
        assert!(text.lines().any(|line| line.starts_with("spec: 1.")), "{text}");
    }
}
