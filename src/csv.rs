//! Lines of trades as an exchange publishes them, to columns: strict, in one pass, pure Rust.
//!
//! A general CSV parser takes a line that ends early for one with nulls and does not say which line
//! broke, so what it returns has to be checked again. Here a line is a trade or it is named.
//!
//! Numbers are read digit by digit into an integer and divided by a power of ten. Both are exact as
//! floats up to 2^53 and 10^22, so that the quotient is the correctly rounded value of the text
//! (W. D. Clinger, "How to Read Floating Point Numbers Accurately", 1990). The standard library reads
//! what is longer.

use crate::core::trades::{is_price, is_quantity};

/// What a field holds, and so what it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Integer,
    /// An integer between the limits of `Times`.
    Time,
    /// A finite number.
    Number,
    /// A number that can be a price.
    Price,
    /// A number that can be a quantity.
    Quantity,
    /// `true` or `false`, or either with a capital.
    Boolean,
}

impl Kind {
    /// What a good field is, in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Integer | Self::Time => "an integer",
            Self::Number => "a number",
            Self::Price => "a number above 0",
            Self::Quantity => "a number from 0 up",
            Self::Boolean => "true or false",
        }
    }
}

/// What times count, and which of them the file can hold.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Microseconds of a time's unit.
    pub factor: i64,
    /// The first microsecond since 1970 that is allowed.
    pub from: i64,
    /// The first one that is not any more.
    pub to: i64,
}

/// The values of one field in all lines.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    Integers(Vec<i64>),
    Numbers(Vec<f64>),
    Booleans(Vec<bool>),
}

/// Why a line is not a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It has so many fields instead of the right number.
    Fields(usize),
    /// The field at this place is not what it should be.
    Field(usize),
    /// Its time is beyond the limits.
    Time,
}

/// The first line that is not a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault<'a> {
    /// Counted from 0.
    pub line: usize,
    pub text: &'a [u8],
    pub reason: Reason,
}

/// Reads all lines of `text`; the last one needs no newline. Times come out in microseconds.
///
/// # Errors
/// The first line that is not a trade.
pub fn parse<'a>(text: &'a [u8], kinds: &[Kind], times: Times) -> Result<Vec<Column>, Fault<'a>> {
    let lines = newlines(text) + 1;
    let mut columns: Vec<Column> = kinds.iter().map(|kind| Column::empty(*kind, lines)).collect();
    let (mut at, mut line) = (0, 0);
    while at < text.len() {
        match read_line(text, at, kinds, times, &mut columns) {
            Some(next) => at = next,
            None => return Err(fault(text, at, line, kinds)),
        }
        line += 1;
    }
    Ok(columns)
}

/// Newlines, counted in sums of bytes so that the loop takes sixteen at a time.
fn newlines(text: &[u8]) -> usize {
    let count = |chunk: &[u8]| chunk.iter().map(|byte| u8::from(*byte == b'\n')).sum::<u8>();
    text.chunks(255).map(|chunk| usize::from(count(chunk))).sum()
}

impl Column {
    fn empty(kind: Kind, rows: usize) -> Self {
        match kind {
            Kind::Integer | Kind::Time => Self::Integers(Vec::with_capacity(rows)),
            Kind::Number | Kind::Price | Kind::Quantity => Self::Numbers(Vec::with_capacity(rows)),
            Kind::Boolean => Self::Booleans(Vec::with_capacity(rows)),
        }
    }
}

/// Reads the line that begins at `at` and returns where the next one begins.
fn read_line(
    text: &[u8],
    mut at: usize,
    kinds: &[Kind],
    times: Times,
    columns: &mut [Column],
) -> Option<usize> {
    for (place, (kind, column)) in kinds.iter().zip(columns).enumerate() {
        match column {
            Column::Integers(values) => {
                let value;
                (value, at) = integer(text, at)?;
                values.push(if *kind == Kind::Time { time(value, times)? } else { value });
            }
            Column::Numbers(values) => {
                let value;
                (value, at) = number(text, at)?;
                if !good(*kind, value) {
                    return None;
                }
                values.push(value);
            }
            Column::Booleans(values) => {
                let value;
                (value, at) = boolean(text, at)?;
                values.push(value);
            }
        }
        if place + 1 == kinds.len() {
            return line_end(text, at);
        }
        if text.get(at) != Some(&b',') {
            return None;
        }
        at += 1;
    }
    None
}

