//! The command lines of real callers, word by word and in their order, with their almost empty environments.
//!
//! As captured from containerd's shim, conmon (Podman, CRI-O), conmon-rs, BuildKit and Buildah. What is read of an answer is
//! read as that caller reads it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::container::{Adopted, wait_exit};
use crate::support::{Call, Container, Exit, Need, Output, needs, until};

cases![
    containerds_shim,
    containerds_shim_after_the_end,
    containerd_asks_what_there_is,
    docker_tells_the_driver_again,
    podman_through_conmon,
    podman_without_a_root,
    crio_through_conmon,
    conmon_rs,
    buildkit,
    buildah,
    containerd_and_crio_update,
    podman_updates,
];

/// Runs the words, split at spaces, with nothing in the environment but those variables.
fn call(c: &Container, variables: &[(&str, &str)], line: &str) -> Output {
    let call = Call::runtime(c.dir()).args(line.split(' ')).env_clear();
    variables.iter().fold(call, |call, (name, value)| call.env(name, value)).run()
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path of the suite is text").to_owned()
}

/// The file of an `exec --process`, as Docker and Podman write it.
fn process_file(c: &Container, words: &[&str]) -> String {
    let capabilities = json!(["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let process = json!({
        "user": {"uid": 0, "gid": 0, "umask": 18, "additionalGids": [0]},
        "args": std::iter::once("/probe").chain(words.iter().copied()).collect::<Vec<_>>(),
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME="],
        "cwd": "/",
        "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
        "noNewPrivileges": true,
        "oomScoreAdj": 0,
    });
    let path = c.dir().join("process.json");
    fs::write(&path, process.to_string()).expect("write the process file");
    text(&path)
}

/// The last error of a log, as containerd reads it.
fn last_error(log: &Path) -> String {
    let log = fs::read_to_string(log).expect("read the log");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("each line is an object"));
    let mut errors = lines.filter(|line| line["level"] == "error");
    errors.next_back().map(|line| line["msg"].as_str().expect("a msg").to_owned()).expect("an error")
}

fn containerds_shim() {
    needs(Need::Not("crun", "it prints its process list in another form"));
    let c = Container::new().args(["sleep"]);
    c.write_config();
    let (bundle, root, log) = (c.bundle(), text(c.state_root()), c.bundle().join("log.json"));
    let (b, id) = (text(&bundle), c.id());
    let global = format!("--root {root} --log {} --log-format json", text(&log));
    let env = [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("XDG_RUNTIME_DIR", "/run")];
    call(&c, &env, &format!("{global} create --bundle {b} --pid-file {b}/init.pid {id}")).quiet();
    let pid = fs::read_to_string(bundle.join("init.pid")).expect("the pid file").parse::<i32>().expect("digits alone");
    let init = Adopted(pid);
    call(&c, &env, &format!("{global} start {id}")).quiet();
    let state = call(&c, &env, &format!("{global} state {id}")).quiet().json();
    assert_eq!((&state["status"], &state["pid"]), (&json!("running"), &json!(pid)));
    let process = process_file(&c, &["exit", "9"]);
    call(&c, &env, &format!("{global} exec --process {process} --detach --pid-file {b}/e1.pid {id}")).quiet();
    let joined = fs::read_to_string(bundle.join("e1.pid")).expect("the pid file").parse().expect("digits alone");
    assert_eq!(wait_exit(joined), Exit::Code(9));
    assert_eq!(call(&c, &env, &format!("{global} ps --format json {id}")).quiet().json(), json!([pid]));
    for command in ["pause", "resume"] {
        call(&c, &env, &format!("{global} {command} {id}")).quiet();
    }
    let process = process_file(&c, &["no-such-word"]).replace("process.json", "absent.json");
    let failed = call(&c, &env, &format!("{global} exec --process {process} --detach --pid-file {b}/e2.pid {id}"));
    failed.exits(255);
    assert!(last_error(&log).contains("no such file or directory"));
    call(&c, &env, &format!("{global} kill {id} 9")).quiet();
    drop(init);
    call(&c, &env, &format!("{global} delete {id}")).quiet();
    call(&c, &env, &format!("{global} delete --force {id}")).quiet();
    c.nothing_left();
}

