//! The core against an obvious oracle, at every cut of the input.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a test may fail loudly, and its numbers are small"
)]

use proptest::prelude::*;
use rangebar_polars::core::bar::{Bar, Ids, Sums};
use rangebar_polars::core::block::Rows;
use rangebar_polars::core::cuts::Cuts;
use rangebar_polars::core::error::{Problem, TradeError};
use rangebar_polars::core::grid::Grid;
use rangebar_polars::core::machine::{BarOptions, Machine, Sink, Workspace};
use rangebar_polars::core::rule::Rule;
use rangebar_polars::core::rule::range::Threshold;
use rangebar_polars::core::trades::{Bits, Numbers, Trades};

#[derive(Debug, Clone)]
struct Trade {
    time: i64,
    price: f64,
    quantity: f64,
    sell: bool,
    first: i64,
    last: i64,
}

/// Bars by the rules, one trade at a time and nothing clever.
fn oracle(trades: &[Trade], threshold: i64, gate: bool) -> (Vec<Bar>, Option<Bar>, Vec<u64>) {
    let mut bars = Vec::new();
    let mut ids = Vec::new();
    let mut current: Option<Bar> = None;
    for (row, trade) in trades.iter().enumerate() {
        let price = (trade.price * 1e8).round_ties_even() as i64;
        let quantity = (trade.quantity * 1e8).round_ties_even() as i128;
        let bar = current.get_or_insert_with(|| {
            let delta =
                std::cmp::max(1, i128::from(price) * i128::from(threshold) / 100_000) as i64;
            Bar {
                open_row: row as u64,
                open_time: trade.time,
                open: price,
                high: price,
                low: price,
                upper: price + delta,
                lower: price - delta,
                close: 0,
                close_time: 0,
                trade_count: 0,
                sums: Sums::default(),
                first: Ids { agg_trade: row as i64, trade: trade.first },
                last: Ids::default(),
            }
        });
        ids.push(bars.len() as u64);
        bar.close = price;
        bar.close_time = trade.time;
        bar.high = bar.high.max(price);
        bar.low = bar.low.min(price);
        bar.trade_count += 1;
        bar.sums.volume += quantity;
        bar.sums.turnover += quantity * i128::from(price);
        if !trade.sell {
            bar.sums.buy_count += 1;
            bar.sums.buy_volume += quantity;
            bar.sums.buy_turnover += quantity * i128::from(price);
        }
        bar.sums.individual_count += (trade.last - trade.first + 1) as u64;
        bar.last = Ids { agg_trade: row as i64, trade: trade.last };
        let outside = price >= bar.upper || price <= bar.lower;
        if outside && !(gate && trade.time == bar.open_time) {
            bars.push(*bar);
            current = None;
        }
    }
    (bars, current, ids)
}

struct Columns {
    time: Vec<i64>,
    price: Vec<f64>,
    quantity: Vec<f64>,
    sides: Vec<u8>,
    agg: Vec<i64>,
    first: Vec<i64>,
    last: Vec<i64>,
}

impl Columns {
    fn new(trades: &[Trade]) -> Self {
        let mut sides = vec![0; trades.len().div_ceil(8)];
        for (i, trade) in trades.iter().enumerate() {
            sides[i / 8] |= u8::from(trade.sell) << (i % 8);
        }
        Self {
            time: trades.iter().map(|t| t.time).collect(),
            price: trades.iter().map(|t| t.price).collect(),
            quantity: trades.iter().map(|t| t.quantity).collect(),
            sides,
            agg: (0..trades.len() as i64).collect(),
            first: trades.iter().map(|t| t.first).collect(),
            last: trades.iter().map(|t| t.last).collect(),
        }
    }

    fn slice(&self, start: usize, end: usize) -> Trades<'_> {
        Trades {
            price: Numbers::Float(&self.price[start..end]),
            quantity: Some(Numbers::Float(&self.quantity[start..end])),
            timestamp: Some(&self.time[start..end]),
            is_buyer_maker: Some(Bits { bytes: &self.sides, offset: start }),
            agg_trade_id: Some(&self.agg[start..end]),
            first_trade_id: Some(&self.first[start..end]),
            last_trade_id: Some(&self.last[start..end]),
            grid: Grid::default(),
            offset: start as u64,
            len: end - start,
        }
    }
}

#[derive(Default)]
struct Collected {
    bars: Vec<Vec<Bar>>,
    ids: Vec<u64>,
}

impl Sink for Collected {
    fn joined(&mut self, _: Rows<'_>, start: usize, end: usize, id: u32) {
        self.ids.extend(std::iter::repeat_n(u64::from(id), end - start));
    }

    fn ended(&mut self, bar: &Bar, id: u32, row: u64, rule: usize, complete: bool) {
        assert!(complete);
        assert_eq!(id as usize, self.bars[rule].len());
        assert_eq!(row, bar.open_row + bar.trade_count - 1);
        self.bars[rule].push(*bar);
    }
}

fn options(thresholds: &[i64], gate: bool) -> BarOptions {
    BarOptions {
        rules: thresholds.iter().map(|&t| Rule::Range(Threshold::new(t).unwrap())).collect(),
        same_timestamp_close: !gate,
        cuts: Cuts::default(),
        first_time: None,
    }
}

