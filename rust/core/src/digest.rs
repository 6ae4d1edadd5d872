//! Bytes in, 128 bits under a salt out, by which they are told apart.
//!
//! Two lanes of the folded multiplication that `wyhash` and `foldhash` are made of, over the same
//! sixteen bytes at a time: a lane multiplies what it read with what it knows, and keeps both
//! halves of the product. Who does not know the salt cannot say when a factor becomes 0.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;

/// Makes digests wide enough that no two values of a table share one, and that cannot be guessed
/// where the salt cannot.
#[derive(Clone)]
pub(crate) struct Digester {
    lanes: [Lane; 2],
}

#[derive(Clone, Copy)]
struct Lane {
    start: u64,
    factor: u64,
    end: u64,
}

/// Bytes read at once.
const BLOCK: usize = 16;

impl Digester {
    pub(crate) fn new(salt: u64) -> Self {
        // Numbers that have nothing to do with one another, of any salt.
        let number = |index: u64| {
            let mut hasher = FixedState::with_seed(salt).build_hasher();
            hasher.write_u64(index);
            hasher.finish()
        };
        let lane = |at| Lane { start: number(at), factor: number(at + 1), end: number(at + 2) | 1 };
        Self { lanes: [lane(0), lane(3)] }
    }

    #[inline]
    pub(crate) fn digest(&self, bytes: &[u8]) -> [u64; 2] {
        let mut sums = self.lanes.map(|lane| lane.start);
        let mut rest = bytes;
        while rest.len() > BLOCK {
            let (block, more) = rest.split_at(BLOCK);
            self.take(&mut sums, halves(block));
            rest = more;
        }
        self.take(&mut sums, last(bytes, rest));
        // Not where bytes are read: a short value and its length could make up for another's.
        let twice = (bytes.len() as u64) << 1;
        let [one, two] = self.lanes;
        [folded(sums[0], one.end.wrapping_add(twice)), folded(sums[1], two.end.wrapping_add(twice))]
    }

    #[inline]
    fn take(&self, sums: &mut [u64; 2], (low, high): (u64, u64)) {
        for (sum, lane) in sums.iter_mut().zip(&self.lanes) {
            *sum = folded(low ^ *sum, high ^ lane.factor);
        }
    }
}

fn folded(one: u64, two: u64) -> u64 {
    let product = u128::from(one) * u128::from(two);
    #[allow(clippy::cast_possible_truncation, reason = "two halves")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

fn halves(block: &[u8]) -> (u64, u64) {
    let (low, high) = block.split_at(BLOCK / 2);
    (word(low), word(high))
}

/// What is left at the end; read again from before where that fills a block. Since the length is
/// part of a digest, bytes that are read twice make no two values alike.
fn last(bytes: &[u8], rest: &[u8]) -> (u64, u64) {
    if let Some(block) = bytes.last_chunk::<BLOCK>() {
        return halves(block);
    }
    if let (Some(first), Some(last)) = (rest.first_chunk::<8>(), rest.last_chunk::<8>()) {
        return (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        return (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into());
    }
    (rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_half_tells_values_apart() {
        let digester = Digester::new(7);
        let mut halves = [HashSet::new(), HashSet::new()];
        let mut count = 0;
        let mut take = |value: &[u8]| {
            count += 1;
            for (half, digest) in halves.iter_mut().zip(digester.digest(value)) {
                half.insert(digest);
            }
        };
        // Of every length, all alike; differing in one bit; and counted.
        for length in 0..=100 {
            take(&vec![0; length]);
            for bit in 0..8 * length {
                let mut value = vec![0; length];
                value[bit / 8] |= 1 << (bit % 8);
                take(&value);
            }
        }
        for number in 0..300_000_u32 {
            take(format!("u{number}").as_bytes());
            take(format!("{number:032x}").as_bytes());
            take(format!("{number:08x}-0000-4000-8000-000000000000").as_bytes());
        }
        assert_eq!(halves.each_ref().map(HashSet::len), [count; 2]);
    }

    #[test]
    fn a_bit_of_a_value_moves_half_of_a_digest() {
        let digester = Digester::new(7);
        for length in [1, 3, 4, 7, 8, 15, 16, 17, 32, 36, 100] {
            let value: Vec<u8> = (1..=251).cycle().step_by(37).take(length).collect();
            let whole = digester.digest(&value);
            let mut moved = [0; 128];
            for bit in 0..8 * length {
                let mut other = value.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                let changed = digester.digest(&other);
                for (at, moved) in moved.iter_mut().enumerate() {
                    *moved += (whole[at / 64] ^ changed[at / 64]) >> (at % 64) & 1;
                }
            }
            let (total, tries) = (moved.iter().sum::<u64>() as f64, (8 * length * 128) as f64);
            assert!((total / tries - 0.5).abs() < 0.08, "{length}: {}", total / tries);
        }
    }

    #[test]
    fn another_salt_makes_other_digests_of_everything() {
        for value in [&b""[..], b"a", b"of more than sixteen bytes"] {
            let [one, two] = [1, 2].map(|salt| Digester::new(salt).digest(value));
            assert!(one[0] != two[0] && one[1] != two[1] && one[0] != one[1]);
        }
    }
}
