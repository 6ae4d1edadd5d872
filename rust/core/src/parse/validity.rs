//! Which columns each row has in, a bitmap per column out.

use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};

use super::block::ROWS;
use super::columns::WIDTH;
use super::turn::transpose;

/// Bitmaps being built.
#[derive(Default)]
pub(crate) struct Validity {
    /// A word per column for every 64 rows, the first row lowest.
    words: Vec<[u64; WIDTH]>,
    /// How many rows are in them.
    rows: usize,
    /// A bit per column of each row that came alone since, fewer than 64.
    alone: Vec<u64>,
}

impl Validity {
    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.rows + self.alone.len()
    }

    /// Append one row; `present` has a bit for each column with a value.
    #[inline]
    pub(crate) fn push(&mut self, present: u64) {
        self.alone.push(present);
        if self.alone.len() == ROWS {
            self.settle();
        }
    }

    /// Append `count` rows, of which `bits` has a bit each in every column, and no others.
    pub(crate) fn append(&mut self, bits: &[u64; WIDTH], count: u32) {
        self.settle();
        if count == 0 {
            return;
        }
        let taken = self.rows % ROWS;
        match self.words.last_mut() {
            Some(last) if taken > 0 => {
                last.iter_mut().zip(bits).for_each(|(word, bits)| *word |= bits << taken);
                if taken + count as usize > ROWS {
                    self.words.push(bits.map(|bits| bits >> (ROWS - taken)));
                }
            }
            _ => self.words.push(*bits),
        }
        self.rows += count as usize;
    }

    /// Move the rows that came alone to the others.
    fn settle(&mut self) {
        if self.alone.is_empty() {
            return;
        }
        let (mut block, mut bits, count) = ([0; ROWS], [0; WIDTH], self.alone.len());
        block[..count].copy_from_slice(&self.alone);
        self.alone.clear();
        transpose(&mut block);
        bits.copy_from_slice(&block[..WIDTH]);
        self.append(&bits, u32::try_from(count).unwrap_or(0));
    }

    /// The bitmap of each column; none where no row lacks a value.
    pub(crate) fn finish(mut self) -> Vec<Option<NullBuffer>> {
        self.settle();
        let nulls = |column: usize| {
            let words: Vec<u64> = self.words.iter().map(|words| words[column]).collect();
            let bits = BooleanBuffer::new(Buffer::from_vec(words), 0, self.rows);
            Some(NullBuffer::new(bits)).filter(|nulls| nulls.null_count() > 0)
        };
        (0..WIDTH).map(nulls).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{ROWS, Validity, WIDTH};

    #[test]
    fn rows_alone_and_together_keep_their_order() {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 20
        };
        let (mut validity, mut rows) = (Validity::default(), Vec::new());
        for _ in 0..300 {
            let count = if next() % 2 == 0 { 1 } else { next() % (ROWS as u64 + 1) };
            let masks: Vec<u64> = (0..count).map(|_| next() & ((1 << WIDTH) - 1)).collect();
            if count == 1 {
                validity.push(masks[0]);
            } else {
                let bit = |column: usize| {
                    let of = |(row, mask): (usize, &u64)| (mask >> column & 1) << row;
                    masks.iter().enumerate().map(of).fold(0, |bits, bit| bits | bit)
                };
                validity.append(&std::array::from_fn(bit), u32::try_from(count).unwrap());
            }
            rows.extend(masks);
            assert_eq!(validity.rows(), rows.len());
        }
        for (column, nulls) in validity.finish().into_iter().enumerate() {
            let found: Vec<_> = nulls.unwrap().iter().collect();
            let expected: Vec<_> = rows.iter().map(|mask| mask >> column & 1 == 1).collect();
            assert_eq!(found, expected, "column {column}");
        }
        assert!(Validity::default().finish().into_iter().all(|nulls| nulls.is_none()));
    }
}
