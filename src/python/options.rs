//! Options as Python hands them over, turned into the core's settings.

use polars::prelude::{DataType, PlSmallStr};
use pyo3::prelude::*;
use serde::Deserialize;

use crate::columns::error::Error;
use crate::columns::input::{Layout, ROLES};
use crate::columns::output;
use crate::core::error::Field as Role;
use crate::core::machine::Settings;
use crate::core::reset::Boundaries;
use crate::core::threshold::Threshold;

/// What a bar is made by, as the keyword arguments of an expression or a class.
#[derive(Debug, Clone, Deserialize, FromPyObject)]
#[pyo3(from_item_all)]
pub struct Options {
    pub thresholds: Vec<i64>,
    pub same_timestamp_close: bool,
    pub keep_incomplete: bool,
    /// The part played by each input column, in order.
    pub roles: Vec<String>,
}

impl Options {
    /// The core's settings.
    pub fn settings(&self) -> Result<Settings, Error> {
        let thresholds = self.thresholds.iter().map(|&t| Threshold::new(t)).collect::<Result<Vec<_>, _>>()?;
        if thresholds.is_empty() {
            return Err(Error::Input("threshold_decimal_bps must not be empty".to_owned()));
        }
        Ok(Settings {
            thresholds,
            same_timestamp_close: self.same_timestamp_close,
            boundaries: Boundaries::default(),
        })
    }

    /// The layout of columns with these names and dtypes, given in the order of `roles`.
    pub fn layout(&self, columns: impl IntoIterator<Item = (PlSmallStr, DataType)>) -> Result<Layout, Error> {
        let roles = self.roles.iter().map(|role| role_of(role));
        let columns = roles.zip(columns).map(|(role, (name, dtype))| Ok((role?, name, dtype)));
        Layout::new(columns.collect::<Result<Vec<_>, Error>>()?)
    }
}

fn role_of(name: &str) -> Result<Role, Error> {
    ROLES
        .into_iter()
        .find(|role| role.name() == name)
        .ok_or_else(|| Error::Input(format!("no input column plays the part of '{name}'")))
}

/// Names of all the columns a frame of bars can have, in order, keys apart.
#[pyfunction]
pub fn bar_columns() -> Vec<&'static str> {
    output::names()
}
