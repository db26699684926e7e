//! What a profile says about each number of an ABI, and the program that looks it up.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

use super::MAX_INSTRUCTIONS;
use super::arch::{ARM_PRIVATE, Abi, X32_BIT};
use super::bpf::{Code, Is, Word, branch, load, ret, when};
use super::profile::{Action, Condition, Profile};
use crate::error::{Error, Result};

/// What happens to a call.
#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    Always(Action),
    /// The first alternative whose conditions hold decides; if none does, the profile's default.
    First(Vec<(Vec<Condition>, Action)>),
}

/// Consecutive numbers with the same verdict: from `start` to the start of the next run.
#[derive(Debug)]
struct Run {
    abi: Abi,
    start: u32,
    verdict: Verdict,
}

impl Run {
    /// Whether the same code serves both. Conditions are compiled for an ABI, a plain action is the same for all.
    fn fares_like(&self, other: &Self) -> bool {
        self.verdict == other.verdict && (self.abi == other.abi || matches!(self.verdict, Verdict::Always(_)))
    }
}

/// The whole filter. The kernel's own ABI is asked for first, as nearly all calls are of it.
pub(super) fn program(profile: &Profile) -> Result<Code> {
    let entries = profile.abis.iter().filter(|abi| **abi != Abi::X32);
    // What libseccomp does with the ABIs that a profile does not list.
    let mut code = vec![ret(Action::KILL_THREAD.0)];
    for abi in entries.rev() {
        let mut search_all = vec![load(Word::Number)];
        search_all.extend(search(&entry(profile, *abi), profile.default)?);
        code = branch(Is::Equal, abi.audit(), search_all, code);
    }
    code.insert(0, load(Word::Arch));
    Ok(code)
}

/// All runs of the calls that come by one entry of the kernel: those of the ABI, and on x86-64 those of x32.
fn entry(profile: &Profile, abi: Abi) -> Vec<Run> {
    let mut all = runs(profile, abi);
    if abi != Abi::X86_64 {
        return all;
    }
    if profile.abis.contains(&Abi::X32) {
        all.extend(runs(profile, Abi::X32));
    } else {
        all.push(Run { abi, start: X32_BIT, verdict: Verdict::Always(Action::KILL_THREAD) });
        // -1 has that bit too, but it is no call: a tracer sets it to skip one.
        all.push(Run { abi, start: u32::MAX, verdict: Verdict::Always(profile.default) });
    }
    all
}

/// The runs of one ABI, ascending, from its first number to its last.
fn runs(profile: &Profile, abi: Abi) -> Vec<Run> {
    let verdicts = verdicts(profile, abi);
    let mut all = Vec::with_capacity(verdicts.len());
    let mut next = abi.first_number();
    let newer = highest_named(profile, abi).map_or(u32::MAX, |highest| highest + 1);
    let unnamed = |number: u32| {
        let action = if number >= newer { profile.answer_to_new_calls() } else { profile.default };
        Run { abi, start: number, verdict: Verdict::Always(action) }
    };
    for (number, verdict) in verdicts {
        all.extend(gap(next, number, newer).map(unnamed));
        all.push(Run { abi, start: number, verdict });
        next = number + 1;
    }
    all.extend(gap(next, u32::MAX, newer).map(unnamed));
    all.dedup_by(|one, earlier| one.fares_like(earlier));
    all
}

/// Where runs start in a gap that no rule is about, from `start` to before `end`: there, and at `newer` if that is inside.
fn gap(start: u32, end: u32, newer: u32) -> impl Iterator<Item = u32> {
    let second = Some(newer).filter(|newer| (start + 1..end).contains(newer));
    Some(start).filter(|start| *start < end).into_iter().chain(second)
}

/// The highest number that the profile names, if it names any: what is above it is newer than the profile.
fn highest_named(profile: &Profile, abi: Abi) -> Option<u32> {
    let calls = profile.rules.iter().flat_map(|rule| &rule.calls);
    let numbers = calls.filter_map(|call| call.number(abi));
    numbers.filter(|number| abi != Abi::Arm || *number < ARM_PRIVATE).max()
}

/// The verdicts on the numbers that rules are about. A rule that says what the default says is dropped, as libseccomp
/// does: it does not take precedence over others either.
fn verdicts(profile: &Profile, abi: Abi) -> BTreeMap<u32, Verdict> {
    let mut all = BTreeMap::new();
    for rule in profile.rules.iter().filter(|rule| rule.action != profile.default) {
        for call in &rule.calls {
            if let Some(number) = call.number(abi) {
                add(&mut all, number, rule.action, &rule.alternatives);
            }
            if let (Some(door), true) = (call.door(abi), rule.alternatives.is_empty()) {
                // Its arguments are in memory, so only a rule that does not look at them can hold here too.
                let selects = Condition { index: 0, op: SeccompCmpOp::Eq, value: door.selector };
                add(&mut all, door.number, rule.action, &[vec![selects]]);
            }
        }
    }
    all
}

/// Adds what a rule says about a number. As in libseccomp, the first rule without conditions is final, and it makes those
/// with conditions void, before and after it.
fn add(all: &mut BTreeMap<u32, Verdict>, number: u32, action: Action, alternatives: &[Vec<Condition>]) {
    let verdict = all.entry(number).or_insert_with(|| Verdict::First(Vec::new()));
    let Verdict::First(rules) = verdict else { return };
    if alternatives.is_empty() {
        *verdict = Verdict::Always(action);
    } else {
        for conditions in alternatives {
            // With that many the program is too long anyway, and to compare each with each would take minutes to say so.
            if rules.len() > MAX_INSTRUCTIONS || !rules.iter().any(|(known, _)| known == conditions) {
                rules.push((conditions.clone(), action));
            }
        }
    }
}

/// A binary search over the runs.
fn search(runs: &[Run], default: Action) -> Result<Code> {
    match runs {
        [] => Ok(vec![ret(default.0)]),
        [run] => leaf(run, default),
        // One number among others that fare alike: one comparison instead of two.
        [below, one, above] if one.start + 1 == above.start && below.fares_like(above) => {
            Ok(branch(Is::Equal, one.start, leaf(one, default)?, leaf(below, default)?))
        }
        _ => {
            let (low, high) = runs.split_at(runs.len() / 2);
            Ok(branch(Is::AtLeast, high[0].start, search(high, default)?, search(low, default)?))
        }
    }
}

fn leaf(run: &Run, default: Action) -> Result<Code> {
    match &run.verdict {
        Verdict::Always(action) => Ok(vec![ret(action.0)]),
        Verdict::First(rules) => {
            let mut code = Code::new();
            for (conditions, action) in rules {
                code.extend(when(compile(conditions, run.abi)?, action.0));
            }
            code.push(ret(default.0));
            Ok(code)
        }
    }
}

/// The conditions of a rule. Where registers have 32 bits only those are compared, as the rest may hold anything.
fn compile(conditions: &[Condition], abi: Abi) -> Result<BpfProgram> {
    let width = || if abi.is_narrow() { SeccompCmpArgLen::Dword } else { SeccompCmpArgLen::Qword };
    let compiled = conditions.iter().map(|one| SeccompCondition::new(one.index, width(), one.op.clone(), one.value));
    let rule = compiled.collect::<Result<_, _>>().and_then(SeccompRule::new);
    rule.map(BpfProgram::from).map_err(|error| Error::new(error.to_string()).field("linux.seccomp"))
}
