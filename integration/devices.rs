//! /dev: the default devices and links, the config's own, and the rules about which may be opened.

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::config::drop_mount;
use crate::support::{Container, Need, needs};

cases![
    the_default_devices,
    the_default_links,
    no_console_without_a_terminal,
    the_configs_devices,
    a_device_below_a_missing_directory,
    a_default_device_in_the_config,
    without_a_mount_at_dev_they_are_made_in_the_root,
    a_read_only_dev,
    a_denied_device_cannot_be_opened,
    an_allowed_device_can_be_opened,
    a_later_rule_wins,
    any_device_node_can_be_made,
    the_default_devices_are_always_allowed,
    a_cgroup_that_was_there_has_the_rules_of_its_newest_container,
    devices_in_a_user_namespace,
];

fn report_of(c: &Container) -> Value {
    c.run().ok().report()
}

const DEFAULT: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

fn has_default_devices(report: &Value) {
    for (name, major, minor) in DEFAULT {
        let device = &report["dev"][name];
        assert_eq!(
            (&device["type"], &device["major"], &device["minor"]),
            (&json!("char"), &json!(major), &json!(minor)),
            "{name}"
        );
        assert_eq!(device["mode"], 0o666, "{name}");
    }
}

fn the_default_devices() {
    let report = report_of(&Container::new());
    has_default_devices(&report);
    for (name, ..) in DEFAULT {
        assert_eq!((&report["dev"][name]["uid"], &report["dev"][name]["gid"]), (&json!(0), &json!(0)), "{name}");
    }
}

fn the_default_links() {
    let dev = report_of(&Container::new())["dev"].clone();
    let links = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ];
    for (name, target) in links {
        assert_eq!(dev[name]["target"], target, "{name}");
    }
    assert_eq!(dev["ptmx"]["target"], "pts/ptmx");
}

fn no_console_without_a_terminal() {
    assert_eq!(report_of(&Container::new())["dev"].get("console"), None);
}

fn the_configs_devices() {
    let devices = json!([
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 12, "gid": 34},
        {"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 0, "gid": 0},
        {"path": "/dev/block", "type": "b", "major": 7, "minor": 1000, "fileMode": 0o660, "uid": 0, "gid": 6},
        {"path": "/dev/pipe", "type": "p", "fileMode": 0o622, "uid": 1, "gid": 2},
    ]);
    let dev = report_of(&Container::new().set("/linux/devices", devices))["dev"].clone();
    let seen = |name: &str| {
        let device = &dev[name];
        json!([device["type"], device["major"], device["minor"], device["mode"], device["uid"], device["gid"]])
    };
    assert_eq!(seen("fuse"), json!(["char", 10, 229, 0o640, 12, 34]));
    assert_eq!(seen("unbuffered"), json!(["char", 1, 3, 0o600, 0, 0]));
    assert_eq!(seen("block"), json!(["block", 7, 1000, 0o660, 0, 6]));
    assert_eq!(seen("pipe"), json!(["fifo", 0, 0, 0o622, 1, 2]));
}

fn a_device_below_a_missing_directory() {
    let device = json!([{"path": "/dev/net/tun", "type": "c", "major": 10, "minor": 200, "fileMode": 0o666, "uid": 0, "gid": 0}]);
    let c = Container::new().set("/linux/devices", device).args(["report", "/dev/net"]);
    assert_eq!(report_of(&c)["paths"]["/dev/net"]["tun"]["minor"], 200);
}

