//! Something in the place of procfs, so that what the runtime or the container reads and writes there is the attacker's.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::support::Container;
use crate::support::case::cases;
use crate::support::config::{drop_mount, drop_namespaces};

cases![
    nothing_is_mounted_over_proc,
    no_directory_is_bound_to_proc,
    no_part_of_procfs_is_bound_to_proc,
    nothing_is_mounted_through_a_link_into_proc,
    proc_is_no_symlink,
    sys_is_no_symlink,
    proc_is_not_below_a_symlink,
    proc_is_no_symlink_of_a_volume,
    proc_is_a_directory,
    a_parameter_is_not_written_to_a_file_of_the_image,
    a_parameter_is_not_written_through_a_link,
    a_parameters_name_does_not_climb,
    no_parameter_of_the_machine_is_written,
    a_masked_path_hides_what_a_link_points_to,
    a_read_only_path_that_is_a_link_stays_inside,
];

/// CVE-2019-16884: a volume at `/proc` takes the writes that were to confine the process.
fn nothing_is_mounted_over_proc() {
    for target in ["/proc", "/proc/self", "/proc/self/attr", "/proc/sys", "/proc/../proc/1"] {
        let c = Container::new().mount(json!({"destination": target, "type": "tmpfs", "source": "tmpfs"}));
        c.create().fails(["mounts[7]", "inside /proc"]);
        c.nothing_left();
    }
}

/// CVE-2019-16884, with a directory that the attacker filled.
fn no_directory_is_bound_to_proc() {
    let c = Container::new();
    let fake = c.dir().join("fake");
    fs::create_dir_all(fake.join("self/attr")).expect("make a false procfs");
    fs::write(fake.join("self/attr/exec"), "").expect("make a false attribute");
    let c = c.edit(|config| drop_mount(config, "/proc")).bind(&fake, "/proc", ["rw"]);
    c.create().fails(["/proc"]);
    assert_eq!(fs::read_to_string(fake.join("self/attr/exec")).expect("read"), "");
    c.nothing_left();
}

/// CVE-2025-52881: it is procfs, but not the whole of it, so that names in it mean something else.
fn no_part_of_procfs_is_bound_to_proc() {
    let c = Container::new().edit(|config| drop_mount(config, "/proc")).bind(Path::new("/proc/self"), "/proc", ["rw"]);
    c.create().fails(["/proc"]);
    c.nothing_left();
}

/// CVE-2025-52881: the mount's own path says nothing of `/proc`, but it ends there.
fn nothing_is_mounted_through_a_link_into_proc() {
    for (link, target) in [("/proc/sys/kernel/domainname", "file"), ("/proc/self", "directory"), ("/proc", "directory")]
    {
        let c = Container::new().symlink("/link", link);
        let fake = c.dir().join("fake");
        match target {
            "file" => fs::write(&fake, "fake").expect("make a file"),
            _ => fs::create_dir(&fake).expect("make a directory"),
        }
        let c = c.bind(&fake, "/link", ["rw"]);
        c.create().fails(["mounts[7]", "inside /proc"]);
        c.nothing_left();
    }
}

/// CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2025-54867: procfs would be mounted where the attacker can move it away.
fn proc_is_no_symlink() {
    let c = Container::new().directory("/elsewhere").symlink("/proc", "/elsewhere");
    c.create().fails(["mounts[0]", "/proc"]);
    c.nothing_left();
}

/// CVE-2025-54867: the same for sysfs.
fn sys_is_no_symlink() {
    let c = Container::new().directory("/elsewhere").symlink("/sys", "elsewhere");
    c.create().fails(["mounts[5]", "/sys"]);
    c.nothing_left();
}

/// CVE-2023-27561: a component on the way is the link.
fn proc_is_not_below_a_symlink() {
    let c = Container::new().directory("/real/proc").symlink("/link", "/real");
    let c = c.mount(json!({"destination": "/link/proc", "type": "proc", "source": "proc"}));
    c.create().fails(["mounts[7]"]);
    c.nothing_left();
}

/// CVE-2019-19921 as it was found: the link is in a volume that another container shares.
fn proc_is_no_symlink_of_a_volume() {
    let c = Container::new();
    let volume = c.dir().join("volume");
    fs::create_dir_all(volume.join("real")).expect("make the volume");
    std::os::unix::fs::symlink("real", volume.join("proc")).expect("make the link");
    let c = c.bind(&volume, "/volume", ["rw"]);
    let c = c.mount(json!({"destination": "/volume/proc", "type": "proc", "source": "proc"}));
    c.create().fails(["mounts[8]"]);
    assert_eq!(fs::read_dir(volume.join("real")).expect("list").count(), 0);
    c.nothing_left();
}

