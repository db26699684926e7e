//! The attacks of the other files, made on a process that joins a container which is the attacker's already.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::dev::{device, with_dev};
use crate::support::case::cases;
use crate::support::config::{drop_mount, drop_namespaces};
use crate::support::{Call, ConsoleSocket, Container, Lane, Output};

cases![
    a_descriptor_is_no_working_directory,
    a_link_made_meanwhile_is_no_working_directory,
    a_preserved_descriptor_is_no_working_directory,
    a_process_file_leads_no_way_out,
    the_program_is_not_the_runtime,
    a_program_is_not_found_through_a_descriptor,
    a_user_is_the_number_that_was_given,
    a_numeric_name_in_passwd_means_nothing,
    a_user_gains_nothing_by_a_capability,
    the_callers_groups_and_capabilities_do_not_arrive,
    a_file_called_null_takes_no_stream,
    terminals_come_from_devpts_alone,
];

/// `exec OPTIONS ID WORDS`.
fn exec(c: &Container, options: &[&str], words: &[&str]) -> Output {
    c.call("exec").args(options).arg(c.id()).args(words).run()
}

/// It failed, for that reason, and nothing came of it.
fn refused(output: &Output, text: &str) {
    assert!(output.code.is_some_and(|code| code != 0) && output.stdout.is_empty(), "{}", output.stdout);
    assert!(Lane::get().kind().is("crun") || output.message().contains(text), "{}", output.message());
}

fn report(c: &Container, options: &[&str]) -> Value {
    exec(c, options, &["/probe", "report"]).ok().report()
}

/// Where the attacks by way of `/proc/self` have a chance: in the procfs of a pid namespace of its own, a process that
/// is about to join doesn't find itself, and every such path ends there.
fn in_the_hosts_pid_namespace() -> Container {
    Container::new().args(["sleep"]).edit(|config| drop_namespaces(config, &["pid"]))
}

/// What a descriptor of the process may be: its own first ones, and one that the caller left open at the host's root.
const DESCRIPTORS: [u32; 7] = [3, 4, 5, 6, 7, 8, 77];

/// `exec OPTIONS ID WORDS` by a caller that left the host's root open as 77.
fn exec_beside_the_root(c: &Container, options: &[&str], words: &[&str]) -> Output {
    let call = c.prepare(Call::launched(c.dir(), &["--fd", "77=/"])).arg("exec");
    call.args(options).arg(c.id()).args(words).run()
}

/// CVE-2024-21626.
fn a_descriptor_is_no_working_directory() {
    let c = in_the_hosts_pid_namespace().up();
    for number in DESCRIPTORS {
        let path = format!("/proc/self/fd/{number}");
        refused(&exec_beside_the_root(&c, &["--cwd", &path], &["/probe", "report"]), "cwd");
    }
    for path in ["/proc/self/cwd", "/proc/self/root", "/proc/thread-self/root/.."] {
        refused(&exec(&c, &["--cwd", path], &["/probe", "report"]), "cwd");
    }
}

/// CVE-2024-21626: the caller names an ordinary directory, and the container has made something else of it.
fn a_link_made_meanwhile_is_no_working_directory() {
    let c = in_the_hosts_pid_namespace().directory("/work").up();
    assert_eq!(report(&c, &["--cwd", "/work"])["cwd"], "/work");
    let work = c.rootfs().join("work");
    fs::remove_dir(&work).expect("remove the directory");
    for number in DESCRIPTORS {
        std::os::unix::fs::symlink(format!("/proc/self/fd/{number}"), &work).expect("make a link");
        refused(&exec_beside_the_root(&c, &["--cwd", "/work"], &["/probe", "report"]), "cwd");
        fs::remove_file(&work).expect("remove the link");
    }
}

/// CVE-2024-21626: even one that the process may have.
fn a_preserved_descriptor_is_no_working_directory() {
    let c = in_the_hosts_pid_namespace().up();
    let call = c.prepare(Call::launched(c.dir(), &["--fd", "3=/"])).args(["exec", "--preserve-fds", "1"]);
    refused(&call.args(["--cwd", "/proc/self/fd/3", c.id(), "/probe", "report"]).run(), "cwd");
}

/// CVE-2024-21626, by the other form of the command.
fn a_process_file_leads_no_way_out() {
    let c = in_the_hosts_pid_namespace().up();
    let file = c.dir().join("process.json");
    let program = format!("/proc/self/fd/77{}", Lane::get().probe().display());
    for (cwd, program) in [("/proc/self/fd/77", "/probe"), ("/", "/proc/self/exe"), ("/", &program)] {
        let process = json!({"cwd": cwd, "args": [program, "report"], "user": {"uid": 0, "gid": 0}});
        fs::write(&file, process.to_string()).expect("write the process file");
        let file = file.to_str().expect("a path of text");
        refused(&exec_beside_the_root(&c, &["--process", file], &[]), "process.");
    }
}

/// CVE-2019-5736: the container waits for the next `exec` of what it has made a link to the runtime.
fn the_program_is_not_the_runtime() {
    let c = in_the_hosts_pid_namespace().symlink("/bin/sh", "/proc/self/exe").up();
    for program in ["/proc/self/exe", "/proc/thread-self/exe", "/bin/sh", "sh"] {
        refused(&exec(&c, &[], &[program, "--version"]), "exec");
    }
}

