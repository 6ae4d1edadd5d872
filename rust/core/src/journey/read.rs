//! A table of touches and conversions in, rows for the kernel out.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, new_empty_array};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::concat::concat;
use arrow_select::filter::filter;

use super::group::{Extent, People, Unfit, drawer_bits};
use super::person::{Digests, Integers, PersonKind, Persons};
use super::row::{Key, Layout, Narrow, Word};
use super::{
    Conversions, Effort, Filed, Filing, Journeys, Labels, Settings, Step, Tag, UNATTRIBUTED, Wide,
};
use crate::column::{
    Bytes, Interner, NULL, TableError, booleans, find, first_null, narrow, numbers, times,
};
use crate::threads::side_by_side;

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

/// Journeys of any table.
///
/// # Errors
/// The table is not what it was said to be, or the effort was stopped.
pub fn read(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    names: &Names,
    settings: Settings,
    effort: Effort<'_>,
) -> Result<Journeys, TableError> {
    let rows = batches.iter().try_fold(0, |first, batch| next_first(first, batch.num_rows()))?;
    let table = Arc::new(Table {
        empty: RecordBatch::new_empty(schema.clone()),
        batches: batches.to_vec(),
        names: names.clone(),
        rows,
    });
    match PersonKind::of(find(&table.empty, &names.user, "user")?, &names.user)? {
        PersonKind::Integer => table.journeys(&Integers, settings, effort),
        PersonKind::Bytes => table.journeys(&Digests::new(effort.salt), settings, effort),
    }
}

/// A table to be read, perhaps twice.
struct Table {
    /// Every check of the schema is done on it, also where the table has no rows.
    empty: RecordBatch,
    batches: Vec<RecordBatch>,
    names: Names,
    rows: usize,
}

/// What is found by a first glance: how long times reach, and who converted.
struct Glance {
    times: Extent,
    converting: Converting,
}

impl Glance {
    fn join(&mut self, other: &Self) {
        self.times.first_us = self.times.first_us.min(other.times.first_us);
        self.times.last_us = self.times.last_us.max(other.times.last_us);
        for (bits, more) in self.converting.bits.iter_mut().zip(&other.converting.bits) {
            *bits |= more;
        }
    }
}

impl Table {
    /// In words as short as they can be.
    fn journeys<P: Persons>(
        self: &Arc<Self>,
        persons: &P,
        settings: Settings,
        effort: Effort<'_>,
    ) -> Result<Journeys, TableError> {
        let glance = self.glance(persons, effort)?;
        match self.journeys_of::<P, Narrow>(persons, &glance, settings, effort) {
            Err(Failure::Unfit) => {}
            Err(Failure::Table(error)) => return Err(error),
            Ok(journeys) => return Ok(journeys),
        }
        self.journeys_of::<P, Wide>(persons, &glance, settings, effort).map_err(Failure::told)
    }

