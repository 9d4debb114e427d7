//! The streaming door: a class that is fed with batches of trades and gives frames of bars.
//!
//! # The order of locks
//!
//! 1. the lock of a `RangeBarProcessor`, in Python, where there is one;
//! 2. Python's own, the GIL;
//! 3. the lock of a [`BarStream`], here.
//!
//! Whoever holds one may take those below it, and waits for none above it: the third is waited for
//! without the GIL, and held while no Python runs. Nothing that works on the state knows Python,
//! frames are handed to Python when the lock is free again, and so is a signal handler of Python
//! run: a thread cannot come back here while it holds the lock. The thread of a lazy plan works for
//! the thread that holds the first lock, and does not take it. Rayon's threads take no lock.

use std::sync::{Mutex, MutexGuard, TryLockError};

use polars::prelude::{DataFrame, DataType, IntoSeries as _, PlSmallStr, Series};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3_polars::{PyDataFrame, PySeries};

use super::checkpoint::{Checkpoint, json};
use super::door::door;
use super::error::to_python;
use super::expressions::bar_ids;
use super::options::RawOptions;
use crate::columns::error::Error;
use crate::columns::input::Layout;
use crate::columns::panics::caught;
use crate::core::error::Field;
use crate::core::trades::{Bits, Numbers, Trades};
use crate::grouped::{Grouped, KeyOfOne};

/// Range bars of one stream of trades.
#[pyclass(module = "rangebar_polars._internal", frozen)]
pub struct BarStream {
    state: Mutex<Grouped>,
    names: Vec<PlSmallStr>,
    by: Vec<PlSmallStr>,
}

impl BarStream {
    /// Calls `f` with the state, for something quick.
    fn locked<T: Send>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&mut Grouped) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        door(|| match self.state.try_lock() {
            Ok(state) => with(state, f),
            Err(TryLockError::Poisoned(_)) => Err(broken()),
            Err(TryLockError::WouldBlock) => py.detach(|| self.waited(f)),
        })
    }

    /// The same once the lock is free; called without the GIL.
    fn waited<T>(&self, f: impl FnOnce(&mut Grouped) -> Result<T, Error>) -> Result<T, Error> {
        self.state.lock().map_err(|_| broken()).and_then(|state| with(state, f))
    }

    /// Calls `f` with the state, to look at it only: a panic changes nothing, and the state remains
    /// good for use.
    fn read<T: Send>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&Grouped) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        self.locked(py, |state| caught(|| f(state)))
    }

    /// The columns of trades, and those of keys.
    fn columns(&self, frame: &Bound<'_, PyAny>) -> PyResult<(Vec<Series>, Vec<Series>)> {
        let names: Vec<PlSmallStr> = self.names.iter().chain(&self.by).cloned().collect();
        let mut columns = pick(frame, &names)?;
        let by = columns.split_off(self.names.len());
        Ok((columns, by))
    }

    /// A frame of the bars that `take` makes of a batch; None for none, as a frame takes time.
    fn bars<'py>(
        &self,
        py: Python<'py>,
        frame: &Bound<'py, PyAny>,
        take: impl FnOnce(&mut Grouped, &[Series], &[Series]) -> Result<Option<DataFrame>, Error> + Send,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (columns, by) = self.columns(frame)?;
        let frame = door(|| py.detach(|| self.waited(|state| take(state, &columns, &by))))?;
        frame.map(|frame| to_python_frame(py, frame)).transpose()
    }
}

/// Calls `f` with the state, and lets the lock go: also in a panic, after which nobody gets it.
fn with<T>(
    mut state: MutexGuard<'_, Grouped>,
    f: impl FnOnce(&mut Grouped) -> Result<T, Error>,
) -> Result<T, Error> {
    f(&mut state)
}

/// A panic that was not undone may have left half a change behind: refuse to go on.
fn broken() -> Error {
    Error::Input(
        "an earlier call failed in the middle, by a bug in rangebar_polars, and left a state that cannot be used: resume a checkpoint from before, or start again".to_owned(),
    )
}

