//! The checked values of a block in, rows as [`crate::row`] reads them out.
//!
//! What only has to become durable needs no columns: a value is copied once, from the body to
//! where it will lie on the disk.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;

use unmogrowp_scan::{Isa, uuids};

use super::block::{Block, Place, ROWS, each};
use super::columns::WIDTH;
use super::fields::{Fields, fixed_at, int_at};
use super::reader::Sink;
use super::turn::{FEW_ROWS, transpose};
use super::write::{joined, unescaped};
use crate::dedup::Id;
use crate::row::{self, Pen, RowError, Rows, Text, Value, Writer};
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
    ///
    /// # Errors
    /// A bug: rows that cannot be read again.
    pub fn runs<'a>(
        &'a self,
        without: &'a [usize],
    ) -> impl Iterator<Item = Result<Run<'a>, RowError>> {
        self.spans().filter_map(|rows| {
            let from = without.partition_point(|&row| row < rows.start);
            let to = without.partition_point(|&row| row < rows.end);
            let count = u32::try_from(rows.len() - (to - from)).unwrap_or(u32::MAX);
            (count > 0).then(|| {
                let bytes = match &without[from..to] {
                    [] => Cow::Borrowed(self.part(rows)),
                    some => Cow::Owned(self.without(rows, some)?),
                };
                Ok((count, bytes))
            })
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
    fn without(&self, group: Range<usize>, mut left_out: &[usize]) -> Result<Vec<u8>, RowError> {
        let bytes = self.part(group.clone());
        let (mut out, mut end, mut writer) = (Vec::new(), 0, Writer::default());
        let (mut rows, mut values) = (Rows::bare(bytes), Vec::with_capacity(WIDTH));
        writer.begin_group();
        for row in group {
            values.clear();
            let start = rows.at();
            let read = rows.next(|column, value| values.push((column, value)));
            let present = read.ok_or(RowError::Damaged(start))?;
            if left_out.first() == Some(&row) {
                left_out = &left_out[1..];
                continue;
            }
            let text_bytes = values.iter().map(|(_, value)| value.text_bytes()).sum();
            let mut pen = Pen::new(&mut out, end, text_bytes);
            writer.begin_row(present, &mut pen);
            for &(column, value) in &values {
                match value {
                    Value::Fixed(value) => writer.fixed(column, value, &mut pen),
                    Value::Int(value) => writer.int(column, value, &mut pen),
                    Value::Text(text) if COLUMNS[column].kind == Kind::Label => {
                        writer.label(column, Text::whole(text), &mut pen);
                    }
                    Value::Text(text) => Writer::text(Text::whole(text), &mut pen),
                    Value::UuidText(uuid) => writer.session(uuid, &mut pen),
                }
            }
            writer.end_row(&mut pen);
            end = pen.at();
        }
        out.truncate(end);
        Ok(out)
    }
}

/// A group that is as long takes no more rows.
const GROUP_BYTES: usize = 256 << 10;

/// A buffer that grew beyond that is not kept.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// What is kept from one body to the next of a thread.
type Kept = (Writer, Sessions, Vec<u8>);

thread_local! {
    static SPARE: Cell<Option<Kept>> = const { Cell::new(None) };
}

/// Packs rows.
pub(crate) struct Packer<'m> {
    packed: Packed,
    /// Where rows are written, and how many bytes of it are; the others are room.
    bytes: Vec<u8>,
    end: usize,
    writer: Writer,
    /// Where the group starts.
    group_at: usize,
    /// Whether the row being written is the only one.
    is_lone: bool,
    sessions: Sessions,
    mint: &'m dyn Fn() -> Id,
}

impl<'m> Packer<'m> {
    pub(crate) fn new(mint: &'m dyn Fn() -> Id) -> Self {
        let (writer, sessions, bytes) = SPARE.take().unwrap_or_default();
        Self {
            packed: Packed::default(),
            bytes,
            end: 0,
            writer,
            group_at: 0,
            is_lone: false,
            sessions,
            mint,
        }
    }

    pub(crate) fn finish(mut self) -> Packed {
        self.packed.bytes = if self.bytes.len() > KEPT_BYTES_MAX {
            self.bytes.truncate(self.end);
            std::mem::take(&mut self.bytes)
        } else {
            // Room that was made once is kept: making it costs more than this copy.
            self.bytes[..self.end].to_vec()
        };
        SPARE.set(Some((self.writer, self.sessions, self.bytes)));
        self.packed
    }

    /// Give every row an id, and keep those that clients gave.
    fn identify(&mut self, live: u64, fields: &mut Fields<'_>) {
        let ids = &mut fields.found.fixed[fixed_at(at::EVENT_ID)];
        let given = fields.found.present[at::EVENT_ID];
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
        fields.found.present[at::EVENT_ID] = live;
    }

