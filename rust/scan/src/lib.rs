//! Bytes in, positions out: the scanning kernels under the parser, behind safe functions.

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

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn lines_drop_their_ends() {
        let found: Vec<_> = lines(b"ab\r\n\nc").collect();
        assert_eq!(found, [(0, 2), (4, 4), (5, 6)]);
    }
}
