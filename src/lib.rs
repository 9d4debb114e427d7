//! Range bars from trades, inside Polars' lazy plans.
//!
//! `core` is the range bar itself, in pure Rust. `columns` turns Polars columns into trades and
//! bars into a `DataFrame`; `grouped` runs many keys and thresholds at once; `python` is the only
//! place that knows Python. Three doors lead to the one machine: expressions, a streaming source
//! and a processor. `csv` stands apart: it reads the lines of an exchange's archive.

pub mod core;
pub mod csv;

#[cfg(feature = "python")]
pub mod columns;
#[cfg(feature = "python")]
pub mod grouped;
#[cfg(feature = "python")]
mod python;
