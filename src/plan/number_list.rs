//! Lists of CPUs or memory nodes as the kernel writes them: `0-3,7`.

use crate::error::{Error, Result};

/// The numbers of a list, in its order. None may be above `most`.
pub(super) fn parse(list: &str, most: u32) -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for part in list.split(',') {
        let part = part.trim();
        let wrong = || Error::new(format!("{part:?} in {list:?} is no number and no range of numbers"));
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first).ok_or_else(wrong)?, number(last).ok_or_else(wrong)?);
        if last < first {
            return Err(Error::new(format!("the range {part:?} ends before it starts")));
        }
        if last > most {
            return Err(Error::new(format!("{last} is above {most}, the highest that is supported")));
        }
        numbers.extend(first..=last);
    }
    Ok(numbers)
}

/// Digits alone: what Rust takes beside them (`+1`) no kernel does.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges() {
        assert_eq!(parse("0-3,7", 9).unwrap(), [0, 1, 2, 3, 7]);
        assert_eq!(parse("5", 9).unwrap(), [5]);
        assert_eq!(parse("1-1, 9", 9).unwrap(), [1, 9]);
    }

    #[test]
    fn anything_else_is_refused() {
        for wrong in ["", ",", "1,", "a", "-1", "1-", "3-1", "10", "0-10", "+1", "1-2-3", "99999999999"] {
            assert!(parse(wrong, 9).is_err(), "{wrong:?}");
        }
    }
}
