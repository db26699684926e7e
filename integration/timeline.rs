//! `--timeline`: the times of named steps, on both sides.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::case::cases;
use crate::support::{Call, Container, Lane, Need, needs};

cases![
    a_trace_has_the_steps_of_both_sides_in_order,
    a_dash_prints_a_table,
    an_exec_has_one_too,
    a_creation_ends_at_the_gate,
    a_failure_has_one_that_says_where,
    it_works_under_a_filter,
    the_container_has_nothing_of_it,
    without_it_no_memory_is_shared_and_nothing_printed,
    a_file_that_cannot_be_written_is_refused_first,
];

fn ours() {
    needs(Need::Orlop("the flag is its own"));
}

fn file(c: &Container) -> PathBuf {
    c.dir().join("timeline.json")
}

fn events(file: &Path) -> Vec<Value> {
    let text = fs::read(file).expect("there is a timeline");
    let trace: Value = serde_json::from_slice(&text).expect("it is JSON");
    trace["traceEvents"].as_array().expect("events").clone()
}

/// The names of the steps of that side, in the order in which they began.
fn steps(file: &Path, side: u64) -> Vec<String> {
    let events = events(file);
    let of_side: Vec<&Value> =
        events.iter().filter(|event| event["tid"] == side && event.get("ts").is_some()).collect();
    let begins: Vec<f64> = of_side.iter().map(|event| event["ts"].as_f64().expect("a time")).collect();
    assert!(begins.is_sorted(), "{begins:?}");
    of_side.iter().map(|event| event["name"].as_str().expect("a name").to_owned()).collect()
}

/// That these are among the steps, in this order.
fn in_order(steps: &[String], expected: &[&str]) {
    let mut rest = steps.iter();
    for step in expected {
        assert!(rest.any(|there| there == step), "{step} is not where it belongs in {steps:#?}");
    }
}

fn a_trace_has_the_steps_of_both_sides_in_order() {
    ours();
    let c = Container::new();
    c.run_with([Path::new("--timeline"), &file(&c)]).quiet();
    in_order(
        &steps(&file(&c), 0),
        &[
            "start, and start over from a protected file",
            "read config.json",
            "plan",
            "claim the id",
            "make the cgroup",
            "clone",
            "put limits and device rules in force",
            "wait for Ready",
            "save the state",
            "open the gate, until the program is executed",
            "stay with the program",
            "delete",
            "remove the state",
        ],
    );
    in_order(
        &steps(&file(&c), 1),
        &[
            "enter namespaces",
            "attach the root",
            "mount",
            "mount /proc",
            "make the devices",
            "enter the root",
            "find the program",
            "wait for Saved",
            "wait at the gate",
            "become the user",
            "execute the program",
        ],
    );
    // All came to their end but the one in whose place the program came.
    let open: Vec<Value> = events(&file(&c)).into_iter().filter(|event| event["ph"] == "B").collect();
    assert!(open.len() == 1 && open[0]["name"] == "execute the program", "{open:?}");
}

fn a_dash_prints_a_table() {
    ours();
    let output = Container::new().run_with(["--timeline", "-"]).ok();
    let head = output.stderr.lines().next().unwrap_or_default();
    assert_eq!(head.split_whitespace().collect::<Vec<_>>(), ["AT", "(ms)", "TOOK", "(ms)", "WHO", "STEP"]);
    let mounted = output.stderr.lines().find(|line| line.ends_with("    mount /proc")).expect("a step within a step");
    assert!(mounted.contains("the container's process"), "{mounted}");
}

fn an_exec_has_one_too() {
    ours();
    let c = Container::sleeping();
    let exec = c.call("exec").arg("--timeline").arg(file(&c)).arg(c.id()).args(["/probe", "exit", "3"]);
    exec.run().exits(3);
    in_order(&steps(&file(&c), 0), &["load the state", "clone", "wait until the program is executed"]);
    in_order(&steps(&file(&c), 1), &["join the container's namespaces", "find the program", "become the user"]);
    assert_eq!(steps(&file(&c), 2), ["execute the program"]);
}

