//! Identities in, persons out: who is one with whom, however late a link comes.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};

use super::numbered::Numbered;
use super::quick::{NOTHING, Quick, Salted};
use super::{ID_COUNT, Ids, Keys, Row, USER, binary};
use crate::column::{Bytes, Interner, Map, NULL, TableError, narrow};
use crate::limits::SHARED_USERS_MAX;
use crate::parse::uuid;

/// An id of one kind in one app.
pub(super) struct Node {
    /// An identity it is part of, which says its group; [`NULL`] where it has none yet.
    anchor: u32,
    /// The first user it was seen with; [`NULL`] where it has none yet.
    user: u32,
    pub(super) is_shared: bool,
}

pub(super) struct Identity {
    pub(super) app: u32,
    group: u32,
    /// The next of its group; [`NULL`] for the last.
    next: u32,
    pub(super) nodes: [u32; ID_COUNT],
    /// What [`Graph::add`] last said of it, if anything: whose key its person has.
    told: Option<u32>,
    is_dirty: bool,
}

/// Identities that are one person: a list from `first` to `last`.
#[derive(Clone, Copy)]
struct Group {
    first: u32,
    last: u32,
    size: u32,
    /// Which of them has the smallest key; [`NULL`] for an identity that only has shared ids.
    person: u32,
}

/// An id that links nobody by rule.
struct Cut {
    /// None: whatever the app.
    app: Option<Vec<u8>>,
    kind: usize,
    id: Vec<u8>,
}

/// All identities seen so far and who they are.
pub struct Graph {
    /// Different users after which an id is shared.
    users_max: usize,
    salt: u64,
    pub(super) apps: Interner,
    salted: Salted,
    /// By quick key.
    node_of: Numbered,
    pub(super) nodes: Vec<Node>,
    /// By node: users it was seen with after the first, until they are too many; few have any.
    more_users: Map<u32, Vec<u32>>,
    keys: Keys,
    /// By key.
    pub(super) identity_of: Numbered,
    pub(super) identities: Vec<Identity>,
    groups: Vec<Group>,
    free: Vec<u32>,
    dirty: Vec<u32>,
    /// Ids that link nobody by rule, of one app or of whatever app.
    cuts: Vec<Cut>,
    /// Whether some id that meant nobody was met.
    pub(super) has_nobodies: bool,
}

/// What [`Graph::add`] made of events.
#[derive(Debug)]
pub struct Added {
    /// Number of each row's identity, [`NULL`] where it has no id.
    pub rows: Vec<u32>,
    /// Numbers of the identities whose person changed, new ones included.
    pub changed: Vec<u32>,
}

/// Identities of rows by quick key, so that what was seen already is not looked at again.
struct Known {
    /// The keys of some rows: a sheet that is used again.
    quick: Vec<Quick>,
    numbers: Numbered,
    identities: Vec<u32>,
    /// Whether each identity of the graph is in here, named by nothing but its ids.
    is_all: bool,
}

impl Known {
    /// [`NULL`] where it is not known.
    fn identity(&self, quick: Quick) -> u32 {
        self.numbers.find(quick).map_or(NULL, |number| self.identities[number as usize])
    }
}

/// As many keys fit into the first caches.
const ROWS_AT_ONCE: usize = 8_192;

impl Graph {
    /// An empty graph, whose ids are told apart by digests under a salt.
    pub fn new(salt: u64) -> Self {
        Self::with_users_max(salt, SHARED_USERS_MAX)
    }

    /// An empty graph in which an id seen with more than `users_max` users links nobody.
    pub(super) fn with_users_max(salt: u64, users_max: usize) -> Self {
        Self {
            users_max,
            salt,
            apps: Interner::default(),
            salted: Salted::new(salt),
            node_of: Numbered::new(salt),
            nodes: Vec::new(),
            more_users: Map::default(),
            keys: Keys::new(),
            identity_of: Numbered::new(salt),
            identities: Vec::new(),
            groups: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            cuts: Vec::new(),
            has_nobodies: false,
        }
    }

    /// From here on these ids of an app, or of whatever app, link nobody: each a kind by its place
    /// in the identity and a text.
    pub fn cut(&mut self, app: Option<&str>, ids: &[(usize, String)]) {
        let app = app.map(|app| app.as_bytes().to_vec());
        for (kind, id) in ids {
            let written = [Some(id.as_bytes().to_vec()), uuid::parse(id.as_bytes()).map(Vec::from)];
            for id in written.into_iter().flatten() {
                self.cuts.push(Cut { app: app.clone(), kind: *kind, id });
            }
        }
    }