/// CVE-2019-19921: neither a link nor a directory.
fn proc_is_a_directory() {
    let c = Container::new().file("/proc", "a file");
    c.create().fails(["mounts[0]"]);
    c.nothing_left();
    assert_eq!(fs::read_to_string(c.rootfs().join("proc")).expect("read"), "a file");
}

/// CVE-2025-52881: the container has no procfs, and its image has files with the names of parameters.
fn a_parameter_is_not_written_to_a_file_of_the_image() {
    let parameter = "sys/net/ipv4/ip_forward";
    let c = Container::new()
        .file("/proc/sys/net/ipv4/ip_forward", "the image's")
        .edit(|config| drop_mount(config, "/proc"))
        .mount(json!({"destination": "/real", "type": "proc", "source": "proc"}))
        .edit(|config| config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"}))
        .set("/linux/readonlyPaths", json!([]))
        .set("/linux/maskedPaths", json!([]));
    let seen = format!("/real/{parameter}");
    assert_eq!(c.args(["cat", &seen]).run().ok().stdout, "1\n");
}

/// The same, with a link in the place of procfs.
fn a_parameter_is_not_written_through_a_link() {
    let c = Container::new();
    let outside = c.dir().join("outside");
    fs::create_dir_all(outside.join("net/ipv4")).expect("make a directory");
    fs::write(outside.join("net/ipv4/ip_forward"), "mine").expect("write");
    let c = c
        .symlink("/proc/sys", &outside.to_string_lossy())
        .edit(|config| drop_mount(config, "/proc"))
        .edit(|config| config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"}))
        .set("/linux/readonlyPaths", json!([]))
        .set("/linux/maskedPaths", json!([]))
        .args(["exit", "0"]);
    c.run().ok();
    assert_eq!(fs::read_to_string(outside.join("net/ipv4/ip_forward")).expect("read"), "mine");
}

/// CVE-2022-0811: the name passes for one of the network's, and climbs out of there.
fn a_parameters_name_does_not_climb() {
    for name in [
        "net/../kernel/domainname",
        "net.../kernel/domainname",
        "net.ipv4/../../kernel/domainname",
        "/kernel/domainname",
    ] {
        let c = Container::new().edit(|config| config["linux"]["sysctl"] = json!({name: "climbed"}));
        c.create().fails(["linux.sysctl"]);
        c.nothing_left();
    }
}

/// CVE-2022-0811, CVE-2022-0532: parameters that belong to no namespace of the container's own. Nothing is written when it is
/// refused, and what is asked for is what is there already.
fn no_parameter_of_the_machine_is_written() {
    let now = |name: &str| fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap_or_default().trim().to_owned();
    for (name, file) in [("kernel.core_pattern", "kernel/core_pattern"), ("vm.swappiness", "vm/swappiness")] {
        let value = now(file);
        let c = Container::new().edit(|config| config["linux"]["sysctl"] = json!({name: value}));
        c.create().fails(["linux.sysctl", name]);
        assert_eq!(now(file), value);
    }
    for (kind, name, file) in
        [("network", "net.ipv4.ip_forward", "net/ipv4/ip_forward"), ("ipc", "kernel.shmmni", "kernel/shmmni")]
    {
        let c = Container::new().edit(|config| {
            drop_namespaces(config, &[kind]);
            drop_mount(config, "/dev/mqueue");
            config["linux"]["sysctl"] = json!({name: now(file)});
        });
        c.create().fails(["linux.sysctl", name]);
        c.nothing_left();
    }
}

/// CVE-2025-31133's kin: a masked path that is a link hides the file that it leads to.
fn a_masked_path_hides_what_a_link_points_to() {
    let c = Container::new()
        .file("/secret", "secret")
        .symlink("/link", "/secret")
        .set("/linux/maskedPaths", json!(["/link"]))
        .args(["sequence", "cat", "/link", "--", "cat", "/secret"]);
    assert_eq!(c.run().ok().stdout, "");
}

/// A read-only path that leads out of the image is looked up inside it.
fn a_read_only_path_that_is_a_link_stays_inside() {
    let c = Container::new();
    let outside = c.dir().join("outside");
    fs::create_dir(&outside).expect("make a directory");
    let c = c
        .symlink("/link", &outside.to_string_lossy())
        .symlink("/dots", "../../../../../../../../../../etc")
        .set("/linux/readonlyPaths", json!(["/link", "/dots"]))
        .args(["exit", "0"]);
    c.run().ok();
    c.nothing_mounted();
    fs::write(outside.join("x"), "still writable").expect("write");
}
