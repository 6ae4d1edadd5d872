//! Payloads in, one event batch out.

use arrow_array::RecordBatch;

use super::{BATCH_BYTES_MAX, RowError, Rows, Value};
use crate::parse::Columns;
use crate::parse::uuid::written;

/// The rows of one payload.
///
/// # Errors
///
/// As [`Decoder::append`].
pub fn decode(payload: &[u8]) -> Result<RecordBatch, RowError> {
    let mut decoder = Decoder::new();
    decoder.append(payload)?;
    decoder.finish()
}

/// Gathers the rows of many payloads into one batch.
pub struct Decoder {
    columns: Columns,
    bytes: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// An empty batch.
    pub fn new() -> Self {
        Self { columns: Columns::new(), bytes: 0 }
    }

    /// Rows gathered so far.
    pub fn rows(&self) -> usize {
        self.columns.rows()
    }

    /// Add the rows of a payload. After an error the rows before the damage stay.
    ///
    /// # Errors
    ///
    /// [`RowError`] where the payload is damaged, of another version, or too much for one batch.
    pub fn append(&mut self, payload: &[u8]) -> Result<(), RowError> {
        let mut rows = Rows::new(payload)?;
        let columns = &mut self.columns;
        while !rows.is_done() {
            let (start, mut bytes) = (rows.at(), 0);
            let row = rows.next(|column, value| match value {
                Value::Fixed(value) => columns.fixed(column, value),
                Value::Int(value) => columns.int(column, value),
                Value::Text(text) => {
                    bytes += text.len();
                    columns.text(column, text);
                }
                Value::UuidText(uuid) => {
                    bytes += value.text_bytes();
                    columns.text(column, &written(uuid));
                }
            });
            // A few bytes may name much text: what counts is what it becomes.
            let is_too_large = self.bytes + bytes > BATCH_BYTES_MAX;
            match row {
                Some(present) if !is_too_large => columns.end_row(present),
                _ => {
                    columns.undo_row();
                    return Err(if is_too_large {
                        RowError::TooLarge(self.bytes + bytes)
                    } else {
                        RowError::Damaged(start)
                    });
                }
            }
            self.bytes += bytes;
        }
        Ok(())
    }

    /// The batch of all rows gathered.
    ///
    /// # Errors
    ///
    /// [`RowError::Columns`] where text is not UTF-8.
    pub fn finish(self) -> Result<RecordBatch, RowError> {
        self.columns.finish().map_err(|error| RowError::Columns(error.to_string()))
    }
}
