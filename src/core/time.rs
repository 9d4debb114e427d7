//! What a time column counts, and how its values are read.

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

use super::error::OptionsError;

/// What a time column counts since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    Nanosecond,
    Microsecond,
    Millisecond,
}

impl TimeUnit {
    /// The unit of this short name.
    ///
    /// # Errors
    /// If there is none.
    pub fn parse(name: &str) -> Result<Self, OptionsError> {
        match name {
            "ns" => Ok(Self::Nanosecond),
            "us" => Ok(Self::Microsecond),
            "ms" => Ok(Self::Millisecond),
            other => Err(OptionsError::TimeUnit(other.to_owned())),
        }
    }

    /// The short name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nanosecond => "ns",
            Self::Microsecond => "us",
            Self::Millisecond => "ms",
        }
    }

    /// Nanoseconds in one.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        match self {
            Self::Nanosecond => 1,
            Self::Microsecond => 1_000,
            Self::Millisecond => 1_000_000,
        }
    }

    /// The moment in UTC, or `None` beyond what calendars reach.
    #[must_use]
    pub fn date_time(self, time: i64) -> Option<NaiveDateTime> {
        let date_time = match self {
            Self::Nanosecond => Some(DateTime::from_timestamp_nanos(time)),
            Self::Microsecond => DateTime::from_timestamp_micros(time),
            Self::Millisecond => DateTime::from_timestamp_millis(time),
        };
        date_time.map(|t| t.naive_utc())
    }

    /// The first and the last time of the years 1971 to 2200: a time outside was most likely counted
    /// in another unit.
    #[must_use]
    pub const fn likely(self) -> (i64, i64) {
        const FROM: i64 = 31_536_000;
        const TO: i64 = 7_289_654_400;
        let each = 1_000_000_000 / self.nanos();
        (FROM * each, TO * each - 1)
    }

    /// A time as people read it, by the wall clock of `zone`. Of any number: one beyond what
    /// calendars reach is written as it stands.
    #[must_use]
    pub fn format(self, time: i64, zone: Option<&str>) -> String {
        let beyond = || format!("{time} ({} since 1970)", self.name());
        let Some(utc) = self.date_time(time) else { return beyond() };
        let Some(zone) = zone else { return utc.to_string() };
        let Ok(tz) = zone.parse::<Tz>() else { return format!("{utc} UTC") };
        match utc.checked_add_offset(tz.offset_from_utc_datetime(&utc).fix()) {
            Some(wall) => format!("{wall} {zone}"),
            None => beyond(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UNITS: [TimeUnit; 3] =
        [TimeUnit::Nanosecond, TimeUnit::Microsecond, TimeUnit::Millisecond];

    #[test]
    fn likely_times() {
        for unit in UNITS {
            let (from, to) = unit.likely();
            assert_eq!(unit.format(from, None), "1971-01-01 00:00:00");
            assert!(unit.format(to, None).starts_with("2200-12-31 23:59:59.999"));
            assert!(unit.format(to + 1, Some("UTC")).starts_with("2201-01-01 00:00:00"));
        }
    }

    proptest! {
        #[test]
        fn any_time_can_be_written(time in any::<i64>(), unit in 0_usize..3, zone in 0_usize..3) {
            let zone = [None, Some("Asia/Tokyo"), Some("Mars/Olympus")][zone];
            prop_assert!(!UNITS[unit].format(time, zone).is_empty());
        }

        #[test]
        fn the_ends_can_be_written(off in 0_i64..1000, unit in 0_usize..3) {
            for time in [i64::MIN + off, i64::MAX - off] {
                let _ = UNITS[unit].format(time, Some("Pacific/Kiritimati"));
            }
        }
    }
}
