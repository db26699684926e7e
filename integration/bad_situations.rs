//! What must be refused and takes more than one change of the config: ids, programs, orders of calls, the machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::bad_input::refuses;
use crate::support::case::cases;
use crate::support::config::drop_namespaces;
use crate::support::lane::Kind;
use crate::support::{Call, ConsoleSocket, Container, Lane, Need, View, leftovers, needs};

cases![
    a_missing_bundle,
    a_bundle_that_is_a_file,
    bad_ids,
    an_id_in_use,
    a_program_that_is_missing,
    a_program_that_is_nowhere_in_path,
    a_program_without_permission,
    a_program_that_is_a_directory,
    a_program_for_another_machine,
    a_script_without_its_interpreter,
    a_program_without_its_loader,
    start_twice,
    start_a_stopped_container,
    an_unknown_container,
    a_root_below_a_file,
    a_root_that_cannot_be_written,
    a_pid_file_in_a_missing_directory,
    a_terminal_without_a_socket,
    a_socket_without_a_terminal,
    a_socket_that_is_missing,
    a_socket_that_nobody_listens_on,
    no_cgroup2,
    a_kernel_that_is_too_old,
    a_config_that_is_a_directory,
    a_deeply_nested_config,
    a_mount_that_fails_late,
    a_caller_that_ignores_its_children,
    too_few_descriptors,
];

fn a_missing_bundle() {
    let c = Container::new();
    for command in ["create", "run"] {
        c.call(command).args(["--bundle", "/none/such", c.id()]).run().fails(["o such file or directory"]);
        c.nothing_left();
    }
}

fn a_bundle_that_is_a_file() {
    let c = Container::new().file("/file", "");
    let path = c.rootfs().join("file");
    c.call("run").arg("--bundle").arg(path).arg(c.id()).run().fails(["ot a directory"]);
    c.nothing_left();
}

fn bad_ids() {
    needs(Need::Not("crun", "older releases refuse a slash alone"));
    let c = Container::new();
    let bad = [".", "..", "a/b", "a b", "a\nb", "ä", "a\u{7f}", "*", "a:b", "../x", "/"];
    for id in bad {
        let output = c.call("create").arg("--bundle").arg(c.bundle()).arg(id).run();
        output.fails(["invalid container ID format"]);
    }
    c.call("create").arg("--bundle").arg(c.bundle()).arg("").run().fails(["container"]);
    let names = fs::read_dir(c.state_root()).into_iter().flatten().count();
    assert_eq!(names, 0, "entries in the root");
    c.nothing_left();
}

fn an_id_in_use() {
    let c = Container::sleeping();
    let text = if Lane::get().kind().is("crun") { "already exists" } else { "container with given ID already exists" };
    for command in ["create", "run"] {
        c.call(command).arg("--bundle").arg(c.bundle()).arg(c.id()).run().fails([text]);
        assert_eq!(c.status(), "running", "the one that was there");
    }
    assert!(c.cgroup_dir().exists());
}

fn a_program_that_is_missing() {
    let c = Container::new().set("/process/args", json!(["/nope"]));
    let text = if Lane::get().kind().is("crun") {
        "o such file or directory"
    } else {
        "exec: \"/nope\": stat /nope: no such file or directory"
    };
    c.create().fails([text]);
    c.nothing_left();
    c.run().fails([text]);
    c.nothing_left();
}

fn a_program_that_is_nowhere_in_path() {
    let text = "executable file not found in $PATH";
    for env in [json!(["PATH=/bin:/sbin"]), json!(["PATH="]), json!([])] {
        let c = Container::new().set("/process/args", json!(["nope"])).set("/process/env", env);
        let text = if Lane::get().kind().is("crun") { "not found in $PATH" } else { text };
        c.create().fails([text]);
        c.nothing_left();
        c.run().fails([text]);
        c.nothing_left();
    }
}

fn a_program_without_permission() {
    let c = Container::new().file("/program", "#!/probe exit 0\n").set("/process/args", json!(["/program"]));
    fs::set_permissions(c.rootfs().join("program"), fs::Permissions::from_mode(0o644)).expect("chmod");
    let text = if Lane::get().kind().is("crun") { "ermission denied" } else { "permission denied" };
    c.create().fails([text]);
    c.nothing_left();
    c.run().fails([text]);
    c.nothing_left();
}

fn a_program_that_is_a_directory() {
    needs(Need::Not("runc", "older releases say permission denied"));
    needs(Need::Not("crun", "it says permission denied"));
    let c = Container::new().directory("/program").set("/process/args", json!(["/program"]));
    c.create().fails(["is a directory"]);
    c.nothing_left();
    c.run().fails(["is a directory"]);
    c.nothing_left();
}

