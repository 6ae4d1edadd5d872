//! Why each id belongs to whom: one row per id, with the event that joined it to others.
//!
//! Of all events that hold an id together with another one that may link, the earliest joined it:
//! the first by time, and of those at the same time by event id. So the order of rows cannot show.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{
    ArrayRef, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};

use super::{Graph, ID_COUNT, Ids, NULL, Uuid, Uuids, binary, is_nobody_in};
use crate::column::{Bytes, TableError, find, narrow, times};
use crate::parse::uuid;
use crate::schema::{COLUMNS, IDENTITY};

/// Where an event stands among others, and where its row is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    time: i64,
    event: Uuid,
    batch: u32,
    row: u32,
}

/// What is known of one id.
#[derive(Clone, Copy)]
struct Story {
    kind: usize,
    /// An identity that has it.
    identity: u32,
    first: Seen,
    /// The earliest event that holds another id which may link, and that one's kind.
    joined: Option<(Seen, usize)>,
    events: i64,
}

/// One row per id of canonical events: `app_id, kind, id, person` (null where it links nobody),
/// `status` (`joined`, `single`, `shared`, `cut` or `nobody`), `joined_to_kind`, `joined_to_id`,
/// `joined_at`, `event_id` (of the event that joined it), `first_seen`, `events`. In order of app,
/// kind and id.
///
/// # Errors
/// A column is missing or of a wrong type.
pub fn links(batches: &[RecordBatch], cuts: &[(usize, String)]) -> Result<RecordBatch, TableError> {
    let mut graph = Graph::default();
    graph.cut(cuts);
    let rows = graph.add(batches)?.rows;
    let seen = seen(batches, &rows, graph.identities.len())?;
    let stories = stories(&graph, &seen);
    Lines::new(batches, &graph, stories)?.table()
}

/// By identity the earliest event that has it, and how many there are.
fn seen(
    batches: &[RecordBatch],
    rows: &[u32],
    identities: usize,
) -> Result<Vec<Option<(Seen, i64)>>, TableError> {
    let mut all: Vec<Option<(Seen, i64)>> = vec![None; identities];
    let mut rows = rows.iter();
    for (number, batch) in (0..).zip(batches) {
        let times = times(find(batch, "timestamp", "canonical events")?.as_ref(), "timestamp", 0)?;
        let events = Uuids::new(batch, "event_id")?;
        for (row, time) in times.iter().enumerate() {
            let Some(identity) = rows.next().filter(|identity| **identity != NULL) else {
                continue;
            };
            let now = Seen { time: *time, event: events.get(row), batch: number, row: narrow(row) };
            let known = &mut all[*identity as usize];
            let (first, events) = known.unwrap_or((now, 0));
            *known = Some((first.min(now), events + 1));
        }
    }
    Ok(all)
}

/// By node what is known of it.
fn stories(graph: &Graph, seen: &[Option<(Seen, i64)>]) -> Vec<Option<Story>> {
    let mut stories: Vec<Option<Story>> = vec![None; graph.nodes.len()];
    for (number, (identity, seen)) in (0..).zip(graph.identities.iter().zip(seen)) {
        let Some((first, events)) = *seen else { continue };
        let may_link = |kind: usize| {
            let node = identity.nodes[kind];
            node != NULL && !graph.nodes[node as usize].is_shared
        };
        for (kind, node) in identity.nodes.iter().enumerate().filter(|(_, node)| **node != NULL) {
            let other = (0..ID_COUNT).find(|other| *other != kind && may_link(*other));
            let joined = other.filter(|_| may_link(kind)).map(|other| (first, other));
            let new = Story { kind, identity: number, first, joined, events };
            let story = &mut stories[*node as usize];
            *story = Some(story.map_or(new, |known| known.and(new)));
        }
    }
    stories
}

