//! `/dev` as the attacker's image or volume has it.

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use serde_json::json;

use crate::support::case::cases;
use crate::support::config::drop_mount;
use crate::support::{ConsoleSocket, Container};

cases![
    nothing_is_hidden_behind_a_link_called_null,
    nothing_is_hidden_behind_a_missing_null,
    nothing_is_hidden_behind_a_file_called_null,
    nothing_is_hidden_behind_another_device_called_null,
    a_file_called_null_takes_no_stream,
    a_link_called_null_takes_no_stream,
    dev_that_is_a_link_stays_inside,
    everything_in_dev_is_a_link,
    dev_shm_and_mqueue_are_links,
    the_console_is_no_link,
    the_console_is_no_file_of_a_volume,
    terminals_come_from_devpts_alone,
    ptmx_may_be_a_fifo,
];

/// `/dev` is a volume, with this in it.
pub(super) fn with_dev(fill: impl FnOnce(&Path)) -> (Container, PathBuf) {
    let c = Container::new();
    let dev = c.dir().join("dev");
    for directory in ["pts", "shm", "mqueue"] {
        fs::create_dir_all(dev.join(directory)).expect("make a directory");
    }
    fill(&dev);
    let c = c.edit(|config| {
        config["mounts"][1] = json!({"destination": "/dev", "type": "bind", "source": dev, "options": ["bind"]});
    });
    (c, dev)
}

pub(super) fn device(path: &Path, major: u32, minor: u32) {
    mknodat(CWD, path, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(major, minor)).expect("mknod");
}

/// CVE-2025-31133, CVE-2025-62161: what is bound over the masked file would be the parameter, writable.
fn nothing_is_hidden_behind_a_link_called_null() {
    let (c, _) = with_dev(|dev| symlink("/proc/sys/kernel/domainname", dev.join("null")).expect("make a link"));
    c.set("/linux/maskedPaths", json!(["/proc/version"])).create().fails(["linux.maskedPaths[0]", "/dev/null"]);
}

/// CVE-2025-31133, the other way: nothing to hide it behind, and it stays in sight.
fn nothing_is_hidden_behind_a_missing_null() {
    let (c, _) = with_dev(|_| ());
    c.set("/linux/maskedPaths", json!(["/proc/version"])).create().fails(["linux.maskedPaths[0]", "/dev/null"]);
}

/// CVE-2025-31133: the attacker's file would stand in for the masked one.
fn nothing_is_hidden_behind_a_file_called_null() {
    let (c, _) = with_dev(|dev| fs::write(dev.join("null"), "false").expect("write"));
    c.set("/linux/maskedPaths", json!(["/proc/version"])).create().fails(["linux.maskedPaths[0]", "/dev/null"]);
}

/// CVE-2025-31133: a device, but not this one.
fn nothing_is_hidden_behind_another_device_called_null() {
    let (c, _) = with_dev(|dev| device(&dev.join("null"), 1, 5));
    c.set("/linux/maskedPaths", json!(["/proc/version"])).create().fails(["linux.maskedPaths[0]", "/dev/null"]);
}

/// CVE-2025-31133's kin: the caller's null device is exchanged for the container's, which has to be one. (Standard input is
/// the host's null device in every case of this suite.)
fn a_file_called_null_takes_no_stream() {
    let (c, dev) = with_dev(|dev| fs::write(dev.join("null"), "the attacker's").expect("write"));
    let c = c.set("/linux/maskedPaths", json!([])).args(["cat", "-"]);
    assert_eq!(c.run().ok().stdout, "");
    assert_eq!(fs::read_to_string(dev.join("null")).expect("read"), "the attacker's");
}

fn a_link_called_null_takes_no_stream() {
    let (c, _) = with_dev(|dev| symlink("/proc/sys/kernel/ostype", dev.join("null")).expect("make a link"));
    let c = c.set("/linux/maskedPaths", json!([])).args(["cat", "-"]);
    assert_eq!(c.run().ok().stdout, "");
}

/// CVE-2026-41579, CVE-2026-47766, CVE-2026-88264, CVE-2026-88265: no file system at `/dev`, and the image's is a link to a
/// directory of the host, which would lose its files and get devices and links.
fn dev_that_is_a_link_stays_inside() {
    let c = Container::new();
    let outside = c.dir().join("outside");
    fs::create_dir(&outside).expect("make a directory");
    for name in ["ptmx", "null", "core"] {
        fs::write(outside.join(name), name).expect("write");
    }
    let c = ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"]
        .into_iter()
        .fold(c, |c, target| c.edit(|config| drop_mount(config, target)))
        .symlink("/dev", outside.to_str().expect("text"))
        .set("/root/readonly", false)
        .args(["exit", "0"]);
    // It runs or is refused; what counts is what is outside.
    drop(c.run());
    let mut names: Vec<_> = fs::read_dir(&outside).expect("list").flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, ["core", "null", "ptmx"]);
    assert_eq!(fs::read_to_string(outside.join("null")).expect("read"), "null");
    c.nothing_mounted();
}

