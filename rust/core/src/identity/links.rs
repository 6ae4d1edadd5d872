//! Why each id belongs to whom: one row per id, with the event that joined it to others.
//!
//! Of all events that hold an id together with another one that may link, the earliest joined it:
//! the first by time, and of those at the same time by event id. So the order of rows cannot show.

use arrow_array::{RecordBatch, StringArray};

use super::table::{self, Texts};
use super::{Graph, ID_COUNT, Ids, NOBODY, NULL, Uuid, Uuids, is_nobody_in};
use crate::column::{Interner, Map, TableError, find, narrow, times};

/// Where an event stands among others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    time: i64,
    event: Uuid,
}

const NEVER: Seen = Seen { time: i64::MAX, event: [u8::MAX; 16] };

/// What is known of one identity.
#[derive(Clone, Copy)]
struct Sight {
    first: Seen,
    events: i64,
    /// Batch and row where it was met first in the order of the table.
    at: (u32, u32),
}

/// What is known of one id.
#[derive(Clone, Copy)]
struct Story {
    /// The first identity that has it: since they are numbered as they are met, going through all
    /// ids goes through the table once.
    identity: u32,
    /// The identity of the earliest event that holds another id which may link, or [`NULL`].
    joined: u32,
    joined_us: i64,
    first_us: i64,
    events: i64,
    kind: u8,
    /// Of that other id.
    joined_kind: u8,
}

impl Story {
    const NONE: Self = Self {
        identity: NULL,
        joined: NULL,
        joined_us: i64::MAX,
        first_us: i64::MAX,
        events: 0,
        kind: 0,
        joined_kind: 0,
    };
}

/// A row of the table: an id, whose it is, and why.
#[derive(Clone, Copy)]
pub(super) struct Link {
    pub(super) app: u32,
    pub(super) kind: u8,
    /// Nil where it links nobody.
    pub(super) person: Uuid,
    pub(super) status: Status,
    pub(super) joined: Option<Joined>,
    pub(super) first: i64,
    pub(super) events: i64,
}

/// Why an id belongs to somebody, or does not.
#[derive(Clone, Copy)]
pub(super) enum Status {
    /// It was seen with another id.
    Joined,
    /// It was seen alone.
    Single,
    /// It was seen with too many users.
    Shared,
    /// It links nobody by rule.
    Cut,
    /// It means nobody.
    Nobody,
}

impl Status {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Single => "single",
            Self::Shared => "shared",
            Self::Cut => "cut",
            Self::Nobody => "nobody",
        }
    }
}

/// The event that joined an id to another one.
#[derive(Clone, Copy)]
pub(super) struct Joined {
    pub(super) time: i64,
    pub(super) event: Uuid,
    pub(super) kind: u8,
    /// The number of its link.
    pub(super) to: u32,
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
    let (mut links, texts, apps) = unsorted(batches, cuts, salt)?;
    let order = sorted(&links, &texts, &apps);
    // Moved once, so that each column goes through memory from end to end.
    put_in_order(&mut links, &order);
    table::of(&links, &order, &texts, &apps)
}

/// All links by number, the texts of their ids, and the apps by theirs.
fn unsorted(
    batches: &[RecordBatch],
    cuts: &[(usize, String)],
    salt: u64,
) -> Result<(Vec<Link>, StringArray, Interner), TableError> {
    let mut graph = Graph::new(salt);
    graph.cut(None, cuts);
    let added = graph.add(batches)?;
    let seen = seen(batches, &added.rows, graph.identities.len())?;
    // What follows takes its pages.
    drop(added);
    let stories = stories(&graph, &seen);
    let ids: Vec<Ids<'_>> = batches.iter().map(Ids::new).collect::<Result<_, _>>()?;
    let mut texts = Texts::with_capacity(stories.len());
    let mut links = nodes(&graph, &seen, &stories, &ids, &mut texts)?;
    if graph.has_nobodies {
        links.extend(nobodies(batches, &ids, &mut graph.apps, &mut texts)?);
    }
    Ok((links, texts.finish(), graph.apps))
}

