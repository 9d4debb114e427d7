//! Spans of time written as Polars writes them: `1d`, `-17h`, `1w2d`, `90m`.

use super::error::OptionsError;

/// Nanoseconds of the units that always last the same.
const FIXED: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", DAY),
    ("w", 7 * DAY),
];
/// Months of the units that do not.
const CALENDAR: [(&str, i64); 3] = [("mo", 1), ("q", 3), ("y", 12)];

/// Nanoseconds in a day, by the clock on the wall.
pub const DAY: i64 = 86_400_000_000_000;

/// A span: calendar months, and time of fixed length. Both may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Duration {
    pub months: i64,
    pub nanos: i64,
}

impl Duration {
    /// Reads a span.
    ///
    /// # Errors
    /// If the text is none, or too long for 64 bits of nanoseconds.
    pub fn parse(text: &str) -> Result<Self, OptionsError> {
        let refuse = || OptionsError::Duration(text.to_owned());
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if rest.is_empty() {
            return Err(refuse());
        }
        let mut span = Self::default();
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(refuse)?;
            let count: i64 = rest[..digits].parse().map_err(|_| refuse())?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let unit = &rest[..letters];
            rest = &rest[letters..];
            let find = |units: &[(&str, i64)]| units.iter().find(|u| u.0 == unit).map(|u| u.1);
            let add =
                |sum: i64, each: i64| count.checked_mul(each).and_then(|n| sum.checked_add(n));
            if let Some(each) = find(&FIXED) {
                span.nanos = add(span.nanos, each).ok_or_else(refuse)?;
            } else if let Some(each) = find(&CALENDAR) {
                span.months = add(span.months, each).ok_or_else(refuse)?;
            } else {
                return Err(refuse());
            }
        }
        if negative {
            span = Self { months: -span.months, nanos: -span.nanos };
        }
        Ok(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_as_polars_writes_them() {
        let span = |months, nanos| Ok(Duration { months, nanos });
        assert_eq!(Duration::parse("1d"), span(0, DAY));
        assert_eq!(Duration::parse("-17h"), span(0, -17 * 3_600_000_000_000));
        assert_eq!(Duration::parse("1w2d"), span(0, 9 * DAY));
        assert_eq!(Duration::parse("1y1q1mo"), span(16, 0));
        assert_eq!(Duration::parse("3s5ms7us9ns"), span(0, 3_005_007_009));
        for bad in
            ["", "-", "d", "1", "1x", "1 d", "1d-", "1i", "99999999999999999999d", "999999999w"]
        {
            assert_eq!(Duration::parse(bad), Err(OptionsError::Duration(bad.to_owned())), "{bad}");
        }
    }
}
