//! One record's bytes in, where each known field and each unknown member lies out: the slow way,
//! for everything that [`super::walk`] gives up on.

use super::block::{Block, Draft};
use super::json::{Form, Scanner, Slot, Stop, unescape};
use super::keys::{column, is_plain};

/// Reads records; reused, so that it allocates once.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) draft: Draft,
    /// The first key met a second time.
    pub(crate) duplicate: Option<Slot>,
    scratch: Vec<u8>,
}

impl Record {
    /// Nothing was read.
    pub(crate) fn clear(&mut self) {
        (self.draft, self.duplicate) = (Draft::default(), None);
    }

    /// Read the object that starts here, up to the end of the bytes, into the block's next row.
    pub(crate) fn read(
        &mut self,
        text: &[u8],
        scanner: &mut Scanner<'_>,
        block: &mut Block,
    ) -> Result<(), Stop> {
        self.clear();
        block.restart();
        let mut inside = scanner.enter();
        while inside {
            let key = scanner.key()?;
            let found = self.look_up(key, text);
            let value = scanner.value()?;
            if let Some(column) = found {
                self.note(column, (key, value), block);
            } else {
                block.put_unknown(key, value);
            }
            inside = scanner.more()?;
        }
        scanner.end()
    }

    #[inline]
    fn look_up(&mut self, key: Slot, text: &[u8]) -> Option<usize> {
        if key.form == Form::Text {
            return column(key.of(text));
        }
        self.scratch.clear();
        unescape(key.of(text), &mut self.scratch);
        column(&self.scratch)
    }

    #[inline]
    fn note(&mut self, column: usize, (key, value): (Slot, Slot), block: &mut Block) {
        let (draft, bit) = (&mut self.draft, 1 << column);
        if draft.seen & bit != 0 {
            self.duplicate.get_or_insert(key);
            return;
        }
        draft.seen |= bit;
        draft.null |= u32::from(value.form == Form::Null) << column;
        draft.plain |= u32::from(is_plain(column, value)) << column;
        block.put(column, value);
    }
}
