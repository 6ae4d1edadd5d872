//! Identities in, people out, where a table says who they are.
//!
//! A warehouse keeps identities in order, and a look at memory far away takes longer than all else
//! here. So the place of an identity in the table follows from its leading bits: whoever comes in
//! order goes through the table from one end to the other. The bits are those of a digest.

use arrow_array::RecordBatch;
use arrow_array::types::UInt64Type;

use super::{NOBODY, NULL, Uuid, Uuids};
use crate::column::{TableError, narrow, unsigned};

/// Who is who by a table of `identity`, `person` and `version` (64 bits without a sign): of several
/// rows of an identity that with the greatest counts. One that is not in it, or whose person is
/// nobody, is a person of its own.
pub struct Named {
    numbers: Numbers,
    persons: Vec<u32>,
}

impl Named {
    /// Read the table; `more` identities are expected beside those in it.
    ///
    /// # Errors
    /// A column is missing or of a wrong type.
    pub fn new(persons: &[RecordBatch], more: usize) -> Result<Self, TableError> {
        let rows: usize = persons.iter().map(RecordBatch::num_rows).sum();
        let keys = 2 * rows + more;
        let numbers = Numbers::with_capacity(keys);
        let mut newest = Vec::new();
        let mut named = Self { numbers, persons: Vec::with_capacity(keys) };
        for batch in persons {
            let column = |name| Uuids::new(batch, name).map(|ids| ids.all(batch.num_rows()));
            let (identities, persons) = (column("identity")?, column("person")?);
            let own: Vec<_> = identities.iter().map(|identity| named.own(*identity)).collect();
            let versions = unsigned::<UInt64Type>(batch, "version", "who is who")?;
            newest.resize(named.persons.len(), 0);
            for row in by_region(&persons) {
                let (own, row) = (own[row as usize], row as usize);
                let newest = &mut newest[own as usize];
                if versions[row] >= *newest {
                    *newest = versions[row];
                    let person = persons[row];
                    named.persons[own as usize] =
                        if person == NOBODY { own } else { named.own(person) };
                }
            }
        }
        Ok(named)
    }

    /// Whether the table `persons` has identities that are nobody's.
    ///
    /// # Errors
    /// The column is missing or of a wrong type.
    pub fn has_nobody(persons: &[RecordBatch]) -> Result<bool, TableError> {
        for batch in persons {
            if Uuids::new(batch, "person")?.all(batch.num_rows()).contains(&NOBODY) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Make sure that as many identities can be numbered as rows name one after the other.
    pub(crate) fn make_room(&mut self, rows: &[RecordBatch]) -> Result<(), TableError> {
        let mut more = 0;
        for batch in rows {
            let identities = Uuids::new(batch, "identity")?.all(batch.num_rows());
            let is_other = |pair: &&[Uuid]| pair[0] != pair[1];
            more += 1 + identities.windows(2).filter(is_other).count();
        }
        self.numbers.make_room(more);
        Ok(())
    }

    /// By number of an identity that of the one its person is called by.
    pub(crate) fn persons(&self) -> &[u32] {
        &self.persons
    }

    /// The number of an identity, made where it has none.
    pub(crate) fn own(&mut self, identity: Uuid) -> u32 {
        let number = self.numbers.number(key(identity));
        if number as usize == self.persons.len() {
            self.persons.push(number);
        }
        number
    }

    /// The number of an identity that was met before, or [`NULL`].
    pub(crate) fn find(&self, identity: Uuid) -> u32 {
        self.numbers.find(key(identity))
    }
}

/// Rows nearly in order: those looked up one after the other lie in a small part of the table.
fn by_region(ids: &[Uuid]) -> Vec<u32> {
    const REGIONS_LOG2: u32 = 10;
    #[allow(clippy::cast_possible_truncation, reason = "a few bits")]
    let region = |id: &Uuid| (Numbers::leading(key(*id)) >> (u64::BITS - REGIONS_LOG2)) as usize;
    let mut ends = vec![0_u32; (1 << REGIONS_LOG2) + 1];
    for id in ids {
        ends[region(id) + 1] += 1;
    }
    for at in 1..ends.len() {
        ends[at] += ends[at - 1];
    }
    let mut rows = vec![0; ids.len()];
    for (row, id) in (0..).zip(ids) {
        let end = &mut ends[region(id)];
        rows[*end as usize] = row;
        *end += 1;
    }
    rows
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
    /// As many keys at most. Room is made before: the first keys in order fill the first places,
    /// and would fill up a table that is yet to grow.
    fn with_capacity(keys: usize) -> Self {
        let places = (keys + keys / 3 + 1).next_power_of_two().max(2);
        Self {
            places: vec![NULL; places],
            shift: u64::BITS - places.ilog2(),
            keys: Vec::with_capacity(keys),
        }
    }

    fn make_room(&mut self, more: usize) {
        let keys = self.keys.len() + more;
        if keys + keys / 3 < self.places.len() {
            return;
        }
        let mut larger = Self::with_capacity(keys);
        for key in &self.keys {
            larger.number(*key);
        }
        *self = larger;
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
