//! The graph against a brute force over sets, in every order and every split.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, StringArray, UInt64Array};
use proptest::prelude::*;

use super::*;

/// An app and, per kind, an id or none.
type Event = (u8, [Option<u8>; ID_COUNT]);

fn batch(events: &[Event]) -> RecordBatch {
    // A 0 alone would mean nobody.
    let text = |value: Option<u8>| {
        value.map(|value| if value == 0 { "o".to_owned() } else { value.to_string() })
    };
    let apps = events.iter().map(|(app, _)| text(Some(*app))).collect::<StringArray>();
    let mut columns = vec![("app_id", Arc::new(apps) as ArrayRef)];
    for (kind, at) in IDENTITY.iter().enumerate() {
        let ids = events.iter().map(|(_, ids)| text(ids[kind])).collect::<StringArray>();
        columns.push((COLUMNS[*at].name, Arc::new(ids)));
    }
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
        .unwrap()
}

/// Person of each identity key, by the words of the contract.
fn brute_force(events: &[Event], users_max: usize) -> BTreeMap<u128, Option<u128>> {
    let keys = keys(&batch(events)).unwrap();
    let key = |row: usize| u128::from_be_bytes(keys.value(row).try_into().unwrap());
    let identities: BTreeMap<u128, Event> = events
        .iter()
        .enumerate()
        .filter(|(_, (_, ids))| ids.iter().any(Option::is_some))
        .map(|(row, event)| (key(row), *event))
        .collect();
    let nodes = |(app, ids): &Event| -> Vec<(u8, usize, u8)> {
        let node = |(kind, id): (usize, &Option<u8>)| id.map(|id| (*app, kind, id));
        ids.iter().enumerate().filter_map(node).collect()
    };
    let mut users: BTreeMap<_, BTreeSet<u8>> = BTreeMap::new();
    for event in identities.values() {
        for node in nodes(event).into_iter().filter(|(_, kind, _)| *kind != USER) {
            users.entry(node).or_default().extend(event.1[USER]);
        }
    }
    let links = |event: &Event| -> Vec<_> {
        let shared = |node: &_| users.get(node).is_some_and(|users| users.len() > users_max);
        nodes(event).into_iter().filter(|node| !shared(node)).collect()
    };
    let mut person: BTreeMap<u128, Option<u128>> = identities
        .iter()
        .map(|(key, event)| (*key, (!links(event).is_empty()).then_some(*key)))
        .collect();
    loop {
        let before = person.clone();
        for (a, one) in &identities {
            for (b, two) in &identities {
                if links(one).iter().any(|node| links(two).contains(node)) {
                    let smaller = person[a].min(person[b]);
                    person.insert(*a, smaller);
                    person.insert(*b, smaller);
                }
            }
        }
        if before == person {
            return person;
        }
    }
}

fn told(graph: &Graph, identities: &[u32]) -> BTreeMap<u128, Option<u128>> {
    let table = graph.table(identities).unwrap();
    let key = |column: usize, row: usize| {
        let column = table.column(column).as_fixed_size_binary();
        column.iter().nth(row).unwrap().map(|key| u128::from_be_bytes(key.try_into().unwrap()))
    };
    (0..table.num_rows()).map(|row| (key(1, row).unwrap(), key(2, row))).collect()
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let id = || prop::option::weighted(0.4, 0..6_u8);
    let ids = [id(), id(), id(), id(), id(), id()];
    prop::collection::vec((0..2_u8, ids), 0..30)
}

