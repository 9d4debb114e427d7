//! The loops over a block's trades, compiled for several instruction sets.
//!
//! Each works on whole chunks of 32 trades and has no branch that depends on a trade, so that the
//! compiler can vectorize it.

use super::bar::Sums;
use super::price::{MIN_PRICE, NARROW, UNITS_F64, narrow_units};
use super::simd::widest;

pub const CHUNK: usize = 32;
pub const BLOCK: usize = 1024;
pub const CHUNKS: usize = BLOCK / CHUNK;
/// The most trades that one aggregate may stand for: a block of them still adds up in 64 bits.
pub const MOST_INDIVIDUAL: u64 = 1 << 50;

widest! {
    /// Prices to units, and each chunk's extremes. False where one is no ordinary price.
    pub fn convert_prices(source: &[f64], price: &mut [i64; BLOCK], low: &mut [i64; CHUNKS], high: &mut [i64; CHUNKS]) -> bool
        = convert_prices_body
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each instruction set")]
fn convert_prices_body(
    source: &[f64],
    price: &mut [i64; BLOCK],
    low: &mut [i64; CHUNKS],
    high: &mut [i64; CHUNKS],
) -> bool {
    let (chunks, tail) = source.as_chunks::<CHUNK>();
    let mut good = true;
    let targets = price.as_chunks_mut::<CHUNK>().0;
    for (c, chunk) in chunks.iter().enumerate() {
        good &= convert_price_chunk(chunk, &mut targets[c], &mut low[c], &mut high[c]);
    }
    if let Some(&last) = tail.last() {
        // Padded with a price of its own, which changes neither extreme.
        let mut chunk = [last; CHUNK];
        chunk[..tail.len()].copy_from_slice(tail);
        let c = chunks.len();
        good &= convert_price_chunk(&chunk, &mut targets[c], &mut low[c], &mut high[c]);
    }
    good
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "part of the loop above")]
fn convert_price_chunk(
    source: &[f64; CHUNK],
    price: &mut [i64; CHUNK],
    low: &mut i64,
    high: &mut i64,
) -> bool {
    // Eight running extremes, as the compiler will not reorder float comparisons by itself.
    const LANES: usize = 8;
    let mut least = [f64::INFINITY; LANES];
    let mut most = [0.0_f64; LANES];
    for (group, slots) in source.as_chunks::<LANES>().0.iter().zip(price.as_chunks_mut::<LANES>().0)
    {
        for j in 0..LANES {
            let scaled = group[j] * UNITS_F64;
            slots[j] = narrow_units(scaled);
            least[j] = if group[j] < least[j] { group[j] } else { least[j] };
            // The other way round, so that a NaN gets through to the check.
            most[j] = if scaled <= most[j] { most[j] } else { scaled };
        }
    }
    let mut nan = false;
    for &x in source {
        nan |= x.is_nan();
    }
    let (mut bottom, mut top) = (f64::INFINITY, 0.0_f64);
    for j in 0..LANES {
        bottom = bottom.min(least[j]);
        top = top.max(most[j]);
    }
    *low = narrow_units(bottom * UNITS_F64);
    *high = narrow_units(top);
    !nan && bottom >= MIN_PRICE && top < NARROW
}

