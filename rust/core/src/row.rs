//! Event rows in, compact bytes out, and back: what the spool keeps.
//!
//! A payload is a version byte and then, per row, a word that tells which columns have a value and
//! the values in column order: 16 bytes, 8 bytes little-endian, or a length and text. Payloads
//! stand alone: labels are spelled out, so a segment can be cut anywhere between two of them.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, DictionaryArray, RecordBatch, StringArray};
use thiserror::Error;

use crate::parse::Columns;
use crate::reject::{Code, Reject};
use crate::schema::{COLUMNS, Kind};

/// First byte of every payload.
const VERSION: u8 = 1;

/// Text of one batch has 32-bit offsets.
const BATCH_BYTES_MAX: usize = i32::MAX as usize;

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

/// A column with its values at hand.
enum Source<'a> {
    Fixed(&'a arrow_array::FixedSizeBinaryArray),
    Int(&'a [i64]),
    Text(&'a StringArray),
    Label(&'a DictionaryArray<Int32Type>, &'a StringArray),
}

impl<'a> Source<'a> {
    fn of(kind: Kind, array: &'a ArrayRef) -> Option<Self> {
        Some(match kind {
            Kind::Uuid | Kind::Ip => Self::Fixed(array.as_fixed_size_binary_opt()?),
            Kind::Time => Self::Int(array.as_primitive_opt::<TimestampMicrosecondType>()?.values()),
            Kind::Micros => Self::Int(array.as_primitive_opt::<Int64Type>()?.values()),
            Kind::Text | Kind::Json => Self::Text(array.as_string_opt()?),
            Kind::Label => {
                let labels = array.as_dictionary_opt::<Int32Type>()?;
                Self::Label(labels, labels.values().as_string_opt()?)
            }
        })
    }

    #[inline]
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Fixed(values) => out.extend_from_slice(values.value(row)),
            Self::Int(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Self::Text(values) => write_text(values.value(row).as_bytes(), out),
            Self::Label(labels, values) => {
                let text = labels.key(row).map_or("", |key| values.value(key));
                write_text(text.as_bytes(), out);
            }
        }
    }
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

/// Append one payload with the given rows of an event batch.
///
/// # Errors
///
/// [`RowError::Columns`] where the batch is not of [`crate::schema::arrow`].
pub fn encode(
    events: &RecordBatch,
    rows: impl Iterator<Item = usize>,
    out: &mut Vec<u8>,
) -> Result<(), RowError> {
    let mut sources = Vec::with_capacity(COLUMNS.len());
    for (column, array) in COLUMNS.iter().zip(events.columns()) {
        let source = Source::of(column.kind, array);
        sources.push(source.ok_or_else(|| RowError::Columns(column.name.to_owned()))?);
    }
    if sources.len() != COLUMNS.len() {
        return Err(RowError::Columns(format!("`{}` columns", sources.len())));
    }
    out.push(VERSION);
    let arrays = events.columns();
    for row in rows {
        let has = |column: &usize| arrays[*column].is_valid(row);
        let present = (0..COLUMNS.len()).filter(has).fold(0_u64, |bits, column| bits | 1 << column);
        out.extend_from_slice(&present.to_le_bytes());
        each(present, |column| sources[column].write(row, out));
    }
    Ok(())
}

/// Call `visit` with the position of each set bit, lowest first.
#[inline]
fn each(mut bits: u64, mut visit: impl FnMut(usize)) {
    while bits != 0 {
        visit(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

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
        if self.bytes + payload.len() > BATCH_BYTES_MAX {
            return Err(RowError::TooLarge(self.bytes + payload.len()));
        }
        let mut reader = Reader::new(payload)?;
        while !reader.is_done() {
            let start = reader.at;
            if self.row(&mut reader).is_none() {
                self.columns.undo_row();
                return Err(RowError::Damaged(start));
            }
        }
        self.bytes += payload.len();
        Ok(())
    }

    fn row(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let present = u64::from_le_bytes(reader.array()?);
        if present >> COLUMNS.len() != 0 {
            return None;
        }
        let mut bits = present;
        while bits != 0 {
            let column = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            match COLUMNS[column].kind {
                Kind::Uuid | Kind::Ip => self.columns.fixed(column, reader.array()?),
                Kind::Time | Kind::Micros => {
                    self.columns.int(column, i64::from_le_bytes(reader.array()?));
                }
                Kind::Text | Kind::Json | Kind::Label => {
                    self.columns.text(column, reader.text()?);
                }
            }
        }
        self.columns.end_row(present);
        Some(())
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

/// Bytes read from the front.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(payload: &'a [u8]) -> Result<Self, RowError> {
        match payload.first() {
            None => Err(RowError::Damaged(0)),
            Some(&VERSION) => Ok(Self { bytes: payload, at: 1 }),
            Some(&other) => Err(RowError::Version(other)),
        }
    }

    fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let found = *self.bytes.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(found)
    }

    #[inline]
    fn length(&mut self) -> Option<usize> {
        let mut length = 0_usize;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(length);
            }
        }
        None
    }

    #[inline]
    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        let text = self.bytes.get(self.at..)?.get(..length)?;
        self.at += length;
        Some(text)
    }

    fn string(&mut self) -> Option<String> {
        String::from_utf8(self.text()?.to_vec()).ok()
    }

    /// Text that may be missing: a byte tells.
    fn maybe(&mut self, text: &mut Option<String>) -> Option<()> {
        let [is_there] = self.array()?;
        if is_there == 1 {
            *text = Some(self.string()?);
        }
        (is_there <= 1).then_some(())
    }
}

