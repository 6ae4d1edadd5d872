//! Values in, one event batch out: a builder per column of the schema.
//!
//! Allocates per batch, never per event. A row is written column by column and then either ended
//! or undone as a whole. Rows without a value are filled in later, so absent fields cost nothing.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, DictionaryArray, FixedSizeBinaryArray, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray, types::Int32Type,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::schema::{self, COLUMNS, Kind};

const WIDTH: usize = COLUMNS.len();

/// Builders of all columns.
pub(crate) struct Columns {
    builders: Vec<Builder>,
    /// Bit per column that has a value, one word per ended row.
    masks: Vec<u64>,
    /// Seeded per batch, so that nobody can send labels that collide; no output depends on it.
    hasher: RandomState,
}

enum Builder {
    Fixed(Vec<[u8; 16]>),
    Int(Vec<i64>),
    Text(Texts),
    Label(Labels),
}

/// Strings one after the other.
struct Texts {
    /// Where each ends.
    stops: Vec<i32>,
    bytes: Vec<u8>,
}

/// Strings that repeat: each is kept once and named by its number.
struct Labels {
    keys: Vec<i32>,
    values: Texts,
    table: HashTable<i32>,
    /// How many values there were before the row being written.
    committed: usize,
}

/// Lengths stay below 2^31 because a batch is made from fewer bytes than that.
#[inline]
fn narrow(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

impl Texts {
    fn new() -> Self {
        Self { stops: Vec::new(), bytes: Vec::new() }
    }

    #[inline]
    fn stop(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |last| usize::try_from(self.stops[last]).unwrap_or(0))
    }

    #[inline]
    fn value(&self, index: usize) -> &[u8] {
        &self.bytes[self.stop(index)..self.stop(index + 1)]
    }

    /// Give rows up to `rows` the empty value.
    #[inline]
    fn pad(&mut self, rows: usize) {
        if self.stops.len() < rows {
            self.stops.resize(rows, narrow(self.bytes.len()));
        }
    }

    #[inline]
    fn close(&mut self) {
        self.stops.push(narrow(self.bytes.len()));
    }

    fn truncate(&mut self, rows: usize) {
        if self.stops.len() > rows {
            self.stops.truncate(rows);
        }
        self.bytes.truncate(self.stop(self.stops.len()));
    }

    fn finish(self, nulls: Option<NullBuffer>) -> Result<StringArray, ArrowError> {
        let mut offsets = Vec::with_capacity(self.stops.len() + 1);
        offsets.push(0);
        offsets.extend_from_slice(&self.stops);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        StringArray::try_new(offsets, Buffer::from_vec(self.bytes), nulls)
    }
}

impl Labels {
    fn new() -> Self {
        Self { keys: Vec::new(), values: Texts::new(), table: HashTable::new(), committed: 0 }
    }

    #[inline]
    fn push(&mut self, row: usize, text: &[u8], hasher: &RandomState) {
        self.keys.resize(row, 0);
        self.committed = self.values.stops.len();
        let hash = hasher.hash_one(text);
        let values = &self.values;
        let same = |&key: &i32| values.value(index(key)) == text;
        if let Some(&key) = self.table.find(hash, same) {
            self.keys.push(key);
            return;
        }
        let key = narrow(self.committed);
        self.values.bytes.extend_from_slice(text);
        self.values.close();
        let values = &self.values;
        let rehash = |&key: &i32| hasher.hash_one(values.value(index(key)));
        self.table.insert_unique(hash, key, rehash);
        self.keys.push(key);
    }

    /// Take back what this row added.
    #[cold]
    fn undo(&mut self, rows: usize, hasher: &RandomState) {
        if self.keys.len() <= rows {
            return;
        }
        self.keys.truncate(rows);
        for added in self.committed..self.values.stops.len() {
            let hash = hasher.hash_one(self.values.value(added));
            if let Ok(entry) = self.table.find_entry(hash, |&key| index(key) == added) {
                entry.remove();
            }
        }
        self.values.truncate(self.committed);
    }

