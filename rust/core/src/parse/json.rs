//! One JSON value's bytes in, positions of its parts out. Strict RFC 8259, nothing is copied.
//!
//! Three things are noted rather than refused, because they do not blur where a value ends: how
//! deep it nests, whether an escape is half a surrogate pair, and bytes that are not UTF-8.

use unmogrowp_scan::string_end;

/// What a value is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    #[default]
    Null,
    /// A string without escapes: its bytes are its text.
    Text,
    /// A string that has to be unescaped.
    Escaped,
    Number,
    Bool,
    Object,
    Array,
}

/// Where a value lies. For strings the quotes are outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) form: Form,
    pub(crate) start: u32,
    pub(crate) stop: u32,
}

/// Values are small and records of 4 GiB are refused before they are read.
#[allow(clippy::cast_possible_truncation, reason = "no position is above `u32::MAX`")]
pub(crate) const fn narrow(position: usize) -> u32 {
    position as u32
}

impl Slot {
    #[inline]
    const fn new(form: Form, start: usize, stop: usize) -> Self {
        Self { form, start: narrow(start), stop: narrow(stop) }
    }

    #[inline]
    pub(crate) fn of<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.start as usize..self.stop as usize).unwrap_or_default()
    }

    /// The value as it was sent, quotes included.
    pub(crate) fn raw<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        match self.form {
            Form::Text | Form::Escaped => {
                bytes.get(self.start as usize - 1..self.stop as usize + 1).unwrap_or_default()
            }
            _ => self.of(bytes),
        }
    }
}

/// The bytes are no JSON; the scanner knows why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop;

/// Why bytes are no JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

/// A position in bytes that moves over JSON.
#[derive(Debug, Default)]
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Deepest nesting met since `load`.
    pub(crate) deepest: usize,
    /// Where an escape was half a surrogate pair.
    pub(crate) lone_surrogate: Option<usize>,
    /// What stopped it.
    pub(crate) broken: Broken,
    /// The open containers, kept between values so that nesting allocates once per batch.
    open: Vec<u8>,
}

impl<'a> Scanner<'a> {
    pub(crate) fn load(&mut self, bytes: &'a [u8]) {
        self.bytes = bytes;
        self.at = 0;
        self.deepest = 0;
        self.lone_surrogate = None;
        self.open.clear();
    }

