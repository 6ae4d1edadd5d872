//! Who was seen on which days in, how many people out: by row of a report, and in all.
//!
//! A person may have been seen under several identities, so counts of identities do not add up.
//! People are numbered, and each row of the report has a list of them that is gone through once.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_array::types::{UInt16Type, UInt32Type};

use crate::column::{Bytes, Interner, Map, NULL, TableError, find, unsigned};
use crate::identity::{NOBODY, Named, Uuids};

const ROLE: &str = "who was seen";
const DAYS_OF_WEEK: i64 = 7;
/// Longest month, and how many bits a row has for it.
const DAYS_OF_MONTH: i64 = 31;

/// How long a row of the report is, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// From midnight to midnight.
    Day,
    /// From Monday on.
    Week,
    /// Of the calendar.
    Month,
    /// All of the time.
    Total,
}

/// How many people there were.
#[derive(Debug, PartialEq, Eq)]
pub struct Users {
    /// By first day of a row, since 1970, and its name. That of the total is 0.
    pub rows: BTreeMap<(i64, String), u64>,
    /// In all of them.
    pub all: u64,
}

/// Count people in rows of `identity`, `month` (its first day since 1970, 16 bits), `name` and
/// `days` (32 bits, the first day of the month lowest), on some days since 1970.
///
/// `people` says who is who. Rows of one identity are found fastest one behind the other.
///
/// # Errors
/// A column is missing or of a wrong type.
pub fn users(
    seen: &[RecordBatch],
    people: &mut Named,
    interval: Interval,
    days: &Range<i64>,
) -> Result<Users, TableError> {
    people.make_room(seen)?;
    let mut lists = Lists::default();
    for batch in seen {
        let months = unsigned::<UInt16Type>(batch, "month", ROLE)?;
        let masks = unsigned::<UInt32Type>(batch, "days", ROLE)?;
        let names = lists.names_of(batch)?;
        let (mut last, mut counted) = ((NOBODY, NULL), (0, within(0, days)));
        let identities = Uuids::new(batch, "identity")?.all(batch.num_rows());
        for (row, (&identity, &name)) in identities.iter().zip(&names).enumerate() {
            let month = i64::from(months[row]);
            if month != counted.0 {
                counted = (month, within(month, days));
            }
            let mask = masks[row] & counted.1;
            if mask == 0 {
                continue;
            }
            if last.1 == NULL || identity != last.0 {
                let own = people.own(identity);
                last = (identity, people.persons()[own as usize]);
            }
            lists.put(interval, month, mask, name, last.1);
        }
    }
    Ok(lists.count(people.persons().len()))
}

/// Bits of the days of a month that count.
fn within(month: i64, days: &Range<i64>) -> u32 {
    let bits = |day: i64| (1_u64 << day.saturating_sub(month).clamp(0, DAYS_OF_MONTH)) - 1;
    #[allow(clippy::cast_possible_truncation, reason = "31 bits")]
    let within = (bits(days.end) & !bits(days.start)) as u32;
    within
}

/// By first day and name of a row, or of the rows of a month, who was seen and on which days.
#[derive(Default)]
struct Lists {
    names: Interner,
    places: Map<i64, usize>,
    starts: Vec<(i64, Vec<List>)>,
    /// The place of a start that was met last.
    last: Option<(i64, usize)>,
}

/// People and days, from the first of the list on; people may be in it twice.
type List = Vec<(u32, u32)>;

impl Lists {
    fn names_of(&mut self, batch: &RecordBatch) -> Result<Vec<u32>, TableError> {
        let names = Bytes::text(find(batch, "name", ROLE)?.as_ref(), "name")?;
        let mut numbers = self.names.column(&names, batch.num_rows());
        if numbers.contains(&NULL) {
            let nothing = self.names.id(b"");
            numbers.iter_mut().filter(|name| **name == NULL).for_each(|name| *name = nothing);
        }
        Ok(numbers)
    }

