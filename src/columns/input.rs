//! Columns of a frame as trades, without copying one that already has the right type.

use polars::prelude::*;

use super::error::Error;
use crate::core::error::{Field as Role, OptionsError, Problem, TradeError, Value};
use crate::core::grid::Grid;
use crate::core::time::TimeUnit;
use crate::core::trades::{Bits, Numbers, Trades};

/// Every part that a column can play, in the order in which columns are looked at.
pub const ROLES: [Role; 7] = [
    Role::Timestamp,
    Role::Price,
    Role::Quantity,
    Role::IsBuyerMaker,
    Role::AggTradeId,
    Role::FirstTradeId,
    Role::LastTradeId,
];

/// The input columns that are there: the user's name and the dtype of each part played.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    columns: Vec<(Role, PlSmallStr, DataType)>,
    /// What an Int64 time column counts, where that was said.
    time_unit: Option<TimeUnit>,
    grid: Grid,
}

impl Layout {
    /// A layout of `columns`, each of a dtype that its part can have.
    ///
    /// # Errors
    /// If a dtype does not fit, naming column and dtype.
    pub fn new(
        columns: Vec<(Role, PlSmallStr, DataType)>,
        time_unit: Option<TimeUnit>,
        grid: Grid,
    ) -> Result<Self, Error> {
        for (role, name, dtype) in &columns {
            check_dtype(*role, name, dtype)?;
        }
        let layout = Self { columns, time_unit, grid };
        if let (Some(given), Some(dtype @ DataType::Datetime(unit, _))) =
            (time_unit, layout.dtype(Role::Timestamp))
            && time_unit_of(*unit) != given
        {
            let (given, dtype) = (given.name(), dtype.to_string());
            return Err(OptionsError::OtherTimeUnit { given, dtype }.into());
        }
        Ok(layout)
    }

    /// How fine prices and quantities are.
    #[must_use]
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// What the time column counts, if that is known.
    #[must_use]
    pub fn time_unit(&self) -> Option<TimeUnit> {
        match self.dtype(Role::Timestamp) {
            Some(DataType::Datetime(unit, _)) => Some(time_unit_of(*unit)),
            Some(_) => self.time_unit,
            None => None,
        }
    }

    /// The zone whose clock on the wall the times are read by.
    #[must_use]
    pub fn time_zone(&self) -> Option<&str> {
        match self.dtype(Role::Timestamp) {
            Some(DataType::Datetime(_, zone)) => zone.as_ref().map(|zone| zone.as_str()),
            _ => None,
        }
    }

    /// The dtype of the bars' times.
    #[must_use]
    pub fn time_dtype(&self) -> DataType {
        match (self.dtype(Role::Timestamp), self.time_unit()) {
            (Some(dtype @ DataType::Datetime(..)), _) => dtype.clone(),
            (Some(_), Some(unit)) => DataType::Datetime(polars_unit(unit), None),
            _ => DataType::Int64,
        }
    }

    /// Whether the unit of the times is only what the user says, and not the column's own.
    #[must_use]
    pub fn time_unit_is_claimed(&self) -> bool {
        self.time_unit.is_some() && self.dtype(Role::Timestamp) == Some(&DataType::Int64)
    }

    #[must_use]
    pub fn dtype(&self, role: Role) -> Option<&DataType> {
        self.columns.iter().find(|c| c.0 == role).map(|c| &c.2)
    }

    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.dtype(role).is_some()
    }

    /// The user's name for a column.
    #[must_use]
    pub fn name(&self, role: Role) -> &str {
        self.columns.iter().find(|c| c.0 == role).map_or(role.name(), |c| c.1.as_str())
    }

    /// Puts a trade's error into the user's words.
    #[must_use]
    pub fn error(&self, error: &TradeError) -> Error {
        Error::trade(error, self.name(error.field), self)
    }
}

fn time_unit_of(unit: polars::prelude::TimeUnit) -> TimeUnit {
    match unit {
        polars::prelude::TimeUnit::Nanoseconds => TimeUnit::Nanosecond,
        polars::prelude::TimeUnit::Microseconds => TimeUnit::Microsecond,
        polars::prelude::TimeUnit::Milliseconds => TimeUnit::Millisecond,
    }
}