/// What the shim does without looking first, and how it tells that there was nothing to do.
fn containerds_shim_after_the_end() {
    needs(Need::Not("crun", "its texts are others"));
    let c = Container::new().args(["exit", "0"]);
    c.create().ok();
    c.start().ok();
    c.wait_exit();
    let global = format!("--root {} --log {}/log.json --log-format json", text(c.state_root()), text(&c.bundle()));
    call(&c, &[], &format!("{global} kill --all {} 9", c.id())).quiet();
    let killed = call(&c, &[], &format!("{global} kill {} 9", c.id())).exits(1);
    assert!(killed.stderr.to_lowercase().contains("container not running"), "{}", killed.stderr);
    assert_eq!(call(&c, &[], &format!("{global} ps --format json {}", c.id())).quiet().stdout, "null\n");
    call(&c, &[], &format!("{global} delete {}", c.id())).quiet();
    let killed = call(&c, &[], &format!("{global} kill {} 9", c.id())).exits(1);
    assert!(killed.stderr.contains("does not exist"), "{}", killed.stderr);
}

fn containerd_asks_what_there_is() {
    let c = Container::new();
    let features = call(&c, &[], "features").quiet().json();
    assert!(features["mountOptions"].as_array().is_some_and(|all| all.contains(&json!("rro"))));
    let version = call(&c, &[], "--version").quiet().stdout;
    assert!(version.contains(" version ") && version.contains("\nspec: "), "{version}");
}

/// Docker says `--systemd-cgroup` on every call; what counts is what the container was created with.
fn docker_tells_the_driver_again() {
    needs(Need::Orlop("others look for systemd first"));
    let c = Container::sleeping();
    let global = format!("--root {} --log {}/log.json --log-format json", text(c.state_root()), text(&c.bundle()));
    let process = process_file(&c, &["exit", "5"]);
    let pid_file = c.dir().join("exec.pid");
    let line = format!(
        "{global} --systemd-cgroup exec --process {process} --detach --pid-file {} {}",
        text(&pid_file),
        c.id()
    );
    call(&c, &[], &line).quiet();
    let pid = fs::read_to_string(&pid_file).expect("the pid file").parse().expect("digits alone");
    assert_eq!(wait_exit(pid), Exit::Code(5));
    call(&c, &[], &format!("{global} --systemd-cgroup kill {} 9", c.id())).quiet();
    assert_eq!(c.wait_exit(), Exit::Signal(9));
    call(&c, &[], &format!("{global} --systemd-cgroup delete {}", c.id())).quiet();
    c.nothing_left();
}

fn podman_through_conmon() {
    let c = Container::new().args(["sleep"]);
    c.write_config();
    let (b, id, log) = (text(&c.bundle()), c.id(), text(&c.dir().join("oci-log")));
    let root = format!("--root {}", text(c.state_root()));
    let global = format!("--log-format=json --log {log} {root}");
    let env = [("PATH", "/usr/bin:/bin"), ("XDG_RUNTIME_DIR", "/run")];
    call(&c, &env, &format!("{global} create --bundle {b} --pid-file {b}/pidfile {id}")).quiet();
    let init = Adopted::from_pid_file(&c.bundle().join("pidfile"));
    call(&c, &env, &format!("{root} start {id}")).quiet();
    let process = process_file(&c, &["exit", "0"]);
    call(&c, &env, &format!("{global} exec --pid-file {b}/exec_pid --process {process} --detach {id}")).quiet();
    drop(Adopted::from_pid_file(&c.bundle().join("exec_pid")));
    // One failure leaves one object, which Podman reads as the whole file.
    let failed = call(&c, &env, &format!("{global} exec --pid-file {b}/exec_pid2 --process /nope --detach {id}"));
    assert_ne!(failed.code, Some(0));
    let object: Value = serde_json::from_str(&fs::read_to_string(&log).expect("the log")).expect("one object");
    assert_eq!(object["level"], "error");
    assert!(!c.bundle().join("exec_pid2").exists(), "conmon takes a pid file for a program that was run");
    for line in ["pause", "resume"] {
        call(&c, &env[1..], &format!("{root} {line} {id}")).quiet();
    }
    call(&c, &env[1..], &format!("{root} kill --all {id} 9")).quiet();
    drop(init);
    call(&c, &env[1..], &format!("{root} delete --force {id}")).quiet();
    c.nothing_left();
}

