//! Why each id belongs to whom: one row per id, with the event that joined it to others.
//!
//! Of all events that hold an id together with another one that may link, the earliest joined it:
//! the first by time, and of those at the same time by event id. So the order of rows cannot show.

use arrow_array::{RecordBatch, StringArray};

use super::table::{self, Texts};
use super::{Graph, ID_COUNT, Ids, NULL, Uuid, Uuids, is_nobody_in};
use crate::column::{Interner, Map, TableError, find, narrow, times};

/// Where an event stands among others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    time: i64,
    pub(super) event: Uuid,
}

const NEVER: Seen = Seen { time: i64::MAX, event: [u8::MAX; 16] };

/// What is known of one identity.
#[derive(Clone, Copy)]
pub(super) struct Sight {
    pub(super) first: Seen,
    events: i64,
    /// Batch and row where it was met first in the order of the table.
    at: (u32, u32),
}

/// A row of the table: what is known of one id.
#[derive(Clone, Copy)]
pub(super) struct Link {
    /// The first identity that has it: since they are numbered as they are met, going through all
    /// ids goes through the table once.
    identity: u32,
    pub(super) app: u32,
    /// The identity whose key names its person, or [`NULL`] where it links nobody.
    pub(super) person: u32,
    /// The identity of the earliest event that holds another id which may link, or [`NULL`].
    pub(super) joined: u32,
    /// The number of that other id, and its kind.
    pub(super) joined_to: u32,
    pub(super) joined_kind: u8,
    pub(super) kind: u8,
    pub(super) status: Status,
    pub(super) joined_us: i64,
    pub(super) first_us: i64,
    pub(super) events: i64,
}

impl Link {
    const NONE: Self = Self {
        identity: NULL,
        app: 0,
        person: NULL,
        joined: NULL,
        joined_to: NULL,
        joined_kind: 0,
        kind: 0,
        status: Status::Nobody,
        joined_us: i64::MAX,
        first_us: i64::MAX,
        events: 0,
    };
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
    let mut found = Found::new(batches, cuts, salt)?;
    let order = sorted(&found);
    // Moved once, so that each column goes through memory from end to end.
    put_in_order(&mut found.links, &order);
    table::of(&found, &order)
}

/// All there is to say.
pub(super) struct Found {
    pub(super) links: Vec<Link>,
    /// Of ids, by the number of their link.
    pub(super) texts: StringArray,
    pub(super) apps: Interner,
    /// By identity.
    pub(super) keys: Vec<u128>,
    pub(super) seen: Vec<Sight>,
}

impl Found {
    fn new(
        batches: &[RecordBatch],
        cuts: &[(usize, String)],
        salt: u64,
    ) -> Result<Self, TableError> {
        let mut graph = Graph::new(salt);
        graph.cut(None, cuts);
        let rows = graph.add(batches)?.rows;
        let seen = seen(batches, &rows, graph.identities.len())?;
        // What follows takes its pages.
        drop(rows);
        let mut links = links_of(&graph, &seen);
        let ids: Vec<Ids<'_>> = batches.iter().map(Ids::new).collect::<Result<_, _>>()?;
        let mut texts = Texts::with_capacity(links.len());
        for (link, node) in links.iter_mut().zip(&graph.nodes) {
            let (batch, row) = seen[link.identity as usize].at;
            let column = &ids[batch as usize].columns[usize::from(link.kind)];
            let id = column.get(row as usize).unwrap_or_default();
            texts.push(id, column.is_raw())?;
            let is_cut = || graph.is_cut(graph.apps.value(link.app), usize::from(link.kind), id);
            link.status = match (node.is_shared, link.joined) {
                (true, _) if is_cut() => Status::Cut,
                (true, _) => Status::Shared,
                (false, NULL) => Status::Single,
                (false, _) => Status::Joined,
            };
        }
        let Graph { mut apps, identity_of, has_nobodies, .. } = graph;
        if has_nobodies {
            links.extend(nobodies(batches, &ids, &mut apps, &mut texts)?);
        }
        Ok(Self { links, texts: texts.finish(), apps, keys: identity_of.into_keys(), seen })
    }
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

/// By node what is known of it but its status: each is of some identity, and each identity of
/// some row.
fn links_of(graph: &Graph, seen: &[Sight]) -> Vec<Link> {
    let mut links = vec![Link::NONE; graph.nodes.len()];
    for (number, (identity, sight)) in (0..).zip(graph.identities.iter().zip(seen)) {
        let is_shared = |node: u32| graph.nodes[node as usize].is_shared;
        let may_link = |kind: usize| {
            let node = identity.nodes[kind];
            node != NULL && !is_shared(node)
        };
        for (kind, node) in identity.nodes.iter().enumerate().filter(|(_, node)| **node != NULL) {
            let link = &mut links[*node as usize];
            if link.identity == NULL {
                let person = if is_shared(*node) { NULL } else { graph.person_of(number) };
                let (app, kind) = (identity.app, small(kind));
                *link = Link { identity: number, app, kind, person, ..*link };
            }
            link.first_us = link.first_us.min(sight.first.time);
            link.events += sight.events;
            let other = (0..ID_COUNT).find(|other| *other != kind && may_link(*other));
            let Some(other) = other.filter(|_| may_link(kind)) else { continue };
            // Looked at by time first, since that is at hand.
            let is_earlier = sight.first.time < link.joined_us
                || sight.first.time == link.joined_us
                    && seen.get(link.joined as usize).is_none_or(|known| sight.first < known.first);
            if is_earlier {
                (link.joined, link.joined_us) = (number, sight.first.time);
                (link.joined_to, link.joined_kind) = (identity.nodes[other], small(other));
            }
        }
    }
    links
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
                    links.push(Link { app, kind: small(kind), ..Link::NONE });
                }
                let link = &mut links[number];
                link.first_us = link.first_us.min(times[row]);
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
fn sorted(found: &Found) -> Vec<u32> {
    let Found { links, texts, apps, .. } = found;
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
