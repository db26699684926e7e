//! What a profile means, said as plainly as possible and without the compiler's own types: a list of rules, read from the start
//! for each call.

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompOperator as Operator};

use super::Data;
use crate::seccomp::Abi;
use crate::seccomp::arch::{Call, X32_BIT};
use crate::seccomp::table::TABLE;

const ENOSYS: u32 = 0x0005_0026;

struct Rule {
    abi: Abi,
    number: u32,
    action: u32,
    args: Vec<LinuxSeccompArg>,
    /// Whether it is about the other way to the call that the profile names.
    by_door: bool,
}

pub(crate) struct Naive {
    native: Abi,
    listed: Vec<Abi>,
    default: u32,
    rules: Vec<Rule>,
}

impl Naive {
    pub fn new(profile: &LinuxSeccomp, native: Abi) -> Self {
        let named = |abi: Abi| profile.architectures().iter().flatten().any(|arch| arch.to_string() == abi.name());
        let listed: Vec<Abi> = Abi::ALL.into_iter().filter(|abi| *abi == native || named(*abi)).collect();
        let rules = listed.iter().flat_map(|abi| rules(profile, *abi)).collect();
        let default = profile.default_action().as_u32(profile.default_errno_ret());
        Self { native, listed, default, rules }
    }

    /// What the kernel is to do with this call.
    pub fn verdict(&self, data: &Data) -> u32 {
        let Some(abi) = self.abi(data) else {
            let skipped_by_a_tracer = data.nr == u32::MAX && data.arch == Abi::X86_64.audit();
            return if skipped_by_a_tracer && self.native == Abi::X86_64 { self.default } else { 0 };
        };
        let about = || self.rules.iter().filter(|r| r.abi == abi && r.number == data.nr && r.action != self.default);
        let unconditional = about().find(|rule| rule.args.is_empty());
        let found = unconditional.or_else(|| about().find(|rule| holds(rule, data)));
        match found {
            Some(rule) => rule.action,
            // It is known, and no condition held.
            None if about().next().is_some() => self.default,
            None => self.unnamed(abi, data.nr),
        }
    }

    /// The default, or ENOSYS for what is newer than the profile.
    fn unnamed(&self, abi: Abi, number: u32) -> u32 {
        let lets_through = matches!(self.default & 0xffff_0000, 0x7fff_0000 | 0x7ffc_0000 | 0x7ff0_0000);
        match self.highest(abi) {
            Some(highest) if number > highest && !lets_through => ENOSYS,
            _ => self.default,
        }
    }

    /// The highest number that the profile names, not that of `socketcall` where it names `recv`; those of arm's own calls are beyond all others and do not count.
    pub fn highest(&self, abi: Abi) -> Option<u32> {
        let numbers = self.rules.iter().filter(|rule| rule.abi == abi && !rule.by_door).map(|rule| rule.number);
        numbers.filter(|number| abi != Abi::Arm || *number < 0xf0000).max()
    }

    pub fn abi(&self, data: &Data) -> Option<Abi> {
        let x32 = data.arch == Abi::X86_64.audit() && data.nr >= X32_BIT;
        let same = |abi: &Abi| abi.audit() == data.arch && (*abi == Abi::X32) == x32;
        self.listed.iter().copied().find(|abi| same(abi) && abi.kernel() == self.native)
    }
}

fn rules(profile: &LinuxSeccomp, abi: Abi) -> Vec<Rule> {
    let mut all = Vec::new();
    for syscall in profile.syscalls().iter().flatten() {
        let action = syscall.action().as_u32(syscall.errno_ret());
        let args = syscall.args().clone().unwrap_or_default();
        for name in syscall.names() {
            let Some((_, numbers)) = TABLE.iter().find(|(known, _)| known == name) else { continue };
            let door = Call::named(name).and_then(|call| call.door(abi)).filter(|_| args.is_empty());
            if let Ok(number) = u32::try_from(numbers[abi as usize]) {
                let number = if abi == Abi::X32 { number | X32_BIT } else { number };
                all.extend(split(&args).map(|args| Rule { abi, number, action, args, by_door: false }));
            }
            if let Some(door) = door {
                let selects = LinuxSeccompArgBuilder::default().index(0_usize).op(Operator::ScmpCmpEq);
                let selects = selects.value(door.selects[0].value).build().unwrap();
                all.push(Rule { abi, number: door.number, action, args: vec![selects], by_door: true });
            }
        }
    }
    all
}

/// One rule, or, where two conditions are about the same argument, one for each condition.
fn split(args: &[LinuxSeccompArg]) -> impl Iterator<Item = Vec<LinuxSeccompArg>> {
    let repeated = (0..6).any(|index| args.iter().filter(|arg| arg.index() == index).count() > 1);
    let parts = if repeated { args.chunks(1).map(<[_]>::to_vec).collect() } else { vec![args.to_vec()] };
    parts.into_iter()
}

fn holds(rule: &Rule, data: &Data) -> bool {
    let narrow = [Abi::X86, Abi::X32, Abi::Arm].contains(&rule.abi);
    let seen = |value: u64| if narrow { value & 0xffff_ffff } else { value };
    rule.args.iter().all(|arg| {
        let (actual, value) = (seen(data.args[arg.index()]), seen(arg.value()));
        match arg.op() {
            Operator::ScmpCmpNe => actual != value,
            Operator::ScmpCmpLt => actual < value,
            Operator::ScmpCmpLe => actual <= value,
            Operator::ScmpCmpEq => actual == value,
            Operator::ScmpCmpGe => actual >= value,
            Operator::ScmpCmpGt => actual > value,
            Operator::ScmpCmpMaskedEq => actual & value == seen(arg.value_two().unwrap_or(0)) & value,
        }
    })
}