/// Podman never says where the state is.
fn podman_without_a_root() {
    needs(Need::Orlop("the place of the state"));
    let c = Container::new().args(["sleep"]);
    c.write_config();
    let (b, id) = (text(&c.bundle()), c.id());
    let state = Path::new("/run/orlop");
    let existed = state.exists();
    let env = [("XDG_RUNTIME_DIR", "/run/user/0")];
    call(&c, &env, &format!("create --bundle {b} --pid-file {b}/pidfile {id}")).quiet();
    let init = Adopted::from_pid_file(&c.bundle().join("pidfile"));
    for line in [format!("start {id}"), format!("pause {id}"), format!("resume {id}"), format!("kill {id} 9")] {
        call(&c, &env, &line).quiet();
    }
    drop(init);
    assert!(state.join(id).exists());
    call(&c, &env, &format!("delete --force {id}")).quiet();
    assert!(!state.join(id).exists());
    if !existed {
        // Another container may have come meanwhile.
        fs::remove_dir(state).unwrap_or_default();
    }
}

fn crio_through_conmon() {
    let c = Container::new().args(["ignore-term"]);
    c.write_config();
    let (b, id) = (text(&c.bundle()), c.id());
    let root = format!("--root={}", text(c.state_root()));
    let env = [("CRI_O_EXTERNAL", "1"), ("XDG_RUNTIME_DIR", "/run"), ("PATH", "/usr/bin")];
    call(&c, &env, &format!("{root} create --bundle {b} --pid-file {b}/pidfile {id}")).quiet();
    let init = Adopted::from_pid_file(&c.bundle().join("pidfile"));
    let root = format!("--root {}", text(c.state_root()));
    call(&c, &env, &format!("{root} start {id}")).quiet();
    let state = call(&c, &env, &format!("{root} state {id}")).quiet().json();
    humantime::parse_rfc3339(state["created"].as_str().expect("a time")).expect("RFC 3339");
    let process = process_file(&c, &["exit", "4"]);
    call(&c, &env, &format!("{root} exec --process {process} {id}")).exits(4);
    call(&c, &env, &format!("{root} kill {id} 15")).quiet();
    call(&c, &env, &format!("{root} kill {id} KILL")).quiet();
    drop(init);
    call(&c, &env, &format!("{root} delete --force {id}")).quiet();
    c.nothing_left();
}

fn conmon_rs() {
    let c = Container::new().args(["sleep"]);
    c.write_config();
    let (b, id, root) = (text(&c.bundle()), c.id(), text(c.state_root()));
    call(&c, &[], &format!("--root={root} create --bundle {b} --pid-file {b}/pidfile {id}")).quiet();
    let _init = Adopted::from_pid_file(&c.bundle().join("pidfile"));
    call(&c, &[], &format!("--root={root} start {id}")).quiet();
    call(&c, &[], &format!("--root={root} exec -d --pid-file={b}/exec {id} /probe exit 0")).quiet();
    drop(Adopted::from_pid_file(&c.bundle().join("exec")));
}

fn buildkit() {
    needs(Need::Not("crun", "older releases refuse --keep"));
    let c = Container::new().args(["sleep"]);
    c.write_config();
    let (b, id, log) = (text(&c.bundle()), c.id(), text(&c.dir().join("runc-log.json")));
    let global = format!("--log {log} --log-format json --root {}", text(c.state_root()));
    let words = format!("{global} run --bundle {b} --keep {id}");
    let run = Call::runtime(c.dir()).args(words.split(' ')).spawn();
    let line = format!("{global} state {id}");
    until("the container to run", || {
        let state = Call::runtime(c.dir()).args(line.split(' ')).run();
        (state.code == Some(0) && state.json()["status"] == "running").then_some(())
    });
    run.wait_for("ready");
    let state = call(&c, &[], &line).quiet().json();
    assert_eq!(
        (PathBuf::from(state["bundle"].as_str().expect("a path")), state["rootfs"].is_string()),
        (c.bundle(), true)
    );
    let process = process_file(&c, &["exit", "6"]);
    call(&c, &[], &format!("{global} exec --process {process} --pid-file {b}/exec.pid {id}")).exits(6);
    call(&c, &[], &format!("{global} kill {id} 9")).quiet();
    run.wait().exits(137);
    // The cgroup stays for memory.events until the container is deleted.
    assert!(c.cgroup_dir().exists());
    call(&c, &[], &format!("{global} delete {id}")).quiet();
    c.nothing_left();
}