fn polars_unit(unit: TimeUnit) -> polars::prelude::TimeUnit {
    match unit {
        TimeUnit::Nanosecond => polars::prelude::TimeUnit::Nanoseconds,
        TimeUnit::Microsecond => polars::prelude::TimeUnit::Microseconds,
        TimeUnit::Millisecond => polars::prelude::TimeUnit::Milliseconds,
    }
}

fn check_dtype(role: Role, name: &str, dtype: &DataType) -> Result<(), Error> {
    let (good, want) = match role {
        Role::Timestamp => (
            matches!(dtype, DataType::Datetime(..) | DataType::Int64),
            "Datetime or Int64 (cast other integers with .cast(pl.Int64); text and other units with rb.normalize)",
        ),
        Role::Price | Role::Quantity => (
            dtype.is_float() || dtype.is_integer() || dtype.is_decimal(),
            "a float, an integer or a Decimal (for text use rb.normalize)",
        ),
        Role::IsBuyerMaker => (
            dtype.is_bool(),
            "Boolean, true where the taker sold (for other sides use rb.normalize)",
        ),
        Role::AggTradeId | Role::FirstTradeId | Role::LastTradeId => {
            (dtype.is_integer(), "an integer")
        }
    };
    if good {
        return Ok(());
    }
    let part = role.name();
    Err(Error::Input(format!("column '{name}': {part} must be {want}, got {dtype}")))
}

/// A column as the core reads it, with the scale of a Decimal.
type Column = (Role, Series, u32);

/// One batch's columns, cast to what the core reads.
pub struct Batch {
    columns: Vec<Column>,
    grid: Grid,
    len: usize,
    /// The first null, which ends what can be read.
    null: Option<(Role, usize)>,
    /// Ends of the parts in which every column is contiguous.
    ends: Vec<usize>,
}

impl Batch {
    /// Takes the columns of `layout` by position: `series[i]` plays the part of `layout`'s i-th.
    ///
    /// # Errors
    /// If lengths differ or a cast fails.
    pub fn new(layout: &Layout, series: &[Series]) -> Result<Self, Error> {
        let len = series.first().map_or(0, |s| s.len());
        let mut columns = Vec::with_capacity(series.len());
        let mut null: Option<(Role, usize)> = None;
        for ((role, _, dtype), series) in layout.columns.iter().zip(series) {
            if series.len() != len {
                let name = layout.name(*role);
                return Err(Error::Polars(polars_err!(
                    ShapeMismatch: "column '{name}' has {} rows where the others have {len}", series.len()
                )));
            }
            if series.dtype() != dtype {
                return Err(Error::Input(format!(
                    "column '{}' was {dtype} in the batches before, and is {} now",
                    layout.name(*role),
                    series.dtype()
                )));
            }
            let physical = to_physical(*role, series)?;
            let nulls_before = first_null(series);
            let row = match first_null(&physical) {
                // A number that no 64-bit integer holds: the cast made it null.
                Some(row) if nulls_before != Some(row) => {
                    return Err(Error::Input(format!(
                        "column '{}', row {row}: {} is too large for a signed integer, got {}",
                        layout.name(*role),
                        role.name(),
                        series.get(row)?
                    )));
                }
                other => other,
            };
            if let Some(row) = row.filter(|&row| null.is_none_or(|(_, first)| row < first)) {
                null = Some((*role, row));
            }
            columns.push((*role, physical, scale(dtype)));
        }
        let mut ends: Vec<usize> = Vec::new();
        for (_, series, _) in &columns {
            let mut end = 0;
            for chunk in series.chunks() {
                end += chunk.len();
                ends.push(end);
            }
        }
        ends.sort_unstable();
        ends.dedup();
        ends.retain(|&end| end > 0);
        Ok(Self { columns, grid: layout.grid(), len, null, ends })
    }

    /// Number of rows.
    #[must_use]
    pub fn height(&self) -> usize {
        self.len
    }

    /// The error of the first row that has a null in it.
    #[must_use]
    pub fn null_error(&self, offset: u64) -> Option<TradeError> {
        self.null.map(|(field, row)| {
            let problem = Problem::Null;
            TradeError { field, row: offset + row as u64, value: Value::Null, problem }
        })
    }