    pub(super) fn is_cut(&self, app: &[u8], kind: usize, id: &[u8]) -> bool {
        self.cuts.iter().any(|cut| {
            cut.kind == kind && cut.id == id && cut.app.as_ref().is_none_or(|own| own == app)
        })
    }

    /// Take in the identities of events: columns `app_id`, the six ids and, where it is known
    /// already, `identity`.
    ///
    /// # Errors
    /// A column is missing or of a wrong type.
    pub fn add(&mut self, batches: &[RecordBatch]) -> Result<Added, TableError> {
        let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
        let numbers = Numbered::new(self.salt);
        let is_all = self.identities.is_empty();
        let mut known = Known { quick: Vec::new(), numbers, identities: Vec::new(), is_all };
        for batch in batches {
            // Columns are checked even where there is no row.
            for first in (0..batch.num_rows().max(1)).step_by(ROWS_AT_ONCE) {
                let part = batch.slice(first, ROWS_AT_ONCE.min(batch.num_rows() - first));
                self.batch(&part, &mut known, &mut rows)?;
            }
        }
        let mut changed = Vec::new();
        for index in std::mem::take(&mut self.dirty) {
            let identity = &mut self.identities[index as usize];
            let person = self.groups[identity.group as usize].person;
            identity.is_dirty = false;
            if identity.told.replace(person) != Some(person) {
                changed.push(index);
            }
        }
        Ok(Added { rows, changed })
    }

    fn batch(
        &mut self,
        batch: &RecordBatch,
        known: &mut Known,
        rows: &mut Vec<u32>,
    ) -> Result<(), TableError> {
        let ids = Ids::new(batch)?;
        let given = batch.column_by_name("identity").and_then(|array| Bytes::new(array.as_ref()));
        known.is_all &= given.is_none();
        let mut keys = std::mem::take(&mut known.quick);
        keys.clear();
        keys.resize(batch.num_rows(), NOTHING);
        self.has_nobodies |= self.salted.keys(&ids, &mut keys);
        // What is known already is looked up first, since then nothing waits for anything else.
        let first = rows.len();
        rows.extend(keys.iter().map(|quick| known.identity(*quick)));
        for (row, quick) in keys.iter().enumerate() {
            if rows[first + row] != NULL || *quick == NOTHING {
                continue;
            }
            let (number, is_new) = known.numbers.number(*quick);
            if is_new {
                let (app, own) = (ids.app(row), ids.row(row));
                let given = given.as_ref().and_then(|keys| keys.get(row)?.try_into().ok());
                let key = given.map(u128::from_be_bytes).or_else(|| self.keys.key(app, &own));
                let identity =
                    key.map_or(Ok(NULL), |key| self.identity(key, known.is_all, app, &own));
                known.identities.push(identity?);
            }
            rows[first + row] = known.identities[number as usize];
        }
        known.quick = keys;
        Ok(())
    }

    /// The person an identity belongs to: the smallest identity key of its component. None where
    /// all its ids are shared: then each of its events is a person of its own.
    pub fn person(&self, identity: u32) -> Option<u128> {
        let person = self.person_of(identity);
        (person != NULL).then(|| self.identity_of.key(person))
    }

    /// The identity whose key that is, or [`NULL`].
    pub(super) fn person_of(&self, identity: u32) -> u32 {
        self.groups[self.identities[identity as usize].group as usize].person
    }

    /// One key per row for `journey`: equal where the person is, apart where it is nobody.
    pub fn person_keys(&self, rows: &[u32]) -> Vec<u64> {
        let alone = |row: usize| 1 << 63 | row as u64;
        let key = |(row, identity): (usize, &u32)| {
            let group = self.identities.get(*identity as usize).map(|identity| identity.group);
            let joined = group.filter(|group| self.groups[*group as usize].person != NULL);
            joined.map_or_else(|| alone(row), u64::from)
        };
        rows.iter().enumerate().map(key).collect()
    }

