//! The loops over a block's trades, compiled for several instruction sets.
//!
//! Each works on whole chunks of 64 trades, eight side by side, and has no branch that depends
//! on a trade, so that the compiler can vectorize it. What stands past the last trade of a block
//! is left from blocks before it, and read but never used.

use std::hint::black_box;

use super::bar::Sums;
use super::grid::{BELOW_TIE, CLOSE_TO_ALL, Decimals, most_off, shifted, shifted_units};
use super::simd::{prefetch, widest};

pub const CHUNK: usize = 64;
pub const BLOCK: usize = 1024;
pub const CHUNKS: usize = BLOCK / CHUNK;
/// The most trades that one aggregate may stand for: a block of them still adds up in 64 bits.
pub const MOST_INDIVIDUAL: u64 = 1 << 50;

/// Trades worked on side by side: one register of the widest kind.
const LANES: usize = 8;
/// Prices and quantities of the quick way are below this: two limbs of 26 bits each.
const NARROW_BITS: u32 = 51;
const LIMB: u32 = 26;
const LIMB_MASK: u64 = (1 << LIMB) - 1;
const SIGN: u64 = 1 << 63;
/// A product is off the grid by one half, which is a tie, or by less. Added to the bits of that, this
/// carries one half, and it alone, into the highest bit of the exponent.
const TIE_CARRY: u64 = TIE - 0.5_f64.to_bits();
const TIE: u64 = 1 << 62;

type Group<T> = [T; LANES];

/// Masks of the first so many trades of a group.
static FIRST: [Group<i64>; LANES + 1] = {
    let mut masks = [[0; LANES]; LANES + 1];
    let mut n = 1;
    while n <= LANES {
        masks[n] = masks[n - 1];
        masks[n][n - 1] = -1;
        n += 1;
    }
    masks
};

/// A chunk of units, and the lowest and highest of them.
pub struct Prices<'a> {
    pub units: &'a mut [i64; BLOCK],
    pub low: &'a mut [i64; CHUNKS],
    pub high: &'a mut [i64; CHUNKS],
}

/// What became of prices or quantities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Converted {
    All,
    /// All but those whose product is a tie, at least as a float.
    ButTies,
    /// One is unusual, good or bad.
    No,
}

