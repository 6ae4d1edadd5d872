//! Canonical events in, rows for the kernel out: touches by `event_type`, conversions by name.

use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter;

use super::read::{Channels, joined, next_first, number_null_name, slices, views};
use super::{Conversions, Filing, Journeys, Settings, Step, Tag, Wide};
use crate::column::{Bytes, Interner, NULL, TableError, find, narrow, numbers, times};

/// What to make of canonical events.
#[derive(Clone, Copy, Debug)]
pub struct EventSettings<'a> {
    /// Names of the events that convert. A conversion wins over a touch.
    pub conversions: &'a [String],
    /// How far each looks back.
    pub settings: Settings,
    /// Whether a source may be called `(unattributed)`. A notebook's table must not have one; on a
    /// server one event must not stop an app's attribution.
    pub allows_reserved: bool,
}

/// Journeys of canonical events, given one person key per row over all batches.
///
/// # Errors
/// The table is not what it was said to be, or `stop` was set.
pub fn read_events(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    persons: &[u64],
    settings: EventSettings<'_>,
    stop: &AtomicBool,
) -> Result<Journeys, TableError> {
    let mut reader = EventReader::new(settings, persons.len());
    reader.batch(&RecordBatch::new_empty(schema.clone()), &[])?;
    let mut persons = persons;
    for batch in batches.iter().flat_map(slices) {
        if stop.load(Ordering::Relaxed) {
            return Err(TableError::Cancelled);
        }
        let (own, rest) = persons.split_at(batch.num_rows());
        reader.batch(&batch, own)?;
        persons = rest;
    }
    reader.finish(settings.settings)
}

struct EventReader {
    channels: Channels,
    names: Interner,
    /// Names below this number convert: the wanted ones are interned first.
    wanted: u32,
    currencies: Interner,
    rows: Filing<u64, Wide>,
    ids: Vec<ArrayRef>,
    conversions: Conversions,
    values: Vec<f64>,
    currency_ids: Vec<u32>,
    first_row: usize,
}

impl EventReader {
    fn new(settings: EventSettings<'_>, rows: usize) -> Self {
        let mut names = Interner::default();
        for name in settings.conversions {
            names.id(name.as_bytes());
        }
        Self {
            channels: Channels::new(!settings.allows_reserved),
            wanted: narrow(names.len()),
            names,
            currencies: Interner::default(),
            rows: Filing::for_rows(rows),
            ids: Vec::new(),
            conversions: Conversions::unnamed(Vec::new()),
            values: Vec::new(),
            currency_ids: Vec::new(),
            first_row: 0,
        }
    }

    fn batch(&mut self, batch: &RecordBatch, persons: &[u64]) -> Result<(), TableError> {
        const ROLE: &str = "canonical events";
        let rows = batch.num_rows();
        let next = next_first(self.first_row, rows)?;
        let column = |name| find(batch, name, ROLE).map(AsRef::as_ref);
        let text = |name| Bytes::text(column(name)?, name);
        let names = self.names.column(&text("event_name")?, rows);
        let channels = self.channels.chunk(&text("source")?, rows);
        self.channels.fits()?;
        let currencies = self.currencies.column(&text("currency")?, rows);
        let is_view = views(column("event_type")?, "event_type")?;
        let types = text("event_type")?;
        let times = times(column("timestamp")?, "timestamp", self.first_row)?;
        let micros = numbers(column("revenue_micros")?, "revenue_micros")?;
        let is_conversion = |row: usize| names[row] < self.wanted;
        let mask = BooleanArray::from((0..rows).map(is_conversion).collect::<Vec<_>>());
        self.ids.push(filter(column("event_id")?, &mask)?);
        for row in 0..rows {
            let tag = if mask.value(row) {
                let index = self.conversions.rows.len();
                self.conversions.rows.push(narrow(self.first_row + row));
                self.conversions.names.push(names[row]);
                self.values.push(micros[row] / 1e6);
                self.currency_ids.push(currencies[row]);
                Tag::conversion(index)?
            } else if is_view[row] || types.get(row) == Some(b"click") {
                self.channels.touch(channels[row], self.first_row + row)?;
                let mut tag = Tag::touch(channels[row]);
                tag.set_view(is_view[row]);
                tag
            } else {
                continue;
            };
            let step = Step { time: times[row], row: narrow(self.first_row + row), tag };
            self.rows.file(persons[row], step);
        }
        self.first_row = next;
        Ok(())
    }

    fn finish(self, settings: Settings) -> Result<Journeys, TableError> {
        let mut conversions = self.conversions;
        number_null_name(&mut conversions.names, self.names.len());
        conversions.ids = joined(&self.ids)?;
        conversions.values = Some(self.values);
        conversions.currencies = Some((self.currency_ids, self.currencies.texts()));
        debug_assert!(!conversions.names.contains(&NULL));
        let rows = self.rows.filed();
        Ok(Journeys::new(rows, self.channels.finish(), conversions, settings))
    }
}