fn buildah() {
    let c = Container::new().args(["sleep"]);
    c.write_config();
    let (b, id, root) = (text(&c.bundle()), c.id(), text(c.state_root()));
    let global = format!("--root {root}");
    call(&c, &[], &format!("{global} create --bundle {b} --pid-file {b}/pid --no-new-keyring {id}")).quiet();
    let init = Adopted::from_pid_file(&c.bundle().join("pid"));
    call(&c, &[], &format!("{global} start {id}")).quiet();
    assert_eq!(call(&c, &[], &format!("{global} state {id}")).quiet().json()["status"], "running");
    call(&c, &[], &format!("{global} kill {id} SIGKILL")).quiet();
    drop(init);
    assert_eq!(call(&c, &[], &format!("{global} state {id}")).quiet().json()["status"], "stopped");
    call(&c, &[], &format!("{global} delete {id}")).quiet();
    c.nothing_left();
}

/// What Kubernetes' kubelet has changed when a pod is resized, as containerd's shim and CRI-O write it on standard input.
fn containerd_and_crio_update() {
    for controller in ["memory", "cpu", "cpuset", "pids"] {
        needs(Need::Controller(controller));
    }
    needs(Need::Not("crun", "before 1.24 it converts shares in another way"));
    needs(Need::Not("runc", "before 1.3.2 it converts shares in another way"));
    let c = Container::sleeping();
    let root = text(c.state_root());
    let update = |line: &str, resources: &Value| {
        let words = line.split(' ').chain([c.id()]);
        Call::runtime(c.dir())
            .args(words)
            .env_clear()
            .env("PATH", "/usr/bin")
            .stdin(&format!("{resources}\n"))
            .run()
            .quiet()
    };
    let file = |name: &str| fs::read_to_string(c.cgroup_dir().join(name)).expect("a limit").trim().to_owned();
    let log = text(&c.bundle().join("log.json"));
    let line = format!("--root {root} --log {log} --log-format json --systemd-cgroup update --resources=-");
    update(
        &line,
        &json!({
            "devices": [{"allow": false, "access": "rwm"}],
            "memory": {"limit": 134_217_728, "swap": 134_217_728},
            "cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0", "mems": "0"},
            "pids": {},
            "unified": {"memory.oom.group": "1"},
        }),
    );
    assert_eq!((file("memory.max").as_str(), file("memory.swap.max").as_str()), ("134217728", "0"));
    assert_eq!((file("cpu.weight").as_str(), file("cpu.max").as_str()), ("59", "50000 100000"));
    assert_eq!((file("pids.max").as_str(), file("memory.oom.group").as_str()), ("max", "1"));
    update(
        &format!("--root {root} update --resources -"),
        &json!({"cpu": {"shares": 1024, "quota": 20_000, "period": 100_000}}),
    );
    assert_eq!((file("cpu.weight").as_str(), file("cpu.max").as_str()), ("100", "20000 100000"));
    assert_eq!((file("memory.max").as_str(), file("cpuset.cpus").as_str()), ("134217728", "0"));
}

/// `podman update --memory 100m --cpus 0.5`: all limits in a file, whichever changed.
fn podman_updates() {
    for controller in ["memory", "cpu", "pids"] {
        needs(Need::Controller(controller));
    }
    let c = Container::sleeping();
    let resources = json!({
        "memory": {"limit": 104_857_600, "swap": 209_715_200},
        "cpu": {"quota": 50_000, "period": 100_000},
        "pids": {"limit": 2048},
        "blockIO": {},
        "unified": {},
    });
    let path = c.dir().join("update-resources");
    fs::write(&path, resources.to_string()).expect("write the file");
    let line = format!("--root {} update --resources={} {}", text(c.state_root()), text(&path), c.id());
    call(&c, &[("XDG_RUNTIME_DIR", "/run")], &line).quiet();
    let file = |name: &str| fs::read_to_string(c.cgroup_dir().join(name)).expect("a limit").trim().to_owned();
    assert_eq!((file("memory.max").as_str(), file("memory.swap.max").as_str()), ("104857600", "104857600"));
    assert_eq!((file("cpu.max").as_str(), file("pids.max").as_str()), ("50000 100000", "2048"));
}
