//! A block: up to 1024 trades on the grid, with the partial sums that every threshold shares.
//!
//! Preparing a block is the only pass over the trades. It turns prices and quantities into
//! integers, checks them, and notes for every chunk of 64 trades the lowest and highest price
//! and the sums up to its start. A machine then finds where a bar closes by looking at one pair
//! of numbers a chunk, and the bar's sums as the difference of two prefixes; it touches single
//! trades only in the two chunks at the ends. So a second threshold costs next to nothing, and
//! as integers add up the same in any order, nothing depends on where blocks begin.

use super::bar::Sums;
use super::error::{Field, Problem, TradeError, Value};
use super::grid::NARROW;
use super::kernels::{
    Ahead, BLOCK, CHUNK, CHUNKS, Converted, Lanes, MOST_INDIVIDUAL, Prices, add_part,
    convert_prices, convert_quantities, count_individual, decide_ties, extremes, outside,
    prefix_lanes,
};
use super::trades::{Numbers, Trades};

/// Which rows of a batch a block is made of.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a> {
    /// Neighbours, from the given row on.
    From(usize),
    /// Picked rows, in order: one key's among those of others.
    Picked(&'a [u32]),
}

impl Rows<'_> {
    /// Row of the batch at which the block's trade `i` stands.
    #[inline]
    #[must_use]
    pub fn row(&self, i: usize) -> usize {
        match self {
            Self::From(start) => start + i,
            Self::Picked(rows) => rows[i] as usize,
        }
    }

    /// `column` at these rows: borrowed where they are neighbours, else picked into `scratch`.
    #[inline]
    fn pick<'c, T: Copy>(&self, column: &'c [T], len: usize, scratch: &'c mut Vec<T>) -> &'c [T] {
        match self {
            Self::From(start) => &column[*start..start + len],
            Self::Picked(rows) => {
                scratch.clear();
                scratch.extend(rows[..len].iter().map(|&row| column[row as usize]));
                scratch
            }
        }
    }
}

/// See the module's description. Made once and filled again and again.
pub struct Block {
    len: usize,
    price: Box<[i64; BLOCK]>,
    quantity: Box<[i64; BLOCK]>,
    /// Quantities of a block in which one is too large for the quick sums; else empty.
    wide: Vec<i128>,
    /// Whether there are quick sums: of quantities, none of them too large.
    summed: bool,
    /// A bit a trade whose taker bought.
    buys: [u64; CHUNKS],
    low: [i64; CHUNKS],
    high: [i64; CHUNKS],
    /// Sums over all trades before the chunk, up to the one in which the block ends; lane by lane.
    before: Box<[Lanes; CHUNKS + 1]>,
    /// Buys before the chunk, likewise.
    buys_before: [u64; CHUNKS + 1],
    /// Trades behind the aggregated ones before the chunk, likewise.
    individual_before: [u64; CHUNKS + 1],
    /// `last_trade_id - first_trade_id + 1` of each trade.
    individual: Vec<u64>,
    /// Times, where they had to be picked.
    time: Vec<i64>,
    floats: Vec<f64>,
    ints: Vec<i64>,
    ints_too: Vec<i64>,
}

impl Default for Block {
    fn default() -> Self {
        Self {
            len: 0,
            price: Box::new([0; BLOCK]),
            quantity: Box::new([0; BLOCK]),
            wide: Vec::new(),
            summed: false,
            buys: [0; CHUNKS],
            low: [0; CHUNKS],
            high: [0; CHUNKS],
            before: Box::new([Lanes::default(); CHUNKS + 1]),
            buys_before: [0; CHUNKS + 1],
            individual_before: [0; CHUNKS + 1],
            individual: Vec::new(),
            time: Vec::new(),
            floats: Vec::new(),
            ints: Vec::new(),
            ints_too: Vec::new(),
        }
    }
}

