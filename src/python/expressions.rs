//! The expression plugins. Polars hands each a whole column, or a whole group of one.
#![allow(clippy::needless_pass_by_value, reason = "the macro hands the options over by value")]

use polars::prelude::*;
use pyo3_polars::derive::polars_expr;
use serde::Deserialize;

use super::options::RawOptions;
use crate::columns::error::Error;
use crate::columns::output::Output;
use crate::columns::panics::{Place, caught, point};
use crate::grouped::Grouped;

/// The keyword arguments of an expression.
#[derive(Deserialize)]
struct Keywords {
    /// As JSON.
    options: String,
    /// The part played by each input, in order.
    roles: Vec<String>,
    /// The name of each input, in order: Polars does not tell them within a group.
    names: Vec<String>,
}

impl Keywords {
    fn columns(
        &self,
        dtypes: impl Iterator<Item = DataType>,
    ) -> impl Iterator<Item = (PlSmallStr, DataType)> {
        self.names.iter().map(|name| PlSmallStr::from(name.as_str())).zip(dtypes)
    }
}

fn machines(inputs: &[Series], keywords: &Keywords) -> Result<Grouped, Error> {
    let options = RawOptions::parse(&keywords.options)?;
    let columns = keywords.columns(inputs.iter().map(|s| s.dtype().clone()));
    let layout = options.layout(&keywords.roles, columns)?;
    let bar_options = options.bar_options(&layout)?;
    let (overlap, keep) = (options.overlap()?, options.keep_incomplete()?);
    Grouped::new(bar_options, overlap, layout, None, keep, None)
}

/// Calls `f`, whose errors become Polars' own. An expression cannot know whether it sees a column or
/// a group of one, so it says what it counts the rows of.
fn evaluated<T>(f: impl FnOnce() -> Result<T, Error>) -> PolarsResult<T> {
    let done = caught(|| {
        point(Place::Door);
        f()
    });
    done.map_err(|error| match error {
        Error::Trade { message, .. } => polars_err!(
            ComputeError: "{message} (row 0 is the first row of the column, or of the group within over, group_by or rolling)"
        ),
        other => other.into(),
    })
}

/// Literals come as one row; everything else must be as long as the rest, which is checked later.
fn broadcast(inputs: &[Series]) -> Vec<Series> {
    let len = inputs.iter().map(|s| s.len()).find(|&len| len != 1).unwrap_or(1);
    inputs
        .iter()
        .map(|s| if s.len() == 1 && len != 1 { s.new_from_index(0, len) } else { s.clone() })
        .collect()
}

fn bar_id_type(fields: &[Field], kwargs: Keywords) -> PolarsResult<Field> {
    evaluated(|| {
        let columns = kwargs.columns(fields.iter().map(|field| field.dtype().clone()));
        RawOptions::parse(&kwargs.options)?.layout(&kwargs.roles, columns)?;
        Ok(Field::new(PlSmallStr::from_static("bar_id"), DataType::UInt32))
    })
}

/// The bar that each trade belongs to.
#[polars_expr(output_type_func_with_kwargs=bar_id_type)]
fn bar_id(inputs: &[Series], kwargs: Keywords) -> PolarsResult<Series> {
    evaluated(|| {
        let inputs = broadcast(inputs);
        let ids = machines(&inputs, &kwargs)?.push_ids(&inputs, &[])?;
        Ok(bar_ids(PlSmallStr::from_static("bar_id"), ids))
    })
}

/// Ids as a column; as a plain one wherever no trade was skipped, which is much quicker.
pub fn bar_ids(name: PlSmallStr, ids: Vec<Option<u32>>) -> Series {
    if ids.iter().all(Option::is_some) {
        let ids: Vec<u32> = ids.into_iter().map(Option::unwrap_or_default).collect();
        return Series::from_vec(name, ids);
    }
    UInt32Chunked::from_iter_options(name, ids.into_iter()).into_series()
}

fn bars_type(fields: &[Field], kwargs: Keywords) -> PolarsResult<Field> {
    evaluated(|| {
        let columns = kwargs.columns(fields.iter().map(|field| field.dtype().clone()));
        let options = RawOptions::parse(&kwargs.options)?;
        let layout = options.layout(&kwargs.roles, columns)?;
        let output = Output::new(&layout, &options.bar_options(&layout)?.rules, None);
        Ok(Field::new(PlSmallStr::from_static("bars"), DataType::Struct(output.fields())))
    })
}

/// The bars of all trades, as a struct.
#[polars_expr(output_type_func_with_kwargs=bars_type)]
fn bars(inputs: &[Series], kwargs: Keywords) -> PolarsResult<Series> {
    evaluated(|| {
        let inputs = broadcast(inputs);
        let frame = machines(&inputs, &kwargs)?.push_whole(&inputs, &[])?;
        Ok(frame.into_struct(PlSmallStr::from_static("bars")).into_series())
    })
}
