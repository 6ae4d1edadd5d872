//! One scanned record in, one row of typed values out, or the first failed check.

use super::columns::Columns;
use super::duplicate::duplicate;
use super::fault::{About, Failure};
use super::json::{Form, Slot, unescape};
use super::nobody::is_nobody;
use super::record::Record;
use super::time::{TimeError, in_range};
use super::{Context, ip, money, time, uuid};
use crate::limits::{FUTURE_MAX_US, SKEW_MAX_US};
use crate::reject::Code;
use crate::schema::{COLUMNS, at};

/// The batch's own `sent_at`, which stands in for a missing one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Inherited {
    Nothing,
    Instant(i64),
    Bad(Code),
}

/// Turns records into rows; reused for every record of a batch.
pub(crate) struct Fields<'c> {
    context: &'c Context<'c>,
    sent_at: Inherited,
    pub(crate) columns: Columns,
    scratch: Vec<u8>,
    /// The app whose event ids were last mapped, and its namespace.
    namespace: Option<(Vec<u8>, [u8; 16])>,
}

/// Bits of the id columns.
const IDENTITY: u64 = {
    let mut bits = 0;
    let mut kind = 0;
    while kind < crate::schema::IDENTITY.len() {
        bits |= 1 << crate::schema::IDENTITY[kind];
        kind += 1;
    }
    bits
};

/// What is known of the row being written.
#[derive(Default)]
struct Row {
    present: u64,
    /// Columns that were sent and failed: wrong, but not missing.
    refused: u64,
    failure: Option<Failure>,
    timestamp_us: Option<i64>,
    sent_at_us: Option<i64>,
}

impl Row {
    /// Keep the failure that comes first in the documented order.
    #[cold]
    fn fail(&mut self, failure: Failure) {
        if self.failure.as_ref().is_none_or(|first| failure.precedes(first)) {
            self.failure = Some(failure);
        }
    }
}

/// A value of a column, or why it is none.
type Checked<T> = Result<T, Code>;

/// The text of a string value; unescaped into `scratch` where needed.
#[inline]
fn text<'a>(bytes: &'a [u8], slot: Slot, scratch: &'a mut Vec<u8>) -> Checked<&'a [u8]> {
    match slot.form {
        Form::Text => Ok(slot.of(bytes)),
        Form::Escaped => {
            scratch.clear();
            unescape(slot.of(bytes), scratch);
            Ok(scratch)
        }
        _ => Err(Code::WrongType),
    }
}

#[inline]
fn short_text<'a>(
    column: usize,
    bytes: &'a [u8],
    slot: Slot,
    scratch: &'a mut Vec<u8>,
) -> Checked<&'a [u8]> {
    let text = text(bytes, slot, scratch)?;
    if text.len() > COLUMNS[column].bytes_max { Err(Code::TooLong) } else { Ok(text) }
}

#[inline]
fn instant(bytes: &[u8], slot: Slot, scratch: &mut Vec<u8>) -> Checked<i64> {
    let found = match slot.form {
        Form::Number => time::epoch(slot.of(bytes)),
        _ => time::rfc3339(text(bytes, slot, scratch)?),
    };
    found.map_err(|error| match error {
        TimeError::Invalid => Code::InvalidTimestamp,
        TimeError::OutOfRange => Code::TimestampOutOfRange,
    })
}

/// The `sent_at` of a whole batch.
pub(crate) fn inherited(bytes: &[u8], slot: Option<Slot>) -> Inherited {
    match slot.filter(|slot| slot.form != Form::Null) {
        None => Inherited::Nothing,
        Some(slot) => match instant(bytes, slot, &mut Vec::new()) {
            Ok(us) => Inherited::Instant(us),
            Err(code) => Inherited::Bad(code),
        },
    }
}

impl<'c> Fields<'c> {
    pub(crate) fn new(context: &'c Context<'c>, sent_at: Inherited) -> Self {
        Self { context, sent_at, columns: Columns::new(), scratch: Vec::new(), namespace: None }
    }

    /// Write the record as one row, or leave the columns as they were.
    pub(crate) fn write(&mut self, bytes: &[u8], record: &Record) -> Result<(), Failure> {
        let mut row = Row::default();
        if let Some(key) = duplicate(bytes, record) {
            row.fail(Failure { code: Code::DuplicateKey, about: About::Key(key) });
        }
        let mut left = record.seen;
        while left != 0 {
            let column = left.trailing_zeros() as usize;
            left &= left - 1;
            if let Some(slot) = record.sent(column) {
                match self.field(column, bytes, slot, record, &mut row) {
                    Ok(true) => row.present |= 1 << column,
                    Ok(false) => {}
                    Err(code) => {
                        row.refused |= 1 << column;
                        row.fail(Failure::column(code, column, slot));
                    }
                }
            }
        }
        self.whole(bytes, record, &mut row);
        match row.failure {
            None => {
                self.columns.end_row(row.present);
                Ok(())
            }
            Some(failure) => {
                self.columns.undo_row();
                Err(failure)
            }
        }
    }

