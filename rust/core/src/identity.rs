//! Ids seen together in, persons out.
//!
//! An *identity* is the set of ids on one event. A *person* is a connected component, within one
//! app, of ids linked by identities; ids seen with too many different users are *shared* and link
//! nobody. The result depends on which identities were seen, never on their order.

mod links;

use std::hash::Hasher;
use std::sync::Arc;

use arrow_array::builder::{FixedSizeBinaryBuilder, StringBuilder};
use arrow_array::{ArrayRef, FixedSizeBinaryArray, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::column::{Bytes, Interner, Map, NULL, TableError, find, narrow};
use crate::limits::SHARED_USERS_MAX;
use crate::parse::{is_nobody, uuid};
use crate::schema::{COLUMNS, IDENTITY};

pub use links::links;

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
        let given = |column: &Bytes<'_>, id: &[u8]| !id.is_empty() && !is_nobody_in(column, id);
        self.columns.each_ref().map(|column| column.get(row).filter(|id| given(column, id)))
    }
}

/// Whether an id of a column means nobody; a parser leaves none, other tables may have some.
fn is_nobody_in(column: &Bytes<'_>, id: &[u8]) -> bool {
    if column.is_raw() { *id == NOBODY } else { is_nobody(id) }
}

/// Everything hashed is led by its length or tag, so that no two inputs read the same.
struct Key(SipHasher24);

impl Key {
    fn new(app: &[u8]) -> Self {
        let mut key = Self(SipHasher24::new_with_key(&HASH_KEY));
        key.text(app);
        key
    }

    fn text(&mut self, text: &[u8]) {
        self.0.write(&narrow(text.len()).to_le_bytes());
        self.0.write(text);
    }

    fn id(&mut self, kind: usize, id: &[u8]) {
        // Little-endian: the kind itself in the first byte.
        self.0.write(&kind.to_le_bytes()[..1]);
        self.text(id);
    }

    fn finish(&self) -> u128 {
        u128::from_be_bytes(self.0.finish128().as_bytes())
    }
}

/// Key of an identity; none for an event without ids.
fn key(app: &[u8], ids: &Row<'_>) -> Option<u128> {
    let mut key = Key::new(app);
    let mut is_anybody = false;
    for (kind, id) in ids.iter().enumerate() {
        if let Some(id) = id {
            key.id(kind, id);
            is_anybody = true;
        }
    }
    is_anybody.then(|| key.finish())
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
    let key = |row| key(ids.app(row), &ids.row(row));
    Ok(binary((0..events.num_rows()).map(key)))
}

fn binary(keys: impl ExactSizeIterator<Item = Option<u128>>) -> FixedSizeBinaryArray {
    let mut builder = FixedSizeBinaryBuilder::with_capacity(keys.len(), 16);
    for key in keys {
        match key {
            // The width is 16 on both sides, so it cannot be refused.
            Some(key) => drop(builder.append_value(key.to_be_bytes())),
            None => builder.append_null(),
        }
    }
    builder.finish()
}

/// An id of one kind in one app.
#[derive(Default)]
struct Node {
    /// An identity it is part of, which says its group; [`NULL`] where it has none yet.
    anchor: u32,
    /// The different users it was seen with, until they are too many.
    users: Vec<u32>,
    is_shared: bool,
}

struct Identity {
    key: u128,
    app: u32,
    group: u32,
    nodes: [u32; ID_COUNT],
    told: Told,
    is_dirty: bool,
}

/// What [`Graph::add`] last said of an identity.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Person(Option<u128>),
}

/// Identities that are one person.
#[derive(Default)]
struct Group {
    members: Vec<u32>,
    /// The smallest key among them; none for an identity that only has shared ids.
    person: Option<u128>,
}