/// CVE-2024-21626: a program of the host, which could be overwritten from inside, or do its work there.
fn a_program_is_not_found_through_a_descriptor() {
    let c = in_the_hosts_pid_namespace().symlink("/outside", "/proc/self/fd/77").up();
    let probe = Lane::get().probe().display();
    for number in DESCRIPTORS {
        let path = format!("/proc/self/fd/{number}/../../../../../../../..{probe}");
        refused(&exec_beside_the_root(&c, &[], &[&path, "report"]), "stat /");
    }
    refused(&exec_beside_the_root(&c, &[], &[&format!("/outside{probe}"), "report"]), "stat /");
}

/// CVE-2026-30892: a user id of one digit was taken for root's. And CVE-2024-40635: one too large is not another.
fn a_user_is_the_number_that_was_given() {
    let c = Container::new().args(["sleep"]).set("/process/user", json!({"uid": 5, "gid": 6})).up();
    for (user, uid, gid) in
        [("1", 1, 6), ("1:2", 1, 2), ("0", 0, 6), ("0:1", 0, 1), ("65534", 65534, 6), ("010", 10, 6)]
    {
        let report = report(&c, &["--user", user]);
        assert_eq!((&report["uid"]["real"], &report["gid"]["real"]), (&json!(uid), &json!(gid)), "{user}");
        assert_eq!((&report["uid"]["saved"], &report["gid"]["fs"]), (&json!(uid), &json!(gid)), "{user}");
    }
    let wrong = [
        "1x",
        "x1",
        ":",
        "1:",
        ":1",
        "-1",
        "0x10",
        " 1",
        "1 ",
        "1:2:3",
        "4294967295",
        "4294967296",
        "1:4294967295",
        "root",
    ];
    for user in wrong {
        let output = exec(&c, &[&format!("--user={user}")], &["/probe", "report"]);
        assert!(output.code != Some(0) && output.stdout.is_empty(), "{user:?} was taken for a user: {}", output.stdout);
    }
}

/// CVE-2016-3697.
fn a_numeric_name_in_passwd_means_nothing() {
    let passwd = "1000:x:0:0::/stolen:/bin/sh\n";
    let c = Container::new().args(["sleep"]).file("/etc/passwd", passwd).set("/process/user/gid", 7).up();
    let report = report(&c, &["--user", "1000"]);
    assert_eq!((&report["uid"]["effective"], &report["gid"]["effective"]), (&json!(1000), &json!(7)));
    assert!(!report["env"].to_string().contains("/stolen"), "{}", report["env"]);
}

/// CVE-2016-8867, CVE-2022-29162, CVE-2018-10856, CVE-2021-20188: what is added to the sets is root's to use, and no
/// other user's.
fn a_user_gains_nothing_by_a_capability() {
    let c = Container::sleeping();
    let sets = report(&c, &["--user", "1000", "--cap", "CAP_NET_RAW"])["capabilities"].clone();
    for set in ["inheritable", "permitted", "effective", "ambient"] {
        assert_eq!(sets[set], json!([]), "{set}");
    }
    assert!(sets["bounding"].to_string().contains("CAP_NET_RAW"), "{sets}");
}

/// CVE-2022-2989, CVE-2022-2990, CVE-2022-2995, CVE-2023-25173, and CVE-2022-29162 once more.
fn the_callers_groups_and_capabilities_do_not_arrive() {
    let c = Container::new().args(["sleep"]).set("/process/user/additionalGids", json!([7])).up();
    let caller = ["--groups", "4242,4243", "--inheritable", "CAP_CHOWN"];
    let call = c.prepare(Call::launched(c.dir(), &caller)).args(["exec", c.id(), "/probe", "report"]);
    let report = call.run().ok().report();
    assert_eq!(report["groups"], json!([7]));
    let sets = &report["capabilities"];
    assert_eq!((&sets["inheritable"], &sets["ambient"]), (&json!([]), &json!([])));
    assert_eq!(sets["bounding"], json!(["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"]));
}

/// CVE-2025-31133's kin: a running container exchanges its null device, and a stream of the caller's would become that
/// file.
fn a_file_called_null_takes_no_stream() {
    let (c, dev) = with_dev(|dev| device(&dev.join("null"), 1, 3));
    let c = c.args(["sleep"]).up();
    assert_eq!(exec(&c, &[], &["/probe", "cat", "-"]).ok().stdout, "");
    let null = dev.join("null");
    fs::remove_file(&null).expect("remove the device");
    fs::write(&null, "the attacker's").expect("write a file");
    assert_eq!(exec(&c, &[], &["/probe", "cat", "-"]).ok().stdout, "");
    fs::remove_file(&null).expect("remove the file");
    std::os::unix::fs::symlink("/proc/sys/kernel/ostype", &null).expect("make a link");
    assert_eq!(exec(&c, &[], &["/probe", "cat", "-"]).ok().stdout, "");
}

/// CVE-2025-52565: the terminal would be what the container has put in the place of its devpts.
fn terminals_come_from_devpts_alone() {
    let (c, _) = with_dev(|dev| {
        device(&dev.join("null"), 1, 3);
        device(&dev.join("pts/ptmx"), 5, 2);
        std::os::unix::fs::symlink("/proc/sys/kernel/domainname", dev.join("pts/0")).expect("make a link");
    });
    let c = c.edit(|config| drop_mount(config, "/dev/pts")).args(["sleep"]).up();
    let socket = ConsoleSocket::new(c.dir());
    let call = c.call("exec").args([Path::new("--detach"), Path::new("--tty"), Path::new("--console-socket")]);
    refused(&call.arg(socket.path()).args([c.id(), "/probe", "report"]).run(), "devpts");
}
