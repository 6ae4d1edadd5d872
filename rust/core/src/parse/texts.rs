//! Strings one after the other, as Arrow lays them out.

use arrow_array::StringArray;
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;

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
