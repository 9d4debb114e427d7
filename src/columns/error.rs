//! Errors on their way out, with the user's own column names and timestamps in them.

use polars::prelude::{AnyValue, DataType, PolarsError, polars_err};

use crate::core::checkpoint::CheckpointError;
use crate::core::error::{SettingsError, TradeError};

/// What a push can fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A bad trade, already put into words.
    #[error("{message}")]
    Trade { message: String, column: String, row: u64, value: String },
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A column of a type that holds no trades, and the like.
    #[error("{0}")]
    Input(String),
    #[error(transparent)]
    Polars(#[from] PolarsError),
}

impl Error {
    /// Puts a trade's error into the user's words.
    #[must_use]
    pub fn trade(error: &TradeError, column: &str, time_dtype: Option<&DataType>) -> Self {
        let time = |t: i64| match time_dtype {
            Some(DataType::Datetime(unit, zone)) => {
                AnyValue::Datetime(t, *unit, zone.as_ref()).to_string()
            }
            _ => t.to_string(),
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
