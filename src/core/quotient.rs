//! Exact sums back to floats: quotients of integers, rounded once.

use super::simd::widest;

/// Powers of ten that are integers of 64 bits with a sign.
const TENS: [i64; 19] = {
    let mut tens = [1; 19];
    let mut n = 1;
    while n < tens.len() {
        tens[n] = tens[n - 1] * 10;
        n += 1;
    }
    tens
};
/// Powers of ten that are floats.
const TENS_F64: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];
/// The most decimal places of a numerator: those of a turnover on the finest grid.
const MOST_PLACES: u32 = 24;

/// `10^places` as a float, which is exact up to 22 places.
#[inline]
#[must_use]
pub fn power_of_ten(places: u32) -> f64 {
    TENS_F64[places as usize]
}

/// `numerator / 10^places`, rounded once to the nearest float; `places` is at most 24.
#[inline]
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "exact where it is cast")]
#[allow(clippy::cast_possible_truncation, reason = "below 2^53 where it is cast")]
pub fn decimal_to_f64(numerator: i128, places: u32) -> f64 {
    debug_assert!(places <= MOST_PLACES);
    let magnitude = numerator.unsigned_abs();
    let power = TENS_F64.get(places as usize);
    let quotient = match (power, TENS.get(places as usize)) {
        // Both operands are exact floats, so the division rounds once. From 64 bits with a sign, for
        // that conversion is an instruction.
        (Some(power), _) if magnitude < (1 << 53) => magnitude as i64 as f64 / power,
        (Some(&power), Some(&divisor)) if magnitude < (1 << 100) && places > 0 => {
            divide_by_estimate(magnitude, places, divisor, power)
        }
        _ => divide_by_long_division(magnitude, places),
    };
    if numerator < 0 { -quotient } else { quotient }
}

/// The quick way for `2^53 <= numerator < 2^100` and 1 to 18 places: a float near the quotient, moved
/// to the nearest one by what remains exactly. `divisor` and `power` are `10^places`.
#[allow(clippy::cast_precision_loss, reason = "an estimate")]
#[allow(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
fn divide_by_estimate(numerator: u128, decimals: u32, divisor: i64, power: f64) -> f64 {
    const FRACTION: u32 = 52;
    // In halves of 50 bits: signed integers and floats below 2^53 turn into each other in one step.
    let high = (numerator >> 50) as i64 as f64 * (1_u64 << 50) as f64;
    let low = (numerator as u64 & ((1 << 50) - 1)).cast_signed() as f64;
    let estimate = (high + low) / power;
    // `estimate` is `whole * 2^-places`, and at most two units of `whole` off.
    let bits = estimate.to_bits();
    let places = (1023 + FRACTION).wrapping_sub((bits >> FRACTION) as u32);
    if places >= u64::BITS {
        return divide_by_long_division(numerator, decimals);
    }
    let mut whole = (bits & ((1 << FRACTION) - 1) | 1 << FRACTION).cast_signed();
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
        return divide_by_long_division(numerator, decimals);
    }
    // Both exact: 53 bits (or a power of two), and a power of two.
    whole as f64 * f64::from_bits(u64::from(1023 - places) << FRACTION)
}

/// The way for any numerator and any number of places.
#[cold]
#[allow(clippy::cast_precision_loss, reason = "a sticky bit makes it exact")]
fn divide_by_long_division(numerator: u128, places: u32) -> f64 {
    if numerator == 0 {
        return 0.0;
    }
    // By the power of five, which has at most 56 bits; the power of two is a matter of the exponent.
    let divisor = 5_u128.pow(places);
    // Fill the 128 bits: then the whole quotient has more than the 55 bits that decide
    // the rounding of 53, and one sticky bit stands for the rest.
    let shift = numerator.leading_zeros();
    let filled = numerator << shift;
    let whole = filled / divisor;
    let sticky = whole | u128::from(filled != whole * divisor);
    sticky as f64 * f64::from_bits(u64::from(1023 - shift - places) << 52)
}

/// `turnover / volume`, both exact and not negative, as a price of units of `1 / scale`; within one
/// unit in the last place. `scale` is a power of ten that is a float.
///
/// Twice the working precision: each operand as a float and what the float left over, and
/// one correction of the quotient from the exact remainder.
#[must_use]
pub fn vwap(turnover: i128, volume: i128, scale: f64) -> Option<f64> {
    (volume != 0).then(|| quotient(turnover, volume, scale))
}

widest! {
    /// The quotient, with the processor's own fused multiplication where it has one.
    fn quotient(turnover: i128, volume: i128, scale: f64) -> f64 = quotient_body
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each instruction set")]
fn quotient_body(turnover: i128, volume: i128, scale: f64) -> f64 {
    let (turnover_high, turnover_low) = split(turnover.unsigned_abs());
    let (volume_high, volume_low) = split(volume.unsigned_abs());
    let first = turnover_high / volume_high;
    let remainder =
        (-first).mul_add(volume_high, turnover_high) + turnover_low - first * volume_low;
    let second = remainder / volume_high;
    let whole = (first + second) / scale;
    let left = (-whole).mul_add(scale, first) + second;
    whole + left / scale
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
#[allow(clippy::cast_precision_loss, reason = "what is tested")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The slow oracle: print n with its decimal point, and let the standard library's correctly
    /// rounding parser read it.
    fn printed(n: i128, places: u32) -> f64 {
        let places = places as usize;
        let digits = format!("{:0>width$}", n.unsigned_abs(), width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        let sign = if n < 0 { "-" } else { "" };
        format!("{sign}{whole}.{fraction}").parse().unwrap_or(f64::NAN)
    }

    fn agrees(n: i128, places: u32) -> Result<(), TestCaseError> {
        let (got, want) = (decimal_to_f64(n, places), printed(n, places));
        prop_assert!(
            got.to_bits() == want.to_bits(),
            "{} of {}: {:?}, not {:?}",
            n,
            places,
            got,
            want
        );
        Ok(())
    }

    #[test]
    fn nothing_is_nothing() {
        for places in 0..=MOST_PLACES {
            assert_eq!(decimal_to_f64(0, places).to_bits(), 0);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn rounds_once(n in any::<i128>(), shift in 0_u32..127, places in 0..=MOST_PLACES) {
            agrees(n >> shift, places)?;
        }

        #[test]
        fn rounds_once_near_powers_of_two(power in 0_u32..50, off in -3_i128..4, places in 0..=MOST_PLACES) {
            // Quotients around 2^power: where the distance of neighbouring floats changes.
            let n = 10_i128.pow(places).checked_mul(1 << power).unwrap_or(1 << 120);
            agrees(n + off, places)?;
        }

        #[test]
        fn rounds_once_halfway_between_floats(
            whole in 1_i128 << 52..1_i128 << 53,
            shift in 0_u32..26,
            off in -1_i128..2,
            places in 0..=21_u32,
        ) {
            // (whole + 1/2) * 2^-shift, and its neighbours on the grid.
            let half = 2 * whole + 1;
            let n = (half * 10_i128.pow(places)) >> (shift + 1).min(places);
            agrees(n + off, places)?;
        }

        #[test]
        fn vwap_is_within_one_ulp_of_one_price(
            price in 1_i64..i64::MAX / 2,
            quantity in 1_i128..1 << 62,
            places in 0_u32..13,
        ) {
            let got = vwap(i128::from(price) * quantity, quantity, power_of_ten(places));
            let want = decimal_to_f64(i128::from(price), places);
            prop_assert!(got.unwrap_or(f64::NAN).to_bits().abs_diff(want.to_bits()) <= 1, "{:?} {}", got, want);
        }
    }
}
