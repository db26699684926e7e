//! The device rules of a container, compiled to one `BPF_PROG_TYPE_CGROUP_DEVICE` program.
//!
//! Owns what the rules mean and the instructions that say so. Pure: it neither loads nor attaches a program, and it knows
//! no config types.
//!
//! The rules are applied in order to the *bits* of a request (mknod, read, write): the last rule that matches the device
//! and names the bit decides it, and a request passes only if every bit in it was allowed. What no rule decides is refused.
//! So after `allow c 1:3 rw` and `deny c 1:3 w`, opening for reading passes, and for writing or for both it does not.
//! Each field of a rule is taken as it is written. Three things follow, which differ from the devices controller of cgroup v1:
//!
//! - A rule of type `a` may have numbers and any access; v1 ignores them and allows or denies everything.
//! - A deny rule may punch a hole into a wildcard that allows; v1 ignores such a rule, and runc refuses it.
//! - Bits that different rules allow add up (`1:* r` and `*:3 w` allow `rw` on 1:3); v1 wants one rule that has them all.
//!
//! A request without bits, as access(2) with `F_OK` makes it, passes.

use std::ops::BitOr;

/// What a rule matches on: one kind of device, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `c` in the config.
    Char,
    /// `b` in the config.
    Block,
    /// `a` in the config.
    Any,
}

/// A set of the three things that can be done with a device, in the bits of the kernel's `BPF_DEVCG_ACC_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access(u8);

impl Access {
    /// Make a node for it with mknod(2).
    pub const MKNOD: Self = Self(1);
    /// Open it for reading.
    pub const READ: Self = Self(2);
    /// Open it for writing.
    pub const WRITE: Self = Self(4);
    /// All three.
    pub const ALL: Self = Self(7);

    /// Reads the letters `r`, `w` and `m` in any order. No letter at all or any other one gives `None`.
    pub fn parse(letters: &str) -> Option<Self> {
        letters.chars().map(Self::from_letter).reduce(|a, b| Some(a? | b?))?
    }

    fn from_letter(letter: char) -> Option<Self> {
        match letter {
            'r' => Some(Self::READ),
            'w' => Some(Self::WRITE),
            'm' => Some(Self::MKNOD),
            _ => None,
        }
    }

    /// The letters, in the order in which they are commonly written.
    pub fn letters(self) -> String {
        let letters = [(Self::READ, 'r'), (Self::WRITE, 'w'), (Self::MKNOD, 'm')];
        letters.into_iter().filter(|(bit, _)| self.contains(*bit)).map(|(_, letter)| letter).collect()
    }

