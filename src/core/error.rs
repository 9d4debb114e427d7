//! What can go wrong, naming the column, the row and the value.

use std::fmt;

use super::grid::Decimals;

/// An input column, by the part it plays (the user's own name for it is known further out).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    Timestamp,
    Price,
    Quantity,
    IsBuyerMaker,
    AggTradeId,
    FirstTradeId,
    LastTradeId,
}

impl Field {
    /// The column's name by default, which is also its name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timestamp => "timestamp",
            Self::Price => "price",
            Self::Quantity => "quantity",
            Self::IsBuyerMaker => "is_buyer_maker",
            Self::AggTradeId => "agg_trade_id",
            Self::FirstTradeId => "first_trade_id",
            Self::LastTradeId => "last_trade_id",
        }
    }
}

/// An offending value as it stood in the input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    Null,
    Float(f64),
    /// A whole number of 10^-scale.
    Decimal(i128, u32),
    /// A timestamp, in whatever unit the column has.
    Time(i64),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Null => f.write_str("null"),
            // Debug switches to exponents where Display would print three hundred zeros.
            Self::Float(x) => write!(f, "{x:?}"),
            Self::Decimal(digits, 0) => write!(f, "{digits}"),
            Self::Decimal(digits, scale) => {
                let places = scale as usize;
                let text = format!("{:0>width$}", digits.unsigned_abs(), width = places + 1);
                let (whole, fraction) = text.split_at(text.len() - places);
                let sign = if digits < 0 { "-" } else { "" };
                write!(f, "{sign}{whole}.{fraction}")
            }
            Self::Time(t) => write!(f, "{t}"),
        }
    }
}

/// Why a trade is refused.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Problem {
    #[error("must not be null")]
    Null,
    #[error("must be finite")]
    NotFinite,
    #[error("must be greater than 0")]
    NotAboveZero,
    #[error("must not be negative")]
    Negative,
    #[error("is beyond what the grid of {decimals} decimal{} can hold", plural(*.decimals))]
    BeyondGrid {
        decimals: u32,
        /// The most decimals with which it could.
        most: Option<u32>,
    },
    #[error("is not on the grid of {decimals} decimal{}", plural(*.decimals))]
    OffGrid {
        decimals: u32,
        /// The fewest decimals with which it is.
        enough: Option<u32>,
    },
    #[error("makes a sum of the bar larger than the grid can hold")]
    SumBeyondGrid,
    #[error("must not go backwards within a key")]
    Backwards {
        /// The time of the trade before it.
        previous: i64,
    },
    #[error("must rise from trade to trade (on_overlap='skip' leaves out trades that come again)")]
    Repeated {
        /// The id of the trade before it.
        previous: i64,
    },
    #[error("is beyond what calendars reach")]
    BeyondCalendar,
    #[error("lies before 1971 or after 2200 (is time_unit right?)")]
    UnlikelyTime,
    #[error("must not be below first_trade_id")]
    IdsReversed,
    #[error("opens more bars than a 32-bit bar id can count")]
    TooManyBars,
}

/// A trade that cannot become part of a bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TradeError {
    pub field: Field,
    /// Counted from the start of the stream.
    pub row: u64,
    pub value: Value,
    pub problem: Problem,
}

impl TradeError {
    /// The message, with the user's own name for the column and a writer of timestamps.
    #[must_use]
    pub fn message(&self, column: &str, time: impl Fn(i64) -> String) -> String {
        let Self { field, row, problem, .. } = self;
        let value = match self.value {
            Value::Time(t) => time(t),
            other => other.to_string(),
        };
        let after = match problem {
            Problem::Backwards { previous } => format!(" after {}", time(*previous)),
            Problem::Repeated { previous } => format!(" after {previous}"),
            Problem::OffGrid { enough: Some(enough), .. } => {
                format!("; pass decimals={}", or(*enough, Decimals::MOST.into(), "more"))
            }
            Problem::OffGrid { enough: None, .. } => {
                format!("; even decimals={} is too coarse: scale prices up first", Decimals::MOST)
            }
            Problem::BeyondGrid { most: Some(most), .. } => {
                format!("; pass decimals={}", or(*most, 0, "fewer"))
            }
            Problem::SumBeyondGrid if *field == Field::Quantity => "; pass fewer decimals".into(),
            _ => String::new(),
        };
        format!("column '{column}', row {row}: {} {problem}, got {value}{after}", field.name())
    }
}

impl fmt::Display for TradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message(self.field.name(), |t| t.to_string()))
    }
}

impl std::error::Error for TradeError {}

fn plural(n: u32) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// `n or more`, but for where there is none.
fn or(n: u32, last: u32, others: &str) -> String {
    if n == last { n.to_string() } else { format!("{n} or {others}") }
}