    fn finish(mut self, rows: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        self.keys.resize(rows, 0);
        let keys = Int32Array::try_new(ScalarBuffer::from(self.keys), nulls)?;
        let values = Arc::new(self.values.finish(None)?);
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values)?))
    }
}

#[inline]
fn index(key: i32) -> usize {
    usize::try_from(key).unwrap_or(0)
}

impl Columns {
    pub(crate) fn new() -> Self {
        let builder = |column: &schema::Column| match column.kind {
            Kind::Uuid | Kind::Ip => Builder::Fixed(Vec::new()),
            Kind::Time | Kind::Micros => Builder::Int(Vec::new()),
            Kind::Text | Kind::Json => Builder::Text(Texts::new()),
            Kind::Label => Builder::Label(Labels::new()),
        };
        let builders = COLUMNS.iter().map(builder).collect();
        Self { builders, masks: Vec::new(), hasher: RandomState::default() }
    }

    /// Rows ended so far.
    pub(crate) fn rows(&self) -> usize {
        self.masks.len()
    }

    #[inline]
    pub(crate) fn fixed(&mut self, column: usize, value: [u8; 16]) {
        let rows = self.masks.len();
        if let Builder::Fixed(values) = &mut self.builders[column] {
            values.resize(rows, [0; 16]);
            values.push(value);
        } else {
            debug_assert!(false, "column {column} holds no 16 bytes");
        }
    }

    #[inline]
    pub(crate) fn int(&mut self, column: usize, value: i64) {
        let rows = self.masks.len();
        if let Builder::Int(values) = &mut self.builders[column] {
            values.resize(rows, 0);
            values.push(value);
        } else {
            debug_assert!(false, "column {column} holds no integer");
        }
    }

    /// Text of a text, JSON or label column.
    #[inline]
    pub(crate) fn text(&mut self, column: usize, value: &[u8]) {
        let rows = self.masks.len();
        match &mut self.builders[column] {
            Builder::Text(values) => {
                values.pad(rows);
                values.bytes.extend_from_slice(value);
                values.close();
            }
            Builder::Label(labels) => labels.push(rows, value, &self.hasher),
            _ => debug_assert!(false, "column {column} holds no text"),
        }
    }

    /// The row is complete; `present` has a bit for each column that was written.
    #[inline]
    pub(crate) fn end_row(&mut self, present: u64) {
        self.masks.push(present);
    }

    /// Forget what was written since the last ended row.
    #[cold]
    pub(crate) fn undo_row(&mut self) {
        let rows = self.masks.len();
        for builder in &mut self.builders {
            match builder {
                Builder::Fixed(values) => values.truncate(rows),
                Builder::Int(values) => values.truncate(rows),
                Builder::Text(values) => values.truncate(rows),
                Builder::Label(labels) => labels.undo(rows, &self.hasher),
            }
        }
    }

    /// The batch of every ended row.
    pub(crate) fn finish(self) -> Result<RecordBatch, ArrowError> {
        let rows = self.masks.len();
        let mut arrays = Vec::with_capacity(WIDTH);
        let nulls = validity(&self.masks);
        for ((builder, column), nulls) in self.builders.into_iter().zip(&COLUMNS).zip(nulls) {
            arrays.push(builder.finish(column.kind, rows, nulls)?);
        }
        RecordBatch::try_new(schema::arrow(), arrays)
    }
}

impl Builder {
    fn finish(
        self,
        kind: Kind,
        rows: usize,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Fixed(mut values) => {
                values.resize(rows, [0; 16]);
                let bytes = Buffer::from_vec(values.into_flattened());
                Arc::new(FixedSizeBinaryArray::try_new(16, bytes, nulls)?)
            }
            Self::Int(mut values) => {
                values.resize(rows, 0);
                let values = ScalarBuffer::from(values);
                if kind == Kind::Time {
                    let times = TimestampMicrosecondArray::try_new(values, nulls)?;
                    Arc::new(times.with_timezone("UTC"))
                } else {
                    Arc::new(Int64Array::try_new(values, nulls)?)
                }
            }
            Self::Text(mut values) => {
                values.pad(rows);
                Arc::new(values.finish(nulls)?)
            }
            Self::Label(labels) => labels.finish(rows, nulls)?,
        })
    }
}

