//! Arrow streams of other libraries, batch by batch, through the `PyCapsule` interface.

use polars::prelude::{DataFrame, Series, StructChunked};
use polars_arrow::array::new_empty_array;
use polars_arrow::ffi::{ArrowArrayStream, ArrowArrayStreamReader};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyCapsuleMethods};
use pyo3_polars::PyDataFrame;

use super::door::door;
use crate::columns::error::Error;

/// The name that the Arrow project gives such capsules.
const NAME: &std::ffi::CStr = c"arrow_array_stream";

/// A stream, read and released on whatever thread: Python drops what an error holds wherever it
/// happens to collect it.
struct Reader(ArrowArrayStreamReader<Box<ArrowArrayStream>>);

// SAFETY: the C stream interface asks consumers to serialize calls, and not to make them on one
// thread. Everything here takes `&mut`, so they are serialized.
unsafe impl Send for Reader {}
// SAFETY: as above; nothing can be done with a shared reference.
unsafe impl Sync for Reader {}

/// Batches of a stream, as frames. Buffers are shared, not copied.
#[pyclass(module = "rangebar_polars._internal")]
pub struct ArrowBatches {
    /// None at the end, or after a panic in the middle.
    reader: Option<Reader>,
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
        let reader = door(|| Ok(unsafe { ArrowArrayStreamReader::try_new(Box::new(stream)) }))?;
        let reader = reader.map_err(|e| PyValueError::new_err(e.to_string()))?;
        Ok(Self { reader: Some(Reader(reader)), any: false })
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&mut self) -> PyResult<Option<PyDataFrame>> {
        let Some(mut reader) = self.reader.take() else { return Ok(None) };
        let next = || -> Result<Option<DataFrame>, Error> {
            // SAFETY: as above; the producer's arrays match the schema that it gave.
            let array = match unsafe { reader.0.next() } {
                Some(array) => array?,
                None if self.any => return Ok(None),
                None => new_empty_array(reader.0.field().dtype().clone()),
            };
            self.any = true;
            let field = reader.0.field();
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
        let frame = door(next)?;
        if frame.is_some() {
            self.reader = Some(reader);
        }
        Ok(frame.map(PyDataFrame))
    }
}
