//! The quotes of a line that has backslashes in, those that open or close a string out, and which
//! strings have something to unescape.

use memchr::memchr;

use super::json::Scanner;

/// What was found in one line; reused, so that it allocates once.
#[derive(Debug, Default)]
pub(crate) struct Escapes {
    quotes: Vec<u32>,
    /// The strings of the line that hold a backslash, in order, each by how many are left with it.
    escaped: Vec<usize>,
}

impl Escapes {
    /// Look at the line from `start` to `stop`, whose quotes these are. False where an escape is
    /// wrong, or stands outside a string.
    pub(crate) fn find<'a>(
        &mut self,
        text: &'a [u8],
        (start, stop): (usize, usize),
        quotes: &[u32],
        scanner: &mut Scanner<'a>,
    ) -> bool {
        let line = &text[start..stop];
        let is_bare = |quote: &u32| {
            let before = line[..*quote as usize - start].iter().rev();
            before.take_while(|&&byte| byte == b'\\').count() % 2 == 0
        };
        self.quotes.clear();
        self.quotes.extend(quotes.iter().filter(|quote| is_bare(quote)));
        self.escaped.clear();
        let mut at = start;
        while let Some(more) = memchr(b'\\', &text[at..stop]) {
            let before = self.quotes.partition_point(|&quote| (quote as usize) < at + more);
            let is_inside = before % 2 == 1;
            let (true, Some(&close)) = (is_inside, self.quotes.get(before)) else { return false };
            scanner.load(&text[..stop]);
            scanner.skip(self.quotes[before - 1] as usize);
            if scanner.string().is_err() || scanner.lone_surrogate.is_some() {
                return false;
            }
            self.escaped.push(before / 2);
            at = close as usize + 1;
        }
        let count = self.quotes.len() / 2;
        self.escaped.iter_mut().for_each(|string| *string = count - *string);
        self.quotes.len().is_multiple_of(2)
    }

    /// Both quotes of each string.
    pub(crate) fn strings(&self) -> &[[u32; 2]] {
        self.quotes.as_chunks().0
    }

    /// Which of them are escaped, counted from the last, which is the first.
    pub(crate) fn escaped(&self) -> &[usize] {
        &self.escaped
    }
}

#[cfg(test)]
mod tests {
    use super::{Escapes, Scanner};

    fn found(line: &str) -> Option<(Vec<&str>, Vec<usize>)> {
        let text = ["{}\n", line].concat();
        let quotes: Vec<u32> = (0_u32..)
            .zip(text.bytes())
            .filter(|(_, byte)| *byte == b'"')
            .map(|(at, _)| at)
            .collect();
        let mut escapes = Escapes::default();
        let whole =
            escapes.find(text.as_bytes(), (3, text.len()), &quotes, &mut Scanner::default());
        let inside = |[open, close]: &[u32; 2]| &line[*open as usize - 2..*close as usize - 3];
        whole.then(|| (escapes.strings().iter().map(inside).collect(), escapes.escaped().to_vec()))
    }

    #[test]
    fn strings_end_at_their_own_quotes() {
        assert_eq!(found(r#"{"a":"b"}"#), Some((vec!["a", "b"], vec![])));
        assert_eq!(found(r#"{"a":"\"b\"","c":1}"#), Some((vec!["a", r#"\"b\""#, "c"], vec![2])));
        assert_eq!(
            found(r#"{"a\\":"\\\"","c":"\u00e9\/"}"#),
            Some((vec![r"a\\", r#"\\\""#, "c", r"\u00e9\/"], vec![4, 3, 1]))
        );
    }

    #[test]
    fn what_is_wrong_is_left_to_others() {
        for line in [
            r#"{\"a":1}"#,
            r#"{"a":"\"}"#,
            r#"{"a":"\x"}"#,
            r#"{"a":"\u12"}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":1}\"#,
        ] {
            assert_eq!(found(line), None, "{line}");
        }
    }
}