/// By identity the earliest event that has it, and how many there are.
fn seen(
    batches: &[RecordBatch],
    rows: &[u32],
    identities: usize,
) -> Result<Vec<Sight>, TableError> {
    let mut all = vec![Sight { first: NEVER, events: 0, at: (0, 0) }; identities];
    let mut rows = rows.iter();
    for (number, batch) in (0..).zip(batches) {
        let times = times(find(batch, "timestamp", "canonical events")?.as_ref(), "timestamp", 0)?;
        let events = Uuids::new(batch, "event_id")?;
        for (row, time) in times.iter().enumerate() {
            let Some(identity) = rows.next().filter(|identity| **identity != NULL) else {
                continue;
            };
            let known = &mut all[*identity as usize];
            if known.events == 0 {
                known.at = (number, narrow(row));
            }
            known.events += 1;
            if *time <= known.first.time {
                let now = Seen { time: *time, event: events.get(row) };
                known.first = now.min(known.first);
            }
        }
    }
    Ok(all)
}

/// By node what is known of it: each is of some identity, and each identity of some row.
fn stories(graph: &Graph, seen: &[Sight]) -> Vec<Story> {
    let mut stories = vec![Story::NONE; graph.nodes.len()];
    for (number, (identity, sight)) in (0..).zip(graph.identities.iter().zip(seen)) {
        let may_link = |kind: usize| {
            let node = identity.nodes[kind];
            node != NULL && !graph.nodes[node as usize].is_shared
        };
        for (kind, node) in identity.nodes.iter().enumerate().filter(|(_, node)| **node != NULL) {
            let other = (0..ID_COUNT).find(|other| *other != kind && may_link(*other));
            let story = &mut stories[*node as usize];
            story.kind = small(kind);
            story.identity = story.identity.min(number);
            story.first_us = story.first_us.min(sight.first.time);
            story.events += sight.events;
            let Some(other) = other.filter(|_| may_link(kind)) else { continue };
            // Looked at by time first, since that is at hand.
            let is_earlier = sight.first.time < story.joined_us
                || sight.first.time == story.joined_us
                    && seen
                        .get(story.joined as usize)
                        .is_none_or(|known| sight.first < known.first);
            if is_earlier {
                (story.joined, story.joined_us) = (number, sight.first.time);
                story.joined_kind = small(other);
            }
        }
    }
    stories
}

