//! The `by` columns: which key a row has, as a small number that stays the same over batches.

use polars::chunked_array::ops::row_encode::encode_rows_unordered;
use polars::prelude::*;
use polars_arrow::array::View;

use super::error::Error;

/// Slots for keys found last, of 32 bytes each.
const FOUND_BITS: u32 = 11;

/// An empty slot: a short text's view begins with its length, so none is all ones.
const NOT_FOUND: (u128, u32) = (u128::MAX, 0);

/// A slot for a view, by its upper bits multiplied: these depend on all below them.
#[allow(clippy::cast_possible_truncation, reason = "folded to 64 bits, of which eleven are left")]
fn quick_hash(bits: u128) -> usize {
    let folded = (bits ^ (bits >> 64)) as u64;
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - FOUND_BITS)) as usize
}

/// Whether all values are known to be the same.
fn is_constant(column: &Series) -> bool {
    if column.null_count() > 0 {
        return false;
    }
    let column = column.to_physical_repr();
    macro_rules! flat {
        ($array:expr) => {{
            let Ok(array) = $array else { return false };
            all_equal(array.downcast_iter().map(|chunk| chunk.values().as_slice()))
        }};
    }
    match column.dtype() {
        DataType::String => {
            let Ok(texts) = column.str() else { return false };
            // A view is the text itself if that is short, else the place where it stands in its own
            // chunk: of two chunks the same place says nothing.
            let views = || texts.downcast_iter().map(|chunk| chunk.views().as_slice());
            let short = views().flatten().next().is_some_and(View::is_inline);
            (short || texts.chunks().len() == 1) && all_equal(views())
        }
        DataType::UInt8 => flat!(column.u8()),
        DataType::UInt16 => flat!(column.u16()),
        DataType::UInt32 => flat!(column.u32()),
        DataType::Int32 => flat!(column.i32()),
        DataType::Int64 => flat!(column.i64()),
        _ => false,
    }
}

/// Whether all values of all chunks are equal.
fn all_equal<'a, T: PartialEq + Copy + 'a>(mut chunks: impl Iterator<Item = &'a [T]>) -> bool {
    let mut first = None;
    chunks.all(|chunk| {
        let Some(&value) = chunk.first() else { return true };
        let first = *first.get_or_insert(value);
        // A few at a time, without a way out in between: then many are compared at once, and yet
        // little is looked at where keys alternate.
        chunk.chunks(512).all(|some| some.iter().filter(|v| **v != first).count() == 0)
    })
}

/// Every key seen so far.
#[derive(Clone)]
pub struct Keys {
    /// The row encoding of a key to its number.
    numbers: PlHashMap<Box<[u8]>, u32>,
    /// The same for short texts, by their view: what a symbol mostly is, and needs no encoding.
    short: PlHashMap<u128, u32>,
    /// What was found in `short` last, by a few bits of a quick hash: the map's own costs several
    /// times as much.
    found: Box<[(u128, u32)]>,
    /// The keys themselves, one row each.
    rows: DataFrame,
}

impl Keys {
    /// Keys made of these columns.
    #[must_use]
    pub fn new(fields: Vec<(PlSmallStr, DataType)>) -> Self {
        let schema: Schema =
            fields.into_iter().map(|(name, dtype)| Field::new(name, dtype)).collect();
        Self {
            numbers: PlHashMap::default(),
            short: PlHashMap::default(),
            found: vec![NOT_FOUND; 1 << FOUND_BITS].into(),
            rows: DataFrame::empty_with_schema(&schema),
        }
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.numbers.len()
    }

    /// Number of the key that all rows have, if they have the same: told by a look at the columns,
    /// for most files have one symbol. Nothing where that would take more than a look.
    ///
    /// # Errors
    /// If the columns cannot be encoded.
    pub fn shared(&mut self, columns: &[Series]) -> Result<Option<u32>, Error> {
        if !columns.iter().all(is_constant) {
            return Ok(None);
        }
        let first: Vec<Series> = columns.iter().map(|column| column.head(Some(1))).collect();
        Ok(self.number(&first)?.first().copied())
    }

