//! `exec`: one more process in a running container: how it is described, what it is, how it ends, and when it can't be.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::config::drop_namespaces;
use crate::support::container::{Adopted, wait_exit};
use crate::support::{Call, Container, Exit, Need, Output, needs, until};

cases![
    words_run_with_the_containers_process,
    what_follows_the_id_is_the_commands,
    it_is_where_the_container_is,
    it_has_the_containers_confinement,
    a_file_describes_all_of_it,
    a_file_leaves_the_containers_confinement,
    the_directory_by_flag,
    variables_by_flag,
    the_user_by_flag,
    additional_groups_by_flag,
    capabilities_by_flag,
    no_new_privileges_by_flag,
    home_is_the_users,
    preserved_descriptors_arrive,
    a_missing_preserved_descriptor_is_an_error,
    a_sub_cgroup_by_flag,
    a_sub_cgroup_that_cannot_be_is_an_error,
    a_container_with_cgroups_of_its_own_is_joined_where_its_init_is,
    the_exit_code_is_the_processes,
    a_signal_is_128_and_its_number,
    a_signal_to_the_runtime_is_passed_on,
    standard_streams_are_the_callers,
    detached_it_returns_and_the_process_stays,
    detached_it_is_the_callers_child,
    the_pid_file_has_the_pid,
    no_pid_file_is_left_by_a_failure,
    a_program_that_cannot_be_run,
    a_program_that_the_kernel_refuses,
    a_bad_directory,
    a_bad_process_file,
    bad_flags,
    no_command_is_an_error,
    a_missing_container,
    a_stopped_container,
    a_created_container_can_be_joined,
    a_paused_container_is_refused,
    a_paused_container_is_joined_on_request,
    a_user_namespace,
    a_shared_pid_namespace,
    a_pid_namespace_of_another_container,
    a_container_that_did_not_pivot,
    a_program_that_lies_about_where_it_is,
    a_directory_that_leads_out_is_refused,
    the_session_keyring_is_the_containers,
    limits_are_the_containers,
    the_oom_score_is_the_processes,
    it_leads_its_own_session,
    nothing_but_the_standard_streams_is_open,
    its_runtime_leaves_no_process,
    a_container_that_was_moved_is_joined_where_it_is,
];

/// `exec` in that container, ready for further words.
fn exec<'a>(c: &Container, words: impl IntoIterator<Item = &'a str>) -> Call {
    c.call("exec").args(words)
}

/// `exec OPTIONS ID /probe report`.
fn report<'a>(c: &Container, options: impl IntoIterator<Item = &'a str>) -> Value {
    exec(c, options).args([c.id(), "/probe", "report"]).run().quiet().report()
}

/// `exec --process FILE ID` of a process with those fields besides the usual ones.
fn by_file(c: &Container, process: &Value) -> Call {
    let mut whole = json!({"cwd": "/", "args": ["/probe", "report"], "user": {"uid": 0, "gid": 0}});
    let fields = process.as_object().expect("an object").clone();
    whole.as_object_mut().expect("an object").extend(fields);
    let path = c.dir().join("process.json");
    fs::write(&path, whole.to_string()).expect("write the process file");
    c.call("exec").arg("--process").arg(path).arg(c.id())
}

/// It failed as `exec` fails: 255, one line.
fn fails<'a>(output: Output, texts: impl IntoIterator<Item = &'a str>) {
    let kind = crate::support::Lane::get().kind();
    let output = if kind.is("crun") { output.exits(1) } else { output.exits(255) };
    let message = output.message();
    for text in texts {
        assert!(message.contains(text), "expected {text:?} in {message:?}");
    }
}

