//! The streaming door: a class that is fed with batches of trades and gives frames of bars.

use std::sync::{Mutex, MutexGuard};

use polars::prelude::{NamedFromOwned as _, PlSmallStr, Series};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3_polars::{PyDataFrame, PySeries};

use super::error::to_python;
use super::options::Options;
use crate::columns::error::Error;
use crate::core::error::Field;
use crate::grouped::Grouped;

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

    /// The columns that are read, and no others: a frame may have many more.
    fn columns(&self, frame: &Bound<'_, PyAny>) -> PyResult<(Vec<Series>, Vec<Series>)> {
        let get_column = intern!(frame.py(), "get_column");
        let pick = |names: &[PlSmallStr]| {
            let series = |name: &PlSmallStr| {
                Ok(frame.call_method1(get_column, (name.as_str(),))?.extract::<PySeries>()?.0)
            };
            names.iter().map(series).collect::<PyResult<Vec<Series>>>()
        };
        Ok((pick(&self.names)?, pick(&self.by)?))
    }
}

#[pymethods]
impl BarStream {
    /// `sample` has the columns and dtypes of the trades to come; `names` are the columns that
    /// play the parts of `options["roles"]`.
    #[new]
    fn new(
        sample: PyDataFrame,
        names: Vec<String>,
        by: Option<Vec<String>>,
        options: Options,
        wanted: Option<Vec<String>>,
    ) -> PyResult<Self> {
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
        let names = names.into_iter().map(PlSmallStr::from).collect();
        let by = by.unwrap_or_default().into_iter().map(PlSmallStr::from).collect();
        Ok(Self { state: Mutex::new(state), names, by })
    }

    /// The bars that a batch closes.
    fn push(&self, py: Python<'_>, frame: &Bound<'_, PyAny>) -> PyResult<PyDataFrame> {
        let (columns, by) = self.columns(frame)?;
        py.detach(|| {
            let mut state = self.lock()?;
            let bars = state.push(&columns, &by)?;
            state.frame(&bars)
        })
        .map(PyDataFrame)
        .map_err(to_python)
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

    /// The bars that remain at the end: none, unless incomplete ones are kept.
    fn finish(&self) -> PyResult<PyDataFrame> {
        let finish = || {
            let state = self.lock()?;
            state.frame(&state.remaining())
        };
        finish().map(PyDataFrame).map_err(to_python)
    }

    /// A frame of no bars, for its schema.
    fn empty(&self) -> PyResult<PyDataFrame> {
        let empty = || self.lock()?.frame(&[]);
        empty().map(PyDataFrame).map_err(to_python)
    }

    /// The parts of the input that the wanted columns are made of.
    fn needs(&self) -> PyResult<Vec<&'static str>> {
        let needs =
            || Ok(self.lock()?.output().needs().into_iter().map(|role| role.name()).collect());
        needs().map_err(to_python)
    }
}
