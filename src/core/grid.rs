//! The grid: prices, quantities and their sums as whole numbers.
//!
//! A price or quantity is a whole number of `10^-decimals` ("units"; 1e-8 by default), a turnover a
//! whole number of the product of both. Sums of such numbers are exact in any order, which is what
//! makes the bars the same however the input was cut. Floats are made once, at the very end, and
//! correctly rounded.
//!
//! Units are the whole number nearest to the exact product of a number and `10^decimals`, ties to
//! even, whatever the number was stored as. The quick conversion (`shifted`) rounds the product to a
//! float first; that moves it by no more than to a tie, so where there is no tie it is right, and
//! where there is one the exact conversion decides.

use super::error::OptionsError;
use super::quotient::{decimal_to_f64, power_of_ten, vwap};

/// Below this many units a conversion can use the float adder: every integer up to here has
/// the same exponent once `ROUNDER` is added to it.
pub const NARROW: f64 = 2_251_799_813_685_248.0;
/// Adding 1.5 * 2^52 to |x| < 2^51 leaves round-half-even(x) in the low bits of the sum.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// `x * scale` pushed to where the float adder rounds it, half to even, to a whole number, and how
/// far from it the product was: for `0 <= x * scale < NARROW`. Needs no rounding instruction (plain
/// x86-64 has none that vectorizes), and is in the order of the units.
#[inline(always)]
#[allow(
    clippy::inline_always,
    reason = "part of loops that are compiled for several instruction sets"
)]
#[must_use]
pub fn shifted(x: f64, scale: f64) -> (f64, f64) {
    let product = x * scale;
    let shifted = product + ROUNDER;
    (shifted, product - (shifted - ROUNDER))
}

/// The units in what [`shifted`] returned. From any other float comes a number that is negative
/// or not below `NARROW`.
#[inline(always)]
#[allow(clippy::inline_always, reason = "as above")]
#[must_use]
pub fn shifted_units(shifted: f64) -> i64 {
    shifted.to_bits().wrapping_sub(ROUNDER.to_bits()).cast_signed()
}

/// The float below one half. A product this far off the grid or less is no tie.
pub const BELOW_TIE: f64 = 0.5_f64.next_down();
/// Half a unit is less than a millionth of prices from here on.
pub const CLOSE_TO_ALL: i64 = 1 << 19;

/// Up to how far off the grid there is nothing to decide, where the lowest price has `least` units:
/// less than a tie, and less than a millionth of any price by more than its product was rounded.
#[inline]
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "below 2^51")]
pub fn most_off(least: i64) -> f64 {
    (least as f64 * (0.5 / CLOSE_TO_ALL as f64)).min(BELOW_TIE)
}

/// Powers of ten: all that 128 bits hold.
static TENS: [u128; 39] = {
    let mut tens = [1; 39];
    let mut n = 1;
    while n < tens.len() {
        tens[n] = tens[n - 1] * 10;
        n += 1;
    }
    tens
};

/// A price may stand a millionth of itself away from the grid: well above the 6e-8 that a Float32 is
/// off, and far below any tick.
const TOLERANCE: u128 = 1_000_000;

/// The point of the grid that is nearest to a number (its magnitude: there is no sign here).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nearest {
    /// Which point; the largest number where it is that or more.
    pub units: u128,
    /// Whether it stands for the number as a price: at most 1e-6 of the number away from it.
    pub close: bool,
}

impl Nearest {
    /// Of a number that is on the grid, or as good as.
    fn whole(units: u128) -> Self {
        Self { units, close: true }
    }

    /// Of `numerator / divisor` units; the caller has divided.
    #[inline]
    fn of(numerator: u128, divisor: u128, floor: u128, rest: u128) -> Self {
        let above = divisor - rest;
        let up = rest > above || (rest == above && floor % 2 == 1);
        let distance = if up { above } else { rest };
        // What is more than 128 bits hold is more than any numerator.
        let close = distance <= u128::MAX / TOLERANCE && distance * TOLERANCE <= numerator;
        Self { units: floor + u128::from(up), close }
    }

    /// Of a number above 0 and below half of a unit.
    fn nothing() -> Self {
        Self { units: 0, close: false }
    }
}

/// How many decimal places numbers have on their grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Decimals(u8);

impl Default for Decimals {
    fn default() -> Self {
        Self(8)
    }
}

impl Decimals {
    /// The finest grid.
    pub const MOST: u8 = 12;

    /// A grid of `10^-decimals`.
    ///
    /// # Errors
    /// If it is not in 0..=12.
    pub fn new(decimals: i64) -> Result<Self, OptionsError> {
        u8::try_from(decimals)
            .ok()
            .filter(|&decimals| decimals <= Self::MOST)
            .map(Self)
            .ok_or(OptionsError::Decimals(decimals))
    }

