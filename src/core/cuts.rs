//! Where bars are cut off although the price has not moved: calendar periods and silences.
//!
//! Periods are those of Polars' `dt.truncate`: days from 1970-01-01, weeks from Monday, months
//! from January 1970, all by the clock on the wall of the column's time zone. A boundary is
//! computed when a period is entered, once, and not for every trade.

use chrono::{
    Datelike, MappedLocalTime, Months, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone,
};
use chrono_tz::Tz;

use super::duration::{DAY, Duration};
use super::error::OptionsError;
use super::time::TimeUnit;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Every {
    /// Of fixed length by the wall's clock, counted from an anchor: nanoseconds each.
    Fixed {
        length: i64,
        anchor: i64,
    },
    Months(i64),
}

/// Calendar periods of a time column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calendar {
    every: Every,
    offset: Duration,
    unit: TimeUnit,
    zone: Option<Tz>,
}

/// Where bars are cut off; by default nowhere.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cuts {
    pub calendar: Option<Calendar>,
    /// The longest silence within a bar, in units of the time column.
    pub max_gap: Option<u64>,
}

/// A time that no calendar reaches, by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeyondCalendar(pub usize);

impl Calendar {
    /// Periods of `every`, moved by `offset`, of times in `zone` (none: as they stand, or UTC).
    ///
    /// # Errors
    /// If `every` is not a number of days, weeks or months, or `offset` does not go with it.
    pub fn new(
        every: &str,
        offset: Option<&str>,
        unit: TimeUnit,
        zone: Option<&str>,
    ) -> Result<Self, OptionsError> {
        let span = Duration::parse(every)?;
        let offset = offset.map(Duration::parse).transpose()?.unwrap_or_default();
        let whole_days = span.nanos % DAY == 0;
        let parsed = match span {
            Duration { months: 0, nanos } if nanos > 0 && whole_days => {
                // 1970-01-01 was a Thursday; weeks begin on Mondays, as in `dt.truncate`.
                let weeks = every.ends_with('w');
                Every::Fixed { length: nanos, anchor: if weeks { 4 * DAY } else { 0 } }
            }
            Duration { months, nanos: 0 } if months > 0 => Every::Months(months),
            _ => return Err(OptionsError::Reset(every.to_owned())),
        };
        if offset.months != 0 && matches!(parsed, Every::Fixed { .. }) {
            return Err(OptionsError::ResetOffset);
        }
        let zone = match zone {
            None | Some("UTC") => None,
            Some(name) => Some(name.parse().map_err(|_| OptionsError::Zone(name.to_owned()))?),
        };
        Ok(Self { every: parsed, offset, unit, zone })
    }

    /// The first time past the period of `time`, or `None` beyond what calendars reach.
    #[must_use]
    pub fn period_end(&self, time: i64) -> Option<i64> {
        let utc = self.unit.date_time(time)?;
        let wall = match self.zone {
            None => utc,
            Some(zone) => utc.checked_add_offset(zone.offset_from_utc_datetime(&utc).fix())?,
        };
        let next = self.next_start(wall)?;
        let end = match self.zone {
            None => next,
            Some(zone) => first_instant(zone, next, utc)?,
        };
        // Rounded up: the first time that is not before the boundary.
        let seconds = i128::from(end.and_utc().timestamp());
        let nanos = seconds * 1_000_000_000 + i128::from(end.and_utc().timestamp_subsec_nanos());
        let each = i128::from(self.unit.nanos());
        i64::try_from(nanos.div_euclid(each) + i128::from(nanos.rem_euclid(each) != 0)).ok()
    }

    /// Start of the period after that of `wall`, both by the clock on the wall.
    fn next_start(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        let shift = TimeDelta::nanoseconds(self.offset.nanos);
        let moved = add_months(wall.checked_sub_signed(shift)?, -self.offset.months)?;
        let next = match self.every {
            Every::Fixed { length, anchor } => {
                // In days, for nanoseconds would overflow in a few centuries.
                let (length, anchor) = (length / DAY, anchor / DAY);
                let day =
                    i64::from(moved.date().num_days_from_ce()) - i64::from(EPOCH_DAY) - anchor;
                let next = day - day.rem_euclid(length) + length + anchor + i64::from(EPOCH_DAY);
                NaiveDate::from_num_days_from_ce_opt(i32::try_from(next).ok()?)?
            }
            Every::Months(months) => {
                let month = i64::from(moved.year() - 1970) * 12 + i64::from(moved.month0());
                let next = month - month.rem_euclid(months) + months;
                let year = i32::try_from(1970 + next.div_euclid(12)).ok()?;
                NaiveDate::from_ymd_opt(year, u32::try_from(next.rem_euclid(12)).ok()? + 1, 1)?
            }
        };
        add_months(next.and_hms_opt(0, 0, 0)?, self.offset.months)?.checked_add_signed(shift)
    }
}

/// Days from the common era's first to 1970-01-01.
const EPOCH_DAY: i32 = 719_163;

fn add_months(time: NaiveDateTime, months: i64) -> Option<NaiveDateTime> {
    let count = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    if months < 0 { time.checked_sub_months(count) } else { time.checked_add_months(count) }
}

