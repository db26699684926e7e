//! What a profile says about each number of an ABI, and the program that looks it up.

use seccompiler::{BpfProgram, SeccompCmpArgLen, SeccompCondition, SeccompRule};

use super::MAX_INSTRUCTIONS;
use super::arch::{ARM_PRIVATE, Abi, X32_BIT};
use super::bpf::{Code, Is, SockFilter, Word};
use super::profile::{Action, Alternatives, Condition, Profile};
use crate::error::{Error, Result};

/// What happens to a call.
#[derive(Debug, PartialEq)]
enum Verdict<'p> {
    Always(Action),
    /// The first alternative whose conditions hold decides; if none does, the profile's default.
    First(Vec<(&'p [Condition], Action)>),
}

/// What one rule says about one number.
struct Saying<'p> {
    number: u32,
    /// How many are before it, in the order of the rules.
    place: usize,
    action: Action,
    alternatives: Alternatives<'p>,
}

/// Consecutive numbers with the same verdict: from `start` to the start of the next run.
#[derive(Debug)]
struct Run<'p> {
    abi: Abi,
    start: u32,
    verdict: Verdict<'p>,
}

impl Run<'_> {
    /// Whether the same code serves both. Conditions are compiled for an ABI, a plain action is the same for all.
    fn fares_like(&self, other: &Self) -> bool {
        self.verdict == other.verdict && (self.abi == other.abi || matches!(self.verdict, Verdict::Always(_)))
    }
}

/// The whole filter. The kernel's own ABI is asked for first, as nearly all calls are of it.
pub(super) fn program(profile: &Profile) -> Result<Vec<SockFilter>> {
    let entries = profile.abis.iter().filter(|abi| **abi != Abi::X32);
    let mut code = Code::default();
    // What libseccomp does with the ABIs that a profile does not list.
    code.ret(Action::KILL_THREAD.0);
    for abi in entries.rev() {
        code.branch(Is::Equal, abi.audit(), |code| {
            search(code, &runs_by_entry(profile, *abi), profile.default)?;
            code.load(Word::Number);
            Ok(())
        })?;
    }
    code.load(Word::Arch);
    Ok(code.finish())
}

/// All runs of the calls that come by one entry of the kernel: those of the ABI, and on x86-64 those of x32.
fn runs_by_entry(profile: &Profile, abi: Abi) -> Vec<Run<'_>> {
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
fn runs(profile: &Profile, abi: Abi) -> Vec<Run<'_>> {
    let sayings = sayings(profile, abi);
    let mut all = Vec::with_capacity(sayings.len());
    let mut add = |start, verdict| {
        let run = Run { abi, start, verdict };
        if !all.last().is_some_and(|earlier| run.fares_like(earlier)) {
            all.push(run);
        }
    };
    let newer = highest_named(profile, abi).map_or(u32::MAX, |highest| highest + 1);
    let unnamed = |number| if number >= newer { profile.answer_to_new_calls() } else { profile.default };
    let mut next = abi.first_number();
    for about_one in sayings.chunk_by(|one, other| one.number == other.number) {
        let number = about_one[0].number;
        gap(next, number, newer).for_each(|start| add(start, Verdict::Always(unnamed(start))));
        add(number, verdict(about_one));
        next = number + 1;
    }
    gap(next, u32::MAX, newer).for_each(|start| add(start, Verdict::Always(unnamed(start))));
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

/// All that rules say about numbers of an ABI, in the order of the numbers, and for each in the order of the rules. A rule that
/// says what the default says is dropped, as libseccomp does: it does not take precedence over others either.
fn sayings(profile: &Profile, abi: Abi) -> Vec<Saying<'_>> {
    let mut all = Vec::with_capacity(profile.rules.iter().map(|rule| rule.calls.len()).sum());
    let mut add = |number, action, alternatives| {
        all.push(Saying { number, place: all.len(), action, alternatives });
    };
    for rule in profile.rules.iter().filter(|rule| rule.action != profile.default) {
        for call in &rule.calls {
            if let Some(number) = call.number(abi) {
                add(number, rule.action, rule.alternatives());
            }
            if let (Some(door), true) = (call.door(abi), rule.conditions.is_empty()) {
                // Its arguments are in memory, so only a rule that does not look at them can hold here too.
                add(door.number, rule.action, door.selects.chunks(1));
            }
        }
    }
    all.sort_unstable_by_key(|saying| (saying.number, saying.place));
    all
}

/// What comes of all that is said about a number. As in libseccomp, the first rule without conditions is final, and it makes
/// those with conditions void, before and after it.
fn verdict<'p>(sayings: &[Saying<'p>]) -> Verdict<'p> {
    if let Some(last_word) = sayings.iter().find(|saying| saying.alternatives.len() == 0) {
        return Verdict::Always(last_word.action);
    }
    let mut rules: Vec<(&[Condition], Action)> = Vec::new();
    for saying in sayings {
        for conditions in saying.alternatives.clone() {
            // With that many the program is too long anyway, and to compare each with each would take minutes to say so.
            if rules.len() > MAX_INSTRUCTIONS || !rules.iter().any(|(known, _)| *known == conditions) {
                rules.push((conditions, saying.action));
            }
        }
    }
    Verdict::First(rules)
}

/// A binary search over the runs.
fn search(code: &mut Code, runs: &[Run<'_>], default: Action) -> Result<()> {
    match runs {
        [] => code.ret(default.0),
        [run] => leaf(code, run, default)?,
        // One number among others that fare alike: one comparison instead of two.
        [below, one, above] if one.start + 1 == above.start && below.fares_like(above) => {
            leaf(code, below, default)?;
            code.branch(Is::Equal, one.start, |code| leaf(code, one, default))?;
        }
        _ => {
            let (low, high) = runs.split_at(runs.len() / 2);
            search(code, low, default)?;
            code.branch(Is::AtLeast, high[0].start, |code| search(code, high, default))?;
        }
    }
    Ok(())
}

fn leaf(code: &mut Code, run: &Run<'_>, default: Action) -> Result<()> {
    match &run.verdict {
        Verdict::Always(action) => code.ret(action.0),
        Verdict::First(rules) => {
            code.ret(default.0);
            for (conditions, action) in rules.iter().rev() {
                code.when(&compile(conditions, run.abi)?, action.0);
            }
        }
    }
    Ok(())
}

/// The conditions of a rule. Where registers have 32 bits only those are compared, as the rest may hold anything.
fn compile(conditions: &[Condition], abi: Abi) -> Result<BpfProgram> {
    let width = || if abi.is_narrow() { SeccompCmpArgLen::Dword } else { SeccompCmpArgLen::Qword };
    let compiled = conditions.iter().map(|one| SeccompCondition::new(one.index, width(), one.op.clone(), one.value));
    let rule = compiled.collect::<Result<_, _>>().and_then(SeccompRule::new);
    rule.map(BpfProgram::from).map_err(|error| Error::new(error.to_string()).field("linux.seccomp"))
}
