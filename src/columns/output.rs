//! The bar columns: their names, dtypes, order, and the input that each needs. All of it here.

use polars::prelude::*;

use super::input::Layout;
use crate::core::bar::Bar;
use crate::core::error::Field as Role;
use crate::core::grid::Grid;
use crate::core::rule::Rule;

/// A bar on its way out.
#[derive(Debug, Clone)]
pub struct Ended {
    pub bar: Bar,
    /// Row of the trade that closed it or cut it off, from the start of the stream.
    pub row: u64,
    pub key: u32,
    /// Counts the bars of the key and the rule, from 0.
    pub id: u32,
    /// Index among the rules asked for.
    pub rule: u32,
    pub complete: bool,
}

impl Ended {
    /// Bars come as their last trades stand in the input. Those cut off before a trade come before
    /// those that this trade closes, in the order of their opening trades, as those that remain at
    /// the end do: so the bars of a run that is split at its resets are those of the whole. Then by
    /// rule.
    #[must_use]
    pub fn order(&self) -> (u64, bool, u64, u32) {
        let opened = if self.complete { 0 } else { self.bar.open_row };
        (self.row, self.complete, opened, self.rule)
    }
}

/// What a bar column is made of: a function that writes some bars' values to its end. A function for
/// bars and not for a bar, so that the compiler makes a loop of each.
#[derive(Clone, Copy)]
enum Source {
    Time(fn(&[Ended], &mut Vec<i64>)),
    Float(fn(&[Ended], Grid, &mut Vec<f64>)),
    MaybeFloat(fn(&[Ended], Grid, &mut Vec<Option<f64>>)),
    /// A count or an id of the input. Signed, so that a difference of two counts is what it says.
    Integer(fn(&[Ended], &mut Vec<i64>)),
    BarId(fn(&[Ended], &mut Vec<u32>)),
    Flag(fn(&[Ended], &mut Vec<bool>)),
}

/// The source of a kind with a value for each ended bar, which may need the grid.
macro_rules! each {
    ($kind:ident, |$ended:ident, $grid:ident| $value:expr) => {
        Source::$kind(|some, $grid, values| values.extend(some.iter().map(|$ended| $value)))
    };
    ($kind:ident, |$ended:ident| $value:expr) => {
        Source::$kind(|some, values| values.extend(some.iter().map(|$ended| $value)))
    };
}

/// A bar column: name, needed input, source.
struct Spec(&'static str, &'static [Role], Source);

use Role::{AggTradeId, FirstTradeId, IsBuyerMaker, LastTradeId, Quantity, Timestamp};

