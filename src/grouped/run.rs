//! A batch on its way through the machines: parted by key, and undone wholly where anything fails.

use polars::prelude::Series;

use super::partition::{KeyRows, Partition};
use super::sinks::Gather;
use super::{Grouped, Report, overlap, pool};
use crate::columns::error::Error;
use crate::columns::input::Batch;
use crate::columns::panics::{Place, caught, point};
use crate::core::block::Rows;
use crate::core::error::TradeError;
use crate::core::machine::{Machine, Workspace};
use crate::core::trades::Trades;

/// Fewer rows than this are not worth waking other threads for.
const PARALLEL_ROWS: usize = 16_384;

/// Rows that are worked on at once, where there are keys: their columns fit a core's own cache,
/// from which every key picks its rows. More where that would leave a key only a few.
const CACHED_ROWS: usize = 32_768;
const ROWS_OF_A_KEY: usize = 512;

/// What to go back to when a push fails halfway, by an error or a panic.
pub(super) struct Undo {
    pub keys: usize,
    /// Machines as they were, by key; a key that stands in several parts is noted several times.
    pub machines: Vec<(u32, Machine)>,
    pub rows_seen: u64,
    pub report: Report,
}

/// Whose the rows of a batch are.
enum KeysOfRows {
    /// All of one key; without keys, the only one.
    One(u32),
    Each(Vec<u32>),
}

/// What there is to push of a key's rows in a batch.
pub(super) struct New {
    /// The rows that are new, where some are not.
    pub kept: Option<Vec<u32>>,
    /// How many to push: no more than stand before a trade that is refused.
    pub len: usize,
    /// A trade that was there before, where that is an error.
    pub repeated: Option<TradeError>,
}

/// A key's machine and its rows, on the way through a thread.
struct Job<'a, C> {
    key: u32,
    machine: Machine,
    rows: Rows<'a>,
    len: usize,
    sink: C,
    /// The inner one is of the trades, the outer one of a panic.
    result: Result<Result<(), TradeError>, Error>,
    repeated: Option<TradeError>,
}

impl Grouped {
    /// Runs a batch through the machines and calls `make`: all of it or nothing, whatever fails.
    pub(super) fn run<G: Gather, T>(
        &mut self,
        columns: &[Series],
        by: &[Series],
        gather: &mut G,
        make: impl FnOnce(&Self, &mut G) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut undo = Undo {
            keys: self.key_count(),
            machines: Vec::new(),
            rows_seen: self.rows_seen,
            report: self.report,
        };
        let outcome = caught(|| {
            self.run_batch(columns, by, gather, &mut undo.machines)?;
            make(self, gather)
        });
        if outcome.is_err() {
            self.undo(undo);
        }
        outcome
    }

    pub(super) fn undo(&mut self, undo: Undo) {
        // In reverse: what was noted first is what was there before.
        for (key, machine) in undo.machines.into_iter().rev() {
            self.machines[key as usize] = machine;
        }
        self.forget_keys(undo.keys);
        // A panic may have left anything in it.
        self.workspace = Workspace::default();
        (self.rows_seen, self.report) = (undo.rows_seen, undo.report);
    }

    /// Runs a batch through the machines, of which those that change are noted in `undo` before.
    fn run_batch<G: Gather>(
        &mut self,
        columns: &[Series],
        by: &[Series],
        gather: &mut G,
        undo: &mut Vec<(u32, Machine)>,
    ) -> Result<(), Error> {
        let batch = Batch::new(&self.layout, columns)?;
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
        point(Place::Keys);
        self.report = Report::default();
        let offset = self.rows_seen;
        let most = match keys_of_rows {
            KeysOfRows::One(_) => usize::MAX,
            KeysOfRows::Each(_) => {
                CACHED_ROWS.max(self.machines.len().saturating_mul(ROWS_OF_A_KEY))
            }
        };
        batch.parts(offset, most, |start, trades| {
            let fed = match &keys_of_rows {
                KeysOfRows::One(key) => self.feed_one(*key, trades, start, gather, undo),
                KeysOfRows::Each(keys) => {
                    let keys = &keys[start..start + trades.len];
                    self.feed_keys(trades, keys, start, gather, undo)
                }
            };
            fed?.map_err(|e| self.layout.error(&e))
        })?;
        if let Some(error) = batch.null_error(offset) {
            return Err(self.layout.error(&error));
        }
        self.rows_seen += batch.height() as u64;
        Ok(())
    }

