//! Text that repeats in, one number per row and each different text once out.
//!
//! A table of 32-byte places: up to 24 bytes of text lie in the place itself, so that looking one
//! up touches nothing else. Hashes are seeded, so that nobody can send texts that collide. The type
//! of a column never changes, so a flood of different texts makes a large dictionary rather than
//! plain text; a different text costs at most 96 bytes more than plain text would.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow_array::{ArrayRef, DictionaryArray, Int32Array, types::Int32Type};
use arrow_buffer::{NullBuffer, ScalarBuffer};
use arrow_schema::ArrowError;
use foldhash::fast::RandomState;

use super::block::{ROWS, each};
use super::texts::{Texts, narrow};

/// Bytes of text that fit a place.
const INLINE: usize = 24;

/// The first bytes of a text as numbers, zeros behind; of a longer one its hash.
type Words = [u64; INLINE / 8];

/// Which bytes of the words belong to a text of each length.
const MASKS: [Words; INLINE + 1] = {
    let mut masks = [[0; INLINE / 8]; INLINE + 1];
    let mut length = 1;
    while length <= INLINE {
        let mut at = 0;
        while at < length {
            masks[length][at / 8] |= 0xff << (8 * (at % 8));
            at += 1;
        }
        length += 1;
    }
    masks
};

/// Values up to which a table has four places for each.
const SPARSE_MAX: usize = 1_024;

/// Places of the first table.
const FIRST: usize = 64;

/// A text as it is looked up, and a place that holds one.
#[derive(Clone, Copy, Default)]
struct Place {
    words: Words,
    length: u32,
    /// Of a place: one more than the number of the value, 0 where nothing lies. Of a text that is
    /// looked up: the low bits of its hash.
    number: u32,
}

impl Place {
    /// Whether the same words and length are in both, without a branch.
    #[inline]
    fn is_like(&self, other: &Self) -> bool {
        let [a, b, c] = [0, 1, 2].map(|at| self.words[at] ^ other.words[at]);
        a | b | c | u64::from(self.length ^ other.length) == 0
    }
}

/// Secrets of one batch, shared by its columns.
#[derive(Clone, Debug)]
pub(crate) struct Seed {
    words: [u64; 3],
    hasher: RandomState,
}

impl Default for Seed {
    fn default() -> Self {
        let hasher = RandomState::default();
        let words = [1_u8, 2, 3].map(|salt| hasher.hash_one(salt));
        Self { words, hasher }
    }
}

/// The product of two secrets and texts, both halves of it.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the low half")]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl Seed {
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a hash has no wrong bits")]
    fn sought(&self, words: Words, length: u32) -> Place {
        let mixed = [0, 1, 2].map(|at| words[at] ^ self.words[at]);
        let hash = fold(fold(mixed[0], mixed[1]) ^ mixed[2], self.words[0] ^ u64::from(length));
        Place { words, length, number: hash as u32 }
    }
}

/// A dictionary column being built.
pub(crate) struct Labels {
    pub(crate) keys: Vec<i32>,
    values: Texts,
    table: Vec<Place>,
    /// How many values there were before the row being written alone.
    committed: usize,
}

#[inline]
fn index(key: i32) -> usize {
    usize::try_from(key).unwrap_or(0)
}

/// The words of a text that lies in the middle of others.
#[inline]
fn words_at(text: &[u8], start: usize, stop: usize) -> Option<Words> {
    let mask = MASKS.get(stop.wrapping_sub(start))?;
    let bytes = text.get(start..)?.first_chunk::<INLINE>()?;
    let (words, _) = bytes.as_chunks::<8>();
    let word = |at: usize| u64::from_le_bytes(words[at]) & mask[at];
    Some([word(0), word(1), word(2)])
}

impl Labels {
    pub(crate) fn new() -> Self {
        Self { keys: Vec::new(), values: Texts::new(), table: Vec::new(), committed: 0 }
    }

    /// The numbers of the texts that lie at `spans`, for each bit of `rows`.
    pub(crate) fn numbers_at(
        &mut self,
        text: &[u8],
        spans: &[(u32, u32); ROWS],
        rows: u64,
        seed: &Seed,
    ) -> [i32; ROWS] {
        let mut numbers = [0; ROWS];
        each(rows, |row| {
            let (start, stop) = (spans[row].0 as usize, spans[row].1 as usize);
            numbers[row] = if let Some(words) = words_at(text, start, stop) {
                let sought = seed.sought(words, narrow32(stop - start));
                match self.find(&sought, |_| true) {
                    Ok(key) => key,
                    Err(at) => self.add(at, sought, seed, &text[start..stop]),
                }
            } else {
                self.number(text.get(start..stop).unwrap_or_default(), seed)
            };
        });
        numbers
    }

    /// The number of a text.
    pub(crate) fn number(&mut self, text: &[u8], seed: &Seed) -> i32 {
        let length = narrow32(text.len());
        let found = if text.len() <= INLINE {
            let mut padded = [0; INLINE];
            padded[..text.len()].copy_from_slice(text);
            let words = words_at(&padded, 0, text.len()).unwrap_or_default();
            let sought = seed.sought(words, length);
            self.find(&sought, |_| true).map_err(|at| (at, sought))
        } else {
            // Longer texts may share a hash.
            let sought = seed.sought([seed.hasher.hash_one(text), 0, 0], length);
            let values = &self.values;
            self.find(&sought, |key| values.value(index(key)) == text).map_err(|at| (at, sought))
        };
        found.unwrap_or_else(|(at, sought)| self.add(at, sought, seed, text))
    }

