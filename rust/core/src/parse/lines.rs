//! Bytes as they come in, whole lines out, some at a time: for bodies that no memory holds.

use std::io::{self, ErrorKind, Read};

/// Reads a source piece by piece; each piece ends with a line, or with the source.
#[derive(Debug)]
pub struct Lines<R> {
    source: R,
    piece_bytes: usize,
    /// The beginning of a line whose end is still to come.
    rest: Vec<u8>,
    /// Memory for the next piece.
    spare: Vec<u8>,
}

/// What is read at least, so that a long line is not read in many small steps.
const STEP_BYTES: usize = 64 << 10;

impl<R: Read> Lines<R> {
    /// Pieces of about `piece_bytes` bytes; longer where a line is.
    pub fn new(source: R, piece_bytes: usize) -> Self {
        Self { source, piece_bytes: piece_bytes.max(1), rest: Vec::new(), spare: Vec::new() }
    }

    /// Let the next piece lie where another did: memory that is new costs as much as reading.
    pub fn reuse(&mut self, spare: Vec<u8>) {
        self.spare = spare;
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// What the source says.
    pub fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut piece = std::mem::take(&mut self.spare);
        let (mut seen, mut from) = (self.rest.len(), self.rest.len());
        let least = seen + STEP_BYTES;
        let wanted = self.piece_bytes.max(least);
        piece.resize(piece.len().clamp(least, wanted), 0);
        piece[..seen].copy_from_slice(&self.rest);
        self.rest.clear();
        loop {
            while seen < piece.len() {
                match self.source.read(&mut piece[seen..]) {
                    Ok(0) => {
                        piece.truncate(seen);
                        return Ok(Some(piece).filter(|piece| !piece.is_empty()));
                    }
                    Ok(read) => seen += read,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            // Memory comes with the bytes: a short source needs little.
            if seen < wanted {
                piece.resize(wanted.min(seen * 4), 0);
                continue;
            }
            if let Some(end) = memchr::memrchr(b'\n', &piece[from..]).map(|at| from + at + 1) {
                self.rest.extend_from_slice(&piece[end..]);
                piece.truncate(end);
                return Ok(Some(piece));
            }
            from = seen;
            piece.resize(seen * 2, 0);
        }
    }

    /// Everything that is left, behind a piece.
    ///
    /// # Errors
    /// What the source says.
    pub fn rest(&mut self, mut piece: Vec<u8>) -> io::Result<Vec<u8>> {
        piece.append(&mut self.rest);
        self.source.read_to_end(&mut piece)?;
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::Lines;

    /// Gives as many bytes at a time as it is told to.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let count = out.len().min(self.1);
            self.0.read(&mut out[..count])
        }
    }

    proptest! {
        #[test]
        fn pieces_are_whole_lines_and_together_the_source(
            lines in prop::collection::vec("[a-z]{0,40}", 0..60),
            piece_bytes in 1_usize..300,
            step in 1_usize..50,
            is_ended in any::<bool>(),
            is_reused in any::<bool>(),
        ) {
            let mut body = lines.join("\n").into_bytes();
            if is_ended {
                body.push(b'\n');
            }
            let mut reader = Lines::new(Trickle(&body, step), piece_bytes);
            let mut found = Vec::new();
            while let Some(piece) = reader.piece().unwrap() {
                prop_assert!(!piece.is_empty());
                found.extend_from_slice(&piece);
                prop_assert!(piece.ends_with(b"\n") || found.len() == body.len());
                if is_reused {
                    reader.reuse(piece);
                }
            }
            prop_assert_eq!(found, body);
        }
    }

    #[test]
    fn a_short_source_takes_little_memory() {
        let mut reader = Lines::new(&b"one\ntwo\n"[..], 16 << 20);
        let piece = reader.piece().unwrap().unwrap();
        assert_eq!(piece, b"one\ntwo\n");
        assert!(piece.capacity() <= 256 << 10, "{}", piece.capacity());
        reader.reuse(piece);
        assert_eq!(reader.piece().unwrap(), None);
    }

    #[test]
    fn a_piece_is_about_as_long_as_wanted() {
        let body = b"0123456789\n".repeat(100_000);
        let mut reader = Lines::new(&body[..], 300_000);
        let first = reader.piece().unwrap().unwrap();
        assert!((290_000..=300_000).contains(&first.len()), "{}", first.len());
        assert_eq!(reader.rest(first).unwrap(), body);
    }
}
