//! The checked values of a block in, rows as [`crate::row`] reads them out.
//!
//! What only has to become durable needs no columns: a value is copied once, from the body to
//! where it will lie on the disk.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;

use super::block::{Block, ROWS, each};
use super::columns::{FEW_ROWS, WIDTH, transpose};
use super::fields::{Fields, fixed_at, int_at};
use super::reader::Sink;
use super::write::{joined, unescaped};
use crate::dedup::Id;
use crate::row::{Rows, Value, Writer};
use crate::schema::{COLUMNS, Kind, at};

/// Rows one behind the other, in groups that stand alone.
#[derive(Clone, Debug, Default)]
pub struct Packed {
    bytes: Vec<u8>,
    /// Where each row ends.
    stops: Vec<usize>,
    /// First row of each group.
    groups: Vec<usize>,
    ids: Vec<Id>,
    id_rows: Vec<usize>,
}

/// Rows that stand alone: how many, and their bytes.
pub type Run<'a> = (u32, Cow<'a, [u8]>);

impl Packed {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.stops.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.stops.is_empty()
    }

    /// All rows.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Ids that clients gave, in the order of their rows.
    pub fn ids(&self) -> &[Id] {
        &self.ids
    }

    /// The row of each of [`Packed::ids`].
    pub fn id_rows(&self) -> &[usize] {
        &self.id_rows
    }

    /// Bytes of the longest group.
    pub fn longest(&self) -> usize {
        self.spans().map(|rows| self.part(rows).len()).max().unwrap_or(0)
    }

    /// The rows that are not in `without`, which ascends, group by group.
    pub fn runs<'a>(&'a self, without: &'a [usize]) -> impl Iterator<Item = Run<'a>> {
        self.spans().filter_map(|rows| {
            let from = without.partition_point(|&row| row < rows.start);
            let to = without.partition_point(|&row| row < rows.end);
            let count = u32::try_from(rows.len() - (to - from)).unwrap_or(u32::MAX);
            let bytes = match &without[from..to] {
                [] => Cow::Borrowed(self.part(rows)),
                some => Cow::Owned(self.without(rows, some)),
            };
            (count > 0).then_some((count, bytes))
        })
    }

    fn spans(&self) -> impl Iterator<Item = Range<usize>> {
        let stops = self.groups.iter().skip(1).copied().chain([self.len()]);
        self.groups.iter().zip(stops).map(|(&start, stop)| start..stop)
    }

    fn part(&self, rows: Range<usize>) -> &[u8] {
        let edge = |row: usize| if row == 0 { 0 } else { self.stops[row - 1] };
        &self.bytes[edge(rows.start)..edge(rows.end)]
    }

    /// A group anew: what a row says only by its number, a row that is left out may have said.
    fn without(&self, group: Range<usize>, mut left_out: &[usize]) -> Vec<u8> {
        let bytes = self.part(group.clone());
        let (mut out, mut writer) = (Vec::with_capacity(bytes.len()), Writer::default());
        let (mut rows, mut values) = (Rows::bare(bytes), Vec::with_capacity(WIDTH));
        writer.begin_group();
        for row in group {
            values.clear();
            let Some(present) = rows.next(|column, value| values.push((column, value))) else {
                debug_assert!(false, "what was written can be read");
                break;
            };
            if left_out.first() == Some(&row) {
                left_out = &left_out[1..];
                continue;
            }
            writer.begin_row(present, &mut out);
            for (column, value) in &values {
                match value {
                    Value::Fixed(value) => writer.fixed(*column, value, &mut out),
                    Value::Int(value) => writer.int(*column, *value, &mut out),
                    Value::Text(text) if COLUMNS[*column].kind == Kind::Label => {
                        writer.label(text, &mut out);
                    }
                    Value::Text(text) => Writer::text(text, &mut out),
                }
            }
            writer.end_row(&mut out);
        }
        out
    }
}

/// What a row may take besides what was sent: its word, an id, an app, two times.
const ROW_BYTES: usize = 64;
/// A group that is as long takes no more rows.
const GROUP_BYTES: usize = 256 << 10;

thread_local! {
    static SPARE: Cell<Option<Writer>> = const { Cell::new(None) };
}

/// Packs rows.
pub(crate) struct Packer<'m> {
    packed: Packed,
    writer: Writer,
    /// Where the group starts.
    group_at: usize,
    /// Whether the row being written is the only one.
    is_lone: bool,
    mint: &'m dyn Fn() -> Id,
}

impl<'m> Packer<'m> {
    pub(crate) fn new(mint: &'m dyn Fn() -> Id) -> Self {
        let writer = SPARE.take().unwrap_or_default();
        Self { packed: Packed::default(), writer, group_at: 0, is_lone: false, mint }
    }

