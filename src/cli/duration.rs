//! A length of time as Go programs read it: `5s`, `100ms`, `1h2m3.5s`.

use std::time::Duration;

use super::decimal;

/// The units in nanoseconds.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000), // U+00B5, the micro sign
    ("μs", 1_000), // U+03BC, the Greek letter
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// What `time.ParseDuration` of Go reads; one that is negative becomes zero. `None` for a text that is no length of time, and for one
/// that is longer than 292 years.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let (negative, amount) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if amount == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanoseconds = 0_u64;
    let mut rest = Some(amount).filter(|amount| !amount.is_empty())?;
    while !rest.is_empty() {
        let part;
        (part, rest) = number_with_unit(rest)?;
        nanoseconds = nanoseconds.checked_add(part).filter(|sum| i64::try_from(*sum).is_ok())?;
    }
    Some(if negative { Duration::ZERO } else { Duration::from_nanos(nanoseconds) })
}

/// Nanoseconds of the first number and its unit, and what follows.
fn number_with_unit(text: &str) -> Option<(u64, &str)> {
    let in_number = |c: char| c == '.' || c.is_ascii_digit();
    let (number, rest) = text.split_at(text.find(|c| !in_number(c)).unwrap_or(text.len()));
    let (name, rest) = rest.split_at(rest.find(in_number).unwrap_or(rest.len()));
    let (_, unit) = UNITS.iter().find(|(known, _)| *known == name)?;
    Some((decimal::of(number, *unit)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("-0", 0),
            ("0s", 0),
            ("5s", 5_000_000_000),
            ("+5s", 5_000_000_000),
            ("100ms", 100_000_000),
            ("1h2m3.5s", 3_723_500_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("7us", 7_000),
            ("7µs", 7_000),
            ("7μs", 7_000),
            ("12ns", 12),
            ("0.000001s", 1_000),
            ("1.25ms", 1_250_000),
            ("0.1m", 6_000_000_000),
            ("1s1s", 2_000_000_000),
            ("2562047h47m16s854ms775us807ns", 9_223_372_036_854_775_807),
        ] {
            assert_eq!(parse(text), Some(Duration::from_nanos(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn negative_is_no_time() {
        assert_eq!(parse("-5s"), Some(Duration::ZERO));
    }

    #[test]
    fn what_go_does_not_read() {
        for text in [
            "",
            "5",
            "s",
            "-",
            "+",
            ".",
            ".s",
            "5 s",
            "5s ",
            "5S",
            "5d",
            "1e3s",
            "--5s",
            "5sm",
            "3000000h",
            "5,5s",
            "\u{ff}",
            "2562047h47m16s854ms775us808ns",
            "99999999999999999999s",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
