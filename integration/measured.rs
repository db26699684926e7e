//! What takes systemd or a controller, measured beside the guest's crun. `make bench-vm` makes a page of the rows that this prints;
//! nothing is asserted but that Orlop can do it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::case::cases;
use crate::support::wait::rounds;
use crate::support::{Call, Container, Lane, Need, Output, needs};

cases![beside_the_guests_crun];

/// One after the other: a time is worth little while something else runs.
fn beside_the_guests_crun() {
    needs(Need::Orlop("a measurement of it"));
    needs(Need::Systemd);
    needs(Need::Controller("memory"));
    needs(Need::Controller("pids"));
    needs(Need::Program("crun"));
    let programs = [Lane::get().runtime().to_owned(), PathBuf::from("/usr/bin/crun")];
    let version = std::process::Command::new(&programs[1]).arg("--version").output().expect("run crun").stdout;
    println!("measured with: {}", String::from_utf8_lossy(&version).lines().next().unwrap_or_default());
    run_times(&programs, "the systemd driver", "≤ 1.00 × crun", in_a_scope, &["--systemd-cgroup"]);
    run_times(&programs, "cgroups of its own making", "-", |c| c, &[]);
    smallest_limit(&programs);
    one_process(&programs);
}

fn row(what: &str, goal: &str, ratio: &str, ours: &str, theirs: &str) {
    println!("measured: | {what} | {goal} | {ratio} | {ours} | {theirs} |");
}

/// crun wants to be told the slice.
fn in_a_scope(c: Container) -> Container {
    let path = format!("system.slice:measured:{}", c.id());
    c.set("/linux/cgroupsPath", path)
}

fn run(c: &Container, program: &Path, flags: &[&str]) -> (Output, Duration) {
    c.write_config();
    let call = Call::new(c.dir(), program).arg("--root").arg(c.state_root()).args(flags.iter().copied());
    let call = call.arg("run").arg("--bundle").arg(c.bundle()).arg(c.id());
    let begin = Instant::now();
    let output = call.run();
    (output, begin.elapsed())
}

fn run_times(
    programs: &[PathBuf; 2],
    driver: &str,
    goal: &str,
    change: impl Fn(Container) -> Container,
    flags: &[&str],
) {
    let count = rounds(4);
    let mut times = [const { Vec::new() }; 2];
    for round in 0..=count {
        for i in [round % 2, (round + 1) % 2] {
            let (output, time) = run(&change(Container::new().args(["exit", "0"])), &programs[i], flags);
            output.ok();
            // What is read from disk, and what systemd sets up once, falls into the first.
            if round > 0 {
                times[i].push(time);
            }
        }
    }
    let [ours, theirs] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e3
    });
    let ratio = format!("{:.2}", ours / theirs);
    row(&format!("`run` with {driver}, median of {count}"), goal, &ratio, &in_ms(ours), &in_ms(theirs));
}

fn in_ms(time: f64) -> String {
    format!("{time:.0} ms")
}

/// A container with that `memory.max`, and no swap beyond it.
fn starts_within(program: &Path, kib: u64) -> bool {
    let limit = kib << 10;
    let c = Container::new().args(["exit", "0"]);
    let c = c.set("/linux/resources/memory", json!({"limit": limit, "swap": limit}));
    run(&c, program, &[]).0.code == Some(0)
}

/// To sixteen KiB; the limit that counts is one with which it starts three times in a row.
fn smallest_limit(programs: &[PathBuf; 2]) {
    const STEP: u64 = 16;
    let [ours, theirs] = [&programs[0], &programs[1]].map(|program| {
        let (mut too_little, mut enough) = (0, 4096 / STEP);
        while enough - too_little > 1 {
            let middle = too_little.midpoint(enough);
            if (0..3).all(|_| starts_within(program, middle * STEP)) { enough = middle } else { too_little = middle }
        }
        enough * STEP
    });
    #[allow(clippy::cast_precision_loss, reason = "some thousands")]
    let ratio = format!("{:.2}", ours as f64 / theirs as f64);
    let what = "smallest `memory.max` that starts a static program";
    row(what, "≤ 512 KiB", &ratio, &format!("{ours} KiB"), &format!("{theirs} KiB"));
}

fn one_process(programs: &[PathBuf; 2]) {
    let [ours, theirs] = [&programs[0], &programs[1]].map(|program| {
        let c = Container::new().args(["exit", "0"]).set("/linux/resources/pids", json!({"limit": 1}));
        if run(&c, program, &[]).0.code == Some(0) { "works" } else { "fails" }
    });
    row("`pids.max` 1", "works", "-", ours, theirs);
    assert_eq!(ours, "works");
}