const SPECS: [Spec; 23] = [
    Spec("bar_id", &[], each!(BarId, |e| e.id)),
    Spec("open_time", &[Timestamp], each!(Time, |e| e.bar.open_time)),
    Spec("close_time", &[Timestamp], each!(Time, |e| e.bar.close_time)),
    Spec("open", &[], each!(Float, |e, grid| grid.price_to_f64(e.bar.open))),
    Spec("high", &[], each!(Float, |e, grid| grid.price_to_f64(e.bar.high))),
    Spec("low", &[], each!(Float, |e, grid| grid.price_to_f64(e.bar.low))),
    Spec("close", &[], each!(Float, |e, grid| grid.price_to_f64(e.bar.close))),
    Spec("volume", &[Quantity], each!(Float, |e, grid| grid.quantity_to_f64(e.bar.sums.volume))),
    Spec(
        "turnover",
        &[Quantity],
        each!(Float, |e, grid| grid.turnover_to_f64(e.bar.sums.turnover)),
    ),
    Spec(
        "vwap",
        &[Quantity],
        each!(MaybeFloat, |e, grid| grid.vwap(e.bar.sums.turnover, e.bar.sums.volume)),
    ),
    Spec("trade_count", &[], each!(Integer, |e| e.bar.trade_count.cast_signed())),
    Spec(
        "individual_trade_count",
        &[FirstTradeId, LastTradeId],
        each!(Integer, |e| e.bar.sums.individual_count.cast_signed()),
    ),
    Spec(
        "buy_volume",
        &[Quantity, IsBuyerMaker],
        each!(Float, |e, grid| grid.quantity_to_f64(e.bar.sums.buy_volume)),
    ),
    Spec(
        "sell_volume",
        &[Quantity, IsBuyerMaker],
        each!(Float, |e, grid| grid.quantity_to_f64(e.bar.sums.volume - e.bar.sums.buy_volume)),
    ),
    Spec(
        "buy_turnover",
        &[Quantity, IsBuyerMaker],
        each!(Float, |e, grid| grid.turnover_to_f64(e.bar.sums.buy_turnover)),
    ),
    Spec(
        "sell_turnover",
        &[Quantity, IsBuyerMaker],
        each!(Float, |e, grid| grid.turnover_to_f64(e.bar.sums.turnover - e.bar.sums.buy_turnover)),
    ),
    Spec(
        "buy_trade_count",
        &[IsBuyerMaker],
        each!(Integer, |e| e.bar.sums.buy_count.cast_signed()),
    ),
    Spec(
        "sell_trade_count",
        &[IsBuyerMaker],
        each!(Integer, |e| (e.bar.trade_count - e.bar.sums.buy_count).cast_signed()),
    ),
    Spec("first_agg_trade_id", &[AggTradeId], each!(Integer, |e| e.bar.first.agg_trade)),
    Spec("last_agg_trade_id", &[AggTradeId], each!(Integer, |e| e.bar.last.agg_trade)),
    Spec("first_trade_id", &[FirstTradeId], each!(Integer, |e| e.bar.first.trade)),
    Spec("last_trade_id", &[LastTradeId], each!(Integer, |e| e.bar.last.trade)),
    Spec("is_complete", &[], each!(Flag, |e| e.complete)),
];

/// Name of the column that tells rules apart, where all of them are ranges.
const THRESHOLD: &str = "threshold_decimal_bps";

/// Names of all columns a frame of bars can have, keys apart.
#[must_use]
pub fn names() -> Vec<&'static str> {
    std::iter::once(THRESHOLD).chain(SPECS.iter().map(|spec| spec.0)).collect()
}

/// The bar columns to make, in order.
#[derive(Clone)]
pub struct Output {
    specs: Vec<&'static Spec>,
    grid: Grid,
    time: DataType,
    /// Thresholds by rule, where several were asked for.
    thresholds: Option<Vec<u32>>,
}

impl Output {
    /// Columns that `layout` allows; of these only the `wanted`.
    #[must_use]
    pub fn new(layout: &Layout, rules: &[Rule], wanted: Option<&[String]>) -> Self {
        let asked = |name: &str| wanted.is_none_or(|w| w.iter().any(|w| w == name));
        let specs = SPECS
            .iter()
            .filter(|spec| spec.1.iter().all(|&role| layout.has(role)) && asked(spec.0))
            .collect();
        let thresholds = rules.iter().map(|Rule::Range(threshold)| threshold.decimal_bps());
        let many = rules.len() > 1 && asked(THRESHOLD);
        Self {
            specs,
            grid: layout.grid(),
            time: layout.time_dtype(),
            thresholds: many.then(|| thresholds.collect()),
        }
    }

    /// Parts of the input that the columns are made of, apart from time and price.
    #[must_use]
    pub fn needs(&self) -> Vec<Role> {
        let mut roles: Vec<Role> =
            self.specs.iter().flat_map(|spec| spec.1.iter().copied()).collect();
        roles.sort_unstable();
        roles.dedup();
        roles
    }

