//! The only place with pyo3: the module, its classes, and the expression plugins.

mod arrow;
mod checkpoint;
mod csv;
mod door;
mod error;
mod expressions;
mod options;
mod stream;

use pyo3::prelude::*;
use pyo3_polars::PolarsAllocator;

/// Polars' own allocator, so that buffers handed over are freed where they were made.
#[global_allocator]
static ALLOCATOR: PolarsAllocator = PolarsAllocator::new();

/// The compiled part of `rangebar_polars`.
#[pymodule]
fn _internal(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<stream::BarStream>()?;
    module.add_class::<arrow::ArrowBatches>()?;
    module.add_class::<checkpoint::Checkpoint>()?;
    module.add_function(wrap_pyfunction!(options::check_options, module)?)?;
    module.add_function(wrap_pyfunction!(options::check_rule, module)?)?;
    module.add_function(wrap_pyfunction!(options::bar_columns, module)?)?;
    module.add_function(wrap_pyfunction!(csv::parse_csv, module)?)?;
    module.add_function(wrap_pyfunction!(door::panic_next, module)?)?;
    Ok(())
}
