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

/// Longest name, so that a name compares as one word.
const WORD: usize = 16;

/// Each name in the low bytes of a word, and its length.
const NAMES: [(u128, usize); SENT] = {
    let mut names = [(0, 0); SENT];
    let mut column = 0;
    while column < SENT {
        let name = name(column).as_bytes();
        assert!(name.len() < WORD, "a name is longer than a word");
        let mut word = [0; WORD];
        let mut at = 0;
        while at < name.len() {
            word[at] = name[at];
            at += 1;
        }
        names[column] = (u128::from_le_bytes(word), name.len());
        column += 1;
    }
    names
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

/// The column of the key at `start`, read as a word where the bytes reach that far.
#[inline]
pub(crate) fn column_at(bytes: &[u8], start: usize, key: &[u8]) -> Option<usize> {
    let Some(word) = bytes.get(start..).and_then(<[u8]>::first_chunk::<WORD>) else {
        return column(key);
    };
    if key.len() < 2 || key.len() >= WORD {
        return None;
    }
    let column = TABLE[place(key)] as usize;
    let (name, length) = *NAMES.get(column)?;
    let mask = (1_u128 << (8 * length)) - 1;
    (length == key.len() && u128::from_le_bytes(*word) & mask == name).then_some(column)
}

#[cfg(test)]
mod tests {
    use super::{SENT, column, name};

    #[test]
    fn every_name_is_found_and_nothing_else() {
        for index in 0..SENT {
            assert_eq!(column(name(index).as_bytes()), Some(index));
            assert_eq!(column(format!("{}x", name(index)).as_bytes()), None);
            assert_eq!(column(&name(index).as_bytes()[1..]), None);
        }
        assert_eq!(column(b""), None);
        assert_eq!(column(b"revenue_micros"), None);
    }
}