    /// Names and dtypes of the columns.
    #[must_use]
    pub fn fields(&self) -> Vec<Field> {
        let threshold =
            self.thresholds.is_some().then(|| Field::new(THRESHOLD.into(), DataType::UInt32));
        let columns = self.specs.iter().map(|spec| {
            let dtype = match spec.2 {
                Source::Time(_) => self.time.clone(),
                Source::Float(_) | Source::MaybeFloat(_) => DataType::Float64,
                Source::Integer(_) => DataType::Int64,
                Source::BarId(_) => DataType::UInt32,
                Source::Flag(_) => DataType::Boolean,
            };
            Field::new(spec.0.into(), dtype)
        });
        threshold.into_iter().chain(columns).collect()
    }

    /// Bars as columns, in the order given.
    ///
    /// # Errors
    /// If the time column's dtype cannot be made from integers (it was checked before).
    pub fn columns(&self, bars: &[Ended]) -> Result<Vec<Column>, PolarsError> {
        let mut values: Vec<Values> =
            self.specs.iter().map(|spec| Values::new(&spec.2, bars.len())).collect();
        // A few bars at a time, so that a bar is fetched once and not for each of its columns.
        for some in bars.chunks(64) {
            for (Spec(_, _, source), values) in self.specs.iter().zip(&mut values) {
                values.extend(source, self.grid, some);
            }
        }
        let mut columns = Vec::with_capacity(self.specs.len() + 1);
        if let Some(thresholds) = &self.thresholds {
            let values: Vec<u32> = bars.iter().map(|e| thresholds[e.rule as usize]).collect();
            columns.push(Column::new(THRESHOLD.into(), values));
        }
        for (Spec(name, ..), values) in self.specs.iter().zip(values) {
            let name = PlSmallStr::from_static(name);
            let series = match values {
                // From physical integers: no check, no copy.
                Values::Time(v) => {
                    Int64Chunked::from_vec(name, v).into_series().cast(&self.time)?
                }
                Values::Float(v) => Series::from_vec(name, v),
                // As a plain column wherever it is one, which is much quicker.
                Values::MaybeFloat(v) if v.iter().all(Option::is_some) => {
                    let v: Vec<f64> = v.into_iter().map(Option::unwrap_or_default).collect();
                    Series::from_vec(name, v)
                }
                Values::MaybeFloat(v) => {
                    Float64Chunked::from_iter_options(name, v.into_iter()).into_series()
                }
                Values::Integer(v) => Series::from_vec(name, v),
                Values::BarId(v) => Series::from_vec(name, v),
                Values::Flag(v) => BooleanChunked::from_slice(name, &v).into_series(),
            };
            columns.push(series.into_column());
        }
        Ok(columns)
    }
}

/// The values of a bar column, as they come together.
enum Values {
    Time(Vec<i64>),
    Float(Vec<f64>),
    MaybeFloat(Vec<Option<f64>>),
    Integer(Vec<i64>),
    BarId(Vec<u32>),
    Flag(Vec<bool>),
}

impl Values {
    fn new(source: &Source, len: usize) -> Self {
        match source {
            Source::Time(_) => Self::Time(Vec::with_capacity(len)),
            Source::Float(_) => Self::Float(Vec::with_capacity(len)),
            Source::MaybeFloat(_) => Self::MaybeFloat(Vec::with_capacity(len)),
            Source::Integer(_) => Self::Integer(Vec::with_capacity(len)),
            Source::BarId(_) => Self::BarId(Vec::with_capacity(len)),
            Source::Flag(_) => Self::Flag(Vec::with_capacity(len)),
        }
    }

    fn extend(&mut self, source: &Source, grid: Grid, bars: &[Ended]) {
        match (self, source) {
            (Self::Time(v), Source::Time(f)) | (Self::Integer(v), Source::Integer(f)) => f(bars, v),
            (Self::Float(v), Source::Float(f)) => f(bars, grid, v),
            (Self::MaybeFloat(v), Source::MaybeFloat(f)) => f(bars, grid, v),
            (Self::BarId(v), Source::BarId(f)) => f(bars, v),
            (Self::Flag(v), Source::Flag(f)) => f(bars, v),
            // `new` made the values for this very source.
            _ => {}
        }
    }
}
