//! Whether a batch goes on where the trades before it ended: what is missing, what comes again.

use crate::core::block::Rows;
use crate::core::error::{Field, Problem, TradeError, Value};
use crate::core::machine::Clock;
use crate::core::trades::Trades;

/// What to do with a trade that was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    Error,
    Skip,
}

/// How a batch follows the trades before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    pub rows: u64,
    /// Rows left out because they were there before.
    pub skipped: u64,
    /// Aggregate ids that no trade has come for.
    pub missing: u64,
    /// How often ids are missing, counting neighbours once.
    pub gaps: u64,
    /// Stream row of the first trade after a gap, and the ids around the gap.
    pub first_gap: Option<(u64, i64, i64)>,
}

impl Report {
    /// Adds what was found for another key, or in another part.
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.skipped += other.skipped;
        self.missing = self.missing.saturating_add(other.missing);
        self.gaps += other.gaps;
        self.first_gap = match (self.first_gap, other.first_gap) {
            (Some(a), Some(b)) => Some(if a.0 <= b.0 { a } else { b }),
            (a, b) => a.or(b),
        };
    }
}

/// Compares one key's rows with those before. Returns the rows that are new, where some are not.
///
/// With aggregate ids a trade is new if its id is above all before it. Without, a time cannot
/// tell a trade that comes again from one that happened at the same instant: then only a time at
/// or before `resumed_at`, the last one of a checkpoint, is taken for a repetition, and only
/// where those are to be skipped. `with_gaps`: also count the ids that are missing.
///
/// # Errors
/// At the first trade that was there before, where that is an error.
pub fn compare(
    trades: &Trades<'_>,
    rows: Rows<'_>,
    len: usize,
    clock: Clock,
    resumed_at: Option<i64>,
    overlap: Overlap,
    with_gaps: bool,
) -> Result<(Report, Option<Vec<u32>>), TradeError> {
    let mut report = Report { rows: len as u64, ..Report::default() };
    let mut repeated: Vec<usize> = Vec::new();
    if let (Some(ids), Rows::From(start)) = (trades.agg_trade_id, rows)
        && rises(&ids[start..start + len], clock.last_agg_trade_id, with_gaps)
    {
        return Ok((report, None));
    }
    if let Some(ids) = trades.agg_trade_id {
        let mut last = clock.last_agg_trade_id;
        for i in 0..len {
            let row = rows.row(i);
            let id = ids[row];
            match last {
                Some(previous) if id <= previous => {
                    if overlap == Overlap::Error {
                        let value = Value::Decimal(i128::from(id), 0);
                        let problem = Problem::Repeated { previous };
                        return Err(trades.error(Field::AggTradeId, row, value, problem));
                    }
                    repeated.push(i);
                    continue;
                }
                Some(previous) if id - 1 != previous => {
                    report.missing = report.missing.saturating_add(id.abs_diff(previous) - 1);
                    report.gaps += 1;
                    report.first_gap.get_or_insert((trades.offset + row as u64, previous, id));
                }
                _ => {}
            }
            last = Some(id);
        }
    } else if let (Some(times), Some(resumed_at), Overlap::Skip) =
        (trades.timestamp, resumed_at, overlap)
    {
        // Ascending, or the machine will say that they are not.
        repeated.extend((0..len).take_while(|&i| times[rows.row(i)] <= resumed_at));
    }
    if repeated.is_empty() {
        return Ok((report, None));
    }
    report.skipped = repeated.len() as u64;
    let mut next = repeated.into_iter().peekable();
    #[allow(
        clippy::cast_possible_truncation,
        reason = "Polars' own batches have fewer than 2^32 rows"
    )]
    let kept =
        (0..len).filter(|i| next.next_if_eq(i).is_none()).map(|i| rows.row(i) as u32).collect();
    Ok((report, Some(kept)))
}

/// Whether ids rise from the one before them on; `by_one`: without leaving any out.
fn rises(ids: &[i64], before: Option<i64>, by_one: bool) -> bool {
    let (Some(&first), Some(&last)) = (ids.first(), ids.last()) else { return true };
    if before.is_some_and(
        |before| if by_one { first.wrapping_sub(1) != before } else { first <= before },
    ) {
        return false;
    }
    // Rising, they leave none out if they end where they must.
    !repeats(ids) && (!by_one || last.abs_diff(first) == ids.len() as u64 - 1)
}

crate::core::simd::widest! {
    /// Whether an id is not above the one before it.
    fn repeats(ids: &[i64]) -> bool = repeats_body
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each instruction set")]
fn repeats_body(ids: &[i64]) -> bool {
    let mut found = false;
    if let Some((_, rest)) = ids.split_first() {
        for (&before, &after) in ids.iter().zip(rest) {
            found |= after <= before;
        }
    }
    found
}