fn a_default_device_in_the_config() {
    needs(Need::Not("runc", "it takes the rule away that allows it"));
    let devices =
        json!([{"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666, "uid": 0, "gid": 0}]);
    has_default_devices(&report_of(&Container::new().set("/linux/devices", devices)));
}

fn without_a_mount_at_dev_they_are_made_in_the_root() {
    needs(Need::Not("crun", "older releases want the directory to be there"));
    let c = Container::new().set("/root/readonly", false).edit(|config| {
        for target in ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"] {
            drop_mount(config, target);
        }
    });
    has_default_devices(&report_of(&c));
    assert!(c.rootfs().join("dev/null").exists());
}

fn a_read_only_dev() {
    let c =
        Container::new().set("/mounts/1/options", json!(["nosuid", "strictatime", "mode=755", "size=65536k", "ro"]));
    let c = c.args(["sequence", "try-mkdir", "/dev/new", "--", "try-open-write", "/dev/null", "--", "report"]);
    let output = c.run().ok();
    assert!(output.stdout.starts_with("EROFS\nok\n"), "{}", output.stdout);
    has_default_devices(&output.report());
}

/// A container with a node for fuse (10:229), which no default rule allows, and these rules.
fn with_rules(rules: &Value) -> Container {
    needs(Need::Not("crun", "it may not load rules on every machine"));
    let node =
        json!([{"path": "/dev/it", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666, "uid": 0, "gid": 0}]);
    Container::new().set("/linux/devices", node).set("/linux/resources", json!({"devices": rules}))
}

/// Whether the rules let it be opened for reading and for writing.
fn opens(rules: &Value) -> [bool; 2] {
    let c = with_rules(rules).args(["sequence", "try-open-read", "/dev/it", "--", "try-open-write", "/dev/it"]);
    let out = c.run().ok().stdout;
    // Where the kernel has no fuse, a node that the rules allow has no device behind it.
    let lines: Vec<bool> = out.lines().map(|line| line != "EPERM").collect();
    lines.try_into().expect("two answers")
}

fn a_denied_device_cannot_be_opened() {
    assert_eq!(opens(&json!([{"allow": false, "access": "rwm"}])), [false, false]);
}

fn an_allowed_device_can_be_opened() {
    let deny = json!({"allow": false, "access": "rwm"});
    let allow = |access: &str| json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": access});
    assert_eq!(opens(&json!([deny, allow("rwm")])), [true, true]);
    assert_eq!(opens(&json!([deny, allow("r")])), [true, false]);
    assert_eq!(opens(&json!([deny, {"allow": true, "type": "c", "major": 10, "access": "w"}])), [false, true]);
}

fn a_later_rule_wins() {
    let (all, deny) = (
        json!({"allow": true, "access": "rwm"}),
        json!({"allow": false, "type": "c", "major": 10, "minor": 229, "access": "rwm"}),
    );
    assert_eq!(opens(&json!([all, deny])), [false, false]);
    assert_eq!(opens(&json!([deny, all])), [true, true]);
}

fn any_device_node_can_be_made() {
    let rules = json!([{"allow": false, "access": "rwm"}]);
    let c = with_rules(&rules).set("/process/capabilities", {
        let mknod = json!(["CAP_MKNOD"]);
        json!({"bounding": mknod, "effective": mknod, "permitted": mknod})
    });
    let c = c.args(["sequence", "try-mknod", "/dev/made", "10", "237", "--", "try-open-read", "/dev/made"]);
    assert_eq!(c.run().ok().stdout, "ok\nEPERM\n");
}

fn the_default_devices_are_always_allowed() {
    let paths = DEFAULT.iter().filter(|(name, ..)| *name != "tty").map(|(name, ..)| format!("/dev/{name}"));
    let steps = paths.flat_map(|path| ["try-open-read".to_owned(), path, "--".to_owned()]);
    let words: Vec<String> = std::iter::once("sequence".to_owned()).chain(steps).collect();
    let rules = json!([{"allow": false, "access": "rwm"}]);
    let c = with_rules(&rules).args(words.iter().map(String::as_str));
    assert_eq!(c.run().ok().stdout, "ok\n".repeat(5));
}

/// More of them than the kernel attaches programs to a cgroup.
fn a_cgroup_that_was_there_has_the_rules_of_its_newest_container() {
    let (deny, all) = (json!({"allow": false, "access": "rwm"}), json!({"allow": true, "access": "rwm"}));
    let allow = json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rwm"});
    let first = with_rules(&json!([deny]));
    std::fs::create_dir(first.cgroup_dir()).expect("make a cgroup");
    let cgroup = first.config()["linux"]["cgroupsPath"].clone();
    let opens = |rules: &Value| {
        let c = with_rules(rules).args(["try-open-read", "/dev/it"]).set("/linux/cgroupsPath", cgroup.clone());
        c.run().ok().stdout.trim() != "EPERM"
    };
    for _ in 0..17 {
        for (rules, opened) in
            [(json!([deny]), false), (json!([deny, allow]), true), (json!([deny]), false), (json!([all]), true)]
        {
            assert_eq!(opens(&rules), opened, "{rules}");
        }
    }
    crate::support::leftovers::remove_cgroup(&first.cgroup_dir()).expect("it can be removed");
}

fn devices_in_a_user_namespace() {
    let c = Container::new().user_namespace(100_000, 65_536);
    let c = c.args(["sequence", "try-open-write", "/dev/null", "--", "try-open-read", "/dev/zero", "--", "report"]);
    let output = c.run().ok();
    assert!(output.stdout.starts_with("ok\nok\n"), "{}", output.stdout);
    has_default_devices(&output.report());
}
