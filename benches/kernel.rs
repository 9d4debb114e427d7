//! The kernel alone, in memory, beside reading every column once.
//!
//! `cargo bench --no-default-features` builds it without Polars, in seconds.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "made-up numbers are small"
)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rangebar_polars::core::bar::Bar;
use rangebar_polars::core::block::Rows;
use rangebar_polars::core::cuts::Cuts;
use rangebar_polars::core::grid::Grid;
use rangebar_polars::core::machine::{BarOptions, Machine, Sink, Workspace};
use rangebar_polars::core::rule::Rule;
use rangebar_polars::core::rule::range::Threshold;
use rangebar_polars::core::trades::{Bits, Numbers, Trades};

const ROWS: usize = 4_000_000;

struct Columns {
    time: Vec<i64>,
    price: Vec<f64>,
    quantity: Vec<f64>,
    sides: Vec<u8>,
    agg: Vec<i64>,
    first: Vec<i64>,
    last: Vec<i64>,
}

/// A seeded walk on a tick grid, in bursts of equal times.
fn columns() -> Columns {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (mut tick, mut time, mut id) = (600_000_i64, 1_700_000_000_000_i64, 0_i64);
    let mut made = Columns {
        time: Vec::new(),
        price: Vec::new(),
        quantity: Vec::new(),
        sides: vec![0; ROWS / 8],
        agg: (0..ROWS as i64).collect(),
        first: Vec::new(),
        last: Vec::new(),
    };
    for i in 0..ROWS {
        let bits = random();
        tick += (bits % 13) as i64 - 6;
        time += i64::from((bits >> 8) % 4 == 0) * (bits >> 10 & 31) as i64;
        made.time.push(time);
        made.price.push(tick as f64 / 10.0);
        made.quantity.push((bits >> 16 & 0xffff) as f64 / 1e5);
        made.sides[i / 8] |= ((bits >> 40 & 1) as u8) << (i % 8);
        made.first.push(id);
        id += (bits >> 48 & 3) as i64;
        made.last.push(id);
        id += 1;
    }
    made
}

impl Columns {
    fn trades(&self, all: bool) -> Trades<'_> {
        Trades {
            price: Numbers::Float(&self.price),
            quantity: Some(Numbers::Float(&self.quantity)),
            timestamp: Some(&self.time),
            is_buyer_maker: Some(Bits { bytes: &self.sides, offset: 0 }),
            agg_trade_id: all.then_some(&self.agg[..]),
            first_trade_id: all.then_some(&self.first[..]),
            last_trade_id: all.then_some(&self.last[..]),
            grid: Grid::default(),
            offset: 0,
            len: ROWS,
        }
    }

    /// One addition for each value: what merely having looked at the columns costs.
    fn read_once(&self, all: bool) -> f64 {
        let floats: [f64; 8] =
            [&self.price, &self.quantity].into_iter().fold([0.0; 8], |mut sums, column| {
                for chunk in column.as_chunks::<8>().0 {
                    for j in 0..8 {
                        sums[j] += chunk[j];
                    }
                }
                sums
            });
        let sum = |column: &[i64]| column.iter().fold(0_i64, |a, &b| a.wrapping_add(b));
        let mut ints = sum(&self.time);
        if all {
            ints += sum(&self.agg) + sum(&self.first) + sum(&self.last);
        }
        let sides: u64 = self.sides.iter().map(|&b| u64::from(b)).sum();
        floats.iter().sum::<f64>() + ints as f64 + sides as f64
    }
}

#[derive(Default)]
struct Bars(Vec<Bar>);

impl Sink for Bars {
    fn joined(&mut self, _: Rows<'_>, _: usize, _: usize, _: u32) {}

    fn ended(&mut self, bar: &Bar, _: u32, _: u64, _: usize, _: bool) {
        self.0.push(*bar);
    }
}

fn run(trades: &Trades<'_>, thresholds: &[i64]) -> usize {
    let options = BarOptions {
        rules: thresholds.iter().filter_map(|&t| Threshold::new(t).ok().map(Rule::Range)).collect(),
        same_timestamp_close: false,
        cuts: Cuts::default(),
        first_time: None,
    };
    let mut bars = Bars::default();
    let mut machine = Machine::new(&options);
    let mut workspace = Workspace::default();
    let pushed =
        machine.push(trades, Rows::From(0), trades.len, &options, &mut workspace, &mut bars);
    assert!(pushed.is_ok());
    bars.0.len()
}

fn kernel(criterion: &mut Criterion) {
    let columns = columns();
    for (name, all) in [("4 columns", false), ("7 columns", true)] {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(ROWS as u64)).sample_size(10);
        group.bench_function("read once", |b| b.iter(|| black_box(&columns).read_once(all)));
        let trades = columns.trades(all);
        for threshold in [250, 25, 5] {
            group.bench_function(BenchmarkId::new("bars", threshold), |b| {
                b.iter(|| run(black_box(&trades), &[threshold]));
            });
        }
        group.bench_function("bars, 8 thresholds", |b| {
            b.iter(|| run(black_box(&trades), &[100, 150, 200, 250, 300, 400, 500, 1000]));
        });
        group.finish();
    }
}

/// Bars' sums as floats: numbers of the sizes that bars have.
fn numbers_out(criterion: &mut Criterion) {
    let columns = columns();
    let prices: Vec<i64> = columns.price.iter().map(|p| (p * 1e8).round() as i64).collect();
    let volumes: Vec<i128> = columns.time.iter().map(|t| i128::from(t % 1_000_003) << 12).collect();
    let turnovers: Vec<i128> =
        prices.iter().zip(&volumes).map(|(p, v)| i128::from(*p) * v).collect();
    let grid = black_box(Grid::default());
    let mut group = criterion.benchmark_group("numbers out");
    group.throughput(Throughput::Elements(ROWS as u64)).sample_size(10);
    group.bench_function("price", |b| {
        b.iter(|| prices.iter().map(|&n| grid.price_to_f64(n)).sum::<f64>());
    });
    group.bench_function("volume", |b| {
        b.iter(|| volumes.iter().map(|&n| grid.quantity_to_f64(n)).sum::<f64>());
    });
    group.bench_function("turnover", |b| {
        b.iter(|| turnovers.iter().map(|&n| grid.turnover_to_f64(n)).sum::<f64>());
    });
    group.bench_function("vwap", |b| {
        b.iter(|| {
            turnovers.iter().zip(&volumes).filter_map(|(&t, &v)| grid.vwap(t, v)).sum::<f64>()
        });
    });
    group.finish();
}

criterion_group!(benches, kernel, numbers_out);
criterion_main!(benches);
