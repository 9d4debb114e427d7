//! Errors on their way out, with the user's own column names and timestamps in them.

use polars::prelude::{PolarsError, polars_err};

use super::input::Layout;
use crate::core::checkpoint::CheckpointError;
use crate::core::error::{OptionsError, TradeError};

/// What a push can fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A bad trade, already put into words.
    #[error("{message}")]
    Trade { message: String, column: String, row: u64, value: String },
    #[error(transparent)]
    Options(#[from] OptionsError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A value that a call must have.
    #[error("{0}")]
    Missing(String),
    /// A column of a type that holds no trades, and the like.
    #[error("{0}")]
    Input(String),
    #[error(transparent)]
    Polars(#[from] PolarsError),
    /// A panic of ours, by its message.
    #[error("this is a bug in rangebar_polars, please report it: {0}")]
    Bug(String),
}

impl Error {
    /// Puts a trade's error into the user's words.
    #[must_use]
    pub fn trade(error: &TradeError, column: &str, layout: &Layout) -> Self {
        let time = |t: i64| match layout.time_unit() {
            // As it stands in the column, and what the unit makes of it.
            Some(unit) if layout.time_unit_is_claimed() => {
                format!("{t} ({} with time_unit='{}')", unit.format(t, None), unit.name())
            }
            Some(unit) => unit.format(t, layout.time_zone()),
            None => t.to_string(),
        };
        let value = match error.value {
            crate::core::error::Value::Time(t) => time(t),
            other => other.to_string(),
        };
        Self::Trade {
            message: error.message(column, time),
            column: column.to_owned(),
            row: error.row,
            value,
        }
    }
}

impl From<Error> for PolarsError {
    fn from(error: Error) -> Self {
        match error {
            Error::Polars(error) => error,
            other => polars_err!(ComputeError: "{other}"),
        }
    }
}