/// The columns that are read, and no others: a frame may have many more.
fn pick(frame: &Bound<'_, PyAny>, names: &[PlSmallStr]) -> PyResult<Vec<Series>> {
    let py = frame.py();
    let have: Vec<PyBackedStr> = frame.getattr(intern!(py, "columns"))?.extract()?;
    // All at once where most are wanted: a call for each costs more than a small batch itself.
    let all = if have.len() <= 2 * names.len() {
        Some(frame.call_method0(intern!(py, "get_columns"))?)
    } else {
        None
    };
    let series = |name: &PlSmallStr| {
        let at = have.iter().position(|known| **known == **name);
        let column = match (&all, at) {
            (Some(all), Some(at)) => all.get_item(at)?,
            // Also where there is none: the error is Polars' own.
            _ => frame.call_method1(intern!(py, "get_column"), (name.as_str(),))?,
        };
        let series = column.extract::<PySeries>()?.0;
        if *series.dtype() == DataType::Binary {
            refuse_objects(&column, name)?;
        }
        Ok(series)
    };
    names.iter().map(series).collect()
}

/// Python objects come as the bytes of their addresses, which say nothing.
fn refuse_objects(column: &Bound<'_, PyAny>, name: &str) -> PyResult<()> {
    let dtype = column.getattr(intern!(column.py(), "dtype"))?;
    if dtype.str()?.to_cow()? != "Object" {
        return Ok(());
    }
    let message =
        format!("column '{name}' holds Python objects: make texts or numbers of them first");
    Err(to_python(Error::Input(message)))
}