fn words_run_with_the_containers_process() {
    let c = Container::new()
        .args(["sleep"])
        .set("/process/env", json!(["A=1", "HOME=/h"]))
        .set("/process/cwd", "/dev")
        .set("/process/user", json!({"uid": 7, "gid": 8, "umask": 0o77, "additionalGids": [9]}))
        .up();
    let report = report(&c, []);
    assert_eq!(report["args"], json!(["/probe", "report"]));
    assert_eq!((&report["env"], &report["cwd"]), (&json!(["A=1", "HOME=/h"]), &json!("/dev")));
    assert_eq!((&report["uid"]["real"], &report["gid"]["real"]), (&json!(7), &json!(8)));
    assert_eq!(report["groups"], json!([9]));
    needs(Need::Not("runc", "older releases ignore the umask"));
    assert_eq!(report["umask"], 0o77);
}

fn what_follows_the_id_is_the_commands() {
    let c = Container::sleeping();
    let words = ["/probe", "print", "-l", "--root=x", "--", "-e", "--help"];
    let output = exec(&c, [c.id()]).args(words).run().quiet();
    assert_eq!(output.stdout, "-l --root=x -- -e --help\n");
    let output = exec(&c, ["--", c.id(), "/probe", "print", "x"]).run().quiet();
    assert_eq!(output.stdout, "x\n");
}

fn it_is_where_the_container_is() {
    let c = Container::new().args(["sequence", "report", "--", "sleep"]).up();
    let (init, joined) = (c.report(), report(&c, []));
    for same in ["namespaces", "mounts", "cgroup", "hostname", "dev"] {
        assert_eq!(init[same], joined[same], "{same}");
    }
    // The parent is outside, and it is no child of the init.
    assert_eq!((&joined["ppid"], joined["pid"].as_i64().is_some_and(|pid| pid > 1)), (&json!(0), true));
}

fn it_has_the_containers_confinement() {
    let c = Container::new().args(["sequence", "report", "--", "sleep"]).up();
    let (init, joined) = (c.report(), report(&c, []));
    for same in ["capabilities", "noNewPrivs", "seccomp", "rlimits", "oomScoreAdj", "signals"] {
        assert_eq!(init[same], joined[same], "{same}");
    }
}

fn a_file_describes_all_of_it() {
    let c = Container::sleeping();
    let process = json!({
        "cwd": "/proc", "env": ["X=y", "HOME=/"], "args": ["/probe", "report", "a b"],
        "user": {"uid": 3, "gid": 4, "umask": 0o27, "additionalGids": [5, 6]},
        "capabilities": {"bounding": ["CAP_CHOWN"]}, "noNewPrivileges": true,
        "rlimits": [{"type": "RLIMIT_CORE", "soft": 5, "hard": 6}],
    });
    // The words behind the id mean nothing then, as with runc.
    let report = by_file(&c, &process).args(["ignored", "--words"]).run().quiet().report();
    assert_eq!((&report["cwd"], &report["env"]), (&json!("/proc"), &json!(["X=y", "HOME=/"])));
    assert_eq!(report["args"], json!(["/probe", "report", "a b"]));
    assert_eq!(
        (&report["uid"]["real"], &report["gid"]["real"], &report["groups"]),
        (&json!(3), &json!(4), &json!([5, 6]))
    );
    assert_eq!(report["capabilities"]["bounding"], json!(["CAP_CHOWN"]));
    assert_eq!((&report["noNewPrivs"], &report["rlimits"]["RLIMIT_CORE"]), (&json!(1), &json!({"soft": 5, "hard": 6})));
    needs(Need::Not("runc", "older releases ignore the umask"));
    assert_eq!(report["umask"], 0o27);
}

fn a_file_leaves_the_containers_confinement() {
    let c = Container::new().args(["sequence", "report", "--", "sleep"]).up();
    let (init, joined) = (c.report(), by_file(&c, &json!({})).run().quiet().report());
    assert_eq!(init["capabilities"], joined["capabilities"]);
    // This one is the file's alone.
    assert_eq!((&init["noNewPrivs"], &joined["noNewPrivs"]), (&json!(1), &json!(0)));
    needs(Need::Not("runc", "older releases take the caller's limits"));
    assert_eq!(init["rlimits"], joined["rlimits"]);
}

fn the_directory_by_flag() {
    let c = Container::sleeping();
    assert_eq!(report(&c, ["--cwd", "/proc"])["cwd"], "/proc");
}

