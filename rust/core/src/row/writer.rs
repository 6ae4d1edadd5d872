//! The values of rows in, the bytes of a payload out.

use super::pen::{Pen, Text};
use super::{Flags, LABEL_BYTES_MIN};
use crate::parse::WIDTH;
use crate::parse::ip::MAPPED;
use crate::schema::at;

/// Labels that are looked for at once. A label that another one displaced is spelled out again, so
/// that labels chosen to collide cost bytes, never time.
const SLOTS: usize = 512;

/// Luck that a column begins a group with, and the most it can have.
const LUCK: u8 = 32;
const LUCK_MAX: u8 = 64;

/// A label that was spelled out.
#[derive(Clone, Copy, Default)]
struct Slot {
    group: u32,
    number: u32,
    start: usize,
    len: usize,
}

/// Writes rows, values in [`super::ORDER`].
pub(crate) struct Writer {
    slots: Box<[Slot; SLOTS]>,
    /// Slots of other groups hold nothing.
    group: u32,
    /// Labels of the group that have a number.
    labels: u32,
    /// Columns whose labels never come again are soon not looked for any more.
    luck: [u8; WIDTH],
    received_us: Option<i64>,
    word_at: usize,
    word: u64,
    timestamp_us: i64,
}

impl Default for Writer {
    fn default() -> Self {
        Self {
            slots: Box::new([Slot::default(); SLOTS]),
            group: 0,
            labels: 0,
            luck: [LUCK; WIDTH],
            received_us: None,
            word_at: 0,
            word: Flags::FIRST,
            timestamp_us: 0,
        }
    }
}

impl Writer {
    /// The next row knows nothing of those before it.
    pub(crate) fn begin_group(&mut self) {
        if self.group == u32::MAX {
            self.slots.fill(Slot::default());
            self.group = 0;
        }
        self.group += 1;
        (self.labels, self.luck, self.received_us) = (0, [LUCK; WIDTH], None);
        self.word = Flags::FIRST;
    }

    /// Begin a row with values in these columns.
    #[inline]
    pub(crate) fn begin_row(&mut self, present: u64, pen: &mut Pen<'_>) {
        self.word |= present;
        self.word_at = pen.at();
        pen.put([0; 8]);
    }

    /// All values are written.
    #[inline]
    pub(crate) fn end_row(&mut self, pen: &mut Pen<'_>) {
        pen.over(self.word_at, self.word.to_le_bytes());
        self.word = 0;
    }

    #[inline]
    pub(crate) fn fixed(&mut self, column: usize, value: [u8; 16], pen: &mut Pen<'_>) {
        match value {
            [prefix @ .., a, b, c, d] if column == at::IP && prefix == MAPPED => {
                self.word |= Flags::IPV4;
                pen.put([a, b, c, d]);
            }
            _ => pen.put(value),
        }
    }

    #[inline]
    pub(crate) fn int(&mut self, column: usize, value: i64, pen: &mut Pen<'_>) {
        match column {
            at::TIMESTAMP => self.timestamp_us = value,
            at::CLIENT_TIMESTAMP if value == self.timestamp_us && self.has(at::TIMESTAMP) => {
                self.word |= Flags::NO_SKEW;
                return;
            }
            at::RECEIVED_AT if self.received_us == Some(value) => {
                self.word |= Flags::SAME_RECEIPT;
                return;
            }
            at::RECEIVED_AT => self.received_us = Some(value),
            _ => {}
        }
        pen.put(value.to_le_bytes());
    }

    #[inline]
    fn has(&self, column: usize) -> bool {
        self.word >> column & 1 == 1
    }

    #[inline]
    pub(crate) fn text(value: Text<'_>, pen: &mut Pen<'_>) {
        pen.length(value.len());
        pen.text(value);
    }

    /// The session, whose text is this UUID in lower case.
    #[inline]
    pub(crate) fn session(&mut self, uuid: [u8; 16], pen: &mut Pen<'_>) {
        self.word |= Flags::UUID_SESSION;
        pen.put(uuid);
    }

    /// A label of the only row.
    #[inline]
    pub(crate) fn lone_label(value: Text<'_>, pen: &mut Pen<'_>) {
        pen.length(value.len() << 1);
        pen.text(value);
    }

    #[inline]
    pub(crate) fn label(&mut self, column: usize, value: Text<'_>, pen: &mut Pen<'_>) {
        if value.len() < LABEL_BYTES_MIN {
            return Self::lone_label(value, pen);
        }
        let luck = &mut self.luck[column % WIDTH];
        if *luck == 0 {
            self.labels += 1;
            return Self::lone_label(value, pen);
        }
        let slot = &mut self.slots[place(value.bytes())];
        let is_alike = slot.group == self.group && slot.len == value.len();
        if is_alike && pen.is_there(slot.start, value.bytes()) {
            *luck = (*luck + 2).min(LUCK_MAX);
            return pen.length((slot.number as usize) << 1 | 1);
        }
        *luck -= 1;
        pen.length(value.len() << 1);
        *slot = Slot { group: self.group, number: self.labels, start: pen.at(), len: value.len() };
        self.labels += 1;
        pen.text(value);
    }
}

/// Where a label of [`LABEL_BYTES_MIN`] bytes or more is looked for.
#[inline]
fn place(label: &[u8]) -> usize {
    let word = |bytes: Option<&[u8; LABEL_BYTES_MIN]>| bytes.map_or(0, |b| u64::from_le_bytes(*b));
    let mixed = word(label.first_chunk()) ^ word(label.last_chunk()).rotate_left(29);
    let spread = (mixed ^ label.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (spread >> 48) as usize % SLOTS
}