/// A container whose program is this file.
fn with_program(content: &[u8]) -> Container {
    let c = Container::new().set("/process/args", json!(["/program"]));
    fs::write(c.rootfs().join("program"), content).expect("write a program");
    fs::set_permissions(c.rootfs().join("program"), fs::Permissions::from_mode(0o755)).expect("chmod");
    c
}

fn a_program_for_another_machine() {
    // The probe with another machine (offset 18 of an ELF header) written into it: 183 is AArch64, 62 is x86-64.
    let mut content = fs::read(Lane::get().probe()).expect("read the probe");
    content[18] = if content[18] == 183 { 62 } else { 183 };
    let c = with_program(&content);
    let text = if Lane::get().kind().is("crun") { "xec format error" } else { "exec format error" };
    let message = c.run().fails([text]).message();
    if Lane::get().kind() == &Kind::Orlop {
        let wanted = if content[18] == 183 { "aarch64" } else { "x86_64" };
        assert!(message.to_lowercase().contains(wanted), "no word about the machine: {message}");
    }
    c.nothing_left();
}

fn a_script_without_its_interpreter() {
    let c = with_program(b"#!/none/such -x\n");
    let output = c.run().fails(["o such file or directory"]);
    if Lane::get().kind() == &Kind::Orlop {
        assert!(output.message().contains("/none/such"), "{}", output.message());
    }
    c.nothing_left();
}

fn a_program_without_its_loader() {
    let content = fs::read("/bin/true").expect("read a program of the host");
    let loader = content.windows(5).position(|window| window == b"/lib6" || window == b"/lib/");
    if loader.is_none() {
        needs(Need::Orlop("a dynamically linked /bin/true on the host"));
    }
    let c = with_program(&content);
    let output = c.run().fails(["o such file or directory"]);
    if Lane::get().kind() == &Kind::Orlop {
        assert!(output.message().contains("/ld-"), "no word about the loader: {}", output.message());
    }
    c.nothing_left();
}

fn start_twice() {
    let c = Container::sleeping();
    let text = if Lane::get().kind().is("crun") { "" } else { "cannot start an already running container" };
    c.start().fails([text]);
    assert_eq!(c.status(), "running");
}

fn start_a_stopped_container() {
    let c = Container::new().args(["exit", "0"]);
    c.create().ok();
    c.start().ok();
    c.wait_dead();
    let text = if Lane::get().kind().is("crun") { "" } else { "cannot start a container that has stopped" };
    c.start().fails([text]);
    assert_eq!(c.status(), "stopped");
}

fn an_unknown_container() {
    needs(Need::Not("crun", "its text is another"));
    let c = Container::new();
    for command in ["start", "state", "kill", "delete"] {
        c.call(command).arg(c.id()).run().fails(["container does not exist"]);
    }
    c.nothing_left();
}

fn a_root_below_a_file() {
    let c = Container::new().file("/file", "");
    let root = c.rootfs().join("file/root");
    let call = Call::runtime(c.dir()).logged().arg("--root").arg(&root).arg("run").arg("--bundle").arg(c.bundle());
    c.write_config();
    let output = call.arg(c.id()).run().fails(["ot a directory"]);
    assert!(output.message().contains("rootfs/file"), "{}", output.message());
    c.nothing_left();
}

fn a_root_that_cannot_be_written() {
    let c = Container::new();
    let call = Call::runtime(c.dir()).logged().args(["--root", "/proc/sys/none", "run", "--bundle"]).arg(c.bundle());
    c.write_config();
    call.arg(c.id()).run().fails(["/proc/sys/none"]);
    c.nothing_left();
}

fn a_pid_file_in_a_missing_directory() {
    let c = Container::new().args(["sleep"]);
    let call =
        |command: &str| c.call(command).arg("--bundle").arg(c.bundle()).args(["--pid-file", "/none/such/pid", c.id()]);
    call("create").run().fails(["/none/such", "o such file or directory"]);
    c.nothing_left();
    call("run").arg("--detach").run().fails([]);
    c.nothing_left();
}

fn a_terminal_without_a_socket() {
    needs(Need::Not("crun", "its text is another"));
    let c = Container::new().set("/process/terminal", true);
    c.create().fails(["console socket"]);
    c.nothing_left();
    c.run_with(["--detach"]).fails(["console socket"]);
    c.nothing_left();
}