fn variables_by_flag() {
    let c = Container::new().args(["sleep"]).set("/process/env", json!(["A=1", "B=2"])).up();
    let env = |options: &[&str]| {
        let mut env: Vec<String> =
            serde_json::from_value(report(&c, options.iter().copied())["env"].clone()).expect("text");
        env.sort_unstable();
        env
    };
    let long = ["--env", "A=3,x", "--env=C=a=b", "-env", "HOME=/x"];
    assert_eq!(env(&long), ["A=3,x", "B=2", "C=a=b", "HOME=/x"]);
    assert_eq!(env(&["-e", "HOME=/y", "-e", "A="]), ["A=", "B=2", "HOME=/y"]);
}

fn the_user_by_flag() {
    let c = Container::new().args(["sleep"]).set("/process/user", json!({"uid": 1, "gid": 2})).up();
    let ids = |options: [&str; 2]| {
        let report = report(&c, options);
        (report["uid"].clone(), report["gid"]["effective"].clone())
    };
    let four = |uid: u32| json!({"real": uid, "effective": uid, "saved": uid, "fs": uid});
    assert_eq!(ids(["--user", "1000"]), (four(1000), json!(2)));
    assert_eq!(ids(["-u", "1000:33"]), (four(1000), json!(33)));
}

fn additional_groups_by_flag() {
    needs(Need::Not("crun", "it has no such flag"));
    let c =
        Container::new().args(["sleep"]).set("/process/user", json!({"uid": 0, "gid": 0, "additionalGids": [9]})).up();
    assert_eq!(report(&c, ["-g", "10", "-g", "11"])["groups"], json!([9, 10, 11]));
}

fn capabilities_by_flag() {
    needs(Need::Not("crun", "it replaces the sets"));
    let c = Container::sleeping();
    let sets = report(&c, ["--cap", "CAP_CHOWN", "--cap", "CAP_MKNOD"])["capabilities"].clone();
    for set in ["bounding", "permitted", "effective"] {
        assert_eq!(
            sets[set],
            json!(["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_MKNOD", "CAP_AUDIT_WRITE"]),
            "{set}"
        );
    }
    assert_eq!((&sets["inheritable"], &sets["ambient"]), (&json!([]), &json!([])));
}

fn no_new_privileges_by_flag() {
    let open = Container::new().args(["sleep"]).set("/process/noNewPrivileges", false).up();
    assert_eq!(report(&open, [])["noNewPrivs"], 0);
    assert_eq!(report(&open, ["--no-new-privs"])["noNewPrivs"], 1);
    needs(Need::Not("crun", "the flag has no value"));
    let closed = Container::sleeping();
    assert_eq!(report(&closed, ["--no-new-privs=false"])["noNewPrivs"], 0);
}

fn home_is_the_users() {
    let c = Container::new().args(["sleep"]).file("/etc/passwd", "me:x:5:5::/home/me:/bin/sh\n").up();
    let home = |options: [&str; 2]| {
        let env = report(&c, options)["env"].clone();
        env.as_array().expect("a list").iter().find_map(|entry| entry.as_str()?.strip_prefix("HOME=").map(String::from))
    };
    assert_eq!(home(["--user", "5"]).as_deref(), Some("/home/me"));
    assert_eq!(home(["--user", "6"]).as_deref(), Some("/"));
}

