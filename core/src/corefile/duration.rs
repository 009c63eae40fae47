//! Durations in Go's notation.

/// Why a word is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DurationError {
    /// Nothing that could be read.
    Invalid,
    /// A number other than 0 that no unit follows.
    MissingUnit,
    /// Exceeds 64 bits of nanoseconds.
    Overflow,
    /// Letters that are no unit.
    UnknownUnit,
}

/// Reads a sequence of numbers with fractions and units, such as `1h15m30.918s`, into nanoseconds.
pub(super) fn parse_duration(text: &str) -> Result<i64, DurationError> {
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(DurationError::Invalid);
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (part, behind) = one_part(rest)?;
        // Each part fits 63 bits, so the sum cannot overflow 127 before the check below ends it.
        total += part;
        if total > i128::from(i64::MAX) + i128::from(negative) {
            return Err(DurationError::Overflow);
        }
        rest = behind;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| DurationError::Overflow)
}

/// One number with its unit, and what stands behind it.
fn one_part(text: &str) -> Result<(i128, &str), DurationError> {
    let whole_len = text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, mut rest) = text.split_at(whole_len);
    let mut fraction = "";
    if let Some(behind) = rest.strip_prefix('.') {
        let len = behind.bytes().take_while(u8::is_ascii_digit).count();
        (fraction, rest) = behind.split_at(len);
    }
    if whole.is_empty() && fraction.is_empty() {
        return Err(DurationError::Invalid);
    }
    let unit_len = rest
        .find(|letter: char| letter == '.' || letter.is_ascii_digit())
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_len);
    let nanoseconds: i128 = match unit {
        "" => return Err(DurationError::MissingUnit),
        "ns" => 1,
        // Both letters that look like a small mu: U+00B5 and U+03BC.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        _ => return Err(DurationError::UnknownUnit),
    };
    let limit = i128::from(i64::MAX) + 1;
    let whole: i128 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| DurationError::Overflow)?
    };
    let mut value = whole
        .checked_mul(nanoseconds)
        .filter(|value| *value <= limit)
        .ok_or(DurationError::Overflow)?;
    let mut scale: i128 = 1;
    let mut left: i128 = 0;
    // Digits beyond the 18th are worth less than a nanosecond of the largest unit.
    for digit in fraction.bytes().take(18) {
        left = left * 10 + i128::from(digit - b'0');
        scale *= 10;
    }
    value += left * nanoseconds / scale;
    if value > limit {
        Err(DurationError::Overflow)
    } else {
        Ok((value, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        const SECOND: i64 = 1_000_000_000;
        for (text, want) in [
            ("0", Ok(0)),
            ("-0", Ok(0)),
            ("5s", Ok(5 * SECOND)),
            ("+5s", Ok(5 * SECOND)),
            ("-1.5h", Ok(-5400 * SECOND)),
            ("1h15m30.918s", Ok(4_530_918_000_000)),
            (".5s", Ok(SECOND / 2)),
            ("5.s", Ok(5 * SECOND)),
            ("100us", Ok(100_000)),
            ("100\u{b5}s", Ok(100_000)),
            ("1\u{3bc}s1ns", Ok(1_001)),
            ("0.3333333333333333333h", Ok(1_199_999_999_999)),
            ("9223372036854775807ns", Ok(i64::MAX)),
            ("-9223372036854775808ns", Ok(i64::MIN)),
            ("9223372036854775808ns", Err(DurationError::Overflow)),
            ("2562048h", Err(DurationError::Overflow)),
            (
                "99999999999999999999999999999999999999999999s",
                Err(DurationError::Overflow),
            ),
            ("", Err(DurationError::Invalid)),
            ("-", Err(DurationError::Invalid)),
            ("s", Err(DurationError::Invalid)),
            (".s", Err(DurationError::Invalid)),
            ("1", Err(DurationError::MissingUnit)),
            ("1.5", Err(DurationError::MissingUnit)),
            ("1d", Err(DurationError::UnknownUnit)),
            ("1 s", Err(DurationError::UnknownUnit)),
            ("1s ", Err(DurationError::UnknownUnit)),
            ("1e3s", Err(DurationError::UnknownUnit)),
        ] {
            assert_eq!(parse_duration(text), want, "text {text:?}");
        }
    }
}
