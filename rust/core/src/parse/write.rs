//! The checked values of a block in, rows of the batch out: only of the records without failure.

use super::block::{Block, ROWS, each};
use super::columns::{Columns, Rows};
use super::fields::{Fields, fixed_at, int_at};
use super::json::{Form, Slot, unescape};
use super::reader::Sink;
use crate::schema::{COLUMNS, Kind, at};

impl Sink for Columns {
    fn write(&mut self, fields: &mut Fields<'_>, bytes: &[u8], block: &Block) {
        let rows = self.rows_of(block.all() & !block.failed);
        for (column, kind) in COLUMNS.iter().map(|column| column.kind).enumerate() {
            fields.present[column] &= rows.live;
            if fields.present[column] == 0 {
                continue;
            }
            match kind {
                Kind::Uuid | Kind::Ip => {
                    self.fixed_rows(column, rows, &fields.fixed[fixed_at(column)]);
                }
                Kind::Time | Kind::Micros => {
                    self.int_rows(column, rows, &fields.ints[int_at(column)]);
                }
                Kind::Text => self.text_rows(column, rows, fields, bytes, block),
                Kind::Json => self.json_rows(rows, fields, bytes, block),
                Kind::Label => self.label_rows(column, rows, fields, bytes, block),
            }
        }
        self.end_rows(rows, &fields.present);
    }

    fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    fn reserve(&mut self, times: usize) {
        self.reserve_rows(times);
    }
}

impl Columns {
    fn text_rows(
        &mut self,
        column: usize,
        rows: Rows,
        fields: &mut Fields<'_>,
        bytes: &[u8],
        block: &Block,
    ) {
        let Some(texts) = self.texts(column, rows) else { return };
        let (present, plain) = (fields.present[column], fields.plain[column]);
        if present & !plain == 0 {
            let (spans, count) = gathered(rows, present, block.spans(column));
            return texts.push_all(bytes, &spans[..count]);
        }
        let scratch = &mut fields.scratch;
        each(rows.live, |row| {
            if present >> row & 1 == 0 {
                texts.push(b"");
            } else if plain >> row & 1 == 1 {
                let (start, stop) = block.spans(column)[row];
                texts.push(bytes.get(start as usize..stop as usize).unwrap_or_default());
            } else {
                texts.push(unescaped(block.slot(column, row, false), bytes, scratch));
            }
        });
    }

    fn label_rows(
        &mut self,
        column: usize,
        rows: Rows,
        fields: &mut Fields<'_>,
        bytes: &[u8],
        block: &Block,
    ) {
        let Some((labels, seed)) = self.labels(column, rows) else { return };
        let (present, plain) = (fields.present[column], fields.plain[column]);
        if let (at::APP_ID, Some(own)) = (column, fields.context.app_id) {
            // Every row has the key's app: its own name for it was the same, or none.
            let key = labels.number(own.as_bytes(), seed);
            return each(rows.live, |row| labels.keys[rows.place(row)] = key);
        }
        if column == at::CURRENCY {
            let codes = &fields.currencies;
            return each(present, |row| {
                labels.keys[rows.place(row)] = labels.number(&codes[row], seed);
            });
        }
        if present & !plain == 0 {
            let numbers = labels.numbers_at(bytes, block.spans(column), present, seed);
            return each(present, |row| labels.keys[rows.place(row)] = numbers[row]);
        }
        let scratch = &mut fields.scratch;
        each(present, |row| {
            let slot = block.slot(column, row, plain >> row & 1 == 1);
            let text = if slot.form == Form::Text {
                slot.of(bytes)
            } else {
                unescaped(slot, bytes, scratch)
            };
            labels.keys[rows.place(row)] = labels.number(text, seed);
        });
    }

    /// `properties` as sent, with the unknown fields behind its own.
    fn json_rows(&mut self, rows: Rows, fields: &mut Fields<'_>, bytes: &[u8], block: &Block) {
        let Some(texts) = self.texts(at::PROPERTIES, rows) else { return };
        let sent = fields.sent[at::PROPERTIES];
        let has_unknown = block.has_unknown();
        if !has_unknown {
            let (spans, count) = gathered(rows, sent, block.spans(at::PROPERTIES));
            return texts.push_all(bytes, &spans[..count]);
        }
        let scratch = &mut fields.scratch;
        each(rows.live, |row| {
            let (start, stop) = block.spans(at::PROPERTIES)[row];
            let is_sent = sent >> row & 1 == 1;
            let object = if is_sent { bytes.get(start as usize..stop as usize) } else { None };
            if block.unknown(row).is_empty() {
                texts.push(object.unwrap_or_default());
            } else {
                texts.push(joined(object, row, bytes, block, scratch));
            }
        });
    }
}

/// The spans of the rows that are kept, one behind the other, and how many; a null has none.
#[inline]
fn gathered(rows: Rows, present: u64, spans: &[(u32, u32); ROWS]) -> ([(u32, u32); ROWS], usize) {
    let mut kept = [(0, 0); ROWS];
    let mut count = 0;
    each(rows.live, |row| {
        let is_there = (present >> row & 1) as u32;
        // Without a branch: for a null both ends are zero.
        kept[count % ROWS] = (spans[row].0 * is_there, spans[row].1 * is_there);
        count += 1;
    });
    (kept, count)
}

pub(crate) fn unescaped<'a>(slot: Slot, bytes: &[u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    debug_assert!(slot.form == Form::Escaped, "other forms were refused");
    scratch.clear();
    unescape(slot.of(bytes), scratch);
    scratch
}

/// `properties` (as sent, or none) with the unknown fields of a row behind its own.
pub(crate) fn joined<'a>(
    object: Option<&[u8]>,
    row: usize,
    bytes: &[u8],
    block: &Block,
    scratch: &'a mut Vec<u8>,
) -> &'a [u8] {
    let head = object.and_then(|object| object.strip_suffix(b"}")).unwrap_or(b"{");
    scratch.clear();
    scratch.extend_from_slice(head);
    let mut comma = !head[1..].trim_ascii().is_empty();
    for member in block.unknown(row) {
        if comma {
            scratch.push(b',');
        }
        comma = true;
        scratch.extend_from_slice(member.key.raw(bytes));
        scratch.push(b':');
        scratch.extend_from_slice(member.value.raw(bytes));
    }
    scratch.push(b'}');
    scratch
}
