//! Where the fields of up to 64 records lie: what reading leaves for checking.
//!
//! 64 so that one word holds a bit per record: questions about a column are asked of all records at
//! once.

use super::fault::Failure;
use super::json::{Form, Slot};
use super::keys::SENT;

/// Records of one block.
pub(crate) const ROWS: usize = 64;

/// A key and its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) key: Slot,
    pub(crate) value: Slot,
}

/// Where a record lies and which one it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(crate) start: u32,
    pub(crate) stop: u32,
    pub(crate) index: u32,
}

/// What was met of the record being read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Draft {
    /// Bit per column whose key was met, null or not.
    pub(crate) seen: u32,
    /// Bit per column whose value was null.
    pub(crate) null: u32,
    /// Bit per column whose value is [`plain`](super::keys::is_plain).
    pub(crate) plain: u32,
}

/// Records read and not yet written. Positions are those of the piece's text.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) rows: usize,
    pub(crate) places: [Place; ROWS],
    /// Per row a bit per column that was sent, and 32 bits higher one if it is plain text.
    pub(crate) words: [u64; ROWS],
    /// Row by row, as they are read: a value's start and stop.
    spans: Box<[[(u32, u32); SENT]; ROWS]>,
    /// Column by column; told only of what is not plain text.
    forms: Box<[[Form; ROWS]; SENT]>,
    /// Members that are no column, in the order sent, row after row.
    unknown: Vec<Member>,
    /// Where each row's end.
    unknown_stops: [usize; ROWS],
    /// Bit per row that has failed.
    pub(crate) failed: u64,
    failures: Vec<Option<Failure>>,
}

impl Default for Block {
    fn default() -> Self {
        Self {
            rows: 0,
            places: [Place::default(); ROWS],
            words: [0; ROWS],
            spans: Box::new([[(0, 0); SENT]; ROWS]),
            forms: Box::new([[Form::Null; ROWS]; SENT]),
            unknown: Vec::new(),
            unknown_stops: [0; ROWS],
            failed: 0,
            failures: vec![None; ROWS],
        }
    }
}

impl Block {
    pub(crate) fn clear(&mut self) {
        self.rows = 0;
        self.failed = 0;
        self.words = [0; ROWS];
        self.unknown.clear();
    }

    /// Bit per row.
    pub(crate) fn all(&self) -> u64 {
        if self.rows == ROWS { u64::MAX } else { (1 << self.rows) - 1 }
    }

    /// Begin the row being read anew.
    #[inline]
    pub(crate) fn restart(&mut self) {
        let start = self.unknown_start(self.rows);
        self.unknown.truncate(start);
    }

    /// Keep a value of the row being read.
    #[inline]
    pub(crate) fn put(&mut self, column: usize, slot: Slot) {
        let row = self.rows % ROWS;
        self.spans[row][column % SENT] = (slot.start, slot.stop);
        self.forms[column % SENT][row] = slot.form;
    }

    /// Where the values of the row being read lie, for whoever keeps plain text.
    #[inline]
    pub(crate) fn spans_of_draft(&mut self) -> &mut [(u32, u32); SENT] {
        &mut self.spans[self.rows % ROWS]
    }

    #[inline]
    pub(crate) fn put_unknown(&mut self, key: Slot, value: Slot) {
        self.unknown.push(Member { key, value });
    }

    /// The row is read.
    #[inline]
    pub(crate) fn end(&mut self, draft: Draft, place: Place) {
        let row = self.rows % ROWS;
        self.words[row] = u64::from(draft.seen & !draft.null) | u64::from(draft.plain) << 32;
        self.places[row] = place;
        self.unknown_stops[row] = self.unknown.len();
        self.rows += 1;
    }

    fn unknown_start(&self, row: usize) -> usize {
        row.checked_sub(1).map_or(0, |before| self.unknown_stops[before])
    }

    /// The members of a row that are no column.
    #[inline]
    pub(crate) fn unknown(&self, row: usize) -> &[Member] {
        let start = self.unknown_start(row);
        self.unknown.get(start..self.unknown_stops[row]).unwrap_or_default()
    }

    /// Whether any row has such members.
    pub(crate) fn has_unknown(&self) -> bool {
        !self.unknown.is_empty()
    }

    /// Those of the row being read.
    #[inline]
    pub(crate) fn unknown_of_draft(&self) -> &[Member] {
        self.unknown.get(self.unknown_start(self.rows)..).unwrap_or_default()
    }

    /// What a row sent for a column; JSON null counts as nothing.
    #[inline]
    pub(crate) fn sent(&self, column: usize, row: usize) -> Option<Slot> {
        let word = self.words[row % ROWS];
        (word >> column & 1 == 1).then(|| {
            let is_plain = word >> (column + 32) & 1 == 1;
            self.slot(column, row, is_plain)
        })
    }

    #[inline]
    pub(crate) fn slot(&self, column: usize, row: usize, is_plain: bool) -> Slot {
        let (start, stop) = self.span(column, row);
        let form = if is_plain { Form::Text } else { self.forms[column % SENT][row % ROWS] };
        Slot { form, start, stop }
    }

    /// Where a row's value of a column lies; of a row without one it means nothing.
    #[inline]
    pub(crate) fn span(&self, column: usize, row: usize) -> (u32, u32) {
        self.spans[row % ROWS][column % SENT]
    }

    /// Let a column have, in one row, what another has.
    pub(crate) fn copy(&mut self, from: usize, to: usize, row: usize) {
        if let Some(slot) = self.sent(from, row) {
            self.spans[row][to] = (slot.start, slot.stop);
            self.forms[to][row] = slot.form;
        }
    }

    /// Keep the failure that comes first in the documented order.
    #[cold]
    pub(crate) fn fail(&mut self, row: usize, failure: Failure) {
        self.failed |= 1 << row;
        let first = &mut self.failures[row];
        if first.as_ref().is_none_or(|first| failure.precedes(first)) {
            *first = Some(failure);
        }
    }

    /// Take the failure of a row.
    pub(crate) fn take_failure(&mut self, row: usize) -> Option<Failure> {
        self.failures[row].take()
    }
}

/// The position of each set bit, lowest first.
#[inline]
pub(crate) fn bits(mut left: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = left.trailing_zeros() as usize;
        (left != 0).then(|| left &= left - 1).map(|()| bit)
    })
}

/// Call `visit` with the position of each set bit, lowest first.
#[inline]
pub(crate) fn each(mut bits: u64, mut visit: impl FnMut(usize)) {
    while bits != 0 {
        visit(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}