    /// Calls `f` with every contiguous part of at most `most` rows as `(first row, trades)`, in
    /// order.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn parts(
        &self,
        offset: u64,
        most: usize,
        mut f: impl FnMut(usize, &Trades<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let readable = self.null.map_or(self.len, |(_, row)| row);
        let mut start = 0;
        for &end in &self.ends {
            while start < end.min(readable) {
                let len = (end.min(readable) - start).min(most);
                if len == self.len {
                    f(0, &trades(&self.columns, self.grid, len, offset)?)?;
                } else {
                    let slices: Vec<Column> = self
                        .columns
                        .iter()
                        .map(|(r, s, scale)| (*r, slice(s, start, len), *scale))
                        .collect();
                    f(start, &trades(&slices, self.grid, len, offset + start as u64)?)?;
                }
                start += len;
            }
        }
        Ok(())
    }
}

fn slice(series: &Series, start: usize, len: usize) -> Series {
    // Rows of a frame in memory are counted in far fewer bits.
    series.slice(i64::try_from(start).unwrap_or(i64::MAX), len)
}

fn first_null(series: &Series) -> Option<usize> {
    if series.null_count() == 0 {
        return None;
    }
    let mut base = 0;
    for chunk in series.chunks() {
        if let Some(valid) = chunk.validity()
            && let Some(row) = valid.iter().position(|valid| !valid)
        {
            return Some(base + row);
        }
        base += chunk.len();
    }
    // A column of dtype Null has no bitmap: all of it is null.
    Some(0)
}

fn scale(dtype: &DataType) -> u32 {
    match dtype {
        DataType::Decimal(_, scale) => u32::try_from(*scale).unwrap_or(u32::MAX),
        _ => 0,
    }
}

fn to_physical(role: Role, series: &Series) -> Result<Series, Error> {
    let physical = match role {
        Role::IsBuyerMaker => series.clone(),
        Role::Price | Role::Quantity => match series.dtype() {
            DataType::Float64 => series.clone(),
            dtype if dtype.is_float() => series.cast(&DataType::Float64)?,
            DataType::Decimal(..) => series.to_physical_repr().into_owned(),
            // These may exceed 64 bits signed: read as decimals without places.
            DataType::UInt64 | DataType::Int128 | DataType::UInt128 => {
                series.cast(&DataType::Int128)?
            }
            _ => series.cast(&DataType::Int64)?,
        },
        Role::Timestamp => series.to_physical_repr().into_owned(),
        Role::AggTradeId | Role::FirstTradeId | Role::LastTradeId => {
            series.cast(&DataType::Int64)?
        }
    };
    Ok(physical)
}

/// Borrows columns of one chunk each.
fn trades(columns: &[Column], grid: Grid, len: usize, offset: u64) -> Result<Trades<'_>, Error> {
    let mut trades = Trades {
        price: Numbers::Float(&[]),
        quantity: None,
        timestamp: None,
        is_buyer_maker: None,
        agg_trade_id: None,
        first_trade_id: None,
        last_trade_id: None,
        grid,
        offset,
        len,
    };
    for (role, series, scale) in columns {
        match role {
            Role::Price => trades.price = numbers(series, *scale)?,
            Role::Quantity => trades.quantity = Some(numbers(series, *scale)?),
            Role::Timestamp => trades.timestamp = Some(ints(series)?),
            Role::AggTradeId => trades.agg_trade_id = Some(ints(series)?),
            Role::FirstTradeId => trades.first_trade_id = Some(ints(series)?),
            Role::LastTradeId => trades.last_trade_id = Some(ints(series)?),
            Role::IsBuyerMaker => {
                let array = series.bool()?.downcast_iter().next().ok_or_else(no_chunk)?;
                let (bytes, offset, _) = array.values().as_slice();
                trades.is_buyer_maker = Some(Bits { bytes, offset });
            }
        }
    }
    Ok(trades)
}

fn no_chunk() -> Error {
    Error::Input("a column has rows but no chunk that holds them".to_owned())
}

fn numbers(series: &Series, scale: u32) -> Result<Numbers<'_>, Error> {
    Ok(match series.dtype() {
        DataType::Float64 => {
            let array = series.f64()?.downcast_iter().next().ok_or_else(no_chunk)?;
            Numbers::Float(array.values().as_slice())
        }
        DataType::Int128 => {
            let array = series.i128()?.downcast_iter().next().ok_or_else(no_chunk)?;
            Numbers::Decimal(array.values().as_slice(), scale)
        }
        _ => Numbers::Int(ints(series)?),
    })
}

fn ints(series: &Series) -> Result<&[i64], Error> {
    let array = series.i64()?.downcast_iter().next().ok_or_else(no_chunk)?;
    Ok(array.values().as_slice())
}
