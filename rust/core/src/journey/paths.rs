//! Aggregated paths in, journeys without times out.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::ArrowNativeType;
use arrow_schema::{DataType, SchemaRef};
use memchr::memmem::Finder;

use super::read::{Channels, next_first};
use super::trail::Trails;
use super::{Conversions, Journeys, Lens, Policy, Source, Tag};
use crate::column::{Bytes, Interner, NULL, TableError, find, first_null, narrow, numbers};

/// Journeys of a table with columns `path` (text split at `separator`, or a list of text),
/// `conversions`, and where present `value` (of all conversions of the path together), `currency`
/// (of the value) and `nulls` (how often the path ended without one).
///
/// # Errors
/// The table is not what it was said to be, or `stop` was set.
pub fn read_paths(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    separator: &str,
    stop: &AtomicBool,
) -> Result<Journeys, TableError> {
    let has_value = schema.index_of("value").is_ok();
    let mut paths = Paths {
        channels: Channels::new(true),
        trails: Trails::default(),
        weights: Vec::new(),
        nulls: schema.index_of("nulls").is_ok().then(Vec::new),
        values: has_value.then(Vec::new),
        currencies: schema.index_of("currency").is_ok().then(Vec::new),
        currency_names: Interner::default(),
        separator,
    };
    paths.batch(&RecordBatch::new_empty(schema.clone()))?;
    for batch in batches {
        if stop.load(Ordering::Relaxed) {
            return Err(TableError::Cancelled);
        }
        next_first(paths.trails.len(), batch.num_rows())?;
        paths.batch(batch)?;
    }
    Ok(paths.finish())
}

struct Paths<'a> {
    channels: Channels,
    trails: Trails,
    weights: Vec<f64>,
    nulls: Option<Vec<f64>>,
    values: Option<Vec<f64>>,
    currencies: Option<Vec<u32>>,
    currency_names: Interner,
    separator: &'a str,
}

impl Paths<'_> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), TableError> {
        let first = self.trails.len();
        let conversions = find(batch, "conversions", "the number of conversions of each path")?;
        if let Some(row) = first_null(conversions) {
            return Err(TableError::Null { name: "conversions".to_owned(), row: first + row });
        }
        self.weights.extend(counts(conversions, "conversions", first)?);
        if let Some(nulls) = &mut self.nulls {
            nulls.extend(counts(find(batch, "nulls", "nulls")?, "nulls", first)?);
        }
        if let Some(values) = &mut self.values {
            let value = find(batch, "value", "value")?;
            values.extend(finite(numbers(value, "value")?, "value", first)?);
        }
        if let Some(currencies) = &mut self.currencies {
            let names = find(batch, "currency", "currency")?;
            let names = Bytes::text(names.as_ref(), "currency")?;
            currencies.extend(self.currency_names.column(&names, batch.num_rows()));
        }
        self.paths(find(batch, "path", "the paths")?.as_ref())
    }

    fn paths(&mut self, array: &dyn Array) -> Result<(), TableError> {
        match array.data_type() {
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                let at = |row: usize| lists.value_offsets()[row].as_usize();
                self.lists(array, lists.values(), at)
            }
            DataType::LargeList(_) => {
                let lists = array.as_list::<i64>();
                let at = |row: usize| lists.value_offsets()[row].as_usize();
                self.lists(array, lists.values(), at)
            }
            DataType::FixedSizeList(_, _) => {
                let lists = array.as_fixed_size_list();
                self.lists(array, lists.values(), |row| lists.value_offset_at(row))
            }
            _ => self.texts(array),
        }
    }

    /// Paths from where `at` says that a row's channels begin to where the next one's do.
    fn lists(
        &mut self,
        array: &dyn Array,
        channels: &ArrayRef,
        at: impl Fn(usize) -> usize,
    ) -> Result<(), TableError> {
        let texts = Bytes::text(channels.as_ref(), "path")?;
        let channels = self.channels.chunk(&texts, channels.len());
        for row in 0..array.len() {
            let path = if array.is_null(row) { 0..0 } else { at(row)..at(row + 1) };
            self.path(channels[path].iter().copied())?;
        }
        Ok(())
    }

    fn texts(&mut self, array: &dyn Array) -> Result<(), TableError> {
        let (texts, separator) = (Bytes::text(array, "path")?, self.separator);
        let (finder, mut channels) = (Finder::new(separator), Vec::new());
        for row in 0..array.len() {
            let text = texts.get(row).map(String::from_utf8_lossy).unwrap_or_default();
            channels.clear();
            if !text.is_empty() {
                let mut start = 0;
                for stop in finder.find_iter(text.as_bytes()) {
                    channels.push(self.channels.id(&text[start..stop]));
                    start = stop + separator.len();
                }
                channels.push(self.channels.id(&text[start..]));
            }
            self.path(channels.iter().copied())?;
        }
        Ok(())
    }

    fn path(&mut self, channels: impl Iterator<Item = u32>) -> Result<(), TableError> {
        let row = self.trails.len();
        for channel in channels {
            self.channels.touch(channel, row)?;
            self.trails.push(Tag::touch(channel));
        }
        self.channels.fits()?;
        if self.trails.touch_count() >= NULL as usize {
            return Err(TableError::TooMany { what: "touches", max: NULL });
        }
        self.trails.end();
        Ok(())
    }

    fn finish(self) -> Journeys {
        let rows: Vec<u32> = (0..narrow(self.trails.len())).collect();
        let are_counts_whole =
            are_whole(&self.weights) && self.nulls.as_deref().is_none_or(are_whole);
        let conversions = Conversions {
            values: self.values,
            weights: Some(self.weights),
            nulls: self.nulls,
            are_counts_whole,
            currencies: self.currencies.map(|numbers| (numbers, self.currency_names.texts())),
            ..Conversions::unnamed(rows)
        };
        Journeys {
            source: Source::Paths(self.trails),
            laid: OnceLock::new(),
            channels: self.channels.finish(),
            conversions,
            lens: Lens::default(),
            policy: Policy::Overlap,
        }
    }
}

/// Whether sums of counts are exact in any order.
fn are_whole(counts: &[f64]) -> bool {
    counts.iter().all(|count| count.fract() == 0.0) && counts.iter().sum::<f64>() < 2_f64.powi(52)
}

fn counts(array: &dyn Array, name: &str, first: usize) -> Result<Vec<f64>, TableError> {
    let counts = finite(numbers(array, name)?, name, first)?;
    match counts.iter().position(|count| *count < 0.0) {
        None => Ok(counts),
        Some(row) => Err(TableError::OutOfRange {
            name: name.to_owned(),
            row: first + row,
            what: "negative",
            hint: "it says how often the path was seen",
        }),
    }
}

fn finite(numbers: Vec<f64>, name: &str, first: usize) -> Result<Vec<f64>, TableError> {
    match numbers.iter().position(|number| !number.is_finite()) {
        None => Ok(numbers),
        Some(row) => Err(TableError::OutOfRange {
            name: name.to_owned(),
            row: first + row,
            what: "not a finite number",
            hint: "fill it with 0",
        }),
    }
}
