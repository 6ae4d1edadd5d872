//! The checked values of a block in, rows of the batch out: only of the records without failure.

use super::block::{Block, ROWS, bits, each};
use super::columns::{Columns, Rows, extend};
use super::fields::{Fields, fixed_at, int_at};
use super::json::{Form, Slot, unescape};
use super::reader::Sink;
use crate::schema::{COLUMNS, Kind, at};

impl Sink for Columns {
    fn write(&mut self, fields: &mut Fields<'_>, bytes: &[u8], block: &Block) {
        let rows = self.rows_of(block.all() & !block.failed);
        for (column, kind) in COLUMNS.iter().map(|column| column.kind).enumerate() {
            fields.found.present[column] &= rows.live;
            if fields.found.present[column] == 0 {
                continue;
            }
            match kind {
                Kind::Uuid | Kind::Ip => {
                    self.fixed_rows(column, rows, &fields.found.fixed[fixed_at(column)]);
                }
                Kind::Time | Kind::Micros => {
                    self.int_rows(column, rows, &fields.found.ints[int_at(column)]);
                }
                Kind::Text => self.text_rows(column, rows, fields, bytes, block),
                Kind::Json => self.json_rows(rows, fields, bytes, block),
                Kind::Label => self.label_rows(column, rows, fields, bytes, block),
            }
        }
        self.end_rows(rows, &fields.found.present);
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
        let (present, plain) = (fields.found.present[column], fields.found.plain[column]);
        if present & !plain == 0 {
            return texts.push_all(bytes, spans(rows, present, column, block));
        }
        let scratch = &mut fields.scratch;
        each(rows.live, |row| {
            if present >> row & 1 == 0 {
                texts.push(b"");
            } else if plain >> row & 1 == 1 {
                let (start, stop) = block.span(column, row);
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
        let (present, plain) = (fields.found.present[column], fields.found.plain[column]);
        if let (at::APP_ID, Some(own)) = (column, fields.context.app_id) {
            // Every row has the key's app: its own name for it was the same, or none.
            let key = labels.number(own.as_bytes(), seed);
            return labels.keys.resize(rows.stop(), key);
        }
        if column == at::CURRENCY {
            let codes = &fields.found.currencies;
            let mut numbers = [0; ROWS];
            each(present, |row| numbers[row] = labels.number(&codes[row], seed));
            return extend(&mut labels.keys, rows, &numbers);
        }
        let span = |row| block.span(column, row);
        let mut numbers = labels.numbers(bytes, span, present & plain, seed);
        let scratch = &mut fields.scratch;
        each(present & !plain, |row| {
            let text = unescaped(block.slot(column, row, false), bytes, scratch);
            numbers[row] = labels.number(text, seed);
        });
        extend(&mut labels.keys, rows, &numbers);
    }

    /// `properties` as sent, with the unknown fields behind its own.
    fn json_rows(&mut self, rows: Rows, fields: &mut Fields<'_>, bytes: &[u8], block: &Block) {
        let Some(texts) = self.texts(at::PROPERTIES, rows) else { return };
        let sent = fields.found.sent[at::PROPERTIES];
        let has_unknown = block.has_unknown();
        if !has_unknown {
            return texts.push_all(bytes, spans(rows, sent, at::PROPERTIES, block));
        }
        let scratch = &mut fields.scratch;
        each(rows.live, |row| {
            let (start, stop) = block.span(at::PROPERTIES, row);
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

/// The spans of the rows that are kept; a null has an empty one.
#[inline]
fn spans(
    rows: Rows,
    present: u64,
    column: usize,
    block: &Block,
) -> impl Iterator<Item = (u32, u32)> {
    bits(rows.live).map(move |row| {
        let is_there = (present >> row & 1) as u32;
        let (start, stop) = block.span(column, row);
        // Without a branch: for a null both ends are zero.
        (start * is_there, stop * is_there)
    })
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
