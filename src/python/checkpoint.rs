//! A checkpoint as an object: read and checked once, then handed around.

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::error::to_python;
use crate::columns::error::Error;
use crate::core::checkpoint::{Checkpoint as State, CheckpointError};

/// The state of a run, and what it was made with.
#[pyclass(module = "rangebar_polars._internal", frozen)]
pub struct Checkpoint {
    pub state: State,
}

/// JSON that is our own, or was in a checkpoint.
pub fn json(text: &str) -> Result<serde_json::Value, Error> {
    Ok(serde_json::from_str(text).map_err(CheckpointError::Unreadable)?)
}

#[pymethods]
impl Checkpoint {
    /// Reads a text.
    #[new]
    fn new(text: &str) -> PyResult<Self> {
        let state = State::from_text(text).map_err(|error| to_python(error.into()))?;
        Ok(Self { state })
    }

    /// The checkpoint of a run that has seen no trade.
    #[staticmethod]
    fn initial(options: &str) -> PyResult<Self> {
        let options = json(options).map_err(to_python)?;
        Ok(Self { state: State::new(options, None, None, 0, &[]) })
    }

    /// The text that `Checkpoint` reads.
    fn text(&self) -> PyResult<String> {
        self.state.to_text().map_err(|error| to_python(error.into()))
    }

    /// The version that it was read in, or will be written in.
    #[getter]
    fn version(&self) -> u64 {
        self.state.version
    }

    /// The options, as JSON.
    #[getter]
    fn options(&self) -> String {
        self.state.options.to_string()
    }

    /// Names and dtypes of the trades, as the caller packed them; None before the first trade.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyString>> {
        self.state.schema.as_ref().map(|schema| PyString::new(py, schema))
    }

    /// The keys, as the caller packed them.
    #[getter]
    fn keys<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyString>> {
        self.state.keys.as_ref().map(|keys| PyString::new(py, keys))
    }

    /// For plans that are pickled.
    fn __getnewargs__(&self) -> PyResult<(String,)> {
        Ok((self.text()?,))
    }
}
