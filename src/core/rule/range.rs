//! Range bars: a distance from the opening price, as a share of it.

use crate::core::error::OptionsError;

/// A threshold in decimal basis points: 1 is 0.001%, 250 is 0.25%, 100 000 is 100%.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Threshold(u32);

impl Threshold {
    /// The unit is a hundred-thousandth of the opening price.
    pub const PER_ONE: u32 = 100_000;

    /// A threshold of `decimal_bps`.
    ///
    /// # Errors
    /// If it is not in 1..=100 000.
    pub fn new(decimal_bps: i64) -> Result<Self, OptionsError> {
        u32::try_from(decimal_bps)
            .ok()
            .filter(|t| (1..=Self::PER_ONE).contains(t))
            .map(Self)
            .ok_or(OptionsError::Threshold(decimal_bps.to_string()))
    }

    /// The threshold in decimal basis points.
    #[must_use]
    pub fn decimal_bps(self) -> u32 {
        self.0
    }

    /// `max(1, floor(open * t / 100 000))` in units.
    #[must_use]
    pub fn delta(self, open: i64) -> i64 {
        // Split so that it stays in 64 bits: open * t would need 80.
        let per_one = i64::from(Self::PER_ONE);
        let t = i64::from(self.0);
        ((open / per_one) * t + (open % per_one) * t / per_one).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_sensible_thresholds() {
        for bad in [i64::MIN, -1, 0, 100_001, i64::MAX] {
            assert_eq!(Threshold::new(bad), Err(OptionsError::Threshold(bad.to_string())));
        }
        assert_eq!(Threshold::new(250).map(Threshold::decimal_bps), Ok(250));
    }

    proptest! {
        #[test]
        fn delta_is_the_floor(open in 1_i64..i64::MAX, t in 1_i64..=100_000) {
            let want = (i128::from(open) * i128::from(t) / 100_000).max(1);
            prop_assert_eq!(Threshold::new(t).map(|t| i128::from(t.delta(open))), Ok(want));
        }
    }
}