    /// How many places.
    #[must_use]
    pub fn get(self) -> u32 {
        u32::from(self.0)
    }

    /// Finer grids, the next one first.
    pub fn finer(self) -> impl Iterator<Item = Self> {
        (self.0 + 1..=Self::MOST).map(Self)
    }

    /// Coarser grids, the next one first.
    pub fn coarser(self) -> impl Iterator<Item = Self> {
        (0..self.0).rev().map(Self)
    }

    /// Units in one whole, exactly.
    #[inline]
    #[must_use]
    pub fn scale(self) -> f64 {
        power_of_ten(self.get())
    }

    /// The point nearest to `x`, which is finite.
    #[inline]
    #[must_use]
    pub fn nearest_to_float(self, x: f64) -> Nearest {
        let (shifted, off) = shifted(x.abs(), self.scale());
        let units = shifted_units(shifted);
        if (1..1 << 51).contains(&units) && off.abs() <= most_off(units) {
            return Nearest::whole(units.unsigned_abs().into());
        }
        self.nearest_exactly(x.abs())
    }

    /// The same for any number. In integers, for a float is one too: a multiple of a power of two.
    fn nearest_exactly(self, x: f64) -> Nearest {
        const FRACTION: u32 = 52;
        let bits = x.to_bits();
        // A float without the leading bit has the exponent of the smallest with one.
        let normal = u64::from(bits >> FRACTION != 0);
        let exponent = (bits >> FRACTION) + 1 - normal;
        let mantissa = bits & ((1 << FRACTION) - 1) | normal << FRACTION;
        // At most 53 and 40 bits.
        let scaled = u128::from(mantissa) * TENS[usize::from(self.0)];
        // `x` is `mantissa * 2^(exponent - whole)`.
        let whole = u64::from(1023 + FRACTION);
        if exponent >= whole {
            let places = exponent - whole;
            let fits = places <= u64::from(scaled.leading_zeros());
            return Nearest::whole(if fits { scaled << places } else { u128::MAX });
        }
        match whole - exponent {
            places @ ..128 => {
                let divisor = 1 << places;
                Nearest::of(scaled, divisor, scaled >> places, scaled & (divisor - 1))
            }
            _ if scaled == 0 => Nearest::whole(0),
            _ => Nearest::nothing(),
        }
    }

    /// The point nearest to `digits * 10^-places`.
    #[inline]
    #[must_use]
    pub fn nearest_to_decimal(self, digits: u128, places: u32) -> Nearest {
        let more = places.saturating_sub(self.get()) as usize;
        match TENS.get(more) {
            Some(1) => {
                let fewer = (self.get() - places) as usize;
                Nearest::whole(digits.saturating_mul(TENS[fewer]))
            }
            Some(&divisor) => Nearest::of(digits, divisor, digits / divisor, digits % divisor),
            None if digits == 0 => Nearest::whole(0),
            // 128 bits hold less than half of 10^39.
            None => Nearest::nothing(),
        }
    }
}

/// How the numbers of trades are read: on which grid prices stand, and on which quantities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Grid {
    price: Decimals,
    quantity: Decimals,
}

impl Grid {
    /// A grid of so many decimal places.
    ///
    /// # Errors
    /// If a number is not in 0..=12.
    pub fn new(price_decimals: i64, quantity_decimals: i64) -> Result<Self, OptionsError> {
        let price = Decimals::new(price_decimals)?;
        Ok(Self { price, quantity: Decimals::new(quantity_decimals)? })
    }

    /// Of prices.
    #[inline]
    #[must_use]
    pub fn price(self) -> Decimals {
        self.price
    }

    /// Of quantities.
    #[inline]
    #[must_use]
    pub fn quantity(self) -> Decimals {
        self.quantity
    }

    /// A price in units as a float, rounded once.
    #[inline]
    #[must_use]
    pub fn price_to_f64(self, units: i64) -> f64 {
        decimal_to_f64(i128::from(units), self.price.get())
    }

    /// A quantity in units, or a sum of them, as a float, rounded once.
    #[inline]
    #[must_use]
    pub fn quantity_to_f64(self, units: i128) -> f64 {
        decimal_to_f64(units, self.quantity.get())
    }

    /// A turnover (a sum of products of both) as a float, rounded once.
    #[inline]
    #[must_use]
    pub fn turnover_to_f64(self, turnover: i128) -> f64 {
        decimal_to_f64(turnover, self.price.get() + self.quantity.get())
    }

    /// `turnover / volume`, neither negative, as a price; within one unit in the last place. None
    /// without volume.
    #[inline]
    #[must_use]
    pub fn vwap(self, turnover: i128, volume: i128) -> Option<f64> {
        // Of the places of a turnover, the volume's cancel out.
        vwap(turnover, volume, self.price.scale())
    }
}

#[cfg(test)]
mod tests;
