//! `checkpoint` and `restore`, through the machine's CRIU: a process that counts is written to files, and goes on counting.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use serde_json::json;

use crate::support::case::cases;
use crate::support::config::{drop_namespaces, join_namespace};
use crate::support::wait::readable;
use crate::support::{Call, ConsoleSocket, Container, Exit, Lane, Need, Output, needs, until};

cases![
    a_counting_process_goes_on_where_it_was,
    it_may_be_left_running,
    a_checkpoint_can_build_on_an_earlier_one,
    without_tracking_there_is_no_earlier_one,
    an_earlier_one_has_to_be_there_and_relative,
    only_a_running_container_is_written,
    a_paused_container_is_written_too,
    a_restored_container_is_one_like_any_other,
    a_container_is_restored_elsewhere,
    mount_points_are_made_inside_the_root,
    a_terminal_goes_to_the_console_socket,
    pipes_are_connected_again,
    a_joined_network_is_left_alone,
    a_joined_network_that_is_gone_is_named,
    the_hosts_cgroups_are_there_again,
    a_user_namespace_is_refused_while_the_container_lives,
    hooks_run_at_their_points,
    a_hook_that_fails_ends_the_restore,
    limits_are_the_new_configs,
    device_rules_are_the_new_configs,
    limits_of_the_checkpoint_do_not_stay,
    systemd_makes_the_scope_of_a_restored_container,
    containerd_restores,
    a_foreground_restore_returns_the_code,
    the_foreground_has_the_terminal,
    the_current_directory_has_the_checkpoint,
    the_work_directory_has_the_log,
    a_directory_without_a_checkpoint_is_named,
    what_criu_says_is_quoted,
    an_id_in_use_is_refused,
    a_status_descriptor_has_to_be_writable,
    a_configuration_file_is_passed_on,
    without_criu_the_error_says_the_way_out,
    podman_finds_what_it_asks_for,
];

/// A container that counts into a file of the host.
pub(crate) fn counting() -> Container {
    needs(Need::Program("criu"));
    let c = Container::new();
    let out = c.dir().join("out");
    fs::create_dir(&out).expect("make a directory");
    c.args(["count", "/out/count"]).directory("/out").bind(&out, "/out", ["rw"])
}

/// Started, and counting.
pub(crate) fn up(c: Container) -> Container {
    c.create().ok();
    c.start().ok();
    counts_beyond(&c, 0);
    c
}

/// The last number that it wrote.
fn count(c: &Container) -> u64 {
    numbers(c).last().copied().unwrap_or(0)
}

fn numbers(c: &Container) -> Vec<u64> {
    let text = fs::read_to_string(c.dir().join("out/count")).unwrap_or_default();
    // The last line may not be whole.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| line.parse().expect("a number")).collect()
}

pub(crate) fn counts_beyond(c: &Container, number: u64) {
    until("the counting", || (count(c) > number).then_some(()));
}

/// Written to files, and gone.
pub(crate) fn written(c: &Container) -> u64 {
    let pid = c.pid();
    c.checkpoint_with([""; 0]).quiet();
    crate::support::container::wait_exit(pid);
    c.nothing_left();
    count(c)
}

/// A directory that looks like a checkpoint's, for what is refused before it is read.
pub(crate) fn nothing_written(c: &Container) {
    fs::create_dir(c.images()).expect("make a directory");
    fs::write(c.images().join("descriptors.json"), "[]").expect("write");
}

fn restore(c: &Container) -> Output {
    c.restore_with(&c.images(), [""; 0])
}

fn a_counting_process_goes_on_where_it_was() {
    let c = up(counting());
    let before = written(&c);
    c.state_fails();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(count(&c), before, "it still counts");
    restore(&c).quiet();
    assert_eq!(c.status(), "running");
    counts_beyond(&c, before + 5);
    let all = numbers(&c);
    assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>(), "it goes on with the next number");
    c.kill("KILL").quiet();
    assert_eq!(c.wait_exit(), Exit::Signal(9));
    c.delete().quiet();
    c.nothing_left();
}

fn it_may_be_left_running() {
    let c = up(counting());
    c.checkpoint_with(["--leave-running"]).quiet();
    assert_eq!(c.status(), "running");
    counts_beyond(&c, count(&c));
    assert!(c.images().join("inventory.img").is_file());
}

