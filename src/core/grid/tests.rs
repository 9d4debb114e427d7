#![allow(clippy::cast_precision_loss, clippy::float_cmp, reason = "exact, or what is tested")]

use super::*;
use proptest::prelude::*;

/// The slow oracle, for numbers below 10^26: print the float to its last digit, put the point
/// where the units end, and round like at school.
fn printed(x: f64, decimals: Decimals) -> Nearest {
    let text = format!("{x:.1080}");
    let (whole, fraction) = text.split_at(text.len() - 1081);
    let (more, rest) = fraction[1..].split_at(decimals.get() as usize);
    let floor = number(&format!("{whole}{more}"));
    let half = format!("5{}", "0".repeat(rest.len() - 1));
    let up = rest > half.as_str() || (rest == half && floor % 2 == 1);
    let (distance, units) = if up { (to_one(rest), floor + 1) } else { (rest.into(), floor) };
    // A million times the distance has its point six digits on.
    let (millions, left) = distance.split_at(6);
    let close = (number(millions), left) <= (floor, rest);
    Nearest { units, close }
}

fn number(digits: &str) -> u128 {
    digits.parse().unwrap_or(u128::MAX)
}

/// The digits of `1 - 0.digits`, of which the last is a zero.
fn to_one(digits: &str) -> String {
    let end = digits.trim_end_matches('0').len();
    let other = |(i, digit): (usize, u8)| match i + 1 {
        i if i < end => char::from(b'9' - digit + b'0'),
        i if i == end => char::from(b'9' - digit + b'1'),
        _ => '0',
    };
    digits.bytes().enumerate().map(other).collect()
}

fn decimals() -> impl Strategy<Value = Decimals> {
    (0..=Decimals::MOST).prop_map(Decimals)
}

/// Floats of all sizes: any, on the grid, halfway between its points, next to either, and at the
/// edge of what is close to one.
fn floats() -> impl Strategy<Value = f64> {
    let power = |places: u32| power_of_ten(places);
    prop_oneof![
        (0_u64..1 << 52, -1074_i32..30).prop_map(|(m, e)| m as f64 * 2_f64.powi(e)),
        (0_u64..1 << 53, 0_u32..60).prop_map(|(m, shift)| (m >> shift) as f64 / 1e8),
        (0_u64..1 << 60, 0_u32..60, 0_u32..13, -1_i8..2).prop_map(
            move |(m, shift, places, off)| {
                let half = ((m >> shift) as f64 + 0.5) / power(places);
                match off {
                    -1 => half.next_down(),
                    0 => half,
                    _ => half.next_up(),
                }
            }
        ),
        (1_u64..1 << 20, 0_u32..13, 0.9999..1.0001, any::<bool>()).prop_map(
            move |(m, places, near, above)| {
                let off = if above { 1e-6 * near } else { -1e-6 * near };
                m as f64 * (1.0 + off) / power(places)
            }
        ),
    ]
}

/// What a conversion used to be.
fn by_float_product(x: f64) -> f64 {
    (x * 1e8).round_ties_even()
}

#[test]
fn a_tenth_and_a_fifth_are_three_tenths() {
    let grid = Grid::default();
    let sum = [0.1, 0.2].map(|x| grid.quantity().nearest_to_float(x).units).iter().sum::<u128>();
    assert_eq!(sum, 30_000_000);
    assert_eq!(grid.quantity_to_f64(30_000_000).to_bits(), 0.3_f64.to_bits());
}

#[test]
fn ties_go_to_even() {
    // Of 512ths, 1e8 units are 195 312.5.
    for (x, want) in [(1.0, 195_312), (3.0, 585_938), (5.0, 976_562), (7.0, 1_367_188)] {
        assert_eq!(Decimals::default().nearest_to_float(x / 512.0).units, want);
        let (shifted, off) = shifted(x / 512.0, 1e8);
        assert_eq!((shifted_units(shifted), off.abs()), (want.try_into().unwrap_or(0), 0.5));
    }
}

#[test]
fn a_product_that_is_only_rounded_to_a_tie_is_none() {
    // Exactly, the products end in .499973873 and .500000848, and the float products in .5.
    for (x, product, want) in [
        (8_841.089_958_715, 884_108_995_871.5, 884_108_995_871_u128),
        (720.008_637_485, 72_000_863_748.5, 72_000_863_749),
    ] {
        assert_eq!(x * 1e8, product);
        assert_ne!(by_float_product(x), want as f64);
        assert_eq!(Decimals::default().nearest_to_float(x).units, want);
    }
}

#[test]
fn units_beyond_2_to_the_53_are_exact() {
    let units = |x: f64| Decimals::default().nearest_to_float(x).units;
    assert_eq!(units(30_000_000_001.0), 3_000_000_000_100_000_000);
    let sum = units(30_000_000_001.0) + units(1.0);
    assert_eq!(Grid::default().quantity_to_f64(sum.cast_signed()), 30_000_000_002.0);
    assert_eq!(units(1e30), 10_u128.pow(38) + 1_988_462_483_865_600_000_000);
    assert_eq!(units(1e31), u128::MAX);
    assert_eq!(units(f64::MAX), u128::MAX);
}