/// Options that make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    #[error(
        "a range threshold must be between 1 and 100000 decimal basis points (250 is 0.25%), got {0}"
    )]
    Threshold(String),
    #[error("no rule given; name at least one, such as 250 or '0.25%'")]
    NoRule,
    #[error("rule {0} is named more than once")]
    RepeatedRule(String),
    #[error("{0:?} is not a duration; write it as Polars does: '1d', '90m', '1w', '-17h'")]
    Duration(String),
    #[error("decimals must be between 0 and 12 (8 is a grid of 1e-8), got {0}")]
    Decimals(i64),
    #[error(
        "reset must be a number of days, weeks, months, quarters or years ('1d', '2w', '1mo', '1q', '1y'), got {0:?}"
    )]
    Reset(String),
    #[error("reset_offset moves the boundaries of reset; give reset too, or leave it out")]
    OffsetWithoutReset,
    #[error("a reset_offset in months needs a reset in months, quarters or years")]
    ResetOffset,
    #[error("unknown time zone {0:?}")]
    Zone(String),
    #[error("max_gap must be a positive duration of fixed length ('2h', '1d'), got {0:?}")]
    MaxGap(String),
    #[error("{0} needs a timestamp column")]
    NoTime(&'static str),
    #[error("{0} on an Int64 timestamp needs time_unit='ns', 'us' or 'ms' to know what it counts")]
    NoTimeUnit(&'static str),
    #[error("time_unit must be 'ns', 'us' or 'ms', got {0:?}")]
    TimeUnit(String),
    #[error(
        "time_unit={given:?} contradicts the timestamp column, which is {dtype}; leave time_unit out"
    )]
    OtherTimeUnit { given: &'static str, dtype: String },
    #[error("on_overlap must be 'error' or 'skip', got {0:?}")]
    Overlap(String),
    #[error("incomplete must be 'drop' or 'keep', got {0:?}")]
    Incomplete(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_column_row_and_value() {
        let cases = [
            (Field::Price, Value::Float(f64::NAN), Problem::NotFinite),
            (Field::Price, Value::Float(-1.0), Problem::NotAboveZero),
            (Field::Price, Value::Float(1e300), Problem::BeyondGrid { decimals: 8, most: None }),
            (Field::Price, Value::Float(1e12), Problem::BeyondGrid { decimals: 8, most: Some(6) }),
            (Field::Price, Value::Float(1e18), Problem::BeyondGrid { decimals: 1, most: Some(0) }),
            (
                Field::Price,
                Value::Float(4.567e-7),
                Problem::OffGrid { decimals: 8, enough: Some(10) },
            ),
            (
                Field::Price,
                Value::Decimal(7, 12),
                Problem::OffGrid { decimals: 8, enough: Some(12) },
            ),
            (Field::Price, Value::Decimal(7, 13), Problem::OffGrid { decimals: 8, enough: None }),
            (Field::Quantity, Value::Float(1e22), Problem::SumBeyondGrid),
            (Field::LastTradeId, Value::Decimal(1 << 60, 0), Problem::SumBeyondGrid),
            (Field::Quantity, Value::Decimal(-5, 1), Problem::Negative),
            (Field::Quantity, Value::Null, Problem::Null),
            (Field::Timestamp, Value::Time(5), Problem::Backwards { previous: 7 }),
        ];
        let text: Vec<String> = cases
            .map(|(field, value, problem)| TradeError { field, row: 3, value, problem }.to_string())
            .into();
        insta::assert_snapshot!(text.join("\n"), @r"
        column 'price', row 3: price must be finite, got NaN
        column 'price', row 3: price must be greater than 0, got -1.0
        column 'price', row 3: price is beyond what the grid of 8 decimals can hold, got 1e300
        column 'price', row 3: price is beyond what the grid of 8 decimals can hold, got 1000000000000.0; pass decimals=6 or fewer
        column 'price', row 3: price is beyond what the grid of 1 decimal can hold, got 1e18; pass decimals=0
        column 'price', row 3: price is not on the grid of 8 decimals, got 4.567e-7; pass decimals=10 or more
        column 'price', row 3: price is not on the grid of 8 decimals, got 0.000000000007; pass decimals=12
        column 'price', row 3: price is not on the grid of 8 decimals, got 0.0000000000007; even decimals=12 is too coarse: scale prices up first
        column 'quantity', row 3: quantity makes a sum of the bar larger than the grid can hold, got 1e22; pass fewer decimals
        column 'last_trade_id', row 3: last_trade_id makes a sum of the bar larger than the grid can hold, got 1152921504606846976
        column 'quantity', row 3: quantity must not be negative, got -0.5
        column 'quantity', row 3: quantity must not be null, got null
        column 'timestamp', row 3: timestamp must not go backwards within a key, got 5 after 7
        ");
    }
}
