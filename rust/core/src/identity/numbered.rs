//! Keys in, numbers out, in order of first appearance.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::column::narrow;

/// Different keys. The table holds numbers only, since what is looked up at random should stay
/// near, and grow without being moved.
pub(super) struct Numbered {
    table: HashTable<u32>,
    keys: Vec<u128>,
    hasher: FixedState,
}

impl Numbered {
    /// None yet; who does not know the salt cannot choose keys that collide.
    pub(super) fn new(salt: u64) -> Self {
        Self { table: HashTable::new(), keys: Vec::new(), hasher: FixedState::with_seed(salt) }
    }

    /// The key of a number.
    pub(super) fn key(&self, number: u32) -> u128 {
        self.keys[number as usize]
    }

    /// The keys by number.
    pub(super) fn into_keys(self) -> Vec<u128> {
        self.keys
    }

    /// Of keys that were numbered, not of those that were appended since.
    pub(super) fn find(&self, key: u128) -> Option<u32> {
        let is_key = |number: &u32| self.keys[*number as usize] == key;
        self.table.find(self.hasher.hash_one(key), is_key).copied()
    }

    /// The number of a key, and whether it is new.
    pub(super) fn number(&mut self, key: u128) -> (u32, bool) {
        self.catch_up();
        let Self { table, keys, hasher } = self;
        let is_key = |number: &u32| keys[*number as usize] == key;
        let hash = |number: &u32| hasher.hash_one(keys[*number as usize]);
        match table.entry(hasher.hash_one(key), is_key, hash) {
            Entry::Occupied(found) => (*found.get(), false),
            Entry::Vacant(free) => {
                let number = narrow(keys.len());
                free.insert(number);
                keys.push(key);
                (number, true)
            }
        }
    }

    /// The number of a key that is known to be new, which is not put into the table before
    /// somebody looks for a number.
    pub(super) fn append(&mut self, key: u128) -> u32 {
        self.keys.push(key);
        narrow(self.keys.len() - 1)
    }

    fn catch_up(&mut self) {
        let Self { table, keys, hasher } = self;
        let hash = |number: &u32| hasher.hash_one(keys[*number as usize]);
        for number in table.len()..keys.len() {
            let number = narrow(number);
            table.insert_unique(hash(&number), number, hash);
        }
    }
}