    fn row(&mut self, row: usize, present: u64, fields: &mut Fields<'_>, from: (&[u8], &Block)) {
        if self.packed.is_empty() || self.end - self.group_at >= GROUP_BYTES {
            self.packed.groups.push(self.packed.len());
            self.group_at = self.end;
            self.writer.begin_group();
        }
        let Place { start, stop, .. } = from.1.places[row];
        // A name may stand for two; nothing else takes more than was sent, but for the app.
        let app = fields.context.app_id.map_or(0, str::len);
        let text_bytes = (stop - start) as usize + app + COLUMNS[at::EVENT_NAME].bytes_max;
        let mut pen = Pen::new(&mut self.bytes, self.end, text_bytes);
        let writer = &mut self.writer;
        writer.begin_row(present, &mut pen);
        each(present & row::FIXED, |column| {
            writer.fixed(column, fields.found.fixed[fixed_at(column)][row], &mut pen);
        });
        each(present & row::INTS, |column| {
            writer.int(column, fields.found.ints[int_at(column)][row], &mut pen);
        });
        if self.is_lone {
            each(present & row::LABELS, |column| {
                Writer::lone_label(text(column, row, fields, from), &mut pen);
            });
        } else {
            each(present & row::LABELS, |column| {
                writer.label(column, text(column, row, fields, from), &mut pen);
            });
        }
        let sessions = &self.sessions;
        each(present & row::TEXTS & !PROPERTIES, |column| match sessions.get(column, row) {
            Some(uuid) => writer.session(uuid, &mut pen),
            None => Writer::text(text(column, row, fields, from), &mut pen),
        });
        if present & PROPERTIES != 0 {
            properties(row, fields, from, &mut pen);
        }
        writer.end_row(&mut pen);
        self.end = pen.at();
        self.packed.stops.push(self.end);
    }
}

/// The sessions of a block that are named by a UUID, which reads back as it was sent.
struct Sessions {
    uuids: Box<[[u8; 16]; ROWS]>,
    rows: u64,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { uuids: Box::new([[0; 16]; ROWS]), rows: 0 }
    }
}

impl Sessions {
    fn find(&mut self, live: u64, fields: &Fields<'_>, bytes: &[u8], block: &Block) {
        let column = at::SESSION_ID;
        let rows = live & fields.found.present[column] & fields.found.plain[column];
        let span = |row| block.span(column, row);
        let found = uuids(Isa::active(), bytes, span, rows, &mut self.uuids);
        self.rows = 0;
        each(found, |row| {
            let (start, stop) = span(row);
            let text = bytes.get(start as usize..stop as usize).unwrap_or_default();
            // Of all that a UUID has, only letters in upper case lack this bit.
            let is_lower = text.iter().fold(0x20, |bits, byte| bits & byte) != 0;
            self.rows |= u64::from(is_lower) << row;
        });
    }

    #[inline]
    fn get(&self, column: usize, row: usize) -> Option<[u8; 16]> {
        (column == at::SESSION_ID && self.rows >> row & 1 == 1).then(|| self.uuids[row])
    }
}

const PROPERTIES: u64 = 1 << at::PROPERTIES;

/// Append the object of a row, with the fields that are no column in it.
#[inline]
fn properties(
    row: usize,
    fields: &mut Fields<'_>,
    (bytes, block): (&[u8], &Block),
    pen: &mut Pen<'_>,
) {
    let span = block.span(at::PROPERTIES, row);
    if block.unknown(row).is_empty() {
        return Writer::text(Text::at(bytes, span), pen);
    }
    let is_sent = fields.found.sent[at::PROPERTIES] >> row & 1 == 1;
    let object = bytes.get(span.0 as usize..span.1 as usize).filter(|_| is_sent);
    let object = joined(object, row, bytes, block, &mut fields.scratch);
    Writer::text(Text::whole(object), pen);
}

/// The text that a row has in a column.
#[inline]
fn text<'a>(
    column: usize,
    row: usize,
    fields: &'a mut Fields<'_>,
    (bytes, block): (&'a [u8], &Block),
) -> Text<'a> {
    match (column, fields.context.app_id) {
        // The record's own name for it was the same, or none.
        (at::APP_ID, Some(own)) => Text::whole(own.as_bytes()),
        (at::CURRENCY, _) => Text::whole(&fields.found.currencies[row]),
        _ if fields.found.plain[column] >> row & 1 == 1 => Text::at(bytes, block.span(column, row)),
        _ => Text::whole(unescaped(block.slot(column, row, false), bytes, &mut fields.scratch)),
    }
}

impl Sink for Packer<'_> {
    fn write(&mut self, fields: &mut Fields<'_>, bytes: &[u8], block: &Block) {
        let live = block.all() & !block.failed;
        self.identify(live, fields);
        self.sessions.find(live, fields, bytes, block);
        let mut masks = [0; ROWS];
        if block.rows > FEW_ROWS {
            masks[..WIDTH].copy_from_slice(&fields.found.present);
            transpose(&mut masks);
        } else {
            for (column, rows) in fields.found.present.iter().enumerate() {
                each(rows & live, |row| masks[row] |= 1 << column);
            }
        }
        self.is_lone = self.packed.is_empty() && live.is_power_of_two();
        each(live, |row| self.row(row, masks[row], fields, (bytes, block)));
    }

    fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }

    fn reserve(&mut self, times: usize) {
        let Packed { stops, ids, id_rows, .. } = &mut self.packed;
        self.bytes.reserve(self.end * times);
        stops.reserve(stops.len() * times);
        ids.reserve(ids.len() * times);
        id_rows.reserve(id_rows.len() * times);
    }
}