/// A refused record as the spool keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReject {
    /// The app whose key sent it.
    pub app_id: String,
    /// When it was received.
    pub received_at_us: i64,
    /// Why it was refused.
    pub reject: Reject,
    /// The record as sent, cut at [`crate::limits::Limits::reject_raw_bytes`].
    pub raw: Vec<u8>,
}

/// Append one payload with refused records; each comes with its raw bytes.
pub fn encode_rejects<'a>(
    app_id: &str,
    received_at_us: i64,
    rejects: impl Iterator<Item = (&'a Reject, &'a [u8])>,
    out: &mut Vec<u8>,
) {
    out.push(VERSION);
    for (reject, raw) in rejects {
        write_text(app_id.as_bytes(), out);
        out.extend_from_slice(&received_at_us.to_le_bytes());
        out.extend_from_slice(&reject.index.to_le_bytes());
        write_option(reject.event_id.as_deref(), out);
        write_text(reject.code.as_str().as_bytes(), out);
        write_option(reject.field.as_deref(), out);
        write_text(reject.message.as_bytes(), out);
        out.extend_from_slice(&reject.start.to_le_bytes());
        out.extend_from_slice(&reject.stop.to_le_bytes());
        write_text(raw, out);
    }
}

fn write_option(text: Option<&str>, out: &mut Vec<u8>) {
    out.push(u8::from(text.is_some()));
    if let Some(text) = text {
        write_text(text.as_bytes(), out);
    }
}

/// The refused records of one payload.
///
/// # Errors
///
/// [`RowError`] where the payload is damaged or of another version.
pub fn decode_rejects(payload: &[u8]) -> Result<Vec<StoredReject>, RowError> {
    let mut reader = Reader::new(payload)?;
    let mut rejects = Vec::new();
    while !reader.is_done() {
        let start = reader.at;
        rejects.push(reject(&mut reader).ok_or(RowError::Damaged(start))?);
    }
    Ok(rejects)
}

fn reject(reader: &mut Reader<'_>) -> Option<StoredReject> {
    let (mut event_id, mut field) = (None, None);
    let app_id = reader.string()?;
    let received_at_us = i64::from_le_bytes(reader.array()?);
    let index = u32::from_le_bytes(reader.array()?);
    reader.maybe(&mut event_id)?;
    let code = Code::named(std::str::from_utf8(reader.text()?).ok()?)?;
    reader.maybe(&mut field)?;
    let message = reader.string()?;
    let start = u64::from_le_bytes(reader.array()?);
    let stop = u64::from_le_bytes(reader.array()?);
    let raw = reader.text()?.to_vec();
    let reject = Reject { index, event_id, code, field, message, start, stop };
    Some(StoredReject { app_id, received_at_us, reject, raw })
}

#[cfg(test)]
mod tests {
    use arrow_array::RecordBatch;
    use proptest::prelude::*;