/// The start of the next line, if the line ends at `at`.
fn line_end(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at) {
        None => Some(at),
        Some(b'\n') => Some(at + 1),
        Some(b'\r') if matches!(text.get(at + 1), None | Some(b'\n')) => Some(at + 2),
        Some(_) => None,
    }
}

fn time(value: i64, times: Times) -> Option<i64> {
    let us = value.checked_mul(times.factor)?;
    (times.from <= us && us < times.to).then_some(us)
}

fn good(kind: Kind, value: f64) -> bool {
    match kind {
        Kind::Price => is_price(value),
        Kind::Quantity => is_quantity(value),
        _ => true,
    }
}

/// Digits from `at` on, added to `sum`, and where they end; wrong where the sum goes beyond 19 of
/// them, so the caller counts.
#[inline]
fn digits(text: &[u8], mut at: usize, mut sum: u64) -> (u64, usize) {
    while let Some(eight) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let (value, count) = leading_digits(*eight);
        sum = sum.wrapping_mul(TENS[count]).wrapping_add(value);
        at += count;
        // Most numbers have eight decimals: a look at what follows saves a second round for nothing.
        if count < 8 || !text.get(at).is_some_and(u8::is_ascii_digit) {
            return (sum, at);
        }
    }
    while let Some(digit) = text.get(at).map(|byte| byte ^ b'0').filter(|digit| *digit < 10) {
        sum = sum.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (sum, at)
}

/// By how much so many digits shift what stands in front of them.
const TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The number that the digits at the head of eight bytes make, and how many they are. All eight are
/// worked on at once, in one register: first each with its neighbour, then pairs, then fours (as in
/// D. Lemire, "Number Parsing at a Gigabyte per Second", 2021).
#[inline]
fn leading_digits(eight: [u8; 8]) -> (u64, usize) {
    let bytes = u64::from_le_bytes(eight) ^ 0x3030_3030_3030_3030;
    // The high bit of every byte above 9. A carry spoils only bytes behind the first of these.
    let others = (bytes.wrapping_add(0x7676_7676_7676_7676) | bytes) & 0x8080_8080_8080_8080;
    let bits = (others.trailing_zeros() / 8) * 8;
    // Digits to the end, zeros in front. No digits at all is a shift by 64.
    let bytes = bytes.checked_shl(64 - bits).unwrap_or(0);
    let pairs = bytes.wrapping_mul(10).wrapping_add(bytes >> 8);
    let outer = (pairs & 0x0000_00FF_0000_00FF).wrapping_mul(0x000F_4240_0000_0064);
    let inner = ((pairs >> 16) & 0x0000_00FF_0000_00FF).wrapping_mul(0x0000_2710_0000_0001);
    (outer.wrapping_add(inner) >> 32, bits as usize / 8)
}

/// So many digits always fit an `i64`.
const SAFE_DIGITS: usize = 18;

#[inline]
fn integer(text: &[u8], at: usize) -> Option<(i64, usize)> {
    let negative = text.get(at) == Some(&b'-');
    let first = at + usize::from(negative);
    let (sum, end) = digits(text, first, 0);
    match end - first {
        0 => None,
        1..=SAFE_DIGITS => {
            let value = sum.cast_signed();
            Some((if negative { -value } else { value }, end))
        }
        _ => std::str::from_utf8(&text[at..end]).ok()?.parse().ok().map(|value| (value, end)),
    }
}

/// Whole numbers up to this are floats.
const EXACT: u64 = 1 << 53;
/// Powers of ten that are floats.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

