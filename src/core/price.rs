//! The grid: prices, quantities and their sums as whole numbers.
//!
//! A price or quantity is a whole number of 1e-8 ("units"), a turnover a whole number of
//! 1e-16. Sums of such numbers are exact in any order, which is what makes the bars the same
//! however the input was cut. Floats are made once, at the very end, and correctly rounded.

/// Units in one whole: the grid is 1e-8.
pub const UNITS: i64 = 100_000_000;
/// The same as a float (exact).
pub const UNITS_F64: f64 = 1e8;
/// Decimal places of the grid.
pub const PLACES: u32 = 8;
/// The smallest price that is one.
pub const MIN_PRICE: f64 = 1e-8;

/// Below this many units a conversion can use the float adder: every integer up to here has
/// the same exponent once `ROUNDER` is added to it.
pub const NARROW: f64 = 2_251_799_813_685_248.0;
/// Adding 1.5 * 2^52 to |x| < 2^51 leaves round-half-even(x) in the low bits of the sum.
pub const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// `round_half_even(x * 1e8)` for `0 <= x * 1e8 < NARROW`, without a rounding instruction
/// (plain x86-64 has none that vectorizes).
#[inline(always)]
#[allow(
    clippy::inline_always,
    reason = "part of loops that are compiled for several instruction sets"
)]
#[must_use]
pub fn narrow_units(scaled: f64) -> i64 {
    (scaled + ROUNDER).to_bits().wrapping_sub(ROUNDER.to_bits()).cast_signed()
}

/// `round_half_even(x * 1e8)` for any finite x, or `None` beyond `limit` units.
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "checked against `limit` before the cast")]
pub fn float_units(x: f64, limit: i128) -> Option<i128> {
    let scaled = (x * UNITS_F64).round_ties_even();
    // `scaled as i128` saturates, so a value past i128 is past any limit as well.
    let units = scaled as i128;
    (units.abs() <= limit).then_some(units)
}

/// `numerator / 10^16` or `/ 10^8`, rounded once to the nearest float.
///
/// `denominator` must be exact as a float; both powers of ten used here are.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "the rounding is the point, and is exact or sticky")]
fn divide_rounded(numerator: i128, denominator: u64) -> f64 {
    let magnitude = numerator.unsigned_abs();
    let quotient = if magnitude < (1 << 53) {
        // Both operands are exact floats, so the division rounds once.
        magnitude as f64 / denominator as f64
    } else {
        // Fill the 128 bits: then the whole quotient has more than the 55 bits that decide
        // the rounding of 53, and one sticky bit stands for the rest.
        let shift = magnitude.leading_zeros();
        let filled = magnitude << shift;
        let denominator = u128::from(denominator);
        let (whole, rest) = (filled / denominator, filled % denominator);
        let sticky = whole | u128::from(rest != 0);
        sticky as f64 / (1_u128 << shift) as f64
    };
    if numerator < 0 { -quotient } else { quotient }
}

/// A number of units as a float, rounded once.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "exact below 2^53, where this branch applies")]
pub fn units_to_f64(units: i128) -> f64 {
    divide_rounded(units, 100_000_000)
}

/// A price in units as a float, rounded once.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "exact below 2^53, where this branch applies")]
pub fn price_to_f64(units: i64) -> f64 {
    if units < (1 << 53) { units as f64 / UNITS_F64 } else { units_to_f64(i128::from(units)) }
}

/// A turnover (a number of 1e-16) as a float, rounded once.
#[must_use]
pub fn turnover_to_f64(turnover: i128) -> f64 {
    divide_rounded(turnover, 10_000_000_000_000_000)
}

/// `turnover / volume`, both exact, as a price; within one unit in the last place.
///
/// Twice the working precision: each operand as a float and what the float left over, and
/// one correction of the quotient from the exact remainder.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "what the cast drops is carried in the second float")]
#[allow(clippy::cast_possible_truncation, reason = "a float made from an i128 converts back")]
pub fn vwap(turnover: i128, volume: i128) -> Option<f64> {
    if volume == 0 {
        return None;
    }
    let split = |n: i128| {
        let high = n as f64;
        // `high` may round up to 2^127, where the cast back saturates: one unit of 2^127.
        let low = n.wrapping_sub(high as i128) as f64;
        (high, low)
    };
    let (turnover_high, turnover_low) = split(turnover);
    let (volume_high, volume_low) = split(volume);
    let first = turnover_high / volume_high;
    let remainder =
        (-first).mul_add(volume_high, turnover_high) + turnover_low - first * volume_low;
    let second = remainder / volume_high;
    let whole = (first + second) / UNITS_F64;
    let left = (-whole).mul_add(UNITS_F64, first) + second;
    Some(whole + left / UNITS_F64)
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, clippy::float_cmp, reason = "exact, or what is tested")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tenth_and_a_fifth_are_three_tenths() {
        let sum = [0.1, 0.2].iter().map(|&x| narrow_units(x * UNITS_F64)).sum::<i64>();
        assert!(units_to_f64(i128::from(sum)).to_bits() == 0.3_f64.to_bits());
    }

    #[test]
    fn ties_go_to_even() {
        for (scaled, want) in [(0.5, 0), (1.5, 2), (2.5, 2), (3.5, 4)] {
            assert_eq!(narrow_units(scaled), want);
        }
    }

    /// The slow oracle: print n with its decimal point, and let the standard library's correctly
    /// rounding parser read it.
    fn printed(n: i128, places: usize) -> f64 {
        let digits = format!("{:0>width$}", n.unsigned_abs(), width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        let sign = if n < 0 { "-" } else { "" };
        format!("{sign}{whole}.{fraction}").parse().unwrap_or(f64::NAN)
    }

    proptest! {
        #[test]
        fn narrow_equals_the_rounding_instruction(x in 0.0..(1_i64 << 50) as f64) {
            prop_assert_eq!(narrow_units(x) as f64, x.round_ties_even());
        }

        #[test]
        fn rounds_once(n in any::<i128>(), shift in 0_u32..127) {
            let n = n >> shift;
            prop_assert_eq!(units_to_f64(n).to_bits(), printed(n, 8).to_bits());
            prop_assert_eq!(turnover_to_f64(n).to_bits(), printed(n, 16).to_bits());
        }

        #[test]
        fn vwap_is_within_one_ulp_of_one_price(price in 1_i64..i64::MAX / 2, quantity in 1_i128..1 << 62) {
            let got = vwap(i128::from(price) * quantity, quantity).unwrap_or(f64::NAN);
            let want = price_to_f64(price);
            prop_assert!(got.to_bits().abs_diff(want.to_bits()) <= 1, "{} {}", got, want);
        }
    }
}
