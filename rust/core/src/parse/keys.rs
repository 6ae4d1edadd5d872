//! A key's bytes in, its column out: a perfect hash over the 32 names that can be sent.

use crate::schema::{COLUMNS, at};

/// Columns that can be sent; their positions in the schema are 0 to 31.
pub(crate) const SENT: usize = 32;

/// The key of a column in JSON: its name, save that `revenue` is stored in another unit.
pub(crate) const fn name(column: usize) -> &'static str {
    if column == at::REVENUE { "revenue" } else { COLUMNS[column].name }
}

/// Bytes that are compared at once; every name fits.
const WORD: usize = 16;

/// The first bytes of a key as two numbers, zeros behind.
type Word = (u64, u64);

/// Which bytes of a word belong to a key of each length.
#[allow(clippy::cast_possible_truncation, reason = "the low half")]
const MASKS: [Word; WORD + 1] = {
    let mut masks = [(0, 0); WORD + 1];
    let mut length = 1;
    while length <= WORD {
        let mask = u128::MAX >> (8 * (WORD - length));
        masks[length] = (mask as u64, (mask >> 64) as u64);
        length += 1;
    }
    masks
};

#[allow(clippy::cast_possible_truncation, reason = "the low half")]
const fn halves(bytes: [u8; WORD]) -> Word {
    let bits = u128::from_le_bytes(bytes);
    (bits as u64, (bits >> 64) as u64)
}

const fn word(name: &[u8]) -> Word {
    assert!(name.len() <= WORD, "a name is longer than a word");
    let mut bytes = [0; WORD];
    let mut at = 0;
    while at < name.len() {
        bytes[at] = name[at];
        at += 1;
    }
    halves(bytes)
}

/// Places of the table.
const PLACES: usize = 256;

#[allow(clippy::cast_possible_truncation, reason = "eight bits are left")]
const fn place((low, high): Word, factor: u64) -> usize {
    ((low ^ high.rotate_left(23)).wrapping_mul(factor) >> 56) as usize
}

const fn is_perfect(factor: u64) -> bool {
    let mut taken = [false; PLACES];
    let mut column = 0;
    while column < SENT {
        let at = place(word(name(column).as_bytes()), factor);
        if taken[at] {
            return false;
        }
        taken[at] = true;
        column += 1;
    }
    true
}

/// A factor under which no two names share a place.
const FACTOR: u64 = {
    let mut factor = 0x9e37_79b9_7f4a_7c15;
    while !is_perfect(factor) {
        factor = factor.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(2);
    }
    factor
};

/// A name and its column, or nothing: no key is `(0, 0)`, because no column has an empty name.
#[derive(Clone, Copy)]
struct Entry {
    word: Word,
    column: usize,
}

const TABLE: [Entry; PLACES] = {
    let mut table = [Entry { word: (0, 0), column: SENT }; PLACES];
    let mut column = 0;
    while column < SENT {
        let word = word(name(column).as_bytes());
        table[place(word, FACTOR)] = Entry { word, column };
        column += 1;
    }
    table
};

/// The same for running code, which must not copy it.
static COLUMN_OF: [Entry; PLACES] = TABLE;

#[inline]
fn find(word: Word) -> Option<usize> {
    let entry = &COLUMN_OF[place(word, FACTOR)];
    let other = (entry.word.0 ^ word.0) | (entry.word.1 ^ word.1);
    (other == 0 && entry.column < SENT).then_some(entry.column)
}

/// The column of the key that lies in `text`.
#[inline(always)]
#[allow(clippy::inline_always, reason = "it is part of the walker's loop")]
pub(crate) fn column_at(text: &[u8], (start, stop): (u32, u32)) -> Option<usize> {
    let mask = MASKS.get(stop.wrapping_sub(start) as usize)?;
    let Some(bytes) = text.get(start as usize..).and_then(<[u8]>::first_chunk::<WORD>) else {
        return column(text.get(start as usize..stop as usize)?);
    };
    let (low, high) = halves(*bytes);
    find((low & mask.0, high & mask.1))
}

/// The column a key stands for.
#[inline]
pub(crate) fn column(key: &[u8]) -> Option<usize> {
    // A name never holds a zero, so no key can look like a shorter one.
    if key.len() > WORD || key.contains(&0) {
        return None;
    }
    find(word(key))
}

#[cfg(test)]
mod tests {
    use super::{SENT, column, column_at, name};

    #[test]
    fn every_name_is_found_and_nothing_else() {
        for index in 0..SENT {
            let found = |text: &str, stop: usize| {
                let key = &text.as_bytes()[1..stop];
                let stop = u32::try_from(stop).unwrap();
                assert_eq!(column_at(text.as_bytes(), (1, stop)), column(key), "{text}");
                column(key)
            };
            let length = name(index).len();
            for text in [format!("\"{}\":\"some value", name(index)), format!("\"{}", name(index))]
            {
                assert_eq!(found(&text, length + 1), Some(index));
                assert_eq!(found(&text, length), None);
            }
            assert_eq!(found(&format!("\"{}x and so on", name(index)), length + 2), None);
        }
        for key in ["", "revenue_micros", "event_id\0", "\0", "a_very_long_key_indeed"] {
            assert_eq!(column(key.as_bytes()), None);
        }
    }
}