    /// Number of each row's key; keys not seen before get the next numbers.
    ///
    /// # Errors
    /// If the columns cannot be encoded.
    pub fn number(&mut self, columns: &[Series]) -> Result<Vec<u32>, Error> {
        if let Some(numbers) = self.number_short(columns) {
            return Ok(numbers);
        }
        let numbers = self.number_any(columns)?;
        if let [column] = columns {
            self.remember_short(column, &numbers);
        }
        Ok(numbers)
    }

    /// The numbers of short texts that have all been seen; or nothing, for the general way.
    fn number_short(&mut self, columns: &[Series]) -> Option<Vec<u32>> {
        let [column] = columns else { return None };
        let texts = column.str().ok().filter(|texts| texts.null_count() == 0)?;
        let mut numbers = Vec::with_capacity(texts.len());
        for chunk in texts.downcast_iter() {
            for view in chunk.views().iter() {
                let bits = view.as_u128();
                let slot = &mut self.found[quick_hash(bits)];
                if slot.0 != bits {
                    if !view.is_inline() {
                        return None;
                    }
                    *slot = (bits, *self.short.get(&bits)?);
                }
                numbers.push(slot.1);
            }
        }
        Some(numbers)
    }

    fn remember_short(&mut self, column: &Series, numbers: &[u32]) {
        let Ok(texts) = column.str() else { return };
        if texts.null_count() > 0 {
            return;
        }
        let views = texts.downcast_iter().flat_map(|chunk| chunk.views().iter());
        for (view, &number) in views.zip(numbers).filter(|(view, _)| view.is_inline()) {
            self.short.insert(view.as_u128(), number);
        }
    }

    fn number_any(&mut self, columns: &[Series]) -> Result<Vec<u32>, Error> {
        let by: Vec<Column> = columns.iter().map(|s| s.rechunk().into_column()).collect();
        let encoded = encode_rows_unordered(&by)?;
        let mut new_rows: Vec<IdxSize> = Vec::new();
        let mut numbers = Vec::with_capacity(encoded.len());
        let mut row: IdxSize = 0;
        for chunk in encoded.downcast_iter() {
            // Trades of one key often stand together; comparing is cheaper than hashing.
            let mut last: Option<(&[u8], u32)> = None;
            for bytes in chunk.values_iter() {
                let known = match last {
                    Some((same, number)) if same == bytes => Some(number),
                    _ => self.numbers.get(bytes).copied(),
                };
                let number = if let Some(number) = known {
                    number
                } else {
                    let number = u32::try_from(self.numbers.len())
                        .map_err(|_| Error::Input("more than 2^32 keys".to_owned()))?;
                    self.numbers.insert(bytes.into(), number);
                    new_rows.push(row);
                    number
                };
                last = Some((bytes, number));
                numbers.push(number);
                row += 1;
            }
        }
        if !new_rows.is_empty() {
            let frame = DataFrame::new_infer_height(by)?;
            let new = frame.take(&IdxCa::from_vec(PlSmallStr::EMPTY, new_rows))?;
            self.rows.vstack_mut_owned(new)?;
            self.rows.rechunk_mut();
        }
        Ok(numbers)
    }

    /// All keys, in the order of their numbers.
    #[must_use]
    pub fn rows(&self) -> &DataFrame {
        &self.rows
    }

    /// Forgets all keys from number `len` on.
    pub fn truncate(&mut self, len: usize) {
        if self.numbers.len() > len {
            self.numbers.retain(|_, number| (*number as usize) < len);
            self.short.retain(|_, number| (*number as usize) < len);
            self.found.fill(NOT_FOUND);
            self.rows = self.rows.head(Some(len));
        }
    }

    /// The key columns of the given key numbers.
    ///
    /// # Errors
    /// If a number belongs to no key.
    pub fn columns(&self, numbers: Vec<u32>) -> Result<Vec<Column>, Error> {
        let index = IdxCa::from_vec(PlSmallStr::EMPTY, numbers);
        Ok(self.rows.take(&index)?.into_columns())
    }
}
