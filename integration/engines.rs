//! The configs that real engines send, in `configs/`, with paths of this machine in place of theirs.
//!
//! They were captured from containerd (ctr and its CRI plugin), Docker and Podman. Taken out are fields that
//! take what a machine may lack (`AppArmor`, limits), and systemd's cgroup paths.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::config::join_namespace;
use crate::support::{ConsoleSocket, Container, Exit, Lane, Need, needs};

cases![
    a_container_of_ctr,
    a_pod_sandbox_of_cri,
    a_container_in_a_pod_of_cri,
    a_container_of_docker,
    a_container_of_docker_with_its_network_hook,
    a_container_of_podman,
    a_container_of_podman_with_a_terminal,
    a_pod_of_podman,
];

const CTR: &str = include_str!("configs/ctr.json");
const CRI_SANDBOX: &str = include_str!("configs/cri-sandbox.json");
const CRI_CONTAINER: &str = include_str!("configs/cri-container.json");
const DOCKER: &str = include_str!("configs/docker.json");
const PODMAN: &str = include_str!("configs/podman.json");
const PODMAN_TERMINAL: &str = include_str!("configs/podman-tty.json");
const PODMAN_POD_INFRA: &str = include_str!("configs/podman-pod-infra.json");
const PODMAN_POD_MEMBER: &str = include_str!("configs/podman-pod-member.json");

/// A container of that config, with the probe for a program and sources of its own for the bind mounts.
fn engine(text: &str, words: &[&str]) -> Container {
    let mut config: Value = serde_json::from_str(text).expect("an engine's config is JSON");
    let c = Container::new();
    config["root"]["path"] = json!(c.rootfs());
    config["linux"]["cgroupsPath"] = c.config()["linux"]["cgroupsPath"].clone();
    config["process"]["args"] = json!(std::iter::once("/probe").chain(words.iter().copied()).collect::<Vec<_>>());
    config["ociVersion"] = json!("1.0.2");
    if c.config()["linux"]["resources"].get("devices").is_none() {
        config["linux"]["resources"] = json!({});
    }
    if !Lane::has_capability("CAP_SYS_RESOURCE") {
        spare_privileges(&mut config);
    }
    for (index, mount) in config["mounts"].as_array_mut().expect("mounts").iter_mut().enumerate() {
        if mount["type"] == "bind" {
            mount["source"] = json!(source(c.dir(), index, &mount["destination"]));
        }
    }
    c.edit(|whole| *whole = config)
}

/// What raises limits or lowers the score takes a capability that this machine's root may lack.
fn spare_privileges(config: &mut Value) {
    let process = config["process"].as_object_mut().expect("an object");
    process.remove("rlimits");
    if process.get("oomScoreAdj").and_then(Value::as_i64).is_some_and(|score| score < 0) {
        process.remove("oomScoreAdj");
    }
}

/// A file or, for /dev/shm, a directory to bind there.
fn source(dir: &Path, index: usize, target: &Value) -> std::path::PathBuf {
    let path = dir.join(format!("source-{index}"));
    match target.as_str() {
        Some("/dev/shm") => fs::create_dir(&path).expect("create a source"),
        _ => fs::write(&path, format!("for {target}")).expect("write a source"),
    }
    path
}

/// The lifecycle as a shim goes through it, with a report in between.
fn lives(c: &Container) -> Value {
    c.create().quiet();
    assert_eq!(c.status(), "created");
    c.start().quiet();
    let report = c.report();
    c.wait_for("ready");
    c.kill("15").quiet();
    assert_eq!(c.wait_exit(), Exit::Code(128 + 15));
    c.delete().quiet();
    c.nothing_left();
    report
}

const REPORT: &[&str] = &["sequence", "report", "/etc", "--", "sleep"];

fn mounts_are_the_configs(report: &Value, c: &Container) {
    let mounted =
        |target: &Value| report["mounts"].as_array().is_some_and(|all| all.iter().any(|m| m["target"] == *target));
    for mount in c.config()["mounts"].as_array().expect("mounts") {
        assert!(mounted(&mount["destination"]), "nothing is mounted at {}", mount["destination"]);
    }
}

fn capabilities_are_the_configs(report: &Value, c: &Container) {
    let names = |list: &Value| {
        let mut names: Vec<String> =
            list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        names.sort();
        names
    };
    for set in ["bounding", "effective", "permitted"] {
        assert_eq!(names(&report["capabilities"][set]), names(&c.config()["process"]["capabilities"][set]), "{set}");
    }
}

fn lives_as_configured(c: &Container) -> Value {
    let report = lives(c);
    mounts_are_the_configs(&report, c);
    capabilities_are_the_configs(&report, c);
    report
}

fn a_container_of_ctr() {
    let report = lives_as_configured(&engine(CTR, REPORT));
    assert_eq!((&report["pid"], &report["noNewPrivs"]), (&json!(1), &json!(1)));
}

fn a_pod_sandbox_of_cri() {
    let c = engine(CRI_SANDBOX, REPORT);
    // The engine's network namespace is made by its plugins; this one's is anybody's.
    let holder = Container::sleeping();
    let path = format!("/proc/{}/ns/net", holder.pid());
    let c = c.edit(|config| join_namespace(config, "network", &path));
    lives_as_configured(&c);
}

fn a_container_in_a_pod_of_cri() {
    let sandbox = Container::sleeping();
    let c = engine(CRI_CONTAINER, REPORT).edit(|config| {
        for (kind, file) in [("pid", "pid"), ("ipc", "ipc"), ("uts", "uts"), ("network", "net")] {
            join_namespace(config, kind, &format!("/proc/{}/ns/{file}", sandbox.pid()));
        }
    });
    let report = lives_as_configured(&c);
    assert_ne!(report["pid"], 1);
}

fn a_container_of_docker() {
    lives_as_configured(&engine(DOCKER, REPORT));
}

fn a_container_of_docker_with_its_network_hook() {
    let c = engine(DOCKER, REPORT).hook("prestart", &[]);
    lives_as_configured(&c);
    assert_eq!(c.hook_order(), ["prestart"]);
}

fn a_container_of_podman() {
    let report = lives_as_configured(&engine(PODMAN, REPORT));
    assert_eq!(report["umask"], 0o022);
}

fn a_container_of_podman_with_a_terminal() {
    let c = engine(PODMAN_TERMINAL, &["echo-line"]);
    let socket = ConsoleSocket::new(c.dir());
    c.create_with([Path::new("--console-socket"), socket.path()]).quiet();
    let (mut pty, _) = socket.receive();
    c.start().quiet();
    pty.wait_for("ready");
    pty.type_text("hello\n");
    pty.wait_for("got hello");
    assert_eq!(c.wait_exit(), Exit::Code(0));
}

fn a_pod_of_podman() {
    needs(Need::Root);
    let infra = engine(PODMAN_POD_INFRA, &["sleep"]).up();
    let member = engine(PODMAN_POD_MEMBER, REPORT).edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
        for namespace in namespaces.iter_mut().filter(|namespace| namespace.get("path").is_some()) {
            let file = match namespace["type"].as_str() {
                Some("network") => "net",
                Some(other) => other,
                None => panic!("a namespace has a type"),
            };
            namespace["path"] = json!(format!("/proc/{}/ns/{file}", infra.pid()));
        }
    });
    let report = lives_as_configured(&member);
    let of_infra = |file: &str| fs::read_link(format!("/proc/{}/ns/{file}", infra.pid())).expect("read a link");
    for file in ["net", "ipc", "uts"] {
        assert_eq!(report["namespaces"][file], json!(of_infra(file)), "{file}");
    }
}