/// The same advisories, one entry at a time.
fn everything_in_dev_is_a_link() {
    let c = Container::new();
    let outside = c.dir().join("outside");
    fs::create_dir(&outside).expect("make a directory");
    let names = [
        "null", "zero", "full", "random", "urandom", "tty", "ptmx", "console", "core", "fd", "stdin", "stdout",
        "stderr",
    ];
    let mut c = ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"]
        .into_iter()
        .fold(c, |c, target| c.edit(|config| drop_mount(config, target)))
        .set("/root/readonly", false)
        .set("/linux/maskedPaths", json!([]))
        .args(["exit", "0"]);
    for name in names {
        fs::write(outside.join(name), name).expect("write");
        c = c.symlink(&format!("/dev/{name}"), outside.join(name).to_str().expect("text"));
    }
    drop(c.run());
    for name in names {
        let path = outside.join(name);
        assert!(fs::symlink_metadata(&path).expect("stat").file_type().is_file(), "{name} is another file now");
        assert_eq!(fs::read_to_string(path).expect("read"), name);
    }
    c.nothing_mounted();
}

/// CVE-2026-88264, CVE-2026-88265: directories that mounts go to.
fn dev_shm_and_mqueue_are_links() {
    let c = Container::new();
    let outside = c.dir().join("outside");
    fs::create_dir(&outside).expect("make a directory");
    let target = outside.to_str().expect("text");
    let c = c
        .edit(|config| drop_mount(config, "/dev"))
        .set("/root/readonly", false)
        .symlink("/dev/pts", target)
        .symlink("/dev/shm", target)
        .symlink("/dev/mqueue", target)
        .args(["exit", "0"]);
    drop(c.run());
    assert_eq!(fs::read_dir(&outside).expect("list").count(), 0);
    c.nothing_mounted();
}

fn create_with_terminal(c: &Container) -> crate::support::Output {
    let socket = ConsoleSocket::new(c.dir());
    c.create_with([Path::new("--console-socket"), socket.path()])
}

/// CVE-2025-52565: the terminal would be bound over a parameter, or the parameter over the console.
fn the_console_is_no_link() {
    let (c, _) = with_dev(|dev| {
        device(&dev.join("null"), 1, 3);
        symlink("/proc/sys/kernel/domainname", dev.join("console")).expect("make a link");
    });
    let c = c.set("/process/terminal", true);
    create_with_terminal(&c).fails(["process.terminal", "symbolic link"]);
    c.nothing_left();
}

/// CVE-2025-52565: a file there is covered, and neither opened nor emptied.
fn the_console_is_no_file_of_a_volume() {
    let (c, dev) = with_dev(|dev| {
        device(&dev.join("null"), 1, 3);
        fs::write(dev.join("console"), "kept").expect("write");
    });
    let c = c.set("/process/terminal", true);
    create_with_terminal(&c).quiet();
    c.delete_by_force().quiet();
    assert_eq!(fs::read_to_string(dev.join("console")).expect("read"), "kept");
}

/// CVE-2025-52565: what looks like `/dev/pts/0` is the attacker's.
fn terminals_come_from_devpts_alone() {
    let (c, _) = with_dev(|dev| {
        device(&dev.join("null"), 1, 3);
        device(&dev.join("pts/ptmx"), 5, 2);
        symlink("/proc/sys/kernel/domainname", dev.join("pts/0")).expect("make a link");
    });
    let c = c.edit(|config| drop_mount(config, "/dev/pts")).set("/process/terminal", true);
    create_with_terminal(&c).fails(["process.terminal", "devpts"]);
    c.nothing_left();
}

/// CVE-2025-52565: to open it would wait for ever.
fn ptmx_may_be_a_fifo() {
    let (c, dev) = with_dev(|dev| {
        device(&dev.join("null"), 1, 3);
        mknodat(CWD, dev.join("ptmx"), FileType::Fifo, Mode::from_raw_mode(0o666), 0).expect("make a FIFO");
    });
    let c = c.set("/process/terminal", true);
    create_with_terminal(&c).quiet();
    assert!(fs::symlink_metadata(dev.join("ptmx")).expect("stat").file_type().is_fifo());
}
