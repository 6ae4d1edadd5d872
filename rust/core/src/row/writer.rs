//! The values of rows in, the bytes of a payload out.

use super::{Flags, IPV4_PREFIX, LABEL_BYTES_MIN, write_length, write_text};
use crate::schema::at;

/// Labels that are looked for at once. A label that another one displaced is spelled out again, so
/// that labels chosen to collide cost bytes, never time.
const SLOTS: usize = 512;

/// A label that was spelled out.
#[derive(Clone, Copy, Default)]
struct Slot {
    group: u32,
    number: u32,
    start: usize,
    len: usize,
}

/// Writes rows, values in column order.
pub(crate) struct Writer {
    slots: Box<[Slot; SLOTS]>,
    /// Slots of other groups hold nothing.
    group: u32,
    /// Labels of the group that have a number.
    labels: u32,
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
        (self.labels, self.received_us) = (0, None);
        self.word = Flags::FIRST;
    }

    /// Begin a row with values in these columns.
    #[inline]
    pub(crate) fn begin_row(&mut self, present: u64, out: &mut Vec<u8>) {
        self.word |= present;
        self.word_at = out.len();
        out.extend_from_slice(&[0; 8]);
    }

    /// All values are written.
    #[inline]
    pub(crate) fn end_row(&mut self, out: &mut [u8]) {
        out[self.word_at..self.word_at + 8].copy_from_slice(&self.word.to_le_bytes());
        self.word = 0;
    }

    #[inline]
    pub(crate) fn fixed(&mut self, column: usize, value: &[u8; 16], out: &mut Vec<u8>) {
        if column == at::IP && value[..12] == IPV4_PREFIX {
            self.word |= Flags::IPV4;
            out.extend_from_slice(&value[12..]);
        } else {
            out.extend_from_slice(value);
        }
    }

    #[inline]
    pub(crate) fn int(&mut self, column: usize, value: i64, out: &mut Vec<u8>) {
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
        out.extend_from_slice(&value.to_le_bytes());
    }

    fn has(&self, column: usize) -> bool {
        self.word >> column & 1 == 1
    }

    #[inline]
    pub(crate) fn text(value: &[u8], out: &mut Vec<u8>) {
        write_text(value, out);
    }

    /// A label that no other row will ask for.
    #[inline]
    pub(crate) fn lone_label(value: &[u8], out: &mut Vec<u8>) {
        write_length(value.len() << 1, out);
        out.extend_from_slice(value);
    }

    #[inline]
    pub(crate) fn label(&mut self, value: &[u8], out: &mut Vec<u8>) {
        let Some(place) = place(value) else { return Self::lone_label(value, out) };
        let slot = &mut self.slots[place % SLOTS];
        if slot.group == self.group && out[slot.start..slot.start + slot.len] == *value {
            return write_length((slot.number as usize) << 1 | 1, out);
        }
        write_length(value.len() << 1, out);
        *slot = Slot { group: self.group, number: self.labels, start: out.len(), len: value.len() };
        self.labels += 1;
        out.extend_from_slice(value);
    }
}

/// Where a label is looked for; none for one that is too short.
#[inline]
fn place(label: &[u8]) -> Option<usize> {
    const { assert!(LABEL_BYTES_MIN >= 8) };
    let (first, last) = (label.first_chunk()?, label.last_chunk()?);
    let mixed = u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(29);
    let spread = (mixed ^ label.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Some((spread >> 48) as usize)
}