    /// Compares a key's rows with those before.
    pub(super) fn compared(
        &mut self,
        trades: &Trades<'_>,
        key: u32,
        rows: Rows<'_>,
        len: usize,
    ) -> New {
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
    ) -> Result<Result<(), TradeError>, Error> {
        undo.push((key, self.machines[key as usize].clone()));
        let New { kept, len, repeated } = self.compared(trades, key, Rows::From(0), trades.len);
        let rows = kept.as_deref().map_or(Rows::From(0), Rows::Picked);
        let Self { options, workspace, machines, .. } = self;
        let mut sink = gather.begin(key);
        let machine = &mut machines[key as usize];
        // Caught right here, for the sink has bars of earlier batches.
        let pushed = caught(|| {
            let pushed = machine.push(trades, rows, len, options, workspace, &mut sink);
            point(Place::Machine);
            Ok(pushed)
        });
        gather.end(start, sink);
        pushed.map(|pushed| pushed.and(repeated.map_or(Ok(()), Err)))
    }

    fn feed_keys<G: Gather>(
        &mut self,
        trades: &Trades<'_>,
        keys: &[u32],
        start: usize,
        gather: &mut G,
        undo: &mut Vec<(u32, Machine)>,
    ) -> Result<Result<(), TradeError>, Error> {
        let partition = Partition::new(keys, self.machines.len());
        let compare = |KeyRows { key, rows, len }| self.compared(trades, key, rows, len);
        let compared: Vec<New> = partition.keys().map(compare).collect();
        let mut jobs: Vec<Job<'_, G::Sink>> = Vec::new();
        for (KeyRows { key, rows, .. }, new) in partition.keys().zip(&compared) {
            let New { kept, len, repeated } = new;
            let rows = kept.as_deref().map_or(rows, Rows::Picked);
            let (len, repeated) = (*len, *repeated);
            undo.push((key, self.machines[key as usize].clone()));
            let machine = std::mem::take(&mut self.machines[key as usize]);
            let (sink, result) = (gather.begin(key), Ok(Ok(())));
            jobs.push(Job { key, machine, rows, len, sink, result, repeated });
        }
        let options = &self.options;
        let run = |job: &mut Job<'_, G::Sink>, workspace: &mut Workspace| {
            let Job { machine, rows, len, sink, result, .. } = job;
            *result = caught(|| {
                let pushed = machine.push(trades, *rows, *len, options, workspace, sink);
                point(Place::Machine);
                Ok(pushed)
            });
        };
        if jobs.len() > 1 && trades.len >= PARALLEL_ROWS {
            pool::for_each(&mut jobs, &run);
        } else {
            for job in &mut jobs {
                run(job, &mut self.workspace);
            }
        }
        // The fault that stands first in the input is the one to report, whatever ran first.
        let (mut first, mut panicked): (Option<TradeError>, _) = (None, Ok(()));
        for job in jobs {
            self.machines[job.key as usize] = job.machine;
            gather.end(start, job.sink);
            match job.result.map(|pushed| pushed.and(job.repeated.map_or(Ok(()), Err))) {
                Ok(Err(error)) if first.is_none_or(|f| error.row < f.row) => first = Some(error),
                Ok(_) => {}
                Err(error) => panicked = Err(error),
            }
        }
        panicked.map(|()| first.map_or(Ok(()), Err))
    }
}
