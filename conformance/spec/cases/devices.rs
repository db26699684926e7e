//! Devices and the links beside them.

use serde_json::{Value, json};

use crate::case::cases;
use crate::container::Container;
use crate::outcome::{Verdict, expect, same};
use crate::subject::Subject;

cases![
    link_fd,
    link_stdin,
    link_stdout,
    link_stderr,
    made,
    no_type,
    no_path,
    a_file_in_the_way,
    outside_of_dev,
    fifo,
    mode,
    owner,
    others_are_not_accessible,
    null,
    zero,
    full,
    random,
    urandom,
    tty,
    ptmx,
    supplied_without_a_mount,
];

fn link(s: &Subject, name: &str, target: &str) -> Verdict {
    let report = Container::new(s).report()?;
    same(&format!("the target of /dev/{name}"), &report["dev"][name]["target"], target)
}

fn link_fd(s: &Subject) -> Verdict {
    link(s, "fd", "/proc/self/fd")
}

fn link_stdin(s: &Subject) -> Verdict {
    link(s, "stdin", "/proc/self/fd/0")
}

fn link_stdout(s: &Subject) -> Verdict {
    link(s, "stdout", "/proc/self/fd/1")
}

fn link_stderr(s: &Subject) -> Verdict {
    link(s, "stderr", "/proc/self/fd/2")
}

/// A container with /dev/kmsg's numbers at a place of its own.
fn with_device(s: &Subject, change: impl FnOnce(&mut Value)) -> Container<'_> {
    let mut device =
        json!({"path": "/dev/ours", "type": "c", "major": 1, "minor": 11, "fileMode": 0o640, "uid": 12, "gid": 34});
    change(&mut device);
    Container::new(s).set("/linux/devices", json!([device]))
}

fn is_char(seen: &Value, major: u32, minor: u32) -> Verdict {
    same("its type", &seen["type"], "char")?;
    same("its major number", &seen["major"], major)?;
    same("its minor number", &seen["minor"], minor)
}

fn made(s: &Subject) -> Verdict {
    is_char(&with_device(s, |_| ()).report()?["dev"]["ours"], 1, 11)
}

fn no_type(s: &Subject) -> Verdict {
    let c = with_device(s, |device| {
        device.as_object_mut().expect("an object").remove("type");
    });
    c.create_refused("a device has no type")
}

fn no_path(s: &Subject) -> Verdict {
    let c = with_device(s, |device| {
        device.as_object_mut().expect("an object").remove("path");
    });
    c.create_refused("a device has no path")
}

fn a_file_in_the_way(s: &Subject) -> Verdict {
    let c = with_device(s, |device| device["path"] = json!("/there/already")).file("/there/already", "a plain file");
    c.create_refused("a plain file is at the device's path")
}

fn outside_of_dev(s: &Subject) -> Verdict {
    let c = with_device(s, |device| device["path"] = json!("/some/where/ours")).args(["report", "/some/where/ours"]);
    is_char(&c.report()?["paths"]["/some/where/ours"], 1, 11)
}

fn fifo(s: &Subject) -> Verdict {
    let c = Container::new(s).set("/linux/devices", json!([{"path": "/dev/ours", "type": "p", "fileMode": 0o600}]));
    same("its type", &c.report()?["dev"]["ours"]["type"], "fifo")
}

fn mode(s: &Subject) -> Verdict {
    same("its mode", &with_device(s, |_| ()).report()?["dev"]["ours"]["mode"], 0o640)
}

fn owner(s: &Subject) -> Verdict {
    let report = with_device(s, |_| ()).report()?;
    same("its owner", &report["dev"]["ours"]["uid"], 12)?;
    same("its group", &report["dev"]["ours"]["gid"], 34)
}

/// A node that is in the root file system but not in the config: it is there, and opening it fails.
fn others_are_not_accessible(s: &Subject) -> Verdict {
    super::device_rules::can_be_tested(s)?;
    let c = super::device_rules::with_syslog(Container::new(s).args(["try-open-read", "/kmsg"]));
    let node = c.rootfs().join("kmsg");
    let device = rustix::fs::makedev(1, 11);
    rustix::fs::mknodat(rustix::fs::CWD, &node, rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::RUSR, device)
        .expect("make a device");
    let seen = c.says()?;
    expect(seen == "EPERM", "opening the device is refused", seen)
}

fn default(s: &Subject, name: &str, minor: u32, major: u32) -> Verdict {
    let c = Container::new(s).args(["sequence", "report", "--", "try-open-read", &format!("/dev/{name}")]);
    c.create()?;
    c.start()?;
    c.wait_exit()?;
    let text = c.stdout();
    let mut lines = text.lines();
    let report: Value = serde_json::from_str(lines.next().unwrap_or_default()).unwrap_or_default();
    is_char(&report["dev"][name], major, minor)?;
    let opened = lines.next().unwrap_or_default();
    // Without a terminal of its own, a process has nothing that /dev/tty could be.
    let works = opened == "ok" || name == "tty" && opened == "ENXIO";
    expect(works, format!("/dev/{name} can be opened"), opened)
}

fn null(s: &Subject) -> Verdict {
    default(s, "null", 3, 1)
}

fn zero(s: &Subject) -> Verdict {
    default(s, "zero", 5, 1)
}

fn full(s: &Subject) -> Verdict {
    default(s, "full", 7, 1)
}

fn random(s: &Subject) -> Verdict {
    default(s, "random", 8, 1)
}

fn urandom(s: &Subject) -> Verdict {
    default(s, "urandom", 9, 1)
}

fn tty(s: &Subject) -> Verdict {
    default(s, "tty", 0, 5)
}

fn ptmx(s: &Subject) -> Verdict {
    let report = Container::new(s).args(["report", "/dev/pts"]).report()?;
    let seen = &report["dev"]["ptmx"];
    let linked = ["pts/ptmx", "/dev/pts/ptmx"].iter().any(|target| seen["target"] == *target);
    let bound = seen["inode"] == report["paths"]["/dev/pts"]["ptmx"]["inode"] && seen["type"] == "char";
    expect(linked || bound, "/dev/ptmx is a link to /dev/pts/ptmx, or that file", seen)
}

/// A config that mounts nothing at /dev has them all the same.
fn supplied_without_a_mount(s: &Subject) -> Verdict {
    let c = Container::new(s).directory("/dev").edit(|config| {
        for destination in ["/dev", "/dev/pts", "/dev/shm"] {
            crate::config::drop_mount(config, destination);
        }
    });
    let report = c.report()?;
    for (name, major, minor) in
        [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)]
    {
        is_char(&report["dev"][name], major, minor)?;
    }
    Ok(())
}
