//! Many keys times many thresholds: a batch is parted by key once, and every key has a machine.

mod held;
mod partition;
mod pool;
mod screen;
mod single;
mod sinks;

use std::cell::Cell;

use polars::prelude::*;

use crate::columns::error::Error;
use crate::columns::input::{Batch, Layout};
use crate::columns::keys::Keys;
use crate::columns::output::{Ended, Output};
use crate::core::block::Rows;
use crate::core::checkpoint::Checkpoint;
use crate::core::error::TradeError;
use crate::core::machine::{Machine, Settings, Workspace};
use crate::core::trades::Trades;

use held::Held;
use partition::{Partition, Stretch};
pub use screen::{Overlap, Report};
use sinks::{Bars, Collect, Ids};

/// Fewer rows than this are not worth waking other threads for.
const PARALLEL_ROWS: usize = 16_384;

/// Rows that are worked on at once, where there are keys: their columns fit a core's own cache,
/// from which every key picks its rows. More where that would leave a key only a few.
const CACHED_ROWS: usize = 32_768;
const ROWS_OF_A_KEY: usize = 512;

/// Machines by key, fed with frames.
pub struct Grouped {
    settings: Settings,
    layout: Layout,
    keys: Option<Keys>,
    /// By key number; one where there are no keys.
    machines: Vec<Machine>,
    rows_seen: u64,
    keep_incomplete: bool,
    output: Output,
    held: Held,
    workspace: Workspace,
    /// What to do with trades that come again; without it nobody looks.
    overlap: Option<Overlap>,
    /// Last times of a checkpoint that was gone on from, by key number.
    resumed_at: Vec<Option<i64>>,
    report: Report,
}

/// All that trades change: what to go back to when a push fails halfway.
#[derive(Clone)]
pub struct Saved {
    keys: Option<Keys>,
    machines: Vec<Machine>,
    rows_seen: u64,
}

/// A key's machine and its rows, on the way through a thread.
struct Job<'a, C> {
    key: u32,
    machine: Machine,
    rows: Rows<'a>,
    len: usize,
    sink: C,
    result: Result<(), TradeError>,
}

impl Grouped {
    /// No trade seen yet. `keys` are the `by` columns; `wanted` the output columns to make.
    #[must_use]
    pub fn new(
        settings: Settings,
        layout: Layout,
        keys: Option<Vec<(PlSmallStr, DataType)>>,
        keep_incomplete: bool,
        wanted: Option<&[String]>,
    ) -> Self {
        let thresholds: Vec<u32> = settings.thresholds.iter().map(|t| t.decimal_bps()).collect();
        let output = Output::new(&layout, &thresholds, wanted);
        let machines = if keys.is_none() { vec![Machine::new(&settings)] } else { Vec::new() };
        Self {
            settings,
            layout,
            keys: keys.map(Keys::new),
            machines,
            rows_seen: 0,
            keep_incomplete,
            output,
            held: Held::default(),
            workspace: Workspace::default(),
            overlap: None,
            resumed_at: Vec::new(),
            report: Report::default(),
        }
    }

    /// Look, from now on, whether each batch goes on where the one before it ended.
    pub fn watch(&mut self, overlap: Overlap) {
        self.overlap = Some(overlap);
    }

    /// How the last batch followed the trades before it.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The state, to go back to.
    #[must_use]
    pub fn save(&self) -> Saved {
        Saved {
            keys: self.keys.clone(),
            machines: self.machines.clone(),
            rows_seen: self.rows_seen,
        }
    }

    /// Goes back to a state.
    pub fn go_back(&mut self, saved: &Saved) {
        let Saved { keys, machines, rows_seen } = saved.clone();
        (self.keys, self.machines, self.rows_seen) = (keys, machines, rows_seen);
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
        schema: Option<String>,
        keys: Option<String>,
    ) -> Checkpoint {
        Checkpoint::new(options, schema, keys, self.rows_seen, &self.machines)
    }

    /// Takes on the state of a checkpoint; `keys` are its keys.
    ///
    /// # Errors
    /// If it does not fit the settings, or the keys do not fit it.
    pub fn resume(&mut self, checkpoint: &Checkpoint, keys: &[Series]) -> Result<(), Error> {
        let machines = checkpoint.machines(&self.settings)?;
        let count = match &mut self.keys {
            Some(known) => {
                known.number(keys)?;
                known.count()
            }
            None => 1,
        };
        if machines.len() != count {
            let message =
                format!("the checkpoint has {count} keys and the state of {}", machines.len());
            return Err(Error::Input(message));
        }
        self.resumed_at = machines.iter().map(|machine| machine.clock.last_time).collect();
        self.machines = machines;
        self.rows_seen = checkpoint.rows;
        Ok(())
    }

    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    #[must_use]
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Names of the key columns.
    #[must_use]
    pub fn by(&self) -> &[PlSmallStr] {
        self.keys.as_ref().map_or(&[], Keys::names)
    }