fn a_checkpoint_can_build_on_an_earlier_one() {
    needs(Need::CriuFeature("mem_dirty_track"));
    let c = up(counting());
    let earlier = c.dir().join("earlier");
    let call = c.call("checkpoint").arg("--pre-dump").arg("--image-path").arg(&earlier).arg(c.id());
    call.run().quiet();
    assert_eq!(c.status(), "running");
    counts_beyond(&c, count(&c));
    let pid = c.pid();
    c.checkpoint_with(["--parent-path", "../earlier"]).quiet();
    crate::support::container::wait_exit(pid);
    assert_eq!(fs::read_link(c.images().join("parent")).expect("a link"), Path::new("../earlier"));
    let before = count(&c);
    // The flag that engines send along says what the files say.
    c.restore_with(&c.images(), ["--parent-path", "../earlier"]).quiet();
    counts_beyond(&c, before);
}

/// A kernel that can't tell what changed would have all memory written each time.
fn without_tracking_there_is_no_earlier_one() {
    let c = up(counting());
    let can = Call::new(c.dir(), "criu").args(["check", "--feature", "mem_dirty_track"]).run().code == Some(0);
    let output = c.checkpoint_with(["--pre-dump"]);
    if can {
        output.quiet();
    } else {
        output.fails(["criu dump: this kernel or CRIU can't tell which memory changed"]);
    }
    counts_beyond(&c, count(&c));
}

fn an_earlier_one_has_to_be_there_and_relative() {
    let c = up(counting());
    c.checkpoint_with(["--parent-path", "/tmp"]).fails(["--parent-path must be relative"]);
    c.checkpoint_with(["--parent-path", "../none"]).fails(["invalid --parent-path: open: no such file or directory"]);
    fs::write(c.dir().join("file"), "").expect("write");
    c.checkpoint_with(["--parent-path", "../file"]).fails(["invalid --parent-path: open: not a directory"]);
    assert_eq!(c.status(), "running");
}

fn only_a_running_container_is_written() {
    needs(Need::Program("criu"));
    let c = Container::new().args(["exit", "0"]);
    c.checkpoint_with([""; 0]).fails(["container does not exist"]);
    c.create().ok();
    c.checkpoint_with([""; 0]).fails(["Container cannot be checkpointed in created state"]);
    c.start().ok();
    c.wait_dead();
    c.checkpoint_with([""; 0]).fails(["Container cannot be checkpointed in stopped state"]);
    c.wait_exit();
}

fn a_paused_container_is_written_too() {
    let c = up(counting());
    c.call("pause").arg(c.id()).run().quiet();
    let before = written(&c);
    restore(&c).quiet();
    counts_beyond(&c, before);
}

fn a_restored_container_is_one_like_any_other() {
    let c = up(counting().unset("/process/noNewPrivileges"));
    written(&c);
    restore(&c).quiet();
    let state = c.state();
    assert_eq!(state["pid"], c.pid());
    assert_eq!(state["bundle"], c.bundle().to_str().expect("text"));
    let pids: Vec<i32> =
        serde_json::from_value(c.call("ps").args(["--format", "json"]).arg(c.id()).run().quiet().json()).expect("pids");
    assert_eq!(pids, [c.pid()]);
    let report = c.call("exec").arg(c.id()).args(["/probe", "report"]).run().ok().report();
    assert_eq!(report["hostname"], "orlop-test");
    c.call("pause").arg(c.id()).run().quiet();
    assert_eq!(c.status(), "paused");
    c.call("resume").arg(c.id()).run().quiet();
    // What was restored can be written again.
    let before = written(&c);
    restore(&c).quiet();
    counts_beyond(&c, before);
}

/// Another bundle, id, cgroup and state root, and a root file system in which nothing was ever mounted.
fn a_container_is_restored_elsewhere() {
    let c = up(counting().bind(Path::new("/etc/hostname"), "/etc/hostname", ["ro"]));
    let before = written(&c);
    let out = c.dir().join("out");
    let other = Container::new().args(["count", "/out/count"]).bind(&out, "/out", ["rw"]);
    let other = other.bind(Path::new("/etc/hostname"), "/etc/hostname", ["ro"]);
    other.restore_with(&c.images(), [""; 0]).quiet();
    counts_beyond(&c, before);
    assert!(fs::read_to_string(format!("/proc/{}/cgroup", other.pid())).expect("read").contains(other.id()));
    let words = ["/probe", "sequence", "try-open-write", "/etc/hostname", "--", "cat", "/etc/hostname"];
    let seen = other.call("exec").arg(other.id()).args(words).run().ok().stdout;
    assert_eq!(seen, format!("EROFS\n{}", fs::read_to_string("/etc/hostname").expect("read")));
    other.nothing_mounted();
}

