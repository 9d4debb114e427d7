//! The grid: prices, quantities and their sums as whole numbers.
//!
//! A price or quantity is a whole number of 1e-8 ("units"), a turnover a whole number of
//! 1e-16. Sums of such numbers are exact in any order, which is what makes the bars the same
//! however the input was cut. Floats are made once, at the very end, and correctly rounded.

use super::simd::widest;

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
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// `x * 1e8` pushed to where the float adder rounds it, half to even, to a whole number: for
/// `0 <= x * 1e8 < NARROW`. Needs no rounding instruction (plain x86-64 has none that
/// vectorizes), and is in the order of the units.
#[inline(always)]
#[allow(
    clippy::inline_always,
    reason = "part of loops that are compiled for several instruction sets"
)]
#[must_use]
pub fn shifted(x: f64) -> f64 {
    x * UNITS_F64 + ROUNDER
}

/// The units in what [`shifted`] returned. From any other float comes a number that is negative
/// or not below `NARROW`.
#[inline(always)]
#[allow(clippy::inline_always, reason = "as above")]
#[must_use]
pub fn shifted_units(shifted: f64) -> i64 {
    shifted.to_bits().wrapping_sub(ROUNDER.to_bits()).cast_signed()
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

/// `numerator / denominator`, rounded once to the nearest float.
///
/// `denominator` must be exact as a float; both powers of ten used here are.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "the rounding is the point, and is exact or sticky")]
#[allow(clippy::cast_possible_truncation, reason = "below 2^53 where it is cast")]
fn divide_rounded(numerator: i128, denominator: u64) -> f64 {
    let magnitude = numerator.unsigned_abs();
    let quotient = if magnitude < (1 << 53) {
        // Both operands are exact floats, so the division rounds once. From 64 bits with a sign, for
        // that conversion is an instruction.
        magnitude as i64 as f64 / denominator.cast_signed() as f64
    } else if magnitude < (1 << 100) {
        divide_by_estimate(magnitude, denominator)
    } else {
        divide_by_long_division(magnitude, denominator)
    };
    if numerator < 0 { -quotient } else { quotient }
}

/// The quick way for `2^53 <= numerator < 2^100`: a float near the quotient, moved to the nearest
/// one by what remains exactly.
#[allow(clippy::cast_precision_loss, reason = "an estimate")]
#[allow(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
fn divide_by_estimate(numerator: u128, denominator: u64) -> f64 {
    const FRACTION: u32 = 52;
    // In halves of 50 bits: signed integers and floats below 2^53 turn into each other in one step.
    let high = (numerator >> 50) as i64 as f64 * (1_u64 << 50) as f64;
    let low = (numerator as u64 & ((1 << 50) - 1)).cast_signed() as f64;
    let estimate = (high + low) / denominator.cast_signed() as f64;
    // `estimate` is `whole * 2^-places`, and at most two units of `whole` off.
    let bits = estimate.to_bits();
    let places = (1023 + FRACTION).wrapping_sub((bits >> FRACTION) as u32);
    if places >= u64::BITS {
        return divide_by_long_division(numerator, denominator);
    }
    let mut whole = (bits & ((1 << FRACTION) - 1) | 1 << FRACTION).cast_signed();
    let divisor = denominator.cast_signed();
    // What remains is a few times the divisor, so that the lower halves tell it all.
    let product = whole.wrapping_mul(divisor);
    let mut rest = ((numerator as u64) << places).cast_signed().wrapping_sub(product);
    for _ in 0..2 {
        // Half of the divisor is a tie, from which an odd number moves on. The divisor is even.
        let odd = whole & 1;
        let step = i64::from(2 * rest + odd > divisor) - i64::from(2 * rest - odd < -divisor);
        whole += step;
        rest -= step * divisor;
    }
    // Where the exponent changes, so does the distance of neighbouring floats.
    if whole <= 1 << FRACTION || whole > 1 << (FRACTION + 1) {
        return divide_by_long_division(numerator, denominator);
    }
    // Both exact: 53 bits (or a power of two), and a power of two.
    whole as f64 * f64::from_bits(u64::from(1023 - places) << FRACTION)
}

/// The way for any numerator.
#[allow(clippy::cast_precision_loss, reason = "a sticky bit makes it exact")]
fn divide_by_long_division(numerator: u128, denominator: u64) -> f64 {
    // Fill the 128 bits: then the whole quotient has more than the 55 bits that decide
    // the rounding of 53, and one sticky bit stands for the rest.
    let shift = numerator.leading_zeros();
    let filled = numerator << shift;
    let denominator = u128::from(denominator);
    let whole = filled / denominator;
    let sticky = whole | u128::from(filled != whole * denominator);
    sticky as f64 / (1_u128 << shift) as f64
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

/// `turnover / volume`, both exact and not negative, as a price; within one unit in the last
/// place.
///
/// Twice the working precision: each operand as a float and what the float left over, and
/// one correction of the quotient from the exact remainder.
#[must_use]
pub fn vwap(turnover: i128, volume: i128) -> Option<f64> {
    (volume != 0).then(|| quotient(turnover, volume))
}

widest! {
    /// The quotient, with the processor's own fused multiplication where it has one.
    fn quotient(turnover: i128, volume: i128) -> f64 = quotient_body
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each instruction set")]
fn quotient_body(turnover: i128, volume: i128) -> f64 {
    let (turnover_high, turnover_low) = split(turnover.unsigned_abs());
    let (volume_high, volume_low) = split(volume.unsigned_abs());
    let first = turnover_high / volume_high;
    let remainder =
        (-first).mul_add(volume_high, turnover_high) + turnover_low - first * volume_low;
    let second = remainder / volume_high;
    let whole = (first + second) / UNITS_F64;
    let left = (-whole).mul_add(UNITS_F64, first) + second;
    whole + left / UNITS_F64
}

/// The leading 53 bits as a float, and the rest of them as another.
#[inline]
#[allow(clippy::cast_precision_loss, reason = "exact, or what is left of the least digits")]
#[allow(clippy::cast_possible_truncation, reason = "53 bits, and at most 64")]
fn split(n: u128) -> (f64, f64) {
    let places = (128 - n.leading_zeros()).saturating_sub(53);
    let leading = ((n >> places) as u64) as f64;
    let rest = n & ((1 << places) - 1);
    // The quick conversion, wherever it can be: it is all that this function is for.
    let rest = if places <= 64 { (rest as u64) as f64 } else { rest as f64 };
    (leading * f64::from_bits(u64::from(1023 + places) << 52), rest)
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, clippy::float_cmp, reason = "exact, or what is tested")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tenth_and_a_fifth_are_three_tenths() {
        let sum = [0.1, 0.2].iter().map(|&x| shifted_units(shifted(x))).sum::<i64>();
        assert!(units_to_f64(i128::from(sum)).to_bits() == 0.3_f64.to_bits());
    }

    #[test]
    fn ties_go_to_even() {
        // Of 512ths, 1e8 units are 195 312.5.
        for (x, want) in [(1.0, 195_312), (3.0, 585_938), (5.0, 976_562), (7.0, 1_367_188)] {
            assert_eq!(shifted_units(shifted(x / 512.0)), want);
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
        fn shifting_equals_the_rounding_instruction(x in 0.0..2e7) {
            prop_assert_eq!(shifted_units(shifted(x)) as f64, (x * UNITS_F64).round_ties_even());
        }

        #[test]
        fn what_is_not_narrow_shows(bits in any::<u64>()) {
            let x = f64::from_bits(bits);
            // A tiny negative one rounds to zero units, as it should.
            let narrow = x * UNITS_F64 >= -0.5 && x * UNITS_F64 < NARROW - 0.5;
            let units = shifted_units(shifted(x));
            prop_assert_eq!((0..1 << 51).contains(&units), narrow, "{} {}", x, units);
        }

        #[test]
        fn rounds_once_near_powers_of_two(power in 0_u32..50, off in -3_i128..4, more in any::<bool>()) {
            // Quotients around 2^power: where the distance of neighbouring floats changes.
            let scale = if more { 10_i128.pow(16) } else { 10_i128.pow(8) };
            let n = (scale << power) + off;
            prop_assert_eq!(units_to_f64(n).to_bits(), printed(n, 8).to_bits());
            prop_assert_eq!(turnover_to_f64(n).to_bits(), printed(n, 16).to_bits());
        }

        #[test]
        fn rounds_once_halfway_between_floats(whole in 1_i128 << 52..1_i128 << 53, places in 0_u32..17, off in -1_i128..2) {
            // (whole + 1/2) * 2^-places, and its neighbours on the grid.
            let half = 2 * whole + 1;
            let n = ((half * 10_i128.pow(16)) >> (places + 1).min(16)) + off;
            prop_assert_eq!(turnover_to_f64(n).to_bits(), printed(n, 16).to_bits());
            let n = ((half * 10_i128.pow(8)) >> (places + 1).min(8)) + off;
            prop_assert_eq!(units_to_f64(n).to_bits(), printed(n, 8).to_bits());
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