/// All identities seen so far and who they are.
pub struct Graph {
    /// Different users after which an id is shared.
    users_max: usize,
    apps: Interner,
    node_of: Map<u128, u32>,
    nodes: Vec<Node>,
    identity_of: Map<u128, u32>,
    identities: Vec<Identity>,
    groups: Vec<Group>,
    free: Vec<u32>,
    dirty: Vec<u32>,
    /// Keys of ids that link nobody by rule, whatever the app.
    cuts: Vec<(usize, Vec<u8>)>,
}

/// What [`Graph::add`] made of events.
#[derive(Debug)]
pub struct Added {
    /// Number of each row's identity, [`NULL`] where it has no id.
    pub rows: Vec<u32>,
    /// Numbers of the identities whose person changed, new ones included.
    pub changed: Vec<u32>,
}

impl Default for Graph {
    fn default() -> Self {
        Self::new(SHARED_USERS_MAX)
    }
}

impl Graph {
    /// An empty graph in which an id seen with more than `users_max` users links nobody.
    pub fn new(users_max: usize) -> Self {
        Self {
            users_max,
            apps: Interner::default(),
            node_of: Map::default(),
            nodes: Vec::new(),
            identity_of: Map::default(),
            identities: Vec::new(),
            groups: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            cuts: Vec::new(),
        }
    }

    /// From here on these ids, each a kind by its place in the identity and a text, link nobody.
    pub fn cut(&mut self, ids: &[(usize, String)]) {
        for (kind, id) in ids {
            self.cuts.push((*kind, id.as_bytes().to_vec()));
            self.cuts.extend(uuid::parse(id.as_bytes()).map(|bytes| (*kind, bytes.to_vec())));
        }
    }

    fn is_cut(&self, kind: usize, id: &[u8]) -> bool {
        self.cuts.iter().any(|(of, cut)| *of == kind && cut == id)
    }

    /// Take in the identities of events: columns `app_id`, the six ids and, where it is known
    /// already, `identity`.
    ///
    /// # Errors
    /// A column is missing or of a wrong type.
    pub fn add(&mut self, batches: &[RecordBatch]) -> Result<Added, TableError> {
        let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
        for batch in batches {
            self.batch(batch, &mut rows)?;
        }
        let mut changed = Vec::new();
        for index in std::mem::take(&mut self.dirty) {
            let told = Told::Person(self.person(index));
            let identity = &mut self.identities[index as usize];
            identity.is_dirty = false;
            if identity.told != told {
                identity.told = told;
                changed.push(index);
            }
        }
        Ok(Added { rows, changed })
    }

    fn batch(&mut self, batch: &RecordBatch, rows: &mut Vec<u32>) -> Result<(), TableError> {
        let ids = Ids::new(batch)?;
        let known = batch.column_by_name("identity").and_then(|array| Bytes::new(array.as_ref()));
        for row in 0..batch.num_rows() {
            let (app, own) = (ids.app(row), ids.row(row));
            let given = known.as_ref().and_then(|keys| keys.get(row)?.try_into().ok());
            let key = given.map(u128::from_be_bytes).or_else(|| key(app, &own));
            rows.push(match key {
                Some(key) if own.iter().any(Option::is_some) => self.identity(key, app, &own)?,
                _ => NULL,
            });
        }
        Ok(())
    }

    /// The person an identity belongs to: the smallest identity key of its component. None where
    /// all its ids are shared: then each of its events is a person of its own.
    pub fn person(&self, identity: u32) -> Option<u128> {
        let group = self.identities[identity as usize].group;
        self.groups[group as usize].person
    }

    /// One key per row for `journey`: equal where the person is, apart where it is nobody.
    pub fn person_keys(&self, rows: &[u32]) -> Vec<u64> {
        let alone = |row: usize| 1 << 63 | row as u64;
        let key = |(row, identity): (usize, &u32)| {
            let group = self.identities.get(*identity as usize).map(|identity| identity.group);
            let joined = group.filter(|group| self.groups[*group as usize].person.is_some());
            joined.map_or_else(|| alone(row), u64::from)
        };
        rows.iter().enumerate().map(key).collect()
    }