    /// A table of identities: `app_id`, `identity`, `person` (null: each event stands alone).
    ///
    /// # Errors
    /// A column is missing or of a wrong type.
    pub fn table(&self, identities: &[u32]) -> Result<RecordBatch, TableError> {
        let mut apps = StringBuilder::new();
        for index in identities {
            let app = self.apps.value(self.identities[*index as usize].app);
            let app = String::from_utf8_lossy(app);
            apps.append_option((!app.is_empty()).then_some(app));
        }
        let uuid = |name, nullable| Field::new(name, DataType::FixedSizeBinary(16), nullable);
        let schema = Schema::new(vec![
            Field::new("app_id", DataType::Utf8, true),
            uuid("identity", false),
            uuid("person", true),
        ]);
        let key = |index: &u32| Some(self.identity_of.key(*index).to_be_bytes());
        let keys = identities.iter().map(key);
        let person = |index: &u32| self.person(*index).map(u128::to_be_bytes);
        let persons = identities.iter().map(person);
        let columns: [ArrayRef; 3] =
            [Arc::new(apps.finish()), Arc::new(binary(keys)), Arc::new(binary(persons))];
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

    /// The number of an identity; who says that it is new spares looking for it.
    fn identity(
        &mut self,
        key: u128,
        is_new: bool,
        app: &[u8],
        ids: &Row<'_>,
    ) -> Result<u32, TableError> {
        let max = NULL;
        if self.identities.len() >= max as usize {
            return Err(TableError::TooMany { what: "identities", max });
        }
        let (index, is_new) = if is_new {
            (self.identity_of.append(key), true)
        } else {
            self.identity_of.number(key)
        };
        if !is_new {
            return Ok(index);
        }
        let nodes = self.nodes_of(app, ids);
        let (app, group) = (self.apps.id(app), self.group());
        let identity = Identity { app, group, next: NULL, nodes, told: None, is_dirty: false };
        self.identities.push(identity);
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
        for (kind, quick) in self.salted.ids(app, ids).into_iter().enumerate() {
            let Some(quick) = quick else { continue };
            let (node, is_new) = self.node_of.number(quick);
            if is_new {
                let is_shared = ids[kind].is_some_and(|id| self.is_cut(app, kind, id));
                self.nodes.push(Node { anchor: NULL, user: NULL, is_shared });
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
        for index in nodes[USER + 1..].iter().filter(|node| **node != NULL) {
            let node = &mut self.nodes[*index as usize];
            if node.is_shared {
                continue;
            }
            if node.user == NULL {
                node.user = user;
            }
            let mut others = 0;
            if node.user != user {
                let more = self.more_users.entry(*index).or_default();
                if !more.contains(&user) {
                    more.push(user);
                }
                others = more.len();
            }
            if 1 + others > self.users_max {
                node.is_shared = true;
                self.more_users.remove(index);
                broken.extend((node.anchor != NULL).then_some(node.anchor));
                node.anchor = NULL;
            }
        }
        broken
    }

    fn group(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.groups.push(Group { first: NULL, last: NULL, size: 0, person: NULL });
            narrow(self.groups.len() - 1)
        })
    }

    /// Make an identity the only one of its group.
    fn settle(&mut self, index: u32) {
        let identity = &mut self.identities[index as usize];
        identity.next = NULL;
        let nodes = identity.nodes.iter().filter(|node| **node != NULL);
        let joins = nodes.into_iter().any(|node| !self.nodes[*node as usize].is_shared);
        let person = if joins { index } else { NULL };
        self.groups[identity.group as usize] = Group { first: index, last: index, size: 1, person };
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
        let mut members = Vec::new();
        self.each_from(self.groups[group as usize].first, |_, index| members.push(index));
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
        let size = |group: u32| self.groups[group as usize].size;
        let (from, into) = if size(one) < size(two) { (one, two) } else { (two, one) };
        let (moved, kept) = (self.groups[from as usize], self.groups[into as usize]);
        self.free.push(from);
        // An identity without linking ids links nobody, so that there is a person on both sides.
        let key = |group: Group| self.identity_of.key(group.person);
        let person = if key(moved) < key(kept) { moved.person } else { kept.person };
        if person != kept.person {
            self.each_from(kept.first, Self::mark);
        }
        self.each_from(moved.first, |graph, index| {
            graph.identities[index as usize].group = into;
            graph.mark(index);
        });
        self.identities[kept.last as usize].next = moved.first;
        let group = &mut self.groups[into as usize];
        *group = Group { last: moved.last, size: kept.size + moved.size, person, ..kept };
    }

    /// Do something with each identity of a group from one on.
    fn each_from(&mut self, first: u32, mut take: impl FnMut(&mut Self, u32)) {
        let mut index = first;
        while index != NULL {
            let next = self.identities[index as usize].next;
            take(self, index);
            index = next;
        }
    }
}