    fn contains(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Access {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One rule: whether the devices that it matches may be accessed in the named ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Allow or deny.
    pub allow: bool,
    /// Char, block or both.
    pub kind: Kind,
    /// The major number; `None` matches all.
    pub major: Option<u32>,
    /// The minor number; `None` matches all.
    pub minor: Option<u32>,
    /// The ways of access that the rule decides; it leaves the others as they are.
    pub access: Access,
}

impl Rule {
    const fn allow(kind: Kind, major: Option<u32>, minor: Option<u32>, access: Access) -> Self {
        Self { allow: true, kind, major, minor, access }
    }

    /// Whether this rule matches each device that `other` matches. Both are about the same kind.
    fn includes_devices_of(&self, other: &Self) -> bool {
        (self.major.is_none() || self.major == other.major) && (self.minor.is_none() || self.minor == other.minor)
    }

    /// Whether it decides everything that `other` decides.
    fn covers(&self, other: &Self) -> bool {
        self.includes_devices_of(other) && self.access.contains(other.access)
    }

    /// Whether there is something that both decide.
    fn overlaps(&self, other: &Self) -> bool {
        self.shares_devices_with(other) && self.access.meets(other.access)
    }

    fn shares_devices_with(&self, other: &Self) -> bool {
        fn meet(a: Option<u32>, b: Option<u32>) -> bool {
            a.is_none() || b.is_none() || a == b
        }
        meet(self.major, other.major) && meet(self.minor, other.minor)
    }

    /// Whether only the two together allow a device to be opened for reading and writing.
    fn completes(&self, other: &Self) -> bool {
        let both = Access::READ | Access::WRITE;
        let alone = |rule: &Self| rule.access.contains(both);
        self.shares_devices_with(other) && (self.access | other.access).contains(both) && !alone(self) && !alone(other)
    }
}

/// The state before the first rule, as a rule.
const REFUSE_ALL: Rule = Rule { allow: false, kind: Kind::Any, major: None, minor: None, access: Access::ALL };

/// The rules that follow those of the config, as in runc, so that every container can make device nodes and use the
/// standard devices, its terminals and tun.
pub fn default_rules() -> Vec<Rule> {
    const STANDARD: [(u32, Option<u32>); 9] = [
        (1, Some(3)),    // null
        (1, Some(5)),    // zero
        (1, Some(7)),    // full
        (1, Some(8)),    // random
        (1, Some(9)),    // urandom
        (5, Some(0)),    // tty
        (5, Some(2)),    // ptmx
        (136, None),     // pts/*
        (10, Some(200)), // net/tun
    ];
    let nodes = [Kind::Char, Kind::Block].map(|kind| Rule::allow(kind, None, None, Access::MKNOD));
    let standard = STANDARD.map(|(major, minor)| Rule::allow(Kind::Char, Some(major), minor, Access::ALL));
    nodes.into_iter().chain(standard).collect()
}

/// Whether these rules allow every access to every device, so that no program is needed.
pub fn allows_everything(rules: &[Rule]) -> bool {
    [Kind::Char, Kind::Block].iter().all(|kind| {
        let rules = simplify(*kind, rules);
        rules.iter().all(|rule| rule.allow) && is_shadowed(&REFUSE_ALL, &rules)
    })
}

/// The rules as a plain list of what is allowed, each about char or about block devices. `None` where they are more than that:
/// a refusal within something that is allowed, or an opening that only two rules together allow.
pub fn allow_list(rules: &[Rule]) -> Option<Vec<Rule>> {
    let mut list = Vec::new();
    for kind in [Kind::Char, Kind::Block] {
        let rules = simplify(kind, rules);
        if rules.iter().any(|rule| !rule.allow || rules.iter().any(|other| rule.completes(other))) {
            return None;
        }
        list.extend(rules.into_iter().map(|rule| Rule { kind, ..rule }));
    }
    Some(list)
}

/// The rules about one kind of device, and fewer of them: engines send duplicates, and the default rules repeat what most
/// configs say. The decisions stay the same.
fn simplify(kind: Kind, rules: &[Rule]) -> Vec<Rule> {
    let rules: Vec<&Rule> = rules.iter().filter(|rule| rule.kind == kind || rule.kind == Kind::Any).collect();
    let unshadowed = (0..rules.len()).filter(|&i| !is_shadowed(rules[i], rules[i + 1..].iter().copied()));
    unshadowed.fold(Vec::new(), |mut kept, i| {
        if !is_idle(rules[i], &kept) {
            kept.push(*rules[i]);
        }
        kept
    })
}

/// Whether the rules that follow decide everything anew that this one decides.
fn is_shadowed<'a>(rule: &Rule, later: impl IntoIterator<Item = &'a Rule>) -> bool {
    let wider = later.into_iter().filter(|r| r.includes_devices_of(rule));
    wider.fold(Access(0), |all, r| all | r.access).contains(rule.access)
}

/// Whether everything that this rule decides has the same answer already.
fn is_idle(rule: &Rule, earlier: &[Rule]) -> bool {
    for r in earlier.iter().rev().chain([&REFUSE_ALL]) {
        if r.allow == rule.allow && r.covers(rule) {
            return true;
        }
        if r.allow != rule.allow && r.overlaps(rule) {
            return false;
        }
    }
    false
}

/// The instructions of an eBPF program, ready for `BPF_PROG_LOAD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program(Vec<u64>);

impl Program {
    /// The instructions, each one a `struct bpf_insn` in the machine's byte order.
    pub fn instructions(&self) -> &[u64] {
        &self.0
    }
}

/// Compiles the rules. The caller appends the [`default_rules`].
///
/// The program looks at the rules from the last to the first, those for char and those for block devices apart. It keeps
/// the bits that are still undecided: an allow rule takes its bits away, a deny rule that meets one of them ends it. It
/// has no loop and only jumps forward. Loading it is part of every container's start, and the verifier's time goes by
/// branches: hence the tests that neighbours share, and the early exits.
pub fn compile(rules: &[Rule]) -> Program {
    let decisions = [Kind::Char, Kind::Block].map(|kind| decide_kind(kind, simplify(kind, rules)));
    Program([&LOAD_REQUEST[..], &decisions.concat(), &REFUSE_UNDECIDED].concat())
}

fn decide_kind(kind: Kind, mut rules: Vec<Rule>) -> Vec<u64> {
    let number = if kind == Kind::Char { DEV_CHAR } else { DEV_BLOCK };
    rules.reverse();
    let parts = rules.chunks(MAX_JUMP / MAX_RULE).flat_map(|part| {
        let groups = part.chunk_by(|a, b| a.major == b.major);
        only_if(TYPE, Some(number), groups.flat_map(decide_group).collect())
    });
    parts.collect()
}

/// Rules that share their major number also share the test for it.
fn decide_group(rules: &[Rule]) -> Vec<u64> {
    let decisions = rules.iter().flat_map(|rule| only_if(MINOR, rule.minor, decide(rule))).collect();
    only_if(MAJOR, rules[0].major, decisions)
}

fn decide(rule: &Rule) -> Vec<u64> {
    let bits = i32::from(rule.access.0);
    if !rule.allow {
        return vec![
            insn(ALU | MOVE | FROM_REGISTER, SCRATCH, UNDECIDED, 0, 0),
            insn(ALU | AND, SCRATCH, 0, 0, bits),
            insn(JMP32 | JEQ, SCRATCH, 0, 2, 0),
            set(VERDICT, 0),
            EXIT,
        ];
    }
    if rule.access == Access::ALL { vec![EXIT] } else { vec![insn(ALU | AND, UNDECIDED, 0, 0, !bits)] }
}

/// Puts the test in front of the body that skips it when the register holds another value.
fn only_if(register: u8, value: Option<u32>, body: Vec<u64>) -> Vec<u64> {
    let Some(value) = value else { return body };
    let skip = i16::try_from(body.len()).expect("groups are cut to the span of a jump");
    [vec![insn(JMP32 | JNE, register, 0, skip, value.cast_signed())], body].concat()
}

/// How far a jump reaches, in instructions.
const MAX_JUMP: usize = i16::MAX as usize;
/// The most instructions that one rule takes: two tests and a denial.
const MAX_RULE: usize = 7;

// `BPF_DEVCG_DEV_*` of linux/bpf.h.
const DEV_BLOCK: u32 = 1;
const DEV_CHAR: u32 = 2;

// The registers. R1 is the context at entry and R0 the verdict at exit; those in between are ours.
const VERDICT: u8 = 0;
const CONTEXT: u8 = 1;
const UNDECIDED: u8 = 2;
const TYPE: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

// Opcodes, from linux/bpf_common.h and linux/bpf.h: a class in the low three bits and an operation. The 32-bit classes
// are used throughout, so that a number above 2^31 is not sign-extended.
const LOAD_WORD: u8 = 0x61;
const ALU: u8 = 0x04;
const JMP: u8 = 0x05;
const JMP32: u8 = 0x06;
const AND: u8 = 0x50;
const SHIFT_RIGHT: u8 = 0x70;
const MOVE: u8 = 0xb0;
const JEQ: u8 = 0x10;
const JNE: u8 = 0x50;
const FROM_REGISTER: u8 = 0x08;

const EXIT: u64 = insn(JMP | 0x90, 0, 0, 0, 0);

/// Takes `struct bpf_cgroup_dev_ctx { u32 access_type, major, minor }` apart; `access_type` is `access << 16 | type`.
/// The verdict is yes until something says no.
const LOAD_REQUEST: [u64; 7] = [
    insn(LOAD_WORD, UNDECIDED, CONTEXT, 0, 0),
    insn(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
    insn(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    insn(ALU | MOVE | FROM_REGISTER, TYPE, UNDECIDED, 0, 0),
    insn(ALU | AND, TYPE, 0, 0, 0xffff),
    insn(ALU | SHIFT_RIGHT, UNDECIDED, 0, 0, 16),
    set(VERDICT, 1),
];

/// A bit that no rule decided is refused.
const REFUSE_UNDECIDED: [u64; 3] = [insn(JMP32 | JEQ, UNDECIDED, 0, 1, 0), set(VERDICT, 0), EXIT];

const fn set(register: u8, value: u8) -> u64 {
    insn(ALU | MOVE, register, 0, 0, value as i32)
}

/// One `struct bpf_insn`. Its two register fields are bit fields, so their order follows the machine's.
const fn insn(code: u8, to: u8, from: u8, offset: i16, value: i32) -> u64 {
    let registers = if cfg!(target_endian = "little") { from << 4 | to } else { to << 4 | from };
    let (offset, value) = (offset.to_ne_bytes(), value.to_ne_bytes());
    u64::from_ne_bytes([code, registers, offset[0], offset[1], value[0], value[1], value[2], value[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 3] = [Kind::Char, Kind::Block, Kind::Any];

    /// What a process asks for. `kind` is never `Any`.
    #[derive(Debug, Clone, Copy)]
    struct Request {
        kind: Kind,
        major: u32,
        minor: u32,
        access: u8,
    }

    /// The meaning of the rules, word for word: for each requested bit, the last rule that matches decides.
    fn evaluate(rules: &[Rule], request: Request) -> bool {
        let matches = |rule: &Rule| {
            (rule.kind == Kind::Any || rule.kind == request.kind)
                && rule.major.is_none_or(|n| n == request.major)
                && rule.minor.is_none_or(|n| n == request.minor)
        };
        [1, 2, 4].into_iter().filter(|bit| request.access & bit != 0).all(|bit| {
            let decisive = rules.iter().rfind(|rule| matches(rule) && rule.access.0 & bit != 0);
            decisive.is_some_and(|rule| rule.allow)
        })
    }

    /// Runs a program as the kernel does. Knows exactly the instructions that a device program may hold here and panics
    /// at any other one, at a jump out of the program and at a read of a register that was never written.
    fn interpret(program: &Program, request: Request) -> bool {
        let kind = if request.kind == Kind::Block { 1 } else { 2 };
        let context = [u32::from(request.access) << 16 | kind, request.major, request.minor];
        let mut registers: [Option<u32>; 11] = [None; 11];
        let mut at = 0;
        loop {
            let bytes = program.0[at].to_ne_bytes();
            let (to, from) = (usize::from(bytes[1] & 15), usize::from(bytes[1] >> 4));
            let offset = i16::from_ne_bytes([bytes[2], bytes[3]]);
            let value = u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            at += 1;
            let skip = usize::try_from(offset);
            match bytes[0] {
                0x61 => {
                    assert_eq!(from, 1, "only the context can be read");
                    registers[to] = Some(context[skip.unwrap() / 4]);
                }
                0xb4 => registers[to] = Some(value),
                0xbc => registers[to] = Some(registers[from].unwrap()),
                0x54 => registers[to] = Some(registers[to].unwrap() & value),
                0x74 => registers[to] = Some(registers[to].unwrap() >> value),
                0x56 if registers[to].unwrap() != value => at += skip.unwrap(),
                0x16 if registers[to].unwrap() == value => at += skip.unwrap(),
                0x56 | 0x16 => {}
                0x95 => return registers[0].unwrap() == 1,
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }

    /// Every request that the rules could tell apart: each number that they name, one that they do not, the extremes.
    fn requests(rules: &[Rule]) -> Vec<Request> {
        let numbers = |field: fn(&Rule) -> Option<u32>| {
            let mut all: Vec<u32> = rules.iter().filter_map(field).chain([0, 77_777, u32::MAX]).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let (majors, minors) = (numbers(|r| r.major), numbers(|r| r.minor));
        let mut all = Vec::new();
        for kind in [Kind::Char, Kind::Block] {
            for &major in &majors {
                for &minor in &minors {
                    all.extend((0..8).map(|access| Request { kind, major, minor, access }));
                }
            }
        }
        all
    }

    /// Holds the compiled program against the meaning of the rules, on every request that matters.
    fn check(rules: &[Rule]) -> Program {
        let program = compile(rules);
        let mut all_pass = true;
        for request in requests(rules) {
            let expected = evaluate(rules, request);
            assert_eq!(interpret(&program, request), expected, "{request:?} under {rules:#?}");
            all_pass &= expected;
        }
        assert_eq!(allows_everything(rules), all_pass, "{rules:#?}");
        program
    }

    /// `allow c 1:3 rw`, the way that runc prints rules.
    fn rule(text: &str) -> Rule {
        let words: Vec<&str> = text.split(' ').collect();
        let [verdict, kind, numbers, access] = words[..] else { panic!("four words: {text}") };
        let (major, minor) = numbers.split_once(':').unwrap();
        let number = |text: &str| (text != "*").then(|| text.parse().unwrap());
        Rule {
            allow: verdict == "allow",
            kind: KINDS["cba".find(kind).unwrap()],
            major: number(major),
            minor: number(minor),
            access: Access::parse(access).unwrap(),
        }
    }

    fn rules(texts: &[&str]) -> Vec<Rule> {
        texts.iter().map(|text| rule(text)).collect()
    }

    fn with_defaults(texts: &[&str]) -> Vec<Rule> {
        [rules(texts), default_rules()].concat()
    }

    fn passes(rules: &[Rule], kind: Kind, major: u32, minor: u32, access: &str) -> bool {
        interpret(&compile(rules), Request { kind, major, minor, access: Access::parse(access).unwrap().0 })
    }

    fn kept(rules: &[Rule]) -> usize {
        simplify(Kind::Char, rules).len() + simplify(Kind::Block, rules).len()
    }

    const DOCKER: [&str; 16] = [
        "deny a *:* rwm",
        "allow c 1:5 rwm",
        "allow c 1:3 rwm",
        "allow c 1:9 rwm",
        "allow c 1:8 rwm",
        "allow c 5:0 rwm",
        "allow c 5:1 rwm",
        "deny c 10:229 rwm",
        "deny a *:* rwm",
        "allow c 1:5 rwm",
        "allow c 1:3 rwm",
        "allow c 1:9 rwm",
        "allow c 1:8 rwm",
        "allow c 5:0 rwm",
        "allow c 5:1 rwm",
        "deny c 10:229 rwm",
    ];

    #[test]
    fn access_letters() {
        assert_eq!(Access::parse("rwm"), Some(Access::ALL));
        assert_eq!(Access::parse("mr"), Some(Access::MKNOD | Access::READ));
        assert_eq!(Access::parse("w"), Some(Access::WRITE));
        assert_eq!(["", "x", "rx", "xr", "R", "r w"].map(Access::parse), [None; 6]);
    }

    #[test]
    fn without_rules_everything_is_refused() {
        assert!(!passes(&[], Kind::Char, 1, 3, "r"));
        check(&[]);
    }

    #[test]
    fn the_default_spec() {
        let rules = with_defaults(&["deny a *:* rwm"]);
        check(&rules);
        assert!(passes(&rules, Kind::Char, 1, 3, "rw"), "/dev/null");
        assert!(passes(&rules, Kind::Char, 136, 12, "rw"), "a terminal");
        assert!(passes(&rules, Kind::Block, 8, 0, "m"), "a node for a disk");
        assert!(!passes(&rules, Kind::Block, 8, 0, "r"), "the disk itself");
        assert!(!passes(&rules, Kind::Char, 1, 1, "r"), "/dev/mem");
    }

    #[test]
    fn docker_repeats_itself_and_the_program_does_not() {
        let rules = with_defaults(&DOCKER);
        check(&rules);
        assert!(passes(&rules, Kind::Char, 5, 1, "rw"), "the console");
        assert!(!passes(&rules, Kind::Char, 10, 229, "r"), "fuse");
        // Of the sixteen only the console adds something to the defaults.
        assert_eq!(kept(&rules), default_rules().len() + 1);
    }

    #[test]
    fn bits_are_decided_one_by_one() {
        let rules = rules(&["allow c 1:3 rw", "deny c 1:3 w", "allow c 1:3 m"]);
        check(&rules);
        assert!(passes(&rules, Kind::Char, 1, 3, "rm"));
        assert!(!passes(&rules, Kind::Char, 1, 3, "rw"));
        assert!(!passes(&rules, Kind::Char, 1, 3, "w"));
    }

    #[test]
    fn a_denial_punches_a_hole_into_a_wildcard() {
        let rules = rules(&["allow a *:* rwm", "deny c 1:* w", "deny a *:7 r", "allow b 1:7 r"]);
        check(&rules);
        assert!(passes(&rules, Kind::Block, 1, 7, "rwm"));
        assert!(!passes(&rules, Kind::Char, 9, 7, "r"));
        assert!(!passes(&rules, Kind::Char, 1, 3, "rw"));
        assert!(!allows_everything(&rules));
    }

    #[test]
    fn numbers_above_2_to_the_31_are_not_sign_extended() {
        let rules = rules(&["allow c 4294967295:2147483648 rw"]);
        check(&rules);
        assert!(passes(&rules, Kind::Char, u32::MAX, 1 << 31, "rw"));
    }

    #[test]
    fn everything_is_allowed() {
        for texts in [
            &["allow a *:* rwm"][..],
            &["deny a *:* rwm", "allow c 1:3 r", "allow a *:* rwm"],
            &["allow c *:* rwm", "allow b *:* rwm"],
            &["allow a *:* r", "deny c 1:3 w", "allow a *:* wm"],
        ] {
            let rules = with_defaults(texts);
            assert!(allows_everything(&rules), "{texts:?}");
            check(&rules);
        }
    }

    #[test]
    fn not_everything_is_allowed() {
        for texts in [
            &[][..],
            &["allow c *:* rwm"],
            &["allow a *:* rw", "deny c 1:1 w"],
            &["allow a 1:* rwm"],
            &["allow a *:1 rwm"],
            &["allow a *:* rwm", "deny b 8:0 w"],
        ] {
            let rules = with_defaults(texts);
            assert!(!allows_everything(&rules), "{texts:?}");
            assert!(requests(&rules).iter().any(|request| !evaluate(&rules, *request)), "{texts:?}");
        }
    }

    #[test]
    fn what_changes_nothing_is_dropped() {
        for (texts, left) in [
            (&["deny b 8:0 rwm"][..], 0),
            (&["allow c 1:3 r", "allow c 1:3 rwm"], 1),
            (&["allow c 1:3 r", "allow c 1:* r", "allow c *:3 wm"], 2),
            (&["allow c 1:3 rw", "allow c 1:3 r", "allow c *:* w"], 2),
            (&["allow c *:* rw", "deny b 1:3 r", "allow c 1:3 r"], 1),
            (&["allow c *:* rw", "deny c 1:* r", "allow c 1:3 r"], 3),
        ] {
            let rules = rules(texts);
            check(&rules);
            assert_eq!(kept(&rules), left, "{texts:?}");
        }
    }

    #[test]
    fn rules_with_one_major_share_its_test() {
        let one = |minor| format!("allow c 1:{minor} rw");
        let texts: Vec<String> = (0..300).map(one).collect();
        let rules: Vec<Rule> = texts.iter().map(|text| rule(text)).collect();
        let frame = compile(&[]).instructions().len();
        assert_eq!(compile(&rules).instructions().len(), frame + 2 + 300 * 2);
    }

    #[test]
    fn what_is_longer_than_a_jump_is_cut() {
        let rule = |number| Rule {
            allow: number < 11_990,
            ..Rule::allow(Kind::Char, Some(number), Some(number), Access::READ)
        };
        let decisions = decide_kind(Kind::Char, (0..12_000).map(rule).collect());
        assert!(decisions.len() > MAX_JUMP);
        let program = Program([&LOAD_REQUEST[..], &decisions, &REFUSE_UNDECIDED].concat());
        for (number, expected) in [(0, true), (5_000, true), (11_989, true), (11_990, false), (12_000, false)] {
            let request = Request { kind: Kind::Char, major: number, minor: number, access: 2 };
            assert_eq!(interpret(&program, request), expected, "{number}");
        }
    }

    #[test]
    fn the_longest_rules_fill_a_jump_and_do_not_overrun_it() {
        let deny = |number| Rule { allow: false, ..Rule::allow(Kind::Block, Some(number), Some(number), Access::READ) };
        let full = u32::try_from(MAX_JUMP / MAX_RULE).unwrap();
        let decisions = decide_kind(Kind::Block, (0..full).map(deny).collect());
        assert_eq!(decisions.len(), 1 + MAX_JUMP / MAX_RULE * MAX_RULE);
    }

    /// Marsaglia's xorshift: the same rule sets on each run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % limit
        }

        fn number(&mut self) -> Option<u32> {
            [None, Some(0), Some(1), Some(2), Some(u32::MAX)][usize::try_from(self.below(5)).unwrap()]
        }

        fn rule(&mut self) -> Rule {
            Rule {
                allow: self.below(2) == 0,
                kind: KINDS[usize::try_from(self.below(3)).unwrap()],
                major: self.number(),
                minor: self.number(),
                access: Access(u8::try_from(self.below(7)).unwrap() + 1),
            }
        }
    }

    #[test]
    fn random_rule_sets_mean_what_they_say() {
        let mut random = Random(0x6f72_6c6f_7021);
        for _ in 0..4_000 {
            let count = random.below(12);
            let rules: Vec<Rule> = (0..count).map(|_| random.rule()).collect();
            check(&rules);
        }
    }
}