fn preserved_descriptors_arrive() {
    let c = Container::sleeping();
    let (first, second) = (c.dir().join("first"), c.dir().join("second"));
    fs::write(&first, "").expect("write a file");
    fs::write(&second, "").expect("write a file");
    let fds = [format!("3={}", first.display()), format!("4={}", second.display())];
    let call = c.prepare(Call::launched(c.dir(), &["--fd", &fds[0], "--fd", &fds[1]]));
    let report = call.args(["exec", "--preserve-fds", "1", c.id(), "/probe", "report"]).run().quiet().report();
    let fds = report["fds"].as_object().expect("descriptors");
    assert_eq!(fds.keys().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
}

fn a_missing_preserved_descriptor_is_an_error() {
    needs(Need::Not("crun", "it takes what there is"));
    needs(Need::Not("runc", "older releases take what there is"));
    let c = Container::sleeping();
    let output = exec(&c, ["--preserve-fds", "2", c.id(), "/probe", "report"]).run();
    fails(output, ["preserved-fd"]);
}

fn a_sub_cgroup_by_flag() {
    let c = Container::new().args(["sleep"]).edit(|config| drop_namespaces(config, &["cgroup"])).up();
    fs::create_dir(c.cgroup_dir().join("below")).expect("make a cgroup");
    for path in ["below", "/below", "./below"] {
        let cgroup = report(&c, ["--cgroup", path])["cgroup"].clone();
        let cgroup = cgroup.as_str().expect("a cgroup");
        assert!(cgroup.trim_end().ends_with(&format!("/{}/below", c.id())), "{path}: {cgroup}");
    }
}

fn a_sub_cgroup_that_cannot_be_is_an_error() {
    needs(Need::Not("crun", "its texts are others"));
    let c = Container::sleeping();
    let refuses = |options: &[&str], text: &str| {
        fails(exec(&c, options.iter().copied()).args([c.id(), "/probe", "exit", "0"]).run(), [text]);
    };
    refuses(&["--cgroup", "../x"], "is not a sub cgroup path");
    refuses(&["--cgroup", "nowhere"], "no such file or directory");
    needs(Need::Orlop("on a hybrid machine other runtimes know controllers"));
    refuses(&["--cgroup", "memory:/x"], "unknown controller memory");
    refuses(&["--cgroup", "/x", "--cgroup", "/y"], "one cgroup only");
}

fn a_container_with_cgroups_of_its_own_is_joined_where_its_init_is() {
    needs(Need::Not("crun", "older releases want the container's own cgroup"));
    let c = Container::new().args(["sleep"]).edit(|config| drop_namespaces(config, &["cgroup"])).up();
    let init = c.cgroup_dir().join("init");
    fs::create_dir(&init).expect("make a cgroup");
    fs::write(init.join("cgroup.procs"), c.pid().to_string()).expect("move the init");
    let controllers = fs::read_to_string(c.cgroup_dir().join("cgroup.controllers")).expect("read the controllers");
    let Some(first) = controllers.split_whitespace().next() else {
        return needs(Need::NoController("nothing: this machine's cgroup2 has no controller to hand down"));
    };
    fs::write(c.cgroup_dir().join("cgroup.subtree_control"), format!("+{first}")).expect("hand a controller down");
    let cgroup = report(&c, [])["cgroup"].clone();
    assert!(cgroup.as_str().is_some_and(|path| path.trim_end().ends_with("/init")), "{cgroup}");
}

fn the_exit_code_is_the_processes() {
    let c = Container::sleeping();
    for code in ["0", "7", "255"] {
        exec(&c, [c.id(), "/probe", "exit", code]).run().exits(code.parse().expect("a number"));
    }
}

fn a_signal_is_128_and_its_number() {
    let c = Container::sleeping();
    let pid_file = c.dir().join("exec.pid");
    let call = c.call("exec").arg("--pid-file").arg(&pid_file).args([c.id(), "/probe", "sleep"]);
    let running = call.spawn();
    let pid = until("the pid file", || fs::read_to_string(&pid_file).ok());
    let pid = rustix::process::Pid::from_raw(pid.parse().expect("a pid")).expect("not 0");
    rustix::process::kill_process(pid, Signal::KILL).expect("kill it");
    running.wait().exits(128 + 9);
}

fn a_signal_to_the_runtime_is_passed_on() {
    let c = Container::sleeping();
    let running = exec(&c, [c.id(), "/probe", "sleep"]).spawn();
    running.wait_for("ready");
    running.signal(Signal::HUP);
    let output = running.wait().exits(128 + 1);
    assert!(output.stdout.contains("SIGHUP"));
    assert_eq!(c.status(), "running");
}

fn standard_streams_are_the_callers() {
    let c = Container::sleeping();
    let output = exec(&c, [c.id(), "/probe", "cat", "-"]).stdin("hello").run().quiet();
    assert_eq!(output.stdout, "hello");
    let output = exec(&c, [c.id(), "/probe", "print-error", "oops"]).run().ok();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", "oops\n"));
}

/// `exec --detach OPTIONS ID /probe sleep`, and its process once that said that it is there.
fn detached<'a>(c: &Container, options: impl IntoIterator<Item = &'a str>) -> Adopted {
    let pid_file = c.dir().join("exec.pid");
    let call = exec(c, ["--detach"]).args(options).arg("--pid-file").arg(&pid_file);
    let output = call.args([c.id(), "/probe", "sleep"]).run().quiet();
    let pid = Adopted::from_pid_file(&pid_file);
    until("the process to be there", || {
        fs::read_to_string(&output.stdout_file).ok().filter(|text| text.contains("ready"))
    });
    pid
}