proptest! {
    #[test]
    fn persons_are_components_whatever_the_order_and_split(
        events in events(), users_max in 1..4_usize, size in 1..9_usize, seed in 0..100_usize,
    ) {
        let expected = brute_force(&events, users_max);
        let mut graph = Graph::with_users_max(7, users_max);
        let mut followed = BTreeMap::new();
        for chunk in events.chunks(size) {
            let added = graph.add(&[batch(chunk)]).unwrap();
            followed.extend(told(&graph, &added.changed));
        }
        prop_assert_eq!(&followed, &expected, "followed by what changed");
        prop_assert_eq!(&told(&graph, &graph.identities(None)), &expected, "told at the end");

        let mut shuffled = events.clone();
        if !shuffled.is_empty() {
            let by = seed % shuffled.len();
            shuffled.rotate_left(by);
            shuffled.reverse();
        }
        let mut whole = Graph::with_users_max(7, users_max);
        whole.add(&[batch(&shuffled)]).unwrap();
        prop_assert_eq!(told(&whole, &whole.identities(None)), expected, "in another order");
    }

    #[test]
    fn rows_have_the_same_key_where_the_person_is_the_same(events in events()) {
        let mut graph = Graph::with_users_max(7, 2);
        let rows = graph.add(&[batch(&events)]).unwrap().rows;
        let keys = graph.person_keys(&rows);
        for a in 0..rows.len() {
            for b in 0..a {
                let person = |row: usize| (rows[row] != NULL).then(|| graph.person(rows[row]))?;
                let is_same = person(a).is_some() && person(a) == person(b);
                prop_assert_eq!(keys[a] == keys[b], is_same, "rows {} and {}", a, b);
            }
        }
    }
}

#[test]
fn an_id_is_shared_from_the_51st_user_on() {
    let event = |user: u8| (0, [Some(user), None, Some(7), None, None, None]);
    let mut graph = Graph::new(7);
    let fifty: Vec<Event> = (0..50).map(event).collect();
    graph.add(&[batch(&fifty)]).unwrap();
    let persons = |graph: &Graph| -> BTreeSet<_> {
        graph.identities(None).into_iter().map(|index| graph.person(index)).collect()
    };
    assert_eq!(persons(&graph).len(), 1);
    let added = graph.add(&[batch(&[event(50)])]).unwrap();
    assert_eq!(persons(&graph).len(), 51);
    // The one whose key had named them all keeps its name.
    assert_eq!(added.changed.len(), 50);
}