fn run(
    trades: &[Trade],
    cuts: &[usize],
    options: &BarOptions,
) -> Result<(Collected, Machine), TradeError> {
    let columns = Columns::new(trades);
    let mut machine = Machine::new(options);
    let mut sink = Collected { bars: vec![Vec::new(); options.rules.len()], ..Default::default() };
    let mut workspace = Workspace::default();
    let mut start = 0;
    for &end in cuts.iter().chain([&trades.len()]) {
        let batch = columns.slice(start, end);
        machine.push(&batch, Rows::From(0), end - start, options, &mut workspace, &mut sink)?;
        start = end;
    }
    Ok((sink, machine))
}

/// Trades whose prices like to stand exactly on a boundary.
fn trades(most: usize) -> impl Strategy<Value = Vec<Trade>> {
    let step = (0_i64..3, -12_i64..=12, 0_u32..5, any::<bool>(), 0_i64..4, 0_u32..50);
    (
        prop_oneof![Just(1_i64), Just(1_000), Just(6_000_000_000_000)],
        prop::collection::vec(step, 1..most),
    )
        .prop_map(|(base, steps)| {
            let mut time = 0;
            let mut id = 100;
            let mut price = base * 40;
            let tick = (base / 25).max(1);
            steps
                .into_iter()
                .map(|(wait, jump, zeros, sell, more, quantity)| {
                    time += i64::from(wait == 0);
                    price = (price + jump * tick).max(1);
                    let first = id;
                    id += more + 1;
                    let quantity = f64::from(quantity) * 10_f64.powi(zeros as i32 * 3 - 4);
                    Trade { time, price: price as f64 / 1e8, quantity, sell, first, last: id - 1 }
                })
                .collect()
        })
}

const THRESHOLDS: [i64; 4] = [1, 100, 2_500, 20_000];

