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

use super::block::ROWS;
use super::glance::glance;
use super::texts::{Texts, narrow};

/// Bytes of text that fit a place.
const INLINE: usize = 24;

/// The first bytes of a text as numbers, zeros behind; of a longer one its hash.
type Words = [u64; INLINE / 8];

/// Which bytes of the words belong to a text of each length. The fourth is there for the step from
/// one to the next to be a power of two.
static MASKS: [[u64; 4]; 32] = {
    let mut masks = [[0; 4]; 32];
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
    /// One more than the length, 0 where nothing lies.
    room: u32,
    /// Of a place: the number of the value. Of a text that is looked up: the low bits of its hash.
    number: u32,
}

impl Place {
    /// Whether the same words and length are in both, without a branch.
    #[inline]
    fn is_like(&self, other: &Self) -> bool {
        let [a, b, c] = [0, 1, 2].map(|at| self.words[at] ^ other.words[at]);
        a | b | c | u64::from(self.room ^ other.room) == 0
    }
}

/// Secrets of one batch, shared by its columns.
#[derive(Clone, Debug)]
pub(crate) struct Seed {
    words: [u64; 3],
}

impl Default for Seed {
    fn default() -> Self {
        let hasher = RandomState::default();
        Self { words: [1_u8, 2, 3].map(|salt| hasher.hash_one(salt)) }
    }
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the low half")]
const fn low(both: u128) -> u64 {
    both as u64
}

/// The product of two numbers, both halves of it.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    low(product) ^ low(product >> 64)
}

impl Seed {
    /// `N` words, behind which all others are zero: those change nothing.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a hash has no wrong bits")]
    fn hash<const N: usize>(&self, words: [u64; N], length: u32) -> usize {
        let word = |at: usize| words.get(at).copied().unwrap_or(0);
        let [a, b, c] = self.words;
        let first = fold(word(0) ^ a, word(1) ^ b ^ u64::from(length));
        (if N > 2 { first ^ fold(word(2), c) } else { first }) as usize
    }

    /// Of a text that fits no place; it may share it with others.
    #[inline]
    fn long(&self, text: &[u8]) -> u64 {
        let [a, b, c] = self.words;
        let mixed = |hash: u64, chunk: &[u8; 16], secret: u64| {
            let both = u128::from_le_bytes(*chunk);
            fold(low(both) ^ hash, low(both >> 64) ^ secret)
        };
        // The last sixteen bytes stand for what is left, and may overlap the others.
        let (chunks, _) = text.as_chunks();
        let (pairs, rest) = chunks.as_chunks::<2>();
        // Two at a time, because each product waits for the one before.
        let start = [c ^ text.len() as u64, a];
        let [one, other] = pairs.iter().fold(start, |[one, other], [first, second]| {
            [mixed(one, first, b), mixed(other, second, b)]
        });
        let both = one ^ other.rotate_left(32);
        let hash = rest.iter().fold(both, |hash, chunk| mixed(hash, chunk, b));
        mixed(hash, text.last_chunk().unwrap_or(&[0; 16]), a)
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a hash has no wrong bits")]
    fn sought(&self, words: Words, length: u32) -> Place {
        let is_long = length as usize > INLINE;
        let number = if is_long { words[0] as u32 } else { self.hash(words, length) as u32 };
        Place { words, room: length.wrapping_add(1), number }
    }
}

/// A dictionary column being built.
pub(crate) struct Labels {
    pub(crate) keys: Vec<i32>,
    values: Texts,
    table: Vec<Place>,
    /// Bytes of the longest text in it.
    longest: usize,
    /// How many values there were before the row being written alone.
    committed: usize,
}

#[inline]
fn index(key: i32) -> usize {
    usize::try_from(key).unwrap_or(0)
}

/// The words of a text that fits them and lies in the middle of others.
#[inline]
fn words_at<const N: usize>(text: &[u8], start: u32, length: u32) -> [u64; N] {
    let (mask, bytes) = (&MASKS[length as usize % MASKS.len()], glance::<INLINE>(text, start));
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|at| u64::from_le_bytes(words[at]) & mask[at])
}

/// The number of the value in a like place, else the free place where it would lie.
#[inline]
fn find(table: &[Place], sought: &Place, is_it: impl Fn(i32) -> bool) -> Result<i32, usize> {
    let mask = table.len().wrapping_sub(1);
    let mut at = sought.number as usize & mask;
    while let Some(place) = table.get(at) {
        let number = place.number.cast_signed();
        if place.is_like(sought) && is_it(number) {
            return Ok(number);
        }
        if place.room == 0 {
            break;
        }
        at = (at + 1) & mask;
    }
    Err(at)
}

impl Labels {
    pub(crate) fn new() -> Self {
        let (keys, table) = (Vec::new(), Vec::new());
        Self { keys, values: Texts::new(), table, longest: 0, committed: 0 }
    }

