//! Identities in, people out, where a table says who they are.
//!
//! A warehouse keeps identities in order, and a look at memory far away takes longer than all else
//! here. So the place of an identity in the table follows from its leading bits: whoever comes in
//! order goes through the table from one end to the other. The bits are those of a digest.

use arrow_array::RecordBatch;

use super::{NOBODY, NULL, Uuid, Uuids};
use crate::column::{TableError, narrow};

/// Who is who by a table of `identity` and `person`. An identity that is not in it, or whose
/// person is nobody, is a person of its own.
pub(crate) struct Named {
    numbers: Numbers,
    persons: Vec<u32>,
}

impl Named {
    /// With room for `more` identities beside those of the table.
    pub(crate) fn new(persons: &[RecordBatch], more: usize) -> Result<Self, TableError> {
        let rows = persons.iter().map(RecordBatch::num_rows).sum();
        let numbers = Numbers::with_capacity(2 * rows + more);
        let mut named = Self { numbers, persons: Vec::new() };
        let mut called = Vec::with_capacity(rows);
        for batch in persons {
            let column = |name| Uuids::new(batch, name).map(|ids| ids.all(batch.num_rows()));
            let (identities, persons) = (column("identity")?, column("person")?);
            for (identity, person) in identities.iter().zip(&*persons) {
                if *person != NOBODY {
                    called.push((key(*person), named.own(*identity)));
                }
            }
        }
        // In order as well.
        called.sort_unstable_by_key(|(person, _)| Numbers::leading(*person));
        for (person, identity) in called {
            named.persons[identity as usize] = named.number_of(person);
        }
        Ok(named)
    }

    /// By number of an identity that of the one its person is called by.
    pub(crate) fn persons(&self) -> &[u32] {
        &self.persons
    }

    /// The number of an identity, made where it has none.
    pub(crate) fn own(&mut self, identity: Uuid) -> u32 {
        self.number_of(key(identity))
    }

    /// The number of an identity that was met before, or [`NULL`].
    pub(crate) fn find(&self, identity: Uuid) -> u32 {
        self.numbers.find(key(identity))
    }

    fn number_of(&mut self, key: u128) -> u32 {
        let number = self.numbers.number(key);
        if number as usize == self.persons.len() {
            self.persons.push(number);
        }
        number
    }
}

fn key(identity: Uuid) -> u128 {
    u128::from_be_bytes(identity)
}

/// Numbers of keys in order of first appearance.
struct Numbers {
    /// Of each place the number of a key that belongs there or shortly before, or [`NULL`].
    places: Vec<u32>,
    /// What is left of the leading bits is a place.
    shift: u32,
    keys: Vec<u128>,
}

impl Numbers {
    /// As many keys at most. Room is made once: the first keys in order fill the first places, and
    /// would fill up a table that is yet to grow.
    fn with_capacity(keys: usize) -> Self {
        let places = (2 * keys.max(1)).next_power_of_two();
        Self { places: vec![NULL; places], shift: u64::BITS - places.ilog2(), keys: Vec::new() }
    }

    /// By which a warehouse orders first: of a UUID the second half.
    fn leading(key: u128) -> u64 {
        #[allow(clippy::cast_possible_truncation, reason = "one half")]
        let half = key as u64;
        half
    }

    /// Where a key is, or would be.
    fn place(&self, key: u128) -> usize {
        #[allow(clippy::cast_possible_truncation, reason = "less than there are places")]
        let mut place = (Self::leading(key) >> self.shift) as usize;
        loop {
            let number = self.places[place];
            if number == NULL || self.keys[number as usize] == key {
                return place;
            }
            place = if place + 1 == self.places.len() { 0 } else { place + 1 };
        }
    }

    /// [`NULL`] where it has none.
    fn find(&self, key: u128) -> u32 {
        self.places[self.place(key)]
    }

    fn number(&mut self, key: u128) -> u32 {
        let place = self.place(key);
        if self.places[place] != NULL {
            return self.places[place];
        }
        let number = narrow(self.keys.len());
        self.places[place] = number;
        self.keys.push(key);
        number
    }
}
