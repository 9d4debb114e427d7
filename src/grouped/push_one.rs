//! One trade at a time, for live feeds: no columns, no partition, no allocation.

use polars::prelude::Series;

use super::sinks::Bars;
use super::{Grouped, New, Report};
use crate::columns::error::Error;
use crate::columns::keys::Keys;
use crate::columns::output::Ended;
use crate::core::block::Rows;
use crate::core::machine::Machine;
use crate::core::trades::Trades;

impl Grouped {
    /// The number of the key in the only row of `by`, and whether it is a new one.
    ///
    /// # Errors
    /// If the columns cannot be encoded.
    pub fn key_number(&mut self, by: &[Series]) -> Result<(u32, bool), Error> {
        let Some(keys) = &mut self.keys else { return Ok((0, false)) };
        let before = keys.count();
        let number = keys.number(by)?.first().copied().unwrap_or(0);
        let new = keys.count() > before;
        self.machines.resize_with(keys.count(), || Machine::new(&self.options));
        Ok((number, new))
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

    /// The bars that the only trade of `trades` closes.
    ///
    /// # Errors
    /// If it is a bad one; then nothing has changed.
    pub fn push_one(&mut self, key: u32, trades: &Trades<'_>) -> Result<Vec<Ended>, Error> {
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
            let before = machine.clone();
            if let Err(error) =
                machine.push(trades, Rows::From(0), 1, options, workspace, &mut sink)
            {
                self.machines[key as usize] = before;
                return Err(self.layout.error(&error));
            }
        }
        self.rows_seen += 1;
        sink.ended.sort_unstable_by_key(Ended::order);
        Ok(sink.ended)
    }
}