    /// Check and write one value; false where it means nothing.
    #[inline]
    fn field(
        &mut self,
        column: usize,
        bytes: &[u8],
        slot: Slot,
        record: &Record,
        row: &mut Row,
    ) -> Checked<bool> {
        let (columns, scratch) = (&mut self.columns, &mut self.scratch);
        match column {
            at::EVENT_ID => return self.event_id(bytes, slot, record),
            at::APP_ID => {
                let app = short_text(column, bytes, slot, scratch)?;
                if self.context.app_id.is_some_and(|own| !app.is_empty() && own.as_bytes() != app) {
                    return Err(Code::AppMismatch);
                }
                // An empty name is no app; the key's is filled in later.
                return Ok(!app.is_empty() && write_text(columns, column, app));
            }
            at::EVENT_NAME => {
                let name = short_text(column, bytes, slot, scratch)?;
                if name.is_empty() {
                    return Err(Code::MissingField);
                }
                columns.text(column, name);
            }
            at::EVENT_TYPE => {
                let class = short_text(column, bytes, slot, scratch)?;
                return Ok(!class.is_empty() && write_text(columns, column, class));
            }
            at::USER_ID | at::ANONYMOUS_ID | at::DEVICE_ID => {
                let id = short_text(column, bytes, slot, scratch)?;
                return Ok(!is_nobody(id) && write_text(columns, column, id));
            }
            at::IDFA | at::GAID | at::IDFV => {
                let id = text(bytes, slot, scratch)?;
                match uuid::parse(id) {
                    Some(id) if id != [0; 16] => columns.fixed(column, id),
                    _ if is_nobody(id) => return Ok(false),
                    _ => return Err(Code::InvalidUuid),
                }
            }
            // Written once the clocks are compared.
            at::TIMESTAMP => row.timestamp_us = Some(instant(bytes, slot, scratch)?),
            at::SENT_AT => {
                let us = instant(bytes, slot, scratch)?;
                row.sent_at_us = Some(us);
                columns.int(column, us);
            }
            at::IP => {
                let address = ip::parse(text(bytes, slot, scratch)?).ok_or(Code::InvalidIp)?;
                let truncate = self.context.truncate_ip;
                columns.fixed(column, if truncate { ip::truncate(address) } else { address });
            }
            at::REVENUE => {
                let micros = match slot.form {
                    Form::Number => money::number(slot.of(bytes)),
                    _ => money::string(text(bytes, slot, scratch)?),
                };
                columns.int(column, micros.ok_or(Code::InvalidNumber)?);
            }
            at::CURRENCY => {
                let code = money::currency(text(bytes, slot, scratch)?);
                columns.text(column, &code.ok_or(Code::InvalidCurrency)?);
            }
            // Written with the unknown fields.
            at::PROPERTIES if slot.form == Form::Object => return Ok(false),
            at::PROPERTIES => return Err(Code::WrongType),
            _ => columns.text(column, short_text(column, bytes, slot, scratch)?),
        }
        Ok(true)
    }

    fn event_id(&mut self, bytes: &[u8], slot: Slot, record: &Record) -> Checked<bool> {
        let id = short_text(at::EVENT_ID, bytes, slot, &mut self.scratch)?;
        let id = match uuid::parse(id) {
            // Nil and empty ids would make every event a duplicate of the first.
            Some(uuid) if uuid == [0; 16] => return Err(Code::InvalidUuid),
            Some(uuid) => uuid,
            None if id.is_empty() => return Err(Code::InvalidUuid),
            None => {
                let id = id.to_vec();
                uuid::v5(self.namespace(bytes, record), &id)
            }
        };
        self.columns.fixed(at::EVENT_ID, id);
        Ok(true)
    }

    /// The namespace of the record's app.
    fn namespace(&mut self, bytes: &[u8], record: &Record) -> [u8; 16] {
        let sent = record.sent(at::APP_ID);
        let sent = sent.and_then(|slot| text(bytes, slot, &mut self.scratch).ok());
        let app = match (self.context.app_id, sent) {
            (Some(own), _) => own.as_bytes(),
            (None, sent) => sent.unwrap_or_default(),
        };
        match &self.namespace {
            Some((last, namespace)) if last == app => *namespace,
            _ => {
                let namespace = uuid::namespace(app);
                self.namespace = Some((app.to_vec(), namespace));
                namespace
            }
        }
    }

