//! The state of all machines as a text, and back: exact, versioned, and proof against edits.
//!
//! ```text
//! {"format":"rangebar_polars checkpoint","version":2,"crc32":"0a1b2c3d","body":{...}}
//! ```
//!
//! The checksum is over the version, a colon and the body's text as it stands (in version 1 the body
//! alone). Integers that may need more than 64 bits
//! are written as strings, so that no reader loses digits. `docs/resuming.md` describes the
//! fields; what a version means never changes, and all of them are read.

use serde::{Deserialize, Serialize};

use super::bar::{Bar, Ids, Sums};
use super::error::Field;
use super::invariants;
use super::machine::{BarOptions, Clock, Machine, Progress};
use super::rule::Rule;

const FORMAT: &str = "rangebar_polars checkpoint";
/// The version written, and the newest that can be read.
pub const VERSION: u64 = 2;

/// Why a checkpoint cannot be resumed.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("not a rangebar_polars checkpoint, or cut short: {0}")]
    Unreadable(serde_json::Error),
    #[error("not a rangebar_polars checkpoint: its format is {0:?}")]
    Format(String),
    #[error(
        "the checkpoint has version {0}, and this rangebar_polars reads versions up to {VERSION}: upgrade rangebar_polars"
    )]
    Newer(u64),
    #[error(
        "the checkpoint has been changed since it was written: its checksum is {found}, but it says {written}"
    )]
    Changed { found: String, written: String },
    #[error("the checkpoint does not fit together: {0}")]
    Inconsistent(&'static str),
}

/// Everything that resuming a run needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The version it was read in.
    #[serde(skip)]
    pub version: u64,
    /// How the run was set up, as whoever set it up wants to find it again.
    pub options: serde_json::Value,
    /// Names and dtypes of the trades' columns, in a form of the caller's; none before the first batch.
    pub schema: Option<serde_json::Value>,
    /// The keys, in a form of the caller's, in the order of `machines`.
    pub keys: Option<serde_json::Value>,
    /// Rows of the stream so far.
    pub rows: u64,
    machines: Vec<MachineState>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MachineState {
    last_time: Option<i64>,
    period_end: Option<i64>,
    last_agg_trade_id: Option<i64>,
    /// In the order of rules.
    progress: Vec<ProgressState>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProgressState {
    bars_before: u64,
    bar: Option<BarState>,
}

/// A bar in progress. Its boundaries follow from its opening price.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BarState {
    open_row: u64,
    open_time: i64,
    close_time: i64,
    open: i64,
    high: i64,
    low: i64,
    close: i64,
    trade_count: u64,
    #[serde(with = "text")]
    volume: i128,
    #[serde(with = "text")]
    turnover: i128,
    #[serde(with = "text")]
    buy_volume: i128,
    #[serde(with = "text")]
    buy_turnover: i128,
    buy_trade_count: u64,
    individual_trade_count: u64,
    first_agg_trade_id: i64,
    last_agg_trade_id: i64,
    first_trade_id: i64,
    last_trade_id: i64,
}

/// Integers as decimal text.
mod text {
    use serde::{Deserialize, Deserializer, Serializer};

    // By reference, as serde calls it.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub fn serialize<S: Serializer>(n: &i128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(n)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i128, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What stands before the body.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u64,
    crc32: String,
}

impl Checkpoint {
    /// The state of `machines`.
    #[must_use]
    pub fn new(
        options: serde_json::Value,
        schema: Option<serde_json::Value>,
        keys: Option<serde_json::Value>,
        rows: u64,
        machines: &[Machine],
    ) -> Self {
        Self {
            version: VERSION,
            options,
            schema,
            keys,
            rows,
            machines: machines.iter().map(MachineState::of).collect(),
        }
    }

    /// The checkpoint as a text.
    ///
    /// # Errors
    /// Never, as far as is known: all of it is plain data.
    pub fn to_text(&self) -> Result<String, CheckpointError> {
        let body = serde_json::to_string(self).map_err(CheckpointError::Unreadable)?;
        let crc32 = checksum(VERSION, &body);
        Ok(format!(
            r#"{{"format":"{FORMAT}","version":{VERSION},"crc32":"{crc32}","body":{body}}}"#
        ))
    }