widest! {
    /// Quantities to units. False where one is no ordinary quantity.
    pub fn convert_quantities(source: &[f64], quantity: &mut [i64; BLOCK]) -> bool = convert_quantities_body
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each instruction set")]
fn convert_quantities_body(source: &[f64], quantity: &mut [i64; BLOCK]) -> bool {
    let mut good = true;
    for (slot, &x) in quantity.iter_mut().zip(source) {
        let scaled = x * UNITS_F64;
        *slot = narrow_units(scaled);
        // `x >= 0`, not `scaled`: the smallest negative would round to -0.
        good &= x >= 0.0 && scaled < NARROW;
    }
    quantity[source.len()..source.len().next_multiple_of(CHUNK)].fill(0);
    good
}

widest! {
    /// Trades behind each aggregate. False where there is none, or more than a sum of them can be.
    pub fn count_individual(first: &[i64], last: &[i64], count: &mut [u64]) -> bool = count_individual_body
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each instruction set")]
fn count_individual_body(first: &[i64], last: &[i64], count: &mut [u64]) -> bool {
    let mut good = true;
    for ((slot, &first), &last) in count.iter_mut().zip(first).zip(last) {
        let n = last.wrapping_sub(first).wrapping_add(1).cast_unsigned();
        *slot = n;
        // One comparison for both ends: zero wraps round to the largest.
        good &= n.wrapping_sub(1) < MOST_INDIVIDUAL;
    }
    good
}

widest! {
    /// Prefix sums at chunk boundaries.
    pub fn prefix_sums(price: &[i64], quantity: &[i64], before: &mut [Sums; CHUNKS + 1]) -> () = prefix_sums_body
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each instruction set")]
fn prefix_sums_body(price: &[i64], quantity: &[i64], before: &mut [Sums; CHUNKS + 1]) {
    let mut sums = Sums::default();
    let chunks = price.as_chunks::<CHUNK>().0.iter().zip(quantity.as_chunks::<CHUNK>().0);
    for (slot, (price, quantity)) in before.iter_mut().zip(chunks) {
        *slot = sums;
        let (volume, turnover) = multiply(price, quantity);
        sums.volume += i128::from(volume);
        sums.turnover += turnover;
    }
    before[price.len() / CHUNK] = sums;
}

widest! {
    /// Prefix sums at chunk boundaries, those of the buys too.
    pub fn prefix_sums_by_side(price: &[i64], quantity: &[i64], buys: &[u32; CHUNKS], before: &mut [Sums; CHUNKS + 1]) -> ()
        = prefix_sums_by_side_body
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each instruction set")]
fn prefix_sums_by_side_body(
    price: &[i64],
    quantity: &[i64],
    buys: &[u32; CHUNKS],
    before: &mut [Sums; CHUNKS + 1],
) {
    let mut sums = Sums::default();
    let chunks = price.as_chunks::<CHUNK>().0.iter().zip(quantity.as_chunks::<CHUNK>().0).zip(buys);
    for (slot, ((price, quantity), &buys)) in before.iter_mut().zip(chunks) {
        *slot = sums;
        let mut bought = [0; CHUNK];
        for j in 0..CHUNK {
            bought[j] = quantity[j] & -i64::from(buys >> j & 1);
        }
        let (volume, turnover) = multiply(price, quantity);
        sums.volume += i128::from(volume);
        sums.turnover += turnover;
        let (volume, turnover) = multiply(price, &bought);
        sums.buy_volume += i128::from(volume);
        sums.buy_turnover += turnover;
    }
    before[price.len() / CHUNK] = sums;
}

/// Sum of the quantities, and of price times quantity. All are below 2^51, so 32 of them add up
/// within 64 bits and 32 products within 128.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each instruction set")]
fn multiply(price: &[i64; CHUNK], quantity: &[i64; CHUNK]) -> (i64, i128) {
    let mut volume = 0;
    let mut turnover = 0_u128;
    for j in 0..CHUNK {
        volume += quantity[j];
        turnover += u128::from(price[j].cast_unsigned()) * u128::from(quantity[j].cast_unsigned());
    }
    (volume, turnover.cast_signed())
}

widest! {
    /// A bit for each price at or beyond a boundary.
    pub fn outside(prices: &[i64; CHUNK], lower: i64, upper: i64) -> u32 = outside_body
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each instruction set")]
fn outside_body(prices: &[i64; CHUNK], lower: i64, upper: i64) -> u32 {
    let mut mask = 0;
    for (j, &p) in prices.iter().enumerate() {
        mask |= u32::from(p >= upper || p <= lower) << j;
    }
    mask
}

/// Lowest and highest of a chunk.
#[must_use]
pub fn extremes(prices: &[i64; CHUNK]) -> (i64, i64) {
    prices.iter().fold((i64::MAX, i64::MIN), |(low, high), &p| (low.min(p), high.max(p)))
}
