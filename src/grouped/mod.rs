//! Many keys times many rules: a batch is parted by key once, and every key has a machine.

mod overlap;
mod partition;
mod pending;
mod pool;
mod push_one;
mod run;
mod sinks;

use polars::prelude::*;

use crate::columns::error::Error;
use crate::columns::input::Layout;
use crate::columns::keys::Keys;
use crate::columns::output::{Ended, Output};
use crate::columns::panics::{Place, caught, point};
use crate::core::checkpoint::{Checkpoint, CheckpointError};
use crate::core::machine::{BarOptions, Machine, Workspace};

pub use overlap::{Overlap, Report};
use pending::Pending;
pub use push_one::KeyOfOne;
use sinks::{GatherBars, GatherIds};

/// Machines by key, fed with frames.
pub struct Grouped {
    options: BarOptions,
    layout: Layout,
    keys: Option<Keys>,
    /// By key number; one where there are no keys.
    machines: Vec<Machine>,
    rows_seen: u64,
    keep_incomplete: bool,
    output: Output,
    pending: Pending,
    workspace: Workspace,
    overlap: Overlap,
    /// Whether ids that are missing are counted, which takes a closer look at each.
    with_gaps: bool,
    /// Last times of the checkpoint that was resumed, by key number.
    resumed_at: Vec<Option<i64>>,
    report: Report,
}

impl Grouped {
    /// No trade seen yet. `keys` are the `by` columns; `wanted` the output columns to make.
    ///
    /// # Errors
    /// If a key column is of a dtype that no key can have.
    pub fn new(
        options: BarOptions,
        overlap: Overlap,
        layout: Layout,
        keys: Option<Vec<(PlSmallStr, DataType)>>,
        keep_incomplete: bool,
        wanted: Option<&[String]>,
    ) -> Result<Self, Error> {
        let output = Output::new(&layout, &options.rules, wanted);
        let machines = if keys.is_none() { vec![Machine::new(&options)] } else { Vec::new() };
        Ok(Self {
            options,
            layout,
            keys: keys.map(Keys::new).transpose()?,
            machines,
            rows_seen: 0,
            keep_incomplete,
            output,
            pending: Pending::default(),
            workspace: Workspace::default(),
            overlap,
            with_gaps: false,
            resumed_at: Vec::new(),
            report: Report::default(),
        })
    }

    /// The same state once more, to change apart from this one.
    #[must_use]
    pub fn copied(&self) -> Self {
        Self {
            options: self.options.clone(),
            layout: self.layout.clone(),
            keys: self.keys.clone(),
            machines: self.machines.clone(),
            output: self.output.clone(),
            pending: self.pending.clone(),
            workspace: Workspace::default(),
            resumed_at: self.resumed_at.clone(),
            ..*self
        }
    }

    /// Count, from now on, the ids that are missing.
    pub fn count_gaps(&mut self) {
        self.with_gaps = true;
    }

    /// How the last batch followed the trades before it.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Time of the last trade, where there are no keys.
    #[must_use]
    pub fn last_time(&self) -> Option<i64> {
        let only = if self.keys.is_none() { self.machines.first() } else { None };
        only.and_then(|machine| machine.clock.last_time)
    }

    /// The keys seen, in their order.
    #[must_use]
    pub fn key_rows(&self) -> Option<&DataFrame> {
        self.keys.as_ref().map(Keys::rows)
    }

    /// The state as a checkpoint.
    #[must_use]
    pub fn checkpoint(
        &self,
        options: serde_json::Value,
        schema: Option<serde_json::Value>,
        keys: Option<serde_json::Value>,
    ) -> Checkpoint {
        Checkpoint::new(options, schema, keys, self.rows_seen, &self.machines)
    }

    /// Takes on the state of a checkpoint; `keys` are its keys.
    ///
    /// # Errors
    /// If it does not fit the options, or the keys do not fit it. Then nothing has changed.
    pub fn resume(&mut self, checkpoint: &Checkpoint, keys: &[Series]) -> Result<(), Error> {
        let machines = checkpoint.machines(&self.options, |field| self.layout.has(field))?;
        let mut known = self.keys.clone();
        // Numbered one by one in their order, or some of them are the same.
        let distinct = match &mut known {
            Some(known) => known.number(keys)?.into_iter().zip(0..).all(|(a, b)| a == b),
            None => keys.is_empty(),
        };
        let count = known.as_ref().map_or(1, Keys::count);
        if !distinct || machines.len() != count {
            let inconsistent = "it has other keys than states of keys, or the same key twice";
            return Err(CheckpointError::Inconsistent(inconsistent).into());
        }
        point(Place::State);
        self.resumed_at = machines.iter().map(|machine| machine.clock.last_time).collect();
        (self.keys, self.machines, self.rows_seen) = (known, machines, checkpoint.rows);
        Ok(())
    }

