//! The bar columns: their names, dtypes, order, and the input that each needs. All of it here.

use polars::prelude::*;

use super::input::Layout;
use crate::core::bar::Bar;
use crate::core::error::Field as Role;
use crate::core::price::{price_to_f64, turnover_to_f64, units_to_f64, vwap};

/// A bar on its way out.
#[derive(Debug, Clone)]
pub struct Ended {
    pub bar: Bar,
    /// Row of the trade that closed it or cut it off, from the start of the stream.
    pub row: u64,
    pub key: u32,
    /// Index among the thresholds asked for.
    pub threshold: u32,
    pub complete: bool,
}

impl Ended {
    /// Bars come as their last trades stand in the input; a bar cut off at a trade comes before
    /// one that this trade closes; then by threshold.
    #[must_use]
    pub fn order(&self) -> (u64, bool, u32) {
        (self.row, self.complete, self.threshold)
    }
}

/// What a bar column is made of.
#[derive(Clone, Copy)]
enum Source {
    Time(fn(&Bar) -> i64),
    Price(fn(&Bar) -> i64),
    Float(fn(&Bar) -> f64),
    MaybeFloat(fn(&Bar) -> Option<f64>),
    Count(fn(&Bar) -> u64),
    Id(fn(&Bar) -> i64),
    Complete,
}

/// A bar column: name, needed input, source.
struct Spec(&'static str, &'static [Role], Source);

use Role::{AggTradeId, FirstTradeId, IsBuyerMaker, LastTradeId, Quantity, Timestamp};

const SPECS: [Spec; 22] = [
    Spec("open_time", &[Timestamp], Source::Time(|b| b.open_time)),
    Spec("close_time", &[Timestamp], Source::Time(|b| b.close_time)),
    Spec("open", &[], Source::Price(|b| b.open)),
    Spec("high", &[], Source::Price(|b| b.high)),
    Spec("low", &[], Source::Price(|b| b.low)),
    Spec("close", &[], Source::Price(|b| b.close)),
    Spec("volume", &[Quantity], Source::Float(|b| units_to_f64(b.sums.volume))),
    Spec("turnover", &[Quantity], Source::Float(|b| turnover_to_f64(b.sums.turnover))),
    Spec("vwap", &[Quantity], Source::MaybeFloat(|b| vwap(b.sums.turnover, b.sums.volume))),
    Spec("trade_count", &[], Source::Count(|b| b.trade_count)),
    Spec(
        "individual_trade_count",
        &[FirstTradeId, LastTradeId],
        Source::Count(|b| b.sums.individual_count),
    ),
    Spec(
        "buy_volume",
        &[Quantity, IsBuyerMaker],
        Source::Float(|b| units_to_f64(b.sums.buy_volume)),
    ),
    Spec(
        "sell_volume",
        &[Quantity, IsBuyerMaker],
        Source::Float(|b| units_to_f64(b.sums.volume - b.sums.buy_volume)),
    ),
    Spec(
        "buy_turnover",
        &[Quantity, IsBuyerMaker],
        Source::Float(|b| turnover_to_f64(b.sums.buy_turnover)),
    ),
    Spec(
        "sell_turnover",
        &[Quantity, IsBuyerMaker],
        Source::Float(|b| turnover_to_f64(b.sums.turnover - b.sums.buy_turnover)),
    ),
    Spec("buy_trade_count", &[IsBuyerMaker], Source::Count(|b| b.sums.buy_count)),
    Spec("sell_trade_count", &[IsBuyerMaker], Source::Count(|b| b.trade_count - b.sums.buy_count)),
    Spec("first_agg_trade_id", &[AggTradeId], Source::Id(|b| b.first.agg_trade)),
    Spec("last_agg_trade_id", &[AggTradeId], Source::Id(|b| b.last.agg_trade)),
    Spec("first_trade_id", &[FirstTradeId], Source::Id(|b| b.first.trade)),
    Spec("last_trade_id", &[LastTradeId], Source::Id(|b| b.last.trade)),
    Spec("is_complete", &[], Source::Complete),
];

