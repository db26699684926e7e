//! Instructions of classic BPF, as many as a seccomp filter needs: load, compare and jump, return.
//!
//! For a call whose verdict needs no arguments the kernel finds out once, when the filter is installed, whether it is
//! always allowed, and skips the filter from then on (`seccomp_is_const_allow` in kernel/seccomp.c). It follows only
//! loads of the number and the architecture, `jeq`, `jge`, `jgt`, `jset`, `ja`, `and` and `ret`, so nothing else is used here.

use seccompiler::{BpfProgram, sock_filter};

use crate::error::Result;

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

/// A program that is being written, from its end to its start: jumps lead forwards only, and how far is known when what they skip
/// is there. Every path through it ends in a return.
#[derive(Debug, Default)]
pub(super) struct Code {
    reversed: Vec<SockFilter>,
}

impl Code {
    /// The whole program, in the order in which the kernel wants it.
    pub(super) fn finish(mut self) -> Vec<SockFilter> {
        self.reversed.reverse();
        self.reversed
    }

    pub(super) fn load(&mut self, word: Word) {
        self.reversed.push(plain(LOAD, word as u32));
    }

    pub(super) fn ret(&mut self, value: u32) {
        self.reversed.push(plain(RETURN, value));
    }

    /// Runs what `yes` writes if the loaded word compares so, else what is there already. A conditional jump reaches 255
    /// instructions; beyond that, `yes` is skipped by a jump of its own.
    pub(super) fn branch(&mut self, is: Is, k: u32, yes: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let behind = self.reversed.len();
        yes(self)?;
        let length = self.reversed.len() - behind;
        match u8::try_from(length) {
            Ok(length) => self.reversed.push(SockFilter { code: is as u16, jt: 0, jf: length, k }),
            Err(_) => self.reversed.extend([skip(length), SockFilter { code: is as u16, jt: 1, jf: 0, k }]),
        }
        Ok(())
    }

    /// Returns `value` if the conditions hold, as seccompiler compiles them, else goes on with what is there already.
    pub(super) fn when(&mut self, conditions: &BpfProgram, value: u32) {
        self.ret(value);
        let own = conditions.iter().map(|i| SockFilter { code: i.code, jt: i.jt, jf: i.jf, k: i.k });
        self.reversed.extend(own.skip(entry(conditions)).rev());
    }
}

fn plain(code: u16, k: u32) -> SockFilter {
    SockFilter { code, jt: 0, jf: 0, k }
}

/// An unconditional jump over that many instructions. No program that is that long is ever loaded, so no length is lost.
fn skip(count: usize) -> SockFilter {
    plain(JUMP, u32::try_from(count).unwrap_or(u32::MAX))
}

/// How many instructions at the start can go: seccompiler chains the rules of different calls by two jumps, one into the rule,
/// over one that leads past its return to the rule after it. Nothing here enters the second.
fn entry(conditions: &[sock_filter]) -> usize {
    let is_jump = |at: usize, over: usize| conditions.get(at).is_some_and(|i| i.code == JUMP && i.k as usize == over);
    if is_jump(0, 1) && is_jump(1, conditions.len()) { 2 } else { 0 }
}

#[cfg(test)]
mod tests {
    use seccompiler::{SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

    use super::*;

    /// A comparison with 7, with so many returns of 1 where it holds, and one of 2 where it does not.
    fn compare(is: Is, returns: usize) -> Vec<SockFilter> {
        let mut code = Code::default();
        code.ret(2);
        let yes = |code: &mut Code| {
            (0..returns).for_each(|_| code.ret(1));
            Ok(())
        };
        code.branch(is, 7, yes).unwrap();
        code.finish()
    }

    #[test]
    fn a_short_branch_skips_by_the_comparison_itself() {
        let [yes, no] = [plain(RETURN, 1), plain(RETURN, 2)];
        assert_eq!(compare(Is::AtLeast, 1), [SockFilter { code: 0x35, jt: 0, jf: 1, k: 7 }, yes, no]);
    }

    #[test]
    fn a_long_branch_takes_a_jump() {
        let code = compare(Is::Equal, 256);
        assert_eq!(code[..2], [SockFilter { code: 0x15, jt: 1, jf: 0, k: 7 }, plain(JUMP, 256)]);
        assert_eq!((code.len(), code[2 + 256]), (259, plain(RETURN, 2)));
        let longest_short = compare(Is::Equal, 255);
        assert_eq!((longest_short.len(), longest_short[0].jf), (257, 255));
    }

    #[test]
    fn a_rule_is_its_conditions_and_a_return() {
        let condition = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, 5).unwrap();
        let mut code = Code::default();
        code.when(&SeccompRule::new(vec![condition]).unwrap().into(), 9);
        let expected = [plain(LOAD, 24), SockFilter { code: 0x15, jt: 0, jf: 1, k: 5 }, plain(RETURN, 9)];
        assert_eq!(code.finish(), expected);
    }
}
