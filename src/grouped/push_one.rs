//! One trade at a time, for live feeds: no columns, no partition, hardly an allocation.

use polars::prelude::{DataFrame, Series};

use super::run::{New, Undo};
use super::sinks::Bars;
use super::{Grouped, Report};
use crate::columns::error::Error;
use crate::columns::keys::Keys;
use crate::columns::output::Ended;
use crate::columns::panics::{Place, caught, point};
use crate::core::block::Rows;
use crate::core::machine::Machine;
use crate::core::trades::Trades;

/// The key of a trade that comes alone.
#[derive(Clone, Copy)]
pub enum KeyOfOne<'a> {
    /// By its number; 0 where there are no keys.
    Number(u32),
    /// The only row of the key columns: of a key that may be new.
    Row(&'a [Series]),
}

impl Grouped {
    /// The number of a key, which is a new one if it was not there before.
    fn key_number(&mut self, key: KeyOfOne<'_>) -> Result<u32, Error> {
        let by = match key {
            KeyOfOne::Number(number) => return Ok(number),
            KeyOfOne::Row(by) => by,
        };
        let Some(keys) = &mut self.keys else { return Ok(0) };
        let number = keys.number(by)?.first().copied().unwrap_or(0);
        self.machines.resize_with(keys.count(), || Machine::new(&self.options));
        point(Place::Keys);
        Ok(number)
    }

    /// Forgets all keys from number `len` on.
    pub fn forget_keys(&mut self, len: usize) {
        if let Some(keys) = &mut self.keys {
            keys.truncate(len);
            self.machines.truncate(len);
        }
    }

    /// Number of keys seen.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.keys.as_ref().map_or(1, Keys::count)
    }

    /// The number of the key, and a frame of the bars that the only trade of `trades` closes, if
    /// any.
    ///
    /// # Errors
    /// If it is a bad one; then nothing has changed.
    pub fn push_one(
        &mut self,
        key: KeyOfOne<'_>,
        trades: &Trades<'_>,
    ) -> Result<(u32, Option<DataFrame>), Error> {
        let mut undo = Undo {
            keys: self.key_count(),
            machines: Vec::new(),
            rows_seen: self.rows_seen,
            report: self.report,
        };
        let mut before = None;
        let pushed = caught(|| {
            let key = self.key_number(key)?;
            let bars = self.walk_one(key, trades, &mut before)?;
            let frame = if bars.is_empty() { None } else { Some(self.frame(&bars)?) };
            Ok((key, frame))
        });
        if pushed.is_err() {
            undo.machines.extend(before);
            self.undo(undo);
        }
        pushed
    }

    /// The bars that the trade closes; `before` becomes the machine as it was.
    fn walk_one(
        &mut self,
        key: u32,
        trades: &Trades<'_>,
        before: &mut Option<(u32, Machine)>,
    ) -> Result<Vec<Ended>, Error> {
        let trades = &Trades { offset: self.rows_seen, ..*trades };
        self.report = Report::default();
        let New { kept, repeated, .. } = self.compared(trades, key, Rows::From(0), 1);
        if let Some(error) = repeated {
            return Err(self.layout.error(&error));
        }
        let mut sink = Bars::new(key, self.keep_incomplete);
        if kept.is_none() {
            let Self { options, workspace, machines, .. } = self;
            let machine = &mut machines[key as usize];
            *before = Some((key, machine.clone()));
            machine
                .push(trades, Rows::From(0), 1, options, workspace, &mut sink)
                .map_err(|e| self.layout.error(&e))?;
            point(Place::Machine);
        }
        self.rows_seen += 1;
        sink.ended.sort_unstable_by_key(Ended::order);
        Ok(sink.ended)
    }
}