#[test]
fn only_twelve_decimals() {
    for bad in [i64::MIN, -1, 13, 256, i64::MAX] {
        assert_eq!(Decimals::new(bad), Err(OptionsError::Decimals(bad)));
        assert_eq!(Grid::new(8, bad), Err(OptionsError::Decimals(bad)));
        assert_eq!(Grid::new(bad, 8), Err(OptionsError::Decimals(bad)));
    }
    let grid = Grid::new(0, 12).unwrap_or_default();
    assert_eq!((grid.price().get(), grid.quantity().get()), (0, 12));
    assert_eq!((grid.price().scale(), grid.quantity().scale()), (1.0, 1e12));
    assert_eq!(grid.turnover_to_f64(1_500_000_000_000), 1.5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn floats_go_where_printing_puts_them(x in floats(), decimals in decimals()) {
        let want = printed(x, decimals);
        prop_assert_eq!(decimals.nearest_to_float(x), want, "{:?}", x);
        prop_assert_eq!(decimals.nearest_exactly(x), want, "{:?}", x);
    }

    #[test]
    fn as_before_where_the_product_was_exact(m in 0_u64..1 << 34, e in -1000_i32..31) {
        // 1e8 has 19 bits, so that a product with 34 more is a float.
        let x = m as f64 * 2_f64.powi(e);
        prop_assert_eq!(Decimals::default().nearest_to_float(x).units as f64, by_float_product(x));
    }

    #[test]
    fn as_before_for_texts_of_eight_decimals(units in 0_u64..1_000_000_000_000_000_000) {
        let x: f64 = format!("{}.{:08}", units / 100_000_000, units % 100_000_000).parse().unwrap_or(f64::NAN);
        let got = Decimals::default().nearest_to_float(x);
        prop_assert!(got.close);
        // Above, floats are too far apart to tell all texts.
        if units < 1 << 51 {
            prop_assert_eq!(got.units, u128::from(units));
            prop_assert_eq!(got.units as f64, by_float_product(x));
        } else {
            let spacing = (x.next_up() - x) * 1e8;
            prop_assert!(got.units.abs_diff(units.into()) as f64 <= spacing / 2.0 + 0.5);
        }
    }

    #[test]
    fn the_quick_way_is_right_but_for_ties(x in floats(), decimals in decimals()) {
        let (shifted, off) = shifted(x, decimals.scale());
        let units = shifted_units(shifted);
        let narrow = x * decimals.scale() < NARROW - 0.5;
        prop_assert_eq!((0..1 << 51).contains(&units), narrow, "{} {}", x, units);
        if narrow && off.abs() < 0.5 {
            prop_assert_eq!(u128::from(units.cast_unsigned()), decimals.nearest_exactly(x).units);
        }
    }

    #[test]
    fn what_is_not_narrow_shows(bits in any::<u64>()) {
        let x = f64::from_bits(bits);
        // A tiny negative one rounds to zero units, as it should.
        let narrow = x * 1e8 >= -0.5 && x * 1e8 < NARROW - 0.5;
        let units = shifted_units(shifted(x, 1e8).0);
        prop_assert_eq!((0..1 << 51).contains(&units), narrow, "{} {}", x, units);
    }

    #[test]
    fn a_decimal_is_the_float_of_its_text(units in 0_u64..1 << 51, places in 0_u32..39, decimals in decimals()) {
        // Of numbers that are both: a whole number of 2^-places is one of 10^-places as well.
        let places = places.min(20);
        let x = units as f64 / 2_f64.powi(places.try_into().unwrap_or(0));
        let digits = u128::from(units).checked_mul(5_u128.pow(places));
        prop_assume!(digits.is_some());
        let got = decimals.nearest_to_decimal(digits.unwrap_or(0), places);
        prop_assert_eq!(got, decimals.nearest_to_float(x));
    }
}

#[test]
fn decimals_of_any_scale() {
    let eight = Decimals::default();
    assert_eq!(eight.nearest_to_decimal(u128::MAX / 2, 8 + 39), Nearest::nothing());
    assert_eq!(eight.nearest_to_decimal(u128::MAX / 2, u32::MAX), Nearest::nothing());
    assert_eq!(eight.nearest_to_decimal(0, u32::MAX), Nearest::whole(0));
    assert_eq!(eight.nearest_to_decimal(10_u128.pow(38), 0), Nearest::whole(u128::MAX));
    // 38 places: all that a column can have.
    let Nearest { units, close } = eight.nearest_to_decimal(10_u128.pow(38) - 1, 38);
    assert_eq!((units, close), (100_000_000, true));
    assert_eq!(
        eight.nearest_to_decimal(5 * 10_u128.pow(29), 38),
        Nearest { units: 0, close: false }
    );
    assert_eq!(
        eight.nearest_to_decimal(15 * 10_u128.pow(29), 38),
        Nearest { units: 2, close: false }
    );
}
