//! Made-up profiles and calls. A seed gives the same ones each time, and so do the bytes that a fuzzer hands in.

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompOperator as Operator, LinuxSyscall,
};

use super::Data;
use crate::seccomp::Abi;
use crate::seccomp::arch::{Call, X32_BIT};
use crate::seccomp::table::TABLE;

/// Where choices come from.
pub(crate) enum Random<'a> {
    /// `SplitMix64`, without end.
    Seeded(u64),
    /// As many bytes for each choice as it needs, in their order: a small change of the bytes is a small change of what comes of
    /// them. When they are used up, the first of all is chosen.
    Fed(&'a [u8]),
}

impl Random<'_> {
    pub fn next(&mut self) -> u64 {
        match self {
            Self::Seeded(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                mixed ^ (mixed >> 31)
            }
            Self::Fed(bytes) => take(bytes, 8),
        }
    }

    pub fn below(&mut self, limit: usize) -> usize {
        let limit = limit as u64;
        let number = match self {
            Self::Seeded(_) => self.next(),
            Self::Fed(bytes) => take(bytes, if limit > 256 { 2 } else { 1 }),
        };
        usize::try_from(number % limit).unwrap()
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn word(&mut self) -> u32 {
        u32::try_from(self.next() >> 32).unwrap()
    }

    fn value(&mut self) -> u64 {
        match self.below(4) {
            0 => self.next(),
            1 => u64::from(self.word()),
            2 => self.pick(&[u64::MAX, 1 << 32, (1 << 32) - 1, 1 << 63, 0x7e02_0000, 1 << 31]),
            _ => self.next() % 4,
        }
    }
}

/// The number that the next bytes are.
fn take(bytes: &mut &[u8], count: usize) -> u64 {
    let (now, later) = bytes.split_at(count.min(bytes.len()));
    *bytes = later;
    now.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

const ACTIONS: [Action; 8] = [
    Action::ScmpActKill,
    Action::ScmpActKillProcess,
    Action::ScmpActTrap,
    Action::ScmpActErrno,
    Action::ScmpActTrace,
    Action::ScmpActLog,
    Action::ScmpActAllow,
    Action::ScmpActAllow,
];

const ARCHITECTURES: [Arch; 6] = [
    Arch::ScmpArchX86_64,
    Arch::ScmpArchX86,
    Arch::ScmpArchX32,
    Arch::ScmpArchAarch64,
    Arch::ScmpArchArm,
    Arch::ScmpArchMips,
];

const OPERATORS: [Operator; 7] = [
    Operator::ScmpCmpNe,
    Operator::ScmpCmpLt,
    Operator::ScmpCmpLe,
    Operator::ScmpCmpEq,
    Operator::ScmpCmpGe,
    Operator::ScmpCmpGt,
    Operator::ScmpCmpMaskedEq,
];

fn errno(random: &mut Random<'_>, action: Action) -> Option<u32> {
    let takes_one = matches!(action, Action::ScmpActErrno | Action::ScmpActTrace);
    (takes_one && random.below(2) == 0).then(|| random.pick(&[0, 1, 38, 4095]))
}

/// A valid profile of up to 40 rules.
pub(crate) fn profile(random: &mut Random<'_>) -> LinuxSeccomp {
    let mut profile = LinuxSeccomp::default();
    let default = random.pick(&ACTIONS);
    profile.set_default_action(default);
    profile.set_default_errno_ret(errno(random, default));
    let listed = ARCHITECTURES.into_iter().filter(|_| random.below(2) == 0).collect();
    profile.set_architectures(Some(listed));
    // Few names, so that rules meet.
    let names: Vec<_> = (0..=random.below(60)).map(|_| name(random)).collect();
    let rules = (0..random.below(40)).map(|_| rule(random, &names)).collect();
    profile.set_syscalls(Some(rules));
    profile
}

fn name(random: &mut Random<'_>) -> String {
    match random.below(8) {
        0 => "no_such_call".into(),
        1 => random.pick(&["socket", "semop", "accept4", "socketcall", "ipc", "set_tls", "read"]).into(),
        _ => random.pick(TABLE).0.into(),
    }
}

fn rule(random: &mut Random<'_>, names: &[String]) -> LinuxSyscall {
    let mut rule = LinuxSyscall::default();
    rule.set_names((0..=random.below(6)).map(|_| random.pick(names)).collect());
    let action = random.pick(&ACTIONS);
    rule.set_action(action);
    rule.set_errno_ret(errno(random, action));
    let count = random.below(2) * random.below(5);
    rule.set_args(Some((0..count).map(|_| condition(random)).collect()));
    rule
}

fn condition(random: &mut Random<'_>) -> LinuxSeccompArg {
    let (value, other) = (random.value(), random.value());
    let arg = LinuxSeccompArgBuilder::default().index(random.below(6)).op(random.pick(&OPERATORS)).value(value);
    let two = random.pick(&[None, Some(0), Some(value), Some(other)]);
    if let Some(two) = two { arg.value_two(two) } else { arg }.build().unwrap()
}

/// Calls near the edges of what a profile speaks of.
pub(crate) struct Calls {
    numbers: Vec<u32>,
    values: Vec<u64>,
    archs: Vec<u32>,
}

impl Calls {
    pub fn new(profile: &LinuxSeccomp, native: Abi) -> Self {
        let rules = || profile.syscalls().iter().flatten();
        let abis = || Abi::ALL.into_iter().filter(|abi| abi.kernel() == native);
        let calls = rules().flat_map(LinuxSyscall::names).filter_map(|name| Call::named(name));
        let numbers = calls.flat_map(|call| abis().filter_map(move |abi| call.number(abi))).chain([0, 102, 117, 600]);
        let args = rules().flat_map(|rule| rule.args().iter().flatten());
        let values = args.flat_map(|arg| [arg.value(), arg.value_two().unwrap_or(1)]).chain([0, u64::MAX]);
        // Twice, so that the foreign one, ppc64le, is rare.
        let archs = abis().chain(abis()).map(Abi::audit).chain([0xc000_0015]);
        Self { numbers: numbers.collect(), values: values.collect(), archs: archs.collect() }
    }

    pub fn next(&self, random: &mut Random<'_>) -> Data {
        let arch = random.pick(&self.archs);
        let named = random.pick(&self.numbers);
        let nr = match random.below(8) {
            0 => random.pick(&[u32::MAX, X32_BIT, X32_BIT - 1, 0xf0001, 0xf0005, 0xf0006]),
            1 => random.word(),
            2 => named.wrapping_add(1),
            3 => named.wrapping_sub(1),
            4 => u32::try_from(random.below(600)).unwrap() | random.pick(&[0, X32_BIT]),
            _ => named,
        };
        Data { nr, arch, args: [(); 6].map(|()| self.argument(random)) }
    }

    fn argument(&self, random: &mut Random<'_>) -> u64 {
        let value = random.pick(&self.values);
        match random.below(8) {
            0 => value.wrapping_add(1),
            1 => value.wrapping_sub(1),
            2 => value ^ (1 << 32),
            3 => value & 0xffff_ffff,
            4 => value | random.value(),
            5 => random.value(),
            _ => value,
        }
    }
}
