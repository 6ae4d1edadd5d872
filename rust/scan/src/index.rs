//! Bytes in, the place of every quote and every line out.
//!
//! A quote is indexed whether it opens, closes or is escaped: lines that hold a backslash are
//! marked, and whoever walks them has to look for himself. So nothing is carried from line to line,
//! and a broken line harms no other.

use crate::isa::{Isa, Path};

/// Where a line ends and what kind of bytes it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Position of its `\n`, or of the end of the bytes.
    pub stop: u32,
    /// How many quotes have been indexed up to its end.
    pub quotes: u32,
    /// It holds a control byte other than the `\r` before its `\n`.
    pub is_odd: bool,
    /// It holds a backslash.
    pub is_escaped: bool,
    /// It holds bytes that are not ASCII.
    pub is_wide: bool,
}

/// Quotes and lines of some bytes; reused, so that it allocates once.
#[derive(Debug, Default)]
pub struct Index {
    /// Positions of all `"`.
    pub quotes: Vec<u32>,
    /// All lines; the last is what follows the last `\n`, unless that is nothing.
    pub lines: Vec<Line>,
}

/// Which of 64 bytes end a line or say something about one, the first byte lowest.
#[derive(Clone, Copy, Default)]
pub(crate) struct Marks {
    pub(crate) newline: u64,
    /// Control bytes, `\n` included.
    pub(crate) control: u64,
    pub(crate) slash: u64,
    pub(crate) wide: u64,
}

/// Bytes that are looked at together.
pub(crate) const BLOCK: usize = 64;

/// What is known of the line at hand, carried from block to block.
pub(crate) struct Pen<'a> {
    lines: &'a mut Vec<Line>,
    is_odd: bool,
    is_escaped: bool,
    is_wide: bool,
}

impl<'a> Pen<'a> {
    pub(crate) fn new(lines: &'a mut Vec<Line>) -> Self {
        Self { lines, is_odd: false, is_escaped: false, is_wide: false }
    }

    /// Note the lines that end in a block which starts at `at`; `quotes` were indexed before it.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "it is part of the loop of each kernel")]
    pub(crate) fn note(
        &mut self,
        block: &[u8; BLOCK],
        quote: u64,
        marks: Marks,
        at: u32,
        quotes: u32,
    ) {
        let Marks { mut newline, control, mut slash, mut wide } = marks;
        let mut odd = control & !newline;
        if odd != 0 && newline != 0 {
            odd &= !(returns(block) & newline >> 1);
        }
        while newline != 0 {
            let bit = newline.trailing_zeros();
            let below = (1_u64 << bit) - 1;
            self.lines.push(Line {
                stop: at + bit,
                quotes: quotes + (quote & below).count_ones(),
                is_odd: self.is_odd || odd & below != 0,
                is_escaped: self.is_escaped || slash & below != 0,
                is_wide: self.is_wide || wide & below != 0,
            });
            (odd, slash, wide) = (odd & !below, slash & !below, wide & !below);
            (self.is_odd, self.is_escaped, self.is_wide) = (false, false, false);
            newline &= newline - 1;
        }
        self.is_odd |= odd != 0;
        self.is_escaped |= slash != 0;
        self.is_wide |= wide != 0;
    }

    /// Note what follows the last `\n`.
    pub(crate) fn close(self, start: u32, stop: u32, quotes: u32) {
        let Self { is_odd, is_escaped, is_wide, .. } = self;
        if self.lines.last().map_or(start, |line| line.stop + 1) < stop {
            self.lines.push(Line { stop, quotes, is_odd, is_escaped, is_wide });
        }
    }
}

/// Where the block has `\r`. Only called for blocks that have control bytes.
fn returns(block: &[u8; BLOCK]) -> u64 {
    bits(block, |eight| equal(eight, b'\r'))
}

