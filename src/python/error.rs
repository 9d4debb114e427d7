//! Errors as the exceptions of `rangebar_polars.exceptions`.

use polars::prelude::PolarsError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::columns::error::Error;

static INVALID_TRADE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static CHECKPOINT: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static RANGE_BAR: PyOnceLock<Py<PyType>> = PyOnceLock::new();

const MODULE: &str = "rangebar_polars.exceptions";

/// The exception for an error.
pub fn to_python(error: Error) -> PyErr {
    Python::attach(|py| exception(py, error).unwrap_or_else(|failure| failure))
}

fn exception(py: Python<'_>, error: Error) -> PyResult<PyErr> {
    Ok(match error {
        Error::Trade { message, column, row, value } => {
            let class = INVALID_TRADE.import(py, MODULE, "InvalidTradeError")?;
            PyErr::from_value(class.call1((message, column, row, value))?)
        }
        Error::Options(error) => pyo3::exceptions::PyValueError::new_err(error.to_string()),
        Error::Missing(message) => pyo3::exceptions::PyTypeError::new_err(message),
        Error::Input(_) | Error::Bug(_) => {
            let class = RANGE_BAR.import(py, MODULE, "RangeBarError")?;
            PyErr::from_value(class.call1((error.to_string(),))?)
        }
        Error::Checkpoint(error) => {
            let class = CHECKPOINT.import(py, MODULE, "CheckpointError")?;
            PyErr::from_value(class.call1((error.to_string(),))?)
        }
        Error::Polars(error) => {
            // Polars' own class: pyo3-polars has others of the same names, which nobody can catch.
            let class = py.import("polars.exceptions")?.getattr(name_in_polars(&error))?;
            PyErr::from_value(class.call1((error.to_string(),))?)
        }
    })
}

/// The class that Polars has for an error, in `polars.exceptions`.
fn name_in_polars(error: &PolarsError) -> &'static str {
    match error {
        PolarsError::ColumnNotFound(_) => "ColumnNotFoundError",
        PolarsError::Duplicate(_) => "DuplicateError",
        PolarsError::InvalidOperation(_) => "InvalidOperationError",
        PolarsError::SchemaMismatch(_) => "SchemaError",
        PolarsError::ShapeMismatch(_) => "ShapeError",
        _ => "ComputeError",
    }
}
