//! Trades as borrowed columns, straight from the caller's buffers.

use super::error::{Field, Problem, TradeError, Value};
use super::grid::{Decimals, Grid, Nearest};

/// Whether a number can be a price, on whatever grid.
#[inline]
#[must_use]
pub fn is_price(x: f64) -> bool {
    x > 0.0 && x.is_finite()
}

/// Whether a number can be a quantity, on whatever grid. Real feeds have trades of nothing.
#[inline]
#[must_use]
pub fn is_quantity(x: f64) -> bool {
    x >= 0.0 && x.is_finite()
}

/// A column of prices or quantities.
#[derive(Debug, Clone, Copy)]
pub enum Numbers<'a> {
    Float(&'a [f64]),
    /// Whole numbers of 10^-scale; integers have scale 0.
    Int(&'a [i64]),
    Decimal(&'a [i128], u32),
}

impl Numbers<'_> {
    fn value(&self, row: usize) -> Value {
        match *self {
            Self::Float(x) => Value::Float(x[row]),
            Self::Int(x) => Value::Decimal(i128::from(x[row]), 0),
            Self::Decimal(x, scale) => Value::Decimal(x[row], scale),
        }
    }

    fn is_finite(&self, row: usize) -> bool {
        !matches!(*self, Self::Float(x) if !x[row].is_finite())
    }

    /// Whether the number at `row`, which is finite, can be a price.
    fn is_price(&self, row: usize) -> bool {
        match *self {
            Self::Float(x) => is_price(x[row]),
            Self::Int(x) => x[row] > 0,
            Self::Decimal(x, _) => x[row] > 0,
        }
    }

    /// Whether the number at `row`, which is finite, can be a quantity.
    fn is_quantity(&self, row: usize) -> bool {
        match *self {
            Self::Float(x) => is_quantity(x[row]),
            Self::Int(x) => x[row] >= 0,
            Self::Decimal(x, _) => x[row] >= 0,
        }
    }

    /// The point of the grid nearest to the number at `row`, which is finite.
    fn nearest(&self, row: usize, decimals: Decimals) -> Nearest {
        match *self {
            Self::Float(x) => decimals.nearest_to_float(x[row]),
            Self::Int(x) => decimals.nearest_to_decimal(x[row].unsigned_abs().into(), 0),
            Self::Decimal(x, scale) => decimals.nearest_to_decimal(x[row].unsigned_abs(), scale),
        }
    }
}

/// A column of booleans as packed bits, least significant first.
#[derive(Debug, Clone, Copy)]
pub struct Bits<'a> {
    pub bytes: &'a [u8],
    /// Bit of `bytes` at which row 0 stands.
    pub offset: usize,
}

impl Bits<'_> {
    #[inline]
    #[must_use]
    pub fn get(&self, row: usize) -> bool {
        let bit = self.offset + row;
        self.bytes[bit / 8] >> (bit % 8) & 1 == 1
    }

    /// Rows `start..start + len` as the low bits of a word; `len` is at most 64.
    #[inline]
    #[must_use]
    pub fn word(&self, start: usize, len: usize) -> u64 {
        let bit = self.offset + start;
        let (byte, shift) = (bit / 8, bit % 8);
        // Up to 64 bits from within a byte stretch over nine of them.
        let bytes = self.bytes[byte..].first_chunk().copied().unwrap_or_else(|| {
            let mut bytes = [0_u8; 16];
            let have = self.bytes.len() - byte;
            bytes[..have].copy_from_slice(&self.bytes[byte..]);
            bytes
        });
        #[allow(clippy::cast_possible_truncation, reason = "64 bits of the 128 are asked for")]
        let word = (u128::from_le_bytes(bytes) >> shift) as u64;
        if len < 64 { word & ((1 << len) - 1) } else { word }
    }
}

/// Columns of equal length; only `price` must be there.
#[derive(Debug, Clone, Copy)]
pub struct Trades<'a> {
    pub price: Numbers<'a>,
    pub quantity: Option<Numbers<'a>>,
    pub timestamp: Option<&'a [i64]>,
    pub is_buyer_maker: Option<Bits<'a>>,
    pub agg_trade_id: Option<&'a [i64]>,
    pub first_trade_id: Option<&'a [i64]>,
    pub last_trade_id: Option<&'a [i64]>,
    /// How prices and quantities are read.
    pub grid: Grid,
    /// Rows of the stream before this batch, for messages and for the order of bars.
    pub offset: u64,
    pub len: usize,
}

/// The most units a price may have; a sum of two still fits 64 bits unsigned.
pub const PRICE_LIMIT: u128 = i64::MAX as u128;
/// The most units a quantity may have: with 8 decimals, 2^100 is 1.27e22 whole ones.
pub const QUANTITY_LIMIT: u128 = 1 << 100;

