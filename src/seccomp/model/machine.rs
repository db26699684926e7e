//! The kernel's part: runs a filter on a call, and checks before that the kernel would take it.

use crate::seccomp::{MAX_INSTRUCTIONS, SockFilter};

/// What a filter sees of a call (`struct seccomp_data`, without the instruction pointer).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Data {
    pub nr: u32,
    pub arch: u32,
    pub args: [u64; 6],
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outcome {
    pub value: u32,
    pub executed: usize,
    /// Whether anything but the number and the architecture was looked at: such a call is not in the kernel's cache.
    pub saw_arguments: bool,
}

impl Data {
    fn word(&self, offset: u32) -> u32 {
        let half =
            |value: u64, upper: bool| u32::try_from(if upper { value >> 32 } else { value & 0xffff_ffff }).unwrap();
        match offset {
            0 => self.nr,
            4 => self.arch,
            16..64 => half(self.args[(offset as usize - 16) / 8], offset % 8 == 4),
            _ => panic!("load from offset {offset}"),
        }
    }
}

/// Runs the program. Panics on what the kernel would not have let in.
pub(crate) fn run(program: &[SockFilter], data: &Data) -> Outcome {
    let (mut at, mut word, mut executed, mut saw_arguments) = (0, 0, 0, false);
    loop {
        let SockFilter { code, jt, jf, k } = program[at];
        executed += 1;
        at += 1;
        let mut jump = |holds: bool| at += usize::from(if holds { jt } else { jf });
        match code {
            0x20 => {
                saw_arguments |= k >= 16;
                word = data.word(k);
            }
            0x54 => word &= k,
            0x05 => at += k as usize,
            0x15 => jump(word == k),
            0x25 => jump(word > k),
            0x35 => jump(word >= k),
            0x45 => jump(word & k != 0),
            0x06 => return Outcome { value: k, executed, saw_arguments },
            _ => panic!("instruction {code:#x}"),
        }
    }
}

/// The kernel's rules for a filter (`bpf_check_classic` and `seccomp_check_filter`), as far as they concern what is used
/// here: a length, known instructions, aligned loads inside the data, jumps that land inside, a return at the end.
pub(crate) fn check(program: &[SockFilter]) -> Result<(), String> {
    if program.is_empty() || program.len() > MAX_INSTRUCTIONS {
        return Err(format!("{} instructions", program.len()));
    }
    if program.last().map(|i| i.code) != Some(0x06) {
        return Err("no return at the end".into());
    }
    match program.iter().enumerate().find(|(at, i)| !is_legal(**i, program.len() - at - 1)) {
        Some((at, wrong)) => Err(format!("{wrong:?} at {at} of {}", program.len())),
        None => Ok(()),
    }
}

fn is_legal(instruction: SockFilter, behind: usize) -> bool {
    let SockFilter { code, jt, jf, k } = instruction;
    match code {
        0x20 => k % 4 == 0 && k < 64,
        0x05 => (k as usize) < behind,
        0x15 | 0x25 | 0x35 | 0x45 => usize::from(jt.max(jf)) < behind,
        0x54 | 0x06 => true,
        _ => false,
    }
}
