//! Arrow streams of other libraries, batch by batch, through the `PyCapsule` interface.

use polars::prelude::{DataFrame, Series, StructChunked};
use polars_arrow::array::new_empty_array;
use polars_arrow::ffi::{ArrowArrayStream, ArrowArrayStreamReader};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyCapsuleMethods};
use pyo3_polars::PyDataFrame;

use super::error::to_python;
use crate::columns::error::Error;

/// The name that the Arrow project gives such capsules.
const NAME: &std::ffi::CStr = c"arrow_array_stream";

/// Batches of a stream, as frames. Buffers are shared, not copied.
// Unsendable: what the producer put behind its pointers need not know of threads.
#[pyclass(module = "rangebar_polars._internal", unsendable)]
pub struct ArrowBatches {
    reader: ArrowArrayStreamReader<Box<ArrowArrayStream>>,
    /// Whether a batch has come. A stream of none says which columns there are all the same.
    any: bool,
}

#[pymethods]
impl ArrowBatches {
    /// `capsule` is what `__arrow_c_stream__()` returned.
    #[new]
    fn new(capsule: &Bound<'_, PyCapsule>) -> PyResult<Self> {
        if !capsule.is_valid_checked(Some(NAME)) {
            return Err(PyTypeError::new_err("not a capsule of an Arrow stream"));
        }
        let pointer = capsule.pointer_checked(Some(NAME))?.cast::<ArrowArrayStream>();
        // SAFETY: the capsule has the name of an Arrow stream, so it holds one; reading it out and
        // leaving an empty one behind is how the interface moves it, so it is freed only once.
        let stream = unsafe { std::ptr::replace(pointer.as_ptr(), ArrowArrayStream::empty()) };
        // SAFETY: the stream is owned here, and a producer keeps to the C stream interface.
        let reader = unsafe { ArrowArrayStreamReader::try_new(Box::new(stream)) };
        let reader = reader.map_err(|e| PyValueError::new_err(e.to_string()))?;
        Ok(Self { reader, any: false })
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&mut self) -> PyResult<Option<PyDataFrame>> {
        let mut next = || -> Result<Option<DataFrame>, Error> {
            // SAFETY: as above; the producer's arrays match the schema that it gave.
            let array = match unsafe { self.reader.next() } {
                Some(array) => array?,
                None if self.any => return Ok(None),
                None => new_empty_array(self.reader.field().dtype().clone()),
            };
            self.any = true;
            let field = self.reader.field();
            // SAFETY: the array has the dtype of the stream's field.
            let series = unsafe {
                Series::_try_from_arrow_unchecked_with_md(
                    "".into(),
                    vec![array],
                    field.dtype(),
                    field.metadata.as_deref(),
                )
            }?;
            let batch: &StructChunked = series.struct_().map_err(|_| {
                Error::Input("an Arrow stream of trades must have columns".to_owned())
            })?;
            Ok(Some(batch.clone().unnest()))
        };
        next().map(|frame| frame.map(PyDataFrame)).map_err(to_python)
    }
}