    /// The checks and values that need more than one field.
    fn whole(&mut self, bytes: &[u8], record: &Record, row: &mut Row) {
        let has = |row: &Row, column: usize| row.present >> column & 1 == 1;
        if let (false, Some(app)) = (has(row, at::APP_ID), self.context.app_id) {
            self.columns.text(at::APP_ID, app.as_bytes());
            row.present |= 1 << at::APP_ID;
        }
        self.fill_names(bytes, record, row);
        if (row.present | row.refused) & IDENTITY == 0 {
            row.fail(missing(at::USER_ID));
        }
        self.clock(record, row);
        if record.sent(at::REVENUE).is_some() && record.sent(at::CURRENCY).is_none() {
            row.fail(missing(at::CURRENCY));
        }
        self.properties(bytes, record, row);
    }

    /// The one given of `event_name` and `event_type` stands for the other.
    fn fill_names(&mut self, bytes: &[u8], record: &Record, row: &mut Row) {
        let (name, class) = (1 << at::EVENT_NAME, 1 << at::EVENT_TYPE);
        let (from, to) = match (row.present & name != 0, row.present & class != 0) {
            (true, true) => return,
            (true, false) => (at::EVENT_NAME, at::EVENT_TYPE),
            (false, true) => (at::EVENT_TYPE, at::EVENT_NAME),
            (false, false) => return row.fail(missing(at::EVENT_NAME)),
        };
        let slot = record.sent(from).unwrap_or_default();
        // A refused field of that name has failed the row already.
        if let Ok(value) = text(bytes, slot, &mut self.scratch) {
            self.columns.text(to, value);
            row.present |= name | class;
        }
    }

    /// Correct the timestamp by the client's clock error, where the time of receipt is known.
    fn clock(&mut self, record: &Record, row: &mut Row) {
        if record.sent(at::SENT_AT).is_none() {
            match self.sent_at {
                Inherited::Nothing => {}
                Inherited::Instant(us) => {
                    row.sent_at_us = Some(us);
                    self.columns.int(at::SENT_AT, us);
                    row.present |= 1 << at::SENT_AT;
                }
                Inherited::Bad(code) => {
                    row.fail(Failure::column(code, at::SENT_AT, Slot::default()));
                }
            }
        }
        let Some(client_us) = row.timestamp_us else {
            if record.sent(at::TIMESTAMP).is_none() {
                row.fail(missing(at::TIMESTAMP));
            }
            return;
        };
        let mut us = client_us;
        if let Some(received_us) = self.context.received_at_us {
            let skew_us = row.sent_at_us.map_or(0, |us| received_us.saturating_sub(us));
            if skew_us.saturating_abs() > SKEW_MAX_US {
                us = client_us.saturating_add(skew_us);
            }
            if us > received_us.saturating_add(FUTURE_MAX_US) || in_range(us).is_err() {
                let slot = record.sent(at::TIMESTAMP).unwrap_or_default();
                row.fail(Failure::column(Code::TimestampOutOfRange, at::TIMESTAMP, slot));
            }
            self.columns.int(at::CLIENT_TIMESTAMP, client_us);
            self.columns.int(at::RECEIVED_AT, received_us);
            row.present |= 1 << at::CLIENT_TIMESTAMP | 1 << at::RECEIVED_AT;
        }
        self.columns.int(at::TIMESTAMP, us);
    }

    /// `properties` as sent, with the unknown fields behind its own.
    fn properties(&mut self, bytes: &[u8], record: &Record, row: &mut Row) {
        let sent = record.sent(at::PROPERTIES).filter(|slot| slot.form == Form::Object);
        let sent = sent.map(|slot| slot.of(bytes));
        if record.unknown.is_empty() {
            let Some(sent) = sent else { return };
            self.columns.text(at::PROPERTIES, sent);
        } else {
            let head = sent.and_then(|object| object.strip_suffix(b"}")).unwrap_or(b"{");
            self.scratch.clear();
            self.scratch.extend_from_slice(head);
            let mut comma = !head[1..].trim_ascii().is_empty();
            for member in &record.unknown {
                if comma {
                    self.scratch.push(b',');
                }
                comma = true;
                self.scratch.extend_from_slice(member.key.raw(bytes));
                self.scratch.push(b':');
                self.scratch.extend_from_slice(member.value.raw(bytes));
            }
            self.scratch.push(b'}');
            self.columns.text(at::PROPERTIES, &self.scratch);
        }
        row.present |= 1 << at::PROPERTIES;
    }
}

#[inline]
fn write_text(columns: &mut Columns, column: usize, value: &[u8]) -> bool {
    columns.text(column, value);
    true
}

#[cold]
fn missing(column: usize) -> Failure {
    Failure::column(Code::MissingField, column, Slot::default())
}
