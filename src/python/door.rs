//! What every function that Python calls goes through: errors become exceptions, panics errors.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::error::to_python;
use crate::columns::error::Error;
use crate::columns::panics::{self, Place, caught, point};

/// Calls `f`, which must leave nothing half changed where it panics.
pub fn door<T>(f: impl FnOnce() -> Result<T, Error>) -> PyResult<T> {
    caught(|| {
        point(Place::Door);
        f()
    })
    .map_err(to_python)
}

/// The next one who comes to the place of this name panics; None: nobody. For tests.
#[pyfunction(name = "_panic_next")]
pub fn panic_next(place: Option<&str>) -> PyResult<()> {
    let named = |name| {
        Place::named(name).ok_or_else(|| PyValueError::new_err(format!("no place {name:?}")))
    };
    panics::panic_next(place.map(named).transpose()?);
    Ok(())
}