/// The root is the image's, whose links lead where they like.
fn mount_points_are_made_inside_the_root() {
    let c = counting();
    let outside = c.dir().join("outside");
    fs::create_dir(&outside).expect("make a directory");
    let bound = c.dir().join("out");
    let c = up(c.directory("/inner").symlink("/leads", "/inner").bind(&bound, "/leads/deep/er", ["rw"]));
    let before = written(&c);
    let other = Container::new().args(["count", "/out/count"]).bind(&bound, "/out", ["rw"]).directory("/inner");
    let outside_text = outside.to_str().expect("text");
    let other = other.symlink("/leads", outside_text).bind(&bound, "/leads/deep/er", ["rw"]);
    // The checkpoint has it at /inner, where the link led then.
    let output = other.restore_with(&c.images(), [""; 0]);
    assert_eq!(fs::read_dir(&outside).expect("list").count(), 0, "something was made outside");
    output.fails(["criu restore: ", "/inner/deep/er: No such file or directory"]);
    other.nothing_left();
    restore(&c).quiet();
    counts_beyond(&c, before);
}

fn a_terminal_goes_to_the_console_socket() {
    needs(Need::Program("criu"));
    let c = Container::new().args(["echo-line"]).set("/process/terminal", true);
    let socket = ConsoleSocket::new(c.dir());
    let option = [Path::new("--console-socket"), socket.path()];
    c.create_with(option).ok();
    let (mut before, _) = socket.receive();
    c.start().ok();
    before.wait_for("ready");
    let pid = c.pid();
    c.checkpoint_with([""; 0]).quiet();
    crate::support::container::wait_exit(pid);
    restore(&c).fails(["process.terminal: cannot allocate tty"]);
    c.restore_with(&c.images(), option).quiet();
    let (mut after, _) = socket.receive();
    after.type_text("more\n");
    after.wait_for("got more");
    assert_eq!(c.wait_exit(), Exit::Code(0));
}

/// Standard output is somebody else's pipe, another one after the restore.
fn pipes_are_connected_again() {
    needs(Need::Program("criu"));
    let c = Container::new().args(["count", "-"]);
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    c.create_call([""; 0]).spawn_into(writer).wait().ok();
    c.start().ok();
    let before = last_number(&reader);
    c.checkpoint_with(["--leave-running"]).quiet();
    c.kill("KILL").ok();
    c.wait_exit();
    c.delete().ok();
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    let call = c.call("restore").arg("--detach").arg("--image-path").arg(c.images()).arg("--bundle").arg(c.bundle());
    call.arg("--pid-file").arg(c.dir().join("pid")).arg(c.id()).spawn_into(writer).wait().ok();
    assert!(last_number(&reader) > before, "it doesn't go on");
}

