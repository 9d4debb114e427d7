//! The streaming door: a class that is fed with batches of trades and gives frames of bars.

use std::sync::{Mutex, TryLockError};

use polars::prelude::{DataFrame, IntoSeries as _, PlSmallStr, Series};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3_polars::{PyDataFrame, PySeries};

use super::checkpoint::{Checkpoint, json};
use super::error::to_python;
use super::expressions::bar_ids;
use super::options::RawOptions;
use crate::columns::error::Error;
use crate::columns::input::Layout;
use crate::core::error::Field;
use crate::core::trades::{Bits, Numbers, Trades};
use crate::grouped::{Grouped, Saved};

/// Range bars of one stream of trades.
#[pyclass(module = "rangebar_polars._internal", frozen)]
pub struct BarStream {
    state: Mutex<Grouped>,
    names: Vec<PlSmallStr>,
    by: Vec<PlSmallStr>,
}

impl BarStream {
    /// Calls `f` with the state. The one place that takes the lock, and nothing of Python happens
    /// while it is held: waiting for it lets go of the interpreter, and `f` knows no Python.
    fn locked<T: Send>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&mut Grouped) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        let done = match self.state.try_lock() {
            Ok(mut state) => f(&mut state),
            Err(TryLockError::Poisoned(_)) => Err(broken()),
            Err(TryLockError::WouldBlock) => py.detach(|| match self.state.lock() {
                Ok(mut state) => f(&mut state),
                Err(_) => Err(broken()),
            }),
        };
        done.map_err(to_python)
    }

    /// A frame that `make` makes of the state.
    fn frame(
        &self,
        py: Python<'_>,
        make: impl FnOnce(&mut Grouped) -> Result<DataFrame, Error> + Send,
    ) -> PyResult<PyDataFrame> {
        self.locked(py, make).map(PyDataFrame)
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
        let frame = py.detach(|| match self.state.lock() {
            Ok(mut state) => take(&mut state, &columns, &by),
            Err(_) => Err(broken()),
        });
        frame.map_err(to_python)?.map(|frame| to_python_frame(py, frame)).transpose()
    }
}

/// A panic while the lock was held may have left half a batch behind: refuse to go on.
fn broken() -> Error {
    Error::Input("an earlier call failed in the middle; start again".to_owned())
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
        Ok(column.extract::<PySeries>()?.0)
    };
    names.iter().map(series).collect()
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

/// A state to go back to.
#[pyclass(module = "rangebar_polars._internal", frozen)]
pub struct SavedState(Saved);

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
            Ok(Grouped::new(bar_options, overlap, layout, keys, keep, wanted.as_deref()))
        };
        let state: Grouped = make().map_err(to_python)?;
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
        self.bars(py, frame, |state, columns, by| {
            let bars = state.push(columns, by)?;
            if bars.is_empty() { Ok(None) } else { state.frame(&bars).map(Some) }
        })
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
        self.frame(py, |state| {
            let bars = state.pending();
            state.frame(&bars)
        })
    }

    /// The bar id of every trade of a batch; null for one that is skipped.
    fn push_ids(&self, py: Python<'_>, frame: &Bound<'_, PyAny>, name: &str) -> PyResult<PySeries> {
        let (columns, by) = self.columns(frame)?;
        let ids = py.detach(|| match self.state.lock() {
            Ok(mut state) => state.push_ids(&columns, &by),
            Err(_) => Err(broken()),
        });
        Ok(PySeries(bar_ids(name.into(), ids.map_err(to_python)?)))
    }

    /// The bars that remain at the end: those that wait, and incomplete ones if they are kept.
    fn finish(&self, py: Python<'_>) -> PyResult<PyDataFrame> {
        self.frame(py, |state| {
            let mut bars = state.pending();
            bars.extend(state.remaining());
            state.frame(&bars)
        })
    }

    /// The bars in progress, which stay in progress.
    fn open_bars(&self, py: Python<'_>) -> PyResult<PyDataFrame> {
        self.frame(py, |state| state.frame(&state.unfinished()))
    }

    /// A frame of no bars, for its schema.
    fn empty(&self, py: Python<'_>) -> PyResult<PyDataFrame> {
        self.frame(py, |state| state.frame(&[]))
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
        let report = self.locked(py, |state| Ok(*state.report()))?;
        Ok((report.rows, report.skipped, report.missing, report.gaps, report.first_gap))
    }

    /// The state, to go back to.
    fn save(&self, py: Python<'_>) -> PyResult<SavedState> {
        self.locked(py, |state| Ok(SavedState(state.save())))
    }

    /// Goes back to a state.
    fn go_back(&self, py: Python<'_>, saved: &SavedState) -> PyResult<()> {
        self.locked(py, |state| {
            state.go_back(&saved.0);
            Ok(())
        })
    }

    /// Time of the last trade, where there are no keys.
    fn last_time(&self, py: Python<'_>) -> PyResult<Option<i64>> {
        self.locked(py, |state| Ok(state.last_time()))
    }

    /// The keys seen, in their order.
    fn keys(&self, py: Python<'_>) -> PyResult<Option<PyDataFrame>> {
        let keys = self.locked(py, |state| Ok(state.key_rows().cloned()))?;
        Ok(keys.map(PyDataFrame))
    }

    /// The state; `options` is JSON, `schema` and `keys` are what `resume` wants back.
    fn checkpoint(
        &self,
        py: Python<'_>,
        options: &str,
        schema: Option<String>,
        keys: Option<String>,
    ) -> PyResult<Checkpoint> {
        let options = json(options).map_err(to_python)?;
        let state = self.locked(py, |state| Ok(state.checkpoint(options, schema, keys)))?;
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

    /// Number of the key in the only row of `frame`, and whether it is new.
    fn key_number(&self, py: Python<'_>, frame: &Bound<'_, PyAny>) -> PyResult<(u32, bool)> {
        let by = pick(frame, &self.by)?;
        self.locked(py, |state| state.key_number(&by))
    }

    /// Forgets the newest key.
    fn forget_key(&self, py: Python<'_>) -> PyResult<()> {
        self.locked(py, |state| {
            let count = state.key_count();
            state.forget_keys(count.saturating_sub(1));
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
        let frame = self.locked(py, |state| {
            let layout = state.layout();
            let time = given(layout, Field::Timestamp, timestamp)?;
            let quantity = given(layout, Field::Quantity, quantity)?;
            let side = given(layout, Field::IsBuyerMaker, is_buyer_maker.map(u8::from))?;
            let agg = given(layout, Field::AggTradeId, agg_trade_id)?;
            let first = given(layout, Field::FirstTradeId, first_trade_id)?;
            let last = given(layout, Field::LastTradeId, last_trade_id)?;
            let trades = Trades {
                price: Numbers::Float(std::slice::from_ref(&price)),
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
            let bars = state.push_one(key, &trades)?;
            if bars.is_empty() { Ok(None) } else { state.frame(&bars).map(Some) }
        })?;
        frame.map(|frame| to_python_frame(py, frame)).transpose()
    }

    /// The parts of the input that the wanted columns are made of.
    fn needs(&self, py: Python<'_>) -> PyResult<Vec<&'static str>> {
        self.locked(py, |state| Ok(state.output().needs().into_iter().map(Field::name).collect()))
    }
}
