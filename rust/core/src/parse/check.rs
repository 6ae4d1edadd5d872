//! A block of records in, the values of each column and the first failed check of each row out.
//!
//! Column by column, all rows of the block at a time: what holds for most rows is asked of all of
//! them without branches, and only the others are looked at one by one.

use unmogrowp_scan::{Isa, ipv4s, uuids};

use super::block::{Block, each};
use super::fault::Failure;
use super::fields::{Checked, Fields, Inherited, fixed_at, instant, int_at, text};
use super::json::{Form, Slot};
use super::keys::SENT;
use super::nobody::is_nobody;
use super::time::in_range;
use super::turn::turn;
use super::{ip, money, uuid};
use crate::limits::{FUTURE_MAX_US, SKEW_MAX_US};
use crate::reject::Code;
use crate::schema::{COLUMNS, IDENTITY, at};

#[cold]
fn missing(column: usize) -> Failure {
    Failure::column(Code::MissingField, column, Slot::default())
}

impl Fields<'_> {
    /// Find the value of every column in every row, and what is wrong with them.
    pub(crate) fn check(&mut self, bytes: &[u8], block: &mut Block) {
        let live = block.all() & !block.failed;
        let mut words = block.words;
        turn(&mut words, block.rows);
        self.found.present.fill(0);
        self.found.refused.fill(0);
        for column in 0..SENT {
            self.found.sent[column] = words[column] & live;
            self.found.plain[column] = words[column + SENT] & live;
            if self.found.sent[column] != 0 {
                self.found.present[column] = self.column(column, bytes, block);
            }
        }
        self.whole(live, block);
    }

    /// Bits of the rows in which a column has a value.
    fn column(&mut self, column: usize, bytes: &[u8], block: &mut Block) -> u64 {
        match column {
            at::EVENT_ID => self.event_ids(bytes, block),
            at::USER_ID | at::ANONYMOUS_ID | at::DEVICE_ID => {
                let present = self.texts(column, bytes, block);
                let mut nobody = 0;
                each(present & self.found.plain[column], |row| {
                    let (start, stop) = block.span(column, row);
                    let id = bytes.get(start as usize..stop as usize).unwrap_or_default();
                    nobody |= u64::from(is_nobody(id)) << row;
                });
                present & !nobody
            }
            at::IDFA | at::GAID | at::IDFV => self.uuids(column, bytes, block),
            at::TIMESTAMP | at::SENT_AT => self.times(column, bytes, block),
            at::IP => self.addresses(bytes, block),
            at::REVENUE => self.amounts(bytes, block),
            at::CURRENCY => self.currency_codes(bytes, block),
            at::PROPERTIES => self.objects(block),
            at::APP_ID if self.context.app_id.is_some() => {
                let present = self.texts(column, bytes, block);
                let mut foreign = 0;
                each(present & self.found.plain[column], |row| {
                    let (start, stop) = block.span(column, row);
                    let app = bytes.get(start as usize..stop as usize).unwrap_or_default();
                    foreign |= u64::from(self.is_foreign(app)) << row;
                });
                each(foreign, |row| self.refuse(column, row, Code::AppMismatch, block));
                present & !foreign
            }
            _ => self.texts(column, bytes, block),
        }
    }

    #[cold]
    fn refuse(&mut self, column: usize, row: usize, code: Code, block: &mut Block) {
        self.found.refused[column] |= 1 << row;
        let is_plain = self.found.plain[column] >> row & 1 == 1;
        let slot = block.slot(column, row, is_plain);
        block.fail(row, Failure::column(code, column, slot));
    }

    /// Rows with text of a length that is neither nothing nor too much.
    fn texts(&mut self, column: usize, bytes: &[u8], block: &mut Block) -> u64 {
        let mut present = self.found.sent[column] & self.found.plain[column];
        each(self.found.sent[column] & !present, |row| {
            let slot = block.slot(column, row, false);
            match self.odd_text(column, bytes, slot) {
                Ok(is_there) => present |= u64::from(is_there) << row,
                Err(code) => self.refuse(column, row, code, block),
            }
        });
        present
    }

    /// Whether text that is escaped, empty or too long counts as there.
    #[cold]
    fn odd_text(&mut self, column: usize, bytes: &[u8], slot: Slot) -> Checked<bool> {
        let context_app = self.context.app_id;
        let text = text(bytes, slot, &mut self.scratch)?;
        if text.len() > COLUMNS[column].bytes_max {
            return Err(Code::TooLong);
        }
        match column {
            at::EVENT_NAME if text.is_empty() => Err(Code::MissingField),
            at::USER_ID | at::ANONYMOUS_ID | at::DEVICE_ID => Ok(!is_nobody(text)),
            at::APP_ID if context_app.is_some_and(|own| own.as_bytes() != text) => {
                // An empty name is no app; the key's is filled in later.
                if text.is_empty() { Ok(false) } else { Err(Code::AppMismatch) }
            }
            _ => Ok(!text.is_empty()),
        }
    }

    /// The plain ones at once; what is no UUID is for the caller to look at.
    fn plain_uuids(&mut self, column: usize, bytes: &[u8], block: &Block) -> u64 {
        let rows = self.found.sent[column] & self.found.plain[column];
        let values = &mut self.found.fixed[fixed_at(column)];
        values[..block.rows].fill([0; 16]);
        let found = uuids(Isa::active(), bytes, |row| block.span(column, row), rows, values);
        let mut nil = 0;
        for (row, value) in values[..block.rows].iter().enumerate() {
            nil |= u64::from(u128::from_le_bytes(*value) == 0) << row;
        }
        found & !nil
    }

    fn uuids(&mut self, column: usize, bytes: &[u8], block: &mut Block) -> u64 {
        let mut present = self.plain_uuids(column, bytes, block);
        each(self.found.sent[column] & !present, |row| {
            let slot = block.slot(column, row, self.found.plain[column] >> row & 1 == 1);
            let found = text(bytes, slot, &mut self.scratch).and_then(|id| match uuid::parse(id) {
                Some(id) if id != [0; 16] => Ok(Some(id)),
                _ if is_nobody(id) => Ok(None),
                _ => Err(Code::InvalidUuid),
            });
            match found {
                Ok(Some(id)) => {
                    present |= 1 << row;
                    self.found.fixed[fixed_at(column)][row] = id;
                }
                Ok(None) => {}
                Err(code) => self.refuse(column, row, code, block),
            }
        });
        present
    }

    fn event_ids(&mut self, bytes: &[u8], block: &mut Block) -> u64 {
        let column = at::EVENT_ID;
        let mut present = self.plain_uuids(column, bytes, block);
        each(self.found.sent[column] & !present, |row| {
            let slot = block.slot(column, row, self.found.plain[column] >> row & 1 == 1);
            match self.odd_event_id(bytes, slot, block.sent(at::APP_ID, row)) {
                Ok(id) => {
                    present |= 1 << row;
                    self.found.fixed[fixed_at(column)][row] = id;
                }
                Err(code) => self.refuse(column, row, code, block),
            }
        });
        present
    }

    #[cold]
    fn odd_event_id(&mut self, bytes: &[u8], slot: Slot, app: Option<Slot>) -> Checked<[u8; 16]> {
        let id = text(bytes, slot, &mut self.scratch)?;
        if id.len() > COLUMNS[at::EVENT_ID].bytes_max {
            return Err(Code::TooLong);
        }
        match uuid::parse(id) {
            // Nil and empty ids would make every event a duplicate of the first.
            Some(uuid) if uuid == [0; 16] => Err(Code::InvalidUuid),
            Some(uuid) => Ok(uuid),
            None if id.is_empty() => Err(Code::InvalidUuid),
            None => {
                let id = id.to_vec();
                Ok(uuid::v5(self.namespace(bytes, app), &id))
            }
        }
    }

    /// The namespace of the record's app.
    fn namespace(&mut self, bytes: &[u8], sent: Option<Slot>) -> [u8; 16] {
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

    /// Integers of a column, by `read` from each value.
    fn integers(
        &mut self,
        column: usize,
        block: &mut Block,
        read: impl Fn(Slot, &mut Vec<u8>) -> Checked<i64>,
    ) -> u64 {
        self.found.ints[int_at(column)][..block.rows].fill(0);
        let mut present = 0;
        each(self.found.sent[column], |row| {
            let slot = block.slot(column, row, self.found.plain[column] >> row & 1 == 1);
            match read(slot, &mut self.scratch) {
                Ok(value) => {
                    present |= 1 << row;
                    self.found.ints[int_at(column)][row] = value;
                }
                Err(code) => self.refuse(column, row, code, block),
            }
        });
        present
    }

    fn times(&mut self, column: usize, bytes: &[u8], block: &mut Block) -> u64 {
        self.integers(column, block, |slot, scratch| instant(bytes, slot, scratch))
    }

    fn amounts(&mut self, bytes: &[u8], block: &mut Block) -> u64 {
        self.integers(at::REVENUE, block, |slot, scratch| {
            let micros = match slot.form {
                Form::Number => money::number(slot.of(bytes)),
                _ => money::string(text(bytes, slot, scratch)?),
            };
            micros.ok_or(Code::InvalidNumber)
        })
    }

    fn addresses(&mut self, bytes: &[u8], block: &mut Block) -> u64 {
        let (sent, plain) = (self.found.sent[at::IP], self.found.plain[at::IP]);
        let values = &mut self.found.fixed[fixed_at(at::IP)];
        values[..block.rows].fill([0; 16]);
        let span = |row| block.span(at::IP, row);
        let mut present = ipv4s(Isa::active(), bytes, span, sent & plain, values);
        each(sent & !present, |row| {
            let slot = block.slot(at::IP, row, plain >> row & 1 == 1);
            let found = text(bytes, slot, &mut self.scratch);
            match found.and_then(|text| ip::parse(text).ok_or(Code::InvalidIp)) {
                Ok(address) => {
                    present |= 1 << row;
                    self.found.fixed[fixed_at(at::IP)][row] = address;
                }
                Err(code) => self.refuse(at::IP, row, code, block),
            }
        });
        if self.context.truncate_ip {
            let values = &mut self.found.fixed[fixed_at(at::IP)];
            each(present, |row| values[row] = ip::truncate(values[row]));
        }
        present
    }

    fn currency_codes(&mut self, bytes: &[u8], block: &mut Block) -> u64 {
        let column = at::CURRENCY;
        let mut present = 0;
        each(self.found.sent[column], |row| {
            let slot = block.slot(column, row, self.found.plain[column] >> row & 1 == 1);
            let found = text(bytes, slot, &mut self.scratch);
            match found.and_then(|text| money::currency(text).ok_or(Code::InvalidCurrency)) {
                Ok(code) => {
                    present |= 1 << row;
                    self.found.currencies[row] = code;
                }
                Err(code) => self.refuse(column, row, code, block),
            }
        });
        present
    }

    fn objects(&mut self, block: &mut Block) -> u64 {
        let (sent, plain) = (self.found.sent[at::PROPERTIES], self.found.plain[at::PROPERTIES]);
        let mut present = 0;
        each(sent, |row| {
            if block.slot(at::PROPERTIES, row, plain >> row & 1 == 1).form == Form::Object {
                present |= 1 << row;
            } else {
                self.refuse(at::PROPERTIES, row, Code::WrongType, block);
            }
        });
        present
    }

    /// The checks and values that need more than one field.
    fn whole(&mut self, live: u64, block: &mut Block) {
        if self.context.app_id.is_some() {
            self.found.present[at::APP_ID] = live;
        }
        self.fill_names(live, block);
        let known =
            |bits, column: usize| bits | self.found.present[column] | self.found.refused[column];
        let nobody = live & !IDENTITY.into_iter().fold(0, known);
        each(nobody, |row| block.fail(row, missing(at::USER_ID)));
        self.lend_sent_at(live, block);
        each(live & !self.found.sent[at::TIMESTAMP], |row| block.fail(row, missing(at::TIMESTAMP)));
        if let Some(received_us) = self.context.received_at_us {
            let bits = self.found.present[at::TIMESTAMP];
            each(bits, |row| self.clock(row, received_us, block));
        }
        let unpriced = self.found.sent[at::REVENUE] & !self.found.sent[at::CURRENCY];
        each(unpriced, |row| block.fail(row, missing(at::CURRENCY)));
        for row in 0..if block.has_unknown() { block.rows } else { 0 } {
            self.found.present[at::PROPERTIES] |= u64::from(!block.unknown(row).is_empty()) << row;
        }
        self.found.present[at::PROPERTIES] &= live;
    }

    /// The one given of `event_name` and `event_type` stands for the other.
    fn fill_names(&mut self, live: u64, block: &mut Block) {
        let (names, types) =
            (self.found.present[at::EVENT_NAME], self.found.present[at::EVENT_TYPE]);
        each(live & !(names | types), |row| block.fail(row, missing(at::EVENT_NAME)));
        for (from, to, rows) in [
            (at::EVENT_NAME, at::EVENT_TYPE, names & !types),
            (at::EVENT_TYPE, at::EVENT_NAME, types & !names),
        ] {
            // A refused field of that name has failed the row already.
            let plain = self.found.plain[from] & rows;
            each(rows, |row| block.copy(from, to, row));
            self.found.plain[to] = self.found.plain[to] & !rows | plain;
            self.found.present[to] |= rows;
        }
    }

    /// The batch's own `sent_at` for the rows without one.
    fn lend_sent_at(&mut self, live: u64, block: &mut Block) {
        let rows = live & !self.found.sent[at::SENT_AT];
        match self.sent_at {
            Inherited::Nothing => {}
            Inherited::Instant(us) => {
                let values = &mut self.found.ints[int_at(at::SENT_AT)];
                if self.found.sent[at::SENT_AT] == 0 {
                    values.fill(0);
                }
                each(rows, |row| values[row] = us);
                self.found.present[at::SENT_AT] |= rows;
            }
            Inherited::Bad(code) => {
                let failure = || Failure::column(code, at::SENT_AT, Slot::default());
                each(rows, |row| block.fail(row, failure()));
            }
        }
    }

    /// Correct a timestamp by the client's clock error.
    fn clock(&mut self, row: usize, received_us: i64, block: &mut Block) {
        let client_us = self.found.ints[int_at(at::TIMESTAMP)][row];
        let has_sent_at = self.found.present[at::SENT_AT] >> row & 1 == 1;
        let sent_us = has_sent_at.then(|| self.found.ints[int_at(at::SENT_AT)][row]);
        let skew_us = sent_us.map_or(0, |us| received_us.saturating_sub(us));
        let is_skewed = skew_us.saturating_abs() > SKEW_MAX_US;
        let us = if is_skewed { client_us.saturating_add(skew_us) } else { client_us };
        if us > received_us.saturating_add(FUTURE_MAX_US) || in_range(us).is_err() {
            let slot = block.sent(at::TIMESTAMP, row).unwrap_or_default();
            let failure = Failure::column(Code::TimestampOutOfRange, at::TIMESTAMP, slot);
            block.fail(row, failure);
        }
        self.found.ints[int_at(at::TIMESTAMP)][row] = us;
        self.found.ints[int_at(at::CLIENT_TIMESTAMP)][row] = client_us;
        self.found.ints[int_at(at::RECEIVED_AT)][row] = received_us;
        for column in [at::CLIENT_TIMESTAMP, at::RECEIVED_AT] {
            self.found.present[column] |= 1 << row;
        }
    }
}
