//! The state machine: where bars open, close and are cut off, for one key and many rules.

use super::bar::{Bar, Ids};
use super::block::{Block, Rows};
use super::cuts::{BeyondCalendar, Cuts};
use super::error::{Field, Problem, TradeError, Value};
use super::kernels::BLOCK;
use super::rule::Rule;
use super::trades::Trades;

/// What makes bars, apart from the trades.
#[derive(Debug, Clone, PartialEq)]
pub struct BarOptions {
    /// In the order asked for; at least one.
    pub rules: Vec<Rule>,
    /// Lift the gate: let a bar close at the very time at which it opened.
    pub same_timestamp_close: bool,
    pub cuts: Cuts,
    /// What the time of a key's first trade must lie between, where the unit was only claimed:
    /// the first and the last one allowed.
    pub first_time: Option<(i64, i64)>,
}

/// Time as one key has seen it: what does not depend on the rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clock {
    /// Time of the last trade.
    pub last_time: Option<i64>,
    /// First instant past the calendar period of the last trade.
    pub period_end: Option<i64>,
    /// Aggregate id of the last trade, where the input has them.
    pub last_agg_trade_id: Option<i64>,
}

/// One rule's bar in progress, and how many bars came before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    pub bar: Option<Bar>,
    /// Bars before the one in progress: its id.
    pub bars_before: u64,
}

/// The whole state of one key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Machine {
    pub clock: Clock,
    /// One for each rule.
    pub progress: Vec<Progress>,
}

/// What a machine tells of the bars that it finds.
pub trait Sink {
    /// Rows `start..end` of the block belong to bar `id`.
    fn joined(&mut self, rows: Rows<'_>, start: usize, end: usize, id: u32);

    /// Bar `id` ended at `row` of the stream: with that trade (`complete`), or cut off before it.
    fn ended(&mut self, bar: &Bar, id: u32, row: u64, rule: usize, complete: bool);
}

/// Scratch space, made once for each thread.
#[derive(Default)]
pub struct Workspace {
    block: Block,
    /// Block rows before which any bar in progress is cut off.
    cuts: Vec<usize>,
}

impl Machine {
    /// A machine that has seen no trade.
    #[must_use]
    pub fn new(options: &BarOptions) -> Self {
        Self { clock: Clock::default(), progress: vec![Progress::default(); options.rules.len()] }
    }

    /// Feeds the `len` trades at `rows` of a batch.
    ///
    /// # Errors
    /// The first bad trade, in row order within a block. The machine is then in no defined
    /// state: callers that go on keep a copy.
    pub fn push(
        &mut self,
        trades: &Trades<'_>,
        rows: Rows<'_>,
        len: usize,
        options: &BarOptions,
        workspace: &mut Workspace,
        sink: &mut impl Sink,
    ) -> Result<(), TradeError> {
        for start in (0..len).step_by(BLOCK) {
            let len = BLOCK.min(len - start);
            let rows = match rows {
                Rows::From(first) => Rows::From(first + start),
                Rows::Picked(rows) => Rows::Picked(&rows[start..start + len]),
            };
            let Workspace { block, cuts } = workspace;
            block.fill_times(trades.timestamp, rows, len);
            let times = block.times(trades.timestamp, rows, len);
            let followed = self.clock.follow(times, options, cuts);
            // The earlier row's fault is the one to report.
            let sound = followed.map_or_else(|(i, _, _)| i, |()| len);
            if sound > 0 {
                block.fill(trades, rows, sound)?;
            }
            if let Err((i, time, problem)) = followed {
                let row = rows.row(i);
                return Err(trades.error(Field::Timestamp, row, Value::Time(time), problem));
            }
            if let Some(ids) = trades.agg_trade_id {
                self.clock.last_agg_trade_id = Some(ids[rows.row(len - 1)]);
            }
            let walk = Walk {
                block,
                trades,
                rows,
                time: block.times(trades.timestamp, rows, len),
                cuts,
                options,
            };
            for (index, progress) in self.progress.iter_mut().enumerate() {
                walk.run(progress, index, sink)?;
            }
        }
        Ok(())
    }
}

impl Clock {
    /// Moves on to the last of `times`, and notes before which of them bars are cut off.
    ///
    /// # Errors
    /// Index and time of the first that goes backwards, lies beyond the calendar, or is not what the
    /// unit of time makes one expect of a first trade.
    fn follow(
        &mut self,
        times: Option<&[i64]>,
        options: &BarOptions,
        cuts: &mut Vec<usize>,
    ) -> Result<(), (usize, i64, Problem)> {
        cuts.clear();
        let Some((&first, &last)) = times.and_then(|t| t.first().zip(t.last())) else {
            return Ok(());
        };
        let times = times.unwrap_or_default();
        if let Some(previous) = self.last_time.filter(|&previous| first < previous) {
            return Err((0, first, Problem::Backwards { previous }));
        }
        if descends(times)
            && let Some(i) = times.windows(2).position(|pair| pair[1] < pair[0])
        {
            return Err((i + 1, times[i + 1], Problem::Backwards { previous: times[i] }));
        }
        if let (None, Some((from, to))) = (self.last_time, options.first_time)
            && !(from..=to).contains(&first)
        {
            return Err((0, first, Problem::UnlikelyTime));
        }
        options
            .cuts
            .find(self.last_time, &mut self.period_end, times, cuts)
            .map_err(|BeyondCalendar(i)| (i, times[i], Problem::BeyondCalendar))?;
        self.last_time = Some(last);
        Ok(())
    }
}

super::simd::widest! {
    /// Whether a time is below the one before it.
    fn descends(times: &[i64]) -> bool = descends_body
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each instruction set")]
fn descends_body(times: &[i64]) -> bool {
    let mut found = false;
    if let Some((_, rest)) = times.split_first() {
        for (&before, &after) in times.iter().zip(rest) {
            found |= after < before;
        }
    }
    found
}

/// One block on its way through one rule.
struct Walk<'a> {
    block: &'a Block,
    trades: &'a Trades<'a>,
    rows: Rows<'a>,
    time: Option<&'a [i64]>,
    cuts: &'a [usize],
    options: &'a BarOptions,
}

impl Walk<'_> {
    fn run(
        &self,
        progress: &mut Progress,
        index: usize,
        sink: &mut impl Sink,
    ) -> Result<(), TradeError> {
        let rule = self.options.rules[index];
        let len = self.block.len();
        let mut cuts = self.cuts.iter().copied().peekable();
        let mut before = self.block.sums_before(0);
        let mut start = 0;
        let mut id = self.id(progress, start)?;
        while start < len {
            if cuts.next_if_eq(&start).is_some()
                && let Some(bar) = progress.bar.take()
            {
                sink.ended(&bar, id, self.stream_row(start), index, false);
                progress.bars_before += 1;
                id = self.id(progress, start)?;
            }
            let stop = cuts.peek().copied().unwrap_or(len);
            let bar = progress.bar.get_or_insert_with(|| self.open(start, rule));
            let closing =
                self.block.first_outside(self.gate(bar, start, stop), stop, bar.lower, bar.upper);
            let end = closing.map_or(stop, |i| i + 1);
            let after = self.block.sums_before(end);
            self.join(bar, start, end, (&before, &after))?;
            sink.joined(self.rows, start, end, id);
            if closing.is_some() {
                sink.ended(bar, id, self.stream_row(end - 1), index, true);
                progress.bar = None;
                progress.bars_before += 1;
                if end < len {
                    id = self.id(progress, end)?;
                }
            }
            before = after;
            start = end;
        }
        Ok(())
    }

