//! A working directory, or a program, outside of the container's root (CVE-2024-21626).

use std::fs;

use serde_json::json;

use crate::support::case::cases;
use crate::support::{Call, Container};

cases![
    a_descriptor_is_no_working_directory,
    a_link_to_a_descriptor_is_no_working_directory,
    links_of_procfs_are_no_working_directory,
    a_descriptor_of_the_caller_is_no_working_directory,
    a_preserved_descriptor_is_no_way_out,
    a_program_is_not_found_through_a_descriptor,
    a_program_is_not_found_through_a_link_to_a_descriptor,
];

fn a_descriptor_is_no_working_directory() {
    for number in 3..24 {
        let c = Container::new().set("/process/cwd", format!("/proc/self/fd/{number}"));
        c.create().fails(["process.cwd"]);
        c.nothing_left();
    }
}

/// As an image's WORKDIR has it.
fn a_link_to_a_descriptor_is_no_working_directory() {
    for number in 3..12 {
        let c = Container::new().symlink("/work", &format!("/proc/self/fd/{number}"));
        let c = c.set("/process/cwd", "/work/deeper/..");
        c.create().fails(["process.cwd"]);
        c.nothing_left();
    }
}

fn links_of_procfs_are_no_working_directory() {
    for path in ["/proc/self/cwd", "/proc/self/root", "/proc/1/cwd", "/proc/1/root/.."] {
        let c = Container::new().set("/process/cwd", path);
        c.create().fails(["process.cwd"]);
        c.nothing_left();
    }
}

/// The caller left a directory of the host open, as containerd's shims did.
fn a_descriptor_of_the_caller_is_no_working_directory() {
    let c = Container::new().set("/process/cwd", "/proc/self/fd/77");
    let call = c.prepare(Call::launched(c.dir(), &["--fd", "77=/"])).arg("run").arg("--bundle").arg(c.bundle());
    call.arg(c.id()).run().fails(["process.cwd"]);
    c.nothing_left();
}

/// Even one that the container may have.
fn a_preserved_descriptor_is_no_way_out() {
    let c = Container::new().set("/process/cwd", "/proc/self/fd/3");
    let call = c.prepare(Call::launched(c.dir(), &["--fd", "3=/"])).arg("run").arg("--preserve-fds").arg("1");
    call.arg("--bundle").arg(c.bundle()).arg(c.id()).run().fails(["process.cwd"]);
    c.nothing_left();
}

fn a_program_is_not_found_through_a_descriptor() {
    for number in 3..12 {
        let c = Container::new().set(
            "/process/args",
            json!([format!("/proc/self/fd/{number}/../../../../../../../bin/sh"), "-c", "exit 0"]),
        );
        c.create().fails(["process.args[0]"]);
        c.nothing_left();
    }
}

fn a_program_is_not_found_through_a_link_to_a_descriptor() {
    let c = Container::new().symlink("/outside", "/proc/self/fd/5");
    let probe = fs::canonicalize(c.rootfs().join("probe")).expect("the probe's path");
    let c = c.set("/process/args", json!([format!("/outside{}", probe.display()), "exit", "0"]));
    c.create().fails(["process.args[0]"]);
    c.nothing_left();
}
