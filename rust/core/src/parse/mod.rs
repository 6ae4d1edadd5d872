//! Bytes in, typed event columns and rejects out.
//!
//! `bytes ─shape→ record ranges ─json→ where each field lies ─fields→ rows ─columns→ batch`.
//! A bad record never harms its neighbours: it becomes one reject with code, field and place. The
//! order of checks is that of [`Code::ALL`], within a code that of the columns.

use arrow_array::RecordBatch;
use thiserror::Error;

use crate::limits::Limits;
use crate::reject::{Code, Reject};
use crate::schema::at;

mod columns;
mod duplicate;
mod fault;
mod fields;
pub mod ip;
mod json;
mod keys;
pub mod money;
mod nobody;
mod pieces;
mod record;
mod shape;
pub mod time;
pub mod uuid;

pub(crate) use columns::Columns;
pub use nobody::is_nobody;
pub use pieces::{Batches, parse_batches};

use fault::{Failure, Place};
use fields::{Fields, Inherited};
use json::{Scanner, Stop};
use record::Record;
use shape::Shape;

/// What is known about a body besides its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// Given to events without `app_id`; an event of another app is refused. None takes any.
    pub app_id: Option<&'a str>,
    /// When the body was received. None: no clock, so no skew correction and no future check.
    pub received_at_us: Option<i64>,
    /// Forget the last octet of IPv4 and all but the /48 of IPv6 addresses.
    pub truncate_ip: bool,
    /// Bounds on what is accepted.
    pub limits: Limits,
}

/// What became of a body: every record is in one of the two.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The good records, in order, as [`crate::schema::arrow`].
    pub events: RecordBatch,
    /// Position in the body of each row of `events`.
    pub indexes: Vec<u32>,
    /// The bad records, in order.
    pub rejects: Vec<Reject>,
    /// How many records there were.
    pub received: u32,
}

/// Why a body could not be taken apart at all.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ParseError {
    /// Nothing but white space.
    #[error("the body is empty\nhint: send one event, an array, a batch or one event a line")]
    Empty,
    /// It opens as an array or a batch and is not one.
    #[error(
        "the array or batch is broken: {what} at byte `{at}`{near}\nhint: send one event a line to \
         have bad ones refused on their own"
    )]
    Broken {
        /// Byte in the body.
        at: usize,
        /// What was wrong there.
        what: &'static str,
        /// The bytes there, quoted; may be empty.
        near: String,
    },
    /// The batch says something twice.
    #[error("the batch has the key `{key}` twice\nhint: send each batch on its own")]
    KeyTwice {
        /// The key.
        key: &'static str,
    },
    /// More records than allowed.
    #[error("the body has more than `{limit}` records\nhint: split it")]
    TooManyRecords {
        /// [`Limits::records`].
        limit: usize,
    },
    /// More bytes than allowed.
    #[error("the body has `{bytes}` bytes, the limit is `{limit}`\nhint: split it")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// [`Limits::decompressed_bytes`], or what one batch can hold.
        limit: usize,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// A bug: the columns do not fit the schema.
    #[error("the columns do not fit together: {0}\nhint: this is a bug, please report it")]
    Columns(String),
}

/// Parse a whole body.
///
/// # Errors
///
/// [`ParseError`] where the body as a whole cannot be taken apart or is above a limit.
pub fn parse(body: &[u8], context: &Context<'_>) -> Result<Parsed, ParseError> {
    let plan = Plan::new(body, &context.limits)?;
    plan.parse(&plan.whole(), context)
}

/// A body whose shape is known, to be parsed whole or piece by piece, in any order.
#[derive(Debug)]
pub struct Plan<'a> {
    body: &'a [u8],
    shape: Shape,
}

/// Some consecutive records of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of the body, or positions in the list of records.
    start: usize,
    stop: usize,
}

/// One batch has 32-bit offsets into its text.
const BATCH_BYTES_MAX: usize = i32::MAX as usize;

impl<'a> Plan<'a> {
    /// Look at the shape of a body.
    ///
    /// # Errors
    ///
    /// As [`parse`].
    pub fn new(body: &'a [u8], limits: &Limits) -> Result<Self, ParseError> {
        if body.len() > limits.decompressed_bytes {
            let limit = limits.decompressed_bytes;
            return Err(ParseError::TooLarge { bytes: body.len(), limit });
        }
        Ok(Self { body, shape: shape::decide(body, limits.records)? })
    }

    /// Everything as one piece.
    pub fn whole(&self) -> Piece {
        match &self.shape {
            Shape::Lines { start } => Piece { start: *start, stop: self.body.len() },
            Shape::Ranges { records, .. } => Piece { start: 0, stop: records.len() },
        }
    }