    /// Reads a text.
    ///
    /// # Errors
    /// If it is not one that [`Self::to_text`] wrote, to the letter.
    pub fn from_text(text: &str) -> Result<Self, CheckpointError> {
        // The body is taken as it stands, for the checksum is over its text.
        let parted = text.trim_end().strip_suffix('}').and_then(|t| t.split_once(r#","body":"#));
        let (head, body) = parted.unwrap_or((text, ""));
        let closed = if parted.is_some() { format!("{head}}}") } else { head.to_owned() };
        let head: Head = serde_json::from_str(&closed).map_err(CheckpointError::Unreadable)?;
        if head.format != FORMAT {
            return Err(CheckpointError::Format(head.format));
        }
        if head.version > VERSION {
            return Err(CheckpointError::Newer(head.version));
        }
        let found = checksum(head.version, body);
        if found != head.crc32 {
            return Err(CheckpointError::Changed { found, written: head.crc32 });
        }
        let read: Self = serde_json::from_str(body).map_err(CheckpointError::Unreadable)?;
        // Version 1 wrote the state of a key that had seen nothing, where there were no keys.
        let nothing =
            read.machines.iter().all(MachineState::is_new) && read.keys.is_none() && read.rows == 0;
        if head.version == 0 || (read.schema.is_none() && !nothing) {
            return Err(CheckpointError::Inconsistent("it has trades that have no columns"));
        }
        Ok(Self { version: head.version, ..read })
    }

    /// The machines as they were, to resume with `options` on trades that have the columns that
    /// `has` says.
    ///
    /// # Errors
    /// If they were made by other options, or no trades lead to such a state.
    pub fn machines(
        &self,
        options: &BarOptions,
        has: impl Fn(Field) -> bool,
    ) -> Result<Vec<Machine>, CheckpointError> {
        let restore = |state: &MachineState| {
            let machine = state.restore(&options.rules)?;
            invariants::check(&machine, self.rows, options, &has)
                .map_err(CheckpointError::Inconsistent)?;
            Ok(machine)
        };
        self.machines.iter().map(restore).collect()
    }
}

fn checksum(version: u64, body: &str) -> String {
    let mut hasher = crc32fast::Hasher::new();
    if version > 1 {
        hasher.update(format!("{version}:").as_bytes());
    }
    hasher.update(body.as_bytes());
    format!("{:08x}", hasher.finalize())
}

impl MachineState {
    fn of(machine: &Machine) -> Self {
        let Clock { last_time, period_end, last_agg_trade_id } = machine.clock;
        let progress = machine.progress.iter().map(|p| ProgressState {
            bars_before: p.bars_before,
            bar: p.bar.as_ref().map(BarState::of),
        });
        Self { last_time, period_end, last_agg_trade_id, progress: progress.collect() }
    }

    /// Whether no trade has been seen.
    fn is_new(&self) -> bool {
        let Self { last_time, period_end, last_agg_trade_id, progress } = self;
        last_time.or(*period_end).or(*last_agg_trade_id).is_none()
            && progress.iter().all(|p| p.bar.is_none() && p.bars_before == 0)
    }

    fn restore(&self, rules: &[Rule]) -> Result<Machine, CheckpointError> {
        if self.progress.len() != rules.len() {
            return Err(CheckpointError::Inconsistent("it has another number of rules"));
        }
        let clock = Clock {
            last_time: self.last_time,
            period_end: self.period_end,
            last_agg_trade_id: self.last_agg_trade_id,
        };
        let progress = self.progress.iter().zip(rules).map(|(progress, rule)| {
            let bar = progress.bar.as_ref().map(|bar| bar.restore(*rule)).transpose()?;
            Ok(Progress { bars_before: progress.bars_before, bar })
        });
        Ok(Machine { clock, progress: progress.collect::<Result<_, CheckpointError>>()? })
    }
}

impl BarState {
    fn of(bar: &Bar) -> Self {
        Self {
            open_row: bar.open_row,
            open_time: bar.open_time,
            close_time: bar.close_time,
            open: bar.open,
            high: bar.high,
            low: bar.low,
            close: bar.close,
            trade_count: bar.trade_count,
            volume: bar.sums.volume,
            turnover: bar.sums.turnover,
            buy_volume: bar.sums.buy_volume,
            buy_turnover: bar.sums.buy_turnover,
            buy_trade_count: bar.sums.buy_count,
            individual_trade_count: bar.sums.individual_count,
            first_agg_trade_id: bar.first.agg_trade,
            last_agg_trade_id: bar.last.agg_trade,
            first_trade_id: bar.first.trade,
            last_trade_id: bar.last.trade,
        }
    }

    fn restore(&self, rule: Rule) -> Result<Bar, CheckpointError> {
        if self.open <= 0 {
            return Err(CheckpointError::Inconsistent("a bar's prices are not above 0"));
        }
        let (upper, lower) = rule.boundaries(self.open);
        Ok(Bar {
            open_row: self.open_row,
            open_time: self.open_time,
            close_time: self.close_time,
            open: self.open,
            high: self.high,
            low: self.low,
            close: self.close,
            upper,
            lower,
            trade_count: self.trade_count,
            sums: Sums {
                volume: self.volume,
                turnover: self.turnover,
                buy_volume: self.buy_volume,
                buy_turnover: self.buy_turnover,
                buy_count: self.buy_trade_count,
                individual_count: self.individual_trade_count,
            },
            first: Ids { agg_trade: self.first_agg_trade_id, trade: self.first_trade_id },
            last: Ids { agg_trade: self.last_agg_trade_id, trade: self.last_trade_id },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::cuts::Cuts;
    use crate::core::rule::range::Threshold;

    fn options(count: i64) -> BarOptions {
        let thresholds = (1..=count).filter_map(|t| Threshold::new(t * 250).ok());
        BarOptions {
            rules: thresholds.map(Rule::Range).collect(),
            same_timestamp_close: false,
            cuts: Cuts::default(),
            first_time: None,
        }
    }

    fn machine() -> Machine {
        let (upper, lower) = (10_025_000_000, 9_975_000_000);
        let volume = 1 << 90;
        let sums = Sums {
            volume,
            turnover: volume * 10_000_000_000 + 1,
            buy_volume: volume - 1,
            buy_turnover: (volume - 1) * 10_000_000_000,
            buy_count: 1,
            individual_count: 3,
        };
        let bar = Bar {
            open_row: 4,
            open_time: -1,
            close_time: i64::MAX,
            open: 10_000_000_000,
            high: 10_000_000_001,
            low: 9_999_999_999,
            close: 10_000_000_001,
            upper,
            lower,
            trade_count: 2,
            sums,
            first: Ids { agg_trade: 6, trade: 8 },
            last: Ids { agg_trade: 7, trade: 10 },
        };
        let clock =
            Clock { last_time: Some(i64::MAX), period_end: None, last_agg_trade_id: Some(7) };
        Machine { clock, progress: vec![Progress { bar: Some(bar), bars_before: 3 }] }
    }

    fn text() -> String {
        let options = serde_json::json!({"rules": [{"range": 250}]});
        let schema = Some(serde_json::json!([["price", "Float64"]]));
        Checkpoint::new(options, schema, None, 6, &[machine()]).to_text().unwrap_or_default()
    }

    #[test]
    fn there_and_back() {
        let read = Checkpoint::from_text(&text()).and_then(|c| c.machines(&options(1), |_| true));
        assert_eq!(read.ok(), Some(vec![machine()]));
    }

    #[test]
    fn the_format() {
        insta::assert_snapshot!(text());
    }

    #[test]
    fn no_cut_or_changed_text_is_read() {
        let text = text();
        for end in 0..text.len() {
            assert!(Checkpoint::from_text(&text[..end]).is_err());
        }
        for i in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[i] = if bytes[i] == b'1' { b'2' } else { b'1' };
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(Checkpoint::from_text(&changed).is_err(), "{i}: {changed}");
            }
        }
    }

    #[test]
    fn other_options_and_newer_versions_are_refused() {
        let other = Checkpoint::from_text(&text()).and_then(|c| c.machines(&options(2), |_| true));
        assert!(matches!(other, Err(CheckpointError::Inconsistent(_))));
        let newer = text().replace(r#""version":2"#, r#""version":3"#);
        assert!(matches!(Checkpoint::from_text(&newer), Err(CheckpointError::Newer(3))));
    }
}
