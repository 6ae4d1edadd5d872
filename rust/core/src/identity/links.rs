//! Why each id belongs to whom: one row per id, with the event that joined it to others.
//!
//! Of all events that hold an id together with another one that may link, the earliest joined it:
//! the first by time, and of those at the same time by event id. So the order of rows cannot show.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{
    ArrayRef, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};

use super::{Graph, ID_COUNT, Ids, NULL, Uuid, Uuids, binary, is_nobody_in};
use crate::column::{Bytes, Map, TableError, find, narrow, times};
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
pub fn links(
    batches: &[RecordBatch],
    cuts: &[(usize, String)],
    salt: u64,
) -> Result<RecordBatch, TableError> {
    let mut graph = Graph::new(salt);
    graph.cut(None, cuts);
    let rows = graph.add(batches)?.rows;
    let seen = seen(batches, &rows, graph.identities.len())?;
    let stories = stories(&graph, &seen);
    let ids: Vec<Ids<'_>> = batches.iter().map(Ids::new).collect::<Result<_, _>>()?;
    let lines = lines(batches, &ids, &graph, stories)?;
    table(&sorted(&lines))
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
            let now =
                || Seen { time: *time, event: events.get(row), batch: number, row: narrow(row) };
            let known = &mut all[*identity as usize];
            match known {
                Some((first, count)) => {
                    *count += 1;
                    if *time <= first.time {
                        *first = now().min(*first);
                    }
                }
                None => *known = Some((now(), 1)),
            }
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

/// A row of the table: an id, whose it is, and why.
#[derive(Clone, Copy)]
struct Line<'a> {
    app: &'a [u8],
    kind: usize,
    id: Id<'a>,
    person: Option<u128>,
    status: &'static str,
    joined: Option<(Seen, usize, Id<'a>)>,
    first: i64,
    events: i64,
}

/// Text that is nearly always whole: looking is faster than mending.
fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// An id as it is in its column.
#[derive(Clone, Copy)]
struct Id<'a> {
    bytes: &'a [u8],
    is_raw: bool,
}

impl<'a> Id<'a> {
    fn new(column: &'a Bytes<'_>, row: usize) -> Self {
        Self { bytes: column.get(row).unwrap_or_default(), is_raw: column.is_raw() }
    }

    /// As people write it.
    fn text(self) -> Cow<'a, str> {
        match self.bytes.try_into() {
            Ok(bytes) if self.is_raw => Cow::Owned(uuid::render(bytes)),
            _ => lossy(self.bytes),
        }
    }

    /// The first bytes: where they differ, the rest need not be looked at.
    fn prefix(self) -> u128 {
        let mut first = [0; 16];
        let length = self.bytes.len().min(first.len());
        first[..length].copy_from_slice(&self.bytes[..length]);
        u128::from_be_bytes(first)
    }
}

/// The rows of the table, in no order yet.
fn lines<'a>(
    batches: &[RecordBatch],
    ids: &'a [Ids<'a>],
    graph: &'a Graph,
    stories: Vec<Option<Story>>,
) -> Result<Vec<Line<'a>>, TableError> {
    let id = |seen: Seen, kind: usize| {
        Id::new(&ids[seen.batch as usize].columns[kind], seen.row as usize)
    };
    let mut made = Vec::with_capacity(graph.nodes.len());
    for (node, story) in graph.nodes.iter().zip(stories) {
        let Some(Story { kind, identity, first, joined, events }) = story else { continue };
        let own = id(first, kind);
        let app = graph.apps.value(graph.identities[identity as usize].app);
        let status = match (node.is_shared, &joined) {
            (true, _) if graph.is_cut(app, kind, own.bytes) => "cut",
            (true, _) => "shared",
            (false, Some(_)) => "joined",
            (false, None) => "single",
        };
        made.push(Line {
            app,
            kind,
            id: own,
            person: graph.person(identity).filter(|_| !node.is_shared),
            status,
            joined: joined.map(|(seen, kind)| (seen, kind, id(seen, kind))),
            first: first.time,
            events,
        });
    }
    if graph.has_nobodies {
        made.extend(nobodies(batches, ids)?);
    }
    Ok(made)
}

