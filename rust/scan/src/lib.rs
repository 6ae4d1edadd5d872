//! Bytes in, positions and values out: the kernels under the parser, behind safe functions.
//!
//! Each kernel has a twin in plain Rust, which is its oracle, and is chosen by an [`Isa`].

mod ahead;
mod index;
mod ip;
mod isa;
#[cfg(target_arch = "aarch64")]
mod neon;
mod rows;
mod uuid;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use ahead::fetch;
pub use index::{Index, Line};
pub use ip::{MAPPED, ipv4, ipv4s};
pub use isa::{Isa, Path};
pub use rows::ROWS;
pub use uuid::{HEX, uuid, uuids};

/// Byte range of every line of `body`, without its `\n` and without a trailing `\r`.
///
/// Blank lines are yielded too: the caller decides what a blank line means.
pub fn lines(body: &[u8]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut start = 0;
    std::iter::from_fn(move || {
        if start >= body.len() {
            return None;
        }
        let end = memchr::memchr(b'\n', &body[start..]).map_or(body.len(), |at| start + at);
        let line = (start, end - usize::from(end > start && body[end - 1] == b'\r'));
        start = end + 1;
        Some(line)
    })
}

/// Bytes looked at together: written so that the compiler compares them in one vector register,
/// which every x86-64 and ARM64 has.
const LANES: usize = 16;

/// A byte of ones for each byte that is `"`, `\` or a control byte, the first byte lowest.
#[allow(clippy::needless_bitwise_bool, reason = "branches would keep it out of vector registers")]
#[inline]
fn special(chunk: &[u8; LANES]) -> u128 {
    let mut marks = [0; LANES];
    for (mark, &byte) in marks.iter_mut().zip(chunk) {
        let is_special = (byte == b'"') | (byte == b'\\') | (byte < 0x20);
        *mark = if is_special { u8::MAX } else { 0 };
    }
    u128::from_le_bytes(marks)
}

/// Position of the first `"`, `\` or control byte at or after `at`, else `bytes.len()`.
///
/// Everything before it is the inside of a JSON string that needs no second look.
#[inline]
pub fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<LANES>) {
        let found = special(chunk);
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += LANES;
    }
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            return at;
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::{lines, string_end};

    #[test]
    fn lines_drop_their_ends() {
        let found: Vec<_> = lines(b"ab\r\n\nc").collect();
        assert_eq!(found, [(0, 2), (4, 4), (5, 6)]);
    }

    #[test]
    fn string_end_finds_each_special_byte_at_each_place() {
        for length in 0..40 {
            for place in 0..length {
                for byte in 0..=255_u8 {
                    let mut bytes = vec![b'a'; length];
                    bytes[place] = byte;
                    let special = byte == b'"' || byte == b'\\' || byte < 0x20;
                    let expected = if special { place } else { length };
                    assert_eq!(string_end(&bytes, 0), expected, "{byte} at {place} of {length}");
                }
            }
        }
    }

    #[test]
    fn string_end_skips_what_lies_before_the_start() {
        assert_eq!(string_end(b"\"\"abc\xc3\xa9\x1f", 2), 7);
        assert_eq!(string_end(b"abc", 7), 7);
    }
}