impl Trades<'_> {
    /// The price at `row` in units, or the error that names it.
    ///
    /// # Errors
    /// If it cannot be a price: not finite, not above 0, further than 1e-6 of itself from the grid, or
    /// beyond it.
    #[allow(clippy::cast_possible_truncation, reason = "checked against the limit")]
    pub fn price_units(&self, row: usize) -> Result<i64, TradeError> {
        let (numbers, decimals) = (&self.price, self.grid.price());
        let problem = if !numbers.is_finite(row) {
            Problem::NotFinite
        } else if !numbers.is_price(row) {
            Problem::NotAboveZero
        } else {
            let Nearest { units, close } = numbers.nearest(row, decimals);
            match (units <= PRICE_LIMIT, close) {
                (true, true) => return Ok(units as i64),
                (true, false) => off_grid(numbers, row, decimals),
                (false, _) => beyond_grid(numbers, row, decimals, PRICE_LIMIT),
            }
        };
        Err(self.error(Field::Price, row, numbers.value(row), problem))
    }

    /// The quantity at `row` in units (0 without the column), or the error that names it. It is
    /// rounded to the grid, however far from it: archives have quantities of 5.5e-17.
    ///
    /// # Errors
    /// If it cannot be a quantity: not finite, negative or beyond the grid.
    #[allow(clippy::cast_possible_wrap, reason = "checked against the limit")]
    pub fn quantity_units(&self, row: usize) -> Result<i128, TradeError> {
        let Some(numbers) = &self.quantity else { return Ok(0) };
        let decimals = self.grid.quantity();
        let problem = if !numbers.is_finite(row) {
            Problem::NotFinite
        } else if !numbers.is_quantity(row) {
            Problem::Negative
        } else {
            let Nearest { units, .. } = numbers.nearest(row, decimals);
            if units <= QUANTITY_LIMIT {
                return Ok(units as i128);
            }
            beyond_grid(numbers, row, decimals, QUANTITY_LIMIT)
        };
        Err(self.error(Field::Quantity, row, numbers.value(row), problem))
    }

    /// The quantity at `row` as it stands in the input.
    #[must_use]
    pub fn quantity_value(&self, row: usize) -> Value {
        self.quantity.map_or(Value::Null, |q| q.value(row))
    }

    /// An error at a row of this batch.
    #[must_use]
    pub fn error(&self, field: Field, row: usize, value: Value, problem: Problem) -> TradeError {
        TradeError { field, row: self.offset + row as u64, value, problem }
    }
}

/// The problem of a price too far from the grid, with the decimals that would do.
#[cold]
fn off_grid(numbers: &Numbers<'_>, row: usize, decimals: Decimals) -> Problem {
    let would_do = |finer: &Decimals| {
        let Nearest { units, close } = numbers.nearest(row, *finer);
        close && units <= PRICE_LIMIT
    };
    let enough = decimals.finer().find(would_do).map(Decimals::get);
    Problem::OffGrid { decimals: decimals.get(), enough }
}

/// The problem of a number beyond the grid, with the decimals that would do.
#[cold]
fn beyond_grid(numbers: &Numbers<'_>, row: usize, decimals: Decimals, limit: u128) -> Problem {
    let would_do = |coarser: &Decimals| numbers.nearest(row, *coarser).units <= limit;
    let most = decimals.coarser().find(would_do).map(Decimals::get);
    Problem::BeyondGrid { decimals: decimals.get(), most }
}

