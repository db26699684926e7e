//! What other processes can see of the runtime's own, before it is the container's program.

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::config::join_namespace;
use crate::support::{Call, Container, Lane, Need, needs, until};

cases![
    a_neighbour_sees_nothing_of_an_init,
    a_neighbour_with_all_rights_in_its_user_namespace_sees_nothing_of_an_init,
    a_waiting_init_holds_nothing_of_the_host,
    descriptors_of_the_caller_do_not_reach_the_program,
    hooks_inherit_nothing,
    hooks_are_the_hosts_programs,
    no_socket_of_a_waiting_init_has_an_abstract_name,
];

/// CVE-2016-9962: a process that shares the pid namespace looks at every process that it finds, all the time.
fn a_neighbour_sees_nothing_of_an_init() {
    let snoop = Container::new().args(["snoop"]).up();
    for _ in 0..10 {
        let pid_namespace = format!("/proc/{}/ns/pid", snoop.pid());
        let c =
            Container::beside(&snoop).args(["exit", "0"]).edit(|config| join_namespace(config, "pid", &pid_namespace));
        c.create().ok();
        c.start().ok();
        c.wait_dead();
    }
    snoop.kill("TERM").quiet();
    let line = until("what was seen", || snoop.stdout().lines().find(|line| line.starts_with('{')).map(str::to_owned));
    let seen: Value = serde_json::from_str(&line).expect("JSON");
    assert!(seen["processes"].as_u64().is_some_and(|count| count > 0), "{seen}");
    // The program itself may be looked at: it belongs to the neighbour's own user.
    let names = |what: &str| seen[what].as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert!(names("exes").iter().all(|exe| exe == "/probe"), "{seen}");
    assert!(names("directories").iter().all(|directory| directory == "/"), "{seen}");
    assert_eq!((&seen["descriptors"], &seen["writable"]), (&json!({}), &json!([])));
}

/// CVE-2016-9962: the root of a user namespace may look into whatever belongs to it. An init that joins it doesn't, as
/// long as it is not dumpable.
fn a_neighbour_with_all_rights_in_its_user_namespace_sees_nothing_of_an_init() {
    let all = json!(["CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"]);
    let snoop = Container::new()
        .args(["snoop"])
        .user_namespace(100_000, 65_536)
        .set("/process/capabilities", json!({"bounding": all, "effective": all, "permitted": all}))
        .up();
    for _ in 0..5 {
        let c = Container::beside(&snoop).unset("/hostname").args(["exit", "0"]).user_namespace(100_000, 65_536).edit(
            |config| {
                for kind in ["user", "pid"] {
                    join_namespace(config, kind, &format!("/proc/{}/ns/{kind}", snoop.pid()));
                }
            },
        );
        c.create().ok();
        // It waits at its gate, for the neighbour to look at.
        std::thread::sleep(std::time::Duration::from_millis(20));
        c.start().ok();
        c.wait_dead();
    }
    snoop.kill("TERM").quiet();
    let line = until("what was seen", || snoop.stdout().lines().find(|line| line.starts_with('{')).map(str::to_owned));
    let seen: Value = serde_json::from_str(&line).expect("JSON");
    assert!(seen["processes"].as_u64().is_some_and(|count| count > 0), "{seen}");
    let exes: Vec<_> = seen["exes"].as_object().expect("an object").keys().collect();
    assert!(exes.iter().all(|exe| *exe == "/probe"), "{seen}");
    // The program's root is another container's than the neighbour's, so that roots say nothing here.
    assert_eq!((&seen["descriptors"], &seen["writable"]), (&json!({}), &json!([])));
    assert!(seen["directories"].as_object().expect("an object").keys().all(|directory| directory == "/"), "{seen}");
}