/// Name of the column that tells thresholds apart.
pub const THRESHOLD: &str = "threshold_decimal_bps";

/// Names of all columns a frame of bars can have, keys apart.
#[must_use]
pub fn names() -> Vec<&'static str> {
    std::iter::once(THRESHOLD).chain(SPECS.iter().map(|spec| spec.0)).collect()
}

/// The bar columns to make, in order.
pub struct Output {
    specs: Vec<&'static Spec>,
    time: DataType,
    /// Thresholds by index, where several were asked for.
    thresholds: Option<Vec<u32>>,
}

impl Output {
    /// Columns that `layout` allows; of these only the `wanted`.
    #[must_use]
    pub fn new(layout: &Layout, thresholds: &[u32], wanted: Option<&[String]>) -> Self {
        let asked = |name: &str| wanted.is_none_or(|w| w.iter().any(|w| w == name));
        let specs = SPECS
            .iter()
            .filter(|spec| spec.1.iter().all(|&role| layout.has(role)) && asked(spec.0))
            .collect();
        let many = thresholds.len() > 1 && asked(THRESHOLD);
        Self {
            specs,
            time: layout.dtype(Role::Timestamp).cloned().unwrap_or(DataType::Int64),
            thresholds: many.then(|| thresholds.to_vec()),
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
                Source::Price(_) | Source::Float(_) | Source::MaybeFloat(_) => DataType::Float64,
                Source::Count(_) => DataType::UInt64,
                Source::Id(_) => DataType::Int64,
                Source::Complete => DataType::Boolean,
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
                values.extend(source, some);
            }
        }
        let mut columns = Vec::with_capacity(self.specs.len() + 1);
        if let Some(thresholds) = &self.thresholds {
            let values: Vec<u32> = bars.iter().map(|e| thresholds[e.threshold as usize]).collect();
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
                Values::MaybeFloat(v) => {
                    Float64Chunked::from_iter_options(name, v.into_iter()).into_series()
                }
                Values::Count(v) => Series::from_vec(name, v),
                Values::Id(v) => Series::from_vec(name, v),
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
    Count(Vec<u64>),
    Id(Vec<i64>),
    Flag(Vec<bool>),
}

impl Values {
    fn new(source: &Source, len: usize) -> Self {
        match source {
            Source::Time(_) => Self::Time(Vec::with_capacity(len)),
            Source::Price(_) | Source::Float(_) => Self::Float(Vec::with_capacity(len)),
            Source::MaybeFloat(_) => Self::MaybeFloat(Vec::with_capacity(len)),
            Source::Count(_) => Self::Count(Vec::with_capacity(len)),
            Source::Id(_) => Self::Id(Vec::with_capacity(len)),
            Source::Complete => Self::Flag(Vec::with_capacity(len)),
        }
    }

    fn extend(&mut self, source: &Source, bars: &[Ended]) {
        match (self, source) {
            (Self::Time(v), Source::Time(f)) | (Self::Id(v), Source::Id(f)) => {
                v.extend(bars.iter().map(|e| f(&e.bar)));
            }
            (Self::Float(v), Source::Price(f)) => {
                v.extend(bars.iter().map(|e| price_to_f64(f(&e.bar))));
            }
            (Self::Float(v), Source::Float(f)) => v.extend(bars.iter().map(|e| f(&e.bar))),
            (Self::MaybeFloat(v), Source::MaybeFloat(f)) => {
                v.extend(bars.iter().map(|e| f(&e.bar)));
            }
            (Self::Count(v), Source::Count(f)) => v.extend(bars.iter().map(|e| f(&e.bar))),
            (Self::Flag(v), Source::Complete) => v.extend(bars.iter().map(|e| e.complete)),
            // `new` made the values for this very source.
            _ => {}
        }
    }
}
