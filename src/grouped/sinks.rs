//! What is collected from a machine: bars, or the bar id of every row.

use crate::columns::output::Ended;
use crate::core::bar::Bar;
use crate::core::block::Rows;
use crate::core::machine::Sink;

/// Where the sinks of a batch come from, one for each key, and where they go when they are filled.
pub trait Gather {
    /// A sink that may be filled on another thread.
    type Sink: Sink + Send;

    /// A sink for a key.
    fn begin(&mut self, key: u32) -> Self::Sink;

    /// Takes a sink back, filled with trades from row `start` of the batch on. Sinks come back in
    /// the order in which they were given out, also those of a batch that is refused.
    fn end(&mut self, start: usize, sink: Self::Sink);
}

/// Gathers the bars that end. They are written to where they stay, for a long run has millions.
pub struct GatherBars {
    pub ended: Vec<Ended>,
    pub keep_incomplete: bool,
}

impl Gather for GatherBars {
    type Sink = Bars;

    fn begin(&mut self, key: u32) -> Bars {
        // The first sink goes on where the bars end, and comes back first.
        Bars::onto(std::mem::take(&mut self.ended), key, self.keep_incomplete)
    }

    fn end(&mut self, _: usize, mut sink: Bars) {
        if self.ended.is_empty() {
            self.ended = sink.ended;
        } else {
            self.ended.append(&mut sink.ended);
        }
    }
}

/// Gathers the bar id of every row.
pub struct GatherIds<'a>(pub &'a mut [Option<u32>]);

impl Gather for GatherIds<'_> {
    type Sink = Ids;

    fn begin(&mut self, _: u32) -> Ids {
        Ids::default()
    }

    fn end(&mut self, start: usize, sink: Ids) {
        sink.write(&mut self.0[start..]);
    }
}

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
    fn joined(&mut self, _: Rows<'_>, _: usize, _: usize, _: u32) {}

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "an index among the rules asked for")]
    fn ended(&mut self, bar: &Bar, id: u32, row: u64, rule: usize, complete: bool) {
        if complete || self.keep_incomplete {
            self.ended.push(Ended {
                bar: *bar,
                row,
                key: self.key,
                id,
                rule: rule as u32,
                complete,
            });
        }
    }
}

/// Bar ids, of runs of neighbouring rows or row by row.
#[derive(Default)]
pub struct Ids {
    neighbours: Vec<(usize, usize, u32)>,
    picked: Vec<(u32, u32)>,
}

impl Ids {
    /// Writes the ids to their rows.
    pub fn write(&self, ids: &mut [Option<u32>]) {
        for &(start, end, id) in &self.neighbours {
            ids[start..end].fill(Some(id));
        }
        for &(row, id) in &self.picked {
            ids[row as usize] = Some(id);
        }
    }
}

impl Sink for Ids {
    fn joined(&mut self, rows: Rows<'_>, start: usize, end: usize, id: u32) {
        match rows {
            Rows::From(first) => self.neighbours.push((first + start, first + end, id)),
            Rows::Picked(rows) => self.picked.extend(rows[start..end].iter().map(|&row| (row, id))),
        }
    }

    fn ended(&mut self, _: &Bar, _: u32, _: u64, _: usize, _: bool) {}
}
