//! Options as Python hands them over, one JSON text for every door, and what the core makes of them.

use polars::prelude::{DataType, PlSmallStr};
use pyo3::prelude::*;
use serde::Deserialize;

use super::door::door;
use crate::columns::error::Error;
use crate::columns::input::{Layout, ROLES};
use crate::columns::output;
use crate::core::cuts::{Calendar, Cuts};
use crate::core::duration::Duration;
use crate::core::error::{Field as Role, OptionsError};
use crate::core::grid::Grid;
use crate::core::machine::BarOptions;
use crate::core::rule::Rule;
use crate::core::rule::range::Threshold;
use crate::core::time::TimeUnit;
use crate::grouped::Overlap;

/// How bars are made, apart from the columns they are made of. A field for each option of Python's
/// `BarOptions`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawOptions {
    rules: Vec<RawRule>,
    reset: Option<String>,
    reset_offset: Option<String>,
    max_gap: Option<String>,
    time_unit: Option<String>,
    incomplete: String,
    same_timestamp_close: bool,
    on_overlap: String,
    #[serde(default)]
    decimals: RawDecimals,
}

/// Decimal places of the grid.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDecimals {
    price: i64,
    quantity: i64,
}

impl Default for RawDecimals {
    fn default() -> Self {
        Self { price: 8, quantity: 8 }
    }
}

/// A rule under its name.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawRule {
    Range(serde_json::Number),
}

impl RawRule {
    fn rule(&self) -> Result<Rule, OptionsError> {
        match self {
            Self::Range(number) => {
                let refuse = || OptionsError::Threshold(number.to_string());
                Threshold::new(number.as_i64().ok_or_else(refuse)?).map(Rule::Range)
            }
        }
    }
}

impl RawOptions {
    /// Reads the text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|e| Error::Input(format!("options: {e}")))
    }

    /// The core's options, for trades of a layout.
    pub fn bar_options(&self, layout: &Layout) -> Result<BarOptions, Error> {
        let unit = |option| match layout.time_unit() {
            Some(unit) => Ok(unit),
            None if layout.has(Role::Timestamp) => Err(OptionsError::NoTimeUnit(option)),
            None => Err(OptionsError::NoTime(option)),
        };
        let calendar = |every: &String| {
            let (unit, zone) = (unit("reset")?, layout.time_zone());
            Calendar::new(every, self.reset_offset.as_deref(), unit, zone)
        };
        let gap = |text: &String| longest_gap(text, unit("max_gap")?);
        Ok(BarOptions {
            rules: self.rules()?,
            same_timestamp_close: self.same_timestamp_close,
            cuts: Cuts {
                calendar: self.reset.as_ref().map(calendar).transpose()?,
                max_gap: self.max_gap.as_ref().map(gap).transpose()?,
            },
            first_time: layout
                .time_unit()
                .filter(|_| layout.time_unit_is_claimed())
                .map(TimeUnit::likely),
        })
    }

    fn rules(&self) -> Result<Vec<Rule>, OptionsError> {
        let rules = self.rules.iter().map(RawRule::rule).collect::<Result<Vec<_>, _>>()?;
        if rules.is_empty() {
            return Err(OptionsError::NoRule);
        }
        for (i, rule) in rules.iter().enumerate() {
            if rules[..i].contains(rule) {
                return Err(OptionsError::RepeatedRule(rule.to_string()));
            }
        }
        Ok(rules)
    }

    pub fn keep_incomplete(&self) -> Result<bool, OptionsError> {
        match self.incomplete.as_str() {
            "drop" => Ok(false),
            "keep" => Ok(true),
            other => Err(OptionsError::Incomplete(other.to_owned())),
        }
    }

    fn grid(&self) -> Result<Grid, OptionsError> {
        Grid::new(self.decimals.price, self.decimals.quantity)
    }

    pub fn overlap(&self) -> Result<Overlap, OptionsError> {
        match self.on_overlap.as_str() {
            "error" => Ok(Overlap::Error),
            "skip" => Ok(Overlap::Skip),
            other => Err(OptionsError::Overlap(other.to_owned())),
        }
    }

    /// Everything that can be said without a look at the trades.
    fn check(&self) -> Result<(), OptionsError> {
        self.rules()?;
        self.keep_incomplete()?;
        self.overlap()?;
        self.grid()?;
        self.time_unit.as_deref().map(TimeUnit::parse).transpose()?;
        if self.reset.is_none() && self.reset_offset.is_some() {
            return Err(OptionsError::OffsetWithoutReset);
        }
        let any = TimeUnit::Nanosecond;
        if let Some(every) = &self.reset {
            Calendar::new(every, self.reset_offset.as_deref(), any, None)?;
        }
        self.max_gap.as_ref().map(|gap| longest_gap(gap, any)).transpose()?;
        Ok(())
    }

    /// The layout of columns with these names and dtypes, given in the order of `roles`.
    pub fn layout(
        &self,
        roles: &[String],
        columns: impl IntoIterator<Item = (PlSmallStr, DataType)>,
    ) -> Result<Layout, Error> {
        let unit = self.time_unit.as_deref().map(TimeUnit::parse).transpose()?;
        let roles = roles.iter().map(|role| role_of(role));
        let columns = roles.zip(columns).map(|(role, (name, dtype))| Ok((role?, name, dtype)));
        Layout::new(columns.collect::<Result<Vec<_>, Error>>()?, unit, self.grid()?)
    }
}

/// The longest silence within a bar, in units of time.
fn longest_gap(text: &str, unit: TimeUnit) -> Result<u64, OptionsError> {
    let duration = Duration::parse(text)?;
    if duration.months != 0 || duration.nanos <= 0 {
        return Err(OptionsError::MaxGap(text.to_owned()));
    }
    // Rounded down: more units apart than this is more time apart than was asked for.
    Ok((duration.nanos / unit.nanos()).unsigned_abs())
}

fn role_of(name: &str) -> Result<Role, Error> {
    ROLES
        .into_iter()
        .find(|role| role.name() == name)
        .ok_or_else(|| Error::Input(format!("trades have no column for '{name}'")))
}

/// Refuses options that make no sense whatever the trades.
#[pyfunction]
pub fn check_options(options: &str) -> PyResult<()> {
    door(|| RawOptions::parse(options)?.check().map_err(Error::from))
}

/// Refuses a rule that makes no sense.
#[pyfunction]
pub fn check_rule(rule: &str) -> PyResult<()> {
    door(|| {
        let raw: RawRule =
            serde_json::from_str(rule).map_err(|e| Error::Input(format!("rule: {e}")))?;
        raw.rule().map(|_| ()).map_err(Error::from)
    })
}

/// Names of all the columns a frame of bars can have, in order, keys apart.
#[pyfunction]
pub fn bar_columns() -> Vec<&'static str> {
    output::names()
}