#[inline]
fn number(text: &[u8], at: usize) -> Option<(f64, usize)> {
    let negative = text.get(at) == Some(&b'-');
    let first = at + usize::from(negative);
    let (whole, point) = digits(text, first, 0);
    let (sum, end, decimals) = if text.get(point) == Some(&b'.') {
        let (sum, end) = digits(text, point + 1, whole);
        (sum, end, end - point - 1)
    } else {
        (whole, point, 0)
    };
    // Not more digits than fit, or else the sum has wrapped.
    let plain = point > first && end - first <= SAFE_DIGITS && sum <= EXACT;
    let ended = matches!(text.get(end), None | Some(b',' | b'\n' | b'\r'));
    match POWERS.get(decimals) {
        Some(power) if plain && ended => {
            #[expect(clippy::cast_precision_loss, reason = "sum <= 2^53")]
            let value = sum as f64 / power;
            Some((if negative { -value } else { value }, end))
        }
        _ => long_number(text, at),
    }
}

#[cold]
fn long_number(text: &[u8], at: usize) -> Option<(f64, usize)> {
    let rest = &text[at..];
    let ends = |byte: &u8| matches!(byte, b',' | b'\n' | b'\r');
    let field = &rest[..rest.iter().position(ends).unwrap_or(rest.len())];
    let value: f64 = std::str::from_utf8(field).ok()?.parse().ok()?;
    value.is_finite().then_some((value, at + field.len()))
}

#[inline]
fn boolean(text: &[u8], at: usize) -> Option<(bool, usize)> {
    match text.get(at..)? {
        [b't' | b'T', b'r', b'u', b'e', ..] => Some((true, at + 4)),
        [b'f' | b'F', b'a', b'l', b's', b'e', ..] => Some((false, at + 5)),
        _ => None,
    }
}

/// Says what is wrong with the line that begins at `at`.
#[cold]
fn fault<'a>(text: &'a [u8], at: usize, line: usize, kinds: &[Kind]) -> Fault<'a> {
    let rest = &text[at..];
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let text = &rest[..end];
    let fields: Vec<&[u8]> = text.split(|byte| *byte == b',').collect();
    let bad = |place: usize| {
        let last = place + 1 == kinds.len();
        let field = fields[place];
        let field = if last { field.strip_suffix(b"\r").unwrap_or(field) } else { field };
        !fits(field, kinds[place])
    };
    let reason = if fields.len() == kinds.len() {
        (0..kinds.len()).find(|place| bad(*place)).map_or(Reason::Time, Reason::Field)
    } else {
        Reason::Fields(fields.len())
    };
    Fault { line, text, reason }
}

