//! Many keys times many rules: a batch is parted by key once, and every key has a machine.

mod overlap;
mod partition;
mod pending;
mod pool;
mod push_one;
mod sinks;

use polars::prelude::*;

use crate::columns::error::Error;
use crate::columns::input::{Batch, Layout};
use crate::columns::keys::Keys;
use crate::columns::output::{Ended, Output};
use crate::core::block::Rows;
use crate::core::checkpoint::Checkpoint;
use crate::core::error::TradeError;
use crate::core::machine::{BarOptions, Machine, Workspace};
use crate::core::trades::Trades;

pub use overlap::{Overlap, Report};
use partition::{KeyRows, Partition};
use pending::Pending;
use sinks::{Gather, GatherBars, GatherIds};

/// Fewer rows than this are not worth waking other threads for.
const PARALLEL_ROWS: usize = 16_384;

/// Rows that are worked on at once, where there are keys: their columns fit a core's own cache,
/// from which every key picks its rows. More where that would leave a key only a few.
const CACHED_ROWS: usize = 32_768;
const ROWS_OF_A_KEY: usize = 512;

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

/// All that trades change: what to go back to when a push fails halfway.
#[derive(Clone)]
pub struct Saved {
    keys: Option<Keys>,
    machines: Vec<Machine>,
    rows_seen: u64,
}

/// Whose the rows of a batch are.
enum KeysOfRows {
    /// All of one key; without keys, the only one.
    One(u32),
    Each(Vec<u32>),
}

/// What there is to push of a key's rows in a batch.
struct New {
    /// The rows that are new, where some are not.
    kept: Option<Vec<u32>>,
    /// How many to push: no more than stand before a trade that is refused.
    len: usize,
    /// A trade that was there before, where that is an error.
    repeated: Option<TradeError>,
}

/// A key's machine and its rows, on the way through a thread.
struct Job<'a, C> {
    key: u32,
    machine: Machine,
    rows: Rows<'a>,
    len: usize,
    sink: C,
    result: Result<(), TradeError>,
    repeated: Option<TradeError>,
}

