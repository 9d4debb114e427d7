//! Trades as borrowed columns, straight from the caller's buffers.

use super::error::{Field, Problem, TradeError, Value};
use super::price::{MIN_PRICE, PLACES, float_units};

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

    /// The number at `row` in units, exactly, or why not. `limit` is in units.
    fn units(&self, row: usize, limit: i128) -> Result<i128, Problem> {
        let in_range =
            |units: Option<i128>| units.filter(|u| u.abs() <= limit).ok_or(Problem::BeyondGrid);
        match *self {
            Self::Float(x) if !x[row].is_finite() => Err(Problem::NotFinite),
            Self::Float(x) => float_units(x[row], limit).ok_or(Problem::BeyondGrid),
            Self::Int(x) => in_range(i128::from(x[row]).checked_mul(10_i128.pow(PLACES))),
            Self::Decimal(x, scale) if scale <= PLACES => {
                in_range(x[row].checked_mul(10_i128.pow(PLACES - scale)))
            }
            Self::Decimal(x, scale) => {
                // A scale past 38 cannot occur; past 8 the further places must be zeros.
                let divisor = 10_i128.checked_pow(scale - PLACES).ok_or(Problem::OffGrid)?;
                if x[row] % divisor == 0 {
                    in_range(Some(x[row] / divisor))
                } else {
                    Err(Problem::OffGrid)
                }
            }
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
    /// Rows of the stream before this batch, for messages and for the order of bars.
    pub offset: u64,
    pub len: usize,
}

/// The most units a price may have; a sum of two still fits 64 bits unsigned.
pub const PRICE_LIMIT: i128 = i64::MAX as i128;
/// The most units a quantity may have: 2^100 is 1.27e22 whole ones.
pub const QUANTITY_LIMIT: i128 = 1 << 100;

impl Trades<'_> {
    /// The price at `row` in units, or the error that names it.
    ///
    /// # Errors
    /// If it is no price: not finite, below 1e-8 or off the grid.
    pub fn price_units(&self, row: usize) -> Result<i64, TradeError> {
        let units = match self.price.units(row, PRICE_LIMIT) {
            Ok(units) => {
                // 0.6e-8 would round up to one unit, but is below the smallest price.
                let below = matches!(self.price, Numbers::Float(x) if x[row] < MIN_PRICE);
                if units < 1 || below { Err(Problem::PriceTooLow) } else { Ok(units) }
            }
            Err(problem) => match self.price {
                // Say what is wrong first: -1e300 is too low before it is too large.
                Numbers::Float(x) if x[row] < 0.0 && x[row].is_finite() => {
                    Err(Problem::PriceTooLow)
                }
                _ => Err(problem),
            },
        };
        units
            .and_then(|u| i64::try_from(u).map_err(|_| Problem::BeyondGrid))
            .map_err(|problem| self.error(Field::Price, row, self.price.value(row), problem))
    }

    /// The quantity at `row` in units (0 without the column), or the error that names it.
    ///
    /// # Errors
    /// If it is no quantity: not finite, negative or off the grid.
    pub fn quantity_units(&self, row: usize) -> Result<i128, TradeError> {
        let Some(quantity) = self.quantity else { return Ok(0) };
        let units = match quantity.units(row, QUANTITY_LIMIT) {
            _ if negative(&quantity, row) => Err(Problem::Negative),
            other => other,
        };
        units.map_err(|problem| self.error(Field::Quantity, row, quantity.value(row), problem))
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

/// A negative number, which even where it rounds to zero is no quantity.
fn negative(numbers: &Numbers<'_>, row: usize) -> bool {
    match *numbers {
        Numbers::Float(x) => x[row] < 0.0 && x[row].is_finite(),
        Numbers::Int(x) => x[row] < 0,
        Numbers::Decimal(x, _) => x[row] < 0,
    }
}