fn detached_it_returns_and_the_process_stays() {
    let c = Container::sleeping();
    let _process = detached(&c, []);
    assert_eq!(processes(&c), 2);
}

fn processes(c: &Container) -> usize {
    fs::read_to_string(c.cgroup_dir().join("cgroup.procs")).expect("read its processes").lines().count()
}

/// What a subreaper that calls the runtime, such as a shim, waits for.
fn detached_it_is_the_callers_child() {
    let c = Container::sleeping();
    let pid_file = c.dir().join("exec.pid");
    c.call("exec").args(["-d", "--pid-file"]).arg(&pid_file).args([c.id(), "/probe", "exit", "41"]).run().quiet();
    let pid = fs::read_to_string(&pid_file).expect("the pid file").parse().expect("a pid");
    assert_eq!(wait_exit(pid), Exit::Code(41));
}

fn the_pid_file_has_the_pid() {
    let c = Container::sleeping();
    let Adopted(pid) = &detached(&c, []);
    let text = fs::read_to_string(c.dir().join("exec.pid")).expect("the pid file");
    assert_eq!(text, pid.to_string());
    let words = fs::read(format!("/proc/{pid}/cmdline")).expect("read its command line");
    assert_eq!(words, b"/probe\0sleep\0");
    let mode = fs::metadata(c.dir().join("exec.pid")).expect("stat").permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

fn no_pid_file_is_left_by_a_failure() {
    needs(Need::Not("crun", "older releases write it first"));
    let c = Container::sleeping();
    let pid_file = c.dir().join("exec.pid");
    fails(c.call("exec").arg("--pid-file").arg(&pid_file).args([c.id(), "/nope"]).run(), []);
    assert!(!pid_file.exists());
}

fn a_program_that_cannot_be_run() {
    needs(Need::Not("crun", "its texts are others"));
    let c = Container::new().args(["sleep"]).directory("/bin").file("/plain", "text").up();
    let refuses = |program: &str, texts: &[&str]| fails(exec(&c, [c.id(), program]).run(), texts.iter().copied());
    refuses("/nope", &["exec failed: ", "exec: \"/nope\": stat /nope: no such file or directory"]);
    refuses("nope", &["exec: \"nope\": executable file not found in $PATH"]);
    refuses("/plain", &["exec: \"/plain\": permission denied"]);
    assert_eq!(processes(&c), 1);
    needs(Need::Not("runc", "older releases call it a denied permission"));
    refuses("/bin", &["is a directory"]);
}

fn a_program_that_the_kernel_refuses() {
    needs(Need::Orlop("others are the process by then, and leave it to say so"));
    let c = Container::new().args(["sleep"]).file("/script", "#!/nope\n").file("/odd", "text").up();
    for file in ["script", "odd"] {
        fs::set_permissions(c.rootfs().join(file), fs::Permissions::from_mode(0o755)).expect("chmod");
    }
    fails(exec(&c, [c.id(), "/script"]).run(), ["no such file or directory"]);
    fails(exec(&c, [c.id(), "/odd"]).run(), ["exec format error"]);
    // Detached, the caller learns of it just the same.
    fails(exec(&c, ["-d", c.id(), "/odd"]).run(), ["exec format error"]);
    assert_eq!(processes(&c), 1);
}

fn a_bad_directory() {
    needs(Need::Not("crun", "it makes the directory"));
    let c = Container::new().args(["sleep"]).file("/plain", "text").up();
    let refuses = |cwd: &str, texts: &[&str]| {
        fails(exec(&c, ["--cwd", cwd, c.id(), "/probe", "exit", "0"]).run(), texts.iter().copied());
    };
    refuses("/nope", &["no such file or directory"]);
    refuses("/plain", &["not a directory"]);
    refuses("relative", &["absolute"]);
}

fn a_bad_process_file() {
    needs(Need::Orlop("the texts"));
    let c = Container::sleeping();
    let write = |text: &str| {
        let path = c.dir().join("process.json");
        fs::write(&path, text).expect("write the process file");
        c.call("exec").arg("--process").arg(path).arg(c.id()).run()
    };
    fails(write("{"), ["process.json", "not valid JSON"]);
    fails(write("[]"), ["not a JSON object"]);
    fails(write("{}"), ["process.user: is required and missing"]);
    fails(write(r#"{"cwd": "/", "args": "x", "user": {"uid": 0, "gid": 0}}"#), ["process.args: invalid type"]);
    fails(write(r#"{"cwd": "/", "args": [], "user": {"uid": 0, "gid": 0}}"#), ["process.args: "]);
    fails(write(r#"{"cwd": "x", "args": ["x"], "user": {"uid": 0, "gid": 0}}"#), ["process.cwd: "]);
    fails(c.call("exec").args(["--process", "/nope", c.id()]).run(), ["/nope", "no such file or directory"]);
    assert_eq!(processes(&c), 1);
}

fn bad_flags() {
    needs(Need::Orlop("the texts"));
    let c = Container::sleeping();
    let refuses = |options: [&str; 2], text: &str| {
        fails(exec(&c, options).args([c.id(), "/probe", "exit", "0"]).run(), [text]);
    };
    refuses(["--user", "root"], "--user \"root\": is no UID or UID:GID");
    refuses(["--user", "4294967295"], "process.user.uid: ");
    refuses(["--additional-gids", "-3"], "--additional-gids: \"-3\" is no group id");
    refuses(["--cap", "CAP_BOGUS"], "--cap: unknown capability \"CAP_BOGUS\"");
    refuses(["--console-socket", "/nope"], "cannot use console socket");
    refuses(["--pidfd-socket", "/nope"], "--pidfd-socket /nope: connect: no such file or directory");
    assert_eq!(processes(&c), 1);
}

fn no_command_is_an_error() {
    needs(Need::Not("crun", "its texts are others"));
    let c = Container::sleeping();
    fails(exec(&c, [c.id()]).run(), ["process args cannot be empty"]);
    c.call("exec").run().fails(["requires a minimum of 1 argument(s)"]);
    let output = exec(&c, ["--bogus", c.id(), "x"]).run().exits(1);
    assert!(output.stderr.contains("flag provided but not defined: -bogus"), "{}", output.stderr);
}

fn a_missing_container() {
    needs(Need::Not("crun", "its texts are others"));
    let c = Container::new();
    fails(exec(&c, [c.id(), "/probe"]).run(), ["exec failed: container does not exist"]);
}

fn a_stopped_container() {
    needs(Need::Not("crun", "its texts are others"));
    let c = Container::new().args(["exit", "0"]);
    c.create().ok();
    c.start().ok();
    c.wait_dead();
    fails(exec(&c, [c.id(), "/probe"]).run(), ["exec failed: cannot exec in a stopped container"]);
}

fn a_created_container_can_be_joined() {
    let c = Container::new().args(["sleep"]);
    c.create().ok();
    exec(&c, [c.id(), "/probe", "exit", "3"]).run().exits(3);
    assert_eq!(c.status(), "created");
}

fn a_paused_container_is_refused() {
    let c = Container::sleeping();
    c.call("pause").arg(c.id()).run().quiet();
    let output = exec(&c, [c.id(), "/probe", "exit", "0"]).run();
    fails(output, ["paused"]);
    needs(Need::Not("crun", "its text is another"));
    let output = exec(&c, ["-d", c.id(), "/probe", "exit", "0"]).run();
    fails(output, ["exec failed: cannot exec in a paused container (use --ignore-paused to override)"]);
    c.call("resume").arg(c.id()).run().quiet();
    exec(&c, [c.id(), "/probe", "exit", "4"]).run().exits(4);
}

fn a_paused_container_is_joined_on_request() {
    needs(Need::Not("crun", "it has no such flag"));
    let c = Container::sleeping();
    c.call("pause").arg(c.id()).run().quiet();
    let running = exec(&c, ["--ignore-paused", c.id(), "/probe", "exit", "5"]).spawn();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(running.is_alive());
    c.call("resume").arg(c.id()).run().quiet();
    running.wait().exits(5);
}

fn a_user_namespace() {
    let c = Container::new().args(["sequence", "report", "--", "sleep"]).user_namespace(100_000, 65_536).up();
    let (init, joined) = (c.report(), report(&c, []));
    for same in ["namespaces", "uid", "gid", "groups", "capabilities", "uidMap", "cgroup"] {
        assert_eq!(init[same], joined[same], "{same}");
    }
    assert_eq!(report(&c, ["--user", "5:6"])["uid"]["real"], 5);
    needs(Need::Orlop("the text"));
    let output = exec(&c, ["--user", "70000", c.id(), "/probe", "exit", "0"]).run();
    fails(output, ["process.user.uid: ", "not mapped"]);
}

fn a_shared_pid_namespace() {
    let c = Container::new().args(["sleep"]).edit(|config| drop_namespaces(config, &["pid"])).up();
    let report = report(&c, []);
    assert_eq!(report["cwd"], "/");
    let host = fs::read_link("/proc/self/ns/pid").expect("read the pid namespace");
    assert_eq!(report["namespaces"]["pid"], host.to_string_lossy().into_owned());
    exec(&c, [c.id(), "/probe", "exit", "6"]).run().exits(6);
}

fn a_pid_namespace_of_another_container() {
    let first = Container::sleeping();
    let path = format!("/proc/{}/ns/pid", first.pid());
    let second = Container::new().args(["sleep"]);
    let second = second.edit(|config| crate::support::config::join_namespace(config, "pid", &path)).up();
    let report = report(&second, []);
    assert_eq!(report["namespaces"]["pid"], fs::read_link(path).expect("read it").to_string_lossy().into_owned());
    exec(&second, [second.id(), "/probe", "exit", "8"]).run().exits(8);
    second.kill("KILL").quiet();
    second.wait_exit();
}

fn a_container_that_did_not_pivot() {
    let c = Container::new().args(["sleep"]).file("/mark", "the container's");
    c.create_with(["--no-pivot"]).ok();
    c.start().ok();
    c.wait_for("ready");
    assert_eq!(exec(&c, [c.id(), "/probe", "cat", "/mark"]).run().quiet().stdout, "the container's");
}

/// Links of procfs lead to what belongs to the process that looks, and that is still Orlop's.
fn a_program_that_lies_about_where_it_is() {
    needs(Need::Orlop("the texts"));
    let c = Container::new().args(["sleep"]).symlink("/me", "/proc/self/exe").symlink("/fd", "/proc/self/fd").up();
    fails(exec(&c, [c.id(), "/me"]).run(), ["exec: \"/me\": "]);
    fails(exec(&c, [c.id(), "/proc/self/exe"]).run(), ["exec: \"/proc/self/exe\": "]);
    fails(exec(&c, [c.id(), "/fd/3/bin/sh"]).run(), ["exec: \"/fd/3/bin/sh\": "]);
}

/// CVE-2024-21626.
fn a_directory_that_leads_out_is_refused() {
    needs(Need::Orlop("the texts"));
    let c = Container::new().args(["sleep"]).symlink("/out", "/proc/self/fd/7").up();
    for number in 3..12 {
        let cwd = format!("/proc/self/fd/{number}");
        fails(exec(&c, ["--cwd", &cwd, c.id(), "/probe", "exit", "0"]).run(), ["process.cwd: "]);
        let parent = format!("/proc/self/fd/{number}/../..");
        fails(exec(&c, ["--cwd", &parent, c.id(), "/probe", "exit", "0"]).run(), ["process.cwd: "]);
    }
    fails(exec(&c, ["--cwd", "/out", c.id(), "/probe", "exit", "0"]).run(), ["process.cwd: "]);
}

fn the_session_keyring_is_the_containers() {
    needs(Need::Not("crun", "it makes one for each process"));
    let c = Container::new().args(["sequence", "report", "--", "sleep"]).set("/linux/maskedPaths", json!([])).up();
    let sessions = |report: Value| {
        let keys = report["keys"].as_str().expect("keys").to_owned();
        let own = keys.lines().filter(|line| line.contains(&format!("_ses.{}:", c.id())));
        own.filter_map(|line| line.split(' ').next().map(str::to_owned)).collect::<Vec<_>>()
    };
    let (init, joined) = (sessions(c.report()), sessions(report(&c, [])));
    assert_eq!((init.len(), &init), (1, &joined));
}

fn limits_are_the_containers() {
    let limits =
        json!([{"type": "RLIMIT_NOFILE", "soft": 200, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 1, "hard": 2}]);
    let c = Container::new().args(["sleep"]).set("/process/rlimits", limits).up();
    let report = report(&c, []);
    assert_eq!(report["rlimits"]["RLIMIT_NOFILE"], json!({"soft": 200, "hard": 200}));
    assert_eq!(report["rlimits"]["RLIMIT_CORE"], json!({"soft": 1, "hard": 2}));
}

fn the_oom_score_is_the_processes() {
    let c = Container::new().args(["sleep"]).set("/process/oomScoreAdj", 500).up();
    assert_eq!(report(&c, [])["oomScoreAdj"], 500);
    needs(Need::Not("runc", "it takes the container's"));
    needs(Need::Not("crun", "it takes none"));
    let report = by_file(&c, &json!({"oomScoreAdj": 600})).run().quiet().report();
    assert_eq!(report["oomScoreAdj"], 600);
}

fn it_leads_its_own_session() {
    let c = Container::sleeping();
    let report = report(&c, []);
    assert_eq!(report["sid"], report["pid"]);
}

fn nothing_but_the_standard_streams_is_open() {
    let c = Container::sleeping();
    let call = c.prepare(Call::launched(c.dir(), &["--fd", "7=/etc/passwd", "--fd", "9=/etc"]));
    let report = call.args(["exec", c.id(), "/probe", "report"]).run().quiet().report();
    let fds = report["fds"].as_object().expect("descriptors");
    assert_eq!(fds.keys().collect::<Vec<_>>(), ["0", "1", "2"]);
}

fn its_runtime_leaves_no_process() {
    let c = Container::sleeping();
    for _ in 0..20 {
        exec(&c, [c.id(), "/probe", "exit", "0"]).run().quiet();
    }
    assert_eq!(processes(&c), 1);
}

fn a_container_that_was_moved_is_joined_where_it_is() {
    needs(Need::Not("crun", "it wants the cgroup that it made"));
    let c = Container::sleeping();
    let moved = c.cgroup_dir().with_extension("moved");
    fs::create_dir(&moved).expect("create a cgroup");
    fs::write(moved.join("cgroup.procs"), c.pid().to_string()).expect("move the init");
    fs::remove_dir(c.cgroup_dir()).expect("remove the container's cgroup");
    let process = detached(&c, []);
    let processes = fs::read_to_string(moved.join("cgroup.procs")).expect("read its processes");
    assert!(processes.lines().any(|pid| pid == process.0.to_string()), "{} isn't among {processes}", process.0);
    drop(process);
    c.delete_by_force().quiet();
    fs::remove_dir(&moved).expect("nothing is left in it");
}
