//! A table of touches and conversions in, rows for the kernel out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, new_empty_array};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::concat::concat;
use arrow_select::filter::filter;

use super::{Conversions, Entry, Journeys, Labels, Settings, Tag, UNATTRIBUTED, Unordered};
use crate::column::{
    Bytes, Interner, Keys, NULL, TableError, booleans, find, first_null, narrow, numbers,
    person_keys, times,
};

/// Which column plays which part. Optional ones are none.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each is the parameter of the same name of `unmogrowp.journeys`")]
pub struct Names {
    pub user: String,
    pub time: String,
    pub channel: String,
    pub is_conversion: String,
    pub value: Option<String>,
    pub conversion_name: Option<String>,
    pub currency: Option<String>,
    pub touch_type: Option<String>,
    pub key_touch: Option<String>,
    pub conversion_id: Option<String>,
}

/// Journeys of any table; `stop` ends it early.
///
/// # Errors
/// The table is not what it was said to be, or `stop` was set.
pub fn read(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    names: &Names,
    settings: Settings,
    stop: &AtomicBool,
) -> Result<Journeys, TableError> {
    // An empty batch has every check of the schema done even where the table has no rows.
    let empty = RecordBatch::new_empty(schema.clone());
    let mut reader = Reader::new(&empty, names)?;
    reader.batch(&empty)?;
    for batch in batches.iter().flat_map(slices) {
        if stop.load(Ordering::Relaxed) {
            return Err(TableError::Cancelled);
        }
        reader.batch(&batch)?;
    }
    Journeys::build(reader.finish()?, settings, stop)
}

/// Rows read at once: what is made of them stays in cache, and a call can be stopped in between.
const SLICE_ROWS: usize = 1 << 16;

