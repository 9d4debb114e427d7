//! Polars columns to trades, and bars to a `DataFrame`: the only files that know both sides.

pub mod error;
pub mod input;
pub mod keys;
pub mod output;
pub mod panics;
