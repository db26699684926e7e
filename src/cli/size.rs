//! An amount of memory as Docker and runc read it: `1048576`, `512k`, `1.5 GiB`. Units are multiples of 1024, in any case.

use super::decimal;

/// How many bytes that is; -1, which stands for no limit, as it is.
///
/// # Errors
/// In the words of runc's library.
pub(super) fn parse(text: &str) -> Result<i64, String> {
    if text == "-1" {
        return Ok(-1);
    }
    let invalid = || format!("invalid size: '{text}'");
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').ok_or_else(invalid)?;
    let (number, suffix) = text.split_at(end + 1);
    let suffix = suffix.to_ascii_lowercase();
    let unit = unit(&suffix).ok_or_else(|| format!("invalid suffix: '{suffix}'"))?;
    let number = number.strip_suffix(' ').unwrap_or(number);
    let bytes = decimal::of(number, unit).and_then(|bytes| i64::try_from(bytes).ok());
    bytes.ok_or_else(invalid)
}

fn unit(suffix: &str) -> Option<u64> {
    if matches!(suffix, "" | "b") {
        return Some(1);
    }
    let (prefix, rest) = suffix.split_at_checked(1)?;
    let power = "kmgtp".find(prefix)?;
    matches!(rest, "" | "b" | "ib").then(|| 1 << (10 * (power + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("-1", -1),
            ("0", 0),
            ("1048576", 1_048_576),
            ("32b", 32),
            ("32B", 32),
            ("32k", 32 << 10),
            ("32kb", 32 << 10),
            ("32Kib", 32 << 10),
            ("32 KiB", 32 << 10),
            ("32m", 32 << 20),
            ("1.5g", 3 << 29),
            ("1.5GB", 3 << 29),
            ("1 T", 1 << 40),
            ("3pib", 3 << 50),
            ("32.5 ", 32),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn texts_that_are_no_sizes() {
        for (text, complaint) in [
            ("", "invalid size: ''"),
            ("hello", "invalid size: 'hello'"),
            ("-32", "invalid size: '-32'"),
            (".", "invalid size: '.'"),
            ("1.2.3m", "invalid size: '1.2.3m'"),
            ("32  kb", "invalid size: '32  kb'"),
            ("99999999p", "invalid size: '99999999p'"),
            ("32e", "invalid suffix: 'e'"),
            ("32bm", "invalid suffix: 'bm'"),
            ("32mm", "invalid suffix: 'mm'"),
            ("32kibb", "invalid suffix: 'kibb'"),
            ("32é", "invalid suffix: 'é'"),
        ] {
            assert_eq!(parse(text), Err(complaint.to_owned()), "{text}");
        }
    }
}
