#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a test may fail loudly, and rounds what it makes up"
)]

use super::super::grid::Grid;
use super::super::trades::{Bits, trades_of};
use super::*;
use proptest::prelude::*;

/// Numbers of which most stand on the grid, none of them far from `low` units, and a few on all
/// that decides how a block is converted: a millionth of themselves off the grid, at a tie or
/// next to it, too small, too large, or not even numbers.
fn numbers(decimals: i64) -> impl Strategy<Value = Vec<f64>> {
    let scale = 10_f64.powi(decimals.try_into().unwrap());
    let low = (0_i32..52, 1.0..2.0_f64).prop_map(|(e, x)| (x * 2_f64.powi(e)).floor());
    let unusual = move |low: f64| {
        prop_oneof![
            4 => (0.4..1.6, any::<bool>()).prop_map(move |(part, up)| {
                low * (1.0 + if up { part * 1e-6 } else { part * -1e-6 }) / scale
            }),
            2 => (0_u32..9).prop_map(move |more| (low + f64::from(more) + 0.5) / scale),
            1 => Just(((low + 0.5) / scale).next_up()),
            1 => any::<f64>(),
            1 => Just(0.0),
            1 => Just(-0.0),
            1 => Just(-0.3 / scale),
            1 => Just(0.3 / scale),
            1 => Just(f64::from(1 << 25) * f64::from(1 << 26) / scale),
        ]
    };
    low.prop_flat_map(move |low| {
        let usual = (0_u32..9).prop_map(move |more| (low + f64::from(more)) / scale);
        let few = prop::collection::vec((unusual(low), any::<prop::sample::Index>()), 0..3);
        (prop::collection::vec(usual, 1..=BLOCK), few)
    })
    .prop_map(|(mut numbers, few)| {
        for (number, at) in few {
            let at = at.index(numbers.len());
            numbers[at] = number;
        }
        numbers
    })
}

/// A grid, prices and quantities.
fn columns() -> impl Strategy<Value = (Grid, Vec<f64>, Vec<f64>)> {
    (0_i64..13, 0_i64..13).prop_flat_map(|(price, quantity)| {
        (Just(Grid::new(price, quantity).unwrap()), numbers(price), numbers(quantity))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// A number is what it is, whatever stands beside it.
    #[test]
    fn a_block_takes_what_its_trades_do((grid, price, quantity) in columns()) {
        let len = price.len().min(quantity.len());
        let trades = trades_of(Numbers::Float(&price[..len]), Numbers::Float(&quantity[..len]), grid, len);
        let one_by_one: Result<Vec<_>, TradeError> =
            (0..len).map(|i| Ok((trades.price_units(i)?, trades.quantity_units(i)?))).collect();
        let mut block = Block::default();
        match (block.fill(&trades, Rows::From(0), len), one_by_one) {
            (Ok(()), Ok(want)) => {
                let prices: Vec<i64> = want.iter().map(|w| w.0).collect();
                let volume: i128 = want.iter().map(|w| w.1).sum();
                let turnover = want.iter().try_fold(0_i128, |sum, &(price, quantity)| {
                    sum.checked_add(quantity.checked_mul(price.into())?)
                });
                prop_assert_eq!(&block.price[..len], &prices[..]);
                let before = block.sums_before(0);
                let sums = block.sums_between(0, len, &before, &block.sums_before(len));
                let got = sums.map(|s| (s.volume, s.turnover));
                prop_assert_eq!(got, turnover.map(|turnover| (volume, turnover)));
                for (c, chunk) in prices.chunks(CHUNK).enumerate() {
                    prop_assert_eq!(Some(&block.low[c]), chunk.iter().min());
                    prop_assert_eq!(Some(&block.high[c]), chunk.iter().max());
                }
            }
            (got, want) => prop_assert_eq!(got.err().map(|e| e.to_string()), want.err().map(|e| e.to_string())),
        }
    }
}

/// The largest numbers of the quick way, in a block that is full of them.
#[test]
fn sums_of_the_largest_numbers_are_exact() {
    let units = (1_i64 << 51) - 4;
    let number = 22_517_998.136_852_44;
    let (columns, sides) = (vec![number; BLOCK], vec![0x55; BLOCK / 8]);
    let numbers = Numbers::Float(&columns);
    let trades = Trades {
        is_buyer_maker: Some(Bits { bytes: &sides, offset: 0 }),
        ..trades_of(numbers, numbers, Grid::default(), BLOCK)
    };
    let mut block = Block::default();
    block.fill(&trades, Rows::From(0), BLOCK).unwrap();
    assert!(block.summed);
    assert_eq!(block.price(0), units);
    for end in [0, 1, 7, 8, 63, 64, 65, 1000, BLOCK - 1, BLOCK] {
        let sums = block.sums_before(end);
        let (all, bought) = (end as u64, end as u64 / 2);
        let product = i128::from(units) * i128::from(units);
        assert_eq!(sums.volume, i128::from(units) * i128::from(all));
        assert_eq!(sums.turnover, product * i128::from(all));
        assert_eq!(sums.buy_volume, i128::from(units) * i128::from(bought));
        assert_eq!(sums.buy_turnover, product * i128::from(bought));
        assert_eq!(sums.buy_count, bought);
    }
}