    pub(crate) fn finish(self) -> Packed {
        SPARE.set(Some(self.writer));
        self.packed
    }

    /// Give every row an id, and keep those that clients gave.
    fn identify(&mut self, live: u64, fields: &mut Fields<'_>) {
        let ids = &mut fields.fixed[fixed_at(at::EVENT_ID)];
        let given = fields.present[at::EVENT_ID];
        let mut place = self.packed.len();
        each(live, |row| {
            if given >> row & 1 == 1 {
                self.packed.ids.push(ids[row]);
                self.packed.id_rows.push(place);
            } else {
                ids[row] = (self.mint)();
            }
            place += 1;
        });
        fields.present[at::EVENT_ID] = live;
    }

    fn row(&mut self, row: usize, present: u64, fields: &mut Fields<'_>, from: (&[u8], &Block)) {
        let stop = self.packed.bytes.len();
        if self.packed.is_empty() || stop - self.group_at >= GROUP_BYTES {
            self.packed.groups.push(self.packed.len());
            self.group_at = stop;
            self.writer.begin_group();
        }
        self.writer.begin_row(present, &mut self.packed.bytes);
        each(present, |column| self.value(column, row, fields, from));
        self.writer.end_row(&mut self.packed.bytes);
        self.packed.stops.push(self.packed.bytes.len());
    }

    /// Append the value that a row has in a column.
    #[inline]
    fn value(
        &mut self,
        column: usize,
        row: usize,
        fields: &mut Fields<'_>,
        (bytes, block): (&[u8], &Block),
    ) {
        let out = &mut self.packed.bytes;
        match COLUMNS[column].kind {
            Kind::Uuid | Kind::Ip => {
                self.writer.fixed(column, &fields.fixed[fixed_at(column)][row], out);
            }
            Kind::Time | Kind::Micros => {
                self.writer.int(column, fields.ints[int_at(column)][row], out);
            }
            Kind::Json => {
                let is_sent = fields.sent[column] >> row & 1 == 1;
                let (start, stop) = block.span(column, row);
                let object = if is_sent { bytes.get(start as usize..stop as usize) } else { None };
                let is_whole = block.unknown(row).is_empty();
                Writer::text(
                    if is_whole {
                        object.unwrap_or_default()
                    } else {
                        joined(object, row, bytes, block, &mut fields.scratch)
                    },
                    out,
                );
            }
            Kind::Text => Writer::text(text(column, row, fields, (bytes, block)), out),
            Kind::Label if self.is_lone => {
                Writer::lone_label(text(column, row, fields, (bytes, block)), out);
            }
            Kind::Label => self.writer.label(text(column, row, fields, (bytes, block)), out),
        }
    }
}

/// The text that a row has in a column.
#[inline]
fn text<'a>(
    column: usize,
    row: usize,
    fields: &'a mut Fields<'_>,
    (bytes, block): (&'a [u8], &Block),
) -> &'a [u8] {
    match (column, fields.context.app_id) {
        // The record's own name for it was the same, or none.
        (at::APP_ID, Some(own)) => own.as_bytes(),
        (at::CURRENCY, _) => &fields.currencies[row],
        _ if fields.plain[column] >> row & 1 == 1 => {
            let (start, stop) = block.span(column, row);
            bytes.get(start as usize..stop as usize).unwrap_or_default()
        }
        _ => unescaped(block.slot(column, row, false), bytes, &mut fields.scratch),
    }
}

impl Sink for Packer<'_> {
    fn write(&mut self, fields: &mut Fields<'_>, bytes: &[u8], block: &Block) {
        let live = block.all() & !block.failed;
        self.identify(live, fields);
        let mut masks = [0; ROWS];
        if block.rows > FEW_ROWS {
            masks[..WIDTH].copy_from_slice(&fields.present);
            transpose(&mut masks);
        } else {
            for (column, rows) in fields.present.iter().enumerate() {
                each(rows & live, |row| masks[row] |= 1 << column);
            }
        }
        // Rows are seldom longer than what they are made of: this is most often all they take.
        let sent = block.places[block.rows - 1].stop - block.places[0].start;
        self.packed.bytes.reserve(sent as usize + block.rows * ROW_BYTES);
        self.is_lone = self.packed.is_empty() && live.is_power_of_two();
        each(live, |row| self.row(row, masks[row], fields, (bytes, block)));
    }

    fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }

    fn reserve(&mut self, times: usize) {
        let Packed { bytes, stops, ids, id_rows, .. } = &mut self.packed;
        bytes.reserve(bytes.len() * times);
        stops.reserve(stops.len() * times);
        ids.reserve(ids.len() * times);
        id_rows.reserve(id_rows.len() * times);
    }
}
