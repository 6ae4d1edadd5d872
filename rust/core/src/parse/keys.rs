//! A key's bytes in, its column out: a perfect hash over the 32 names that can be sent.

use super::glance::glance;
use super::json::{Form, Slot, narrow};
use crate::schema::{COLUMNS, Kind, at};

/// Columns that can be sent; their positions in the schema are 0 to 31.
pub(crate) const SENT: usize = 32;

/// The key of a column in JSON: its name, save that `revenue` is stored in another unit.
pub(crate) const fn name(column: usize) -> &'static str {
    if column == at::REVENUE { "revenue" } else { COLUMNS[column].name }
}

/// Longest plain text of a column.
const LONGEST: [u32; SENT] = {
    let mut longest = [u32::MAX; SENT];
    let mut column = 0;
    while column < SENT {
        if matches!(COLUMNS[column].kind, Kind::Text | Kind::Label) {
            longest[column] = narrow(COLUMNS[column].bytes_max);
        }
        column += 1;
    }
    longest
};

/// Whether a length is neither nothing nor too much.
#[inline]
const fn fits(length: u32, longest: u32) -> bool {
    length.wrapping_sub(1) < longest
}

/// Whether a value is plain text: a string without escapes that is not empty, nor too long for its
/// column. Such a value needs no second look for its form.
#[inline]
pub(crate) fn is_plain(column: usize, value: Slot) -> bool {
    value.form == Form::Text && fits(value.stop - value.start, LONGEST[column])
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

/// Columns by the first bytes of their names, and by how long these are.
const LEADS: usize = 128;

/// A name between what stands around it where its value is a string: `"name":"`.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Lead {
    word: Word,
    mask: Word,
    /// The column's bit in a draft that met it as plain text.
    pub(crate) bit: u64,
    pub(crate) column: usize,
    longest: u32,
}

/// The bits of the first column met as plain text: seen in the low half, plain in the high half.
pub(crate) const TEXT: u64 = 1 | 1 << 32;

const fn lead(column: usize) -> Lead {
    let name = name(column).as_bytes();
    assert!(name.len() + 4 <= WORD, "a name with what stands around it is longer than a word");
    let mut bytes = [0; WORD];
    bytes[0] = b'"';
    let mut at = 0;
    while at < name.len() {
        bytes[1 + at] = name[at];
        at += 1;
    }
    (bytes[at + 1], bytes[at + 2], bytes[at + 3]) = (b'"', b':', b'"');
    let (word, mask) = (halves(bytes), MASKS[at + 4]);
    Lead { word, mask, bit: TEXT << column, column, longest: LONGEST[column] }
}

/// Which of a word's first eight bytes are a name and the quotes around it, by how far these are
/// apart.
const STEMS: [u64; WORD] = {
    let mut stems = [0; WORD];
    let mut apart = 0;
    while apart < WORD {
        stems[apart] = MASKS[if apart < 8 { apart + 1 } else { 8 }].0;
        apart += 1;
    }
    stems
};

const fn lead_place(low: u64, apart: u32, factor: u64) -> usize {
    let stem = low & STEMS[apart as usize % WORD];
    (stem.wrapping_add(apart as u64).wrapping_mul(factor) >> 57) as usize
}

/// Where a name's lead lies under a factor.
const fn name_place(column: usize, factor: u64) -> usize {
    lead_place(lead(column).word.0, narrow(name(column).len() + 1), factor)
}

const fn parts_leads(factor: u64) -> bool {
    let mut taken = [false; LEADS];
    let mut column = 0;
    while column < SENT {
        let at = name_place(column, factor);
        if taken[at] {
            return false;
        }
        taken[at] = true;
        column += 1;
    }
    true
}

/// A factor under which no two names share a place.
const LEAD_FACTOR: u64 = {
    let mut factor = 0x9e37_79b9_7f4a_7c15;
    while !parts_leads(factor) {
        factor = factor.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(2);
    }
    factor
};

static LEAD_OF: [Lead; LEADS] = {
    // No text has a zero where a key opens.
    let nothing = Lead { word: (0, 0), mask: (u64::MAX, u64::MAX), bit: 0, column: 0, longest: 0 };
    let mut table = [nothing; LEADS];
    let mut column = 0;
    while column < SENT {
        table[name_place(column, LEAD_FACTOR)] = lead(column);
        column += 1;
    }
    table
};

impl Lead {
    /// What leads to the text that lies between two quotes, if it is the name of a column, between
    /// two quotes as well, and the text is plain, which says nothing about escapes in it.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "it is the walker's loop")]
    pub(crate) fn to(text: &[u8], key: [u32; 2], value: [u32; 2]) -> Option<&'static Self> {
        let (low, high) = halves(glance(text, key[0]));
        let lead = &LEAD_OF[lead_place(low, key[1].wrapping_sub(key[0]), LEAD_FACTOR)];
        let other = (low & lead.mask.0 ^ lead.word.0) | (high & lead.mask.1 ^ lead.word.1);
        let length = value[1].wrapping_sub(value[0]).wrapping_sub(1);
        (other == 0 && fits(length, lead.longest)).then_some(lead)
    }
}

/// The column of the key that lies in `text`.
#[inline]
pub(crate) fn column_at(text: &[u8], (start, stop): (u32, u32)) -> Option<usize> {
    let mask = MASKS.get(stop.wrapping_sub(start) as usize)?;
    let (low, high) = halves(glance(text, start));
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
    use super::{Lead, SENT, TEXT, column, column_at, name};

    /// The column to whose text the first four quotes lead.
    fn led_to(text: &str) -> Option<(usize, u64)> {
        let quotes: Vec<u32> =
            (0..).zip(text.bytes()).filter(|(_, byte)| *byte == b'"').map(|(at, _)| at).collect();
        let lead = Lead::to(text.as_bytes(), [quotes[0], quotes[1]], [quotes[2], quotes[3]]);
        lead.map(|lead| (lead.column, lead.bit))
    }

    #[test]
    fn a_name_leads_to_its_text() {
        for index in 0..SENT {
            let name = name(index);
            let found = led_to(&format!(r#"{{"{name}":"abc","more":1}}"#));
            assert_eq!(found, Some((index, TEXT << index)), "{name}");
            for wrong in [
                format!(r#"{{"{name}" :"some","more":1}}"#),
                format!(r#"{{"{name}": "some","more":1}}"#),
                format!(r#"{{"{name}":1,"some":"more"}}"#),
                format!(r#"{{"x{name}":"some","more":1}}"#),
                format!(r#"{{"{name}x":"some","more":1}}"#),
                format!(r#"{{"{}":"some","more":1}}"#, &name[1..]),
                format!(r#"{{"{}":"some","more":1}}"#, name.to_uppercase()),
            ] {
                assert_eq!(led_to(&wrong), None, "{wrong}");
            }
        }
        assert_eq!(led_to(r#"{"":"some","more":1}"#), None);
    }

    #[test]
    fn text_that_is_nothing_or_too_long_is_not_plain() {
        let long = |bytes| led_to(&format!(r#"{{"source":"{}","more":1}}"#, "x".repeat(bytes)));
        assert!(long(1).is_some() && long(256).is_some());
        assert!(long(0).is_none() && long(257).is_none());
    }

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