    fn put(&mut self, interval: Interval, month: i64, mut mask: u32, name: u32, person: u32) {
        match interval {
            // Each day is a row, which is found out when they are counted.
            Interval::Day => self.list(month, name).push((person, mask)),
            Interval::Month => self.list(month, name).push((person, 1)),
            Interval::Total => self.list(0, name).push((person, 1)),
            Interval::Week => {
                while mask != 0 {
                    let day = month + i64::from(mask.trailing_zeros());
                    // The first day of 1970 was a Thursday.
                    let monday = day - (day + 3).rem_euclid(DAYS_OF_WEEK);
                    self.list(monday, name).push((person, 1));
                    mask &= !within(month, &(monday..monday + DAYS_OF_WEEK));
                }
            }
        }
    }

    fn list(&mut self, start: i64, name: u32) -> &mut List {
        let place = match self.last {
            Some((last, place)) if last == start => place,
            _ => *self.places.entry(start).or_insert_with(|| {
                self.starts.push((start, Vec::new()));
                self.starts.len() - 1
            }),
        };
        self.last = Some((start, place));
        let lists = &mut self.starts[place].1;
        if lists.len() <= name as usize {
            lists.resize_with(name as usize + 1, List::new);
        }
        &mut lists[name as usize]
    }

    fn count(&self, people: usize) -> Users {
        let (names, mut rows) = (self.names.texts(), BTreeMap::new());
        let (mut met, mut is_seen) = (vec![0_u32; people], vec![false; people]);
        for (start, lists) in &self.starts {
            for (name, list) in lists.iter().enumerate() {
                let mut counts = [0_u64; u32::BITS as usize];
                for &(person, days) in list {
                    let before = &mut met[person as usize];
                    let mut new = days & !*before;
                    *before |= days;
                    while new != 0 {
                        counts[new.trailing_zeros() as usize] += 1;
                        new &= new - 1;
                    }
                }
                for &(person, _) in list {
                    (met[person as usize], is_seen[person as usize]) = (0, true);
                }
                for (day, count) in (*start..).zip(counts).filter(|(_, count)| *count > 0) {
                    rows.insert((day, names[name].clone()), count);
                }
            }
        }
        Users { rows, all: is_seen.into_iter().map(u64::from).sum() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, FixedSizeBinaryArray, StringArray, UInt16Array, UInt32Array, UInt64Array,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::identity::Uuid;

    /// First days of the months from November 2025 to March 2026, and how long they are.
    const MONTHS: [(u16, u16); 5] =
        [(20_393, 30), (20_423, 31), (20_454, 31), (20_485, 28), (20_513, 31)];

    /// An identity, the number of a month, days of it, and a name.
    type Seen = (u8, usize, u32, u8);

    fn uuids(numbers: impl Iterator<Item = u8>) -> ArrayRef {
        let uuid = |number: u8| -> Uuid { [number; 16] };
        let some = numbers.map(|number| Some(uuid(number)));
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(some, 16).unwrap())
    }

    /// Days since 1970.
    fn days_of(&(_, month, days, _): &Seen) -> impl Iterator<Item = u16> {
        let (first, length) = MONTHS[month];
        (0..length).filter(move |day| days >> day & 1 == 1).map(move |day| first + day)
    }

    fn month_of(day: u16) -> u16 {
        MONTHS.iter().rev().find(|(first, _)| *first <= day).unwrap().0
    }

    fn rows(seen: &[Seen]) -> RecordBatch {
        let months: UInt16Array = seen.iter().map(|seen| Some(MONTHS[seen.1].0)).collect();
        let bits = |seen| days_of(seen).fold(0, |bits, day| bits | 1_u32 << (day - month_of(day)));
        let days: UInt32Array = seen.iter().map(|seen| Some(bits(seen))).collect();
        let name = |name: u8| (name > 0).then(|| name.to_string());
        let names: StringArray = seen.iter().map(|seen| name(seen.3)).collect();
        RecordBatch::try_from_iter_with_nullable([
            ("identity", uuids(seen.iter().map(|seen| seen.0)), false),
            ("month", Arc::new(months) as ArrayRef, false),
            ("days", Arc::new(days), false),
            ("name", Arc::new(names), true),
        ])
        .unwrap()
    }

    fn people(known: &BTreeMap<u8, u8>) -> Named {
        let columns = [
            ("identity", uuids(known.keys().copied())),
            ("person", uuids(known.values().copied())),
            ("version", Arc::new(UInt64Array::from(vec![1; known.len()])) as ArrayRef),
        ];
        let table = RecordBatch::try_from_iter(columns).unwrap();
        // No room is made before: that is for whoever knows how much.
        Named::new(&[table], 0).unwrap()
    }

    /// The first day of the row that a day is of.
    fn start_of(interval: Interval, day: u16) -> i64 {
        // 3 November 2025 was a Monday.
        const MONDAY: i64 = 20_395;
        match interval {
            Interval::Day => i64::from(day),
            Interval::Week => MONDAY + (i64::from(day) - MONDAY).div_euclid(7) * 7,
            Interval::Month => i64::from(month_of(day)),
            Interval::Total => 0,
        }
    }

    /// A few of 32 bits.
    fn sparse() -> impl Strategy<Value = u32> {
        (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(a, b, c)| a & b & c)
    }

    proptest! {
        #[test]
        fn people_are_counted_once_in_each_row_and_once_in_all(
            seen in prop::collection::vec((0..30_u8, 0..5_usize, sparse(), 0..4_u8), 1..200),
            known in prop::collection::btree_map(1..30_u8, 0..9_u8, 0..20),
            size in 1..50_usize, bounds in (-20..160_i64, -20..160_i64), is_bounded: bool,
        ) {
            let first = i64::from(MONTHS[0].0);
            let bounded = first + bounds.0..first + bounds.1;
            let days = if is_bounded { bounded } else { i64::MIN..i64::MAX };
            let known_as = |identity| known.get(&identity).copied().filter(|person| *person > 0);
            let batches: Vec<RecordBatch> = seen.chunks(size).map(rows).collect();
            for interval in [Interval::Day, Interval::Week, Interval::Month, Interval::Total] {
                let mut cells: BTreeMap<(i64, String), BTreeSet<u8>> = BTreeMap::new();
                for row in &seen {
                    let (identity, .., name) = *row;
                    let name = if name > 0 { name.to_string() } else { String::new() };
                    for day in days_of(row).filter(|day| days.contains(&i64::from(*day))) {
                        let cell = cells.entry((start_of(interval, day), name.clone()));
                        cell.or_default().insert(known_as(identity).unwrap_or(identity));
                    }
                }
                let all: BTreeSet<u8> = cells.values().flatten().copied().collect();
                let count = |(cell, people): (_, BTreeSet<u8>)| (cell, people.len() as u64);
                let expected =
                    Users { rows: cells.into_iter().map(count).collect(), all: all.len() as u64 };
                let mut people = people(&known);
                let found = users(&batches, &mut people, interval, &days).unwrap();
                prop_assert_eq!(found, expected, "{:?}", interval);
            }
        }
    }

    #[test]
    fn nobody_was_seen() {
        let none = Users { rows: BTreeMap::new(), all: 0 };
        let mut people = people(&BTreeMap::new());
        for seen in [vec![], vec![rows(&[])]] {
            let found = users(&seen, &mut people, Interval::Week, &(0..1));
            assert_eq!(found.unwrap(), none);
        }
    }

    #[test]
    fn days_of_another_type_are_refused() {
        let wrong = RecordBatch::try_from_iter([
            ("identity", uuids([1].into_iter())),
            ("month", Arc::new(UInt16Array::from(vec![20_393])) as ArrayRef),
            ("days", Arc::new(StringArray::from(vec!["today"]))),
            ("name", Arc::new(StringArray::from(vec!["open"]))),
        ]);
        let mut people = people(&BTreeMap::new());
        let found = users(&[wrong.unwrap()], &mut people, Interval::Day, &(0..1));
        let error = found.unwrap_err().to_string();
        assert!(error.contains("`days`"), "{error}");
    }
}