    /// The id of the bar that trade `i` joins or opens.
    fn id(&self, progress: &Progress, i: usize) -> Result<u32, TradeError> {
        u32::try_from(progress.bars_before).map_err(|_| self.price_error(i, Problem::TooManyBars))
    }

    fn open(&self, i: usize, rule: Rule) -> Bar {
        let time = self.time.map_or(0, |times| times[i]);
        Bar::open(self.block.price(i), time, self.stream_row(i), self.first_ids(i), rule)
    }

    /// Index of the first trade from `start` that may close `bar`.
    fn gate(&self, bar: &Bar, start: usize, stop: usize) -> usize {
        match self.time {
            Some(times) if !self.options.same_timestamp_close => {
                let same = times[start..stop].iter().take_while(|&&t| t == bar.open_time).count();
                start + same
            }
            // The opening trade lies inside its own boundaries, so it may well be looked at.
            _ => start,
        }
    }

    /// Adds trades `start..end` to the bar.
    fn join(
        &self,
        bar: &mut Bar,
        start: usize,
        end: usize,
        sums: (&super::bar::Sums, &super::bar::Sums),
    ) -> Result<(), TradeError> {
        let more = self.block.sums_between(start, end, sums.0, sums.1);
        let Some(sums) = more.and_then(|more| bar.sums.checked_add(&more)) else {
            let row = self.rows.row(self.block.first_overflow(start, end, bar.sums));
            let value = self.trades.quantity_value(row);
            return Err(self.trades.error(Field::Quantity, row, value, Problem::SumBeyondGrid));
        };
        bar.sums = sums;
        let (low, high) = self.block.extremes(start, end);
        bar.low = bar.low.min(low);
        bar.high = bar.high.max(high);
        bar.close = self.block.price(end - 1);
        bar.close_time = self.time.map_or(0, |times| times[end - 1]);
        bar.trade_count += (end - start) as u64;
        bar.last = self.last_ids(end - 1);
        Ok(())
    }

    fn stream_row(&self, i: usize) -> u64 {
        self.trades.offset + self.rows.row(i) as u64
    }

    fn first_ids(&self, i: usize) -> Ids {
        let at = |column: Option<&[i64]>| column.map_or(0, |c| c[self.rows.row(i)]);
        Ids { agg_trade: at(self.trades.agg_trade_id), trade: at(self.trades.first_trade_id) }
    }

    fn last_ids(&self, i: usize) -> Ids {
        let at = |column: Option<&[i64]>| column.map_or(0, |c| c[self.rows.row(i)]);
        Ids { agg_trade: at(self.trades.agg_trade_id), trade: at(self.trades.last_trade_id) }
    }

    #[cold]
    fn price_error(&self, i: usize, problem: Problem) -> TradeError {
        let row = self.rows.row(i);
        let value = Value::Decimal(i128::from(self.block.price(i)), self.trades.grid.price().get());
        self.trades.error(Field::Price, row, value, problem)
    }
}