/// CVE-2016-9962, CVE-2024-21626: as the host's root sees it, who may look.
fn a_waiting_init_holds_nothing_of_the_host() {
    let c = Container::new();
    let call = c.prepare(Call::launched(c.dir(), &["--fd", "77=/"])).arg("create").arg("--bundle").arg(c.bundle());
    call.arg("--pid-file").arg(c.dir().join("pid")).arg(c.id()).run().ok();
    let proc = std::path::PathBuf::from(format!("/proc/{}", c.pid()));
    let link = |name: &str| std::fs::read_link(proc.join(name)).expect("read a link").to_string_lossy().into_owned();
    let number = |path: &std::fs::DirEntry| path.file_name().to_string_lossy().parse::<u32>().expect("a number");
    let above: Vec<String> = std::fs::read_dir(proc.join("fd"))
        .expect("list its descriptors")
        .flatten()
        .filter(|entry| number(entry) > 2)
        .map(|entry| link(&format!("fd/{}", number(&entry))))
        .collect();
    // The gate, and for a moment the conversation with `create`.
    assert!(matches!(above.len(), 1 | 2) && above.iter().all(|target| target.starts_with("socket:")), "{above:?}");
    let probe = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(c.rootfs().join("probe")).expect("stat"));
    for place in ["cwd", "root"] {
        let found = std::fs::metadata(proc.join(place).join("probe")).expect("the container's root");
        assert_eq!(std::os::unix::fs::MetadataExt::ino(&found), probe, "{place} is elsewhere");
    }
}

/// CVE-2024-21626: what a careless caller has open.
fn descriptors_of_the_caller_do_not_reach_the_program() {
    let c = Container::new();
    let call = c.prepare(Call::launched(c.dir(), &["--fd", "77=/", "--fd", "9=/etc"])).arg("run").arg("--bundle");
    let report = call.arg(c.bundle()).arg(c.id()).run().ok().report();
    let mut numbers: Vec<_> = report["fds"].as_object().expect("descriptors").keys().collect();
    numbers.sort();
    assert_eq!(numbers, ["0", "1", "2"]);
}

/// What a hook leaves behind in the container's namespaces must hold nothing of the runtime's.
fn hooks_inherit_nothing() {
    let c = Container::new().args(["exit", "0"]).hook("createContainer", &[]).hook("startContainer", &[]);
    let call = c.prepare(Call::launched(c.dir(), &["--fd", "77=/"])).arg("run").arg("--bundle");
    call.arg(c.bundle()).arg(c.id()).run().ok();
    let hooks = c.hooks();
    assert_eq!(hooks.len(), 2);
    for hook in hooks {
        // The hook has its record open by the time that it looks.
        let open = hook["fds"].as_object().expect("descriptors");
        assert!(open.keys().all(|number| ["0", "1", "2"].contains(&number.as_str())), "{open:?}");
        assert_ne!(open["0"], json!("/"));
    }
}

/// CVE-2026-84042, CVE-2022-1227: the image has something else at the paths of the host's programs. What is not its own
/// startContainer hook must not be taken from there.
fn hooks_are_the_hosts_programs() {
    let c = Container::new().args(["exit", "0"]);
    let program = Lane::get().probe().to_str().expect("a path of text");
    let c =
        c.file(program, "the image's").hook("prestart", &[]).hook("createRuntime", &[]).hook("createContainer", &[]);
    c.hook("poststart", &[]).run().ok();
}

/// CVE-2020-15257: an abstract name can be connected to by every process of the network namespace, whatever its root.
fn no_socket_of_a_waiting_init_has_an_abstract_name() {
    needs(Need::Orlop("others wait at a FIFO"));
    let c = Container::new();
    c.create().ok();
    let open = std::fs::read_dir(format!("/proc/{}/fd", c.pid())).expect("list its descriptors").flatten();
    let inodes: Vec<String> = open
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter_map(|target| Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let sockets = std::fs::read_to_string("/proc/net/unix").expect("list the sockets");
    let names: Vec<&str> = sockets
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.get(6).is_some_and(|inode| inodes.iter().any(|own| own == inode)))
        .filter_map(|fields| fields.get(7).copied())
        .collect();
    assert!(!names.is_empty(), "the gate is not among {inodes:?}");
    assert!(names.iter().all(|name| !name.starts_with('@')), "{names:?}");
}
