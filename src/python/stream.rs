//! The streaming door: a class that is fed with batches of trades and gives frames of bars.

use std::sync::{Mutex, MutexGuard};

use polars::prelude::{DataFrame, IntoSeries as _, NamedFromOwned as _, PlSmallStr, Series};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3_polars::{PyDataFrame, PySeries};

use super::error::to_python;
use super::options::Options;
use crate::columns::error::Error;
use crate::columns::input::Layout;
use crate::core::checkpoint::{Checkpoint, CheckpointError};
use crate::core::error::Field;
use crate::core::trades::{Bits, Numbers, Trades};
use crate::grouped::{Grouped, Overlap, Saved};

/// Range bars of one stream of trades.
#[pyclass(module = "rangebar_polars._internal", frozen)]
pub struct BarStream {
    state: Mutex<Grouped>,
    names: Vec<PlSmallStr>,
    by: Vec<PlSmallStr>,
}

impl BarStream {
    /// A panic while the lock was held may have left half a batch behind: refuse to go on.
    fn lock(&self) -> Result<MutexGuard<'_, Grouped>, Error> {
        self.state.lock().map_err(|_| {
            Error::Input("an earlier call failed in the middle; start again".to_owned())
        })
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
        py.detach(|| {
            let mut state = self.lock()?;
            take(&mut state, &columns, &by)
        })
        .map_err(to_python)?
        .map(|frame| to_python_frame(py, frame))
        .transpose()
    }
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
fn given<T>(layout: &Layout, role: Field, value: Option<T>) -> PyResult<Option<T>> {
    match (layout.has(role), value) {
        (false, _) => Ok(None),
        (true, Some(value)) => Ok(Some(value)),
        (true, None) => Err(PyTypeError::new_err(format!(
            "push_trade needs {}=, for the trades before had a column '{}'",
            role.name(),
            layout.name(role)
        ))),
    }
}

/// A state to go back to.
#[pyclass(module = "rangebar_polars._internal", frozen)]
pub struct SavedState(Saved);

/// Options, schema and keys of a checkpoint, once it is known to be sound.
#[pyfunction]
pub fn read_checkpoint(text: &str) -> PyResult<(String, Option<String>, Option<String>)> {
    let checkpoint = Checkpoint::from_text(text).map_err(|e| to_python(e.into()))?;
    Ok((checkpoint.options.to_string(), checkpoint.schema, checkpoint.keys))
}

