//! Values in, one event batch out: a builder per column of the schema.
//!
//! Allocates per batch, never per event. A row is written column by column and then either ended
//! or undone as a whole. Rows without a value are filled in later, so absent fields cost nothing.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, FixedSizeBinaryArray, Int64Array, RecordBatch, TimestampMicrosecondArray,
    new_null_array,
};
use arrow_buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow_schema::ArrowError;

use super::block::{ROWS, each};
use super::labels::{Labels, Seed};
use super::texts::Texts;
use super::turn::transpose;
use super::validity::Validity;
use crate::schema::{self, COLUMNS, Kind};

pub(crate) const WIDTH: usize = COLUMNS.len();

/// Builders of all columns.
pub(crate) struct Columns {
    builders: Vec<Builder>,
    validity: Validity,
    /// No output depends on it.
    seed: Seed,
}

enum Builder {
    Fixed(Vec<[u8; 16]>),
    Int(Vec<i64>),
    Text(Texts),
    Label(Labels),
}

/// Where the rows of a block go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    /// How many rows there were before.
    base: usize,
    /// Bit per row of the block that is kept.
    pub(crate) live: u64,
    /// None between them is dropped.
    is_dense: bool,
}

impl Rows {
    /// One past the last.
    #[inline]
    pub(crate) fn stop(&self) -> usize {
        self.base + self.live.count_ones() as usize
    }
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
        Self { builders, validity: Validity::default(), seed: Seed::default() }
    }

    /// Rows ended so far.
    pub(crate) fn rows(&self) -> usize {
        self.validity.rows()
    }

    #[inline]
    pub(crate) fn fixed(&mut self, column: usize, value: [u8; 16]) {
        let rows = self.rows();
        if let Builder::Fixed(values) = &mut self.builders[column] {
            values.resize(rows, [0; 16]);
            values.push(value);
        } else {
            debug_assert!(false, "column {column} holds no 16 bytes");
        }
    }

    #[inline]
    pub(crate) fn int(&mut self, column: usize, value: i64) {
        let rows = self.rows();
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
        let rows = self.rows();
        match &mut self.builders[column] {
            Builder::Text(values) => {
                values.pad(rows);
                values.push(value);
            }
            Builder::Label(labels) => labels.push(rows, value, &self.seed),
            _ => debug_assert!(false, "column {column} holds no text"),
        }
    }

    /// The row is complete; `present` has a bit for each column that was written.
    #[inline]
    pub(crate) fn end_row(&mut self, present: u64) {
        self.validity.push(present);
    }

    /// Forget what was written since the last ended row.
    #[cold]
    pub(crate) fn undo_row(&mut self) {
        let rows = self.rows();
        for builder in &mut self.builders {
            match builder {
                Builder::Fixed(values) => values.truncate(rows),
                Builder::Int(values) => values.truncate(rows),
                Builder::Text(values) => values.truncate(rows),
                Builder::Label(labels) => labels.undo(rows, &self.seed),
            }
        }
    }

    /// Where the rows of a block go whose bits are set.
    pub(crate) fn rows_of(&self, live: u64) -> Rows {
        Rows { base: self.rows(), live, is_dense: live & live.wrapping_add(1) == 0 }
    }

    /// 16-byte values of a block; what is null must be zero.
    pub(crate) fn fixed_rows(&mut self, column: usize, rows: Rows, block: &[[u8; 16]; ROWS]) {
        if let Builder::Fixed(values) = &mut self.builders[column] {
            extend(values, rows, block);
        }
    }

    /// Integers of a block; what is null must be zero.
    pub(crate) fn int_rows(&mut self, column: usize, rows: Rows, block: &[i64; ROWS]) {
        if let Builder::Int(values) = &mut self.builders[column] {
            extend(values, rows, block);
        }
    }

    /// The builder of a text column, to be given a value per row that is kept.
    pub(crate) fn texts(&mut self, column: usize, rows: Rows) -> Option<&mut Texts> {
        match &mut self.builders[column] {
            Builder::Text(values) => {
                values.pad(rows.base);
                Some(values)
            }
            _ => None,
        }
    }

    /// The builder of a label column, whose keys reach to the first of these rows.
    pub(crate) fn labels(&mut self, column: usize, rows: Rows) -> Option<(&mut Labels, &Seed)> {
        match &mut self.builders[column] {
            Builder::Label(labels) => {
                labels.keys.resize(rows.base, 0);
                Some((labels, &self.seed))
            }
            _ => None,
        }
    }

    /// The rows of a block are complete; `words` has, per column, a bit per row with a value.
    pub(crate) fn end_rows(&mut self, rows: Rows, words: &[u64; WIDTH]) {
        if rows.is_dense {
            return self.validity.append(words, rows.live.count_ones());
        }
        let mut masks = [0; ROWS];
        masks[..WIDTH].copy_from_slice(words);
        transpose(&mut masks);
        each(rows.live, |row| self.validity.push(masks[row]));
    }

    /// Make room for `times` as much as there is, so that columns need not grow step by step.
    pub(crate) fn reserve_rows(&mut self, times: usize) {
        for builder in &mut self.builders {
            match builder {
                Builder::Fixed(values) => values.reserve(values.len() * times),
                Builder::Int(values) => values.reserve(values.len() * times),
                Builder::Text(values) => values.reserve(times),
                Builder::Label(labels) => labels.keys.reserve(labels.keys.len() * times),
            }
        }
    }

    /// The batch of every ended row.
    pub(crate) fn finish(self) -> Result<RecordBatch, ArrowError> {
        let rows = self.rows();
        let mut arrays = Vec::with_capacity(WIDTH);
        let mut blanks = Blanks { rows, made: Vec::new() };
        let nulls = self.validity.finish();
        for ((builder, column), nulls) in self.builders.into_iter().zip(&COLUMNS).zip(nulls) {
            arrays.push(if rows > 0 && builder.is_empty() {
                blanks.of(column.kind)
            } else {
                builder.finish(column.kind, rows, nulls)?
            });
        }
        RecordBatch::try_new(schema::arrow(), arrays)
    }
}

/// Append the values of the rows that are kept, behind as many zeros as are missing.
#[inline]
pub(crate) fn extend<T: Copy + Default>(values: &mut Vec<T>, rows: Rows, block: &[T; ROWS]) {
    values.resize(rows.base, T::default());
    if rows.is_dense {
        values.extend_from_slice(&block[..rows.live.count_ones() as usize]);
    } else {
        each(rows.live, |row| values.push(block[row]));
    }
}

/// Columns without a value: those of one kind share their memory, zeros that most machines give for
/// nothing.
struct Blanks {
    rows: usize,
    made: Vec<(Kind, ArrayRef)>,
}

impl Blanks {
    fn of(&mut self, kind: Kind) -> ArrayRef {
        if let Some((_, array)) = self.made.iter().find(|(made, _)| *made == kind) {
            return Arc::clone(array);
        }
        let array = new_null_array(&kind.arrow(), self.rows);
        self.made.push((kind, Arc::clone(&array)));
        array
    }
}

impl Builder {
    /// Whether no row has a value.
    fn is_empty(&self) -> bool {
        match self {
            Self::Fixed(values) => values.is_empty(),
            Self::Int(values) => values.is_empty(),
            Self::Text(values) => values.len() == 0,
            Self::Label(labels) => labels.is_empty(),
        }
    }

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
