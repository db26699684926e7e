//! The runtime's own executable, reached and written through a process of its own (CVE-2019-5736).
//!
//! Each case works on a copy, which nobody else runs: a file that is being executed can't be written to anyway, and one that
//! an attack did overwrite must not be the suite's.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, fstat};
use rustix::mount::{MountFlags, mount_remount};
use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::config::join_namespace;
use crate::support::{Call, Container, HostMount, Lane, Need, needs, until};

cases![
    a_created_init_runs_from_a_file_that_cannot_be_written,
    a_file_on_a_read_only_mount_stays_so_for_the_container,
    an_exec_runs_from_a_file_that_cannot_be_written,
    a_neighbour_that_may_trace_cannot_write_it,
    a_neighbour_that_may_not_trace_cannot_open_it,
    the_program_is_not_the_runtime,
    the_program_is_no_link_to_the_runtime,
    an_id_that_is_a_command_does_no_harm,
];

/// The runtime under test, once more.
fn copy(c: &Container) -> PathBuf {
    let copy = c.dir().join("runtime");
    copy_to(c, &copy);
    copy
}

/// By another process: what this one has open for writing, the programs that other cases start at that moment have too.
fn copy_to(c: &Container, path: &Path) {
    Call::new(c.dir(), "cp").arg(Lane::get().runtime()).arg(path).run().ok();
}

fn contents(path: &PathBuf) -> Vec<u8> {
    fs::read(path).expect("read the copy")
}

fn call(c: &Container, runtime: &PathBuf, command: &str) -> Call {
    let call = c.prepare(Call::new(c.dir(), runtime)).arg(command);
    let bundled = matches!(command, "create" | "run");
    if bundled { call.arg("--bundle").arg(c.bundle()).arg("--pid-file").arg(c.dir().join("pid")) } else { call }
}

/// The attack's steps: open the executable of a runtime's process for reading, wait until nobody executes it any more,
/// and open that descriptor once more for writing.
fn a_created_init_runs_from_a_file_that_cannot_be_written() {
    let c = Container::new();
    let runtime = copy(&c);
    let before = contents(&runtime);
    call(&c, &runtime, "create").arg(c.id()).run().ok();
    let executable = File::open(format!("/proc/{}/exe", c.pid())).expect("open the init's executable");
    call(&c, &runtime, "delete").arg("--force").arg(c.id()).run().ok();
    let again = fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{}", executable.as_raw_fd()));
    let refused = again.expect_err("the executable was opened for writing").kind();
    assert!(matches!(refused, ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied), "{refused}");
    assert!(contents(&runtime) == before);
    // What the test can do to the file itself, so that the refusal above says something.
    fs::OpenOptions::new().write(true).open(&runtime).expect("the copy itself can be written");
    assert_eq!(FileType::from_raw_mode(fstat(&executable).expect("fstat").st_mode), FileType::RegularFile);
}

/// Systems whose programs are on a read-only mount make that writable for an update.
fn a_file_on_a_read_only_mount_stays_so_for_the_container() {
    let c = Container::new();
    let programs = HostMount::new();
    let runtime = programs.path().join("runtime");
    copy_to(&c, &runtime);
    let remount = |flags| mount_remount(programs.path(), MountFlags::BIND | MountFlags::NOSUID | flags, "");
    remount(MountFlags::RDONLY).expect("make the mount read-only");
    call(&c, &runtime, "create").arg(c.id()).run().ok();
    let executable = File::open(format!("/proc/{}/exe", c.pid())).expect("open the init's executable");
    call(&c, &runtime, "delete").arg("--force").arg(c.id()).run().ok();
    remount(MountFlags::empty()).expect("make the mount writable");
    fs::OpenOptions::new().write(true).open(&runtime).expect("the copy itself can be written");
    let again = fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{}", executable.as_raw_fd()));
    let refused = again.expect_err("the executable was opened for writing").kind();
    assert!(matches!(refused, ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied), "{refused}");
}

/// The process that joins a container is a clone of this one, and executes the same file.
fn an_exec_runs_from_a_file_that_cannot_be_written() {
    needs(Need::Not("runc", "its process that joins executes another file than its caller does"));
    let c = Container::sleeping();
    let runtime = copy(&c);
    let running = call(&c, &runtime, "exec").args([c.id(), "/probe", "sleep"]).spawn();
    running.wait_for("ready");
    let executable = File::open(format!("/proc/{}/exe", running.pid())).expect("open the runtime's executable");
    running.signal(rustix::process::Signal::TERM);
    running.wait().exits(128 + 15);
    let again = fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{}", executable.as_raw_fd()));
    let refused = again.expect_err("the executable was opened for writing").kind();
    assert!(matches!(refused, ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied), "{refused}");
}

/// From inside: a container with these capabilities keeps the executable of an init that shares its pid namespace,
/// until nobody executes it any more. Returns what it printed.
fn kept_by_a_neighbour(capabilities: &[&str]) -> String {
    let sets = json!({"bounding": capabilities, "effective": capabilities, "permitted": capabilities});
    let attacker = Container::new().args(["sleep"]).set("/process/capabilities", sets).up();
    let c = Container::beside(&attacker)
        .edit(|config| join_namespace(config, "pid", &format!("/proc/{}/ns/pid", attacker.pid())));
    let runtime = copy(&c);
    call(&c, &runtime, "create").arg(c.id()).run().ok();
    let status = fs::read_to_string(format!("/proc/{}/status", c.pid())).expect("read the init's status");
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).expect("its pids");
    let pid = pids.split_whitespace().next_back().expect("the pid in there");
    let attack = attacker.call("exec").args([attacker.id(), "/probe", "keep-exe", pid]).spawn();
    // It is kept now, or was refused.
    until("the attack's first step", || attack.stdout().contains('\n').then_some(()));
    call(&c, &runtime, "delete").arg("--force").arg(c.id()).run().ok();
    attack.signal(rustix::process::Signal::TERM);
    fs::OpenOptions::new().write(true).open(&runtime).expect("nobody executes the copy any more");
    attack.wait().ok().stdout
}

fn a_neighbour_that_may_trace_cannot_write_it() {
    assert_eq!(kept_by_a_neighbour(&["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"]), "kept\nEROFS\n");
}

fn a_neighbour_that_may_not_trace_cannot_open_it() {
    assert_eq!(kept_by_a_neighbour(&["CAP_DAC_OVERRIDE", "CAP_KILL"]), "EACCES\n");
}

fn the_program_is_not_the_runtime() {
    for path in ["/proc/self/exe", "/proc/1/exe", "/proc/thread-self/exe"] {
        let c = Container::new().set("/process/args", json!([path, "--version"]));
        c.create().fails(["process.args[0]"]);
        c.nothing_left();
    }
}

fn the_program_is_no_link_to_the_runtime() {
    let c = Container::new().symlink("/bin/sh", "/proc/self/exe").set("/process/args", json!(["sh", "-c", "exit 0"]));
    c.create().fails(["process.args[0]"]);
    c.nothing_left();
}

/// A container called `create` makes the program look at itself once more than it has to, and no more.
fn an_id_that_is_a_command_does_no_harm() {
    needs(Need::Orlop("it looks for commands before it knows the command line"));
    let c = Container::new();
    let listed = c.prepare(Call::runtime(c.dir())).args(["state", "create"]).run();
    listed.fails(["does not exist"]);
    let features: Value = c.prepare(Call::runtime(c.dir())).args(["--root", "run", "features"]).run().quiet().json();
    assert!(features["ociVersionMax"].is_string());
}