fn fits(field: &[u8], kind: Kind) -> bool {
    let end = match kind {
        Kind::Integer | Kind::Time => integer(field, 0).map(|(_, end)| end),
        Kind::Boolean => boolean(field, 0).map(|(_, end)| end),
        Kind::Number | Kind::Price | Kind::Quantity => {
            number(field, 0).filter(|(value, _)| good(kind, *value)).map(|(_, end)| end)
        }
    };
    end == Some(field.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

    use proptest::prelude::*;

    use super::*;

    const KINDS: [Kind; 6] =
        [Kind::Integer, Kind::Price, Kind::Quantity, Kind::Number, Kind::Time, Kind::Boolean];
    const TIMES: Times = Times { factor: 1000, from: 1_000_000, to: 2_000_000 };

    /// The number in the only line, if it is one.
    fn number_of(text: &str) -> Option<f64> {
        match parse(text.as_bytes(), &[Kind::Number], TIMES).ok()?.as_slice() {
            [Column::Numbers(values)] => values.first().copied(),
            _ => None,
        }
    }

    #[test]
    fn lines_end_as_they_like() {
        for text in [
            "1,2.5,0,-3,1500,true\n2,3,4.25,1e3,1999,False",
            "1,2.5,0,-3,1500,true\r\n2,3,4.25,1e3,1999,False\r\n",
        ] {
            let columns = parse(text.as_bytes(), &KINDS, TIMES).unwrap();
            assert_eq!(
                columns,
                [
                    Column::Integers(vec![1, 2]),
                    Column::Numbers(vec![2.5, 3.0]),
                    Column::Numbers(vec![0.0, 4.25]),
                    Column::Numbers(vec![-3.0, 1000.0]),
                    Column::Integers(vec![1_500_000, 1_999_000]),
                    Column::Booleans(vec![true, false]),
                ]
            );
        }
        assert_eq!(parse(b"", &[Kind::Price], TIMES).unwrap(), [Column::Numbers(vec![])]);
    }

    #[test]
    fn the_first_line_that_is_no_trade_is_named() {
        let cases = [
            ("", Reason::Fields(1)),
            ("1,2,3,4,1500", Reason::Fields(5)),
            ("1,2,3,4,1500,true,", Reason::Fields(7)),
            ("1,2,3,4,1500,true,false", Reason::Fields(7)),
            ("-,2,3,4,1500,true", Reason::Field(0)),
            (" 1,2,3,4,1500,true", Reason::Field(0)),
            ("1.0,2,3,4,1500,true", Reason::Field(0)),
            ("9223372036854775808,2,3,4,1500,true", Reason::Field(0)),
            ("1,,3,4,1500,true", Reason::Field(1)),
            ("1,.,3,4,1500,true", Reason::Field(1)),
            ("1,0.000,3,4,1500,true", Reason::Field(1)),
            ("1,-2,3,4,1500,true", Reason::Field(1)),
            ("1,2 ,3,4,1500,true", Reason::Field(1)),
            ("1,1_000,3,4,1500,true", Reason::Field(1)),
            ("1,2,-3,4,1500,true", Reason::Field(2)),
            ("1,2,nan,4,1500,true", Reason::Field(2)),
            ("1,2,3,inf,1500,true", Reason::Field(3)),
            ("1,2,3,1e999,1500,true", Reason::Field(3)),
            ("1,2,3,4\r,1500,true", Reason::Field(3)),
            ("1,2,3,4,1500x,true", Reason::Field(4)),
            ("1,2,3,4,1500,TRUE", Reason::Field(5)),
            ("1,2,3,4,1500,truex", Reason::Field(5)),
            ("1,2,3,4,1500,", Reason::Field(5)),
            ("1,2,3,4,999,true", Reason::Time),
            ("1,2,3,4,2000,true", Reason::Time),
            ("1,2,3,4,9223372036854775807,true", Reason::Time),
        ];
        let good = "1,2,3,4,1500,true\n";
        for (line, reason) in cases {
            let text = format!("{good}{good}{line}\n{good}");
            let fault = parse(text.as_bytes(), &KINDS, TIMES).unwrap_err();
            assert_eq!(fault, Fault { line: 2, text: line.as_bytes(), reason }, "{line:?}");
        }
    }

    #[test]
    fn integers_have_their_whole_range() {
        let text = format!("{}\n{}\n-0\n007\n", i64::MIN, i64::MAX);
        let columns = parse(text.as_bytes(), &[Kind::Integer], TIMES).unwrap();
        assert_eq!(columns, [Column::Integers(vec![i64::MIN, i64::MAX, 0, 7])]);
    }

    proptest! {
        #[test]
        fn numbers_are_what_the_standard_library_reads(
            text in "-?[0-9]{0,20}(\\.[0-9]{0,25})?([eE][+-]?[0-9]{1,3})?",
        ) {
            let expected = text.parse::<f64>().ok().filter(|value| value.is_finite());
            let found = number_of(&format!("{text}\n"));
            prop_assert_eq!(found.map(f64::to_bits), expected.map(f64::to_bits));
        }

        #[test]
        fn anything_is_read_or_named(text in "[0-9a-z,.\\-\r\n]{0,60}") {
            let kinds = [Kind::Integer, Kind::Number];
            match parse(text.as_bytes(), &kinds, TIMES) {
                Ok(columns) => {
                    let lines = text.lines().count();
                    for column in columns {
                        let rows = match column {
                            Column::Integers(values) => values.len(),
                            Column::Numbers(values) => values.len(),
                            Column::Booleans(values) => values.len(),
                        };
                        prop_assert_eq!(rows, lines);
                    }
                }
                Err(fault) => {
                    let line = text.split('\n').nth(fault.line).unwrap();
                    prop_assert_eq!(fault.text, line.as_bytes());
                    prop_assert_ne!(fault.reason, Reason::Time);
                    prop_assert!(parse(fault.text, &kinds, TIMES).is_err() || line.is_empty());
                }
            }
        }
    }
}
