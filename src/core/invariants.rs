//! What holds for every state that trades can lead to. A state that was read is compared with it
//! before a trade is pushed: sums and indices rely on it.

use super::bar::{Bar, Sums};
use super::error::Field;
use super::machine::{BarOptions, Clock, Machine};

/// The most rows of a stream, which leaves room to count on.
const MOST_ROWS: u64 = i64::MAX.cast_unsigned();
/// The most bars of a key and a rule: as many as 32-bit ids can count.
const MOST_BARS: u64 = 1 << 32;

/// Whether `machine` can be the state of one key after at most `rows` trades that have the columns
/// that `has` says; or what it cannot have.
///
/// # Errors
/// In a few words, the first thing that does not hold.
pub fn check(
    machine: &Machine,
    rows: u64,
    options: &BarOptions,
    has: &impl Fn(Field) -> bool,
) -> Result<(), &'static str> {
    let Clock { last_time, period_end, last_agg_trade_id } = machine.clock;
    let (timed, numbered) = (has(Field::Timestamp), has(Field::AggTradeId));
    must(rows <= MOST_ROWS, "it has too many rows")?;
    must(timed || last_time.is_none(), "it has a last time of trades without times")?;
    must(numbered || last_agg_trade_id.is_none(), "it has a last id of trades without ids")?;
    must(
        !timed || !numbered || last_time.is_some() == last_agg_trade_id.is_some(),
        "it has a last time or a last id, and not both",
    )?;
    let in_period = options.cuts.calendar.is_some() && last_time.is_some();
    must(period_end.is_some() == in_period, "its period does not go with its reset")?;
    must(period_end.is_none() || period_end > last_time, "its period is over")?;
    let seen = (!timed || last_time.is_some()) && (!numbered || last_agg_trade_id.is_some());
    for progress in &machine.progress {
        let ids = MOST_BARS - u64::from(progress.bar.is_some());
        must(progress.bars_before <= ids.min(rows), "it has more bars than trades or ids")?;
        must(seen || progress.bars_before == 0, "it has bars and no trade")?;
        if let Some(bar) = &progress.bar {
            must(seen, "it has a bar and no trade")?;
            check_bar(bar, &machine.clock, rows, options, has)?;
        }
    }
    Ok(())
}

fn check_bar(
    bar: &Bar,
    clock: &Clock,
    rows: u64,
    options: &BarOptions,
    has: &impl Fn(Field) -> bool,
) -> Result<(), &'static str> {
    let prices = bar.low..=bar.high;
    must(
        bar.low > 0 && prices.contains(&bar.open) && prices.contains(&bar.close),
        "a bar's prices are not within its low and high",
    )?;
    let timed = has(Field::Timestamp);
    let in_order = if timed {
        bar.open_time <= bar.close_time && clock.last_time == Some(bar.close_time)
    } else {
        (bar.open_time, bar.close_time) == (0, 0)
    };
    must(in_order, "a bar's times are not those of its trades")?;
    let inside = |price| bar.lower < price && price < bar.upper;
    let open = if timed && !options.same_timestamp_close {
        bar.open_time == bar.close_time || inside(bar.close)
    } else {
        inside(bar.low) && inside(bar.high)
    };
    must(open, "a bar in progress should have been closed")?;
    let count = bar.trade_count;
    must(
        count > 0 && rows.checked_sub(bar.open_row).is_some_and(|most| count <= most),
        "a bar has more trades than there were",
    )?;
    let ids = if has(Field::AggTradeId) {
        let (first, last) = (bar.first.agg_trade, bar.last.agg_trade);
        clock.last_agg_trade_id == Some(last) && first <= last && last.abs_diff(first) >= count - 1
    } else {
        (bar.first.agg_trade, bar.last.agg_trade) == (0, 0)
    };
    must(ids, "a bar's ids are not those of its trades")?;
    let has_first = has(Field::FirstTradeId) || bar.first.trade == 0;
    let has_last = has(Field::LastTradeId) || bar.last.trade == 0;
    must(has_first && has_last, "a bar has ids of trades without ids")?;
    let individual = bar.sums.individual_count;
    let counted = if has(Field::FirstTradeId) && has(Field::LastTradeId) {
        (count..=MOST_ROWS).contains(&individual)
    } else {
        individual == 0
    };
    must(counted, "a bar's count of individual trades is not that of its trades")?;
    check_sums(bar, has)
}

fn check_sums(bar: &Bar, has: &impl Fn(Field) -> bool) -> Result<(), &'static str> {
    let Sums { volume, turnover, buy_volume, buy_turnover, buy_count, .. } = bar.sums;
    let parts = (0..=volume).contains(&buy_volume)
        && (0..=turnover).contains(&buy_turnover)
        && buy_count <= bar.trade_count
        && (buy_count > 0 || (buy_volume, buy_turnover) == (0, 0))
        && (buy_count < bar.trade_count || (buy_volume, buy_turnover) == (volume, turnover));
    let sided = has(Field::IsBuyerMaker);
    let none = buy_count == 0 && (buy_volume, buy_turnover) == (0, 0);
    must(if sided { parts } else { none }, "a bar's buys are no part of its trades")?;
    must(
        has(Field::Quantity) || (volume, turnover) == (0, 0),
        "a bar has a volume of trades without quantities",
    )?;
    // Every trade's price lies between low and high, so a turnover lies between the volume at either.
    let priced = |turnover: i128, volume: i128| {
        let at_low = i128::from(bar.low).checked_mul(volume);
        let at_high = i128::from(bar.high).checked_mul(volume);
        volume >= 0
            && at_low.is_some_and(|least| least <= turnover)
            && at_high.is_none_or(|most| turnover <= most)
    };
    // Both are at least 0, or the sums of buys would be no part of them: no overflow.
    must(
        volume >= 0
            && turnover >= 0
            && priced(buy_turnover, buy_volume)
            && priced(turnover - buy_turnover, volume - buy_volume),
        "a bar's turnover does not go with its volume and prices",
    )
}

fn must(holds: bool, otherwise: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(otherwise) }
}
