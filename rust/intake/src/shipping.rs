//! Frames of the spool in, what a sink takes out: events by month, and rejects.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
};
use thiserror::Error;
use unmogrowp_core::native::{self, NativeError};
use unmogrowp_core::row::{self, Decoder, RowError, StoredReject};
use unmogrowp_spool::{Chunk, Kind, Position};

/// Frames that cannot be read as what they say they are.
#[derive(Debug, Error)]
pub enum BatchError {
    /// The rows of a frame.
    #[error("{0}")]
    Row(#[from] RowError),
    /// The columns made of them.
    #[error("the events cannot be split by month: {0}\nhint: this is a bug, please report it")]
    Months(#[from] NativeError),
    /// The columns of the rejects.
    #[error("the rejects make no table: {0}\nhint: this is a bug, please report it")]
    Columns(#[from] arrow_schema::ArrowError),
}

/// The events and rejects of a chunk of the spool.
pub struct Batch {
    /// Where it starts.
    pub first: Position,
    /// Where the next one starts.
    pub last: Position,
    /// Bytes between the two that were damaged and are lost.
    pub damaged_bytes: u64,
    /// The events, in the order they were stored.
    pub events: RecordBatch,
    /// The rejects, in the order they were stored.
    pub rejects: Vec<StoredReject>,
}

impl Batch {
    /// Decode a chunk.
    ///
    /// # Errors
    /// A payload that is damaged in spite of its checksum, or of a newer version.
    pub fn decode(chunk: &Chunk) -> Result<Self, BatchError> {
        let mut decoder = Decoder::new();
        for (_, payload) in chunk.payloads(Kind::Events) {
            decoder.append(payload)?;
        }
        let mut rejects = Vec::new();
        for (_, payload) in chunk.payloads(Kind::Rejects) {
            rejects.extend(row::decode_rejects(payload)?);
        }
        let events = decoder.finish()?;
        let (first, last, damaged_bytes) = (chunk.first, chunk.last, chunk.damaged_bytes);
        Ok(Self { first, last, damaged_bytes, events, rejects })
    }

    /// Months (`yyyymm`, UTC) of its events' timestamps, ascending.
    ///
    /// # Errors
    /// A bug.
    pub fn months(&self) -> Result<Vec<i32>, BatchError> {
        Ok(native::months(&self.events)?)
    }

    /// The rejects as a table with the columns of the warehouse's `rejects`.
    ///
    /// # Errors
    /// A bug.
    pub fn refused(&self) -> Result<RecordBatch, BatchError> {
        let all = &self.rejects;
        let text = |name, values: Vec<&str>| -> (&str, ArrayRef) {
            (name, Arc::new(StringArray::from(values)))
        };
        let times: Vec<i64> = all.iter().map(|r| r.received_at_us).collect();
        let times = TimestampMicrosecondArray::from(times).with_timezone("UTC");
        let indexes: Vec<u32> = all.iter().map(|r| r.reject.index).collect();
        let raws: Vec<&[u8]> = all.iter().map(|r| r.raw.as_slice()).collect();
        Ok(RecordBatch::try_from_iter([
            text("app_id", all.iter().map(|r| r.app_id.as_str()).collect()),
            ("received_at", Arc::new(times) as ArrayRef),
            ("index", Arc::new(UInt32Array::from(indexes)) as ArrayRef),
            text("event_id", all.iter().map(|r| known(r.reject.event_id.as_ref())).collect()),
            text("code", all.iter().map(|r| r.reject.code.as_str()).collect()),
            text("field", all.iter().map(|r| known(r.reject.field.as_ref())).collect()),
            text("message", all.iter().map(|r| r.reject.message.as_str()).collect()),
            ("raw", Arc::new(BinaryArray::from(raws)) as ArrayRef),
        ])?)
    }

    /// Number of events.
    pub fn rows(&self) -> usize {
        self.events.num_rows()
    }
}

/// The warehouse has no nulls here: nothing is the empty text.
fn known(text: Option<&String>) -> &str {
    text.map_or("", String::as_str)
}
