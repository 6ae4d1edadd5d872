//! A place in a text in, the bytes that lie there out, as many as a register takes.

/// The `N` bytes from `at` on; zeros past the end of the text.
#[inline(always)]
#[allow(clippy::inline_always, reason = "one comparison and one load, in every hot loop")]
pub(crate) fn glance<const N: usize>(text: &[u8], at: u32) -> [u8; N] {
    let at = at as usize;
    match text.get(at..at + N).and_then(<[u8]>::first_chunk) {
        Some(bytes) => *bytes,
        None => at_end(text, at),
    }
}

#[cold]
fn at_end<const N: usize>(text: &[u8], at: usize) -> [u8; N] {
    let rest = text.get(at..).unwrap_or_default();
    let mut bytes = [0; N];
    let count = rest.len().min(N);
    bytes[..count].copy_from_slice(&rest[..count]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::glance;

    #[test]
    fn what_lies_past_the_end_is_zero() {
        let text = b"abcdef";
        assert_eq!(glance(text, 0), *b"abcd");
        assert_eq!(glance(text, 2), *b"cdef");
        assert_eq!(glance(text, 4), *b"ef\0\0");
        assert_eq!(glance(text, 6), [0; 4]);
        assert_eq!(glance(text, u32::MAX), [0; 8]);
    }
}
