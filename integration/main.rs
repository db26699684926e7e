//! Black-box tests: they drive the built program against a real kernel and look at what a process in the container sees.
//!
//! Another runtime's program can be put in its place with `ORLOP_TEST_RUNTIME=/path`, which tests the expectations: a case
//! about something of Orlop's own is then ignored with the reason. Filters, `--list` and `--test-threads` work as with any
//! Rust test. What a case may use is described in [`support`].

mod advisories;
mod annotations;
mod bad_input;
mod bad_situations;
mod by_hand;
mod callers;
mod capabilities;
mod cgroup;
mod checkpoint;
mod checkpoint_trust;
mod delete;
mod devices;
mod documents;
mod engines;
mod errors_log;
mod events;
mod exec;
mod exec_terminal;
mod features;
mod gate;
mod golden;
mod hooks;
mod intel_rdt;
mod kill;
mod labels;
mod lifecycle;
mod list;
mod live_mounts;
mod masked;
mod measured;
mod mount_options;
mod mounts;
mod namespaces;
mod net_devices;
mod pause;
mod process;
mod ps;
mod resources;
mod rlimits;
mod rootless;
mod scale;
mod scheduling;
mod seccomp;
mod shared_mounts;
mod snooping;
mod spec;
mod state;
mod stress;
mod support;
mod systemd;
mod systemd_driver;
mod terminal;
mod time;
mod timeline;
mod update;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use support::Case;
use support::lane::Lane;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = chosen().into_iter().map(Case::into_trial).collect();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    match Lane::enter() {
        Ok(()) => run(&arguments, trials),
        Err(error) => {
            eprintln!("cannot set up the suite: {error}");
            ExitCode::from(101)
        }
    }
}

/// All cases, or those that the file `ORLOP_TEST_ONLY` names: one on each line, or the start of several (`cgroup::`).
fn chosen() -> Vec<Case> {
    let Some(file) = std::env::var_os("ORLOP_TEST_ONLY") else { return cases() };
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let named = |case: &Case| {
        let name = case.name();
        text.lines().any(|line| line == name || line.ends_with("::") && name.starts_with(line))
    };
    cases().into_iter().filter(named).collect()
}

fn cases() -> Vec<Case> {
    [
        // The longest first, so that the others fill the time beside them.
        stress::cases(),
        snooping::cases(),
        lifecycle::cases(),
        process::cases(),
        capabilities::cases(),
        resources::cases(),
        rlimits::cases(),
        seccomp::cases(),
        rootless::cases(),
        scheduling::cases(),
        namespaces::cases(),
        net_devices::cases(),
        mounts::cases(),
        shared_mounts::cases(),
        mount_options::cases(),
        devices::cases(),
        masked::cases(),
        hooks::cases(),
        terminal::cases(),
        time::cases(),
        timeline::cases(),
        systemd::cases(),
        systemd_driver::cases(),
        cgroup::cases(),
        gate::cases(),
        state::cases(),
        list::cases(),
        intel_rdt::cases(),
        annotations::cases(),
        scale::cases(),
        kill::cases(),
        labels::cases(),
        exec::cases(),
        exec_terminal::cases(),
        ps::cases(),
        events::cases(),
        update::cases(),
        pause::cases(),
        live_mounts::cases(),
        delete::cases(),
        checkpoint::cases(),
        checkpoint_trust::cases(),
        spec::cases(),
        features::cases(),
        by_hand::cases(),
        errors_log::cases(),
        bad_input::cases(),
        bad_situations::cases(),
        engines::cases(),
        advisories::cases(),
        documents::cases(),
        callers::cases(),
        golden::cases(),
        measured::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn run(arguments: &Arguments, trials: Vec<Trial>) -> ExitCode {
    support::case::collect_panics();
    let conclusion = libtest_mimic::run(arguments, trials);
    let left = Lane::get().leave();
    if left.is_empty() {
        return conclusion.exit_code();
    }
    eprintln!("left behind at the end of the suite:\n  {}", left.join("\n  "));
    ExitCode::from(101)
}
