//! What a bar knows: the integers that trades add up to.

use super::rule::Rule;

/// Sums over trades, all exact and independent of order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Units of the quantities' grid.
    pub volume: i128,
    /// Products of units of both grids.
    pub turnover: i128,
    /// The part of the volume whose taker bought.
    pub buy_volume: i128,
    pub buy_turnover: i128,
    pub buy_count: u64,
    /// Trades behind the aggregated ones: the sum of `last_trade_id - first_trade_id + 1`.
    pub individual_count: u64,
}

impl Sums {
    /// Both together, or `None` where a sum leaves the grid.
    #[inline]
    #[must_use]
    pub fn checked_add(&self, other: &Self) -> Option<Self> {
        Some(Self {
            volume: self.volume.checked_add(other.volume)?,
            turnover: self.turnover.checked_add(other.turnover)?,
            // Parts of the above, so they cannot overflow where those do not.
            buy_volume: self.buy_volume + other.buy_volume,
            buy_turnover: self.buy_turnover + other.buy_turnover,
            buy_count: self.buy_count + other.buy_count,
            individual_count: self.individual_count.checked_add(other.individual_count)?,
        })
    }

    /// What `self`, a longer prefix of the same trades, has more than `shorter`.
    #[inline]
    #[must_use]
    pub fn since(&self, shorter: &Self) -> Self {
        Self {
            volume: self.volume - shorter.volume,
            turnover: self.turnover - shorter.turnover,
            buy_volume: self.buy_volume - shorter.buy_volume,
            buy_turnover: self.buy_turnover - shorter.buy_turnover,
            buy_count: self.buy_count - shorter.buy_count,
            individual_count: self.individual_count - shorter.individual_count,
        }
    }

    /// One more trade.
    #[inline]
    #[must_use]
    pub fn checked_trade(&self, price: i64, quantity: i128, buy: bool) -> Option<Self> {
        let turnover = i128::from(price).checked_mul(quantity)?;
        let bought = i128::from(buy);
        self.checked_add(&Self {
            volume: quantity,
            turnover,
            buy_volume: quantity * bought,
            buy_turnover: turnover * bought,
            buy_count: u64::from(buy),
            individual_count: 0,
        })
    }
}

/// Ids of the first and last trade; 0 where the input has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ids {
    pub agg_trade: i64,
    pub trade: i64,
}

/// A range bar, in progress or done. Times are in the input's unit, 0 without a time column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// Row of the opening trade, counted from the start of the stream.
    pub open_row: u64,
    pub open_time: i64,
    pub close_time: i64,
    /// Prices in units.
    pub open: i64,
    pub high: i64,
    pub low: i64,
    pub close: i64,
    /// Cuts; a trade at or beyond one closes the bar.
    pub upper: i64,
    pub lower: i64,
    pub trade_count: u64,
    pub sums: Sums,
    pub first: Ids,
    pub last: Ids,
}

impl Bar {
    /// A bar opened at `price`, which has no trade yet: the opening trade is added like any other.
    #[must_use]
    pub fn open(price: i64, time: i64, row: u64, ids: Ids, rule: Rule) -> Self {
        let (upper, lower) = rule.boundaries(price);
        Self {
            open_row: row,
            open_time: time,
            close_time: time,
            open: price,
            high: price,
            low: price,
            close: price,
            upper,
            lower,
            trade_count: 0,
            sums: Sums::default(),
            first: ids,
            last: ids,
        }
    }
}