widest! {
    /// Prices to units, and each chunk's extremes.
    pub fn convert_prices(source: &[f64], scale: f64, prices: &mut Prices<'_>) -> Converted = convert_prices_body
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each instruction set")]
fn convert_prices_body(source: &[f64], scale: f64, prices: &mut Prices<'_>) -> Converted {
    let (chunks, tail) = source.as_chunks::<CHUNK>();
    let targets = prices.units.as_chunks_mut::<CHUNK>().0;
    let extremes = prices.low.iter_mut().zip(prices.high.iter_mut());
    let mut bits = 0;
    let mut least = i64::MAX;
    let mut worst = [0.0; LANES];
    // A loop of unknown length is not unrolled; unrolled, this one spills most registers of AVX2.
    let all = black_box(CHUNK / LANES);
    for (c, (target, (low, high))) in targets.iter_mut().zip(extremes).enumerate() {
        let target = target.as_chunks_mut().0;
        if let Some(chunk) = chunks.get(c) {
            bits |=
                convert_groups(&chunk.as_chunks().0[..all], scale, target, low, high, &mut worst);
        } else if let Some(&last) = tail.last().filter(|_| c == chunks.len()) {
            // The last group is filled up with a price of its own, which changes no extreme.
            let mut chunk = [last; CHUNK];
            chunk[..tail.len()].copy_from_slice(tail);
            let groups = tail.len().div_ceil(LANES);
            bits |= convert_groups(
                &chunk.as_chunks().0[..groups],
                scale,
                target,
                low,
                high,
                &mut worst,
            );
        } else {
            break;
        }
        least = least.min(*low);
    }
    if bits >> NARROW_BITS != 0 || least < 1 {
        Converted::No
    } else if worst.iter().fold(0.0, |a, &b| higher(a, b)) <= most_off(least) {
        Converted::All
    } else if least >= CLOSE_TO_ALL {
        Converted::ButTies
    } else {
        Converted::No
    }
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "part of the loops")]
fn lower(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "part of the loops")]
fn higher(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

/// Returns all units or'ed together: any that is negative or too large, and what a NaN or an
/// infinity turns into, leaves a high bit.
#[inline(always)]
#[allow(clippy::inline_always, reason = "part of the loop above")]
fn convert_groups(
    source: &[Group<f64>],
    scale: f64,
    units: &mut [Group<i64>],
    low: &mut i64,
    high: &mut i64,
    worst: &mut Group<f64>,
) -> u64 {
    let mut bits: Group<u64> = [0; LANES];
    // Extremes of what the adder makes of a price: a positive float, in the order of the units.
    let mut least: Group<f64> = [f64::INFINITY; LANES];
    let mut most: Group<f64> = [0.0; LANES];
    // A copy, which the compiler keeps in registers.
    let mut farthest = *worst;
    for (group, slots) in source.iter().zip(units) {
        for j in 0..LANES {
            let (x, off) = shifted(group[j], scale);
            let off = off.abs();
            slots[j] = shifted_units(x);
            bits[j] |= slots[j].cast_unsigned();
            least[j] = lower(x, least[j]);
            most[j] = higher(x, most[j]);
            farthest[j] = higher(off, farthest[j]);
        }
    }
    *worst = farthest;
    // As integers, of which the compiler compares halves; of floats it compares one after the other.
    *low = least.iter().fold(i64::MAX, |a, &b| a.min(shifted_units(b)));
    *high = most.iter().fold(i64::MIN, |a, &b| a.max(shifted_units(b)));
    bits.iter().fold(0, |a, b| a | b)
}

widest! {
    /// Quantities to units.
    pub fn convert_quantities(source: &[f64], scale: f64, quantity: &mut [i64; BLOCK]) -> Converted = convert_quantities_body
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each instruction set")]
fn convert_quantities_body(source: &[f64], scale: f64, quantity: &mut [i64; BLOCK]) -> Converted {
    let (mut bits, mut signs, mut ties) = (0, 0, 0);
    for (slot, &x) in quantity.iter_mut().zip(source) {
        let (shifted, off) = shifted(x, scale);
        *slot = shifted_units(shifted);
        bits |= slot.cast_unsigned();
        // The smallest negative would round to 0.
        signs |= x.to_bits();
        ties |= off.to_bits().wrapping_add(TIE_CARRY);
    }
    if bits >> NARROW_BITS != 0 || signs & SIGN != 0 {
        Converted::No
    } else if ties & TIE != 0 {
        Converted::ButTies
    } else {
        Converted::All
    }
}

/// Decides the ties among numbers that are otherwise converted. Of numbers with one more decimal than
/// the grid every tenth is one, too many to give up a block for.
#[allow(clippy::cast_possible_truncation, reason = "below 2^51, as the others")]
pub fn decide_ties(source: &[f64], decimals: Decimals, units: &mut [i64; BLOCK]) {
    for (slot, &x) in units.iter_mut().zip(source) {
        if shifted(x, decimals.scale()).1.abs() > BELOW_TIE {
            *slot = (decimals.nearest_to_float(x).units as u64).cast_signed();
        }
    }
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

/// Columns of the block to come: where its first trades stand.
#[derive(Default)]
pub struct Ahead {
    columns: [Option<*const u64>; AHEAD],
}

/// Time, price, quantity, first and last trade id.
const AHEAD: usize = 5;
const CACHE_LINE: usize = 64;

impl Ahead {
    /// Of columns of eight bytes a trade.
    #[inline]
    #[must_use]
    pub fn new(columns: [Option<*const u64>; AHEAD]) -> Self {
        Self { columns }
    }

    /// Asks for the trades of chunk `c`.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "part of the loop below")]
    fn prefetch(&self, c: usize) {
        for column in self.columns.into_iter().flatten() {
            for i in (0..CHUNK).step_by(CACHE_LINE / size_of::<u64>()) {
                prefetch(column.wrapping_add(c * CHUNK + i));
            }
        }
    }
}

widest! {
    /// Sums over all trades before each chunk, and over all of them, lane by lane. The one loop that
    /// needs nothing from outside the core's cache, so it is the one that fetches what is `ahead`.
    pub fn prefix_lanes(price: &[i64], quantity: &[i64], buys: &[u64; CHUNKS], ahead: &Ahead, before: &mut [Lanes; CHUNKS + 1]) -> ()
        = prefix_lanes_body
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each instruction set")]
fn prefix_lanes_body(
    price: &[i64],
    quantity: &[i64],
    buys: &[u64; CHUNKS],
    ahead: &Ahead,
    before: &mut [Lanes; CHUNKS + 1],
) {
    let mut lanes = Lanes::default();
    let chunks = price.as_chunks::<CHUNK>().0.iter().zip(quantity.as_chunks::<CHUNK>().0).zip(buys);
    for (c, (slot, ((price, quantity), &buys))) in before.iter_mut().zip(chunks).enumerate() {
        *slot = lanes;
        ahead.prefetch(c);
        // A copy, which the compiler keeps in registers.
        let mut sum = lanes;
        let groups = price.as_chunks::<LANES>().0.iter().zip(quantity.as_chunks::<LANES>().0);
        for (g, (price, quantity)) in groups.enumerate() {
            add_group(&mut sum, price, quantity, buys >> (g * LANES));
        }
        lanes = sum;
    }
    before[price.len() / CHUNK] = lanes;
}

widest! {
    /// The sums of `before` and the first `len` trades of a chunk.
    pub fn add_part(before: &Lanes, price: &[i64; CHUNK], quantity: &[i64; CHUNK], buys: u64, len: usize) -> Sums
        = add_part_body
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each instruction set")]
fn add_part_body(
    before: &Lanes,
    price: &[i64; CHUNK],
    quantity: &[i64; CHUNK],
    buys: u64,
    len: usize,
) -> Sums {
    let mut lanes = Lanes::default();
    let groups = price.as_chunks::<LANES>().0.iter().zip(quantity.as_chunks::<LANES>().0);
    for (g, (price, quantity)) in groups.enumerate().take(len.div_ceil(LANES)) {
        // Trades of the last group that come after `len` count for nothing.
        let wanted = &FIRST[(len - g * LANES).min(LANES)];
        let quantity = std::array::from_fn(|j| quantity[j] & wanted[j]);
        add_group(&mut lanes, price, &quantity, buys >> (g * LANES));
    }
    lanes.add(before);
    lanes.sums()
}

/// Adds eight trades.
///
/// Quantities and prices are below 2^51. They are multiplied in limbs of 26 bits, of which a
/// plain vector multiplication makes 52, and the 2048 that a block adds (two for each trade in the
/// middle) still add up within 64 bits.
#[inline(always)]
#[allow(clippy::inline_always, reason = "part of the loops above")]
fn add_group(lanes: &mut Lanes, price: &Group<i64>, quantity: &Group<i64>, buys: u64) {
    let Lanes { all, bought } = lanes;
    for j in 0..LANES {
        let (p, q) = (price[j].cast_unsigned(), quantity[j].cast_unsigned());
        // The mask tells the compiler that 32 bits hold it.
        let (p0, p1) = (p & LIMB_MASK, (p >> LIMB) & u64::from(u32::MAX));
        let (q0, q1) = (q & LIMB_MASK, (q >> LIMB) & u64::from(u32::MAX));
        let (low, middle, high) = (p0 * q0, p0 * q1 + p1 * q0, p1 * q1);
        all.volume[j] += q;
        all.low[j] += low;
        all.middle[j] += middle;
        all.high[j] += high;
        // A mask and not a condition, which would become a store to memory.
        let buy = (buys >> j & 1).wrapping_neg();
        bought.volume[j] += q & buy;
        bought.low[j] += low & buy;
        bought.middle[j] += middle & buy;
        bought.high[j] += high & buy;
    }
}

/// Sums of a block's trades as they come together, before the lanes are added up. That takes as long
/// as adding a chunk, and is only done where a bar or the block ends.
#[derive(Clone, Copy, Default)]
pub struct Lanes {
    all: Products,
    bought: Products,
}

impl Lanes {
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "part of the loops above")]
    fn add(&mut self, other: &Self) {
        for (a, b) in [(&mut self.all, &other.all), (&mut self.bought, &other.bought)] {
            for j in 0..LANES {
                a.volume[j] += b.volume[j];
                a.low[j] += b.low[j];
                a.middle[j] += b.middle[j];
                a.high[j] += b.high[j];
            }
        }
    }

    /// The sums, without the counts.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "part of the loops above")]
    #[must_use]
    pub fn sums(&self) -> Sums {
        let (volume, turnover) = self.all.total();
        let (buy_volume, buy_turnover) = self.bought.total();
        Sums { volume, turnover, buy_volume, buy_turnover, ..Sums::default() }
    }
}

/// Quantities, and the limbs of their products with prices, added up in each lane.
#[derive(Clone, Copy, Default)]
struct Products {
    volume: Group<u64>,
    low: Group<u64>,
    middle: Group<u64>,
    high: Group<u64>,
}

impl Products {
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "part of the loops above")]
    fn total(&self) -> (i128, i128) {
        let add = |lanes: &Group<u64>| u128::from(lanes.iter().sum::<u64>());
        let turnover =
            add(&self.low) + (add(&self.middle) << LIMB) + (add(&self.high) << (2 * LIMB));
        (add(&self.volume).cast_signed(), turnover.cast_signed())
    }
}

widest! {
    /// A bit for each price at or beyond a boundary.
    pub fn outside(prices: &[i64; CHUNK], lower: i64, upper: i64) -> u64 = outside_body
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each instruction set")]
fn outside_body(prices: &[i64; CHUNK], lower: i64, upper: i64) -> u64 {
    let mut flags = [0_u8; CHUNK];
    for (flag, &p) in flags.iter_mut().zip(prices) {
        *flag = u8::from(p >= upper || p <= lower);
    }
    flags.as_chunks::<8>().0.iter().rev().fold(0, |mask, &eight| {
        // Eight bytes of one bit each: the product brings bit j of byte j to the top byte.
        let eight = u64::from_le_bytes(eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        mask << 8 | eight
    })
}

widest! {
    /// Lowest and highest of prices, of which there is at least one.
    pub fn extremes(prices: &[i64]) -> (i64, i64) = extremes_body
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled once for each instruction set")]
fn extremes_body(prices: &[i64]) -> (i64, i64) {
    prices.iter().fold((i64::MAX, i64::MIN), |(low, high), &p| (low.min(p), high.max(p)))
}
