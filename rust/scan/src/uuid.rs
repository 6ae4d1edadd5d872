//! Text in, UUIDs out, many at a time.

use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::Path;
use crate::rows::{self, ROWS};

/// Characters of a hyphenated UUID.
pub(crate) const CHARS: usize = 36;

const BAD: u8 = 0xff;

/// Value of each byte as a hexadecimal digit; 255 for what is none.
pub const HEX: [u8; 256] = {
    let mut table = [BAD; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit as usize] as usize] = digit;
        table[b"0123456789ABCDEF"[digit as usize] as usize] = digit;
        digit += 1;
    }
    table
};

/// Where the two digits of each byte stand.
const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// A hyphenated UUID in any case; no braces, no prefix.
#[inline]
pub fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let text: &[u8; CHARS] = text.try_into().ok()?;
    let mut bytes = [0; 16];
    let mut seen = 0;
    for (byte, place) in bytes.iter_mut().zip(PLACES) {
        let (high, low) = (HEX[text[place] as usize], HEX[text[place + 1] as usize]);
        seen |= high | low;
        *byte = high << 4 | low;
    }
    let hyphens = [text[8], text[13], text[18], text[23]] == *b"----";
    (seen < 16 && hyphens).then_some(bytes)
}

/// Read the UUIDs that lie at `span` of `text`, for each bit of `rows`. Returns the bits of those
/// that are one; the others leave their place as it was.
pub fn uuids(
    isa: Isa,
    text: &[u8],
    span: impl Fn(usize) -> (u32, u32),
    rows: u64,
    out: &mut [[u8; 16]; ROWS],
) -> u64 {
    match isa.path() {
        #[cfg(target_arch = "x86_64")]
        Path::Avx512 => crate::x86::uuids_avx512(isa, text, span, rows, out),
        #[cfg(target_arch = "x86_64")]
        Path::Avx2 => crate::x86::uuids_avx2(isa, text, span, rows, out),
        _ => convert(text, span, rows, out, |chars| uuid(chars)),
    }
}

/// Read each wanted row by `read`.
#[inline(always)]
#[allow(clippy::inline_always, reason = "it is the loop of each kernel")]
pub(crate) fn convert(
    text: &[u8],
    span: impl Fn(usize) -> (u32, u32),
    wanted: u64,
    out: &mut [[u8; 16]; ROWS],
    read: impl Fn(&[u8; CHARS]) -> Option<[u8; 16]>,
) -> u64 {
    rows::convert(span, wanted, out, |start, stop| {
        text.get(start..stop).and_then(|text| text.try_into().ok()).and_then(&read)
    })
}

#[cfg(test)]
mod tests {
    use super::{CHARS, Isa, ROWS, uuid, uuids};

    /// Every path reads the same of one text.
    fn check(text: &[u8]) {
        let expected = uuid(text);
        let body = [b"x", text, b"y"].concat();
        let stop = u32::try_from(text.len() + 1).unwrap();
        for isa in Isa::supported() {
            let mut out = [[7; 16]; ROWS];
            let good = uuids(isa, &body, |_| (1, stop), 1 << 3, &mut out);
            assert_eq!(good, u64::from(expected.is_some()) << 3, "{isa:?} {text:?}");
            assert_eq!(out[3], expected.unwrap_or([7; 16]));
            assert_eq!(out[4], [7; 16]);
        }
    }

    #[test]
    fn every_path_judges_each_byte_at_each_place() {
        let text = *b"01234567-89ab-cdef-ABCD-EF0123456789";
        assert!(uuid(&text).is_some());
        for place in 0..CHARS {
            for byte in 0..=255 {
                let mut text = text;
                text[place] = byte;
                check(&text);
            }
        }
        for length in 0..CHARS {
            check(&text[..length]);
        }
        check(b"01234567-89ab-cdef-ABCD-EF01234567890");
    }

    #[test]
    fn every_path_reads_every_pair_of_digits() {
        for value in 0..=255_u8 {
            let pair = format!("{value:02x}");
            let text = [4, 2, 2, 2, 6].map(|count| pair.repeat(count)).join("-");
            assert_eq!(uuid(text.as_bytes()), Some([value; 16]));
            check(text.as_bytes());
            check(text.to_uppercase().as_bytes());
        }
    }

    #[test]
    fn spans_outside_the_text_are_no_uuids() {
        for isa in Isa::supported() {
            let mut out = [[0; 16]; ROWS];
            for span in [(0, 36), (36, 0), (u32::MAX, 35), (u32::MAX - 36, u32::MAX)] {
                assert_eq!(uuids(isa, &[b'0'; 35], |_| span, u64::MAX, &mut out), 0);
            }
        }
    }
}
