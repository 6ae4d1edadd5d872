//! Strings one after the other, as Arrow lays them out.

use arrow_array::StringArray;
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;

use super::glance::glance;

/// Bytes that are copied at once.
const CHUNK: usize = 64;

/// A text column being built.
pub(crate) struct Texts {
    /// Where each begins, and where the last ends.
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

/// Lengths stay below 2^31 because a batch is made from fewer bytes than that.
#[inline]
pub(crate) fn narrow(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

#[inline]
fn wide(offset: i32) -> usize {
    usize::try_from(offset).unwrap_or(0)
}

impl Texts {
    pub(crate) fn new() -> Self {
        Self { offsets: vec![0], bytes: Vec::new() }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    #[inline]
    pub(crate) fn value(&self, index: usize) -> &[u8] {
        &self.bytes[wide(self.offsets[index])..wide(self.offsets[index + 1])]
    }

    #[inline]
    pub(crate) fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.offsets.push(narrow(self.bytes.len()));
    }

    /// Append one text per span of `text`.
    #[inline]
    pub(crate) fn push_all(&mut self, text: &[u8], spans: impl Iterator<Item = (u32, u32)>) {
        for (start, stop) in spans {
            let end = self.bytes.len() + stop.saturating_sub(start) as usize;
            // Whole chunks, the first of them always: what lies past the text's end is cut off.
            for at in (start..).step_by(CHUNK) {
                // By reference: a chunk that is passed on goes by way of the stack.
                match text.get(at as usize..).and_then(<[u8]>::first_chunk::<CHUNK>) {
                    Some(chunk) => self.bytes.extend_from_slice(chunk),
                    None => self.bytes.extend_from_slice(&glance::<CHUNK>(text, at)),
                }
                if self.bytes.len() >= end {
                    break;
                }
            }
            self.bytes.truncate(end);
            self.offsets.push(narrow(end));
        }
    }

    /// Make room for `times` as much as there is.
    pub(crate) fn reserve(&mut self, times: usize) {
        self.offsets.reserve(self.offsets.len() * times);
        self.bytes.reserve(self.bytes.len() * times);
    }

    /// Give rows up to `rows` the empty value.
    #[inline]
    pub(crate) fn pad(&mut self, rows: usize) {
        if self.len() < rows {
            self.offsets.resize(rows + 1, narrow(self.bytes.len()));
        }
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.bytes.truncate(self.offsets.last().map_or(0, |&offset| wide(offset)));
    }

    pub(crate) fn finish(self, nulls: Option<NullBuffer>) -> Result<StringArray, ArrowError> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        StringArray::try_new(offsets, Buffer::from_vec(self.bytes), nulls)
    }
}