    /// A table of identities: `app_id`, `identity`, `person` (null: each event stands alone).
    ///
    /// # Errors
    /// A column is missing or of a wrong type.
    pub fn table(&self, identities: &[u32]) -> Result<RecordBatch, TableError> {
        let all = identities.iter().map(|index| &self.identities[*index as usize]);
        let mut apps = StringBuilder::new();
        for identity in all.clone() {
            let app = String::from_utf8_lossy(self.apps.value(identity.app));
            apps.append_option((!app.is_empty()).then_some(app));
        }
        let uuid = |name, nullable| Field::new(name, DataType::FixedSizeBinary(16), nullable);
        let schema = Schema::new(vec![
            Field::new("app_id", DataType::Utf8, true),
            uuid("identity", false),
            uuid("person", true),
        ]);
        let persons = identities.iter().map(|index| self.person(*index));
        let columns: [ArrayRef; 3] = [
            Arc::new(apps.finish()),
            Arc::new(binary(all.map(|identity| Some(identity.key)))),
            Arc::new(binary(persons)),
        ];
        Ok(RecordBatch::try_new(Arc::new(schema), columns.to_vec())?)
    }

    /// Numbers of all identities of an app, or of all apps.
    pub fn identities(&self, app: Option<&str>) -> Vec<u32> {
        let wanted = |identity: &Identity| {
            app.is_none_or(|app| self.apps.value(identity.app) == app.as_bytes())
        };
        let numbered = (0_u32..).zip(&self.identities);
        numbered.filter(|(_, identity)| wanted(identity)).map(|(index, _)| index).collect()
    }

    fn identity(&mut self, key: u128, app: &[u8], ids: &Row<'_>) -> Result<u32, TableError> {
        if let Some(index) = self.identity_of.get(&key) {
            return Ok(*index);
        }
        let max = NULL;
        let index = u32::try_from(self.identities.len())
            .ok()
            .filter(|index| *index < max)
            .ok_or(TableError::TooMany { what: "identities", max })?;
        let nodes = self.nodes_of(app, ids);
        let app = self.apps.id(app);
        let group = self.group();
        let told = Told::Nothing;
        self.identities.push(Identity { key, app, group, nodes, told, is_dirty: false });
        self.identity_of.insert(key, index);
        let broken = self.meet_users(&nodes);
        self.settle(index);
        for anchor in broken {
            self.rebuild(self.identities[anchor as usize].group);
        }
        self.link(index);
        Ok(index)
    }

    fn nodes_of(&mut self, app: &[u8], ids: &Row<'_>) -> [u32; ID_COUNT] {
        let mut nodes = [NULL; ID_COUNT];
        for (kind, id) in ids.iter().enumerate() {
            let Some(id) = id else { continue };
            let mut key = Key::new(app);
            key.id(kind, id);
            let next = narrow(self.nodes.len());
            let node = *self.node_of.entry(key.finish()).or_insert(next);
            if node == next {
                let is_shared = self.is_cut(kind, id);
                self.nodes.push(Node { anchor: NULL, is_shared, ..Node::default() });
            }
            nodes[kind] = node;
        }
        nodes
    }

    /// Note which ids were seen with which user; returns an identity of each group that an id
    /// which became shared just now had held together.
    fn meet_users(&mut self, nodes: &[u32; ID_COUNT]) -> Vec<u32> {
        let user = nodes[USER];
        let mut broken = Vec::new();
        if user == NULL {
            return broken;
        }
        for node in nodes[USER + 1..].iter().filter(|node| **node != NULL) {
            let node = &mut self.nodes[*node as usize];
            if node.is_shared || node.users.contains(&user) {
                continue;
            }
            node.users.push(user);
            if node.users.len() > self.users_max {
                node.is_shared = true;
                node.users = Vec::new();
                broken.extend((node.anchor != NULL).then_some(node.anchor));
                node.anchor = NULL;
            }
        }
        broken
    }

