//! Ids seen together in, persons out.
//!
//! An *identity* is the set of ids on one event. A *person* is a connected component, within one
//! app, of ids linked by identities; ids seen with too many different users are *shared* and link
//! nobody. The result depends on which identities were seen, never on their order.

mod graph;
mod links;
mod named;
mod numbered;
mod quick;
mod table;

use std::borrow::Cow;

use arrow_array::builder::FixedSizeBinaryBuilder;
use arrow_array::{Array, FixedSizeBinaryArray, RecordBatch};
use siphasher::sip128::SipHasher24;

use crate::column::{Bytes, NULL, TableError, find, narrow};
use crate::parse::is_nobody;
use crate::schema::{COLUMNS, IDENTITY};

pub use graph::{Added, Graph};
pub use links::links;
pub use named::Named;

/// Keys are stored in warehouses: neither this nor what is hashed may ever change.
const HASH_KEY: [u8; 16] = *b"unmogrowp/person";
const ID_COUNT: usize = IDENTITY.len();
const USER: usize = 0;

/// The ids of events, by row.
struct Ids<'a> {
    apps: Bytes<'a>,
    columns: [Bytes<'a>; ID_COUNT],
}

/// One event's ids in the order that names a person.
type Row<'a> = [Option<&'a [u8]>; ID_COUNT];

impl<'a> Ids<'a> {
    fn new(events: &'a RecordBatch) -> Result<Self, TableError> {
        let column = |name: &str| {
            let array = find(events, name, "canonical events")?.as_ref();
            Bytes::new(array).map_or_else(|| Bytes::text(array, name), Ok)
        };
        let mut columns = [const { Bytes::Null }; ID_COUNT];
        for (ids, at) in columns.iter_mut().zip(IDENTITY) {
            *ids = column(COLUMNS[at].name)?;
        }
        Ok(Self { apps: column("app_id")?, columns })
    }

    fn app(&self, row: usize) -> &[u8] {
        self.apps.get(row).unwrap_or_default()
    }

    /// Where a store has no nulls, empty text and the nil UUID stand for them.
    fn row(&self, row: usize) -> Row<'_> {
        let given =
            |column: &Bytes<'_>, id: &[u8]| !id.is_empty() && !is_nobody_in(column.is_raw(), id);
        self.columns.each_ref().map(|column| column.get(row).filter(|id| given(column, id)))
    }
}

/// Whether an id, of a column of raw bytes or of texts, means nobody; a parser leaves none, other
/// tables may have some.
#[inline]
fn is_nobody_in(is_raw: bool, id: &[u8]) -> bool {
    match id.try_into() {
        Ok(bytes) if is_raw => u128::from_ne_bytes(bytes) == 0,
        _ => !is_raw && is_nobody(id),
    }
}

/// Makes the keys of identities.
struct Keys {
    hasher: SipHasher24,
    /// What is hashed: everything led by its length or tag, so that no two inputs read the same.
    /// It is kept, since most rows need as much as the one before.
    text: Vec<u8>,
}

impl Keys {
    fn new() -> Self {
        Self { hasher: SipHasher24::new_with_key(&HASH_KEY), text: Vec::new() }
    }

    /// Key of an identity; none for an event without ids.
    fn key(&mut self, app: &[u8], ids: &Row<'_>) -> Option<u128> {
        self.text.clear();
        self.write(app);
        for (kind, id) in ids.iter().enumerate() {
            if let Some(id) = id {
                // Little-endian: the kind itself in the first byte.
                self.text.push(kind.to_le_bytes()[0]);
                self.write(id);
            }
        }
        let is_anybody = ids.iter().any(Option::is_some);
        is_anybody.then(|| u128::from_be_bytes(self.hasher.hash(&self.text).as_bytes()))
    }

    fn write(&mut self, text: &[u8]) {
        self.text.extend_from_slice(&narrow(text.len()).to_le_bytes());
        self.text.extend_from_slice(text);
    }
}

/// The kinds of id, in the order that names a person.
pub fn kinds() -> [&'static str; 6] {
    IDENTITY.map(|at| COLUMNS[at].name)
}

/// The identity key of each event: a hash of its app and its ids, null where it has none.
///
/// # Errors
/// A column is missing or of a wrong type.
pub fn keys(events: &RecordBatch) -> Result<FixedSizeBinaryArray, TableError> {
    let ids = Ids::new(events)?;
    let mut keys = Keys::new();
    let key = |row| keys.key(ids.app(row), &ids.row(row)).map(u128::to_be_bytes);
    Ok(binary((0..events.num_rows()).map(key)))
}

fn binary(uuids: impl ExactSizeIterator<Item = Option<Uuid>>) -> FixedSizeBinaryArray {
    let mut builder = FixedSizeBinaryBuilder::with_capacity(uuids.len(), 16);
    for uuid in uuids {
        match uuid {
            // The width is 16 on both sides, so it cannot be refused.
            Some(uuid) => drop(builder.append_value(uuid)),
            None => builder.append_null(),
        }
    }
    builder.finish()
}

pub(crate) type Uuid = [u8; 16];

/// The nil UUID.
pub(crate) const NOBODY: Uuid = [0; 16];

/// A column of UUIDs, nil where there is nothing.
pub(crate) struct Uuids<'a>(Bytes<'a>);

impl<'a> Uuids<'a> {
    pub(crate) fn new(batch: &'a RecordBatch, name: &str) -> Result<Self, TableError> {
        let array = find(batch, name, "who somebody is")?.as_ref();
        Bytes::new(array).map_or_else(|| Bytes::text(array, name), Ok).map(Self)
    }

    pub(crate) fn get(&self, row: usize) -> Uuid {
        self.0.get(row).and_then(|uuid| uuid.try_into().ok()).unwrap_or_default()
    }

    /// All of so many rows, as they lie where each has 16 bytes.
    pub(crate) fn all(&self, rows: usize) -> Cow<'a, [Uuid]> {
        match &self.0 {
            Bytes::Fixed(column) if column.null_count() == 0 && column.value_length() == 16 => {
                Cow::Borrowed(&column.value_data().as_chunks().0[..rows])
            }
            _ => (0..rows).map(|row| self.get(row)).collect(),
        }
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
