//! Options as Python hands them over, turned into the core's settings.

use polars::prelude::{DataType, PlSmallStr, TimeUnit};
use pyo3::prelude::*;
use serde::Deserialize;

use crate::columns::error::Error;
use crate::columns::input::{Layout, ROLES};
use crate::columns::output;
use crate::core::error::Field as Role;
use crate::core::error::SettingsError;
use crate::core::machine::Settings;
use crate::core::reset::{Boundaries, Calendar, Tick};
use crate::core::span::Span;
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
    pub reset: Option<String>,
    pub offset: Option<String>,
    pub max_gap: Option<String>,
    pub time_unit: Option<String>,
}

impl Options {
    /// The core's settings, for a time column of the given dtype.
    pub fn settings(&self, time: Option<&DataType>) -> Result<Settings, Error> {
        let thresholds =
            self.thresholds.iter().map(|&t| Threshold::new(t)).collect::<Result<Vec<_>, _>>()?;
        if thresholds.is_empty() {
            return Err(Error::Input("threshold_decimal_bps must not be empty".to_owned()));
        }
        Ok(Settings {
            thresholds,
            same_timestamp_close: self.same_timestamp_close,
            boundaries: self.boundaries(time)?,
        })
    }

    fn boundaries(&self, time: Option<&DataType>) -> Result<Boundaries, Error> {
        let mut boundaries = Boundaries::default();
        if let Some(every) = &self.reset {
            let (tick, zone) = self.tick("reset", time)?;
            boundaries.calendar = Some(Calendar::new(every, self.offset.as_deref(), tick, zone)?);
        }
        if let Some(text) = &self.max_gap {
            let (tick, _) = self.tick("max_gap", time)?;
            let refuse = || SettingsError::MaxGap(text.clone());
            let span = Span::parse(text)?;
            if span.months != 0 || span.nanos <= 0 {
                return Err(refuse().into());
            }
            // Rounded down: more ticks apart than this is more time apart than was asked for.
            boundaries.max_gap = Some((span.nanos / tick.nanos()).unsigned_abs());
        }
        Ok(boundaries)
    }

    /// What the time column counts, and in which zone its wall clocks are.
    fn tick<'a>(
        &self,
        option: &'static str,
        time: Option<&'a DataType>,
    ) -> Result<(Tick, Option<&'a str>), SettingsError> {
        let unit = match time {
            None => return Err(SettingsError::NoTime(option)),
            Some(DataType::Datetime(unit, zone)) => {
                let tick = match unit {
                    TimeUnit::Nanoseconds => Tick::Nanosecond,
                    TimeUnit::Microseconds => Tick::Microsecond,
                    TimeUnit::Milliseconds => Tick::Millisecond,
                };
                return Ok((tick, zone.as_ref().map(|zone| zone.as_str())));
            }
            Some(_) => self.time_unit.as_deref(),
        };
        match unit {
            None => Err(SettingsError::NoTimeUnit(option)),
            Some("ns") => Ok((Tick::Nanosecond, None)),
            Some("us") => Ok((Tick::Microsecond, None)),
            Some("ms") => Ok((Tick::Millisecond, None)),
            Some(other) => Err(SettingsError::TimeUnit(other.to_owned())),
        }
    }

    /// The layout of columns with these names and dtypes, given in the order of `roles`.
    pub fn layout(
        &self,
        columns: impl IntoIterator<Item = (PlSmallStr, DataType)>,
    ) -> Result<Layout, Error> {
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
