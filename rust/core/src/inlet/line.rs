//! Writes one canonical event as one line.

use memchr::memchr2;

use super::field;
use crate::schema::{COLUMNS, at};

/// A line being written: only columns of the event table, then the original record.
pub(super) struct Line<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
}

impl<'o> Line<'o> {
    pub(super) fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_first: true }
    }

    /// A record that is no object, as it is: the parser will say so. An array would be taken for
    /// a list of records, so it becomes a string first.
    pub(super) fn refuse(out: &mut Vec<u8>, record: &str) {
        if record.starts_with('[') {
            text(out, record);
        } else {
            flat(out, record);
        }
        out.push(b'\n');
    }

    /// A field whose value is JSON already, sent on unread; the parser judges it.
    pub(super) fn raw(&mut self, column: usize, json: Option<&str>) {
        if let Some(json) = json {
            self.key(column);
            flat(self.out, json);
        }
    }

    /// An id: text as sent, a number as its text.
    pub(super) fn id(&mut self, column: usize, json: Option<&str>) {
        let is_number =
            json.is_some_and(|json| json.starts_with(|c: char| c == '-' || c.is_ascii_digit()));
        if is_number { self.text(column, json) } else { self.raw(column, json) }
    }

    /// Optional text, if the parser would take it.
    pub(super) fn text(&mut self, column: usize, json: Option<&str>) {
        let bytes_max = COLUMNS[column].bytes_max;
        // Only the vendor id has no length of its own, and it is checked by the caller.
        let bytes_max = if bytes_max == 0 { 36 } else { bytes_max };
        if let Some(value) = field::short(json, bytes_max) {
            self.value(column, &value);
        }
    }

    /// Text known to be right.
    pub(super) fn value(&mut self, column: usize, value: &str) {
        self.key(column);
        text(self.out, value);
    }

    /// A UUID column, if it is one.
    pub(super) fn uuid(&mut self, column: usize, json: Option<&str>) {
        if let Some(value) = json.and_then(field::text).filter(|text| field::is_uuid(text)) {
            self.value(column, &value);
        }
    }

    /// The idempotency key. One that cannot serve is left out: the event is stored all the same.
    pub(super) fn event_id(&mut self, json: Option<&str>) {
        let id = field::short(json, COLUMNS[at::EVENT_ID].bytes_max);
        if let Some(id) = id.filter(|id| !field::is_nil(id)) {
            self.value(at::EVENT_ID, &id);
        }
    }

    pub(super) fn ip(&mut self, json: Option<&str>) {
        if let Some(ip) = field::ip(json) {
            self.value(at::IP, &ip);
        }
    }

    /// Name and version of the SDK, as `name/version`.
    pub(super) fn sdk(&mut self, parts: [Option<&str>; 2]) {
        let [name, version] = parts.map(|part| field::short(part, 120));
        let known = [name, version].into_iter().flatten().collect::<Vec<_>>().join("/");
        if !known.is_empty() {
            self.value(at::SDK_VERSION, &known);
        }
    }

    /// Revenue with its currency, or neither.
    pub(super) fn revenue(&mut self, amount: Option<&str>, currency: Option<&str>) {
        if let (Some(amount), Some(code)) = (field::money(amount), field::currency(currency)) {
            self.value(at::REVENUE, &amount);
            self.value(at::CURRENCY, &code);
        }
    }

    /// End the line with the record itself under `properties`.
    pub(super) fn close(mut self, record: &str) {
        self.key(at::PROPERTIES);
        flat(self.out, record);
        self.out.extend_from_slice(b"}\n");
    }

    fn key(&mut self, column: usize) {
        if !self.is_first {
            self.out.push(b',');
        }
        self.is_first = false;
        // The one column whose name in the table is not the field's name in an event.
        let name = if column == at::REVENUE { "revenue" } else { COLUMNS[column].name };
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

/// JSON on one line: a line break inside valid JSON is always blank space between tokens.
fn flat(out: &mut Vec<u8>, json: &str) {
    let mut rest = json.as_bytes();
    while let Some(cut) = memchr2(b'\n', b'\r', rest) {
        out.extend_from_slice(&rest[..cut]);
        out.push(b' ');
        rest = &rest[cut + 1..];
    }
    out.extend_from_slice(rest);
}

fn text(out: &mut Vec<u8>, value: &str) {
    out.extend_from_slice(serde_json::Value::from(value).to_string().as_bytes());
}