/// Bars of rows that are not neighbours.
struct Rowless(Vec<Vec<Bar>>);
impl Sink for Rowless {
    fn joined(&mut self, _: Rows<'_>, _: usize, _: usize, _: u32) {}
    fn ended(&mut self, bar: &Bar, _: u32, _: u64, rule: usize, _: bool) {
        self.0[rule].push(*bar);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn equals_the_oracle(trades in trades(3000), gate in any::<bool>()) {
        for threshold in THRESHOLDS {
            let (bars, open, ids) = oracle(&trades, threshold, gate);
            let (got, machine) = run(&trades, &[], &options(&[threshold], gate)).unwrap();
            prop_assert_eq!(&got.bars[0], &bars);
            prop_assert_eq!(machine.progress[0].bar, open);
            prop_assert_eq!(got.ids, ids);
        }
    }

    #[test]
    fn several_thresholds_are_each_alone(trades in trades(2500)) {
        let (together, machine) = run(&trades, &[], &options(&THRESHOLDS, true)).unwrap();
        for (i, &threshold) in THRESHOLDS.iter().enumerate() {
            let (alone, other) = run(&trades, &[], &options(&[threshold], true)).unwrap();
            prop_assert_eq!(&together.bars[i], &alone.bars[0]);
            prop_assert_eq!(machine.progress[i], other.progress[0]);
        }
    }

    #[test]
    fn the_same_at_every_split(trades in trades(80)) {
        let options = options(&THRESHOLDS, true);
        let (whole, end) = run(&trades, &[], &options).unwrap();
        for cut in 0..=trades.len() {
            let (parts, machine) = run(&trades, &[cut], &options).unwrap();
            prop_assert_eq!(&parts.bars, &whole.bars);
            prop_assert_eq!(&machine, &end);
        }
        let every: Vec<usize> = (0..trades.len()).collect();
        let (rows, machine) = run(&trades, &every, &options).unwrap();
        prop_assert_eq!(&rows.bars, &whole.bars);
        prop_assert_eq!(&machine, &end);
    }

    #[test]
    fn random_splits_of_long_inputs(trades in trades(4000), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let options = options(&THRESHOLDS, true);
        let mut cuts: Vec<usize> = cuts.iter().map(|i| i.index(trades.len())).collect();
        cuts.sort_unstable();
        let (whole, end) = run(&trades, &[], &options).unwrap();
        let (parts, machine) = run(&trades, &cuts, &options).unwrap();
        prop_assert_eq!(&parts.bars, &whole.bars);
        prop_assert_eq!(&machine, &end);
    }

    #[test]
    fn picked_rows_are_a_stream_of_their_own(trades in trades(3000), every in 2_usize..5) {
        let options = options(&THRESHOLDS, true);
        let picked: Vec<u32> = (0..trades.len() as u32).step_by(every).collect();
        let alone: Vec<Trade> = picked.iter().map(|&row| trades[row as usize].clone()).collect();
        let columns = Columns::new(&trades);
        let mut machine = Machine::new(&options);
        let mut sink = Rowless(vec![Vec::new(); THRESHOLDS.len()]);
        let batch = columns.slice(0, trades.len());
        machine.push(&batch, Rows::Picked(&picked), picked.len(), &options, &mut Workspace::default(), &mut sink).unwrap();
        for (i, &threshold) in THRESHOLDS.iter().enumerate() {
            let (bars, _, _) = oracle(&alone, threshold, true);
            let got: Vec<_> = sink.0[i].iter().map(|b| (b.open_time, b.open, b.high, b.low, b.close, b.trade_count, b.sums)).collect();
            let want: Vec<_> = bars.iter().map(|b| (b.open_time, b.open, b.high, b.low, b.close, b.trade_count, b.sums)).collect();
            prop_assert_eq!(got, want);
        }
    }

    #[test]
    fn a_bad_trade_is_named(trades in trades(3000), at in any::<prop::sample::Index>(), which in 0..7) {
        let mut trades = trades;
        let row = at.index(trades.len());
        let trade = &mut trades[row];
        let want = match which {
            0 => { trade.price = f64::NAN; "must be finite" }
            1 => { trade.price = -1.0; "must be greater than 0" }
            2 => { trade.price = 1e-9; "is not on the grid of 8 decimals, got 1e-9; pass decimals=9 or more" }
            3 => { trade.price = 1e12; "is beyond what the grid of 8 decimals can hold" }
            4 => { trade.quantity = -1.0; "must not be negative" }
            5 => { trade.quantity = f64::INFINITY; "must be finite" }
            _ => { trade.last = trade.first - 1; "must not be below first_trade_id" }
        };
        let Err(error) = run(&trades, &[], &options(&[250], true)) else {
            return Err(TestCaseError::fail("accepted"));
        };
        prop_assert_eq!(error.row, row as u64);
        prop_assert!(error.to_string().contains(want), "{}", error);
    }
}

fn plain(time: i64, price: f64, quantity: f64) -> Trade {
    Trade { time, price, quantity, sell: false, first: 1, last: 1 }
}

#[test]
fn time_going_backwards_is_named_where_it_does() {
    for row in [1_usize, 700, 1023, 1024, 1025, 2000] {
        let mut trades: Vec<Trade> = (0..2100).map(|i| plain(i, 1.0, 1.0)).collect();
        trades[row].time = row as i64 - 2;
        let error = run(&trades, &[], &options(&[250], true)).map(|_| ()).unwrap_err();
        assert_eq!(error.row, row as u64);
        assert_eq!(error.problem, Problem::Backwards { previous: row as i64 - 1 });
    }
}

#[test]
fn numbers_too_large_for_the_quick_sums_are_exact() {
    // Prices and quantities around 2^51 units and far above, among ordinary ones.
    let prices = [22_517_998.13, 22_517_998.14, 9e10, 150_000_000.0, 1.0];
    let quantities = [1e11, 1e12, 22_517_998.14, 0.0, 1e-8];
    let trades: Vec<Trade> = (0..500)
        .map(|i| plain(i, prices[i as usize % 5], quantities[i as usize / 5 % 5]))
        .filter(|t| t.price * t.quantity < 1e19)
        .collect();
    for gate in [true, false] {
        let (bars, open, _) = oracle(&trades, 100_000, gate);
        let (got, machine) = run(&trades, &[], &options(&[100_000], gate)).unwrap();
        assert_eq!(got.bars[0], bars);
        assert_eq!(machine.progress[0].bar, open);
    }
}

#[test]
fn a_sum_that_leaves_the_grid_names_its_trade() {
    // 1e10 * 1e12 = 1e22 fits 1.7e22 once and not twice.
    let trades: Vec<Trade> =
        (0..5).map(|i| plain(i, if i < 3 { 1.0 } else { 1.9 }, 1e21)).collect();
    let trades: Vec<Trade> =
        trades.into_iter().map(|t| Trade { price: t.price * 4.0, ..t }).collect();
    let error = run(&trades, &[], &options(&[100_000], true)).map(|_| ()).unwrap_err();
    assert_eq!((error.row, error.problem), (3, Problem::SumBeyondGrid));
}

#[test]
fn prices_far_below_a_unit_make_bars_on_a_finer_grid() {
    let trades = [4.567e-7, 4.5675e-7, 4.582e-7].map(|price| plain(0, price, 1.0));
    let columns = Columns::new(&trades);
    let options = options(&[250], false);
    let run = |grid| {
        let batch = Trades { grid, ..columns.slice(0, 3) };
        let mut machine = Machine::new(&options);
        let mut sink = Collected { bars: vec![Vec::new()], ..Default::default() };
        let mut workspace = Workspace::default();
        machine
            .push(&batch, Rows::From(0), 3, &options, &mut workspace, &mut sink)
            .map(|()| sink.bars[0].clone())
    };
    let error = run(Grid::default()).unwrap_err().to_string();
    assert!(error.contains("got 4.567e-7; pass decimals=10 or more"), "{error}");
    let bars = run(Grid::new(11, 8).unwrap()).unwrap();
    assert_eq!((bars.len(), bars[0].trade_count), (1, 3));
    assert_eq!((bars[0].open, bars[0].close), (45_670, 45_820));
}