    use super::{Decoder, RowError, decode, decode_rejects, encode, encode_rejects};
    use crate::parse::{Context, parse};

    /// Events with different fields missing, and a time of receipt.
    fn events(count: usize) -> RecordBatch {
        let tail = |i: usize| match i % 4 {
            0 => format!(r#""event_name":"a","source":"s{}","ip":"1.2.3.4""#, i % 3),
            1 => r#""event_type":"click","revenue":-1.5,"currency":"EUR","x":[1]"#.to_owned(),
            2 => {
                let long = "é".repeat(i * 40);
                format!(r#""event_name":"b","event_id":"e{i}","properties":{{"k":"{long}"}}"#)
            }
            _ => r#""event_name":"c","idfv":"6ba7b811-9dad-11d1-80b4-00c04fd430c8""#.to_owned(),
        };
        let line = |i: usize| {
            let second = 1_767_225_600 + i;
            format!(r#"{{"timestamp":{second},"user_id":"u{i}",{}}}"#, tail(i))
        };
        let body = (0..count).map(line).collect::<Vec<_>>().join("\n");
        let context = Context {
            app_id: Some("app"),
            received_at_us: Some(1_767_225_600_000_000),
            ..Context::default()
        };
        let parsed = parse(body.as_bytes(), &context).unwrap();
        assert_eq!(parsed.rejects, []);
        parsed.events
    }

    #[test]
    fn rows_survive_a_round_trip() {
        let events = events(40);
        let mut payload = Vec::new();
        encode(&events, 0..40, &mut payload).unwrap();
        assert_eq!(decode(&payload).unwrap(), events);
    }

    #[test]
    fn chosen_rows_of_many_payloads_make_one_batch() {
        let events = events(9);
        let mut decoder = Decoder::new();
        for rows in [vec![0, 1], vec![], vec![2, 3, 4, 5, 6, 7, 8]] {
            let mut payload = Vec::new();
            encode(&events, rows.into_iter(), &mut payload).unwrap();
            decoder.append(&payload).unwrap();
        }
        assert_eq!(decoder.rows(), 9);
        assert_eq!(decoder.finish().unwrap(), events);
    }

    #[test]
    fn damage_is_found_and_harms_no_row_before_it() {
        let events = events(2);
        let (mut payload, mut first) = (Vec::new(), Vec::new());
        encode(&events, 0..2, &mut payload).unwrap();
        encode(&events, 0..1, &mut first).unwrap();
        for length in 1..payload.len() {
            let mut decoder = Decoder::new();
            let found = decoder.append(&payload[..length]);
            assert_eq!(found.is_ok(), length == 1 || length == first.len(), "{length}");
            let rows = usize::from(length >= first.len());
            assert_eq!(decoder.finish().unwrap(), events.slice(0, rows));
        }
        assert_eq!(decode(&[]), Err(RowError::Damaged(0)));
        assert_eq!(decode(&[9]), Err(RowError::Version(9)));
        assert_eq!(decode(&[1, 0, 0, 0, 0, 0, 0, 0, 0x80]), Err(RowError::Damaged(1)));
    }

    #[test]
    fn rejects_survive_a_round_trip() {
        let body = b"{\"event_id\":\"x\"\n[1]\n{\"event_name\":3}\n";
        let parsed = parse(body, &Context::default()).unwrap();
        assert_eq!(parsed.rejects.len(), 3);
        let mut payload = Vec::new();
        let raws = [&b"a"[..], b"", b"\xff"];
        encode_rejects("app", 7, parsed.rejects.iter().zip(raws), &mut payload);
        let found = decode_rejects(&payload).unwrap();
        for ((stored, reject), raw) in found.iter().zip(&parsed.rejects).zip(raws) {
            assert_eq!((stored.app_id.as_str(), stored.received_at_us), ("app", 7));
            assert_eq!((&stored.reject, stored.raw.as_slice()), (reject, raw));
        }
        assert_eq!(found.len(), 3);
        let cut = decode_rejects(&payload[..payload.len() - 1]);
        assert!(matches!(cut, Err(RowError::Damaged(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            let mut versioned = vec![1];
            versioned.extend_from_slice(&bytes);
            let _ = decode(&versioned);
            let _ = decode_rejects(&versioned);
        }
    }
}
