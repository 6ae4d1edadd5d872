//! What the spool keeps in, event rows out, and back.
//!
//! A payload is a version byte and rows. A row is a word, whose lower bits tell which columns have
//! a value and whose upper bits are [`Flags`], and the values, kind by kind as in [`ORDER`] and
//! then in column order: 16 bytes, 8 bytes little-endian, or a length and text. So code that reads
//! or writes many rows does the same thing many times over. What rows share is said once:
//!
//! * a label of [`LABEL_BYTES_MIN`] bytes or more that was spelled out before is only its number;
//! * a time that equals another is left out, an IPv4 address has 4 bytes, and a session that is
//!   named by a UUID 16.
//!
//! A row with [`Flags::FIRST`] knows nothing of the rows before it. Rows from there to the next
//! one are a group: groups stand alone, so that those of several requests can share a payload.
//! Payloads of version 2 spell out every session. Those of version 1 have no flags, spell out every
//! label too, and are in column order throughout.

use thiserror::Error;

use crate::schema::{COLUMNS, Kind};

mod decoder;
mod pen;
mod reader;
mod rejects;
mod writer;

pub use decoder::{Decoder, decode};
pub(crate) use pen::{Pen, Text};
pub(crate) use reader::{Rows, Value};
pub use rejects::{StoredReject, decode_rejects, encode_rejects};
pub(crate) use writer::Writer;

/// First byte of payloads of rejects, and of rows before labels had numbers.
const VERSION: u8 = 1;
/// First byte of payloads of rows before sessions had 16 bytes.
const LABELS_VERSION: u8 = 2;
/// First byte of payloads of rows.
pub const ROWS_VERSION: u8 = 3;

/// Text of one batch has 32-bit offsets.
const BATCH_BYTES_MAX: usize = i32::MAX as usize;
/// Shorter labels are spelled out: looking for them costs more than it saves.
const LABEL_BYTES_MIN: usize = 8;

/// Bits of the columns that are one of these.
const fn columns(kinds: &[Kind]) -> u64 {
    let (mut bits, mut column) = (0, 0);
    while column < COLUMNS.len() {
        let mut at = 0;
        while at < kinds.len() {
            bits |= ((COLUMNS[column].kind as u8 == kinds[at] as u8) as u64) << column;
            at += 1;
        }
        column += 1;
    }
    bits
}

/// Columns of 16 bytes, of integers, of labels and of other text.
pub(crate) const FIXED: u64 = columns(&[Kind::Uuid, Kind::Ip]);
pub(crate) const INTS: u64 = columns(&[Kind::Time, Kind::Micros]);
pub(crate) const LABELS: u64 = columns(&[Kind::Label]);
pub(crate) const TEXTS: u64 = columns(&[Kind::Text, Kind::Json]);
/// The order of a row's values.
const ORDER: [u64; 4] = [FIXED, INTS, LABELS, TEXTS];

/// Upper bits of a row's word.
struct Flags;

impl Flags {
    /// The row begins a group.
    const FIRST: u64 = 1 << 63;
    /// `client_timestamp` equals `timestamp` and is left out.
    const NO_SKEW: u64 = 1 << 62;
    /// `received_at` is that of the row before and is left out.
    const SAME_RECEIPT: u64 = 1 << 61;
    /// The address is an IPv4 one: its last 4 bytes.
    const IPV4: u64 = 1 << 60;
    /// The session is a UUID in lower case: its 16 bytes, where its text would be.
    const UUID_SESSION: u64 = 1 << 59;
    const LABELS: u64 = Self::FIRST | Self::NO_SKEW | Self::SAME_RECEIPT | Self::IPV4;
    const ALL: u64 = Self::LABELS | Self::UUID_SESSION;
}

/// Why bytes are no rows.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RowError {
    /// Written by another version.
    #[error("row format `{0}` is not known\nhint: the data was written by a newer version")]
    Version(u8),
    /// The bytes end inside a row or say what no row can.
    #[error("the rows are damaged at byte `{0}`\nhint: the file was changed or cut off")]
    Damaged(usize),
    /// More text than one batch can hold.
    #[error("`{0}` bytes of rows do not fit one batch\nhint: decode fewer payloads at a time")]
    TooLarge(usize),
    /// The batch is no event batch, or the text is not UTF-8.
    #[error("the columns do not fit the event table: {0}")]
    Columns(String),
}

/// Seven bits a byte, the high bit set on all but the last.
#[inline]
fn write_length(mut length: usize, out: &mut Vec<u8>) {
    while length > 0x7f {
        out.push(length.to_le_bytes()[0] | 0x80);
        length >>= 7;
    }
    out.push(length.to_le_bytes()[0]);
}

#[inline]
fn write_text(text: &[u8], out: &mut Vec<u8>) {
    write_length(text.len(), out);
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests;