    pub(crate) fn over(bytes: &'a [u8]) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// Count what was noted from `start`.
    pub(crate) fn rebase(&mut self, start: usize) {
        self.broken.at = self.broken.at.saturating_sub(start);
        self.lone_surrogate = self.lone_surrogate.map(|at| at - start);
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn skip(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// The byte here; 0, which starts nothing, at the end.
    #[inline]
    pub(crate) fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    pub(crate) fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Move on to the end, where only white space may be.
    #[inline]
    pub(crate) fn end(&mut self) -> Result<(), Stop> {
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { self.stop("something follows the value") }
    }

    #[cold]
    fn stop<T>(&mut self, what: &'static str) -> Result<T, Stop> {
        let what = if self.at >= self.bytes.len() { "the value is cut off" } else { what };
        self.broken = Broken { at: self.at, what };
        Err(Stop)
    }

    /// Step into the object or array that starts here; false when it is empty and left again.
    #[inline]
    pub(crate) fn enter(&mut self) -> bool {
        let close = self.peek() + 2;
        debug_assert!(matches!(close, b'}' | b']'), "only containers are entered");
        self.at += 1;
        self.space();
        self.open.push(close);
        self.deepest = self.deepest.max(self.open.len());
        if self.peek() != close {
            return true;
        }
        self.at += 1;
        self.open.pop();
        false
    }

    /// After a member: true on a comma, false when the container closes here and is left.
    #[inline]
    pub(crate) fn more(&mut self) -> Result<bool, Stop> {
        self.space();
        let byte = self.peek();
        if byte == b',' {
            self.at += 1;
            self.space();
            return Ok(true);
        }
        if Some(&byte) == self.open.last() {
            self.at += 1;
            self.open.pop();
            return Ok(false);
        }
        self.stop("expected a comma or the end of the object or array")
    }

    /// A key and its colon; stops at the value.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<Slot, Stop> {
        if self.peek() != b'"' {
            return self.stop("expected a key in double quotes");
        }
        let key = self.string()?;
        if self.peek() != b':' {
            self.space();
            if self.peek() != b':' {
                return self.stop("expected a colon after the key");
            }
        }
        self.at += 1;
        self.space();
        Ok(key)
    }

    /// Any value, with everything inside checked.
    #[inline]
    pub(crate) fn value(&mut self) -> Result<Slot, Stop> {
        match self.peek() {
            b'"' => self.string(),
            b'{' => self.container(Form::Object),
            b'[' => self.container(Form::Array),
            _ => self.scalar(),
        }
    }

    fn scalar(&mut self) -> Result<Slot, Stop> {
        match self.peek() {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true", Form::Bool),
            b'f' => self.word(b"false", Form::Bool),
            b'n' => self.word(b"null", Form::Null),
            _ => self.stop("expected a value"),
        }
    }

    fn word(&mut self, word: &[u8], form: Form) -> Result<Slot, Stop> {
        let start = self.at;
        if !self.bytes[start..].starts_with(word) {
            return self.stop("expected a value");
        }
        self.at += word.len();
        Ok(Slot::new(form, start, self.at))
    }

    /// Walks without recursion, so that no nesting can exhaust the stack.
    fn container(&mut self, form: Form) -> Result<Slot, Stop> {
        let (start, floor) = (self.at, self.open.len());
        let mut inside = self.enter();
        while inside || self.open.len() > floor {
            if inside && self.open.last() == Some(&b'}') {
                self.key()?;
            }
            if inside && matches!(self.peek(), b'{' | b'[') {
                inside = self.enter();
                if inside {
                    continue;
                }
            } else if inside {
                self.scalar()?;
            }
            if self.open.len() > floor {
                inside = self.more()?;
            }
        }
        Ok(Slot::new(form, start, self.at))
    }

    /// The string that starts here.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Slot, Stop> {
        let start = self.at + 1;
        self.at = string_end(self.bytes, start);
        if self.peek() == b'"' {
            let stop = self.at;
            self.at += 1;
            return Ok(Slot::new(Form::Text, start, stop));
        }
        self.escaped_string(start)
    }

    #[cold]
    fn escaped_string(&mut self, start: usize) -> Result<Slot, Stop> {
        loop {
            match self.peek() {
                b'"' => break,
                b'\\' => self.escape()?,
                _ => return self.stop("a control character must be escaped"),
            }
            self.at = string_end(self.bytes, self.at);
        }
        let stop = self.at;
        self.at += 1;
        Ok(Slot::new(Form::Escaped, start, stop))
    }

    fn escape(&mut self) -> Result<(), Stop> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                let unit = self.unit()?;
                let paired = (0xd800..0xdc00).contains(&unit) && self.low_follows();
                if paired {
                    self.at += 1;
                    self.unit()?;
                } else if (0xd800..0xe000).contains(&unit) {
                    self.lone_surrogate.get_or_insert(start);
                }
            }
            _ => return self.stop("unknown escape"),
        }
        Ok(())
    }

    /// Four hex digits after the `u` here.
    fn unit(&mut self) -> Result<u16, Stop> {
        self.at += 1;
        match self.bytes.get(self.at..).and_then(hex_unit) {
            Some(unit) => {
                self.at += 4;
                Ok(unit)
            }
            None => self.stop("`\\u` needs four hex digits"),
        }
    }

    fn low_follows(&self) -> bool {
        self.bytes.get(self.at..).and_then(low_unit).is_some()
    }

    #[inline]
    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<Slot, Stop> {
        let start = self.at;
        self.at += usize::from(self.peek() == b'-');
        let first = self.peek();
        let whole = self.digits();
        if whole == 0 || (first == b'0' && whole > 1) {
            return self.stop("not a number");
        }
        if self.peek() == b'.' {
            self.at += 1;
            if self.digits() == 0 {
                return self.stop("a decimal point needs digits");
            }
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            if self.digits() == 0 {
                return self.stop("an exponent needs digits");
            }
        }
        Ok(Slot::new(Form::Number, start, self.at))
    }
}

fn hex_unit(bytes: &[u8]) -> Option<u16> {
    let mut unit = 0;
    for &byte in bytes.first_chunk::<4>()? {
        unit = unit << 4 | u16::try_from(char::from(byte).to_digit(16)?).ok()?;
    }
    Some(unit)
}

/// The second half of a surrogate pair, if it stands here as an escape.
fn low_unit(bytes: &[u8]) -> Option<u16> {
    let unit = hex_unit(bytes.strip_prefix(b"\\u")?)?;
    (0xdc00..0xe000).contains(&unit).then_some(unit)
}

/// Append the text of a checked string to `out`; half a surrogate pair becomes U+FFFD.
pub(crate) fn unescape(mut raw: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(b'\\', raw) {
        out.extend_from_slice(&raw[..at]);
        let code = raw.get(at + 1).copied().unwrap_or(b'\\');
        raw = raw.get(at + 2..).unwrap_or_default();
        match code {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => raw = unescape_unit(raw, out),
            other => out.push(other),
        }
    }
    out.extend_from_slice(raw);
}

fn unescape_unit<'a>(raw: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let first = hex_unit(raw).unwrap_or(0xfffd);
    let mut rest = raw.get(4..).unwrap_or_default();
    let mut units = [first, 0];
    let mut count = 1;
    let high = (0xd800..0xdc00).contains(&first);
    if let Some(low) = low_unit(rest).filter(|_| high) {
        units[1] = low;
        count = 2;
        rest = &rest[6..];
    }
    for unit in char::decode_utf16(units[..count].iter().copied()) {
        let char = unit.unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    }
    rest
}
