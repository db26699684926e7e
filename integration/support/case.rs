//! A case: its name, what it needs of the machine, and how its failure reads.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use libtest_mimic::{Completion, Failed, Trial};

use super::apparmor::Profile;
use super::lane::{Kind, Lane};

/// One function of a feature's file.
pub(crate) struct Case {
    name: String,
    body: fn(),
}

impl Case {
    /// Named after its module and function.
    pub(crate) fn new(module: &str, function: &str, body: fn()) -> Self {
        let feature = module.split_once("::").map_or(module, |(_, feature)| feature);
        Self { name: format!("{feature}::{function}"), body }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn into_trial(self) -> Trial {
        Trial::ignorable_test(self.name, move || run(self.body))
    }
}

/// Lists a file's cases: `cases![a, b]` makes the `cases()` that main collects.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub(crate) fn cases() -> Vec<crate::support::Case> {
            vec![$(crate::support::Case::new(module_path!(), stringify!($name), $name)),*]
        }
    };
}
pub(crate) use cases;

/// A condition without which a case means nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Need {
    /// User id 0 with the right to mount.
    Root,
    /// The runtime under test is Orlop: what the case expects is Orlop's own, as the text says.
    Orlop(&'static str),
    /// The runtime under test is not the named one, for the reason given.
    Not(&'static str, &'static str),
    /// A cgroup v2 controller, and root.
    Controller(&'static str),
    /// A cgroup v2 controller isn't there.
    NoController(&'static str),
    /// A capability in the suite's own bounding set.
    Capability(&'static str),
    /// A capability isn't in the suite's own bounding set.
    NoCapability(&'static str),
    /// cgroup v1 controllers at /sys/fs/cgroup beside a cgroup2 mount.
    HybridMachine,
    /// The machine is of that architecture.
    Machine(&'static str),
    /// A program of the host, found in PATH.
    Program(&'static str),
    /// CRIU, and of what it can do this, by the name that `criu check --feature` knows.
    CriuFeature(&'static str),
    /// As many CPUs that the suite may use.
    Cpus(usize),
    /// A file system that the kernel knows.
    Filesystem(&'static str),
    /// systemd runs the machine, and its bus can be reached.
    Systemd,
    /// AppArmor confines programs, and profiles can be loaded.
    AppArmor,
    /// AppArmor is off.
    NoAppArmor,
    /// SELinux is off, or has no policy.
    NoSelinux,
    /// resctrl is not mounted.
    NoResctrl,
    /// The namespaces of process 1 can be looked at.
    FirstProcess,
}

struct Unmet(String);

/// Ends the case here as ignored, with the reason, unless the condition holds.
pub(crate) fn needs(need: Need) {
    if let Some(reason) = unmet(need) {
        resume_unwind(Box::new(Unmet(reason)));
    }
}

fn unmet(need: Need) -> Option<String> {
    let lane = Lane::get();
    let missing = |there: bool, what: String| (!there).then_some(what);
    match need {
        Need::Root => missing(lane.is_root(), "needs root".into()),
        Need::Orlop(what) => missing(lane.kind() == &Kind::Orlop, format!("Orlop's own: {what}")),
        Need::Not(name, why) => missing(!lane.kind().is(name), format!("not under {name}: {why}")),
        Need::Controller(name) => {
            missing(lane.is_root() && Lane::has_controller(name), format!("needs the controller {name}"))
        }
        Need::NoController(name) => missing(!Lane::has_controller(name), format!("the controller {name} is there")),
        Need::Capability(name) => missing(Lane::has_capability(name), format!("needs {name}")),
        Need::NoCapability(name) => missing(!Lane::has_capability(name), format!("has {name}")),
        Need::HybridMachine => missing(lane.is_hybrid(), "needs a hybrid cgroup set-up".into()),
        Need::Machine(name) => missing(std::env::consts::ARCH == name, format!("needs {name}")),
        Need::Program(name) => missing(Lane::has_program(name), format!("needs the program {name}")),
        Need::CriuFeature(name) => {
            let there = std::process::Command::new("criu").args(["check", "--feature", name]).output();
            let there = there.is_ok_and(|output| output.status.success());
            missing(there, format!("needs a CRIU and a kernel that have {name}"))
        }
        Need::Cpus(count) => {
            let there = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            missing(there >= count, format!("needs {count} CPUs"))
        }
        Need::Systemd => missing(Lane::has_systemd(), "needs a machine that systemd runs".into()),
        Need::AppArmor => {
            missing(Profile::can_be() && Lane::has_program("apparmor_parser"), "needs AppArmor and its parser".into())
        }
        Need::NoAppArmor => missing(!Profile::can_be(), "AppArmor is there".into()),
        Need::NoSelinux => missing(!std::path::Path::new("/sys/fs/selinux/policy").exists(), "SELinux is there".into()),
        Need::NoResctrl => {
            missing(!std::path::Path::new("/sys/fs/resctrl/schemata").exists(), "resctrl is there".into())
        }
        Need::FirstProcess => {
            let seen = std::fs::metadata("/proc/1/ns/mnt").is_ok();
            missing(seen, "needs to see the namespaces of process 1".into())
        }
        Need::Filesystem(name) => missing(Lane::knows_filesystem(name), format!("needs the file system {name}")),
    }
}

thread_local! {
    /// What this thread's panic said and where; the calls that the case made.
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
    static TRANSCRIPT: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps panics off the terminal and in the case's failure.
pub(crate) fn collect_panics() {
    std::panic::set_hook(Box::new(|info| {
        let said =
            format!("{}\n  at {}", message(info.payload()), info.location().map_or(String::new(), ToString::to_string));
        SAID.with_borrow_mut(|slot| match slot {
            Some(before) => *before = format!("{before}\nthen: {said}"),
            None => *slot = Some(said),
        });
    }));
}

/// Adds a line to what is shown when the case fails.
pub(crate) fn note(line: String) {
    TRANSCRIPT.with_borrow_mut(|lines| lines.push(line));
}

fn run(body: fn()) -> Result<Completion, Failed> {
    TRANSCRIPT.with_borrow_mut(Vec::clear);
    SAID.take();
    let Err(payload) = catch_unwind(body) else { return Ok(Completion::Completed) };
    match payload.downcast::<Unmet>() {
        Ok(unmet) => Ok(Completion::ignored_with(unmet.0)),
        Err(payload) => Err(failure(&*payload).into()),
    }
}

fn failure(payload: &(dyn Any + Send)) -> String {
    let said = SAID.take().unwrap_or_else(|| message(payload));
    let calls = TRANSCRIPT.take();
    let shown = calls.len().saturating_sub(12);
    format!("{said}\n{}", calls[shown..].join("\n"))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_else(|| "panicked".into())
}

/// Runs `body(0)`, `body(1)`, … on `width` threads until all `count` are done. A panic in one is the caller's.
pub(crate) fn in_parallel(width: usize, count: usize, body: impl Fn(usize) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        while let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
            && index < count
        {
            body(index);
        }
    };
    // A thread's notes are its own, so it takes them along.
    let worker =
        || catch_unwind(AssertUnwindSafe(work)).map_err(|payload| payload.downcast().map_err(|other| failure(&*other)));
    let stopped: Vec<Result<Box<Unmet>, String>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..width).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().filter_map(|thread| thread.join().expect("the worker catches its panics").err()).collect()
    });
    match stopped.into_iter().next() {
        None => {}
        Some(Ok(unmet)) => resume_unwind(unmet),
        Some(Err(failure)) => panic!("{failure}"),
    }
}
