//! Refused records in, bytes out, and back.

use super::reader::Reader;
use super::{RowError, VERSION, write_text};
use crate::reject::{Code, Reject};

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
    let mut reader = Reader::new(payload, VERSION)?;
    let mut rejects = Vec::new();
    while !reader.is_done() {
        let start = reader.at();
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
