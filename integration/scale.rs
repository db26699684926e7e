//! What each entry of a long list costs in system calls, and that a field that is absent costs none.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::{Call, Container, Lane, Need, needs};

cases![
    masked_paths_cost_the_same_each,
    read_only_paths_cost_the_same_each,
    bind_mounts_cost_the_same_each,
    absent_fields_cost_nothing,
];

/// How often each system call is made for a `run`, in all processes of it.
fn calls(c: &Container) -> BTreeMap<String, usize> {
    needs(Need::Program("strace"));
    needs(Need::Orlop("its own way of doing it"));
    let trace = c.dir().join("trace");
    let strace = Call::new(c.dir(), "strace").args(["-f", "-qq", "-o"]).arg(&trace).arg(Lane::get().runtime());
    c.prepare(strace).arg("run").arg("--bundle").arg(c.bundle()).arg(c.id()).run().ok();
    let mut calls = BTreeMap::new();
    for line in fs::read_to_string(trace).expect("read the trace").lines() {
        let name = line.split_whitespace().nth(1).and_then(|rest| rest.split_once('('));
        if let Some((name, _)) = name.filter(|(name, _)| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')) {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    calls
}

/// What one entry more costs, from a list of `few` and one of `many`: the same at any length. Descriptors are closed as well, which
/// debug builds look at before.
fn cost(few: usize, many: usize, with: impl Fn(usize) -> Container) -> BTreeMap<String, usize> {
    let (short, long) = (calls(&with(few)), calls(&with(many)));
    let entries = many - few;
    let mut cost = BTreeMap::new();
    for (name, count) in long {
        let more = count.saturating_sub(short.get(&name).copied().unwrap_or(0));
        // Waits and the like differ from run to run.
        let each = (more + entries / 4) / entries;
        assert!(more <= each * entries + 64, "{name}: {more} more for {entries} entries");
        if each > 0 && !["close", "fcntl"].contains(&name.as_str()) {
            cost.insert(name, each);
        }
    }
    cost
}

fn is(cost: &BTreeMap<String, usize>, expected: &[&str]) {
    let expected: BTreeMap<String, usize> = expected.iter().map(|name| ((*name).to_owned(), 1)).collect();
    assert_eq!(cost, &expected);
}

/// A root file system with that many files and directories, and nothing to protect but them.
fn with_paths(list: &str, count: usize) -> Container {
    let c = Container::new().args(["exit", "0"]);
    let c = (0..count)
        .fold(c, |c, i| if i % 2 == 0 { c.directory(&format!("/x/{i}")) } else { c.file(&format!("/x/{i}"), "") });
    let paths: Vec<Value> = (0..count).map(|i| json!(format!("/x/{i}"))).collect();
    c.set(&format!("/linux/{list}"), paths)
}

fn masked_paths_cost_the_same_each() {
    let cost = cost(4, 260, |count| with_paths("maskedPaths", count));
    is(&cost, &["fstat", "move_mount", "open_tree", "openat2"]);
}

fn read_only_paths_cost_the_same_each() {
    let cost = cost(4, 260, |count| with_paths("readonlyPaths", count));
    is(&cost, &["mount_setattr", "move_mount", "open_tree", "openat2"]);
}

fn bind_mounts_cost_the_same_each() {
    let with = |count: usize| {
        let c = Container::new().args(["exit", "0"]);
        let source = c.dir().join("source");
        fs::create_dir(&source).expect("make a source");
        (0..count).fold(c, |c, i| c.directory(&format!("/x/{i}")).bind(&source, &format!("/x/{i}"), ["nosuid", "ro"]))
    };
    let cost = cost(4, 1004, with);
    // fstatfs: whether the target is in procfs (CVE-2025-52881).
    is(&cost, &["fstatfs", "mount_setattr", "move_mount", "open_tree", "openat2"]);
}

/// Without labels, shares of caches and annotations nobody looks whether the machine has what they take.
fn absent_fields_cost_nothing() {
    needs(Need::Program("strace"));
    needs(Need::Orlop("its own way of doing it"));
    let c = Container::new().args(["exit", "0"]);
    let trace = c.dir().join("trace");
    let strace =
        Call::new(c.dir(), "strace").args(["-f", "-qq", "-s", "200", "-o"]).arg(&trace).arg(Lane::get().runtime());
    c.prepare(strace).arg("run").arg("--bundle").arg(c.bundle()).arg(c.id()).run().ok();
    let trace = fs::read_to_string(trace).expect("read the trace");
    for word in ["apparmor", "selinux", "resctrl", "thread-self", "/attr/", "mountinfo", "cpuinfo", "delegate"] {
        assert!(!trace.contains(word), "{word} in {trace}");
    }
}
