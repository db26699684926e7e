//! Mounts into a container that runs: its root is the attacker's, and changes as they like.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::{Container, Need, Output, needs};

cases![
    a_target_behind_a_link_is_not_made_outside,
    nothing_is_mounted_through_a_link_into_proc,
    nothing_is_mounted_through_a_descriptors_link,
    a_target_that_is_a_fifo_does_not_block,
    what_a_link_points_to_is_not_unmounted,
];

/// A container whose root can be written to.
fn container() -> Container {
    needs(Need::Orlop("others have no such command"));
    Container::new().args(["sleep"]).set("/root/readonly", false).up()
}

fn mounts(c: &Container, action: &str, mounts: &Value) -> Output {
    let path = c.dir().join("mounts.json");
    fs::write(&path, mounts.to_string()).expect("write the file");
    c.call("mounts").args([action, c.id()]).arg(path).run()
}

fn link(c: &Container, target: impl AsRef<Path>) {
    let link = c.rootfs().join("link");
    drop(fs::remove_file(&link));
    symlink(target, link).expect("make a link");
}

/// The mount points in the container, as its init has them.
fn targets(c: &Container) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{}/mountinfo", c.pid())).expect("read its mounts");
    text.lines().filter_map(|line| line.split(' ').nth(4).map(str::to_owned)).collect()
}

/// CVE-2019-18837, CVE-2021-30465, CVE-2024-45310.
fn a_target_behind_a_link_is_not_made_outside() {
    let c = container();
    let outside = c.dir().join("outside");
    fs::create_dir(&outside).expect("make a directory");
    for target in [outside.clone(), Path::new(&"../".repeat(40)).join(outside.strip_prefix("/").expect("absolute"))] {
        link(&c, target);
        // It is made inside.
        let tmpfs = json!([{"destination": "/link/made/here", "type": "tmpfs", "source": "tmpfs"}]);
        mounts(&c, "add", &tmpfs).quiet();
        mounts(&c, "remove", &tmpfs).quiet();
    }
    assert_eq!(fs::read_dir(&outside).expect("list").count(), 0);
    c.nothing_mounted();
}

/// CVE-2025-52881, CVE-2019-16884.
fn nothing_is_mounted_through_a_link_into_proc() {
    let c = container();
    let source = c.dir().join("source");
    fs::write(&source, "fake").expect("write");
    let before = targets(&c);
    for target in ["/proc/sys/kernel/domainname", "/proc/self/attr/exec", "/proc/1/environ"] {
        link(&c, target);
        let bind = json!([{"destination": "/link", "source": source, "options": ["bind"]}]);
        mounts(&c, "add", &bind).fails(["mounts[0]"]);
    }
    link(&c, "/proc");
    mounts(&c, "add", &json!([{"destination": "/link", "type": "tmpfs", "source": "tmpfs"}])).fails(["inside /proc"]);
    assert_eq!(targets(&c), before);
}

/// CVE-2024-21626's kin: the process that mounts has the host's directories open for a while.
fn nothing_is_mounted_through_a_descriptors_link() {
    let c = container();
    let before = targets(&c);
    for number in 3..8 {
        link(&c, format!("/proc/self/fd/{number}"));
        for target in ["/link", "/link/x"] {
            mounts(&c, "add", &json!([{"destination": target, "type": "tmpfs", "source": "tmpfs"}]))
                .fails(["mounts[0]"]);
        }
    }
    assert_eq!(targets(&c), before);
}

/// CVE-2024-45310.
fn a_target_that_is_a_fifo_does_not_block() {
    let c = container();
    let source = c.dir().join("source");
    fs::write(&source, "the file").expect("write");
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mknodat(rustix::fs::CWD, c.rootfs().join("fifo"), rustix::fs::FileType::Fifo, mode, 0).expect("mknod");
    mounts(&c, "add", &json!([{"destination": "/fifo", "source": source, "options": ["bind"]}])).quiet();
    assert_eq!(c.call("exec").args([c.id(), "/probe", "cat", "/fifo"]).run().quiet().stdout, "the file");
}

/// The container would have what hides its masked files taken away.
fn what_a_link_points_to_is_not_unmounted() {
    let c = container();
    let before = targets(&c);
    for target in ["/proc/kcore", "/proc/keys", "/dev", "/sys/firmware"] {
        link(&c, target);
        mounts(&c, "remove", &json!([{"destination": "/link"}])).fails(["mounts[0]"]);
        assert_eq!(targets(&c), before, "{target}");
    }
}
