//! One record's bytes in, where each known field and each unknown member lies out.

use super::json::{Form, Scanner, Slot, Stop, unescape};
use super::keys::{SENT, column, column_at};

/// A key and its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) key: Slot,
    pub(crate) value: Slot,
}

/// The parts of one record, reused for every record of a batch.
#[derive(Debug, Default)]
pub(crate) struct Record {
    slots: [Slot; SENT],
    /// Bit per column whose key was met, null or not.
    pub(crate) seen: u32,
    /// Members that are no column, in the order sent.
    pub(crate) unknown: Vec<Member>,
    /// The first key met a second time.
    pub(crate) duplicate: Option<Slot>,
    scratch: Vec<u8>,
}

impl Record {
    pub(crate) fn clear(&mut self) {
        self.seen = 0;
        self.unknown.clear();
        self.duplicate = None;
    }

    /// Read the object that starts here, up to the end of the bytes.
    pub(crate) fn read(&mut self, bytes: &[u8], scanner: &mut Scanner<'_>) -> Result<(), Stop> {
        self.clear();
        let mut inside = scanner.enter();
        while inside {
            let key = scanner.key()?;
            let value = scanner.value()?;
            self.note(bytes, key, value);
            inside = scanner.more()?;
        }
        scanner.end()
    }

    #[inline]
    fn note(&mut self, bytes: &[u8], key: Slot, value: Slot) {
        let found = if key.form == Form::Text {
            column_at(bytes, key.start(), key.of(bytes))
        } else {
            self.scratch.clear();
            unescape(key.of(bytes), &mut self.scratch);
            column(&self.scratch)
        };
        let Some(column) = found else {
            self.unknown.push(Member { key, value });
            return;
        };
        if self.seen >> column & 1 == 1 {
            self.duplicate.get_or_insert(key);
            return;
        }
        self.seen |= 1 << column;
        self.slots[column] = value;
    }

    /// What was sent for a column; JSON null counts as nothing.
    #[inline]
    pub(crate) fn sent(&self, column: usize) -> Option<Slot> {
        let slot = self.slots[column];
        (self.seen >> column & 1 == 1 && slot.form != Form::Null).then_some(slot)
    }
}
