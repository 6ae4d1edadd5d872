//! Bytes in, typed event columns and rejects out.
//!
//! `bytes ─shape→ record ranges ─json→ where each field lies ─fields→ rows ─columns→ batch`.
//! A bad record never harms its neighbours: it becomes one reject with code, field and place. The
//! order of checks is that of [`Code::ALL`], within a code that of the columns.

use arrow_array::RecordBatch;
use thiserror::Error;

use crate::dedup::Id;
use crate::limits::Limits;
use crate::reject::Reject;

mod block;
mod check;
mod columns;
mod duplicate;
mod escapes;
mod fault;
mod fields;
mod glance;
pub mod ip;
mod json;
mod keys;
mod labels;
mod lines;
pub mod money;
mod nobody;
mod packed;
mod pieces;
mod reader;
mod record;
mod shape;
mod stream;
mod texts;
pub mod time;
mod turn;
pub mod uuid;
mod validity;
mod walk;
mod write;

pub(crate) use columns::{Columns, WIDTH};
pub use lines::Lines;
pub use nobody::is_nobody;
pub use packed::{Packed, Run};
pub use pieces::{Batches, Before, parse_batches};
pub use stream::{Open, Stream, Terms};

use fields::Inherited;
use packed::Packer;
use reader::{Read, Reader, Sink};
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

/// A body as rows that can be stored as they are, and its rejects.
#[derive(Clone, Debug)]
pub struct Storable {
    /// The good records, in order.
    pub rows: Packed,
    /// The bad records, in order.
    pub rejects: Vec<Reject>,
    /// How many records there were.
    pub received: u32,
}

/// Parse a whole body straight into rows as [`crate::row`] reads them. An event without an id gets
/// one from `mint`.
///
/// # Errors
///
/// As [`parse`].
pub fn pack(
    body: &[u8],
    context: &Context<'_>,
    mint: &dyn Fn() -> Id,
) -> Result<Storable, ParseError> {
    let plan = Plan::new(body, &context.limits)?;
    let read = plan.read(&plan.whole(), context, Packer::new(mint))?;
    let Read { sink, rejects, received, .. } = read;
    Ok(Storable { rows: sink.finish(), rejects, received })
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
pub(crate) const BATCH_BYTES_MAX: usize = i32::MAX as usize;

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

    /// Lines from the middle of a longer body.
    pub fn lines(body: &'a [u8]) -> Self {
        Self { body, shape: Shape::Lines { start: 0 } }
    }

    /// Whether each line is a record of its own.
    pub fn is_lines(&self) -> bool {
        matches!(self.shape, Shape::Lines { .. })
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
        let read = self.read(piece, context, Columns::new())?;
        let Read { sink, indexes, rejects, received } = read;
        let events = sink.finish().map_err(|error| ParseError::Columns(error.to_string()))?;
        Ok(Parsed { events, indexes, rejects, received })
    }

    fn read<S: Sink>(
        &self,
        piece: &Piece,
        context: &Context<'_>,
        sink: S,
    ) -> Result<Read<S>, ParseError> {
        match &self.shape {
            Shape::Lines { .. } => {
                let text = &self.body[piece.start..piece.stop];
                let nothing = Inherited::Nothing;
                let mut reader = Reader::new(text, piece.start, context, nothing, sink)?;
                reader.lines()?;
                Ok(reader.finish())
            }
            Shape::Ranges { records, sent_at } => {
                let records = &records[piece.start..piece.stop];
                let start = records.first().map_or(0, |first| first.0);
                let stop = records.last().map_or(start, |last| last.1);
                let sent_at = fields::inherited(self.body, *sent_at);
                let text = &self.body[start..stop];
                let mut reader = Reader::new(text, start, context, sent_at, sink)?;
                reader.ranges(records)?;
                Ok(reader.finish())
            }
        }
    }
}

#[cfg(test)]
mod tests;