    /// Last times of the checkpoint that was resumed, by key number.
    #[must_use]
    pub fn resumed_at(&self) -> &[Option<i64>] {
        &self.resumed_at
    }

    /// Takes on what [`Self::resumed_at`] was.
    pub fn set_resumed_at(&mut self, times: Vec<Option<i64>>) {
        self.resumed_at = times;
    }

    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    #[must_use]
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// A frame of the bars that a batch closes (or cuts off, where those are kept), if any.
    ///
    /// # Errors
    /// The first bad trade; then nothing has changed.
    pub fn push(&mut self, columns: &[Series], by: &[Series]) -> Result<Option<DataFrame>, Error> {
        let (_, frame) = self.push_onto(Vec::new(), columns, by, |state, bars| {
            if bars.is_empty() { Ok(None) } else { state.frame(bars).map(Some) }
        });
        frame
    }

    /// A frame of the bars that a batch closes and of those that wait; or none, and they all
    /// wait.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn feed(&mut self, columns: &[Series], by: &[Series]) -> Result<Option<DataFrame>, Error> {
        let pending = self.pending.take();
        let (bars, frame) = self.push_onto(pending, columns, by, |state, bars| {
            if state.pending.enough(bars) { state.frame(bars).map(Some) } else { Ok(None) }
        });
        let given = matches!(frame, Ok(Some(_)));
        self.pending.put_back(bars, given);
        frame
    }

    /// A frame of all bars of a batch, also those that remain.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_whole(&mut self, columns: &[Series], by: &[Series]) -> Result<DataFrame, Error> {
        let (mut bars, pushed) = self.push_onto(Vec::new(), columns, by, |_, _| Ok(()));
        pushed?;
        bars.extend(self.remaining());
        self.frame(&bars)
    }

    /// A frame of the bars that wait, which then wait no more; with those that `remain`, if asked.
    ///
    /// # Errors
    /// If Polars cannot build it.
    pub fn take_pending(&mut self, remain: bool) -> Result<DataFrame, Error> {
        let mut bars = self.pending.take();
        let waiting = bars.len();
        if remain {
            bars.extend(self.remaining());
        }
        let frame = caught(|| self.frame(&bars));
        if frame.is_err() {
            bars.truncate(waiting);
            self.pending.put_back(bars, false);
        }
        frame
    }

    /// Adds the bars of a batch to those given, and what `make` makes of them; none if it fails.
    fn push_onto<T>(
        &mut self,
        ended: Vec<Ended>,
        columns: &[Series],
        by: &[Series],
        make: impl FnOnce(&Self, &[Ended]) -> Result<T, Error>,
    ) -> (Vec<Ended>, Result<T, Error>) {
        let before = ended.len();
        let several = self.keys.is_some() || self.options.rules.len() > 1;
        let mut gather = GatherBars { ended, keep_incomplete: self.keep_incomplete };
        let outcome = self.run(columns, by, &mut gather, |state, gather| {
            if several {
                gather.ended[before..].sort_unstable_by_key(Ended::order);
            }
            make(state, &gather.ended)
        });
        let mut bars = gather.ended;
        if outcome.is_err() {
            bars.truncate(before);
        }
        (bars, outcome)
    }

    /// The bar id of every row of a batch, by the first rule; none for a trade that is skipped.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_ids(
        &mut self,
        columns: &[Series],
        by: &[Series],
    ) -> Result<Vec<Option<u32>>, Error> {
        let mut ids = vec![None; columns.first().map_or(0, |s| s.len())];
        self.run(columns, by, &mut GatherIds(&mut ids), |_, _| Ok(()))?;
        Ok(ids)
    }

    /// The bars in progress, by opening trade and rule.
    #[must_use]
    pub fn unfinished(&self) -> Vec<Ended> {
        let mut bars = Vec::new();
        for (key, machine) in (0..).zip(&self.machines) {
            for (rule, progress) in (0..).zip(&machine.progress) {
                if let Some(bar) = progress.bar {
                    let id = u32::try_from(progress.bars_before).unwrap_or(u32::MAX);
                    bars.push(Ended { bar, row: bar.open_row, key, id, rule, complete: false });
                }
            }
        }
        bars.sort_unstable_by_key(Ended::order);
        bars
    }

    /// The bars that remain at the end of the stream, where those are kept.
    #[must_use]
    pub fn remaining(&self) -> Vec<Ended> {
        if self.keep_incomplete { self.unfinished() } else { Vec::new() }
    }

    /// Bars as a frame, key columns first.
    ///
    /// # Errors
    /// If Polars cannot build it.
    pub fn frame(&self, bars: &[Ended]) -> Result<DataFrame, Error> {
        point(Place::Frame);
        let mut columns = match &self.keys {
            Some(keys) => keys.columns(bars.iter().map(|ended| ended.key).collect())?,
            None => Vec::new(),
        };
        columns.extend(self.output.columns(bars)?);
        Ok(DataFrame::new(bars.len(), columns)?)
    }
}
