//! A checkpoint as an object: read and checked once, then handed around.

use pyo3::prelude::*;

use super::door::door;
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
        let state = door(|| Ok(State::from_text(text)?))?;
        Ok(Self { state })
    }

    /// The checkpoint of a run that has seen no trade.
    #[staticmethod]
    fn initial(options: &str) -> PyResult<Self> {
        door(|| Ok(Self { state: State::new(json(options)?, None, None, 0, &[]) }))
    }

    /// The text that `Checkpoint` reads.
    fn text(&self) -> PyResult<String> {
        door(|| Ok(self.state.to_text()?))
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

    /// Names and dtypes of the trades, in the caller's JSON; None before the first trade.
    #[getter]
    fn schema(&self) -> Option<String> {
        self.state.schema.as_ref().map(ToString::to_string)
    }

    /// The keys, in the caller's JSON.
    #[getter]
    fn keys(&self) -> Option<String> {
        self.state.keys.as_ref().map(ToString::to_string)
    }

    /// For plans that are pickled.
    fn __getnewargs__(&self) -> PyResult<(String,)> {
        Ok((self.text()?,))
    }
}
