//! One record's bytes in, where each known field and each unknown member lies out.

use super::json::{Form, Scanner, Slot, Stop, unescape};
use super::keys::{SENT, WORDS, column};

/// A key and its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) key: Slot,
    pub(crate) value: Slot,
}

/// The parts of one record, reused for every record of a batch.
#[derive(Debug)]
pub(crate) struct Record {
    slots: [Slot; SENT],
    /// Bit per column whose key was met, null or not.
    pub(crate) seen: u32,
    /// Members that are no column, in the order sent.
    pub(crate) unknown: Vec<Member>,
    /// The first key met a second time.
    pub(crate) duplicate: Option<Slot>,
    /// Which column followed each, last time; the last place stands for the start. Clients send
    /// their keys in one order, so a guess saves most look-ups.
    follows: [usize; SENT + 1],
    scratch: Vec<u8>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            slots: [Slot::default(); SENT],
            seen: 0,
            unknown: Vec::new(),
            duplicate: None,
            follows: [0; SENT + 1],
            scratch: Vec::new(),
        }
    }
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
        let mut last = SENT;
        let mut inside = scanner.enter();
        while inside {
            let guess = self.follows[last];
            let (key, found) = if let Some(key) = scanner.skip_key(&WORDS[guess]) {
                (key, Some(guess))
            } else {
                let key = scanner.key()?;
                (key, self.look_up(key, bytes))
            };
            let value = scanner.value()?;
            if let Some(column) = found {
                self.note(column, key, value);
                self.follows[last] = column;
                last = column;
            } else {
                self.unknown.push(Member { key, value });
            }
            inside = scanner.more()?;
        }
        scanner.end()
    }

    #[inline]
    fn look_up(&mut self, key: Slot, bytes: &[u8]) -> Option<usize> {
        if key.form == Form::Text {
            return column(key.of(bytes));
        }
        self.scratch.clear();
        unescape(key.of(bytes), &mut self.scratch);
        column(&self.scratch)
    }

    #[inline]
    fn note(&mut self, column: usize, key: Slot, value: Slot) {
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
