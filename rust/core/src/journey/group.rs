//! Rows of all people in, rows of one person after the other out.
//!
//! Rows are moved, not indexed: a gather costs more than a row. First into partitions by a hash of
//! the person, so that the rest happens inside the second-level cache; there into runs of one
//! person, which are short and sorted on the spot.

use super::Entry;
use crate::column::{NULL, narrow};

/// Rows per partition that stay in cache.
const PARTITION_ROWS: usize = 8_192;
const PARTITION_BITS_MAX: u32 = 10;

fn upper(hash: u64, bits: u32) -> usize {
    debug_assert!((1..64).contains(&bits));
    usize::try_from(hash >> (64 - bits)).unwrap_or_default()
}

/// How many upper bits of the hash say a row's partition.
fn partition_bits(rows: usize) -> u32 {
    (rows / PARTITION_ROWS + 1).ilog2().min(PARTITION_BITS_MAX)
}

/// Move rows into partitions, in whose order they keep that of the input; returns their ends.
pub(super) fn partition(entries: Vec<Entry>) -> (Vec<Entry>, Vec<usize>) {
    let bits = partition_bits(entries.len());
    if bits == 0 {
        let end = entries.len();
        return (entries, vec![end]);
    }
    let mut next = vec![0_usize; 1 << bits];
    for entry in &entries {
        next[upper(entry.hash(), bits)] += 1;
    }
    starts(&mut next);
    let mut moved = vec![Entry::default(); entries.len()];
    for entry in &entries {
        let at = &mut next[upper(entry.hash(), bits)];
        moved[*at] = *entry;
        *at += 1;
    }
    // Every cursor now stands where its partition ends.
    (moved, next)
}

/// Counts become the places where each run starts.
fn starts(counts: &mut [usize]) {
    let mut start = 0;
    for count in counts {
        start += std::mem::replace(count, start);
    }
}

/// Finds the people of one partition after the other; keeps its memory between them.
#[derive(Default)]
pub(super) struct Groups {
    /// Number of the person in each slot, [`NULL`] where it is free.
    slots: Vec<u32>,
    people: Vec<u64>,
    person_of: Vec<u32>,
    next: Vec<usize>,
    moved: Vec<Entry>,
}

impl Groups {
    /// Call `take` with the rows of each person, in order.
    pub(super) fn each(&mut self, part: &[Entry], mut take: impl FnMut(&[Entry])) {
        self.number(part);
        starts(&mut self.next);
        self.moved.clear();
        self.moved.resize(part.len(), Entry::default());
        for (entry, person) in part.iter().zip(&self.person_of) {
            let at = &mut self.next[*person as usize];
            self.moved[*at] = *entry;
            *at += 1;
        }
        let mut start = 0;
        for end in &self.next {
            let rows = &mut self.moved[start..*end];
            rows.sort_unstable_by_key(Entry::order);
            take(rows);
            start = *end;
        }
    }

    /// Number the people of a partition and count the rows of each.
    fn number(&mut self, part: &[Entry]) {
        let bits = (2 * part.len()).next_power_of_two().ilog2().max(1);
        self.slots.clear();
        self.slots.resize(1 << bits, NULL);
        self.people.clear();
        self.person_of.clear();
        self.next.clear();
        for entry in part {
            let person = self.person(entry, bits);
            self.next[person as usize] += 1;
            self.person_of.push(person);
        }
    }

    fn person(&mut self, entry: &Entry, bits: u32) -> u32 {
        // The top bits are the same all over the partition, so they are turned away.
        let mut slot = upper(entry.hash().rotate_left(PARTITION_BITS_MAX), bits);
        loop {
            match self.slots[slot] {
                NULL => {
                    let person = narrow(self.people.len());
                    self.slots[slot] = person;
                    self.people.push(entry.key);
                    self.next.push(0);
                    return person;
                }
                person if self.people[person as usize] == entry.key => return person,
                _ => slot = (slot + 1) & (self.slots.len() - 1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::journey::Tag;

    type People = BTreeMap<u64, Vec<(i64, u32)>>;

    fn entries(keys: &[(u64, i64)]) -> Vec<Entry> {
        let tag = Tag::touch(0, false, false).unwrap();
        let entry = |(row, (key, time)): (u32, &_)| Entry { key: *key, time: *time, row, tag };
        (0..).zip(keys).map(entry).collect()
    }

    fn grouped(keys: &[(u64, i64)]) -> People {
        let (moved, ends) = partition(entries(keys));
        let mut groups = Groups::default();
        let mut found = People::new();
        let mut start = 0;
        for end in ends {
            groups.each(&moved[start..end], |rows| {
                let own = rows.iter().map(|entry| (entry.time, entry.row)).collect();
                assert!(rows.iter().all(|entry| entry.key == rows[0].key), "two people are one");
                assert!(found.insert(rows[0].key, own).is_none(), "a person comes twice");
            });
            start = end;
        }
        found
    }

    fn expected(keys: &[(u64, i64)]) -> People {
        let mut people = People::new();
        for (row, (key, time)) in (0..).zip(keys) {
            people.entry(*key).or_default().push((*time, row));
        }
        for rows in people.values_mut() {
            rows.sort_unstable();
        }
        people
    }

    proptest! {
        #[test]
        fn every_person_has_its_rows_in_order(
            keys in prop::collection::vec((0..9_u64, -3..3_i64), 0..60), shift in 0..60_u32,
        ) {
            let keys: Vec<_> = keys.into_iter().map(|(key, time)| (key << shift, time)).collect();
            prop_assert_eq!(grouped(&keys), expected(&keys));
        }
    }

    #[test]
    fn many_partitions_lose_nobody() {
        for step in [1, 1 << 20, 1 << 44, 0x9E37_79B9_7F4A_7C15] {
            let key = |row: i64| (row.unsigned_abs() % 30_011).wrapping_mul(step);
            let keys: Vec<_> = (0..100_000_i64).map(|row| (key(row), -(row % 7))).collect();
            assert!(partition_bits(keys.len()) > 2);
            assert_eq!(grouped(&keys), expected(&keys));
        }
    }
}
