//! A record's bytes and the places of its quotes in, where its fields lie out.
//!
//! The fast way, for lines without control bytes. It knows the end of every string without looking
//! at the string. Whatever it does not expect makes it give up, and the record is read by
//! [`super::json`], which also knows what is wrong with it.

use super::block::{Block, Draft};
use super::glance::glance;
use super::json::{Form, Slot, narrow};
use super::keys::{self, Lead, SENT, TEXT};

/// A position in a line. Handed on by value, so that it stays in registers.
#[derive(Clone, Copy)]
pub(crate) struct Walker<'a, E> {
    text: &'a [u8],
    /// The two quotes of each string that is still ahead.
    strings: &'a [[u32; 2]],
    at: usize,
    /// Those of them that are escaped.
    escaped: E,
}

/// Which strings are to be unescaped. Strings are counted from the last, which is the first.
pub(crate) trait Escaped: Copy {
    /// How many of those that are left come before the first.
    fn before(self, left: usize) -> usize;

    /// Whether the next one is; it is forgotten then.
    fn take(&mut self, left: usize) -> bool;

    /// Forget those before the last few.
    fn skip(&mut self, left: usize);
}

/// None.
impl Escaped for () {
    #[inline]
    fn before(self, left: usize) -> usize {
        left
    }

    #[inline]
    fn take(&mut self, _: usize) -> bool {
        false
    }

    #[inline]
    fn skip(&mut self, _: usize) {}
}

/// These, the first first.
impl Escaped for &[usize] {
    fn before(self, left: usize) -> usize {
        left.saturating_sub(self.first().copied().unwrap_or(0))
    }

    fn take(&mut self, left: usize) -> bool {
        let is_next = self.first() == Some(&left);
        *self = &self[usize::from(is_next)..];
        is_next
    }

    fn skip(&mut self, left: usize) {
        let skipped = self.iter().take_while(|string| **string > left).count();
        *self = &self[skipped..];
    }
}

/// Given up.
type Step<T> = Option<T>;

/// Deepest nesting that the bits of a word can follow.
const DEPTH_MAX: usize = 62;

impl<'a, E: Escaped> Walker<'a, E> {
    /// At `start`, where the record opens; `strings` are those of the record, `escaped` some.
    pub(crate) fn new(text: &'a [u8], strings: &'a [[u32; 2]], escaped: E, start: usize) -> Self {
        Self { text, strings, at: start, escaped }
    }