/// One bitmap per column from one word per row.
fn validity(masks: &[u64]) -> Vec<Option<NullBuffer>> {
    let mut bitmaps = vec![Vec::new(); WIDTH];
    for chunk in masks.chunks(64) {
        let mut block = [0_u64; 64];
        block[..chunk.len()].copy_from_slice(chunk);
        transpose(&mut block);
        for (bitmap, word) in bitmaps.iter_mut().zip(block) {
            bitmap.push(word);
        }
    }
    let nulls = |words: Vec<u64>| {
        let bits = BooleanBuffer::new(Buffer::from_vec(words), 0, masks.len());
        Some(NullBuffer::new(bits)).filter(|nulls| nulls.null_count() > 0)
    };
    bitmaps.into_iter().map(nulls).collect()
}

/// Turn 64 rows of 64 bits around: bit `c` of word `r` becomes bit `r` of word `c`.
fn transpose(block: &mut [u64; 64]) {
    let mut width = 32;
    let mut mask = 0x0000_0000_ffff_ffff_u64;
    while width > 0 {
        for row in (0..64).filter(|row| row & width == 0) {
            let swap = (block[row] >> width ^ block[row + width]) & mask;
            block[row] ^= swap << width;
            block[row + width] ^= swap;
        }
        width /= 2;
        mask ^= mask << width;
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;

    use super::Columns;
    use crate::schema::at;

    #[test]
    fn an_undone_row_leaves_no_trace() {
        let mut columns = Columns::new();
        columns.text(at::SOURCE, b"kept");
        columns.text(at::USER_ID, b"u1");
        columns.end_row(1 << at::SOURCE | 1 << at::USER_ID);
        columns.text(at::SOURCE, b"undone");
        columns.text(at::USER_ID, b"undone");
        columns.fixed(at::IP, [7; 16]);
        columns.int(at::TIMESTAMP, 7);
        columns.undo_row();
        columns.text(at::SOURCE, b"next");
        columns.end_row(1 << at::SOURCE);
        let batch = columns.finish().unwrap();
        let sources = batch.column(at::SOURCE).as_dictionary::<arrow_array::types::Int32Type>();
        let values = sources.values().as_string::<i32>();
        assert_eq!(values.iter().flatten().collect::<Vec<_>>(), ["kept", "next"]);
        let users = batch.column(at::USER_ID).as_string::<i32>();
        assert_eq!(users.iter().collect::<Vec<_>>(), [Some("u1"), None]);
        assert_eq!(batch.column(at::IP).as_fixed_size_binary().value_data(), [0; 32]);
    }

    #[test]
    fn validity_follows_the_masks() {
        for rows in [0, 1, 63, 64, 65, 200] {
            let mut columns = Columns::new();
            let present = |row: usize, column: usize| (row * 7 + column * 13) % 5 < 2;
            for row in 0..rows {
                let mut mask = 0;
                for column in [at::USER_ID, at::SOURCE, at::RECEIVED_AT] {
                    if present(row, column) {
                        mask |= 1 << column;
                        match column {
                            at::RECEIVED_AT => columns.int(column, 5),
                            _ => columns.text(column, b"x"),
                        }
                    }
                }
                columns.end_row(mask);
            }
            let batch = columns.finish().unwrap();
            for column in [at::USER_ID, at::SOURCE, at::RECEIVED_AT] {
                for row in 0..rows {
                    let valid = batch.column(column).is_valid(row);
                    assert_eq!(valid, present(row, column), "row {row} column {column}");
                }
            }
        }
    }
}