#[pymethods]
impl BarStream {
    /// `sample` has the columns and dtypes of the trades to come; `names` are the columns that
    /// play the parts of `options["roles"]`.
    #[new]
    #[allow(clippy::needless_pass_by_value, reason = "pyo3 hands lists over by value")]
    fn new(
        sample: &Bound<'_, PyAny>,
        names: Vec<String>,
        by: Option<Vec<String>>,
        options: &Bound<'_, PyAny>,
        wanted: Option<Vec<String>>,
    ) -> PyResult<Self> {
        let sample: PyDataFrame = sample.extract()?;
        let options: Options = options.extract()?;
        let make = || {
            let fields = |names: &[String]| {
                names
                    .iter()
                    .map(|name| {
                        Ok((
                            PlSmallStr::from(name.as_str()),
                            sample.0.column(name)?.dtype().clone(),
                        ))
                    })
                    .collect::<Result<Vec<_>, Error>>()
            };
            let layout = options.layout(fields(&names)?)?;
            let keys = by.as_deref().map(fields).transpose()?;
            let keep = options.keep_incomplete;
            let settings = options.settings(layout.dtype(Field::Timestamp))?;
            Ok(Grouped::new(settings, layout, keys, keep, wanted.as_deref()))
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

    /// As `push`, but bars may be held back until there are more of them.
    fn feed<'py>(
        &self,
        py: Python<'py>,
        frame: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.bars(py, frame, Grouped::feed)
    }

    /// The bars that were held back.
    fn held(&self) -> PyResult<PyDataFrame> {
        let held = || {
            let mut state = self.lock()?;
            let bars = state.held();
            state.frame(&bars)
        };
        held().map(PyDataFrame).map_err(to_python)
    }

    /// The bar id of every trade of a batch.
    fn push_ids(&self, py: Python<'_>, frame: &Bound<'_, PyAny>, name: &str) -> PyResult<PySeries> {
        let (columns, by) = self.columns(frame)?;
        py.detach(|| {
            let ids = self.lock()?.push_ids(&columns, &by)?;
            Ok(Series::from_vec(name.into(), ids))
        })
        .map(PySeries)
        .map_err(to_python)
    }

    /// The bars that remain at the end: those held back, and incomplete ones if they are kept.
    fn finish(&self) -> PyResult<PyDataFrame> {
        let finish = || {
            let mut state = self.lock()?;
            let mut bars = state.held();
            bars.extend(state.remaining());
            state.frame(&bars)
        };
        finish().map(PyDataFrame).map_err(to_python)
    }

    /// The bars in progress, which stay in progress.
    fn open_bars(&self) -> PyResult<PyDataFrame> {
        let open = || {
            let state = self.lock()?;
            state.frame(&state.unfinished())
        };
        open().map(PyDataFrame).map_err(to_python)
    }

    /// Look at how batches follow each other; `overlap` is "error" or "skip".
    fn watch(&self, overlap: &str) -> PyResult<()> {
        let overlap = if overlap == "skip" { Overlap::Skip } else { Overlap::Error };
        self.lock().map_err(to_python)?.watch(overlap);
        Ok(())
    }

    /// Rows, skipped rows, missing ids, gaps, and the first gap's row and ids, of the last push.
    #[allow(clippy::type_complexity, reason = "a plain tuple that Python names")]
    fn report(&self) -> PyResult<(u64, u64, u64, u64, Option<(u64, i64, i64)>)> {
        let state = self.lock().map_err(to_python)?;
        let report = state.report();
        Ok((report.rows, report.skipped, report.missing, report.gaps, report.first_gap))
    }

    /// The state, to go back to.
    fn save(&self) -> PyResult<SavedState> {
        Ok(SavedState(self.lock().map_err(to_python)?.save()))
    }

    /// Goes back to a state.
    fn go_back(&self, saved: &SavedState) -> PyResult<()> {
        self.lock().map_err(to_python)?.go_back(&saved.0);
        Ok(())
    }

    /// Time of the last trade, where there are no keys.
    fn last_time(&self) -> PyResult<Option<i64>> {
        Ok(self.lock().map_err(to_python)?.last_time())
    }

    /// The keys seen, in their order.
    fn keys(&self) -> PyResult<Option<PyDataFrame>> {
        Ok(self.lock().map_err(to_python)?.key_rows().cloned().map(PyDataFrame))
    }

    /// The state as a text; `options` is JSON, `schema` and `keys` are what `resume` wants back.
    fn checkpoint(
        &self,
        options: &str,
        schema: Option<String>,
        keys: Option<String>,
    ) -> PyResult<String> {
        let make = || {
            let options = serde_json::from_str(options).map_err(CheckpointError::Unreadable)?;
            Ok(self.lock()?.checkpoint(options, schema, keys).to_text()?)
        };
        make().map_err(to_python)
    }

    /// Takes on the state of a checkpoint.
    fn resume(&self, text: &str, keys: Option<PyDataFrame>) -> PyResult<()> {
        let resume = || {
            let checkpoint = Checkpoint::from_text(text)?;
            let columns = keys.map(|frame| frame.0.into_columns()).unwrap_or_default();
            let keys: Vec<Series> =
                columns.iter().map(|c| c.as_materialized_series().clone()).collect();
            self.lock()?.resume(&checkpoint, &keys)
        };
        resume().map_err(to_python)
    }

    /// Number of the key in the only row of `frame`, and whether it is new.
    fn key_number(&self, frame: &Bound<'_, PyAny>) -> PyResult<(u32, bool)> {
        let by = pick(frame, &self.by)?;
        self.lock().and_then(|mut state| state.key_number(&by)).map_err(to_python)
    }

    /// Forgets the newest key.
    fn forget_key(&self) -> PyResult<()> {
        let mut state = self.lock().map_err(to_python)?;
        let count = state.key_count();
        state.forget_keys(count.saturating_sub(1));
        Ok(())
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
        let mut state = self.lock().map_err(to_python)?;
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
            offset: 0,
            len: 1,
        };
        let bars = state.push_one(key, &trades).map_err(to_python)?;
        if bars.is_empty() {
            return Ok(None);
        }
        let frame = state.frame(&bars).map_err(to_python)?;
        to_python_frame(py, frame).map(Some)
    }

    /// A frame of no bars, for its schema.
    fn empty(&self) -> PyResult<PyDataFrame> {
        let empty = || self.lock()?.frame(&[]);
        empty().map(PyDataFrame).map_err(to_python)
    }

    /// The parts of the input that the wanted columns are made of.
    fn needs(&self) -> PyResult<Vec<&'static str>> {
        let needs = || Ok(self.lock()?.output().needs().into_iter().map(Field::name).collect());
        needs().map_err(to_python)
    }
}
