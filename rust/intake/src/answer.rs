//! What a client is told.

use std::fmt::Write;

use serde_json::Value;

use crate::Refusal;
use crate::prepare::Prepared;

/// An answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the request was submitted with.
    pub token: u64,
    /// HTTP status.
    pub status: u16,
    /// JSON: the counts with 200, a problem otherwise.
    pub body: Vec<u8>,
    /// Seconds to wait, where waiting helps.
    pub retry_after: Option<u32>,
}

/// Everything that was not rejected is durable.
pub(crate) fn stored(item: &Prepared) -> Answer {
    let duplicate = item.duplicates.len();
    let stored = item.rows.len() - duplicate;
    let mut body = format!(
        r#"{{"received":{},"stored":{stored},"duplicate":{duplicate},"rejected":["#,
        item.received
    );
    for (index, reject) in item.rejects.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(
            body,
            r#"{comma}{{"index":{},"event_id":{},"code":"{}","field":{},"message":{}}}"#,
            reject.index,
            text(reject.event_id.as_deref()),
            reject.code,
            text(reject.field.as_deref()),
            text(Some(&reject.message)),
        );
    }
    body.push_str("]}");
    Answer { token: item.back.token, status: 200, body: body.into_bytes(), retry_after: None }
}

fn text(text: Option<&str>) -> Value {
    text.map_or(Value::Null, Value::from)
}

/// Nothing of the request is durable.
pub(crate) fn refused(token: u64, refusal: &Refusal) -> Answer {
    let Refusal { status, retry_after, .. } = *refusal;
    Answer { token, status, body: refusal.problem(), retry_after }
}
