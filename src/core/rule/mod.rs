//! What closes a bar: a closed set of rules, a file each.

pub mod range;

use std::fmt;

use range::Threshold;

/// A rule. Matched once for each block, so that a trade costs nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A distance from the opening price, as a share of it.
    Range(Threshold),
}

impl Rule {
    /// Upper and lower boundary of a bar that opens at `open`: a trade at or beyond one closes it.
    #[must_use]
    pub fn boundaries(self, open: i64) -> (i64, i64) {
        let Self::Range(threshold) = self;
        let delta = threshold.delta(open);
        // Past the grid's end there is no price, so a boundary there is one that is never reached.
        (open.saturating_add(delta), open - delta)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Range(threshold) = self;
        write!(f, "range {}", threshold.decimal_bps())
    }
}
