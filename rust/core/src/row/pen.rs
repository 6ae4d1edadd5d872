//! Bytes of a row, written front to back into room that was made before.
//!
//! Where the next byte goes is a number of its own, not the length of a vector: that would be read
//! from memory and written back twenty times a row, each waiting for the one before.

use super::LABEL_BYTES_MIN;

/// Bytes that are copied at once, and up to which that is better than a call.
const CHUNK: usize = 32;
const CHUNKED_MAX: usize = 4 * CHUNK;

/// What a row may take besides its texts: word, ids, times, the lengths of texts, and the chunk
/// that the last text may overwrite.
const ROW_BYTES: usize = 34 * 16 + CHUNK;

/// Text and what lies around it: with more bytes behind it than it has, it is copied faster.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    around: &'a [u8],
    start: usize,
    stop: usize,
}

impl<'a> Text<'a> {
    #[inline]
    pub(crate) fn at(around: &'a [u8], (start, stop): (u32, u32)) -> Self {
        let stop = (stop as usize).min(around.len());
        Self { around, start: (start as usize).min(stop), stop }
    }

    #[inline]
    pub(crate) fn whole(text: &'a [u8]) -> Self {
        Self { around: text, start: 0, stop: text.len() }
    }

    #[inline]
    pub(super) fn len(self) -> usize {
        self.stop - self.start
    }

    #[inline]
    pub(super) fn bytes(self) -> &'a [u8] {
        &self.around[self.start..self.stop]
    }
}

/// Writes a row.
pub(crate) struct Pen<'o> {
    out: &'o mut [u8],
    at: usize,
}

impl<'o> Pen<'o> {
    /// To write behind the first `at` bytes of `out` a row whose texts have at most `text_bytes`.
    #[inline]
    pub(crate) fn new(out: &'o mut Vec<u8>, at: usize, text_bytes: usize) -> Self {
        let needed = at + text_bytes + ROW_BYTES;
        if out.len() < needed {
            out.resize(needed.max(2 * at), 0);
        }
        Self { out, at }
    }

    /// How far it is written.
    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    #[inline]
    pub(super) fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.out[self.at..self.at + N].copy_from_slice(&bytes);
        self.at += N;
    }

    /// Write over what lies before.
    #[inline]
    pub(super) fn over<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        self.out[at..at + N].copy_from_slice(&bytes);
    }

    /// Whether these bytes, eight at least, were written there before.
    #[inline]
    pub(super) fn is_there(&self, start: usize, bytes: &[u8]) -> bool {
        let there = &self.out[start..start + bytes.len()];
        if bytes.len() > 2 * LABEL_BYTES_MIN {
            return there == bytes;
        }
        // The first and the last ones are all of them.
        let ends = |bytes: &[u8]| {
            let first = bytes.first_chunk::<LABEL_BYTES_MIN>().copied();
            (first, bytes.last_chunk::<LABEL_BYTES_MIN>().copied())
        };
        ends(there) == ends(bytes)
    }

    /// Seven bits a byte, the high bit set on all but the last.
    #[inline]
    pub(super) fn length(&mut self, mut length: usize) {
        while length > 0x7f {
            self.put([length.to_le_bytes()[0] | 0x80]);
            length >>= 7;
        }
        self.put([length.to_le_bytes()[0]]);
    }

    #[inline]
    pub(super) fn text(&mut self, text: Text<'_>) {
        let length = text.len();
        // Most text is shorter than a chunk and has other text behind it.
        let first = text.around.get(text.start..text.start + CHUNK);
        if let (Some(chunk), 0..=CHUNK) = (first, length) {
            self.out[self.at..self.at + CHUNK].copy_from_slice(chunk);
            self.at += length;
            return;
        }
        let whole = text.around.get(text.start..);
        match whole.filter(|rest| length <= CHUNKED_MAX && rest.len() >= CHUNKED_MAX) {
            Some(rest) => {
                // Whole chunks: what lies past the text's end is covered by what comes next.
                let mut from = 0;
                while from < length {
                    let to = self.at + from;
                    self.out[to..to + CHUNK].copy_from_slice(&rest[from..from + CHUNK]);
                    from += CHUNK;
                }
            }
            None => self.out[self.at..self.at + length].copy_from_slice(text.bytes()),
        }
        self.at += length;
    }
}
