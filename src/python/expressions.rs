//! The expression plugins. Polars hands each a whole column, or a whole group of one.
#![allow(clippy::needless_pass_by_value, reason = "the macro hands the options over by value")]

use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::options::Options;
use crate::columns::output::Output;
use crate::core::error::Field as Role;
use crate::grouped::Grouped;

fn name_and_dtype(series: &Series) -> (PlSmallStr, DataType) {
    (series.name().clone(), series.dtype().clone())
}

fn machines(inputs: &[Series], options: &Options) -> PolarsResult<Grouped> {
    let layout = options.layout(inputs.iter().map(name_and_dtype))?;
    let settings = options.settings(layout.dtype(Role::Timestamp))?;
    Ok(Grouped::new(settings, layout, None, options.keep_incomplete, None))
}

/// Literals come as one row; everything else must be as long as the rest, which is checked later.
fn broadcast(inputs: &[Series]) -> Vec<Series> {
    let len = inputs.iter().map(|s| s.len()).max().unwrap_or(0);
    inputs
        .iter()
        .map(|s| if s.len() == 1 && len > 1 { s.new_from_index(0, len) } else { s.clone() })
        .collect()
}

fn bar_id_type(fields: &[Field], kwargs: Options) -> PolarsResult<Field> {
    kwargs.layout(fields.iter().map(|f| (f.name().clone(), f.dtype().clone())))?;
    Ok(Field::new(PlSmallStr::from_static("bar_id"), DataType::UInt32))
}

/// The bar that each trade belongs to.
#[polars_expr(output_type_func_with_kwargs=bar_id_type)]
fn bar_id(inputs: &[Series], kwargs: Options) -> PolarsResult<Series> {
    let inputs = broadcast(inputs);
    let ids = machines(&inputs, &kwargs)?.push_ids(&inputs, &[])?;
    Ok(Series::new(PlSmallStr::from_static("bar_id"), ids))
}

fn bars_type(fields: &[Field], kwargs: Options) -> PolarsResult<Field> {
    let layout = kwargs.layout(fields.iter().map(|f| (f.name().clone(), f.dtype().clone())))?;
    let thresholds: Vec<u32> = kwargs
        .settings(layout.dtype(Role::Timestamp))?
        .thresholds
        .iter()
        .map(|t| t.decimal_bps())
        .collect();
    let output = Output::new(&layout, &thresholds, None);
    Ok(Field::new(PlSmallStr::from_static("bars"), DataType::Struct(output.fields())))
}

/// The bars of all trades, as a struct.
#[polars_expr(output_type_func_with_kwargs=bars_type)]
fn bars(inputs: &[Series], kwargs: Options) -> PolarsResult<Series> {
    let inputs = broadcast(inputs);
    let mut machines = machines(&inputs, &kwargs)?;
    let mut bars = machines.push(&inputs, &[])?;
    bars.extend(machines.remaining());
    let frame = machines.frame(&bars)?;
    Ok(frame.into_struct(PlSmallStr::from_static("bars")).into_series())
}