impl Block {
    /// Fills the block with `len` trades (1..=1024).
    ///
    /// # Errors
    /// The first trade, in row order, that is not on the grid.
    pub fn fill(
        &mut self,
        trades: &Trades<'_>,
        rows: Rows<'_>,
        len: usize,
    ) -> Result<(), TradeError> {
        self.len = len;
        self.wide.clear();
        if trades.first_trade_id.is_some() && trades.last_trade_id.is_some() {
            self.individual.resize(BLOCK, 0);
        }
        let narrow = self.fill_prices(trades, rows)
            && self.fill_quantities(trades, rows)
            && self.fill_individual(trades, rows);
        if !narrow {
            self.fill_carefully(trades, rows)?;
        }
        self.fill_buys(trades, rows);
        self.add_up(trades, &ahead(trades, rows, len));
        Ok(())
    }

    /// Picks the times of the block's trades; call before [`Self::times`].
    pub fn fill_times(&mut self, column: Option<&[i64]>, rows: Rows<'_>, len: usize) {
        if let (Some(column), Rows::Picked(_)) = (column, rows) {
            rows.pick(column, len, &mut self.time);
        }
    }

    /// Times of the block's trades.
    #[inline]
    #[must_use]
    pub fn times<'a>(
        &'a self,
        column: Option<&'a [i64]>,
        rows: Rows<'_>,
        len: usize,
    ) -> Option<&'a [i64]> {
        match rows {
            Rows::From(start) => column.map(|c| &c[start..start + len]),
            Rows::Picked(_) => column.map(|_| self.time.as_slice()),
        }
    }

    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    #[must_use]
    pub fn price(&self, i: usize) -> i64 {
        self.price[i]
    }

    /// Prices by the quick way; false where one is unusual, good or bad.
    fn fill_prices(&mut self, trades: &Trades<'_>, rows: Rows<'_>) -> bool {
        let Numbers::Float(column) = trades.price else { return false };
        let source = rows.pick(column, self.len, &mut self.floats);
        let mut prices =
            Prices { units: &mut self.price, low: &mut self.low, high: &mut self.high };
        let decimals = trades.grid.price();
        let converted = convert_prices(source, decimals.scale(), &mut prices);
        if converted == Converted::ButTies {
            decide_ties(source, decimals, &mut self.price);
            self.find_extremes();
        }
        converted != Converted::No
    }

    fn find_extremes(&mut self) {
        for (c, chunk) in self.price[..self.len].chunks(CHUNK).enumerate() {
            (self.low[c], self.high[c]) = extremes(chunk);
        }
    }

    fn fill_quantities(&mut self, trades: &Trades<'_>, rows: Rows<'_>) -> bool {
        match trades.quantity {
            None => true,
            Some(Numbers::Float(column)) => {
                let source = rows.pick(column, self.len, &mut self.floats);
                let decimals = trades.grid.quantity();
                let converted = convert_quantities(source, decimals.scale(), &mut self.quantity);
                if converted == Converted::ButTies {
                    decide_ties(source, decimals, &mut self.quantity);
                }
                converted != Converted::No
            }
            Some(_) => false,
        }
    }

    fn fill_individual(&mut self, trades: &Trades<'_>, rows: Rows<'_>) -> bool {
        let (Some(first), Some(last)) = (trades.first_trade_id, trades.last_trade_id) else {
            return true;
        };
        let first = rows.pick(first, self.len, &mut self.ints);
        let last = rows.pick(last, self.len, &mut self.ints_too);
        count_individual(first, last, &mut self.individual)
    }

    /// Every check in row order, and numbers of any size: for blocks that the quick ways refuse.
    fn fill_carefully(&mut self, trades: &Trades<'_>, rows: Rows<'_>) -> Result<(), TradeError> {
        let mut wide = false;
        let mut quantities = Vec::with_capacity(self.len);
        for i in 0..self.len {
            let row = rows.row(i);
            let price = trades.price_units(row)?;
            let quantity = trades.quantity_units(row)?;
            self.price[i] = price;
            #[allow(clippy::cast_precision_loss, reason = "a bound well inside the exact range")]
            let narrow = (price as f64) < NARROW && (quantity as f64) < NARROW;
            wide |= !narrow;
            quantities.push(quantity);
            if let (Some(first), Some(last)) = (trades.first_trade_id, trades.last_trade_id) {
                let count = i128::from(last[row]) - i128::from(first[row]) + 1;
                let value = Value::Decimal(i128::from(last[row]), 0);
                let refuse = |problem| trades.error(Field::LastTradeId, row, value, problem);
                self.individual[i] = match u64::try_from(count) {
                    Err(_) | Ok(0) => return Err(refuse(Problem::IdsReversed)),
                    Ok(n) if n > MOST_INDIVIDUAL => return Err(refuse(Problem::SumBeyondGrid)),
                    Ok(n) => n,
                };
            }
        }
        if wide {
            self.wide = quantities;
        } else {
            for (slot, quantity) in self.quantity.iter_mut().zip(quantities) {
                #[allow(clippy::cast_possible_truncation, reason = "below 2^51 here")]
                {
                    *slot = quantity as i64;
                }
            }
        }
        self.find_extremes();
        Ok(())
    }

    fn fill_buys(&mut self, trades: &Trades<'_>, rows: Rows<'_>) {
        let Some(sells) = trades.is_buyer_maker else { return };
        for (c, start) in (0..self.len).step_by(CHUNK).enumerate() {
            let len = CHUNK.min(self.len - start);
            let word = match rows {
                Rows::From(first) => sells.word(first + start, len),
                Rows::Picked(rows) => rows[start..start + len]
                    .iter()
                    .enumerate()
                    .fold(0, |word, (j, &row)| word | u64::from(sells.get(row as usize)) << j),
            };
            // The buyer was the maker, so the taker sold; every other trade is a buy.
            self.buys[c] = !word & (u64::MAX >> (CHUNK - len));
        }
    }

    fn add_up(&mut self, trades: &Trades<'_>, ahead: &Ahead) {
        // Nobody asks for more than a part of a chunk that is not full.
        let full = self.len / CHUNK;
        if trades.is_buyer_maker.is_none() {
            self.buys[..self.len.div_ceil(CHUNK)].fill(0);
        }
        self.summed = trades.quantity.is_some() && self.wide.is_empty();
        if self.summed {
            let (price, quantity) = (&self.price[..full * CHUNK], &self.quantity[..full * CHUNK]);
            prefix_lanes(price, quantity, &self.buys, ahead, &mut self.before);
        }
        for (c, buys) in self.buys[..full].iter().enumerate() {
            self.buys_before[c + 1] = self.buys_before[c] + u64::from(buys.count_ones());
        }
        if trades.first_trade_id.is_some() && trades.last_trade_id.is_some() {
            let chunks = self.individual.as_chunks::<CHUNK>().0;
            for (c, chunk) in chunks[..full].iter().enumerate() {
                self.individual_before[c + 1] =
                    self.individual_before[c] + chunk.iter().sum::<u64>();
            }
        } else {
            self.individual.clear();
        }
    }

    /// Sums over the block's trades before `end`. Of a wide block, the counts alone.
    #[inline]
    #[must_use]
    pub fn sums_before(&self, end: usize) -> Sums {
        if end == 0 {
            return Sums::default();
        }
        let c = end / CHUNK;
        let start = c * CHUNK;
        let part = end - start;
        let mut sums = match (self.summed, part) {
            (false, _) => Sums::default(),
            (true, 0) => self.before[c].sums(),
            (true, _) => {
                let (price, quantity) = (self.price.as_chunks().0, self.quantity.as_chunks().0);
                add_part(&self.before[c], &price[c], &quantity[c], self.buys[c], part)
            }
        };
        sums.buy_count = self.buys_before[c];
        if part > 0 {
            sums.buy_count += u64::from((self.buys[c] & ((1 << part) - 1)).count_ones());
        }
        if !self.individual.is_empty() {
            sums.individual_count =
                self.individual_before[c] + self.individual[start..end].iter().sum::<u64>();
        }
        sums
    }

    /// Sums over trades `start..end`, given those before either; `None` where they leave the grid.
    #[inline]
    #[must_use]
    pub fn sums_between(
        &self,
        start: usize,
        end: usize,
        before: &Sums,
        after: &Sums,
    ) -> Option<Sums> {
        let sums = after.since(before);
        if self.wide.is_empty() { Some(sums) } else { self.wide_sums(start, end, sums) }
    }

    /// The careful sums of a wide block: trade by trade, every step checked.
    #[cold]
    fn wide_sums(&self, start: usize, end: usize, counts: Sums) -> Option<Sums> {
        let mut sums = Sums::default();
        for i in start..end {
            sums = sums.checked_trade(self.price[i], self.wide[i], self.is_buy(i))?;
        }
        Some(Sums {
            buy_count: counts.buy_count,
            individual_count: counts.individual_count,
            ..sums
        })
    }

    /// Index of the first trade of `start..end` whose sums, added to `sums`, leave the grid.
    #[cold]
    #[must_use]
    pub fn first_overflow(&self, start: usize, end: usize, mut sums: Sums) -> usize {
        for i in start..end {
            let quantity = self.wide.get(i).copied().unwrap_or(i128::from(self.quantity[i]));
            let next =
                sums.checked_trade(self.price[i], quantity, self.is_buy(i)).and_then(|mut s| {
                    let more = self.individual.get(i).copied().unwrap_or(0);
                    s.individual_count = s.individual_count.checked_add(more)?;
                    Some(s)
                });
            match next {
                Some(next) => sums = next,
                None => return i,
            }
        }
        end - 1
    }

    fn is_buy(&self, i: usize) -> bool {
        self.buys[i / CHUNK] >> (i % CHUNK) & 1 == 1
    }

    /// Index of the first trade in `start..end` at or beyond a boundary.
    #[inline]
    #[must_use]
    pub fn first_outside(&self, start: usize, end: usize, lower: i64, upper: i64) -> Option<usize> {
        let mut c = start / CHUNK;
        let mut keep = u64::MAX << (start % CHUNK);
        while c * CHUNK < end {
            if self.low[c] <= lower || self.high[c] >= upper {
                let mask = outside(&self.price.as_chunks().0[c], lower, upper) & keep;
                if mask != 0 {
                    let hit = c * CHUNK + mask.trailing_zeros() as usize;
                    return (hit < end).then_some(hit);
                }
            }
            keep = u64::MAX;
            c += 1;
        }
        None
    }

    /// Lowest and highest price of trades `start..end`, of which there is at least one.
    #[inline]
    #[must_use]
    pub fn extremes(&self, start: usize, end: usize) -> (i64, i64) {
        let first = start.div_ceil(CHUNK);
        let last = end / CHUNK;
        if first >= last {
            return extremes(&self.price[start..end]);
        }
        let whole = (first..last).map(|c| (self.low[c], self.high[c]));
        let parts = [start..first * CHUNK, last * CHUNK..end];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        let parts = parts.map(|part| extremes(&self.price[part]));
        whole.chain(parts).fold((i64::MAX, i64::MIN), |a, b| (a.0.min(b.0), a.1.max(b.1)))
    }
}

/// Where the block after this one stands, if its trades are neighbours.
fn ahead(trades: &Trades<'_>, rows: Rows<'_>, len: usize) -> Ahead {
    let Rows::From(start) = rows else { return Ahead::default() };
    let floats = |numbers| match numbers {
        Numbers::Float(column) => column.get(start + len..).map(|c| c.as_ptr().cast()),
        _ => None,
    };
    let ints = |column: &[i64]| column.get(start + len..).map(|c| c.as_ptr().cast());
    Ahead::new([
        floats(trades.price),
        trades.quantity.and_then(floats),
        trades.timestamp.and_then(ints),
        trades.first_trade_id.and_then(ints),
        trades.last_trade_id.and_then(ints),
    ])
}

#[cfg(test)]
mod tests;