impl Index {
    /// Index `bytes`, whose first position is called `base`. What was here before is forgotten.
    ///
    /// Positions have 32 bits: `base` and the bytes together must stay below 4 GiB, or they wrap.
    pub fn fill(&mut self, isa: Isa, bytes: &[u8], base: u32) {
        self.quotes.clear();
        self.lines.clear();
        match isa.path() {
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => crate::x86::index_avx512(isa, bytes, base, self),
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => crate::x86::index_avx2(isa, bytes, base, self),
            #[cfg(target_arch = "aarch64")]
            Path::Neon => crate::neon::index(isa, bytes, base, self),
            _ => self.fill_with(bytes, base, quotes, marks),
        }
    }

    /// Block by block; of most there is nothing to tell but the quotes.
    #[inline]
    pub(crate) fn fill_with(
        &mut self,
        bytes: &[u8],
        base: u32,
        quotes_of: impl Fn(&[u8; BLOCK]) -> u64,
        marks_of: impl Fn(&[u8; BLOCK]) -> Option<Marks>,
    ) {
        let Self { quotes, lines } = self;
        let mut pen = Pen::new(lines);
        let mut at = base;
        for block in blocks(bytes) {
            let before = count(quotes);
            let all = quotes_of(&block);
            let mut quote = all;
            while quote != 0 {
                quotes.push(at.wrapping_add(quote.trailing_zeros()));
                quote &= quote - 1;
            }
            if let Some(marks) = marks_of(&block) {
                pen.note(&block, all, marks, at, before);
            }
            at = at.wrapping_add(64);
        }
        let stop = base.wrapping_add(narrow(bytes.len()));
        pen.close(base, stop, count(quotes));
    }
}

#[allow(clippy::cast_possible_truncation, reason = "callers keep below 4 GiB, and it is no index")]
pub(crate) const fn narrow(length: usize) -> u32 {
    length as u32
}

pub(crate) fn count(quotes: &[u32]) -> u32 {
    narrow(quotes.len())
}

/// The bytes 64 at a time; the last are filled up with spaces.
pub(crate) fn blocks(bytes: &[u8]) -> impl Iterator<Item = [u8; BLOCK]> + '_ {
    let (whole, rest) = bytes.as_chunks::<BLOCK>();
    let rest = (!rest.is_empty()).then(|| padded(rest));
    whole.iter().copied().chain(rest)
}