/// The first instant after `after` at which the wall's clock shows `wall` or later, in UTC.
fn first_instant(zone: Tz, wall: NaiveDateTime, after: NaiveDateTime) -> Option<NaiveDateTime> {
    match zone.offset_from_local_datetime(&wall) {
        MappedLocalTime::Single(offset) => wall.checked_sub_offset(offset.fix()),
        MappedLocalTime::Ambiguous(early, late) => {
            let early = wall.checked_sub_offset(early.fix())?;
            if early > after { Some(early) } else { wall.checked_sub_offset(late.fix()) }
        }
        // Clocks skip over it: the period begins when they have been set forward. That instant
        // lies within a day of the wall's time read as UTC, on whole seconds.
        MappedLocalTime::None => {
            let shows = |utc: NaiveDateTime| {
                utc.checked_add_offset(zone.offset_from_utc_datetime(&utc).fix())
            };
            let (mut before, mut reached) = (-172_800_i64, 172_800_i64);
            while reached - before > 1 {
                let middle = before.midpoint(reached);
                let utc = wall.checked_add_signed(TimeDelta::seconds(middle))?;
                if shows(utc)? >= wall { reached = middle } else { before = middle }
            }
            wall.checked_add_signed(TimeDelta::seconds(reached))
        }
    }
}

impl Cuts {
    /// Puts into `cuts` the index of every time before which bars are cut off, ascending.
    ///
    /// `times` ascend from `last_time`; `period_end` is the end of the period that it lies in,
    /// and is moved on.
    ///
    /// # Errors
    /// If a time lies beyond the calendar.
    pub fn find(
        &self,
        last_time: Option<i64>,
        period_end: &mut Option<i64>,
        times: &[i64],
        cuts: &mut Vec<usize>,
    ) -> Result<(), BeyondCalendar> {
        if let Some(max_gap) = self.max_gap {
            let mut previous = last_time.unwrap_or(times[0]);
            for (i, &time) in times.iter().enumerate() {
                if time.abs_diff(previous) > max_gap {
                    cuts.push(i);
                }
                previous = time;
            }
        }
        let Some(calendar) = &self.calendar else { return Ok(()) };
        let end_of = |i: usize| calendar.period_end(times[i]).ok_or(BeyondCalendar(i));
        let mut end = match *period_end {
            Some(end) => end,
            None => end_of(0)?,
        };
        let mut from = 0;
        while times.last().is_some_and(|&last| last >= end) {
            from += times[from..].partition_point(|&time| time < end);
            cuts.push(from);
            end = end_of(from)?;
        }
        *period_end = Some(end);
        cuts.sort_unstable();
        cuts.dedup();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn end(every: &str, offset: Option<&str>, zone: Option<&str>, at: &str) -> String {
        let calendar = Calendar::new(every, offset, TimeUnit::Microsecond, zone);
        let parsed = at.parse::<DateTime<chrono::Utc>>();
        let (Ok(calendar), Ok(at)) = (calendar, parsed) else { return "bad test".to_owned() };
        let end =
            calendar.period_end(at.timestamp_micros()).and_then(DateTime::from_timestamp_micros);
        end.map_or_else(|| "none".to_owned(), |t| t.format("%Y-%m-%dT%H:%M:%SZ").to_string())
    }

    #[test]
    fn ends_of_periods() {
        let new_york = Some("America/New_York");
        let cases = [
            ("1d", None, None, "2024-03-09T23:59:59.999999Z", "2024-03-10T00:00:00Z"),
            ("1w", None, None, "2024-03-10T12:00:00Z", "2024-03-11T00:00:00Z"),
            ("1w", Some("-1d"), None, "2024-03-10T12:00:00Z", "2024-03-17T00:00:00Z"),
            ("1mo", None, None, "2024-02-29T12:00:00Z", "2024-03-01T00:00:00Z"),
            ("1q", None, None, "2024-03-31T12:00:00Z", "2024-04-01T00:00:00Z"),
            ("1y", None, None, "1969-06-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("1y", Some("3mo"), None, "2024-03-31T23:00:00Z", "2024-04-01T00:00:00Z"),
            // The night on which clocks go forward, and the one on which they go back.
            ("1d", None, new_york, "2024-03-10T06:00:00Z", "2024-03-11T04:00:00Z"),
            ("1d", None, new_york, "2024-11-03T12:00:00Z", "2024-11-04T05:00:00Z"),
            ("1d", Some("17h"), new_york, "2024-11-03T12:00:00Z", "2024-11-03T22:00:00Z"),
            // Midnight that no clock shows, and midnight that clocks show twice.
            ("1d", None, Some("America/Sao_Paulo"), "2018-11-03T12:00:00Z", "2018-11-04T03:00:00Z"),
            ("1d", None, Some("America/Havana"), "2024-11-02T12:00:00Z", "2024-11-03T04:00:00Z"),
        ];
        for (every, offset, zone, at, want) in cases {
            assert_eq!(end(every, offset, zone, at), want, "{every} {offset:?} {zone:?} {at}");
        }
    }

    #[test]
    fn refused_periods() {
        for bad in ["1h", "0d", "-1d", "1mo1d", "36h"] {
            assert_eq!(
                Calendar::new(bad, None, TimeUnit::Nanosecond, None),
                Err(OptionsError::Reset(bad.to_owned()))
            );
        }
        let zone = Calendar::new("1d", None, TimeUnit::Nanosecond, Some("Mars/Olympus"));
        assert_eq!(zone, Err(OptionsError::Zone("Mars/Olympus".to_owned())));
        assert_eq!(
            Calendar::new("1d", Some("1mo"), TimeUnit::Nanosecond, None),
            Err(OptionsError::ResetOffset)
        );
    }
}
