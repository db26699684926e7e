//! What a user of an engine sees when Orlop is the engine's runtime.
//!
//! Each case is a script, as somebody would type it, and one expectation. The cases of an engine are in the file of its name. They run
//! on a machine that is theirs alone (`run.sh` boots one: on the host, or a virtual one), since engines are set up for them and
//! whatever they leave is looked for at the end. `ORLOP_TEST_RUNTIME` says which runtime is under test; with another one than Orlop the
//! cases test their own expectations.

mod buildah;
mod case;
mod compose;
mod containerd;
mod cri;
mod docker;
mod in_place_of;
mod leftovers;
mod machine;
mod podman;
mod podman_rootless;
mod set_up;

use std::collections::BTreeSet;
use std::fs;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};

use case::Case;
use machine::Machine;

/// How long each case took, for whoever compares runtimes.
static TIMES: Mutex<Vec<(String, Duration)>> = Mutex::new(Vec::new());

const ENGINES: [(&str, &[Case]); 7] = [
    ("buildah", buildah::CASES),
    ("compose", compose::CASES),
    ("containerd", containerd::CASES),
    ("cri", cri::CASES),
    ("docker", docker::CASES),
    ("podman", podman::CASES),
    ("podman_rootless", podman_rootless::CASES),
];

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    if words.first().is_some_and(|word| word == in_place_of::WORD) {
        eprintln!("engines: {}", in_place_of::the_runtime(&words[1..]));
        return ExitCode::from(127);
    }
    let arguments = Arguments::from_args();
    let machine = match Machine::prepare() {
        Ok(machine) => Box::leak(Box::new(machine)),
        Err(why) => {
            eprintln!("engines: {why}");
            return ExitCode::from(2);
        }
    };
    let trials = chosen().into_iter().map(|(engine, case)| trial(machine, engine, case)).collect();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let before = leftovers::of_containers();
    let conclusion = libtest_mimic::run(&arguments, trials);
    print_times();
    println!("the runtime was called {} times: {}", in_place_of::calls(), machine.version());
    let left = leftovers::in_the_end(&before);
    for one in &left {
        println!("left behind: {one}");
    }
    if conclusion.num_passed > 0 && in_place_of::calls() == 0 {
        println!("engines: none of them called it");
        return ExitCode::from(1);
    }
    if conclusion.num_passed == 0 {
        println!("engines: no case passed");
        return ExitCode::from(1);
    }
    if left.is_empty() { conclusion.exit_code() } else { ExitCode::from(1) }
}

/// The cases to run: all, the selection of `make test`, or those that the file `ORLOP_TEST_ONLY` names, a line each.
fn chosen() -> Vec<(&'static str, &'static Case)> {
    let quick = std::env::var_os("ORLOP_ENGINES_QUICK").is_some();
    let only = std::env::var_os("ORLOP_TEST_ONLY")
        .map(|path| fs::read_to_string(path).expect("the file of names can be read"));
    let only: Option<BTreeSet<&str>> = only.as_deref().map(|text| text.lines().collect());
    let all = ENGINES.iter().flat_map(|(engine, cases)| cases.iter().map(move |case| (*engine, case)));
    all.filter(|(_, case)| case.quick || !quick)
        .filter(|(engine, case)| only.as_ref().is_none_or(|only| only.contains(&*format!("{engine}::{}", case.name))))
        .collect()
}

fn trial(machine: &'static Machine, engine: &'static str, case: &'static Case) -> Trial {
    let name = format!("{engine}::{}", case.name);
    let lacking: BTreeSet<&str> = case.needs.iter().copied().filter(|need| !machine.has(need)).collect();
    if !lacking.is_empty() {
        let kind = format!("needs {}", Vec::from_iter(lacking).join(", "));
        return Trial::test(name, || Ok(())).with_ignored_flag(true).with_kind(kind);
    }
    let label = name.clone();
    Trial::test(name, move || {
        let (outcome, took) = machine.run(engine, case);
        TIMES.lock().expect("nobody panics with it").push((label, took));
        outcome.map_err(Failed::from)
    })
}

fn print_times() {
    let mut times = std::mem::take(&mut *TIMES.lock().expect("nobody panics with it"));
    times.sort();
    for (name, took) in times {
        println!("time {name} {:.2}", took.as_secs_f64());
    }
}
