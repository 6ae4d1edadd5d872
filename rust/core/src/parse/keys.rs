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

/// Where a key that stands first in a word lies, by how far its quotes are apart.
#[inline]
fn lead_of(low: u64, apart: u32) -> &'static Lead {
    &LEAD_OF[lead_place(low, apart, LEAD_FACTOR)]
}

impl Lead {
    /// What leads to the text that lies between two quotes, if it is the name of a column, between
    /// two quotes as well, and the text is plain, which says nothing about escapes in it.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "it is the walker's loop")]
    pub(crate) fn to(text: &[u8], key: [u32; 2], value: [u32; 2]) -> Option<&'static Self> {
        let (low, high) = halves(glance(text, key[0]));
        let lead = lead_of(low, key[1].wrapping_sub(key[0]));
        let other = (low & lead.mask.0 ^ lead.word.0) | (high & lead.mask.1 ^ lead.word.1);
        let length = value[1].wrapping_sub(value[0]).wrapping_sub(1);
        (other == 0 && fits(length, lead.longest)).then_some(lead)
    }
}

/// The column whose name lies first in a word, between quotes so far apart.
#[inline]
fn find((low, high): Word, apart: u32) -> Option<usize> {
    // Where a name is longer or shorter, a quote of one meets a letter of the other.
    let mask = MASKS.get(apart as usize + 1)?;
    let lead = lead_of(low, apart);
    let other = (low ^ lead.word.0) & mask.0 | (high ^ lead.word.1) & mask.1;
    (other == 0).then_some(lead.column)
}

/// The column of the key that lies in `text`, between two quotes.
#[inline]
pub(crate) fn column_at(text: &[u8], (start, stop): (u32, u32)) -> Option<usize> {
    find(halves(glance(text, start.wrapping_sub(1))), stop.wrapping_sub(start).wrapping_add(1))
}

/// The column a key stands for.
#[inline]
pub(crate) fn column(key: &[u8]) -> Option<usize> {
    let mut quoted = [b'"'; WORD];
    quoted.get_mut(1..WORD - 1)?.get_mut(..key.len())?.copy_from_slice(key);
    // A quote inside would look like the end of a name.
    let is_bare = !key.contains(&b'"');
    find(halves(quoted), narrow(key.len() + 1)).filter(|_| is_bare)
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
        let found = |key: &str| {
            let stop = u32::try_from(key.len() + 1).unwrap();
            let expected = column(key.as_bytes());
            for text in [format!("\"{key}\""), format!("\"{key}\":\"some value of it")] {
                assert_eq!(column_at(text.as_bytes(), (1, stop)), expected, "{text}");
            }
            expected
        };
        for index in 0..SENT {
            let name = name(index);
            assert_eq!(found(name), Some(index));
            for wrong in [format!("{name}x"), format!("x{name}"), name.to_uppercase()] {
                assert_eq!(found(&wrong), None, "{wrong}");
            }
            for shorter in [&name[1..], &name[..name.len() - 1]] {
                assert_eq!(found(shorter), None, "{shorter}");
            }
        }
        for key in ["", "revenue_micros", "event_id\0", "\0", "a_very_long_key_indeed"] {
            assert_eq!(found(key), None);
        }
        // What stands around a name in its place belongs to no key.
        for index in 0..SENT {
            for more in ["\"", "\":", "\":\""] {
                assert_eq!(column(format!("{}{more}", name(index)).as_bytes()), None);
            }
        }
    }
}