    fn group(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.groups.push(Group::default());
            narrow(self.groups.len() - 1)
        })
    }

    /// Make an identity the only one of its group.
    fn settle(&mut self, index: u32) {
        let Identity { key, group, nodes, .. } = self.identities[index as usize];
        let joins = nodes.iter().any(|n| *n != NULL && !self.nodes[*n as usize].is_shared);
        let group = &mut self.groups[group as usize];
        group.members.clear();
        group.members.push(index);
        group.person = joins.then_some(key);
        self.mark(index);
    }

    fn mark(&mut self, index: u32) {
        let identity = &mut self.identities[index as usize];
        if !identity.is_dirty {
            identity.is_dirty = true;
            self.dirty.push(index);
        }
    }

    /// Take a group apart and join again what still belongs together.
    fn rebuild(&mut self, group: u32) {
        let members = std::mem::take(&mut self.groups[group as usize].members);
        self.free.push(group);
        for index in &members {
            self.identities[*index as usize].group = self.group();
            self.settle(*index);
            for node in self.identities[*index as usize].nodes.into_iter().filter(|n| *n != NULL) {
                self.nodes[node as usize].anchor = NULL;
            }
        }
        for index in members {
            self.link(index);
        }
    }

    /// Join an identity with all that have one of its ids.
    fn link(&mut self, index: u32) {
        for node in self.identities[index as usize].nodes.into_iter().filter(|n| *n != NULL) {
            let node = &mut self.nodes[node as usize];
            if node.is_shared {
                continue;
            }
            if node.anchor == NULL {
                node.anchor = index;
                continue;
            }
            let other = self.identities[node.anchor as usize].group;
            self.merge(self.identities[index as usize].group, other);
        }
    }

    fn merge(&mut self, one: u32, two: u32) {
        if one == two {
            return;
        }
        let size = |group: u32| self.groups[group as usize].members.len();
        let (from, into) = if size(one) < size(two) { (one, two) } else { (two, one) };
        let moved = std::mem::take(&mut self.groups[from as usize]);
        self.free.push(from);
        let kept = self.groups[into as usize].person;
        let person = moved.person.min(kept);
        debug_assert!(person.is_some(), "an identity without linking ids links nobody");
        if person != kept {
            for index in self.groups[into as usize].members.clone() {
                self.mark(index);
            }
        }
        for index in &moved.members {
            self.identities[*index as usize].group = into;
            self.mark(*index);
        }
        let group = &mut self.groups[into as usize];
        group.members.extend(moved.members);
        group.person = person;
    }
}

/// One key per row for `journey`, as [`Graph::person_keys`], of events that name their `identity`,
/// for a table of `identity` and `person`; an identity that is not in it is a person of its own.
///
/// # Errors
/// A column is missing or of a wrong type.
pub fn keys_by_table(
    batches: &[RecordBatch],
    known: &[RecordBatch],
) -> Result<Vec<u64>, TableError> {
    let mut persons: Map<Uuid, Uuid> = Map::default();
    for batch in known {
        let (identity, person) = (Uuids::new(batch, "identity")?, Uuids::new(batch, "person")?);
        persons.extend((0..batch.num_rows()).map(|row| (identity.get(row), person.get(row))));
    }
    // By identity the number of its person; none where each of its events stands alone.
    let mut numbers: Map<Uuid, Option<u32>> = Map::default();
    let mut groups: Map<Uuid, u32> = Map::default();
    let mut keys = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for batch in batches {
        let identities = Uuids::new(batch, "identity")?;
        for row in 0..batch.num_rows() {
            let identity = identities.get(row);
            let number = *numbers.entry(identity).or_insert_with(|| {
                let person = persons.get(&identity).copied().unwrap_or(identity);
                let next = narrow(groups.len());
                (person != NOBODY).then(|| *groups.entry(person).or_insert(next))
            });
            keys.push(number.map_or_else(|| 1 << 63 | keys.len() as u64, u64::from));
        }
    }
    Ok(keys)
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
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