#[test]
fn nobody_joins_nobody() {
    let nobody = batch(&[(0, [None; ID_COUNT]); 2]);
    assert_eq!(keys(&nobody).unwrap().null_count(), 2);
    let mut graph = Graph::new(7);
    let added = graph.add(&[nobody]).unwrap();
    assert_eq!((added.rows.as_slice(), added.changed.len()), ([NULL, NULL].as_slice(), 0));
    let keys = graph.person_keys(&added.rows);
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn the_key_of_an_identity_never_changes() {
    // Stored in warehouses: a change here would give every person a new name.
    let known = batch(&[(1, [Some(2), None, Some(3), None, None, None])]);
    let key = u128::from_be_bytes(keys(&known).unwrap().value(0).try_into().unwrap());
    assert_eq!(format!("{key:032x}"), "381c29d6a9855e58370d96de578e26a8");
}

#[test]
fn one_set_of_ids_is_one_identity_however_it_is_written_and_whoever_named_it() {
    let ids = |app: Option<&str>, device: Option<&str>, named: Option<Uuid>| {
        let text = |text: Option<&str>| Arc::new(StringArray::from(vec![text])) as ArrayRef;
        let mut columns = vec![("app_id", text(app), true)];
        for (kind, at) in IDENTITY.iter().enumerate() {
            let id = [Some("u1"), device][usize::from(kind != USER)].filter(|_| kind < 3);
            columns.push((COLUMNS[*at].name, text(id), true));
        }
        if named.is_some() {
            columns.push(("identity", Arc::new(binary([named].into_iter())), true));
        }
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    };
    // No app and an empty one, no id, an empty one and one that means nobody.
    let alike =
        [ids(None, None, None), ids(Some(""), Some(""), None), ids(None, Some("null"), None)];
    let mut graph = Graph::new(7);
    let first = graph.add(&alike).unwrap();
    assert_eq!((first.rows.as_slice(), graph.identities(None).len()), ([0; 3].as_slice(), 1));
    // Named by its key, as in a warehouse, it is still the same; and so is a new one after it.
    let key = keys(&alike[0]).unwrap().value(0).try_into().unwrap();
    let mixed =
        [ids(None, Some("d2"), None), ids(None, None, Some(key)), ids(None, Some("d2"), None)];
    assert_eq!(graph.add(&mixed).unwrap().rows, [1, 0, 1]);
    let named = keys(&mixed[0]).unwrap().value(0).try_into().unwrap();
    let mut fresh = Graph::new(7);
    let mixed = [ids(None, Some("d2"), None), ids(None, Some("gone"), Some(named))];
    assert_eq!(fresh.add(&mixed).unwrap().rows, [0, 0]);
}

/// Many whose leading bits are alike, at both ends and between them.
fn some_uuid() -> impl Strategy<Value = Uuid> {
    (prop::sample::select(vec![0, 1, 127, 254, 255_u8]), 0..4_u8, 1..9_u8).prop_map(
        |(lead, next, rest)| {
            let mut uuid = [rest; 16];
            uuid[8..].fill(lead);
            uuid[15] = next;
            uuid
        },
    )
}

proptest! {
    #[test]
    fn named_people_are_told_apart_in_whatever_order_they_come(
        known in prop::collection::btree_map(some_uuid(), prop::option::of(some_uuid()), 0..40),
        former in prop::collection::vec((some_uuid(), prop::option::of(some_uuid())), 0..40),
        met in prop::collection::vec(some_uuid(), 0..60),
        is_in_order in any::<bool>(),
        size in 1..30_usize,
    ) {
        let mut met = met;
        if is_in_order {
            met.sort_by_key(|uuid| u128::from_be_bytes(*uuid).rotate_left(64));
        }
        let table = |rows: &[(Uuid, Option<Uuid>, u64)]| {
            let identities = binary(rows.iter().map(|(identity, _, _)| Some(*identity)));
            let versions: UInt64Array = rows.iter().map(|(_, _, version)| Some(*version)).collect();
            RecordBatch::try_from_iter_with_nullable([
                ("identity", Arc::new(identities) as ArrayRef, false),
                ("person", Arc::new(binary(rows.iter().map(|(_, person, _)| *person))), true),
                ("version", Arc::new(versions), false),
            ])
            .unwrap()
        };
        // What was said before of the same identities does not count, wherever it stands.
        let mut rows: Vec<_> = former.into_iter().map(|(id, person)| (id, person, 1)).collect();
        rows.retain(|(id, _, _)| known.contains_key(id));
        rows.extend(known.iter().map(|(identity, person)| (*identity, *person, 2)));
        rows.sort_by_key(|(id, _, version)| (id[0] ^ u8::try_from(*version).unwrap(), *version));
        let persons: Vec<_> = rows.chunks(size).map(table).collect();
        let mut named = Named::new(&persons, 0).unwrap();
        let wanted: Vec<_> = met.iter().map(|id| (*id, None, 0)).collect();
        named.make_room(&[table(&wanted)]).unwrap();
        let numbers: Vec<u32> = met.iter().map(|uuid| named.own(*uuid)).collect();
        let person = |uuid: Uuid| known.get(&uuid).copied().flatten().unwrap_or(uuid);
        for (uuid, number) in met.iter().zip(&numbers) {
            prop_assert_eq!(named.find(*uuid), *number);
            for (other, their) in met.iter().zip(&numbers) {
                prop_assert_eq!(uuid == other, number == their);
                let of = |number: &u32| named.persons()[*number as usize];
                prop_assert_eq!(person(*uuid) == person(*other), of(number) == of(their));
            }
        }
        prop_assert_eq!(named.find([77; 16]), NULL);
    }
}