fn last_number(pipe: &OwnedFd) -> u64 {
    let mut buffer = [0; 4096];
    let mut text = String::new();
    while text.lines().count() < 3 {
        assert!(readable(pipe.as_fd(), crate::support::wait::deadline()), "nothing came: {text:?}");
        let length = rustix::io::read(pipe, &mut buffer).expect("read");
        assert!(length > 0, "the other end is closed: {text:?}");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    text.lines().next().expect("a line").parse().unwrap_or(0)
}

fn a_joined_network_is_left_alone() {
    needs(Need::Program("criu"));
    let other = Container::sleeping();
    let path = format!("/proc/{}/ns/net", other.pid());
    let c = up(counting().edit(|config| join_namespace(config, "network", &path)));
    let inode = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/net")).expect("a namespace");
    let network_of_it = inode(c.pid());
    let before = written(&c);
    restore(&c).quiet();
    counts_beyond(&c, before);
    assert_eq!(inode(c.pid()), network_of_it);
}

fn a_joined_network_that_is_gone_is_named() {
    needs(Need::Program("criu"));
    let other = Container::sleeping();
    let path = format!("/proc/{}/ns/net", other.pid());
    let c = up(counting().edit(|config| join_namespace(config, "network", &path)));
    written(&c);
    let c = c.edit(|config| join_namespace(config, "network", "/nowhere"));
    restore(&c).fails(["linux.namespaces[5].path: /nowhere: open: no such file or directory"]);
    c.nothing_left();
}

/// Without a cgroup namespace the container has the machine's hierarchy to look at.
fn the_hosts_cgroups_are_there_again() {
    let c = up(counting().edit(|config| drop_namespaces(config, &["cgroup"])));
    let before = written(&c);
    restore(&c).quiet();
    counts_beyond(&c, before);
    let path = format!("/sys/fs/cgroup{}/cgroup.procs", Lane::cgroup(c.id()));
    let seen = c.call("exec").arg(c.id()).args(["/probe", "cat", &path]).run().ok().stdout;
    assert!(seen.lines().any(|pid| pid == "1"), "{seen}");
}

/// CRIU 4.1 makes checkpoints of these that it can't restore.
fn a_user_namespace_is_refused_while_the_container_lives() {
    let c = counting();
    let out = c.dir().join("out");
    std::os::unix::fs::chown(&out, Some(100_000), Some(100_000)).expect("chown");
    let c = up(c.user_namespace(100_000, 1000));
    c.checkpoint_with([""; 0]).fails(["linux.namespaces: CRIU can't restore a container that has a user namespace"]);
    assert_eq!(c.status(), "running");
    let other = Container::new().user_namespace(100_000, 1000);
    nothing_written(&other);
    restore(&other).fails(["linux.namespaces: CRIU can't restore a container that has a user"]);
}

fn hooks_run_at_their_points() {
    let c = counting().hook("prestart", &[]).hook("createRuntime", &[]).hook("poststop", &[]);
    let c = up(c.hook("createContainer", &[]).hook("poststart", &[]));
    let before = written(&c);
    assert_eq!(c.hook_order(), ["prestart", "createRuntime", "createContainer", "poststart", "poststop"]);
    restore(&c).quiet();
    counts_beyond(&c, before);
    let hooks = c.hooks();
    assert_eq!(c.hook_order()[5..], ["prestart", "createRuntime"]);
    assert_eq!(hooks[5]["state"]["status"], "creating");
    assert_eq!(hooks[5]["state"]["pid"], c.pid());
    c.delete_by_force().quiet();
    assert_eq!(c.hook_order()[7..], ["poststop"]);
    c.wait_exit();
}

fn a_hook_that_fails_ends_the_restore() {
    let c = up(counting());
    written(&c);
    let c = c.hook("createRuntime", &["--exit", "3", "--print", "because"]);
    restore(&c).fails(["hooks.createRuntime[0]: ", "exit status: 3", "because"]);
    c.nothing_left();
}

fn limits_are_the_new_configs() {
    needs(Need::Controller("pids"));
    let c = up(counting().set("/linux/resources/pids", json!({"limit": 77})));
    written(&c);
    let c = c.set("/linux/resources/pids", json!({"limit": 55}));
    restore(&c).quiet();
    assert_eq!(fs::read_to_string(c.cgroup_dir().join("pids.max")).expect("read"), "55\n");
    let table = fs::read_to_string(format!("/proc/{}/cgroup", c.pid())).expect("read");
    assert!(table.contains(&Lane::cgroup(c.id())), "{table}");
}

fn device_rules_are_the_new_configs() {
    let fuse = json!({"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666});
    let rule = |allow: bool| json!({"allow": allow, "type": "c", "major": 10, "minor": 229, "access": "rwm"});
    let c = counting().set("/linux/devices", json!([fuse])).set("/linux/resources/devices/-", rule(true));
    let opened =
        |c: &Container| c.call("exec").arg(c.id()).args(["/probe", "try-open-read", "/dev/fuse"]).run().ok().stdout;
    let c = up(c);
    assert_ne!(opened(&c), "EPERM\n");
    written(&c);
    let c = c.set("/linux/resources/devices/1", rule(false));
    restore(&c).quiet();
    assert_eq!(opened(&c), "EPERM\n");
}

/// `full` has CRIU set what the checkpoint's cgroup had.
fn limits_of_the_checkpoint_do_not_stay() {
    needs(Need::Controller("pids"));
    let c = up(counting().set("/linux/resources/pids", json!({"limit": 77})));
    let pid = c.pid();
    c.checkpoint_with(["--manage-cgroups-mode", "full"]).quiet();
    crate::support::container::wait_exit(pid);
    let c = c.set("/linux/resources/pids", json!({"limit": 55}));
    c.restore_with(&c.images(), ["--manage-cgroups-mode", "full"]).quiet();
    assert_eq!(fs::read_to_string(c.cgroup_dir().join("pids.max")).expect("read"), "55\n");
    c.checkpoint_with(["--manage-cgroups-mode", "some"]).fails(["Invalid manage-cgroups-mode value"]);
}

fn systemd_makes_the_scope_of_a_restored_container() {
    needs(Need::Systemd);
    let c = counting();
    let path = format!(":test:{}", c.id());
    let c = c.set("/linux/cgroupsPath", path);
    let driven = |command: &str| c.prepare(Call::runtime(c.dir())).arg("--systemd-cgroup").arg(command);
    let create = driven("create").arg("--bundle").arg(c.bundle()).arg("--pid-file").arg(c.dir().join("pid"));
    create.arg(c.id()).run().ok();
    c.start().ok();
    counts_beyond(&c, 0);
    let before = written(&c);
    let call = driven("restore").arg("--detach").arg("--bundle").arg(c.bundle()).arg("--image-path").arg(c.images());
    call.arg("--pid-file").arg(c.dir().join("pid")).arg(c.id()).run().quiet();
    counts_beyond(&c, before);
    let unit = format!("test-{}.scope", c.id());
    let table = fs::read_to_string(format!("/proc/{}/cgroup", c.pid())).expect("read");
    assert!(table.contains(&format!("/system.slice/{unit}")), "{table}");
    c.delete_by_force().quiet();
    c.wait_exit();
    let active = Call::new(c.dir(), "systemctl").args(["is-active", &unit]).run();
    assert_eq!(active.stdout, "inactive\n");
}

/// The line that the shim sends, by the names that it has.
fn containerd_restores() {
    let c = up(counting());
    let pid = c.pid();
    let work = c.dir().join("work");
    let call = c.call("checkpoint").arg("--image-path").arg(c.images()).arg("--work-path").arg(&work);
    call.arg("--empty-ns").arg("network").arg(c.id()).run().quiet();
    crate::support::container::wait_exit(pid);
    let before = count(&c);
    let call = c.call("restore").arg("--image-path").arg(c.images()).arg("--work-path").arg(&work).arg("--detach");
    let call = call.arg("--pid-file").arg(c.dir().join("pid")).args(["--no-pivot", "-no-subreaper", "--bundle"]);
    call.arg(c.bundle()).arg(c.id()).run().quiet();
    counts_beyond(&c, before);
    assert!(work.join("dump.log").is_file() && work.join("restore.log").is_file());
}

fn a_foreground_restore_returns_the_code() {
    let c = up(counting());
    let before = written(&c);
    let call = c.call("restore").arg("--image-path").arg(c.images()).arg("--bundle").arg(c.bundle());
    let running = call.arg("--pid-file").arg(c.dir().join("pid")).arg(c.id()).spawn();
    counts_beyond(&c, before);
    assert!(running.is_alive());
    c.kill("KILL").quiet();
    running.wait().exits(128 + 9);
    c.nothing_left();
}

fn the_foreground_has_the_terminal() {
    needs(Need::Program("criu"));
    let c = Container::new().args(["echo-line"]).set("/process/terminal", true);
    let socket = ConsoleSocket::new(c.dir());
    c.create_with([Path::new("--console-socket"), socket.path()]).ok();
    let (mut before, _) = socket.receive();
    c.start().ok();
    before.wait_for("ready");
    let pid = c.pid();
    c.checkpoint_with([""; 0]).quiet();
    crate::support::container::wait_exit(pid);
    let call = c.call("restore").arg("--image-path").arg(c.images()).arg("--bundle").arg(c.bundle()).arg(c.id());
    let running = call.stdin("typed\n").spawn();
    let output = running.wait().exits(0);
    assert!(output.stdout.contains("got typed"), "{:?}", output.stdout);
    c.nothing_left();
}

fn the_current_directory_has_the_checkpoint() {
    let c = up(counting());
    let pid = c.pid();
    c.call("checkpoint").arg(c.id()).cwd(c.dir()).run().quiet();
    crate::support::container::wait_exit(pid);
    assert!(c.dir().join("checkpoint/inventory.img").is_file());
    let before = count(&c);
    let call = c.call("restore").arg("--detach").arg("--bundle").arg(c.bundle()).arg("--pid-file").arg("pid");
    call.arg(c.id()).cwd(c.dir()).run().quiet();
    counts_beyond(&c, before);
}

fn the_work_directory_has_the_log() {
    let c = up(counting());
    let work = c.dir().join("work/deep");
    let work_text = work.to_str().expect("text");
    c.checkpoint_with(["--work-path", work_text, "--leave-running"]).quiet();
    assert!(work.join("dump.log").is_file() && !c.images().join("dump.log").exists());
    let mode = |path: &Path| std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).expect("stat").permissions());
    assert_eq!(mode(&c.images()) & 0o777, 0o700, "a checkpoint has a process's memory in it");
}

fn a_directory_without_a_checkpoint_is_named() {
    let c = counting();
    restore(&c).fails(["--image-path: ", "images: open: no such file or directory"]);
    fs::create_dir(c.images()).expect("make a directory");
    restore(&c).fails(["images/descriptors.json: open: no such file or directory (this is no checkpoint"]);
    c.nothing_left();
}

fn what_criu_says_is_quoted() {
    let c = up(counting());
    written(&c);
    fs::remove_file(c.images().join("inventory.img")).expect("remove");
    restore(&c).fails(["criu restore: ", "Error (criu/", "restore.log)"]);
    c.nothing_left();
    // A file of the host is open, which CRIU can't take along.
    let c = Container::sleeping();
    c.checkpoint_with([""; 0]).fails(["criu dump: ", "Error (criu/", "dump.log)"]);
    assert_eq!(c.status(), "running");
    c.kill("TERM").ok();
    assert_eq!(c.wait_exit(), Exit::Code(128 + 15));
}

fn an_id_in_use_is_refused() {
    let c = up(counting());
    c.checkpoint_with(["--leave-running"]).quiet();
    restore(&c).fails(["container with given ID already exists"]);
    counts_beyond(&c, count(&c));
}

fn a_status_descriptor_has_to_be_writable() {
    let c = up(counting());
    c.checkpoint_with(["--status-fd", "77"]).fails(["invalid --status-fd argument 77: fcntl: bad file descriptor"]);
    let call =
        c.prepare(Call::launched(c.dir(), &["--fd", "7=/dev/null"])).arg("checkpoint").args(["--status-fd", "7"]);
    call.arg("--image-path").arg(c.images()).arg(c.id()).run().fails(["invalid --status-fd argument 7: not writable"]);
    assert_eq!(c.status(), "running");
}

/// One that says that a file of the log is to have another name.
fn a_configuration_file_is_passed_on() {
    let c = counting();
    let file = c.dir().join("criu.conf");
    fs::write(&file, "log-file other.log\n").expect("write");
    let c = up(c.set("/annotations", json!({"org.criu.config": file})));
    written(&c);
    assert!(c.images().join("other.log").is_file());
    let features = c.call("features").run().ok().json();
    assert!(
        features["potentiallyUnsafeConfigAnnotations"].as_array().expect("a list").contains(&json!("org.criu.config"))
    );
}

fn without_criu_the_error_says_the_way_out() {
    let c = Container::sleeping();
    let nowhere = c.dir().join("nowhere");
    let way_out = ["criu: executable file not found in $PATH (", "install the package criu"];
    let call = c.call("checkpoint").arg("--image-path").arg(c.images()).arg(c.id());
    call.env("PATH", &nowhere).run().fails(way_out);
    assert!(!c.images().exists());
    assert_eq!(c.status(), "running");
    let other = Container::new();
    let call = other.call("restore").arg("--bundle").arg(other.bundle()).arg(other.id());
    call.env("PATH", &nowhere).run().fails(way_out);
    other.nothing_left();
}

/// Its probes for what a runtime can do.
fn podman_finds_what_it_asks_for() {
    let c = Container::new();
    Call::runtime(c.dir()).args(["checkpoint", "--help"]).run().ok();
    let output = Call::runtime(c.dir()).args(["restore", "--lsm-mount-context"]).run().exits(1);
    assert!(output.stderr.contains("flag needs an argument: --lsm-mount-context"), "{}", output.stderr);
    let features = c.call("features").run().ok().json();
    assert_eq!(features["annotations"]["org.opencontainers.runc.checkpoint.enabled"], "true");
}