    /// File the rows of everybody who converted now, and those of all when somebody wants them.
    fn journeys_of<P: Persons, W: Word>(
        self: &Arc<Self>,
        persons: &P,
        glance: &Glance,
        settings: Settings,
        effort: Effort<'_>,
    ) -> Result<Journeys, Failure> {
        let Glance { times, converting } = glance;
        let (filed, read) = self.file::<P, W>(persons, *times, Some(converting), effort)?;
        let (channels, conversions) = read.finish(&self.names)?;
        let (table, persons, times) = (self.clone(), persons.clone(), *times);
        let everybody = move |effort: Effort<'_>| {
            let (filed, _) =
                table.file::<P, W>(&persons, times, None, effort).map_err(Failure::told)?;
            Ok(Box::new(filed) as Box<dyn People>)
        };
        Ok(Journeys::of_converting(filed, Box::new(everybody), channels, conversions, settings))
    }

    fn glance<P: Persons>(&self, persons: &P, effort: Effort<'_>) -> Result<Glance, TableError> {
        let names = &self.names;
        self.reader::<P, Wide>(persons, Filing::new(0, Layout::default()), None).check()?;
        let is_conversion = |batch: &RecordBatch| {
            booleans(find(batch, &names.is_conversion, "is_conversion")?, &names.is_conversion)
        };
        let mut count = 0;
        for batch in &self.batches {
            count += is_conversion(batch)?.true_count();
        }
        let work = |part: Vec<RecordBatch>, mut first_row: usize| {
            let (mut reached, mut converting) = (Extent::default(), Converting::new(count));
            for batch in part.iter().flat_map(slices) {
                effort.go_on()?;
                let column = find(&batch, &names.time, "time")?;
                reached.reach(&times(column, &names.time, first_row)?);
                let users = filter(find(&batch, &names.user, "user")?, &is_conversion(&batch)?)?;
                persons.of(&users).iter().for_each(|key| converting.insert(key.mixed()));
                first_row += batch.num_rows();
            }
            Ok(Glance { times: reached, converting })
        };
        let parts = split(&self.batches, self.rows, effort.threads);
        let glances: Vec<Result<Glance, TableError>> =
            side_by_side(parts.into_iter().map(|(part, first)| move || work(part, first)));
        let mut all = Glance { times: Extent::default(), converting: Converting::new(count) };
        // Of several failures the one of the earliest row is told.
        for glance in glances {
            all.join(&glance?);
        }
        Ok(all)
    }

    fn reader<'a, P: Persons, W: Word>(
        &'a self,
        persons: &'a P,
        rows: Filing<P::Key, W>,
        wanted: Option<&'a Converting>,
    ) -> Reader<'a, P, W> {
        let (names, read) = (&self.names, Read::new(&self.names));
        Reader { names, empty: &self.empty, persons, wanted, read, rows, first_row: 0 }
    }

    /// Read the rows of all who are `wanted`, each thread a run of them.
    fn file<P: Persons, W: Word>(
        &self,
        persons: &P,
        times: Extent,
        wanted: Option<&Converting>,
        effort: Effort<'_>,
    ) -> Result<(Filed<P::Key, W>, Read), Failure> {
        let (layout, bits) = (times.layout(), drawer_bits(self.rows));
        let work = |part: Vec<RecordBatch>, first_row: usize| {
            let mut reader = self.reader(persons, Filing::new(bits, layout), wanted);
            reader.first_row = first_row;
            for batch in part.iter().flat_map(slices) {
                effort.go_on()?;
                reader.batch(&batch)?;
            }
            Ok(reader)
        };
        let parts = split(&self.batches, self.rows, effort.threads);
        let works = parts.into_iter().map(|(part, first)| move || work(part, first));
        let readers: Vec<Result<Reader<'_, P, W>, Failure>> = side_by_side(works);
        let mut filed = Filed::new(bits, layout);
        filed.extend(times);
        let mut all = Read::new(&self.names);
        // Of several failures the one of the earliest row is told.
        for reader in readers {
            let Reader { read, rows, .. } = reader?;
            let first_conversion = narrow(all.conversions.rows.len());
            filed.add(rows, first_conversion, all.absorb(read)?)?;
        }
        Ok((filed, all))
    }
}

/// Everybody who converted and few others: one bit per person, of eight per conversion.
struct Converting {
    bits: Vec<u64>,
    shift: u32,
}

impl Converting {
    fn new(conversions: usize) -> Self {
        let size = (8 * conversions).next_power_of_two().max(64);
        Self { bits: vec![0; size / 64], shift: u64::BITS - size.ilog2() }
    }

    #[allow(clippy::cast_possible_truncation, reason = "the shift leaves few bits")]
    fn place(&self, key: impl Key) -> (usize, u32) {
        let place = key.place() >> self.shift;
        ((place >> 6) as usize, place as u32 % u64::BITS)
    }

    fn insert(&mut self, key: impl Key) {
        let (word, bit) = self.place(key);
        self.bits[word] |= 1 << bit;
    }

    fn has(&self, key: impl Key) -> bool {
        let (word, bit) = self.place(key);
        self.bits[word] >> bit & 1 != 0
    }
}

/// Why rows could not be filed.
enum Failure {
    Table(TableError),
    /// They need wider words.
    Unfit,
}

