//! The compiler against libseccomp, driven as runc drives it. `make oracle` installs what this needs and runs it.
//!
//! Profiles in use only. Where rules about one call contradict each other, or several conditions on different arguments are each
//! enough, libseccomp's answer depends on how it has sorted them, and can miss one; the naive reading is the judge there.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompArg, LinuxSeccompOperator as Operator, LinuxSyscall};

use super::machine::{Data, run};
use super::naive::Naive;
use super::random::{Calls, Random};
use super::{ENOSYS, docker, podman, program, varied, with_native};
use crate::seccomp::arch::Call;
use crate::seccomp::{Abi, SockFilter};

const POINTS: usize = 100_000;

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

    /// The program, and the names that libseccomp doesn't know.
    fn compile(&self, profile: &LinuxSeccomp) -> (Vec<SockFilter>, Vec<String>) {
        let mut oracle = Command::new(&self.program);
        let oracle = oracle.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut oracle = oracle.spawn().unwrap();
        oracle.stdin.take().unwrap().write_all(script(profile).as_bytes()).unwrap();
        let output = oracle.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{}", said.lines().last().unwrap_or_default());
        let instruction = |bytes: &[u8]| SockFilter {
            code: u16::from_le_bytes([bytes[0], bytes[1]]),
            jt: bytes[2],
            jf: bytes[3],
            k: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        };
        (output.stdout.chunks_exact(8).map(instruction).collect(), said.lines().map(str::to_owned).collect())
    }
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

/// Compares the two at many points, and tells how long the programs are and how much of them is run.
fn compare(oracle: &Oracle, name: &str, profile: LinuxSeccomp) {
    let (_, unknown) = oracle.compile(&profile);
    let profile = known_to_both(profile, &unknown);
    let (theirs, none) = oracle.compile(&profile);
    assert!(none.is_empty());
    let ours = program(Abi::X86_64, &profile);
    let (naive, calls) = (Naive::new(&profile, Abi::X86_64), Calls::new(&profile, Abi::X86_64));
    let default = profile.default_action().as_u32(profile.default_errno_ret());
    let (mut random, mut newer, mut lacking, mut steps) = (Random(42), 0, 0, [0, 0]);
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
    let mean = steps.map(|steps| steps / POINTS);
    println!(
        "{name}: {} instructions and libseccomp's {}; run at a point {} and {}; newer than the profile {newer}; missing in its table {lacking}; unknown to it {unknown:?}",
        ours.len(),
        theirs.len(),
        mean[0],
        mean[1],
    );
    assert!(newer + lacking < POINTS / 2, "too many points are about calls that only we look at");
}

fn is_newer(naive: &Naive, data: &Data) -> bool {
    naive.abi(data).is_some_and(|abi| naive.highest(abi).is_some_and(|highest| data.nr > highest))
}

#[test]
#[ignore = "needs libseccomp-dev: make oracle"]
fn libseccomp_says_the_same() {
    let oracle = Oracle::build();
    for (name, profile) in [("Docker's", docker()), ("Podman's", podman()), ("a varied one", varied())] {
        compare(&oracle, name, with_native(profile, Abi::X86_64));
    }
}