/// A batch in slices that share its memory. Large dictionaries are read anew with every slice, so
/// that batches with one stay whole.
pub(super) fn slices(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> {
    let values = |column: &ArrayRef| {
        column.as_any_dictionary_opt().map_or(0, |dictionary| dictionary.values().len())
    };
    let values = batch.columns().iter().map(values).max().unwrap_or_default();
    let step = if values > SLICE_ROWS / 16 { batch.num_rows().max(1) } else { SLICE_ROWS };
    let starts = (0..batch.num_rows()).step_by(step);
    starts.map(move |start| batch.slice(start, step.min(batch.num_rows() - start)))
}

/// Numbers rows across chunks and refuses more than the kernel can number.
pub(super) fn next_first(first: usize, rows: usize) -> Result<usize, TableError> {
    let next = first + rows;
    let max = u32::MAX;
    if next > max as usize { Err(TableError::TooMany { what: "rows", max }) } else { Ok(next) }
}

/// Channels and which of them some touch has.
pub(super) struct Channels {
    seen: Interner,
    is_used: Vec<bool>,
    has_null: bool,
    refuses_reserved: bool,
}

/// The number of the name no channel should have: it is interned first.
const RESERVED: u32 = 0;

impl Channels {
    pub(super) fn new(refuses_reserved: bool) -> Self {
        let mut seen = Interner::default();
        seen.id(UNATTRIBUTED.as_bytes());
        Self { seen, is_used: Vec::new(), has_null: false, refuses_reserved }
    }

    pub(super) fn chunk(&mut self, column: &Bytes<'_>, rows: usize) -> Vec<u32> {
        let ids = self.seen.column(column, rows);
        self.is_used.resize(self.seen.len(), false);
        ids
    }

    /// Note that the touch in `row` has this channel.
    pub(super) fn touch(&mut self, channel: u32, row: usize) -> Result<(), TableError> {
        match channel {
            NULL => self.has_null = true,
            RESERVED if self.refuses_reserved => return Err(TableError::ReservedChannel { row }),
            channel => self.is_used[channel as usize] = true,
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Labels {
        self.is_used.resize(self.seen.len(), false);
        Labels { names: self.seen.texts(), is_used: self.is_used, has_null: self.has_null }
    }
}

struct Reader<'a> {
    names: &'a Names,
    keys: Keys,
    channels: Channels,
    conversion_names: Interner,
    currencies: Interner,
    entries: Vec<Entry>,
    ids: Vec<ArrayRef>,
    conversions: Conversions,
    first_row: usize,
    has_views: bool,
}

/// The columns of one chunk, read.
struct Chunk {
    keys: Vec<u64>,
    times: Vec<i64>,
    channels: Vec<u32>,
    is_conversion: BooleanArray,
    is_view: Option<Vec<bool>>,
    is_key: Option<BooleanArray>,
    values: Option<Vec<f64>>,
    names: Option<Vec<u32>>,
    currencies: Option<Vec<u32>>,
}

impl<'a> Reader<'a> {
    fn new(empty: &RecordBatch, names: &'a Names) -> Result<Self, TableError> {
        let keys = person_keys(find(empty, &names.user, "user")?, &names.user)?;
        let conversions = Conversions {
            values: names.value.as_ref().map(|_| Vec::new()),
            currencies: names.currency.as_ref().map(|_| (Vec::new(), Vec::new())),
            ..Conversions::unnamed(Vec::new())
        };
        Ok(Self {
            names,
            keys,
            channels: Channels::new(true),
            conversion_names: Interner::default(),
            currencies: Interner::default(),
            entries: Vec::new(),
            ids: Vec::new(),
            conversions,
            first_row: 0,
            has_views: false,
        })
    }

    fn batch(&mut self, batch: &RecordBatch) -> Result<(), TableError> {
        let next = next_first(self.first_row, batch.num_rows())?;
        let chunk = self.columns(batch)?;
        if let Some(name) = &self.names.conversion_id {
            let ids = find(batch, name, "conversion_id")?;
            self.ids.push(filter(ids, &chunk.is_conversion)?);
        }
        self.entries.reserve(batch.num_rows());
        for row in 0..batch.num_rows() {
            let tag = if chunk.is_conversion.value(row) {
                self.conversion(&chunk, row)?
            } else {
                self.touch(&chunk, row)?
            };
            let (key, time) = (chunk.keys[row], chunk.times[row]);
            self.entries.push(Entry { key, time, row: narrow(self.first_row + row), tag });
        }
        self.first_row = next;
        Ok(())
    }

    fn columns(&mut self, batch: &RecordBatch) -> Result<Chunk, TableError> {
        let (names, first) = (self.names, self.first_row);
        let user = find(batch, &names.user, "user")?;
        let time = find(batch, &names.time, "time")?;
        let channel = Bytes::text(find(batch, &names.channel, "channel")?, &names.channel)?;
        let is_conversion = find(batch, &names.is_conversion, "is_conversion")?;
        let is_conversion = booleans(is_conversion, &names.is_conversion)?;
        if let Some(row) = first_null(&is_conversion) {
            return Err(TableError::Null { name: names.is_conversion.clone(), row: first + row });
        }
        Ok(Chunk {
            keys: self.keys.chunk(user, &names.user, first)?,
            times: times(time, &names.time, first)?,
            channels: self.channels.chunk(&channel, batch.num_rows()),
            is_conversion,
            is_view: optional(batch, names.touch_type.as_ref(), "touch_type", views)?,
            is_key: optional(batch, names.key_touch.as_ref(), "key_touch", booleans)?,
            values: optional(batch, names.value.as_ref(), "value", numbers)?,
            names: optional(
                batch,
                names.conversion_name.as_ref(),
                "conversion_name",
                |a, name| Ok(self.conversion_names.column(&Bytes::text(a, name)?, a.len())),
            )?,
            currencies: optional(batch, names.currency.as_ref(), "currency", |a, name| {
                Ok(self.currencies.column(&Bytes::text(a, name)?, a.len()))
            })?,
        })
    }

    fn touch(&mut self, chunk: &Chunk, row: usize) -> Result<Tag, TableError> {
        let channel = chunk.channels[row];
        self.channels.touch(channel, self.first_row + row)?;
        let is_view = chunk.is_view.as_ref().is_some_and(|views| views[row]);
        self.has_views |= is_view;
        let is_key =
            chunk.is_key.as_ref().is_some_and(|keys| keys.is_valid(row) && keys.value(row));
        Tag::touch(channel, is_view, is_key)
    }

    fn conversion(&mut self, chunk: &Chunk, row: usize) -> Result<Tag, TableError> {
        let conversions = &mut self.conversions;
        let tag = Tag::conversion(conversions.rows.len())?;
        conversions.rows.push(narrow(self.first_row + row));
        // A null name is a name of its own, the last number; without names all are the same.
        conversions.names.push(chunk.names.as_ref().map_or(0, |names| names[row]));
        if let (Some(all), Some(values)) = (&mut conversions.values, &chunk.values) {
            let value = values[row];
            if !value.is_finite() {
                return Err(TableError::OutOfRange {
                    name: self.names.value.clone().unwrap_or_default(),
                    row: self.first_row + row,
                    what: "not a finite number",
                    hint: "fill it with 0, or with null, which counts as 0",
                });
            }
            all.push(value);
        }
        if let (Some((all, _)), Some(ids)) = (&mut conversions.currencies, &chunk.currencies) {
            all.push(ids[row]);
        }
        Ok(tag)
    }

    fn finish(self) -> Result<Unordered, TableError> {
        let mut conversions = self.conversions;
        conversions.ids = if self.names.conversion_id.is_some() {
            joined(&self.ids)?
        } else {
            Arc::new(Int64Array::from_iter_values(conversions.rows.iter().map(|r| i64::from(*r))))
        };
        number_null_name(&mut conversions.names, self.conversion_names.len());
        if let Some((_, names)) = &mut conversions.currencies {
            *names = self.currencies.texts();
        }
        let channels = self.channels.finish();
        Ok(Unordered { entries: self.entries, channels, conversions, has_views: self.has_views })
    }
}

/// What `read` makes of the column that may be named.
fn optional<'a, T>(
    batch: &'a RecordBatch,
    name: Option<&String>,
    role: &'static str,
    read: impl FnOnce(&'a dyn Array, &str) -> Result<T, TableError>,
) -> Result<Option<T>, TableError> {
    name.map(|name| read(find(batch, name, role)?.as_ref(), name)).transpose()
}

/// A null conversion name is a name like any other: the number after the last.
pub(super) fn number_null_name(names: &mut [u32], count: usize) {
    let null = narrow(count);
    names.iter_mut().filter(|name| **name == NULL).for_each(|name| *name = null);
}

pub(super) fn joined(chunks: &[ArrayRef]) -> Result<ArrayRef, TableError> {
    let chunks: Vec<&dyn Array> = chunks.iter().map(AsRef::as_ref).collect();
    if chunks.is_empty() { Ok(new_empty_array(&DataType::Null)) } else { Ok(concat(&chunks)?) }
}

/// Which touches are impressions.
pub(super) fn views(array: &dyn Array, name: &str) -> Result<Vec<bool>, TableError> {
    let types = Bytes::text(array, name)?;
    Ok((0..array.len()).map(|row| types.get(row) == Some(b"impression")).collect())
}
