//! Instructions of classic BPF, as many as a seccomp filter needs: load, compare and jump, return.
//!
//! For a call whose verdict needs no arguments the kernel finds out once, when the filter is installed, whether it is
//! always allowed, and skips the filter from then on (`seccomp_is_const_allow` in kernel/seccomp.c). It follows only
//! loads of the number and the architecture, `jeq`, `jge`, `jgt`, `jset`, `ja`, `and` and `ret`, so nothing else is used here.

use seccompiler::BpfProgram;

/// One instruction, laid out as the kernel's `struct sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SockFilter {
    /// What to do.
    pub code: u16,
    /// How many instructions to skip if the comparison holds.
    pub jt: u8,
    /// How many to skip if it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// A part of a program, or all of it. Every path through it ends in a return.
pub(super) type Code = Vec<SockFilter>;

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// The comparisons of the loaded word with a constant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Is {
    Equal = 0x15,   // BPF_JMP | BPF_JEQ | BPF_K
    AtLeast = 0x35, // BPF_JMP | BPF_JGE | BPF_K
}

/// What to load: offsets into `struct seccomp_data`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Word {
    Number = 0,
    Arch = 4,
}

fn plain(code: u16, k: u32) -> SockFilter {
    SockFilter { code, jt: 0, jf: 0, k }
}

pub(super) fn load(word: Word) -> SockFilter {
    plain(LOAD, word as u32)
}

pub(super) fn ret(value: u32) -> SockFilter {
    plain(RETURN, value)
}

/// Runs `yes` if the loaded word compares so, else `no`. A conditional jump reaches 255 instructions; beyond that, the
/// side that it has to skip is skipped by a jump of its own.
pub(super) fn branch(is: Is, k: u32, yes: Code, no: Code) -> Code {
    let mut code = match u8::try_from(yes.len()) {
        Ok(length) => vec![SockFilter { code: is as u16, jt: 0, jf: length, k }],
        Err(_) => vec![SockFilter { code: is as u16, jt: 1, jf: 0, k }, skip(yes.len())],
    };
    code.extend(yes);
    code.extend(no);
    code
}

/// An unconditional jump over that many instructions. No program that is that long is ever loaded, so no length is lost.
fn skip(count: usize) -> SockFilter {
    plain(JUMP, u32::try_from(count).unwrap_or(u32::MAX))
}

/// The conditions of a rule as seccompiler compiles them, followed by the return of `value`: falls out at the end where
/// they do not hold.
pub(super) fn when(conditions: BpfProgram, value: u32) -> Code {
    let mut code: Code =
        conditions.into_iter().map(|i| SockFilter { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect();
    if is_entry(&code) {
        code.drain(..2);
    }
    code.push(ret(value));
    code
}

/// Whether the code starts with the two jumps by which seccompiler chains the rules of different calls: one into the rule,
/// over one that leads past its return to the rule after it. Nothing here enters the second, so both can go.
fn is_entry(code: &[SockFilter]) -> bool {
    code.len() > 2 && code[..2] == [skip(1), skip(code.len())]
}

#[cfg(test)]
mod tests {
    use seccompiler::{SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

    use super::*;

    #[test]
    fn a_short_branch_skips_by_the_comparison_itself() {
        let code = branch(Is::AtLeast, 7, vec![ret(1)], vec![ret(2)]);
        assert_eq!(code, [SockFilter { code: 0x35, jt: 0, jf: 1, k: 7 }, ret(1), ret(2)]);
    }

    #[test]
    fn a_long_branch_takes_a_jump() {
        let code = branch(Is::Equal, 7, vec![ret(1); 256], vec![ret(2)]);
        assert_eq!(code[..2], [SockFilter { code: 0x15, jt: 1, jf: 0, k: 7 }, plain(JUMP, 256)]);
        assert_eq!((code.len(), code[2 + 256]), (259, ret(2)));
        let longest_short = branch(Is::Equal, 7, vec![ret(1); 255], vec![ret(2)]);
        assert_eq!((longest_short.len(), longest_short[0].jf), (257, 255));
    }

    #[test]
    fn a_rule_is_its_conditions_and_a_return() {
        let condition = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, 5).unwrap();
        let code = when(SeccompRule::new(vec![condition]).unwrap().into(), 9);
        assert_eq!(code, [plain(LOAD, 24), SockFilter { code: 0x15, jt: 0, jf: 1, k: 5 }, ret(9)]);
    }
}