    /// The bars that a batch closes (or cuts off, where those are kept).
    ///
    /// # Errors
    /// The first bad trade; then nothing has changed.
    pub fn push(&mut self, columns: &[Series], by: &[Series]) -> Result<Vec<Ended>, Error> {
        let (bars, pushed) = self.push_onto(Vec::new(), columns, by);
        pushed.map(|()| bars)
    }

    /// A frame of the bars that a batch closes and of those held back before; or none, and they are
    /// all held back.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn feed(&mut self, columns: &[Series], by: &[Series]) -> Result<Option<DataFrame>, Error> {
        let held = self.held.take();
        let (bars, pushed) = self.push_onto(held, columns, by);
        let frame = match pushed {
            Ok(()) if self.held.enough(&bars) => self.frame(&bars).map(Some),
            Ok(()) => Ok(None),
            Err(error) => Err(error),
        };
        let given = matches!(frame, Ok(Some(_)));
        self.held.put_back(bars, given);
        frame
    }

    /// The bars held back.
    pub fn held(&mut self) -> Vec<Ended> {
        self.held.take()
    }

    /// Adds the bars of a batch to those given; none if the batch is refused. They are written to
    /// where they stay, for a long run has millions of them.
    fn push_onto(
        &mut self,
        bars: Vec<Ended>,
        columns: &[Series],
        by: &[Series],
    ) -> (Vec<Ended>, Result<(), Error>) {
        let keep = self.keep_incomplete;
        let before = bars.len();
        let several = self.keys.is_some() || self.settings.thresholds.len() > 1;
        let bars = Cell::new(bars);
        // The first sink goes on where the bars end, and comes back first.
        let make = |key| Bars::onto(bars.take(), key, keep);
        let take = |_, mut done: Bars| {
            let mut all = bars.take();
            if all.is_empty() {
                all = done.ended;
            } else {
                all.append(&mut done.ended);
            }
            bars.set(all);
        };
        let pushed = self.run(columns, by, make, take);
        let mut bars = bars.into_inner();
        if pushed.is_err() {
            bars.truncate(before);
        } else if several {
            bars[before..].sort_unstable_by_key(Ended::order);
        }
        (bars, pushed)
    }

    /// The bar id of every row of a batch, by the first threshold.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_ids(&mut self, columns: &[Series], by: &[Series]) -> Result<Vec<u32>, Error> {
        let mut ids = vec![0; columns.first().map_or(0, |s| s.len())];
        self.run(columns, by, |_| Ids::default(), |start, done| done.write(&mut ids[start..]))?;
        Ok(ids)
    }

    /// The bars in progress, by opening trade and threshold.
    #[must_use]
    pub fn unfinished(&self) -> Vec<Ended> {
        let mut bars = Vec::new();
        for (key, machine) in (0..).zip(&self.machines) {
            for (threshold, progress) in (0..).zip(&machine.progress) {
                if let Some(bar) = progress.bar {
                    bars.push(Ended { bar, row: bar.open_row, key, threshold, complete: false });
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
        let mut columns = match &self.keys {
            Some(keys) => keys.columns(bars.iter().map(|ended| ended.key).collect())?,
            None => Vec::new(),
        };
        columns.extend(self.output.columns(bars)?);
        Ok(DataFrame::new(bars.len(), columns)?)
    }

    /// Runs a batch through the machines, all of it or nothing. Each sink that `make` makes for a key
    /// comes back to `take`, in the same order, also where the batch is refused.
    fn run<C: Collect>(
        &mut self,
        columns: &[Series],
        by: &[Series],
        make: impl Fn(u32) -> C,
        mut take: impl FnMut(usize, C),
    ) -> Result<(), Error> {
        let batch = Batch::new(&self.layout, columns)?;
        let keys_before = self.keys.as_ref().map_or(0, Keys::count);
        let numbers = match &mut self.keys {
            Some(keys) => Some(keys.number(by)?),
            None => None,
        };
        if let Some(keys) = &self.keys {
            self.machines.resize_with(keys.count(), || Machine::new(&self.settings));
        }
        self.report = Report::default();
        let mut undo = Vec::new();
        let offset = self.rows_seen;
        let most = match self.keys {
            Some(_) => CACHED_ROWS.max(self.machines.len().saturating_mul(ROWS_OF_A_KEY)),
            None => usize::MAX,
        };
        let fed = batch.stretches(offset, most, |start, trades| {
            let numbers = numbers.as_ref().map(|n| &n[start..start + trades.len]);
            let error = match numbers {
                None => self.feed_one(trades, &make, &mut undo, |done| take(start, done)),
                Some(numbers) => {
                    self.feed_keys(trades, numbers, &make, &mut undo, |done| take(start, done))
                }
            };
            error.map_err(|e| self.layout.error(&e))
        });
        let fed = fed.and_then(|()| match batch.null_error(offset) {
            Some(error) => Err(self.layout.error(&error)),
            None => Ok(()),
        });
        if let Err(error) = fed {
            // In reverse: a key that stands in several stretches was noted several times.
            for (key, machine) in undo.into_iter().rev() {
                self.machines[key as usize] = machine;
            }
            if let Some(keys) = &mut self.keys {
                keys.truncate(keys_before);
                self.machines.truncate(keys_before);
            }
            return Err(error);
        }
        self.rows_seen += batch.height() as u64;
        Ok(())
    }

    /// The rows of a key that are new, where some are not.
    fn screened(
        &mut self,
        trades: &Trades<'_>,
        key: u32,
        rows: Rows<'_>,
        len: usize,
    ) -> Result<Option<Vec<u32>>, TradeError> {
        let Some(overlap) = self.overlap else { return Ok(None) };
        let clock = self.machines[key as usize].clock;
        let resumed_at = self.resumed_at.get(key as usize).copied().flatten();
        let (report, kept) = screen::screen(trades, rows, len, clock, resumed_at, overlap)?;
        self.report.add(&report);
        Ok(kept)
    }

    fn feed_one<C: Collect>(
        &mut self,
        trades: &Trades<'_>,
        make: &impl Fn(u32) -> C,
        undo: &mut Vec<(u32, Machine)>,
        take: impl FnOnce(C),
    ) -> Result<(), TradeError> {
        undo.push((0, self.machines[0].clone()));
        let (mut rows, mut len) = (Rows::From(0), trades.len);
        let kept = self.screened(trades, 0, rows, len)?;
        if let Some(kept) = &kept {
            (rows, len) = (Rows::Picked(kept), kept.len());
        }
        let Self { settings, workspace, machines, .. } = self;
        let mut sink = make(0);
        let pushed = machines[0].push(trades, rows, len, settings, workspace, &mut sink);
        take(sink);
        pushed
    }

    fn feed_keys<C: Collect>(
        &mut self,
        trades: &Trades<'_>,
        numbers: &[u32],
        make: &impl Fn(u32) -> C,
        undo: &mut Vec<(u32, Machine)>,
        mut take: impl FnMut(C),
    ) -> Result<(), TradeError> {
        let partition = Partition::new(numbers, self.machines.len());
        let mut first: Option<TradeError> = None;
        let mut kept: Vec<Option<Vec<u32>>> = Vec::new();
        if self.overlap.is_some() {
            for Stretch { key, rows, len } in partition.stretches() {
                match self.screened(trades, key, rows, len) {
                    Ok(rows) => kept.push(rows),
                    Err(error) if first.is_none_or(|f| error.row < f.row) => first = Some(error),
                    Err(_) => {}
                }
            }
        }
        if let Some(error) = first {
            return Err(error);
        }
        let mut jobs: Vec<Job<'_, C>> = Vec::new();
        for (i, Stretch { key, mut rows, mut len }) in partition.stretches().enumerate() {
            if let Some(Some(kept)) = kept.get(i) {
                (rows, len) = (Rows::Picked(kept), kept.len());
            }
            let machine = std::mem::take(&mut self.machines[key as usize]);
            undo.push((key, machine.clone()));
            jobs.push(Job { key, machine, rows, len, sink: make(key), result: Ok(()) });
        }
        let settings = &self.settings;
        let run = |job: &mut Job<'_, C>, workspace: &mut Workspace| {
            let Job { machine, rows, len, sink, result, .. } = job;
            *result = machine.push(trades, *rows, *len, settings, workspace, sink);
        };
        if jobs.len() > 1 && trades.len >= PARALLEL_ROWS {
            pool::for_each(&mut jobs, &run);
        } else {
            for job in &mut jobs {
                run(job, &mut self.workspace);
            }
        }
        // The fault that stands first in the input is the one to report, whatever ran first.
        for job in jobs {
            self.machines[job.key as usize] = job.machine;
            take(job.sink);
            match job.result {
                Err(error) if first.is_none_or(|f| error.row < f.row) => first = Some(error),
                _ => {}
            }
        }
        first.map_or(Ok(()), Err)
    }
}