/// What there is to say of each node, by its number.
fn nodes(
    graph: &Graph,
    seen: &[Sight],
    stories: &[Story],
    ids: &[Ids<'_>],
    texts: &mut Texts,
) -> Result<Vec<Link>, TableError> {
    let mut links = Vec::with_capacity(stories.len());
    for (node, story) in graph.nodes.iter().zip(stories) {
        let Story { identity, joined, joined_kind, .. } = *story;
        let (batch, row) = seen[identity as usize].at;
        let column = &ids[batch as usize].columns[usize::from(story.kind)];
        let id = column.get(row as usize).unwrap_or_default();
        texts.push(id, column.is_raw())?;
        let app = graph.identities[identity as usize].app;
        let status = match (node.is_shared, joined) {
            (true, _) if graph.is_cut(graph.apps.value(app), usize::from(story.kind), id) => {
                Status::Cut
            }
            (true, _) => Status::Shared,
            (false, NULL) => Status::Single,
            (false, _) => Status::Joined,
        };
        let person = graph.person(identity).filter(|_| !node.is_shared);
        links.push(Link {
            app,
            kind: story.kind,
            person: person.map_or(NOBODY, u128::to_be_bytes),
            status,
            joined: seen.get(joined as usize).map(|sight| Joined {
                time: sight.first.time,
                event: sight.first.event,
                kind: joined_kind,
                to: graph.identities[joined as usize].nodes[usize::from(joined_kind)],
            }),
            first: story.first_us,
            events: story.events,
        });
    }
    Ok(links)
}

/// What means nobody: a parser leaves none, but tables come from elsewhere too.
fn nobodies(
    batches: &[RecordBatch],
    ids: &[Ids<'_>],
    apps: &mut Interner,
    texts: &mut Texts,
) -> Result<Vec<Link>, TableError> {
    let mut numbers: Map<(u32, usize, &[u8]), usize> = Map::default();
    let mut links: Vec<Link> = Vec::new();
    for (batch, ids) in batches.iter().zip(ids) {
        let times = times(find(batch, "timestamp", "canonical events")?.as_ref(), "timestamp", 0)?;
        for (kind, column) in ids.columns.iter().enumerate() {
            let mut rows = Vec::new();
            column.each(|row, id| {
                if !id.is_empty() && is_nobody_in(column.is_raw(), id) {
                    rows.push(row);
                }
            });
            for row in rows {
                let (app, id) = (apps.id(ids.app(row)), column.get(row).unwrap_or_default());
                let number = *numbers.entry((app, kind, id)).or_insert(links.len());
                if number == links.len() {
                    texts.push(id, column.is_raw())?;
                    links.push(Link {
                        app,
                        kind: small(kind),
                        person: NOBODY,
                        status: Status::Nobody,
                        joined: None,
                        first: times[row],
                        events: 0,
                    });
                }
                let link = &mut links[number];
                link.first = link.first.min(times[row]);
                link.events += 1;
            }
        }
    }
    Ok(links)
}

/// Where the first bytes and the kind of an id stand in its place among others, above its number.
const PREFIX_AT: u32 = 32;
const GROUP_AT: u32 = 96;

/// Numbers of links in order of app, kind and id: the first bytes in which ids of a kind differ
/// nearly always decide.
fn sorted(links: &[Link], texts: &StringArray, apps: &Interner) -> Vec<u32> {
    let places = apps.places();
    let group =
        |link: &Link| places[link.app as usize] as usize * ID_COUNT + usize::from(link.kind);
    let text = |number: usize| texts.value(number).as_bytes();
    let mut common: Vec<Option<&[u8]>> = vec![None; places.len() * ID_COUNT];
    for (number, link) in links.iter().enumerate() {
        let known = &mut common[group(link)];
        *known = Some(known.map_or(text(number), |known| common_prefix(known, text(number))));
    }
    let place = |(number, link): (usize, &Link)| {
        let group = group(link);
        let rest = &text(number)[common[group].map_or(0, <[u8]>::len)..];
        (group as u128) << GROUP_AT | first_bytes(rest) << PREFIX_AT | number as u128
    };
    let mut order: Vec<u128> = links.iter().enumerate().map(place).collect();
    order.sort_unstable();
    let number = |place: u128| narrow((place & u128::from(NULL)) as usize);
    for alike in order.chunk_by_mut(|one, two| one >> PREFIX_AT == two >> PREFIX_AT) {
        if alike.len() > 1 {
            alike.sort_unstable_by_key(|place| text(number(*place) as usize));
        }
    }
    order.into_iter().map(number).collect()
}

/// A kind, of which there are few.
fn small(kind: usize) -> u8 {
    kind.to_le_bytes()[0]
}

/// Each of its places takes what stood where `order` says, round by round and without a second
/// sheet.
fn put_in_order(links: &mut [Link], order: &[u32]) {
    let mut is_done = vec![false; order.len()];
    for start in 0..order.len() {
        let mut place = start;
        while !std::mem::replace(&mut is_done[place], true) {
            let from = order[place] as usize;
            if !is_done[from] {
                links.swap(place, from);
            }
            place = from;
        }
    }
}

fn common_prefix<'a>(one: &'a [u8], two: &[u8]) -> &'a [u8] {
    if two.starts_with(one) {
        return one;
    }
    &one[..one.iter().zip(two).take_while(|(one, two)| one == two).count()]
}

/// Eight bytes as a number that stands in their order; where there are fewer, zeros stand for them.
fn first_bytes(bytes: &[u8]) -> u128 {
    let mut first = [0; 8];
    let length = bytes.len().min(first.len());
    first[..length].copy_from_slice(&bytes[..length]);
    u64::from_be_bytes(first).into()
}