    /// The number of the value in a like place, else the free place where it would lie.
    #[inline]
    fn find(&self, sought: &Place, is_it: impl Fn(i32) -> bool) -> Result<i32, usize> {
        let mask = self.table.len().wrapping_sub(1);
        let mut at = sought.number as usize & mask;
        while let Some(place) = self.table.get(at) {
            let key = place.number.wrapping_sub(1).cast_signed();
            if place.is_like(sought) && place.number != 0 {
                if is_it(key) {
                    return Ok(key);
                }
            } else if place.number == 0 {
                break;
            }
            at = (at + 1) & mask;
        }
        Err(at)
    }

    #[cold]
    fn add(&mut self, at: usize, place: Place, seed: &Seed, text: &[u8]) -> i32 {
        let count = self.values.len();
        self.values.push(text);
        let place = Place { number: narrow32(count + 1), ..place };
        match self.table.get_mut(at) {
            Some(free) => *free = place,
            // Nothing was there yet: most columns of most batches stay without a table.
            None => self.table.push(place),
        }
        // Small tables are kept sparse, which saves second looks; large ones must fit the caches.
        let share = if count < SPARSE_MAX { 4 } else { 2 };
        if (count + 1) * share > self.table.len() {
            let size = (self.table.len() * 2).max(FIRST);
            self.rebuild(size, seed, |_| true);
        }
        narrow(count)
    }

    /// Lay the wanted values out in a table of another size.
    fn rebuild(&mut self, size: usize, seed: &Seed, is_wanted: impl Fn(u32) -> bool) {
        let table = std::mem::replace(&mut self.table, vec![Place::default(); size]);
        for place in table.into_iter().filter(|place| place.number > 0 && is_wanted(place.number)) {
            let sought = seed.sought(place.words, place.length);
            let mut at = sought.number as usize & (size - 1);
            while self.table[at].number > 0 {
                at = (at + 1) & (size - 1);
            }
            self.table[at] = place;
        }
    }

    /// Give one row its value; rows before it that have none get the first.
    pub(crate) fn push(&mut self, row: usize, text: &[u8], seed: &Seed) {
        self.keys.resize(row, 0);
        self.committed = self.values.len();
        let key = self.number(text, seed);
        self.keys.push(key);
    }

    /// Take back what the last row pushed, if it is beyond `rows`.
    #[cold]
    pub(crate) fn undo(&mut self, rows: usize, seed: &Seed) {
        if self.keys.len() <= rows {
            return;
        }
        self.keys.truncate(rows);
        if self.committed < self.values.len() {
            self.values.truncate(self.committed);
            let kept = narrow32(self.committed);
            self.rebuild(self.table.len(), seed, |number| number <= kept);
        }
    }

    pub(crate) fn finish(
        mut self,
        rows: usize,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef, ArrowError> {
        self.keys.resize(rows, 0);
        let keys = Int32Array::try_new(ScalarBuffer::from(self.keys), nulls)?;
        let values = Arc::new(self.values.finish(None)?);
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values)?))
    }
}

/// Lengths and counts stay below 2^31 because a batch is made from fewer bytes than that.
#[inline]
fn narrow32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{Labels, ROWS, Seed};

    #[test]
    fn numbers_are_given_in_order_of_first_appearance() {
        let (mut labels, seed) = (Labels::new(), Seed::default());
        let mut oracle: HashMap<Vec<u8>, i32> = HashMap::new();
        let mut text = Vec::new();
        for round in 0..20_000_usize {
            let number = round.wrapping_mul(7_919) % 3_000;
            let length = number % 60;
            let value: Vec<u8> = number.to_string().bytes().cycle().take(length).collect();
            text.clear();
            text.extend_from_slice(b"before");
            text.extend_from_slice(&value);
            text.resize(text.len() + round % 40, b'x');
            let next = i32::try_from(oracle.len()).unwrap();
            let expected = *oracle.entry(value.clone()).or_insert(next);
            let span = (6, 6 + u32::try_from(length).unwrap());
            let found = labels.numbers_at(&text, &[span; ROWS], 1 << 5 | 1 << 9, &seed);
            assert_eq!((found[5], found[9], found[0]), (expected, expected, 0));
            assert_eq!(labels.number(&value, &seed), expected);
        }
    }

    #[test]
    fn what_was_undone_is_new_again() {
        let (mut labels, seed) = (Labels::new(), Seed::default());
        for row in 0..100 {
            labels.push(row, format!("kept {row}").as_bytes(), &seed);
        }
        labels.push(100, b"undone", &seed);
        labels.undo(100, &seed);
        assert_eq!(labels.number(b"next", &seed), 100);
        assert_eq!(labels.number(b"undone", &seed), 101);
        assert_eq!(labels.number(b"kept 7", &seed), 7);
    }
}
