//! A key's bytes in, its column out: a perfect hash over the 32 names that can be sent.

use crate::schema::{COLUMNS, at};

/// Columns that can be sent; their positions in the schema are 0 to 31.
pub(crate) const SENT: usize = 32;

/// The key of a column in JSON: its name, save that `revenue` is stored in another unit.
pub(crate) const fn name(column: usize) -> &'static str {
    if column == at::REVENUE { "revenue" } else { COLUMNS[column].name }
}

/// No two names share a place; the table below does not compile otherwise.
const fn place(key: &[u8]) -> usize {
    let fourth = if key.len() > 3 { key[3] } else { key[key.len() - 1] };
    let (first, last_but_one) = (key[0] as usize, key[key.len() - 2] as usize);
    (2 * first + 26 * last_but_one + fourth as usize) % 128
}

const NONE: u8 = u8::MAX;

#[allow(clippy::cast_possible_truncation, reason = "a column is below 32")]
const TABLE: [u8; 128] = {
    let mut table = [NONE; 128];
    let mut column = 0;
    while column < SENT {
        let at = place(name(column).as_bytes());
        assert!(table[at] == NONE, "two names share a place");
        table[at] = column as u8;
        column += 1;
    }
    table
};

/// Bytes that are compared at once; a name with its quote and colon fits.
const WORD: usize = 16;

/// A key as it mostly stands in JSON: `name":` in the low bytes of a word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    bits: u128,
    mask: u128,
    pub(crate) name_bytes: usize,
}

impl Word {
    const fn of(name: &[u8]) -> Self {
        assert!(name.len() + 2 <= WORD, "a name is longer than a word");
        let mut word = [0; WORD];
        let mut at = 0;
        while at < name.len() {
            word[at] = name[at];
            at += 1;
        }
        word[at] = b'"';
        word[at + 1] = b':';
        let mask = u128::MAX >> (8 * (WORD - name.len() - 2));
        Self { bits: u128::from_le_bytes(word), mask, name_bytes: name.len() }
    }

    /// Whether these bytes begin with it. False near the end of the bytes, where it takes a longer
    /// look to know.
    #[inline]
    pub(crate) fn starts(&self, bytes: &[u8]) -> bool {
        let word = bytes.first_chunk::<WORD>();
        word.is_some_and(|word| u128::from_le_bytes(*word) & self.mask == self.bits)
    }
}

/// Each column's key.
pub(crate) const WORDS: [Word; SENT] = {
    let mut words = [Word::of(b""); SENT];
    let mut column = 0;
    while column < SENT {
        words[column] = Word::of(name(column).as_bytes());
        column += 1;
    }
    words
};

/// The column a key stands for.
#[inline]
pub(crate) fn column(key: &[u8]) -> Option<usize> {
    if key.len() < 2 {
        return None;
    }
    let column = TABLE[place(key)] as usize;
    (column < SENT && name(column).as_bytes() == key).then_some(column)
}

#[cfg(test)]
mod tests {
    use super::{SENT, WORDS, column, name};

    #[test]
    fn every_name_is_found_and_nothing_else() {
        for index in 0..SENT {
            assert_eq!(column(name(index).as_bytes()), Some(index));
            assert_eq!(column(format!("{}x", name(index)).as_bytes()), None);
            assert_eq!(column(&name(index).as_bytes()[1..]), None);
            for (other, word) in WORDS.iter().enumerate() {
                let json = format!("{}\":                 ", name(index));
                assert_eq!(word.starts(json.as_bytes()), index == other);
            }
        }
        assert_eq!(column(b""), None);
        assert_eq!(column(b"revenue_micros"), None);
    }
}
