//! The rows of each key in a batch, in their order.

use crate::core::block::Rows;

/// Rows sorted by key; within a key as they stood.
pub struct Partition {
    rows: Vec<u32>,
    /// Key, and the end of its rows in `rows`.
    ends: Vec<(u32, usize)>,
}

/// One key's rows.
pub struct KeyRows<'a> {
    pub key: u32,
    pub rows: Rows<'a>,
    pub len: usize,
}

impl Partition {
    /// Parts rows with the given key numbers, all below `keys`.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "Polars' own batches have fewer than 2^32 rows"
    )]
    pub fn new(numbers: &[u32], keys: usize) -> Self {
        let mut ends: Vec<(u32, usize)> = Vec::new();
        if keys > numbers.len() * 4 {
            // A small batch among very many keys: do not even look at all of them.
            let mut rows: Vec<u32> = (0..numbers.len() as u32).collect();
            rows.sort_by_key(|&row| numbers[row as usize]);
            for (i, &row) in rows.iter().enumerate() {
                let key = numbers[row as usize];
                match ends.last_mut() {
                    Some((same, end)) if *same == key => *end = i + 1,
                    _ => ends.push((key, i + 1)),
                }
            }
            return Self { rows, ends };
        }
        let mut next = vec![0_usize; keys];
        for &key in numbers {
            next[key as usize] += 1;
        }
        let mut start = 0;
        for (key, count) in (0..).zip(&mut next) {
            let end = start + *count;
            if *count > 0 {
                ends.push((key, end));
            }
            *count = start;
            start = end;
        }
        // A single key stands as it is, and so needs no list of rows.
        if ends.len() == 1 {
            return Self { rows: Vec::new(), ends };
        }
        let mut rows = vec![0_u32; numbers.len()];
        for (row, &key) in (0..).zip(numbers) {
            let slot = &mut next[key as usize];
            rows[*slot] = row;
            *slot += 1;
        }
        Self { rows, ends }
    }

    /// Each key's rows; keys whose rows are neighbours have them as such.
    pub fn keys(&self) -> impl Iterator<Item = KeyRows<'_>> {
        let mut start = 0;
        self.ends.iter().map(move |&(key, end)| {
            let len = end - start;
            let rows = match self.rows.get(start..end) {
                None => Rows::From(0),
                Some(rows) => match (rows.first(), rows.last()) {
                    (Some(&first), Some(&last)) if (last - first) as usize + 1 == len => {
                        Rows::From(first as usize)
                    }
                    _ => Rows::Picked(rows),
                },
            };
            start = end;
            KeyRows { key, rows, len }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(numbers: &[u32], keys: usize) -> Vec<(u32, Vec<usize>)> {
        let partition = Partition::new(numbers, keys);
        partition.keys().map(|s| (s.key, (0..s.len).map(|i| s.rows.row(i)).collect())).collect()
    }

    #[test]
    fn rows_keep_their_order_within_a_key() {
        let numbers = [2, 0, 2, 2, 0];
        let want = vec![(0, vec![1, 4]), (2, vec![0, 2, 3])];
        assert_eq!(parts(&numbers, 3), want);
        assert_eq!(parts(&numbers, 1000), want);
        assert_eq!(parts(&[7, 7], 8), vec![(7, vec![0, 1])]);
        assert_eq!(parts(&[7, 7], 1000), vec![(7, vec![0, 1])]);
    }
}
