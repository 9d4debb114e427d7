//! Many keys times many thresholds: a batch is parted by key once, and every key has a machine.

mod partition;
mod pool;
mod sinks;

use polars::prelude::*;

use crate::columns::error::Error;
use crate::columns::input::{Batch, Layout};
use crate::columns::keys::Keys;
use crate::columns::output::{Ended, Output};
use crate::core::block::Rows;
use crate::core::error::TradeError;
use crate::core::machine::{Machine, Settings, Workspace};
use crate::core::trades::Trades;

use partition::{Partition, Stretch};
use sinks::{Bars, Collect, Ids};

/// Fewer rows than this are not worth waking other threads for.
const PARALLEL_ROWS: usize = 16_384;

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
    workspace: Workspace,
}

/// A key's machine and its rows, on the way through a thread.
struct Job<'a, C> {
    key: u32,
    machine: Machine,
    rows: Rows<'a>,
    len: usize,
    result: Result<C, TradeError>,
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
            workspace: Workspace::default(),
        }
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
        let keep = self.keep_incomplete;
        let mut bars = Vec::new();
        let several = self.keys.is_some() || self.settings.thresholds.len() > 1;
        self.feed(columns, by, |key| Bars::new(key, keep), |_, done| bars.extend(done.bars))?;
        if several {
            bars.sort_unstable_by_key(Ended::order);
        }
        Ok(bars)
    }

    /// The bar id of every row of a batch, by the first threshold.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_ids(&mut self, columns: &[Series], by: &[Series]) -> Result<Vec<u32>, Error> {
        let mut ids = vec![0; columns.first().map_or(0, |s| s.len())];
        self.feed(columns, by, |_| Ids::default(), |start, done| done.write(&mut ids[start..]))?;
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

    /// Runs a batch through the machines, all of it or nothing.
    fn feed<C: Collect>(
        &mut self,
        columns: &[Series],
        by: &[Series],
        make: impl Fn(u32) -> C + Sync,
        mut take: impl FnMut(usize, C),
    ) -> Result<(), Error> {
        let batch = Batch::new(&self.layout, columns)?;
        let keys_before = self.keys.as_ref().map_or(0, Keys::len);
        let numbers = match &mut self.keys {
            Some(keys) => Some(keys.number(by)?),
            None => None,
        };
        if let Some(keys) = &self.keys {
            self.machines.resize_with(keys.len(), || Machine::new(&self.settings));
        }
        let mut undo = Vec::new();
        let offset = self.rows_seen;
        let fed = batch.stretches(offset, |start, trades| {
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
        self.rows_seen += batch.len() as u64;
        Ok(())
    }

    fn feed_one<C: Collect>(
        &mut self,
        trades: &Trades<'_>,
        make: &impl Fn(u32) -> C,
        undo: &mut Vec<(u32, Machine)>,
        take: impl FnOnce(C),
    ) -> Result<(), TradeError> {
        undo.push((0, self.machines[0].clone()));
        let mut sink = make(0);
        let rows = Rows::From(0);
        self.machines[0].push(
            trades,
            rows,
            trades.len,
            &self.settings,
            &mut self.workspace,
            &mut sink,
        )?;
        take(sink);
        Ok(())
    }

    fn feed_keys<C: Collect>(
        &mut self,
        trades: &Trades<'_>,
        numbers: &[u32],
        make: &(impl Fn(u32) -> C + Sync),
        undo: &mut Vec<(u32, Machine)>,
        mut take: impl FnMut(C),
    ) -> Result<(), TradeError> {
        let partition = Partition::new(numbers, self.machines.len());
        let mut jobs: Vec<Job<'_, C>> = Vec::new();
        for Stretch { key, rows, len } in partition.stretches() {
            let machine = std::mem::take(&mut self.machines[key as usize]);
            undo.push((key, machine.clone()));
            jobs.push(Job { key, machine, rows, len, result: Ok(make(key)) });
        }
        let settings = &self.settings;
        let run = |job: &mut Job<'_, C>, workspace: &mut Workspace| {
            if let Ok(sink) = &mut job.result {
                let pushed = job.machine.push(trades, job.rows, job.len, settings, workspace, sink);
                if let Err(error) = pushed {
                    job.result = Err(error);
                }
            }
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
            match job.result {
                Ok(sink) => take(sink),
                Err(error) if first.is_none_or(|f| error.row < f.row) => first = Some(error),
                Err(_) => {}
            }
        }
        first.map_or(Ok(()), Err)
    }
}
