//! Frames of the spool in, what a sink takes out: events by month, and rejects.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow_select::filter::filter_record_batch;
use thiserror::Error;
use unmogrowp_core::row::{self, Decoder, RowError, StoredReject};
use unmogrowp_core::schema::at;
use unmogrowp_spool::{Chunk, Kind, Position};

/// Frames that cannot be read as what they say they are.
#[derive(Debug, Error)]
pub enum BatchError {
    /// The rows of a frame.
    #[error("{0}")]
    Row(#[from] RowError),
    /// The columns made of them.
    #[error("the events cannot be split by month: {0}\nhint: this is a bug, please report it")]
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
    months: Vec<u32>,
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
        let times = events.column(at::TIMESTAMP).as_primitive::<TimestampMicrosecondType>();
        let months = times.values().iter().map(|&us| month(us)).collect();
        let (first, last, damaged_bytes) = (chunk.first, chunk.last, chunk.damaged_bytes);
        Ok(Self { first, last, damaged_bytes, events, rejects, months })
    }

    /// Months (`yyyymm`, UTC) of its events' timestamps, ascending.
    pub fn months(&self) -> Vec<u32> {
        let mut months = self.months.clone();
        months.sort_unstable();
        months.dedup();
        months
    }

    /// The events of one month, in order.
    ///
    /// # Errors
    /// A bug.
    pub fn of_month(&self, month: u32) -> Result<RecordBatch, BatchError> {
        let is_in: Vec<bool> = self.months.iter().map(|&m| m == month).collect();
        if is_in.iter().all(|&is_in| is_in) {
            return Ok(self.events.clone());
        }
        Ok(filter_record_batch(&self.events, &BooleanArray::from(is_in))?)
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

/// Year and month as `yyyymm` of a time in microseconds since 1970.
fn month(us: i64) -> u32 {
    // Days since 0000-03-01, so that a leap day ends its year (Hinnant's civil_from_days).
    let days = us.div_euclid(86_400_000_000) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    u32::try_from(year * 100 + month).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::month;

    #[test]
    fn months_change_at_midnight_utc_of_their_first_day() {
        let day = 86_400_000_000;
        assert_eq!(month(0), 197_001);
        assert_eq!(month(-1), 196_912);
        // 2000-02-29 is day 11016.
        assert_eq!((month(11_016 * day), month(11_017 * day)), (200_002, 200_003));
        assert_eq!(
            (month(1_767_225_600_000_000 - 1), month(1_767_225_600_000_000)),
            (202_512, 202_601)
        );
        // 2099-12-31 is day 47481.
        assert_eq!((month(47_482 * day - 1), month(47_482 * day)), (209_912, 210_001));
    }
}
