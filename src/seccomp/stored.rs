//! A program as the text that a container's record keeps for `exec`: sixteen hexadecimal digits for each instruction, those of its
//! code, its two jumps and its operand. One such text is passed over by whoever reads a record and has no use for it.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

use super::{MAX_INSTRUCTIONS, SockFilter};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

pub(super) fn serialize<S: Serializer>(program: &[SockFilter], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&write(program))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SockFilter>, D::Error> {
    read(<&str>::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("no program of a seccomp filter"))
}

fn write(program: &[SockFilter]) -> String {
    let mut text = String::with_capacity(program.len() * 16);
    for SockFilter { code, jt, jf, k } in program {
        let [code, k] = [u32::from(*code) << 16 | u32::from(*jt) << 8 | u32::from(*jf), *k];
        for byte in [code, k].into_iter().flat_map(u32::to_be_bytes) {
            text.extend([byte >> 4, byte & 0xf].map(|digit| char::from(DIGITS[usize::from(digit)])));
        }
    }
    text
}

/// What [`write`] wrote, and nothing else.
fn read(text: &str) -> Option<Vec<SockFilter>> {
    let (instructions, rest) = text.as_bytes().as_chunks();
    let fits = rest.is_empty() && (1..=MAX_INSTRUCTIONS).contains(&instructions.len());
    fits.then(|| instructions.iter().map(instruction).collect())?
}

fn instruction(digits: &[u8; 16]) -> Option<SockFilter> {
    let mut bytes = [0; 8];
    for (byte, [high, low]) in bytes.iter_mut().zip(digits.as_chunks().0) {
        *byte = value(*high)? << 4 | value(*low)?;
    }
    let [code, code_low, jt, jf, k @ ..] = bytes;
    Some(SockFilter { code: u16::from_be_bytes([code, code_low]), jt, jf, k: u32::from_be_bytes(k) })
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: [SockFilter; 2] = [
        SockFilter { code: 0x15, jt: 1, jf: 0xfe, k: 0x4000_0003 },
        SockFilter { code: 6, jt: 0, jf: 0, k: 0x7fff_0000 },
    ];
    const TEXT: &str = "001501fe40000003000600007fff0000";

    #[test]
    fn an_instruction_is_sixteen_digits() {
        assert_eq!(write(&PROGRAM), TEXT);
        assert_eq!(read(TEXT).unwrap(), PROGRAM);
    }

    #[test]
    fn anything_else_is_no_program() {
        let upper = TEXT.to_uppercase();
        let sign = TEXT.replacen('0', "+", 1);
        for wrong in ["", "0", &TEXT[1..], &TEXT[..31], &upper, &sign, "001501fe4000000\u{e9}"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        let longest = "0006000000000000".repeat(MAX_INSTRUCTIONS);
        assert_eq!(read(&longest).unwrap().len(), MAX_INSTRUCTIONS);
        assert_eq!(read(&(longest + &TEXT[..16])), None);
    }
}
