//! Journeys that did not convert: one row each, so that a warehouse can keep them person by person.
//!
//! A row's key is its person and its place among the open journeys of that person. Whoever has
//! fewer of them than before gets rows without touches for the places that are free again.

use std::sync::Arc;

use arrow_array::{
    FixedSizeBinaryArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow_buffer::OffsetBuffer;

use super::columns::Columns;
use super::credits::{TOUCH_COLUMNS, taken, text};
use crate::column::{Bytes, Interner, Map, TableError, find, micros};
use crate::identity::{NOBODY, Uuid, Uuids};
use crate::journey::{Effort, Journeys, Touch, Who};

const ROLE: &str = "who has how many open journeys";

/// How many places of each person have a row: `app_id`, `person` and `places`.
#[derive(Debug, Default)]
pub struct Places(Vec<(String, Uuid, u32)>);

impl Places {
    /// Read them.
    ///
    /// # Errors
    /// A column is missing or of a wrong type.
    pub fn read(batches: &[RecordBatch]) -> Result<Self, TableError> {
        let mut all = Vec::new();
        for batch in batches {
            let apps = Bytes::text(find(batch, "app_id", ROLE)?.as_ref(), "app_id")?;
            let persons = Uuids::new(batch, "person")?;
            let places = micros(find(batch, "places", ROLE)?.as_ref(), "places")?;
            all.extend(places.iter().enumerate().map(|(row, count)| {
                let app = apps.get(row).map(String::from_utf8_lossy).unwrap_or_default();
                (app.into_owned(), persons.get(row), u32::try_from(*count).unwrap_or_default())
            }));
        }
        Ok(Self(all))
    }
}

/// `app_id, person, place, last_touch` of each journey of `journeys` that did not convert, then
/// lists with one item per touch: `channel, campaign, adset, creative`.
///
/// `table` is what the journeys were read from, with the `identity` of each row, which stands for a
/// person that is null or nil.
pub(super) fn opens(
    table: &RecordBatch,
    journeys: &Journeys,
    known: &Places,
    effort: Effort<'_>,
) -> Result<RecordBatch, TableError> {
    let found = rows_of(journeys, effort)?;
    let (persons, identities) = (Uuids::new(table, "person")?, Uuids::new(table, "identity")?);
    let mut names = Interner::default();
    let apps = Bytes::text(find(table, "app_id", ROLE)?.as_ref(), "app_id")?;
    let apps = names.column(&apps, table.num_rows());
    let mut places: Map<(u32, Uuid), u32> = Map::default();
    let mut made = Rows::default();
    for touches in &found {
        let Some(first) = touches.first() else { continue };
        let row = first.row() as usize;
        let person = Some(persons.get(row)).filter(|id| *id != NOBODY);
        let person = person.unwrap_or_else(|| identities.get(row));
        let place = places.entry((apps[row], person)).or_default();
        made.push((apps[row], person), *place, touches);
        *place += 1;
    }
    for (app, person, count) in &known.0 {
        let key = (names.id(app.as_bytes()), *person);
        for place in places.get(&key).copied().unwrap_or_default()..*count {
            made.push(key, place, &[]);
        }
    }
    made.table(table, &names.texts())
}

/// The touches of every open journey, in the order of the input.
fn rows_of(journeys: &Journeys, effort: Effort<'_>) -> Result<Vec<Vec<Touch>>, TableError> {
    let made = journeys.fold(Who::All, effort, Vec::new, |all: &mut Vec<Vec<Touch>>, person| {
        person.unconverted(journeys.lens(), |touches| all.push(touches.copied().collect()));
    })?;
    let mut all: Vec<Vec<Touch>> = made.into_iter().flatten().collect();
    all.sort_unstable_by_key(|touches| touches.first().map(Touch::row));
    Ok(all)
}

#[derive(Default)]
struct Rows {
    apps: Vec<u32>,
    persons: Vec<Uuid>,
    places: Vec<u32>,
    last_touches: Vec<i64>,
    touches: Vec<u32>,
    lengths: Vec<usize>,
}

impl Rows {
    fn push(&mut self, (app, person): (u32, Uuid), place: u32, touches: &[Touch]) {
        self.apps.push(app);
        self.persons.push(person);
        self.places.push(place);
        self.last_touches.push(touches.last().map_or(0, Touch::time));
        self.touches.extend(touches.iter().map(Touch::row));
        self.lengths.push(touches.len());
    }

    fn table(self, table: &RecordBatch, apps: &[String]) -> Result<RecordBatch, TableError> {
        let touches = UInt32Array::from(self.touches);
        let offsets = OffsetBuffer::<i32>::from_lengths(self.lengths);
        let mut out = Columns::default();
        let names = self.apps.iter().map(|app| apps.get(*app as usize));
        out.add("app_id", Arc::new(names.collect::<StringArray>()));
        let persons = self.persons.iter().map(Some);
        let persons = FixedSizeBinaryArray::try_from_sparse_iter_with_size(persons, 16)?;
        out.add("person", Arc::new(persons));
        out.add("place", Arc::new(UInt32Array::from(self.places)));
        let times = TimestampMicrosecondArray::from(self.last_touches).with_timezone("UTC");
        out.add("last_touch", Arc::new(times));
        for (name, from) in TOUCH_COLUMNS {
            out.list(name, text(&taken(table, from, &touches)?)?, &offsets)?;
        }
        out.batch()
    }
}
