//! A record's bytes and the places of its quotes in, where its fields lie out.
//!
//! The fast way, for lines without backslashes and control bytes. It knows the end of every string
//! without looking at the string. Whatever it does not expect makes it give up, and the record is
//! read by [`super::json`], which also knows what is wrong with it.

use super::block::{Block, Draft};
use super::json::{Form, Slot, narrow};
use super::keys;

/// A position in a line.
pub(crate) struct Walker<'a> {
    text: &'a [u8],
    /// Each string's two quotes.
    strings: &'a [[u32; 2]],
    at: usize,
    next: usize,
}

/// Given up.
type Step<T> = Option<T>;

/// Deepest nesting that the bits of a word can follow.
const DEPTH_MAX: usize = 62;

impl<'a> Walker<'a> {
    /// At `start`, where the record opens; `strings` are those of the record.
    pub(crate) fn new(text: &'a [u8], strings: &'a [[u32; 2]], start: usize) -> Self {
        Self { text, strings, at: start, next: 0 }
    }

    /// Read the record, which must end at `stop`, into the block's next row.
    #[inline]
    pub(crate) fn record(
        &mut self,
        stop: usize,
        depth_max: usize,
        block: &mut Block,
    ) -> Step<Draft> {
        let mut draft = Draft::default();
        let inside_max = depth_max.min(DEPTH_MAX).checked_sub(1)?;
        self.expect(b'{')?;
        self.space();
        loop {
            let key = self.key()?;
            let column = keys::column_at(self.text, key);
            if self.peek() == b'"' {
                let (start, end) = self.string()?;
                if let Some(column) = column {
                    draft.meet(column)?;
                    draft.sent |= 1 << column;
                    draft.plain |= 1 << column;
                    block.put_text(column, start, end);
                } else {
                    block.put_unknown(plain(key), Slot { form: Form::Text, start, stop: end });
                }
            } else {
                let slot = self.other(inside_max)?;
                if let Some(column) = column {
                    draft.meet(column)?;
                    draft.sent |= u32::from(slot.form != Form::Null) << column;
                    block.put(column, slot);
                } else {
                    block.put_unknown(plain(key), slot);
                }
            }
            match self.peek_spaced() {
                b',' if self.at < stop => self.at += 1,
                b'}' => break,
                _ => return None,
            }
            self.space();
        }
        self.at += 1;
        (self.at == stop && self.next == self.strings.len()).then_some(draft)
    }

    #[inline]
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    fn space(&mut self) {
        while self.peek() == b' ' {
            self.at += 1;
        }
    }

    #[inline]
    fn peek_spaced(&mut self) -> u8 {
        self.space();
        self.peek()
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Step<()> {
        (self.peek() == byte).then(|| self.at += 1)
    }

    /// The string here, quotes outside.
    #[inline]
    fn string(&mut self) -> Step<(u32, u32)> {
        let &[open, close] = self.strings.get(self.next)?;
        if open as usize != self.at {
            return None;
        }
        self.next += 1;
        self.at = close as usize + 1;
        Some((open + 1, close))
    }

    /// A key and its colon; stops at the value.
    #[inline]
    fn key(&mut self) -> Step<(u32, u32)> {
        let key = self.string()?;
        self.expect(b':')?;
        self.space();
        Some(key)
    }

    /// A value that is no string.
    #[inline]
    fn other(&mut self, inside_max: usize) -> Step<Slot> {
        let start = self.at;
        let form = match self.peek() {
            b'{' => {
                self.container(inside_max)?;
                Form::Object
            }
            b'[' => {
                self.container(inside_max)?;
                Form::Array
            }
            _ => self.scalar()?,
        };
        Some(Slot { form, start: narrow(start), stop: narrow(self.at) })
    }

    #[inline]
    fn scalar(&mut self) -> Step<Form> {
        match self.peek() {
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(*b"true", Form::Bool),
            b'f' => {
                self.at += 1;
                self.word(*b"alse", Form::Bool)
            }
            b'n' => self.word(*b"null", Form::Null),
            _ => None,
        }
    }

    #[inline]
    fn word(&mut self, word: [u8; 4], form: Form) -> Step<Form> {
        let found = self.text.get(self.at..)?.first_chunk::<4>()?;
        self.at += 4;
        (*found == word).then_some(form)
    }

    #[inline]
    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        self.at - start
    }

    #[inline]
    fn number(&mut self) -> Step<Form> {
        self.at += usize::from(self.peek() == b'-');
        let first = self.peek();
        let whole = self.digits();
        if whole == 0 || (first == b'0' && whole > 1) {
            return None;
        }
        if self.peek() == b'.' {
            self.at += 1;
            if self.digits() == 0 {
                return None;
            }
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            if self.digits() == 0 {
                return None;
            }
        }
        Some(Form::Number)
    }

    /// The object or array here, with everything inside checked. Walks without recursion: the
    /// kinds of the open containers are the bits of a word, the innermost lowest.
    #[inline]
    fn container(&mut self, depth_max: usize) -> Step<()> {
        let (mut kinds, mut depth) = (0_u64, 0);
        'open: loop {
            let is_object = self.peek() == b'{';
            (kinds, depth) = (kinds << 1 | u64::from(is_object), depth + 1);
            if depth > depth_max {
                return None;
            }
            self.at += 1;
            let mut inside = self.peek_spaced() != close(kinds);
            if !inside {
                (kinds, depth) = (kinds >> 1, depth - 1);
                self.at += 1;
            }
            loop {
                if inside {
                    if kinds & 1 == 1 {
                        self.key()?;
                    }
                    match self.peek() {
                        b'"' => drop(self.string()?),
                        b'{' | b'[' => continue 'open,
                        _ => drop(self.scalar()?),
                    }
                }
                if depth == 0 {
                    return Some(());
                }
                let byte = self.peek_spaced();
                self.at += 1;
                if byte == b',' {
                    self.space();
                    inside = true;
                } else if byte == close(kinds) {
                    (kinds, depth) = (kinds >> 1, depth - 1);
                    inside = false;
                } else {
                    return None;
                }
            }
        }
    }
}

/// What closes the innermost container.
#[inline]
const fn close(kinds: u64) -> u8 {
    if kinds & 1 == 1 { b'}' } else { b']' }
}

#[inline]
const fn plain((start, stop): (u32, u32)) -> Slot {
    Slot { form: Form::Text, start, stop }
}

impl Draft {
    /// Note that a column's key was met; a second time is for the slow way to report.
    #[inline]
    fn meet(&mut self, column: usize) -> Step<()> {
        let bit = 1 << column;
        let is_new = self.seen & bit == 0;
        self.seen |= bit;
        is_new.then_some(())
    }
}
