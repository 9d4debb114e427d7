//! Blocks of CSV as frames.

use polars::prelude::{
    Column as Values, DataFrame, IntoColumn, NamedFrom, NamedFromOwned, Series, TimeUnit,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3_polars::PyDataFrame;

use super::door::door;
use crate::columns::error::Error;
use crate::csv::{Column, Kind, Reason, Times, parse};

/// A line that is not a trade: its number in the block from 0, the line, and why. No reason is given
/// for a time beyond the limits, which only the caller can put into words.
type Fault = (usize, Vec<u8>, Option<String>);

/// The trades of a block, or what is wrong with its first line that is none. `fields` are names and
/// kinds, `factor` the microseconds of a unit of time, `limits` the microseconds allowed, the last
/// exclusive.
#[pyfunction]
#[allow(clippy::needless_pass_by_value, reason = "pyo3 hands lists over by value")]
pub fn parse_csv(
    py: Python<'_>,
    text: &Bound<'_, PyBytes>,
    fields: Vec<(String, String)>,
    factor: i64,
    limits: (i64, i64),
) -> PyResult<(Option<PyDataFrame>, Option<Fault>)> {
    let kinds: Vec<Kind> = fields.iter().map(|(_, kind)| named(kind)).collect::<PyResult<_>>()?;
    let times = Times { factor, from: limits.0, to: limits.1 };
    let text = text.as_bytes();
    // Parsed and made a frame without the interpreter's lock: blocks are worked on side by side.
    let work = || match parse(text, &kinds, times) {
        Ok(columns) => {
            let frame = columns.into_iter().zip(&fields).zip(&kinds);
            let columns = frame.map(|((column, (name, _)), kind)| values(column, name, *kind));
            DataFrame::new_infer_height(columns.collect()).map(Ok).map_err(Error::from)
        }
        Err(fault) => {
            let reason = match fault.reason {
                Reason::Fields(found) => {
                    Some(format!("expected {} fields, got {found}", fields.len()))
                }
                Reason::Field(place) => {
                    Some(format!("{} is not {}", fields[place].0, kinds[place].name()))
                }
                Reason::Time => None,
            };
            Ok(Err((fault.line, fault.text.to_vec(), reason)))
        }
    };
    match door(|| py.detach(work))? {
        Ok(frame) => Ok((Some(PyDataFrame(frame)), None)),
        Err(fault) => Ok((None, Some(fault))),
    }
}

fn named(kind: &str) -> PyResult<Kind> {
    Ok(match kind {
        "integer" => Kind::Integer,
        "time" => Kind::Time,
        "number" => Kind::Number,
        "price" => Kind::Price,
        "quantity" => Kind::Quantity,
        "boolean" => Kind::Boolean,
        other => return Err(PyValueError::new_err(format!("no kind of field: {other:?}"))),
    })
}

fn values(column: Column, name: &str, kind: Kind) -> Values {
    let series = match column {
        Column::Integers(values) => Series::from_vec(name.into(), values),
        Column::Numbers(values) => Series::from_vec(name.into(), values),
        Column::Booleans(values) => Series::new(name.into(), values),
    };
    match kind {
        Kind::Time => series.into_datetime(TimeUnit::Microseconds, None).into_column(),
        _ => series.into_column(),
    }
}
