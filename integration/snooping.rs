//! What a container sees of the processes that join it: nothing of the host's, whatever it may do (rules R4 and R5).

use serde_json::{Value, json};

use crate::support::case::{cases, in_parallel};
use crate::support::wait::rounds;
use crate::support::{Container, Need, needs, until};

cases![a_container_in_a_user_namespace_sees_nothing, a_container_with_the_right_to_trace_sees_nothing_of_the_host,];

/// Joins the snooping container many times over, and returns what it saw.
fn seen(c: &Container) -> Value {
    in_parallel(4, rounds(150), |_| drop(c.call("exec").args([c.id(), "/probe", "exit", "0"]).run().quiet()));
    c.kill("TERM").quiet();
    let line = until("what was seen", || c.stdout().lines().find(|line| line.starts_with('{')).map(str::to_owned));
    serde_json::from_str(&line).expect("JSON")
}

fn a_container_in_a_user_namespace_sees_nothing() {
    needs(Need::Not("crun", "this is about Orlop's processes"));
    let c = Container::new().args(["snoop"]).user_namespace(100_000, 65_536);
    let all = json!(["CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH"]);
    let c = c.set("/process/capabilities", json!({"bounding": all, "effective": all, "permitted": all})).up();
    let seen = seen(&c);
    assert!(seen["processes"].as_u64().is_some_and(|count| count > 0), "{seen}");
    // Before it executes the program a process can't be looked into, and afterwards there is only the program.
    assert_eq!(
        (&seen["exes"].as_object().map(|all| all.keys().collect::<Vec<_>>()), &seen["writable"]),
        (&Some(vec![&"/probe".to_owned()]), &json!([]))
    );
    assert_eq!((&seen["descriptors"], &seen["otherRoots"]), (&json!({}), &json!(0)));
}

fn a_container_with_the_right_to_trace_sees_nothing_of_the_host() {
    needs(Need::Orlop("others show the process before it has dropped its privileges"));
    let sets = json!(["CAP_SYS_PTRACE", "CAP_KILL"]);
    let c = Container::new().args(["snoop"]);
    let c = c.set("/process/capabilities", json!({"bounding": sets, "effective": sets, "permitted": sets})).up();
    let seen = seen(&c);
    assert!(seen["processes"].as_u64().is_some_and(|count| count > 0), "{seen}");
    assert_eq!(seen["otherRoots"], 0, "a root that is not the container's: {seen}");
    let directories: Vec<&String> = seen["directories"].as_object().expect("directories").keys().collect();
    assert_eq!(directories, ["/"], "a directory that is not the container's: {seen}");
    // The conversation with the runtime is a socket; nothing else is open.
    let descriptors: Vec<&String> = seen["descriptors"].as_object().expect("descriptors").keys().collect();
    assert!(descriptors.iter().all(|kind| *kind == "socket"), "{seen}");
    // CAP_KILL is 5, CAP_SYS_PTRACE 19: no process had ever more.
    assert_eq!(seen["capabilities"], (1 << 5) | (1 << 19), "{seen}");
    assert_eq!(seen["writable"], json!([]), "{seen}");
}
