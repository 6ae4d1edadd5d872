//! Ids that mean nobody: what SDKs send when they have no id. They must join no two people.

/// The words, in lower case. Each has been seen as the id of unrelated devices or people.
#[rustfmt::skip]
const WORDS: [&[u8]; 19] = [
    b"null", b"(null)", b"<null>", b"undefined", b"(undefined)", b"none", b"(none)", b"nil",
    b"nan", b"n/a", b"unknown", b"(unknown)", b"not set", b"(not set)", b"true", b"false",
    b"anonymous", b"guest", b"[object object]",
];

/// Longest of the words.
const WORD_BYTES_MAX: usize = 15;

/// Whether an id is one of the words in any case, or holds nothing but zeros and hyphens (the zero
/// UUID among them), or nothing at all. White space around it does not count.
#[inline]
pub fn is_nobody(id: &[u8]) -> bool {
    let ([first, ..], [.., last]) = (id, id) else { return true };
    // Nearly every id begins with a letter or a digit, and is too long for a word or ends with a
    // digit, which no word does.
    let is_long = id.len() > WORD_BYTES_MAX && last.is_ascii_alphanumeric();
    match first {
        b'1'..=b'9' => false,
        b'a'..=b'z' | b'A'..=b'Z' if is_long || last.is_ascii_digit() => false,
        _ => is_nobody_at_length(id),
    }
}

fn is_nobody_at_length(id: &[u8]) -> bool {
    let id = id.trim_ascii();
    match id.first() {
        None => true,
        Some(b'0' | b'-') => id.iter().all(|byte| matches!(byte, b'0' | b'-')),
        Some(b'1'..=b'9') => false,
        Some(_) => {
            id.len() <= WORD_BYTES_MAX && WORDS.iter().any(|word| id.eq_ignore_ascii_case(word))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{WORD_BYTES_MAX, WORDS, is_nobody};

    #[test]
    fn words_and_zeros_mean_nobody() {
        for word in WORDS {
            assert!(is_nobody(word));
            assert!(is_nobody(&word.to_ascii_uppercase()));
            assert!(word.len() <= WORD_BYTES_MAX);
        }
        for id in ["0", "000", "00000000-0000-0000-0000-000000000000", " ", " null ", " 0", "-"] {
            assert!(is_nobody(id.as_bytes()), "{id}");
        }
    }

    #[test]
    fn real_ids_are_kept() {
        for id in
            ["1", "u1", "01", "nullable", "0-0-1", "none1", "00000000-0000-0000-0000-00000000000a"]
        {
            assert!(!is_nobody(id.as_bytes()), "{id}");
        }
    }
}