    /// Read the record, which must end at `stop`, into the block's next row.
    #[inline]
    pub(crate) fn record(
        mut self,
        stop: usize,
        depth_max: usize,
        block: &mut Block,
    ) -> Step<Draft> {
        let (mut met, mut members, mut null) = (0_u64, 0, 0_u32);
        let inside_max = depth_max.min(DEPTH_MAX).checked_sub(1)?;
        self.expect(b'{')?;
        self.space();
        loop {
            if self.strings.first()?[0] as usize != self.at {
                return None;
            }
            let plain = &self.strings[..self.escaped.before(self.strings.len())];
            let texts = texts(self.text, plain, block.spans_of_draft());
            met |= texts.met;
            members += texts.members;
            self.skip(texts.members);
            if texts.is_last {
                self.at -= 1;
                break;
            }
            let key = self.key()?;
            if key.form == Form::Escaped {
                return None;
            }
            let slot = self.value(inside_max)?;
            if let Some(column) = keys::column_at(self.text, (key.start, key.stop)) {
                met |= if keys::is_plain(column, slot) { TEXT << column } else { 1 << column };
                members += 1;
                null |= u32::from(slot.form == Form::Null) << column;
                block.put(column, slot);
            } else {
                block.put_unknown(key, slot);
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

    /// Go on behind members that are text, and what follows each of them at once.
    #[inline]
    fn skip(&mut self, members: u32) {
        let (read, rest) = self.strings.split_at(2 * members as usize);
        if let Some(value) = read.last() {
            self.at = value[1] as usize + 2;
        }
        self.strings = rest;
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

    /// The string here.
    #[inline]
    fn string(&mut self) -> Step<Slot> {
        let (&[open, close], rest) = self.strings.split_first()?;
        if open as usize != self.at {
            return None;
        }
        let is_escaped = self.escaped.take(self.strings.len());
        let form = if is_escaped { Form::Escaped } else { Form::Text };
        self.strings = rest;
        self.at = close as usize + 1;
        Some(Slot { form, start: open + 1, stop: close })
    }

    /// A key and its colon; stops at the value.
    #[inline]
    fn key(&mut self) -> Step<Slot> {
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
            b'"' => return self.string(),
            b'{' => {
                *self = match self.flat() {
                    Some(behind) if inside_max > 0 => behind,
                    _ => self.container(inside_max)?,
                };
                Form::Object
            }
            b'[' => {
                *self = self.container(inside_max)?;
                Form::Array
            }
            _ => self.scalar()?,
        };
        Some(Slot { form, start: narrow(start), stop: narrow(self.at) })
    }

    #[inline]
    fn scalar(&mut self) -> Step<Form> {
        let (form, stop) = scalar(self.text, self.at)?;
        self.at = stop;
        Some(form)
    }

    /// Behind the object here, if nothing in it nests and no space stands between its members.
    ///
    /// As in [`texts`], a quote behind a colon or a comma is the next one.
    #[inline]
    fn flat(mut self) -> Step<Self> {
        match &glance(self.text, narrow(self.at)) {
            b"{}" => return Some(Self { at: self.at + 2, ..self }),
            b"{\"" => {}
            _ => return None,
        }
        loop {
            let (&[_, close], rest) = self.strings.split_first()?;
            self.strings = rest;
            let [_, colon, first, _] = glance(self.text, close);
            if colon != b':' {
                return None;
            }
            self.at = if first == b'"' {
                let (&[_, close], rest) = rest.split_first()?;
                self.strings = rest;
                close as usize + 1
            } else {
                scalar(self.text, close as usize + 2)?.1
            };
            match &glance(self.text, narrow(self.at)) {
                b",\"" => {}
                [b'}', _] => {
                    self.escaped.skip(self.strings.len());
                    return Some(Self { at: self.at + 1, ..self });
                }
                _ => return None,
            }
        }
    }

    /// Behind the object or array here, with everything inside checked. Walks without recursion:
    /// the kinds of the open containers are the bits of a word, the innermost lowest.
    #[inline(never)]
    fn container(mut self, depth_max: usize) -> Step<Self> {
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
                    return Some(self);
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

/// What the number or word here is, and where it ends.
#[inline(never)]
fn scalar(text: &[u8], at: usize) -> Step<(Form, usize)> {
    let word = |word: [u8; 4], at: usize, form| {
        (glance(text, narrow(at)) == word).then_some((form, at + 4))
    };
    match text.get(at)? {
        b'-' => Some((Form::Number, number(text, at + 1)?)),
        b'0'..=b'9' => Some((Form::Number, number(text, at)?)),
        b't' => word(*b"true", at, Form::Bool),
        b'f' => word(*b"alse", at + 1, Form::Bool),
        b'n' => word(*b"null", at, Form::Null),
        _ => None,
    }
}

/// The end of the number whose digits start here. Of most, eight bytes tell, without a branch on
/// what they are.
#[inline]
fn number(text: &[u8], start: usize) -> Step<usize> {
    let eight = u64::from_le_bytes(glance(text, narrow(start)));
    let behind = |length: usize| eight.checked_shr(8 * narrow(length)).unwrap_or(0);
    let byte = |length: usize| low(behind(length)) & 0xff;
    let whole = leading_digits(eight);
    let fraction = leading_digits(behind(whole + 1));
    let has_point = byte(whole) == u32::from(b'.');
    let length = whole + if has_point { 1 + fraction } else { 0 };
    let is_led_by_zero = whole > 1 && byte(0) == u32::from(b'0');
    let is_usual = whole > 0
        && !is_led_by_zero
        && (fraction > 0 || !has_point)
        && length < 8
        && byte(length) | 0x20 != u32::from(b'e');
    if is_usual { Some(start + length) } else { long_number(text, start) }
}

/// The same of any number.
fn long_number(text: &[u8], start: usize) -> Step<usize> {
    let byte = |at: usize| text.get(at).copied().unwrap_or(0);
    let mut at = digits(text, start)?;
    if byte(start) == b'0' && at > start + 1 {
        return None;
    }
    if byte(at) == b'.' {
        at = digits(text, at + 1)?;
    }
    if matches!(byte(at), b'e' | b'E') {
        at = digits(text, at + 1 + usize::from(matches!(byte(at + 1), b'+' | b'-')))?;
    }
    Some(at)
}

/// The end of the digits that start here, if there are any; looks at eight at a time.
#[inline]
fn digits(text: &[u8], start: usize) -> Step<usize> {
    let mut at = start;
    loop {
        let count = leading_digits(u64::from_le_bytes(glance(text, narrow(at))));
        at += count;
        if count < 8 {
            return (at > start).then_some(at);
        }
    }
}

/// Members that were plain text.
struct Texts {
    /// Their bits in a draft.
    met: u64,
    members: u32,
    /// The record may close behind them.
    is_last: bool,
}

/// Read members from here on while they are plain text of a column, without spaces, up to the last
/// of the record.
///
/// All quotes are indexed in order, so where a quote follows the colon or the comma, that is the
/// next one. On its own, because what it needs fits the registers.
#[inline(never)]
fn texts(text: &[u8], strings: &[[u32; 2]], spans: &mut [(u32, u32); SENT]) -> Texts {
    let mut texts = Texts { met: 0, members: 0, is_last: false };
    let mut last = None;
    for &[key, value] in strings.as_chunks::<2>().0 {
        let Some(lead) = Lead::to(text, key, value) else { break };
        let behind = u32::from_le_bytes(glance(text, value[1]));
        if behind & 0x00ff_ffff != NEXT {
            last = (behind & 0xffff == LAST).then_some((lead, value));
            break;
        }
        texts.keep(lead, value, spans);
    }
    if let Some((lead, value)) = last {
        texts.keep(lead, value, spans);
        texts.is_last = true;
    }
    texts
}

impl Texts {
    #[inline]
    fn keep(&mut self, lead: &Lead, value: [u32; 2], spans: &mut [(u32, u32); SENT]) {
        self.met |= lead.bit;
        self.members += 1;
        spans[lead.column % SENT] = (value[0] + 1, value[1]);
    }
}

/// What closes the innermost container.
#[inline]
const fn close(kinds: u64) -> u8 {
    if kinds & 1 == 1 { b'}' } else { b']' }
}

/// What ends a string behind which another one follows at once, and one that may be the last.
const NEXT: u32 = u32::from_le_bytes(*b"\",\"\0");
const LAST: u32 = u32::from_le_bytes(*b"\"}\0\0");

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
    use super::{leading_digits, long_number, number};

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

    #[test]
    fn short_numbers_end_where_any_number_does() {
        const KINDS: &[u8] = b"019.eE+-,} ";
        let mut state = 1_u64;
        for _ in 0..200_000 {
            let mut text = [0; 12];
            for byte in &mut text {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = KINDS[(state >> 33) as usize % KINDS.len()];
            }
            for text in [&text[..], &text[..4]] {
                assert_eq!(number(text, 0), long_number(text, 0), "{text:?}");
            }
        }
        assert_eq!(number(b"1234567", 0), Some(7));
        assert_eq!(number(b"12.4567,", 0), Some(7));
        assert_eq!(number(b"1.", 0), None);
    }
}