impl Story {
    fn and(self, other: Self) -> Self {
        let joined = [self.joined, other.joined].into_iter().flatten().min();
        Self {
            first: self.first.min(other.first),
            joined,
            events: self.events + other.events,
            ..self
        }
    }
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// An id as people write it.
fn spelt(column: &Bytes<'_>, id: &[u8]) -> String {
    match id.try_into() {
        Ok(bytes) if column.is_raw() => uuid::render(bytes),
        _ => lossy(id),
    }
}

/// The rows of the table, in order.
#[derive(Default)]
struct Lines {
    lines: BTreeMap<(String, usize, String), Line>,
}

struct Line {
    person: Option<u128>,
    status: &'static str,
    joined: Option<(Seen, usize, String)>,
    first: i64,
    events: i64,
}

impl Lines {
    fn new(
        batches: &[RecordBatch],
        graph: &Graph,
        stories: Vec<Option<Story>>,
    ) -> Result<Self, TableError> {
        let ids: Vec<Ids<'_>> = batches.iter().map(Ids::new).collect::<Result<_, _>>()?;
        let raw = |seen: Seen, kind: usize| {
            let column = &ids[seen.batch as usize].columns[kind];
            (column, column.get(seen.row as usize).unwrap_or_default())
        };
        let mut made = Self::default();
        for (node, story) in graph.nodes.iter().zip(stories) {
            let Some(story) = story else { continue };
            let app = ids[story.first.batch as usize].app(story.first.row as usize);
            let (column, id) = raw(story.first, story.kind);
            let joined = story.joined.map(|(seen, kind)| {
                let (column, other) = raw(seen, kind);
                (seen, kind, spelt(column, other))
            });
            let status = match (node.is_shared, &joined) {
                (true, _) if graph.is_cut(story.kind, id) => "cut",
                (true, _) => "shared",
                (false, Some(_)) => "joined",
                (false, None) => "single",
            };
            let person = graph.person(story.identity).filter(|_| !node.is_shared);
            let Story { first: Seen { time: first, .. }, events, .. } = story;
            let line = Line { person, status, joined, first, events };
            made.lines.insert((lossy(app), story.kind, spelt(column, id)), line);
        }
        for (batch, ids) in batches.iter().zip(&ids) {
            made.nobodies(batch, ids)?;
        }
        Ok(made)
    }

    /// Add what means nobody: a parser leaves none, but tables come from elsewhere too.
    fn nobodies(&mut self, batch: &RecordBatch, ids: &Ids<'_>) -> Result<(), TableError> {
        let times = times(find(batch, "timestamp", "canonical events")?.as_ref(), "timestamp", 0)?;
        for (row, time) in times.iter().enumerate() {
            for (kind, column) in ids.columns.iter().enumerate() {
                let id = column.get(row).filter(|id| !id.is_empty() && is_nobody_in(column, id));
                if let Some(id) = id {
                    let key = (lossy(ids.app(row)), kind, spelt(column, id));
                    let new = Line {
                        person: None,
                        status: "nobody",
                        joined: None,
                        first: *time,
                        events: 0,
                    };
                    let known = self.lines.entry(key).or_insert(new);
                    known.first = known.first.min(*time);
                    known.events += 1;
                }
            }
        }
        Ok(())
    }

    fn table(self) -> Result<RecordBatch, TableError> {
        let utc = |times: Vec<Option<i64>>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
        };
        let name = |kind: usize| COLUMNS[IDENTITY[kind]].name;
        let (keys, lines): (Vec<_>, Vec<_>) = self.lines.into_iter().unzip();
        let mut apps = StringBuilder::new();
        for (app, ..) in &keys {
            apps.append_option((!app.is_empty()).then_some(app));
        }
        let kinds: StringArray = keys.iter().map(|(_, kind, _)| Some(name(*kind))).collect();
        let ids: StringArray = keys.iter().map(|(.., id)| Some(id)).collect();
        let persons = binary(lines.iter().map(|line| line.person));
        let status: StringArray = lines.iter().map(|line| Some(line.status)).collect();
        let joined = || lines.iter().map(|line| line.joined.as_ref());
        let to_kind: StringArray = joined().map(|j| j.map(|(_, kind, _)| name(*kind))).collect();
        let to_id: StringArray = joined().map(|j| j.map(|(.., id)| id)).collect();
        let events = joined().map(|j| j.map(|(seen, ..)| seen.event));
        let events = FixedSizeBinaryArray::try_from_sparse_iter_with_size(events, 16)?;
        let at = joined().map(|j| j.map(|(seen, ..)| seen.time)).collect();
        let counts: Int64Array = lines.iter().map(|line| Some(line.events)).collect();
        Ok(RecordBatch::try_from_iter_with_nullable([
            ("app_id", Arc::new(apps.finish()) as ArrayRef, true),
            ("kind", Arc::new(kinds), false),
            ("id", Arc::new(ids), false),
            ("person", Arc::new(persons), true),
            ("status", Arc::new(status), false),
            ("joined_to_kind", Arc::new(to_kind), true),
            ("joined_to_id", Arc::new(to_id), true),
            ("joined_at", utc(at), true),
            ("event_id", Arc::new(events), true),
            ("first_seen", utc(lines.iter().map(|line| Some(line.first)).collect()), false),
            ("events", Arc::new(counts), false),
        ])?)
    }
}
