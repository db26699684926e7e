//! The compiler against libseccomp, driven as runc drives it. `make oracle` installs what this needs and runs it.
//!
//! Profiles in use only. Where rules about one call contradict each other, or several conditions on different arguments are each
//! enough, libseccomp's answer depends on how it has sorted them, and can miss one; the naive reading is the judge there.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompArg, LinuxSeccompOperator as Operator, LinuxSyscall};

use super::{ENOSYS, containerd, docker, podman, varied, with_native};
use crate::seccomp::arch::Call;
use crate::seccomp::model::{Calls, Data, Naive, Random, program, run};
use crate::seccomp::table::TABLE;
use crate::seccomp::{Abi, SockFilter};

const POINTS: usize = 100_000;
/// How often each profile is compiled to tell how long that takes.
const ROUNDS: usize = 50;

/// The oracle, built from `libseccomp.c`.
struct Oracle {
    program: PathBuf,
    _directory: tempfile::TempDir,
}

impl Oracle {
    fn build() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("oracle");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/seccomp/tests/libseccomp.c");
        let built = Command::new("cc").arg("-o").arg(&program).arg(source).arg("-lseccomp").status().unwrap();
        assert!(built.success(), "the oracle doesn't build; libseccomp-dev brings what it needs");
        Self { program, _directory: directory }
    }

    /// What it answers to a profile.
    fn answer(&self, profile: &LinuxSeccomp, arguments: &[String]) -> Output {
        let mut oracle = Command::new(&self.program);
        oracle.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut oracle = oracle.spawn().unwrap();
        oracle.stdin.take().unwrap().write_all(script(profile).as_bytes()).unwrap();
        let output = oracle.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// The program, and the names that libseccomp doesn't know.
    fn compile(&self, profile: &LinuxSeccomp) -> (Vec<SockFilter>, Vec<String>) {
        let Output { stdout, stderr, .. } = self.answer(profile, &[]);
        let instruction = |bytes: &[u8]| SockFilter {
            code: u16::from_le_bytes([bytes[0], bytes[1]]),
            jt: bytes[2],
            jf: bytes[3],
            k: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        };
        let unknown = String::from_utf8(stderr).unwrap().lines().map(str::to_owned).collect();
        (stdout.chunks_exact(8).map(instruction).collect(), unknown)
    }

    /// How long it takes to compile the profile.
    fn time(&self, profile: &LinuxSeccomp) -> Duration {
        let output = self.answer(profile, &[ROUNDS.to_string()]);
        let times = String::from_utf8(output.stdout).unwrap();
        median(times.lines().map(|time| Duration::from_nanos(time.parse().unwrap())).collect())
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn time(profile: &LinuxSeccomp) -> Duration {
    let once = || {
        let begin = Instant::now();
        program(Abi::X86_64, profile);
        begin.elapsed()
    };
    median((0..ROUNDS).map(|_| once()).collect())
}

impl Oracle {
    /// Whether a difference at a point comes from its table of calls: the profile names a call there that it lacks, or has
    /// under another number.
    fn lacks(&self, profile: &LinuxSeccomp, naive: &Naive, data: &Data) -> bool {
        let Some(abi) = naive.abi(data) else { return false };
        let names = profile.syscalls().iter().flatten().flat_map(LinuxSyscall::names);
        names.filter(|name| Call::named(name).and_then(|call| call.number(abi)) == Some(data.nr)).any(|name| {
            let output = Command::new(&self.program).arg(token(abi).to_string()).arg(name).output().unwrap();
            let number: i64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
            number != i64::from(data.nr)
        })
    }
}

/// libseccomp's number for an architecture: its own for x32.
fn token(abi: Abi) -> u32 {
    if abi == Abi::X32 { 0x4000_003e } else { abi.audit() }
}

/// A profile in the oracle's words. As runc does, a rule that says what the default says is left out, and a rule with two
/// conditions on one argument becomes a rule for each condition.
fn script(profile: &LinuxSeccomp) -> String {
    let default = profile.default_action().as_u32(profile.default_errno_ret());
    let mut script = format!("default {default}\n");
    for abi in Abi::ALL {
        if profile.architectures().iter().flatten().any(|arch| arch.to_string() == abi.name()) {
            script.extend(["arch ", &token(abi).to_string(), "\n"]);
        }
    }
    for rule in profile.syscalls().iter().flatten() {
        let action = rule.action().as_u32(rule.errno_ret());
        if action == default {
            continue;
        }
        for name in rule.names() {
            for conditions in alternatives(rule.args().as_deref().unwrap_or_default()) {
                let conditions: String = conditions.iter().map(condition).collect();
                script.extend(["rule ", &action.to_string(), " ", name, &conditions, "\n"]);
            }
        }
    }
    script
}

fn alternatives(args: &[LinuxSeccompArg]) -> Vec<&[LinuxSeccompArg]> {
    let repeated = (0..6).any(|index| args.iter().filter(|arg| arg.index() == index).count() > 1);
    if repeated { args.chunks(1).collect() } else { vec![args] }
}

fn condition(arg: &LinuxSeccompArg) -> String {
    let op = match arg.op() {
        Operator::ScmpCmpNe => 1,
        Operator::ScmpCmpLt => 2,
        Operator::ScmpCmpLe => 3,
        Operator::ScmpCmpEq => 4,
        Operator::ScmpCmpGe => 5,
        Operator::ScmpCmpGt => 6,
        Operator::ScmpCmpMaskedEq => 7,
    };
    format!(" {} {op} {} {}", arg.index(), arg.value(), arg.value_two().unwrap_or_default())
}

/// The profile without names that only we know, so that the two are asked the same.
fn known_to_both(mut profile: LinuxSeccomp, unknown: &[String]) -> LinuxSeccomp {
    let mut rules = profile.syscalls().clone().unwrap();
    for rule in &mut rules {
        rule.set_names(rule.names().iter().filter(|name| !unknown.contains(name)).cloned().collect());
    }
    rules.retain(|rule| !rule.names().is_empty());
    profile.set_syscalls(Some(rules));
    profile
}

/// Compares the two at many points, and tells how long the programs are, how much of them is run, and how long it takes to make them: a row of the table.
fn compare(oracle: &Oracle, name: &str, profile: LinuxSeccomp) -> String {
    let (_, unknown) = oracle.compile(&profile);
    let profile = known_to_both(profile, &unknown);
    let (theirs, none) = oracle.compile(&profile);
    assert!(none.is_empty());
    let ours = program(Abi::X86_64, &profile);
    let (naive, calls) = (Naive::new(&profile, Abi::X86_64), Calls::new(&profile, Abi::X86_64));
    let default = profile.default_action().as_u32(profile.default_errno_ret());
    let (mut random, mut newer, mut lacking, mut steps) = (Random::Seeded(42), 0, 0, [0, 0]);
    for _ in 0..POINTS {
        let data = calls.next(&mut random);
        let (our, their) = (run(&ours, &data), run(&theirs, &data));
        steps = [steps[0] + our.executed, steps[1] + their.executed];
        if is_newer(&naive, &data) && our.value == ENOSYS {
            // runc puts this before libseccomp's program.
            assert_eq!(their.value, default, "{name} {data:x?}");
            newer += 1;
        } else if our.value != their.value && oracle.lacks(&profile, &naive, &data) {
            lacking += 1;
        } else {
            assert_eq!(our.value, their.value, "{name} {data:x?}: {:#x} and {:#x}", our.value, their.value);
        }
    }
    assert!(newer + lacking < POINTS / 2, "too many points are about calls that only we look at");
    let microseconds = [time(&profile), oracle.time(&profile)].map(|time| time.as_micros());
    let columns = [[ours.len(), theirs.len()].map(|length| length.to_string())]
        .into_iter()
        .chain([[&ours, &theirs].map(|program| tenths(all_calls(program)))])
        .chain([steps.map(|steps| tenths((steps, POINTS)))])
        .chain([microseconds.map(|time| time.to_string())]);
    let columns: Vec<_> = columns.flatten().collect();
    let unknown = if unknown.is_empty() { "none".into() } else { unknown.join(", ") };
    format!("| {name} | {} | {newer} | {lacking} | {unknown} |", columns.join(" | "))
}

/// A mean with one decimal, of a sum and a count.
fn tenths((sum, count): (usize, usize)) -> String {
    let tenths = (10 * sum + count / 2) / count;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// How many instructions are run for one call each of all that x86-64 has, and how many calls those are.
fn all_calls(program: &[SockFilter]) -> (usize, usize) {
    let numbers = TABLE.iter().filter_map(|(_, numbers)| u32::try_from(numbers[Abi::X86_64 as usize]).ok());
    let steps = numbers.map(|nr| run(program, &Data { nr, arch: Abi::X86_64.audit(), args: [0; 6] }).executed);
    steps.fold((0, 0), |(sum, count), steps| (sum + steps, count + 1))
}

fn is_newer(naive: &Naive, data: &Data) -> bool {
    naive.abi(data).is_some_and(|abi| naive.highest(abi).is_some_and(|highest| data.nr > highest))
}

const HEAD: &str = "\
| profile | instructions | libseccomp's | run for a call of x86-64, mean | libseccomp's | run at a point, mean | \
libseccomp's | compiled in µs, median | libseccomp's | points above what the profile names | points that its table \
lacks | names that it lacks |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|";

#[test]
#[ignore = "needs libseccomp-dev: make oracle"]
fn libseccomp_says_the_same() {
    let (oracle, mut rows) = (Oracle::build(), Vec::new());
    for (name, profile) in
        [("Docker", docker()), ("containerd", containerd()), ("Podman", podman()), ("a varied one", varied())]
    {
        rows.push(compare(&oracle, name, with_native(profile, Abi::X86_64)));
    }
    let build = if cfg!(debug_assertions) { ", built without optimisation: the times say little" } else { "" };
    println!(
        "## Seccomp: profiles beside libseccomp's tree, {POINTS} points each{build}\n\n{HEAD}\n{}\n",
        rows.join("\n")
    );
}