/// What means nobody: a parser leaves none, but tables come from elsewhere too.
fn nobodies<'a>(batches: &[RecordBatch], ids: &'a [Ids<'a>]) -> Result<Vec<Line<'a>>, TableError> {
    let mut found: Map<(&[u8], usize, &[u8]), Line<'a>> = Map::default();
    for (batch, ids) in batches.iter().zip(ids) {
        let times = times(find(batch, "timestamp", "canonical events")?.as_ref(), "timestamp", 0)?;
        for (kind, column) in ids.columns.iter().enumerate() {
            let mut rows = Vec::new();
            column.each(|row, id| {
                if !id.is_empty() && is_nobody_in(column, id) {
                    rows.push(row);
                }
            });
            for row in rows {
                let (app, id) = (ids.app(row), Id::new(column, row));
                let line = found.entry((app, kind, id.bytes)).or_insert(Line {
                    app,
                    kind,
                    id,
                    person: None,
                    status: "nobody",
                    joined: None,
                    first: times[row],
                    events: 0,
                });
                line.first = line.first.min(times[row]);
                line.events += 1;
            }
        }
    }
    Ok(found.into_values().collect())
}

/// In order of app, kind and id: UUIDs stand in the order of their bytes, as their texts would.
fn sorted<'a>(lines: &[Line<'a>]) -> Vec<Line<'a>> {
    // Neighbours are nearly always of one app.
    let mut runs: Vec<&[u8]> = lines.iter().map(|line| line.app).collect();
    runs.dedup();
    let apps: BTreeSet<&[u8]> = runs.into_iter().collect();
    let places: BTreeMap<&[u8], u32> = apps.into_iter().zip(0..).collect();
    let mut order: Vec<(u32, usize, u128, u32)> = (0..)
        .zip(lines)
        .map(|(at, line)| (places[line.app], line.kind, line.id.prefix(), at))
        .collect();
    order.sort_unstable_by(|one, other| {
        let bytes = |at: u32| lines[at as usize].id.bytes;
        (one.0, one.1, one.2)
            .cmp(&(other.0, other.1, other.2))
            .then_with(|| bytes(one.3).cmp(bytes(other.3)))
    });
    // Moved once, so that what follows goes through memory from end to end.
    order.into_iter().map(|(.., at)| lines[at as usize]).collect()
}

fn table(lines: &[Line<'_>]) -> Result<RecordBatch, TableError> {
    let utc = |times: Vec<Option<i64>>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
    };
    let name = |kind: usize| COLUMNS[IDENTITY[kind]].name;
    // Most ids are UUIDs.
    let builder = || StringBuilder::with_capacity(lines.len(), 36 * lines.len());
    let mut apps = builder();
    for line in lines {
        apps.append_option((!line.app.is_empty()).then(|| lossy(line.app)));
    }
    let text = |ids: &mut dyn Iterator<Item = Option<Id<'_>>>| -> ArrayRef {
        let mut texts = builder();
        for id in ids {
            texts.append_option(id.map(Id::text));
        }
        Arc::new(texts.finish())
    };
    let kinds: StringArray = lines.iter().map(|line| Some(name(line.kind))).collect();
    let status: StringArray = lines.iter().map(|line| Some(line.status)).collect();
    let joined = || lines.iter().map(|line| line.joined.as_ref());
    let to_kind: StringArray = joined().map(|j| j.map(|(_, kind, _)| name(*kind))).collect();
    let events = joined().map(|j| j.map(|(seen, ..)| seen.event));
    let events = FixedSizeBinaryArray::try_from_sparse_iter_with_size(events, 16)?;
    let at = joined().map(|j| j.map(|(seen, ..)| seen.time)).collect();
    let counts = Int64Array::from_iter_values(lines.iter().map(|line| line.events));
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("app_id", Arc::new(apps.finish()) as ArrayRef, true),
        ("kind", Arc::new(kinds), false),
        ("id", text(&mut lines.iter().map(|line| Some(line.id))), false),
        ("person", Arc::new(binary(lines.iter().map(|line| line.person))), true),
        ("status", Arc::new(status), false),
        ("joined_to_kind", Arc::new(to_kind), true),
        ("joined_to_id", text(&mut joined().map(|j| j.map(|(.., id)| *id))), true),
        ("joined_at", utc(at), true),
        ("event_id", Arc::new(events), true),
        ("first_seen", utc(lines.iter().map(|line| Some(line.first)).collect()), false),
        ("events", Arc::new(counts), false),
    ])?)
}