/// Trades with a price and a quantity alone.
#[cfg(test)]
pub(super) fn trades_of<'a>(
    price: Numbers<'a>,
    quantity: Numbers<'a>,
    grid: Grid,
    len: usize,
) -> Trades<'a> {
    Trades {
        price,
        quantity: Some(quantity),
        timestamp: None,
        is_buyer_maker: None,
        agg_trade_id: None,
        first_trade_id: None,
        last_trade_id: None,
        grid,
        offset: 0,
        len,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    fn trade<'a>(price: Numbers<'a>, quantity: Numbers<'a>, decimals: i64) -> Trades<'a> {
        trades_of(price, quantity, Grid::new(decimals, decimals).unwrap(), 1)
    }

    fn price_of(numbers: Numbers<'_>, decimals: i64) -> Result<i64, Problem> {
        trade(numbers, Numbers::Int(&[1]), decimals).price_units(0).map_err(|e| e.problem)
    }

    fn quantity_of(numbers: Numbers<'_>, decimals: i64) -> Result<i128, Problem> {
        trade(Numbers::Int(&[1]), numbers, decimals).quantity_units(0).map_err(|e| e.problem)
    }

    /// What becomes of a price in every form it can have, which must be the same.
    fn price(float: f64, digits: i128, places: u32, decimals: i64) -> Result<i64, Problem> {
        let got = price_of(Numbers::Float(&[float]), decimals);
        for more in 0..38 - digits.unsigned_abs().max(1).ilog10() - places.max(6) {
            let digits = digits * 10_i128.pow(more);
            let same = price_of(Numbers::Decimal(&[digits], places + more), decimals);
            assert_eq!(same, got, "{float:?} {more}");
        }
        if places == 0 {
            let digits = i64::try_from(digits).unwrap();
            assert_eq!(price_of(Numbers::Int(&[digits]), decimals), got, "{float:?}");
        }
        got
    }

    fn quantity(float: f64, digits: i128, places: u32, decimals: i64) -> Result<i128, Problem> {
        let got = quantity_of(Numbers::Float(&[float]), decimals);
        assert_eq!(quantity_of(Numbers::Decimal(&[digits], places), decimals), got, "{float:?}");
        got
    }

    #[test]
    fn prices_that_need_a_finer_grid_say_so_in_every_form() {
        let off = |enough| Err(Problem::OffGrid { decimals: 8, enough });
        for (float, digits, places, enough, want) in [
            (4.567e-7, 4567, 10, Some(10), 45_670),
            (4.5675e-7, 45_675, 11, Some(11), 45_675),
            (4.582e-7, 4582, 10, Some(10), 45_820),
        ] {
            assert_eq!(price(float, digits, places, 8), off(enough));
            assert_eq!(price(float, digits, places, 11), Ok(want));
        }
        assert_eq!(price(4e-9, 4, 9, 8), off(Some(9)));
        assert_eq!(price(9e-9, 9, 9, 8), off(Some(9)));
        assert_eq!(price(1.234_567_890_123e-3, 1_234_567_890_123, 15, 8), off(Some(9)));
        assert_eq!(price(7e-13, 7, 13, 8), off(None));
    }

    #[test]
    fn prices_close_to_the_grid_are_rounded_in_every_form() {
        assert_eq!(price(61_837.630_000_004, 61_837_630_000_004, 9, 8), Ok(6_183_763_000_000));
        assert_eq!(price(0.005_000_004, 5_000_004, 9, 8), Ok(500_000));
        assert_eq!(price(0.005_000_006, 5_000_006, 9, 8), Ok(500_001));
        // Of 0.0049999x, a millionth is less than half of a unit.
        let off = Err(Problem::OffGrid { decimals: 8, enough: Some(9) });
        assert_eq!(price(0.004_999_985, 4_999_985, 9, 8), off);
        assert_eq!(price(1e-8, 1, 8, 8), Ok(1));
        assert_eq!(price(0.999_999_5e-8, 9_999_995, 15, 8), Ok(1));
        assert_eq!(price(2.5, 25, 1, 0), Err(Problem::OffGrid { decimals: 0, enough: Some(1) }));
        assert_eq!(price(61_837.0, 61_837, 0, 0), Ok(61_837));
    }

    #[test]
    fn no_prices_in_every_form() {
        assert_eq!(price(0.0, 0, 0, 8), Err(Problem::NotAboveZero));
        assert_eq!(price(-1.0, -1, 0, 8), Err(Problem::NotAboveZero));
        assert_eq!(price(-4e-9, -4, 9, 8), Err(Problem::NotAboveZero));
        let beyond = |most| Err(Problem::BeyondGrid { decimals: 8, most });
        assert_eq!(price(92_233_720_368.0, 92_233_720_368, 0, 8), Ok(9_223_372_036_800_000_000));
        assert_eq!(price(92_233_720_369.0, 92_233_720_369, 0, 8), beyond(Some(7)));
        assert_eq!(price(1e12, 10_i128.pow(12), 0, 8), beyond(Some(6)));
        assert_eq!(price(1e12, 10_i128.pow(12), 0, 6), Ok(1_000_000_000_000_000_000));
        for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(price_of(Numbers::Float(&[x]), 8), Err(Problem::NotFinite));
        }
        assert_eq!(price_of(Numbers::Float(&[-1e300]), 8), Err(Problem::NotAboveZero));
    }

    #[test]
    fn quantities_are_rounded_in_every_form() {
        assert_eq!(quantity(5.5e-17, 55, 18, 8), Ok(0));
        assert_eq!(quantity(6e-9, 6, 9, 8), Ok(1));
        assert_eq!(quantity(30_000_000_001.0, 30_000_000_001, 0, 8), Ok(3_000_000_000_100_000_000));
        // 1 / 512 and 3 / 512: ties.
        assert_eq!(quantity(0.001_953_125, 1_953_125, 9, 8), Ok(195_312));
        assert_eq!(quantity(0.005_859_375, 5_859_375, 9, 8), Ok(585_938));
        assert_eq!(quantity(0.0, 0, 0, 8), Ok(0));
        assert_eq!(quantity(-0.0, 0, 0, 8), Ok(0));
        assert_eq!(quantity(-5.5e-17, -55, 18, 8), Err(Problem::Negative));
        let beyond = Problem::BeyondGrid { decimals: 8, most: Some(6) };
        assert_eq!(quantity(2_f64.powi(80), 1 << 80, 0, 8), Err(beyond));
        assert_eq!(quantity(2_f64.powi(80), 1 << 80, 0, 6), Ok(1_000_000 << 80));
    }
}
