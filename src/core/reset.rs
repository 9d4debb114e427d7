//! Where bars are cut off although the price has not moved: calendar periods and silences.

/// Both kinds of boundary; by default there is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Boundaries {
    /// The longest silence a bar may span, in units of the time column.
    pub max_gap: Option<u64>,
}

impl Boundaries {
    /// Appends to `cuts` the index of every time that begins a new stretch.
    ///
    /// `times` ascend from `last_time`; `period_end` is the end of the period that it lies in.
    pub fn cuts(
        &self,
        last_time: Option<i64>,
        _period_end: &mut Option<i64>,
        times: &[i64],
        cuts: &mut Vec<usize>,
    ) {
        if let Some(max_gap) = self.max_gap {
            let mut previous = last_time.unwrap_or(times[0]);
            for (i, &time) in times.iter().enumerate() {
                if time.abs_diff(previous) > max_gap {
                    cuts.push(i);
                }
                previous = time;
            }
        }
    }
}