impl Grouped {
    /// No trade seen yet. `keys` are the `by` columns; `wanted` the output columns to make.
    #[must_use]
    pub fn new(
        options: BarOptions,
        overlap: Overlap,
        layout: Layout,
        keys: Option<Vec<(PlSmallStr, DataType)>>,
        keep_incomplete: bool,
        wanted: Option<&[String]>,
    ) -> Self {
        let output = Output::new(&layout, &options.rules, wanted);
        let machines = if keys.is_none() { vec![Machine::new(&options)] } else { Vec::new() };
        Self {
            options,
            layout,
            keys: keys.map(Keys::new),
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
    /// If it does not fit the options, or the keys do not fit it.
    pub fn resume(&mut self, checkpoint: &Checkpoint, keys: &[Series]) -> Result<(), Error> {
        let machines = checkpoint.machines(&self.options)?;
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

    /// The bars that a batch closes (or cuts off, where those are kept).
    ///
    /// # Errors
    /// The first bad trade; then nothing has changed.
    pub fn push(&mut self, columns: &[Series], by: &[Series]) -> Result<Vec<Ended>, Error> {
        let (bars, pushed) = self.push_onto(Vec::new(), columns, by);
        pushed.map(|()| bars)
    }

    /// A frame of the bars that a batch closes and of those that wait; or none, and they all
    /// wait.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn feed(&mut self, columns: &[Series], by: &[Series]) -> Result<Option<DataFrame>, Error> {
        let pending = self.pending.take();
        let (bars, pushed) = self.push_onto(pending, columns, by);
        let frame = match pushed {
            Ok(()) if self.pending.enough(&bars) => self.frame(&bars).map(Some),
            Ok(()) => Ok(None),
            Err(error) => Err(error),
        };
        let given = matches!(frame, Ok(Some(_)));
        self.pending.put_back(bars, given);
        frame
    }

    /// The bars that wait for a frame.
    pub fn pending(&mut self) -> Vec<Ended> {
        self.pending.take()
    }

    /// Adds the bars of a batch to those given; none if the batch is refused.
    fn push_onto(
        &mut self,
        ended: Vec<Ended>,
        columns: &[Series],
        by: &[Series],
    ) -> (Vec<Ended>, Result<(), Error>) {
        let before = ended.len();
        let several = self.keys.is_some() || self.options.rules.len() > 1;
        let mut bars = GatherBars { ended, keep_incomplete: self.keep_incomplete };
        let pushed = self.run(columns, by, &mut bars);
        let mut bars = bars.ended;
        if pushed.is_err() {
            bars.truncate(before);
        } else if several {
            bars[before..].sort_unstable_by_key(Ended::order);
        }
        (bars, pushed)
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
        self.run(columns, by, &mut GatherIds(&mut ids))?;
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
        let mut columns = match &self.keys {
            Some(keys) => keys.columns(bars.iter().map(|ended| ended.key).collect())?,
            None => Vec::new(),
        };
        columns.extend(self.output.columns(bars)?);
        Ok(DataFrame::new(bars.len(), columns)?)
    }

    /// Runs a batch through the machines, all of it or nothing.
    fn run<G: Gather>(
        &mut self,
        columns: &[Series],
        by: &[Series],
        gather: &mut G,
    ) -> Result<(), Error> {
        let batch = Batch::new(&self.layout, columns)?;
        let keys_before = self.keys.as_ref().map_or(0, Keys::count);
        let keys_of_rows = match &mut self.keys {
            None => KeysOfRows::One(0),
            Some(keys) => match keys.shared(by)? {
                Some(key) => KeysOfRows::One(key),
                None => KeysOfRows::Each(keys.number(by)?),
            },
        };
        if let Some(keys) = &self.keys {
            self.machines.resize_with(keys.count(), || Machine::new(&self.options));
        }
        self.report = Report::default();
        let mut undo = Vec::new();
        let offset = self.rows_seen;
        let most = match keys_of_rows {
            KeysOfRows::One(_) => usize::MAX,
            KeysOfRows::Each(_) => {
                CACHED_ROWS.max(self.machines.len().saturating_mul(ROWS_OF_A_KEY))
            }
        };
        let fed = batch.parts(offset, most, |start, trades| {
            let fed = match &keys_of_rows {
                KeysOfRows::One(key) => self.feed_one(*key, trades, start, gather, &mut undo),
                KeysOfRows::Each(keys) => {
                    let keys = &keys[start..start + trades.len];
                    self.feed_keys(trades, keys, start, gather, &mut undo)
                }
            };
            fed.map_err(|e| self.layout.error(&e))
        });
        let fed = fed.and_then(|()| match batch.null_error(offset) {
            Some(error) => Err(self.layout.error(&error)),
            None => Ok(()),
        });
        if let Err(error) = fed {
            // In reverse: a key that stands in several parts was noted several times.
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

    /// Compares a key's rows with those before.
    fn compared(&mut self, trades: &Trades<'_>, key: u32, rows: Rows<'_>, len: usize) -> New {
        let clock = self.machines[key as usize].clock;
        let resumed_at = self.resumed_at.get(key as usize).copied().flatten();
        let compared =
            overlap::compare(trades, rows, len, clock, resumed_at, self.overlap, self.with_gaps);
        match compared {
            Ok((report, kept)) => {
                self.report.add(&report);
                let len = kept.as_ref().map_or(len, Vec::len);
                New { kept, len, repeated: None }
            }
            Err(error) => {
                // One of the trades before it may be a bad one, and is then the fault to name.
                let before = |i: &usize| trades.offset + (rows.row(*i) as u64) < error.row;
                let len = (0..len).take_while(before).count();
                New { kept: None, len, repeated: Some(error) }
            }
        }
    }

    fn feed_one<G: Gather>(
        &mut self,
        key: u32,
        trades: &Trades<'_>,
        start: usize,
        gather: &mut G,
        undo: &mut Vec<(u32, Machine)>,
    ) -> Result<(), TradeError> {
        undo.push((key, self.machines[key as usize].clone()));
        let New { kept, len, repeated } = self.compared(trades, key, Rows::From(0), trades.len);
        let rows = kept.as_deref().map_or(Rows::From(0), Rows::Picked);
        let Self { options, workspace, machines, .. } = self;
        let mut sink = gather.begin(key);
        let machine = &mut machines[key as usize];
        let pushed = machine.push(trades, rows, len, options, workspace, &mut sink);
        gather.end(start, sink);
        pushed.and(repeated.map_or(Ok(()), Err))
    }

    fn feed_keys<G: Gather>(
        &mut self,
        trades: &Trades<'_>,
        keys: &[u32],
        start: usize,
        gather: &mut G,
        undo: &mut Vec<(u32, Machine)>,
    ) -> Result<(), TradeError> {
        let partition = Partition::new(keys, self.machines.len());
        let compare = |KeyRows { key, rows, len }| self.compared(trades, key, rows, len);
        let compared: Vec<New> = partition.keys().map(compare).collect();
        let mut jobs: Vec<Job<'_, G::Sink>> = Vec::new();
        for (KeyRows { key, rows, .. }, new) in partition.keys().zip(&compared) {
            let New { kept, len, repeated } = new;
            let rows = kept.as_deref().map_or(rows, Rows::Picked);
            let (len, repeated) = (*len, *repeated);
            let machine = std::mem::take(&mut self.machines[key as usize]);
            undo.push((key, machine.clone()));
            let (sink, result) = (gather.begin(key), Ok(()));
            jobs.push(Job { key, machine, rows, len, sink, result, repeated });
        }
        let options = &self.options;
        let run = |job: &mut Job<'_, G::Sink>, workspace: &mut Workspace| {
            let Job { machine, rows, len, sink, result, .. } = job;
            *result = machine.push(trades, *rows, *len, options, workspace, sink);
        };
        if jobs.len() > 1 && trades.len >= PARALLEL_ROWS {
            pool::for_each(&mut jobs, &run);
        } else {
            for job in &mut jobs {
                run(job, &mut self.workspace);
            }
        }
        // The fault that stands first in the input is the one to report, whatever ran first.
        let mut first: Option<TradeError> = None;
        for job in jobs {
            self.machines[job.key as usize] = job.machine;
            gather.end(start, job.sink);
            match job.result.and(job.repeated.map_or(Ok(()), Err)) {
                Err(error) if first.is_none_or(|f| error.row < f.row) => first = Some(error),
                _ => {}
            }
        }
        first.map_or(Ok(()), Err)
    }
}
