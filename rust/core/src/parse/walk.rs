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
    /// The two quotes of each string that is still ahead.
    strings: &'a [[u32; 2]],
    at: usize,
}

/// Given up.
type Step<T> = Option<T>;

/// Deepest nesting that the bits of a word can follow.
const DEPTH_MAX: usize = 62;

impl<'a> Walker<'a> {
    /// At `start`, where the record opens; `strings` are those of the record.
    pub(crate) fn new(text: &'a [u8], strings: &'a [[u32; 2]], start: usize) -> Self {
        Self { text, strings, at: start }
    }

    /// Read the record, which must end at `stop`, into the block's next row.
    #[inline]
    pub(crate) fn record(
        &mut self,
        stop: usize,
        depth_max: usize,
        block: &mut Block,
    ) -> Step<Draft> {
        let (mut met, mut members, mut null) = (0_u64, 0, 0_u32);
        let row = block.rows;
        let inside_max = depth_max.min(DEPTH_MAX).checked_sub(1)?;
        self.expect(b'{')?;
        self.space();
        loop {
            if self.strings.first()?[0] as usize != self.at {
                return None;
            }
            while let Some((key, value)) = self.text_member() {
                if let Some(column) = keys::column_at(self.text, key) {
                    met |= TEXT << column;
                    members += 1;
                    block.put_text(column, row, value);
                } else {
                    block.put_unknown(plain(key), plain(value));
                }
            }
            let key = self.key()?;
            let slot = self.value(inside_max)?;
            if let Some(column) = keys::column_at(self.text, key) {
                met |= if slot.form == Form::Text { TEXT << column } else { 1 << column };
                members += 1;
                null |= u32::from(slot.form == Form::Null) << column;
                block.put(column, slot);
            } else {
                block.put_unknown(plain(key), slot);
            }
            match self.peek_spaced() {
                b',' => self.at += 1,
                b'}' => break,
                _ => return None,
            }
            self.space();
        }
        self.at += 1;
        let (seen, plain) = (low(met), low(met >> 32));
        // A column that is met twice is for the slow way to report.
        let is_whole = self.at == stop && self.strings.is_empty() && seen.count_ones() == members;
        is_whole.then_some(Draft { seen, null, plain })
    }

    /// The next member if it is text, without spaces, and another member follows.
    ///
    /// All quotes are indexed in order, so where a quote follows the colon, that is the next one.
    #[inline]
    fn text_member(&mut self) -> Option<((u32, u32), (u32, u32))> {
        let [key, value, rest @ ..] = self.strings else { return None };
        if !self.is_between(key[1], *b"\":\"") || !self.is_between(value[1], *b"\",\"") {
            return None;
        }
        self.strings = rest;
        self.at = value[1] as usize + 2;
        Some(((key[0] + 1, key[1]), (value[0] + 1, value[1])))
    }

    /// Whether these three bytes lie here.
    #[inline]
    fn is_between(&self, at: u32, [a, b, c]: [u8; 3]) -> bool {
        let found = self.text.get(at as usize..).and_then(<[u8]>::first_chunk::<4>);
        let wanted = u32::from_le_bytes([a, b, c, 0]);
        found.is_some_and(|four| u32::from_le_bytes(*four) & 0x00ff_ffff == wanted)
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
        let (&[open, close], rest) = self.strings.split_first()?;
        if open as usize != self.at {
            return None;
        }
        self.strings = rest;
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

    /// A value of any kind.
    #[inline]
    fn value(&mut self, inside_max: usize) -> Step<Slot> {
        let start = self.at;
        let form = match self.peek() {
            b'"' => return self.string().map(plain),
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

    /// How many digits lie here; steps over them, eight at a time.
    #[inline]
    fn digits(&mut self) -> usize {
        let start = self.at;
        while let Some(eight) = self.text.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let count = leading_digits(u64::from_le_bytes(*eight));
            self.at += count;
            if count < 8 {
                return self.at - start;
            }
        }
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

/// The first column, met with plain text: seen below, plain above.
const TEXT: u64 = 1 | 1 << 32;

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the low half")]
const fn low(bits: u64) -> u32 {
    bits as u32
}

/// How many of eight bytes, the first lowest, are digits before one that is none.
#[inline]
const fn leading_digits(eight: u64) -> usize {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zeros = eight ^ 0x3030_3030_3030_3030;
    // A byte of ten and above reaches the high bit; it may carry, but only into later bytes.
    let others = (zeros | ((zeros & !HIGH) + 0x7676_7676_7676_7676)) & HIGH;
    (others.trailing_zeros() / 8) as usize
}

#[cfg(test)]
mod tests {
    use super::leading_digits;

    #[test]
    fn digits_are_counted_up_to_the_first_other_byte() {
        for place in 0..8 {
            for byte in 0..=255_u8 {
                let mut bytes = *b"90817263";
                bytes[place] = byte;
                let expected = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
                assert_eq!(leading_digits(u64::from_le_bytes(bytes)), expected, "{bytes:?}");
            }
        }
    }
}