    /// The numbers of the texts at `span`, for each bit of `rows`. They lie in the middle of
    /// others.
    pub(crate) fn numbers(
        &mut self,
        text: &[u8],
        span: impl Fn(usize) -> (u32, u32),
        rows: u64,
        seed: &Seed,
    ) -> [i32; ROWS] {
        let (mut numbers, mut left) = ([0; ROWS], rows);
        while left != 0 {
            // Words that no text so far reaches need not be compared.
            let known = match self.longest {
                0..=8 => known::<1>,
                9..=16 => known::<2>,
                _ => known::<3>,
            };
            left = known(&self.table, text, &span, left, seed, &mut numbers);
            left = self.known_long(text, &span, left, seed, &mut numbers);
            if left != 0 {
                // New, or of another kind than the one before.
                let row = left.trailing_zeros() as usize;
                let (start, stop) = span(row);
                let own = text.get(start as usize..stop as usize).unwrap_or_default();
                numbers[row] = self.number(own, seed);
                left &= left - 1;
            }
        }
        numbers
    }

    /// As [`known`], of texts that fit no place.
    #[inline(never)]
    fn known_long(
        &self,
        text: &[u8],
        span: &impl Fn(usize) -> (u32, u32),
        mut rows: u64,
        seed: &Seed,
        numbers: &mut [i32; ROWS],
    ) -> u64 {
        while rows != 0 {
            let row = rows.trailing_zeros() as usize;
            let (start, stop) = (span(row).0 as usize, span(row).1 as usize);
            let Some(own) = text.get(start..stop).filter(|own| own.len() > INLINE) else { break };
            let sought = seed.sought([seed.long(own), 0, 0], narrow32(own.len()));
            let is_it = |key| self.values.value(index(key)) == own;
            let Ok(number) = find(&self.table, &sought, is_it) else { break };
            numbers[row] = number;
            rows &= rows - 1;
        }
        rows
    }

    /// The number of a text.
    pub(crate) fn number(&mut self, text: &[u8], seed: &Seed) -> i32 {
        let length = narrow32(text.len());
        let (found, sought) = if text.len() <= INLINE {
            let sought = seed.sought(words_at(text, 0, length), length);
            (find(&self.table, &sought, |_| true), sought)
        } else {
            // Longer texts may share a hash.
            let sought = seed.sought([seed.long(text), 0, 0], length);
            let is_it = |key| self.values.value(index(key)) == text;
            (find(&self.table, &sought, is_it), sought)
        };
        found.unwrap_or_else(|at| self.add(at, sought, seed, text))
    }

    #[cold]
    fn add(&mut self, at: usize, place: Place, seed: &Seed, text: &[u8]) -> i32 {
        let count = self.values.len();
        self.values.push(text);
        self.longest = self.longest.max(text.len());
        let place = Place { number: narrow32(count), ..place };
        match self.table.get_mut(at) {
            Some(free) => *free = place,
            // Nothing was there yet: most columns of most batches stay without a table.
            None => self.table.push(place),
        }
        // Small tables are kept sparse, which saves second looks; large ones must fit the caches.
        let share = if count < SPARSE_MAX { 4 } else { 2 };
        if (count + 1) * share > self.table.len() {
            let size = (self.table.len() * 2).max(FIRST);
            self.rebuild(size, seed, count + 1);
        }
        narrow(count)
    }

    /// Lay the first `kept` values out in a table of another size.
    fn rebuild(&mut self, size: usize, seed: &Seed, kept: usize) {
        let table = std::mem::replace(&mut self.table, vec![Place::default(); size]);
        let is_kept = |place: &Place| place.room > 0 && (place.number as usize) < kept;
        for place in table.into_iter().filter(is_kept) {
            let sought = seed.sought(place.words, place.room - 1);
            let mut at = sought.number as usize & (size - 1);
            while self.table[at].room > 0 {
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
            self.rebuild(self.table.len(), seed, self.committed);
        }
    }

    /// Whether no row has a value.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.len() == 0
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

/// Find the numbers of texts that have one and fit `N` words, as all in the table that fit a place
/// do, up to the first that does not: what is left from there on. On its own, because what it needs
/// fits the registers.
#[inline(never)]
fn known<const N: usize>(
    table: &[Place],
    text: &[u8],
    span: &impl Fn(usize) -> (u32, u32),
    mut rows: u64,
    seed: &Seed,
    numbers: &mut [i32; ROWS],
) -> u64 {
    let Some(last) = table.len().checked_sub(1) else { return rows };
    while rows != 0 {
        let row = rows.trailing_zeros() as usize;
        let (start, stop) = span(row);
        let length = stop.wrapping_sub(start);
        if length as usize > 8 * N {
            break;
        }
        let words: [u64; N] = words_at(text, start, length);
        let mut at = seed.hash(words, length) & last;
        let place = loop {
            let place = &table[at];
            let other = (0..N).fold(0, |other, word| other | words[word] ^ place.words[word]);
            if other | u64::from(place.room ^ (length + 1)) == 0 {
                break place;
            }
            if place.room == 0 {
                return rows;
            }
            at = (at + 1) & last;
        };
        numbers[row] = place.number.cast_signed();
        rows &= rows - 1;
    }
    rows
}

/// Lengths and counts stay below 2^31 because a batch is made from fewer bytes than that.
#[inline]
fn narrow32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{Labels, Seed};

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
            let found = labels.numbers(&text, |_| span, 1 << 5 | 1 << 9, &seed);
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