    /// Pieces of about `bytes` bytes. Where they lie depends on the body and `bytes` alone.
    pub fn pieces(&self, bytes: usize) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let Piece { mut start, stop } = self.whole();
        while start < stop {
            let end = match &self.shape {
                Shape::Lines { .. } => self.line_end(start.saturating_add(bytes)),
                Shape::Ranges { records, .. } => {
                    let from = records[start].0;
                    start + records[start..].partition_point(|record| record.0 - from <= bytes)
                }
            };
            pieces.push(Piece { start, stop: end });
            start = end;
        }
        pieces
    }

    fn line_end(&self, from: usize) -> usize {
        let rest = self.body.get(from..).unwrap_or_default();
        memchr::memchr(b'\n', rest).map_or(self.body.len(), |at| from + at + 1)
    }

    /// Parse a piece. Indexes count from its first record, byte ranges from the body's start.
    ///
    /// # Errors
    ///
    /// [`ParseError::TooManyRecords`] or [`ParseError::TooLarge`].
    pub fn parse(&self, piece: &Piece, context: &Context<'_>) -> Result<Parsed, ParseError> {
        let limit = context.limits.records;
        match &self.shape {
            Shape::Lines { .. } => {
                let lines = unmogrowp_scan::lines(&self.body[piece.start..piece.stop])
                    .map(|(start, stop)| (piece.start + start, piece.start + stop));
                let reader = Reader::new(self.body, (piece.start, piece.stop), context);
                reader.with(Inherited::Nothing)?.read(lines, limit)
            }
            Shape::Ranges { records, sent_at } => {
                let records = &records[piece.start..piece.stop];
                let span = match records {
                    [] => (0, 0),
                    [first, .., last] => (first.0, last.1),
                    [only] => *only,
                };
                let reader = Reader::new(self.body, span, context);
                let sent_at = fields::inherited(self.body, *sent_at);
                reader.with(sent_at)?.read(records.iter().copied(), limit)
            }
        }
    }
}

/// What is shared by the records of a piece.
struct Reader<'a, 'c> {
    body: &'a [u8],
    context: &'c Context<'c>,
    bytes: usize,
    /// All of the piece is UTF-8, so no record needs a look of its own.
    is_utf8: bool,
}

impl<'a, 'c> Reader<'a, 'c> {
    fn new(body: &'a [u8], (start, stop): (usize, usize), context: &'c Context<'c>) -> Self {
        let is_utf8 = std::str::from_utf8(&body[start..stop]).is_ok();
        Self { body, context, bytes: stop - start, is_utf8 }
    }

    fn with(self, sent_at: Inherited) -> Result<Records<'a, 'c>, ParseError> {
        if self.bytes > BATCH_BYTES_MAX {
            return Err(ParseError::TooLarge { bytes: self.bytes, limit: BATCH_BYTES_MAX });
        }
        let fields = Fields::new(self.context, sent_at);
        Ok(Records {
            reader: self,
            fields,
            scanner: Scanner::default(),
            record: Record::default(),
            indexes: Vec::new(),
            rejects: Vec::new(),
        })
    }
}

/// Reads record after record into columns and rejects.
struct Records<'a, 'c> {
    reader: Reader<'a, 'c>,
    fields: Fields<'c>,
    scanner: Scanner<'a>,
    record: Record,
    indexes: Vec<u32>,
    rejects: Vec<Reject>,
}

impl Records<'_, '_> {
    fn read(
        mut self,
        ranges: impl Iterator<Item = (usize, usize)>,
        limit: usize,
    ) -> Result<Parsed, ParseError> {
        let mut received = 0_u32;
        for (start, stop) in ranges {
            let (start, stop) = trim(self.reader.body, start, stop);
            if start == stop {
                continue;
            }
            if received as usize >= limit || received == u32::MAX {
                return Err(ParseError::TooManyRecords { limit });
            }
            match self.one(start, stop) {
                Ok(()) => self.indexes.push(received),
                Err(failure) => self.refuse(&failure, &Place { index: received, start, stop }),
            }
            received += 1;
        }
        let events = self.fields.columns.finish();
        let events = events.map_err(|error| ParseError::Columns(error.to_string()))?;
        Ok(Parsed { events, indexes: self.indexes, rejects: self.rejects, received })
    }

    fn one(&mut self, start: usize, stop: usize) -> Result<(), Failure> {
        let bytes = &self.reader.body[start..stop];
        let limits = &self.reader.context.limits;
        self.scanner.load(bytes);
        self.record.clear();
        if let Some(failure) = fault::too_large(bytes, limits) {
            return Err(failure);
        }
        if !self.reader.is_utf8 {
            fault::check_utf8(bytes)?;
        }
        if bytes.first() != Some(&b'{') {
            return Err(fault::not_an_object(bytes, &mut self.scanner));
        }
        let read = self.record.read(bytes, &mut self.scanner);
        read.map_err(|Stop| Failure::broken(bytes, self.scanner.broken))?;
        if let Some(failure) = fault::noted(bytes, &self.scanner, limits) {
            return Err(failure);
        }
        self.fields.write(bytes, &self.record)
    }

    #[cold]
    fn refuse(&mut self, failure: &Failure, place: &Place) {
        let bytes = &self.reader.body[place.start..place.stop];
        if matches!(failure.code, Code::EventTooLarge | Code::InvalidUtf8) && bytes[0] == b'{' {
            // Refused unread: look for its id all the same. What is broken stays unread.
            self.scanner.load(bytes);
            let _ = self.record.read(bytes, &mut self.scanner);
        }
        let id = self.record.sent(at::EVENT_ID);
        self.rejects.push(fault::reject(bytes, failure, id, place));
    }
}

/// The range without JSON white space at its ends.
#[inline]
fn trim(body: &[u8], mut start: usize, mut stop: usize) -> (usize, usize) {
    let is_space = |byte: u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    while start < stop && is_space(body[start]) {
        start += 1;
    }
    while start < stop && is_space(body[stop - 1]) {
        stop -= 1;
    }
    (start, stop)
}

#[cfg(test)]
mod tests;
