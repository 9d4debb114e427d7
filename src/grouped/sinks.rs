//! What is collected from a machine: bars, or the bar id of every row.

use crate::columns::output::Ended;
use crate::core::bar::Bar;
use crate::core::block::Rows;
use crate::core::error::Problem;
use crate::core::machine::Sink;

/// A sink that may be filled on another thread.
pub trait Collect: Sink + Send {}
impl<T: Sink + Send> Collect for T {}

/// Bars that ended.
pub struct Bars {
    pub ended: Vec<Ended>,
    key: u32,
    keep_incomplete: bool,
}

impl Bars {
    pub fn new(key: u32, keep_incomplete: bool) -> Self {
        Self::onto(Vec::new(), key, keep_incomplete)
    }

    /// Goes on with bars that ended before.
    pub fn onto(ended: Vec<Ended>, key: u32, keep_incomplete: bool) -> Self {
        Self { ended, key, keep_incomplete }
    }
}

impl Sink for Bars {
    #[inline]
    fn joined(&mut self, _: Rows<'_>, _: usize, _: usize, _: u64) -> Result<(), Problem> {
        Ok(())
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "an index among at most 100 000 thresholds")]
    fn ended(&mut self, bar: &Bar, row: u64, threshold: usize, complete: bool) {
        if complete || self.keep_incomplete {
            self.ended.push(Ended {
                bar: *bar,
                row,
                key: self.key,
                threshold: threshold as u32,
                complete,
            });
        }
    }
}

/// Bar ids, in stretches of neighbouring rows or row by row.
#[derive(Default)]
pub struct Ids {
    neighbours: Vec<(usize, usize, u32)>,
    picked: Vec<(u32, u32)>,
}

impl Ids {
    /// Writes the ids to their rows.
    pub fn write(&self, ids: &mut [u32]) {
        for &(start, end, id) in &self.neighbours {
            ids[start..end].fill(id);
        }
        for &(row, id) in &self.picked {
            ids[row as usize] = id;
        }
    }
}

impl Sink for Ids {
    fn joined(&mut self, rows: Rows<'_>, start: usize, end: usize, id: u64) -> Result<(), Problem> {
        let id = u32::try_from(id).map_err(|_| Problem::TooManyBars)?;
        match rows {
            Rows::From(first) => self.neighbours.push((first + start, first + end, id)),
            Rows::Picked(rows) => self.picked.extend(rows[start..end].iter().map(|&row| (row, id))),
        }
        Ok(())
    }

    fn ended(&mut self, _: &Bar, _: u64, _: usize, _: bool) {}
}
