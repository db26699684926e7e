//! Numbers with a point, of a unit.

/// As many parts as the number says of a unit that consists of that many: `1.5` of 1024 is 1536. Cut off behind the last whole part.
/// `None` for what is no number of digits with one point at most, and for more than fits.
pub(super) fn of(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || whole.len() + fraction.len() == 0 {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // More digits than these say less than one part of an hour or of a pebibyte.
    let fraction = &fraction[..fraction.len().min(18)];
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = u128::from(unit) * fraction.parse().unwrap_or(0) / scale;
    unit.checked_mul(whole)?.checked_add(u64::try_from(part).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_unit() {
        for (number, unit, parts) in [
            ("0", 5, Some(0)),
            ("3", 5, Some(15)),
            ("1.5", 1024, Some(1536)),
            (".5", 10, Some(5)),
            ("1.", 10, Some(10)),
            ("0.999", 10, Some(9)),
            ("0.1000000000000000000000000000001", 10, Some(1)),
            ("18446744073709551615", 1, Some(u64::MAX)),
            ("18446744073709551616", 1, None),
            ("18446744073709551615.9", 2, None),
            (".", 1, None),
            ("", 1, None),
            ("1.2.3", 1, None),
            ("-1", 1, None),
            ("+1", 1, None),
            ("1e3", 1, None),
        ] {
            assert_eq!(of(number, unit), parts, "{number} of {unit}");
        }
    }
}