fn a_creation_ends_at_the_gate() {
    ours();
    let c = Container::new();
    c.create_with([Path::new("--timeline"), &file(&c)]).quiet();
    in_order(&steps(&file(&c), 0), &["clone", "wait for Ready", "save the state", "write the pid file"]);
    let inside = steps(&file(&c), 1);
    in_order(&inside, &["enter namespaces", "find the program"]);
    assert!(!inside.iter().any(|step| step == "execute the program"), "{inside:?}");
    c.start().quiet();
    c.report();
}

fn a_failure_has_one_that_says_where() {
    ours();
    let c = Container::new().args(["report"]).set("/process/args/0", "/nowhere");
    c.run_with([Path::new("--timeline"), &file(&c)]).fails(["/nowhere"]);
    assert_eq!(steps(&file(&c), 1).last().map(String::as_str), Some("find the program"));
    c.nothing_left();
}

/// A clock that takes a system call to be read would be stopped by a filter that forbids the call.
fn it_works_under_a_filter() {
    ours();
    for no_new_privileges in [true, false] {
        let c = Container::new().args(["exit", "0"]).set("/process/noNewPrivileges", no_new_privileges);
        let filter = serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
            "syscalls": [{ "names": ["clock_gettime"], "action": "SCMP_ACT_KILL_PROCESS" }],
        });
        let c = c.set("/linux/seccomp", filter);
        c.run_with([Path::new("--timeline"), &file(&c)]).quiet();
        assert_eq!(steps(&file(&c), 1).last().map(String::as_str), Some("execute the program"));
    }
}

fn the_container_has_nothing_of_it() {
    ours();
    let c = Container::new();
    let report = c.run_with([Path::new("--timeline"), &file(&c)]).ok().report();
    let open: Vec<&String> = report["fds"].as_object().expect("descriptors").keys().collect();
    assert_eq!(open, ["0", "1", "2"]);
    // While it waits, the memory is there, and neither a file nor a descriptor is.
    let c = Container::new();
    c.create_with([Path::new("--timeline"), &file(&c)]).quiet();
    let maps = fs::read_to_string(format!("/proc/{}/maps", c.pid())).expect("read its memory's map");
    assert!(maps.contains("/dev/zero") && !maps.contains("timeline"), "{maps}");
    for descriptor in fs::read_dir(format!("/proc/{}/fd", c.pid())).expect("read its descriptors") {
        let leads_to = fs::read_link(descriptor.expect("a descriptor").path()).expect("a link");
        assert!(!leads_to.ends_with("timeline.json"), "{}", leads_to.display());
    }
}

fn without_it_no_memory_is_shared_and_nothing_printed() {
    ours();
    needs(Need::Program("strace"));
    let shared = |options: &[&str]| {
        let c = Container::new().args(["exit", "0"]);
        let trace = c.dir().join("trace");
        let strace = Call::new(c.dir(), "strace").args(["-f", "-e", "trace=mmap,clock_gettime,clock_getres", "-o"]);
        let call = c.prepare(strace.arg(&trace).arg(Lane::get().runtime())).args(["run"]).args(options);
        let output = call.arg("--bundle").arg(c.bundle()).arg(c.id()).run().ok();
        let calls = fs::read_to_string(trace).expect("read the trace");
        (calls.contains("MAP_SHARED") || calls.contains("clock_"), output.stderr)
    };
    assert_eq!(shared(&[]), (false, String::new()));
    let (uses, table) = shared(&["--timeline", "-"]);
    assert!(uses && !table.is_empty());
}

fn a_file_that_cannot_be_written_is_refused_first() {
    ours();
    let c = Container::new();
    c.run_with(["--timeline", "/nowhere/timeline"])
        .fails(["--timeline /nowhere/timeline", "no such file or directory"]);
    c.nothing_left();
}