/// Fewer than 64 bytes, filled up with spaces.
pub(crate) fn padded(rest: &[u8]) -> [u8; BLOCK] {
    let mut block = [b' '; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    block
}

/// The high bit of each of eight bytes.
const HIGH: u64 = u64::from_le_bytes([0x80; 8]);

/// The high bit of each byte that is zero.
const fn zero(eight: u64) -> u64 {
    // Without a carry from byte to byte: a low half above zero reaches the high bit.
    !(((eight & !HIGH) + !HIGH) | eight) & HIGH
}

/// The high bit of each byte that is this one.
const fn equal(eight: u64, byte: u8) -> u64 {
    zero(eight ^ u64::from_le_bytes([byte; 8]))
}

/// The high bit of each byte below 32.
const fn control(eight: u64) -> u64 {
    zero(eight & u64::from_le_bytes([0xe0; 8]))
}

/// A bit for each byte whose high bit `mark` sets, given eight at a time.
#[inline]
fn bits(block: &[u8; BLOCK], mark: impl Fn(u64) -> u64) -> u64 {
    // One product brings the high bits of all bytes together.
    let gathered = |marks: u64| (marks >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    let marked = |eight: &[u8; 8]| gathered(mark(u64::from_le_bytes(*eight)));
    let (eights, _) = block.as_chunks();
    eights.iter().rev().fold(0, |bits, eight| bits << 8 | marked(eight))
}

fn quotes(block: &[u8; BLOCK]) -> u64 {
    bits(block, |eight| equal(eight, b'"'))
}

fn marks(block: &[u8; BLOCK]) -> Option<Marks> {
    let (eights, _) = block.as_chunks();
    let special = |eight: u64| control(eight) | equal(eight, b'\\') | eight & HIGH;
    if eights.iter().fold(0, |any, eight| any | special(u64::from_le_bytes(*eight))) == 0 {
        return None;
    }
    Some(Marks {
        newline: bits(block, |eight| equal(eight, b'\n')),
        control: bits(block, control),
        slash: bits(block, |eight| equal(eight, b'\\')),
        wide: bits(block, |eight| eight & HIGH),
    })
}

#[cfg(test)]
mod tests {
    use super::{Index, Isa, Line};

    fn indexed(isa: Isa, bytes: &[u8], base: u32) -> Index {
        let mut index = Index::default();
        index.fill(isa, bytes, base);
        index
    }

    /// By the words of the documentation, byte by byte.
    fn expected(bytes: &[u8], base: usize) -> (Vec<u32>, Vec<(usize, usize, bool)>) {
        let quotes = (0..bytes.len()).filter(|&at| bytes[at] == b'"').map(|at| base + at);
        let quotes: Vec<_> = quotes.map(|at| u32::try_from(at).unwrap()).collect();
        let (mut lines, mut start) = (Vec::new(), 0);
        while start < bytes.len() {
            let rest = &bytes[start..];
            let length = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
            let before = bytes[..start + length].split(|&byte| byte == b'"').count() - 1;
            let wide = rest[..length].iter().any(|byte| *byte >= 0x80);
            lines.push((base + start + length, before, wide));
            start += length + 1;
        }
        (quotes, lines)
    }

    fn check(bytes: &[u8], base: u32) {
        let plain = Isa::supported().last().unwrap();
        let oracle = indexed(plain, bytes, base);
        let (quotes, lines) = expected(bytes, base as usize);
        let found = |line: &Line| (line.stop as usize, line.quotes as usize, line.is_wide);
        assert_eq!(oracle.quotes, quotes);
        assert_eq!(oracle.lines.iter().map(found).collect::<Vec<_>>(), lines);
        for isa in Isa::supported() {
            let index = indexed(isa, bytes, base);
            assert_eq!(index.quotes, oracle.quotes, "{isa:?} {bytes:?}");
            assert_eq!(index.lines, oracle.lines, "{isa:?} {bytes:?}");
        }
    }

    #[test]
    fn every_path_finds_each_byte_at_each_place() {
        for length in 0..140 {
            check(&vec![b'"'; length], 7);
            check(&vec![b'\n'; length], 7);
            for place in 0..length {
                for byte in [b'"', b'\n', b'\r', b'\\', 0, 0x1f, 0x20, 0x7f, 0x80, 0xff] {
                    let mut bytes = vec![b'a'; length];
                    bytes[place] = byte;
                    check(&bytes, 0);
                }
            }
        }
    }

    #[test]
    fn every_path_agrees_on_noise() {
        let mut state = 1_u64;
        for length in (0..900).step_by(7) {
            let mut bytes = vec![0; length];
            for byte in &mut bytes {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let noise = (state >> 33) as usize;
                let kinds = b"\"\"a{}:,\\\n\r \t\xc3\xa9x0";
                *byte = kinds[noise % kinds.len()];
            }
            check(&bytes, 1_000_000);
        }
    }

    #[test]
    fn a_return_is_odd_unless_the_line_ends_there() {
        let lines = |bytes: &[u8]| {
            let index = indexed(Isa::active(), bytes, 0);
            index.lines.iter().map(|line| (line.is_odd, line.is_escaped)).collect::<Vec<_>>()
        };
        assert_eq!(lines(b"ab\r\ncd\r\n"), [(false, false); 2]);
        assert_eq!(lines(b"a\rb\ncd\\\nef\r"), [(true, false), (false, true), (true, false)]);
    }
}