/// A frame in Python: as one struct, for a call for each column costs more than all the rest.
fn to_python_frame(py: Python<'_>, frame: DataFrame) -> PyResult<Bound<'_, PyAny>> {
    let whole = frame.into_struct(PlSmallStr::EMPTY).into_series();
    let whole = PySeries(whole).into_pyobject(py)?;
    whole.getattr(intern!(py, "struct"))?.call_method0(intern!(py, "unnest"))
}

/// The value for a column that the trades have; nothing for one that they have not.
fn given<T>(layout: &Layout, role: Field, value: Option<T>) -> Result<Option<T>, Error> {
    match (layout.has(role), value) {
        (false, _) => Ok(None),
        (true, Some(value)) => Ok(Some(value)),
        (true, None) => Err(Error::Missing(format!(
            "push_trade needs {}=, for the trades before had a column '{}'",
            role.name(),
            layout.name(role)
        ))),
    }
}

/// A single trade as Python gives it: a number for each column that a trade can have.
struct OneTrade {
    timestamp: Option<i64>,
    price: f64,
    quantity: Option<f64>,
    is_buyer_maker: Option<bool>,
    agg_trade_id: Option<i64>,
    first_trade_id: Option<i64>,
    last_trade_id: Option<i64>,
}

impl OneTrade {
    /// Pushes it; the number of its key and the bars it closes, if any.
    fn push(
        &self,
        state: &mut Grouped,
        key: KeyOfOne<'_>,
    ) -> Result<(u32, Option<DataFrame>), Error> {
        let layout = state.layout();
        let time = given(layout, Field::Timestamp, self.timestamp)?;
        let quantity = given(layout, Field::Quantity, self.quantity)?;
        let side = given(layout, Field::IsBuyerMaker, self.is_buyer_maker.map(u8::from))?;
        let agg = given(layout, Field::AggTradeId, self.agg_trade_id)?;
        let first = given(layout, Field::FirstTradeId, self.first_trade_id)?;
        let last = given(layout, Field::LastTradeId, self.last_trade_id)?;
        let trades = Trades {
            price: Numbers::Float(std::slice::from_ref(&self.price)),
            quantity: quantity.as_ref().map(|q| Numbers::Float(std::slice::from_ref(q))),
            timestamp: time.as_ref().map(std::slice::from_ref),
            is_buyer_maker: side
                .as_ref()
                .map(|s| Bits { bytes: std::slice::from_ref(s), offset: 0 }),
            agg_trade_id: agg.as_ref().map(std::slice::from_ref),
            first_trade_id: first.as_ref().map(std::slice::from_ref),
            last_trade_id: last.as_ref().map(std::slice::from_ref),
            grid: layout.grid(),
            offset: 0,
            len: 1,
        };
        state.push_one(key, &trades)
    }
}

#[pymethods]
impl BarStream {
    /// `sample` has the columns and dtypes of the trades to come; `names` are the columns that
    /// play the parts of `roles`; `options` is JSON.
    #[new]
    #[allow(clippy::needless_pass_by_value, reason = "pyo3 hands lists over by value")]
    fn new(
        sample: PyDataFrame,
        names: Vec<String>,
        roles: Vec<String>,
        by: Option<Vec<String>>,
        options: &str,
        wanted: Option<Vec<String>>,
    ) -> PyResult<Self> {
        let make = || {
            let fields = |names: &[String]| {
                let field = |name: &String| {
                    let dtype = sample.0.column(name)?.dtype().clone();
                    Ok((PlSmallStr::from(name.as_str()), dtype))
                };
                names.iter().map(field).collect::<Result<Vec<_>, Error>>()
            };
            let options = RawOptions::parse(options)?;
            let layout = options.layout(&roles, fields(&names)?)?;
            let keys = by.as_deref().map(fields).transpose()?;
            let (overlap, keep) = (options.overlap()?, options.keep_incomplete()?);
            let bar_options = options.bar_options(&layout)?;
            Grouped::new(bar_options, overlap, layout, keys, keep, wanted.as_deref())
        };
        let state = door(make)?;
        let small = |names: Vec<String>| names.into_iter().map(PlSmallStr::from).collect();
        let (names, by): (Vec<PlSmallStr>, Vec<PlSmallStr>) =
            (small(names), small(by.unwrap_or_default()));
        Ok(Self { state: Mutex::new(state), names, by })
    }

    /// The bars that a batch closes; None if it closes none.
    fn push<'py>(
        &self,
        py: Python<'py>,
        frame: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.bars(py, frame, Grouped::push)
    }

    /// As `push`, but bars may wait until there are more of them.
    fn feed<'py>(
        &self,
        py: Python<'py>,
        frame: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.bars(py, frame, Grouped::feed)
    }

    /// The bars that wait.
    fn pending(&self, py: Python<'_>) -> PyResult<PyDataFrame> {
        self.locked(py, |state| state.take_pending(false)).map(PyDataFrame)
    }

    /// The bar id of every trade of a batch; null for one that is skipped.
    fn push_ids(&self, py: Python<'_>, frame: &Bound<'_, PyAny>, name: &str) -> PyResult<PySeries> {
        let (columns, by) = self.columns(frame)?;
        let work = |state: &mut Grouped| {
            state.push_ids(&columns, &by).map(|ids| bar_ids(name.into(), ids))
        };
        door(|| py.detach(|| self.waited(work))).map(PySeries)
    }

    /// The bars that remain at the end: those that wait, and incomplete ones if they are kept.
    fn finish(&self, py: Python<'_>) -> PyResult<PyDataFrame> {
        self.locked(py, |state| state.take_pending(true)).map(PyDataFrame)
    }

    /// The bars in progress, which stay in progress.
    fn open_bars(&self, py: Python<'_>) -> PyResult<PyDataFrame> {
        self.read(py, |state| state.frame(&state.unfinished())).map(PyDataFrame)
    }

    /// A frame of no bars, for its schema.
    fn empty(&self, py: Python<'_>) -> PyResult<PyDataFrame> {
        self.read(py, |state| state.frame(&[])).map(PyDataFrame)
    }

    /// Count the ids that are missing, for `report`.
    fn count_gaps(&self, py: Python<'_>) -> PyResult<()> {
        self.locked(py, |state| {
            state.count_gaps();
            Ok(())
        })
    }

    /// Rows, skipped rows, missing ids, gaps, and the first gap's row and ids, of the last push.
    #[allow(clippy::type_complexity, reason = "a plain tuple that Python names")]
    fn report(&self, py: Python<'_>) -> PyResult<(u64, u64, u64, u64, Option<(u64, i64, i64)>)> {
        let report = self.read(py, |state| Ok(*state.report()))?;
        Ok((report.rows, report.skipped, report.missing, report.gaps, report.first_gap))
    }

    /// The same state once more, to change apart from this one.
    fn copy(&self, py: Python<'_>) -> PyResult<Self> {
        let state = self.read(py, |state| Ok(state.copied()))?;
        Ok(Self { state: Mutex::new(state), names: self.names.clone(), by: self.by.clone() })
    }

    /// Takes on the state of another.
    fn take_over(&self, py: Python<'_>, other: &Self) -> PyResult<()> {
        // One lock after the other: two of one rank would have no order.
        let state = other.read(py, |state| Ok(state.copied()))?;
        self.locked(py, |own| {
            *own = state;
            Ok(())
        })
    }

    /// Time of the last trade, where there are no keys.
    fn last_time(&self, py: Python<'_>) -> PyResult<Option<i64>> {
        self.read(py, |state| Ok(state.last_time()))
    }

    /// The keys seen, in their order.
    fn keys(&self, py: Python<'_>) -> PyResult<Option<PyDataFrame>> {
        let keys = self.read(py, |state| Ok(state.key_rows().cloned()))?;
        Ok(keys.map(PyDataFrame))
    }

    /// The state; `options`, `schema` and `keys` are JSON that `resume` wants back.
    fn checkpoint(
        &self,
        py: Python<'_>,
        options: &str,
        schema: Option<&str>,
        keys: Option<&str>,
    ) -> PyResult<Checkpoint> {
        let state = self.read(py, |state| {
            let (schema, keys) = (schema.map(json).transpose()?, keys.map(json).transpose()?);
            Ok(state.checkpoint(json(options)?, schema, keys))
        })?;
        Ok(Checkpoint { state })
    }

    /// Takes on the state of a checkpoint.
    fn resume(
        &self,
        py: Python<'_>,
        checkpoint: &Checkpoint,
        keys: Option<PyDataFrame>,
    ) -> PyResult<()> {
        let columns = keys.map(|frame| frame.0.into_columns()).unwrap_or_default();
        let keys: Vec<Series> =
            columns.iter().map(|c| c.as_materialized_series().clone()).collect();
        self.locked(py, |state| state.resume(&checkpoint.state, &keys))
    }

    /// Last time of each key in the checkpoint that was resumed.
    fn resumed_at(&self, py: Python<'_>) -> PyResult<Vec<Option<i64>>> {
        self.read(py, |state| Ok(state.resumed_at().to_vec()))
    }

    /// Takes on what `resumed_at` was.
    fn set_resumed_at(&self, py: Python<'_>, times: Vec<Option<i64>>) -> PyResult<()> {
        self.locked(py, |state| {
            state.set_resumed_at(times);
            Ok(())
        })
    }

    /// The bars that one trade closes, if any.
    #[allow(clippy::too_many_arguments, reason = "one for each column a trade can have")]
    fn push_trade<'py>(
        &self,
        py: Python<'py>,
        key: u32,
        timestamp: Option<i64>,
        price: f64,
        quantity: Option<f64>,
        is_buyer_maker: Option<bool>,
        agg_trade_id: Option<i64>,
        first_trade_id: Option<i64>,
        last_trade_id: Option<i64>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let trade = OneTrade {
            timestamp,
            price,
            quantity,
            is_buyer_maker,
            agg_trade_id,
            first_trade_id,
            last_trade_id,
        };
        let (_, frame) = self.locked(py, |state| trade.push(state, KeyOfOne::Number(key)))?;
        frame.map(|frame| to_python_frame(py, frame)).transpose()
    }

    /// As `push_trade`, of the key in the only row of `frame`, which may be new; also its number.
    #[allow(clippy::too_many_arguments, reason = "one for each column a trade can have")]
    fn push_trade_of<'py>(
        &self,
        py: Python<'py>,
        frame: &Bound<'py, PyAny>,
        timestamp: Option<i64>,
        price: f64,
        quantity: Option<f64>,
        is_buyer_maker: Option<bool>,
        agg_trade_id: Option<i64>,
        first_trade_id: Option<i64>,
        last_trade_id: Option<i64>,
    ) -> PyResult<(u32, Option<Bound<'py, PyAny>>)> {
        let by = pick(frame, &self.by)?;
        let trade = OneTrade {
            timestamp,
            price,
            quantity,
            is_buyer_maker,
            agg_trade_id,
            first_trade_id,
            last_trade_id,
        };
        let (key, frame) = self.locked(py, |state| trade.push(state, KeyOfOne::Row(&by)))?;
        Ok((key, frame.map(|frame| to_python_frame(py, frame)).transpose()?))
    }

    /// The parts of the input that the wanted columns are made of.
    fn needs(&self, py: Python<'_>) -> PyResult<Vec<&'static str>> {
        self.read(py, |state| Ok(state.output().needs().into_iter().map(Field::name).collect()))
    }
}