fn a_socket_without_a_terminal() {
    needs(Need::Not("crun", "it ignores the socket"));
    let c = Container::new();
    let socket = ConsoleSocket::new(c.dir());
    c.create_with([Path::new("--console-socket"), socket.path()]).fails(["cannot use console socket"]);
    c.nothing_left();
}

fn a_socket_that_is_missing() {
    let c = Container::new().set("/process/terminal", true);
    c.create_with(["--console-socket", "/none/such"]).fails(["/none/such"]);
    c.nothing_left();
}

fn a_socket_that_nobody_listens_on() {
    let c = Container::new().set("/process/terminal", true);
    let socket = ConsoleSocket::new(c.dir());
    let path = socket.path().to_owned();
    drop(socket);
    c.create_with([Path::new("--console-socket"), &path]).fails(["onnection refused"]);
    c.nothing_left();
}

fn no_cgroup2() {
    needs(Need::Orlop("cgroup v2 alone"));
    let c = Container::new().view(View::WithoutCgroups);
    c.run().fails(["cgroup2"]);
    let left = leftovers::processes_of(c.id());
    assert!(left.is_empty() && !c.state_root().join(c.id()).exists());
}

/// The system calls that Linux 5.14 has and some older kernel lacks.
const NEW_CALLS: [&str; 7] = ["clone3", "openat2", "fsopen", "fsmount", "open_tree", "move_mount", "mount_setattr"];

fn a_kernel_that_is_too_old() {
    needs(Need::Orlop("it asks for Linux 5.14"));
    needs(Need::Program("strace"));
    for name in NEW_CALLS {
        let c = Container::new();
        let strace = Call::new(c.dir(), "strace").args(["-f", "-qq", "-o", "/dev/null", "-e"]);
        let strace = strace.arg(format!("trace={name}")).arg("-e").arg(format!("inject={name}:error=ENOSYS"));
        let call = c.prepare(strace.arg(Lane::get().runtime())).arg("run").arg("--bundle").arg(c.bundle());
        call.arg(c.id()).run().fails([name, "Linux 5.14"]);
        c.nothing_left();
    }
}

fn a_config_that_is_a_directory() {
    needs(Need::Not("crun", "its text is another"));
    let c = Container::new().without_config();
    fs::create_dir(c.bundle().join("config.json")).expect("create a directory");
    c.run().fails(["s a directory"]);
    c.nothing_left();
}

fn a_deeply_nested_config() {
    needs(Need::Orlop("others have other limits"));
    let c = Container::new().config_text(&format!("{{\"process\":{}", "[".repeat(1_000_000)));
    c.run().fails(["line 1 column"]);
    c.nothing_left();
}

fn a_mount_that_fails_late() {
    // All else is made by then: state, cgroup, process, mounts.
    let c = Container::new().file("/file", "");
    let bad = json!({"destination": "/file/below", "type": "tmpfs", "source": "x"});
    let c = (0..20)
        .fold(c, |c, index| c.mount(json!({"destination": format!("/m{index}"), "type": "tmpfs", "source": "t"})));
    let c = c.mount(bad).hook("createRuntime", &[]).edit(|config| drop_namespaces(config, &["network"]));
    refuses(&c, "mounts[27]");
}

fn a_caller_that_ignores_its_children() {
    let c = Container::new().args(["exit", "3"]).hook("createRuntime", &[]).hook("poststop", &["--exit", "1"]);
    let call = Call::new(c.dir(), "/bin/sh").args(["-c", "trap '' CHLD; exec \"$@\"", "sh"]).arg(Lane::get().runtime());
    let output = c.prepare(call).arg("run").arg("--bundle").arg(c.bundle()).arg(c.id()).run();
    assert_eq!(output.code, Some(3), "{}", output.stderr);
    c.nothing_left();
}

fn too_few_descriptors() {
    needs(Need::Orlop("how many descriptors it needs"));
    let limited = |c: &Container, limit: u32| {
        let script = format!("ulimit -n {limit}; exec \"$@\"");
        c.prepare(Call::new(c.dir(), "/bin/sh").args(["-c", &script, "sh"]).arg(Lane::get().runtime()))
    };
    for limit in 4..14 {
        let c = Container::new();
        limited(&c, limit)
            .arg("create")
            .arg("--bundle")
            .arg(c.bundle())
            .arg(c.id())
            .run()
            .fails(["too many open files"]);
        c.nothing_left();
    }
    let c = Container::sleeping();
    for limit in 4..9 {
        // Above all it is not said that the container has stopped.
        let output = limited(&c, limit).args(["exec", c.id(), "/probe", "exit", "0"]).run();
        assert!(output.code == Some(255) && output.stderr.contains("too many open files"), "{}", output.stderr);
    }
}