impl Failure {
    /// Of words that have room for anything a table may hold.
    fn told(self) -> TableError {
        match self {
            Self::Table(error) => error,
            Self::Unfit => TableError::TooMany { what: "channels and conversions", max: NULL },
        }
    }
}

impl From<TableError> for Failure {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

impl From<Unfit> for Failure {
    fn from(_: Unfit) -> Self {
        Self::Unfit
    }
}

/// Rows per thread below which another one does not pay.
const PART_ROWS: usize = 1 << 16;

/// Runs of rows of about the same length, each with the number of its first row.
fn split(batches: &[RecordBatch], rows: usize, threads: usize) -> Vec<(Vec<RecordBatch>, usize)> {
    let count = threads.min(rows / PART_ROWS + 1);
    let each = rows.div_ceil(count).max(1);
    let mut parts = vec![(Vec::new(), 0)];
    let (mut row, mut room) = (0, each);
    for batch in batches {
        let mut start = 0;
        while start < batch.num_rows() {
            if room == 0 {
                parts.push((Vec::new(), row));
                room = each;
            }
            let taken = room.min(batch.num_rows() - start);
            if let Some((part, _)) = parts.last_mut() {
                part.push(batch.slice(start, taken));
            }
            start += taken;
            row += taken;
            room -= taken;
        }
    }
    parts
}

/// Rows read at once: what is made of them stays in cache, and a call can be stopped in between.
const SLICE_ROWS: usize = 1 << 13;

/// A batch in slices that share its memory. Large dictionaries are read anew with every slice, so
/// that batches with one stay whole.
pub(super) fn slices(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> {
    let values = |column: &ArrayRef| {
        column.as_any_dictionary_opt().map_or(0, |dictionary| dictionary.values().len())
    };
    let values = batch.columns().iter().map(values).max().unwrap_or_default();
    let step = if values > SLICE_ROWS / 8 { batch.num_rows().max(1) } else { SLICE_ROWS };
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

    /// The number of one channel.
    pub(super) fn id(&mut self, name: &str) -> u32 {
        let id = self.seen.id(name.as_bytes());
        if self.is_used.len() < self.seen.len() {
            self.is_used.resize(self.seen.len(), false);
        }
        id
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

    /// Refuse more channels than a tag can number.
    pub(super) fn fits(&self) -> Result<(), TableError> {
        let max = Tag::CHANNELS_MAX;
        if self.seen.len() < max as usize {
            Ok(())
        } else {
            Err(TableError::TooMany { what: "channels", max })
        }
    }

    /// Take in the channels of rows that come later; returns their numbers here.
    fn absorb(&mut self, other: &Self) -> Vec<u32> {
        let numbers = self.seen.absorb(&other.seen);
        self.is_used.resize(self.seen.len(), false);
        for (number, is_used) in numbers.iter().zip(&other.is_used) {
            self.is_used[*number as usize] |= *is_used;
        }
        self.has_null |= other.has_null;
        numbers
    }

    pub(super) fn finish(mut self) -> Labels {
        self.is_used.resize(self.seen.len(), false);
        Labels { names: self.seen.texts(), is_used: self.is_used, has_null: self.has_null }
    }
}

/// What is read of rows besides what is filed.
struct Read {
    channels: Channels,
    conversion_names: Interner,
    currencies: Interner,
    ids: Vec<ArrayRef>,
    conversions: Conversions,
}

impl Read {
    fn new(names: &Names) -> Self {
        let conversions = Conversions {
            values: names.value.as_ref().map(|_| Vec::new()),
            currencies: names.currency.as_ref().map(|_| (Vec::new(), Vec::new())),
            ..Conversions::unnamed(Vec::new())
        };
        Self {
            channels: Channels::new(true),
            conversion_names: Interner::default(),
            currencies: Interner::default(),
            ids: Vec::new(),
            conversions,
        }
    }

    /// Take in what was read of the rows that come next; returns the numbers of its channels here.
    fn absorb(&mut self, other: Self) -> Result<Vec<u32>, TableError> {
        Tag::conversion(self.conversions.rows.len() + other.conversions.rows.len())?;
        let names = self.conversion_names.absorb(&other.conversion_names);
        let currencies = self.currencies.absorb(&other.currencies);
        self.conversions.absorb(other.conversions, &names, &currencies);
        self.ids.extend(other.ids);
        Ok(self.channels.absorb(&other.channels))
    }

    fn finish(self, names: &Names) -> Result<(Labels, Conversions), TableError> {
        let mut conversions = self.conversions;
        conversions.ids = if names.conversion_id.is_some() {
            joined(&self.ids)?
        } else {
            Arc::new(Int64Array::from_iter_values(conversions.rows.iter().map(|r| i64::from(*r))))
        };
        number_null_name(&mut conversions.names, self.conversion_names.len());
        if let Some((_, names)) = &mut conversions.currencies {
            *names = self.currencies.texts();
        }
        Ok((self.channels.finish(), conversions))
    }
}

/// Reads a run of rows.
struct Reader<'a, P: Persons, W> {
    names: &'a Names,
    empty: &'a RecordBatch,
    persons: &'a P,
    /// Whose rows are filed; all are read.
    wanted: Option<&'a Converting>,
    read: Read,
    rows: Filing<P::Key, W>,
    first_row: usize,
}

/// The columns of one chunk, read.
struct Chunk<'a, P: Persons> {
    keys: Cow<'a, [P::Key]>,
    times: Cow<'a, [i64]>,
    channels: Vec<u32>,
    is_conversion: BooleanArray,
    is_view: Option<Vec<bool>>,
    is_key: Option<BooleanArray>,
    values: Option<Vec<f64>>,
    names: Option<Vec<u32>>,
    currencies: Option<Vec<u32>>,
}

impl<P: Persons, W: Word> Reader<'_, P, W> {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        let chunk = self.columns(batch)?;
        if let Some(name) = &self.names.conversion_id {
            let ids = find(batch, name, "conversion_id")?;
            self.read.ids.push(filter(ids, &chunk.is_conversion).map_err(TableError::from)?);
        }
        let tags = self.tags(&chunk)?;
        let rows = self.wanted_rows(&chunk.keys);
        for row in rows {
            let number = narrow(self.first_row) + row;
            let row = row as usize;
            let step = Step { time: chunk.times[row], row: number, tag: tags[row] };
            self.rows.push(chunk.keys[row].mixed(), step)?;
        }
        self.first_row += batch.num_rows();
        Ok(())
    }

    fn columns<'b>(&mut self, batch: &'b RecordBatch) -> Result<Chunk<'b, P>, TableError> {
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
            keys: self.persons.keys(user, &names.user, first)?,
            times: times(time, &names.time, first)?,
            channels: self.read.channels.chunk(&channel, batch.num_rows()),
            is_conversion,
            is_view: optional(batch, names.touch_type.as_ref(), "touch_type", views)?,
            is_key: optional(batch, names.key_touch.as_ref(), "key_touch", booleans)?,
            values: optional(batch, names.value.as_ref(), "value", numbers)?,
            names: optional(
                batch,
                names.conversion_name.as_ref(),
                "conversion_name",
                |a, name| Ok(self.read.conversion_names.column(&Bytes::text(a, name)?, a.len())),
            )?,
            currencies: optional(batch, names.currency.as_ref(), "currency", |a, name| {
                Ok(self.read.currencies.column(&Bytes::text(a, name)?, a.len()))
            })?,
        })
    }

    /// Whatever is wrong with the schema.
    fn check(mut self) -> Result<(), TableError> {
        self.batch(self.empty).map_err(Failure::told)
    }

    /// Which rows of a chunk are filed; without a branch, as nobody can foresee them.
    fn wanted_rows(&self, keys: &[P::Key]) -> Vec<u32> {
        let all = 0..narrow(keys.len());
        let Some(wanted) = self.wanted else { return all.collect() };
        let mut rows = vec![0; keys.len()];
        let mut count = 0;
        for (row, key) in all.zip(keys) {
            rows[count] = row;
            count += usize::from(wanted.has(key.mixed()));
        }
        rows.truncate(count);
        rows
    }

    /// What each row says: first as if all were touches, then the conversions.
    fn tags(&mut self, chunk: &Chunk<'_, P>) -> Result<Vec<Tag>, TableError> {
        let is_conversion = chunk.is_conversion.values();
        for (row, (channel, is_conversion)) in chunk.channels.iter().zip(is_conversion).enumerate()
        {
            if !is_conversion {
                self.read.channels.touch(*channel, self.first_row + row)?;
            }
        }
        self.read.channels.fits()?;
        let mut tags: Vec<Tag> =
            chunk.channels.iter().map(|channel| Tag::touch(*channel)).collect();
        for (tag, is_view) in tags.iter_mut().zip(chunk.is_view.iter().flatten()) {
            tag.set_view(*is_view);
        }
        for (tag, is_key) in tags.iter_mut().zip(chunk.is_key.iter().flatten()) {
            tag.set_key(is_key.unwrap_or_default());
        }
        for row in is_conversion.set_indices() {
            tags[row] = self.conversion(chunk, row)?;
        }
        let views = |tags: &[Tag]| tags.iter().any(|tag| tag.is_view());
        let has_views = chunk.is_view.is_some() && views(&tags);
        let touches = tags.len() - is_conversion.count_set_bits();
        self.rows.extend(Extent { touches, has_views, ..Extent::default() });
        Ok(tags)
    }

    fn conversion(&mut self, chunk: &Chunk<'_, P>, row: usize) -> Result<Tag, TableError> {
        let conversions = &mut self.read.conversions;
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

#[cfg(test)]
mod tests {
    use arrow_array::types::UInt64Type;
    use arrow_array::{DictionaryArray, UInt16Array, UInt64Array};

    use super::*;

    fn batch(rows: std::ops::Range<usize>) -> RecordBatch {
        let column: ArrayRef = Arc::new(UInt64Array::from_iter_values(rows.map(|row| row as u64)));
        RecordBatch::try_from_iter([("row", column)]).unwrap()
    }

    fn rows(batches: &[RecordBatch]) -> Vec<u64> {
        let of = |batch: &RecordBatch| batch["row"].as_primitive::<UInt64Type>().values().to_vec();
        batches.iter().flat_map(of).collect()
    }

    #[test]
    fn threads_share_rows_evenly_and_in_order() {
        let all = PART_ROWS * 3;
        let batches = [batch(0..5), batch(5..all - 7), batch(0..0), batch(all - 7..all)];
        for (threads, parts) in [(1, 1), (2, 2), (3, 3), (9, 4)] {
            let made = split(&batches, all, threads);
            let lengths: Vec<usize> = made.iter().map(|(part, _)| rows(part).len()).collect();
            assert_eq!(lengths, vec![all / parts; parts]);
            assert!(made.iter().all(|(part, first)| rows(part)[0] == *first as u64));
            let whole = made.iter().flat_map(|(part, _)| rows(part));
            assert!(whole.eq(0..all as u64));
        }
        assert_eq!(split(&[], 0, 4).len(), 1);
    }

    #[test]
    fn slices_are_short_but_where_a_dictionary_is_long() {
        let long = batch(0..SLICE_ROWS * 2 + 1);
        let slices_of_it: Vec<RecordBatch> = slices(&long).collect();
        let lengths: Vec<usize> = slices_of_it.iter().map(RecordBatch::num_rows).collect();
        assert_eq!(lengths, [SLICE_ROWS, SLICE_ROWS, 1]);
        assert_eq!(rows(&slices_of_it), rows(&[long]));
        for (values, count) in [(200, 2), (SLICE_ROWS / 8, 2), (SLICE_ROWS / 8 + 1, 1)] {
            let keys = UInt16Array::from(vec![0; SLICE_ROWS + 1]);
            let column: ArrayRef =
                Arc::new(DictionaryArray::new(keys, batch(0..values)["row"].clone()));
            let batch = RecordBatch::try_from_iter([("row", column)]).unwrap();
            assert_eq!(slices(&batch).count(), count);
        }
    }

    #[test]
    fn rows_are_numbered_as_far_as_32_bits_go() {
        let last = u32::MAX as usize;
        assert_eq!(next_first(7, 5).unwrap(), 12);
        assert_eq!(next_first(last - 1, 1).unwrap(), last);
        assert!(next_first(last, 1).is_err());
    }
}
