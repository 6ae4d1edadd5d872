//! Half characters out: the escape of a lone surrogate becomes that of U+FFFD.
//!
//! SDKs in JavaScript and Java cut texts in the middle of an emoji and escape the half that is
//! left. It is no text, so the parser refuses it; here one event's cut label must not cost it.

use std::borrow::Cow;

use memchr::{memchr, memmem};

/// `\uXXXX`.
const ESCAPE_BYTES: usize = 6;

/// `json` with every lone surrogate escape replaced by one of the same length.
pub(super) fn repair(json: &str) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let has = |start: &[u8]| memmem::find(bytes, start).is_some();
    if !has(b"\\ud") && !has(b"\\uD") {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = memchr(b'\\', rest.as_bytes()) {
        let (text, escape) = rest.split_at(at);
        out.push_str(text);
        let (kept, used) = match unit(escape) {
            Some(0xD800..=0xDBFF) if is_low(escape.get(ESCAPE_BYTES..)) => (None, 2 * ESCAPE_BYTES),
            Some(0xD800..=0xDFFF) => (Some("\\ufffd"), ESCAPE_BYTES),
            Some(_) => (None, ESCAPE_BYTES),
            // What is escaped is one byte; where it is more, this is no JSON and said so later.
            None => (None, if escape.is_char_boundary(2) { 2 } else { 1 }),
        };
        let (escape, after) = escape.split_at(used.min(escape.len()));
        out.push_str(kept.unwrap_or(escape));
        rest = after;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The code unit of the `\uXXXX` that `text` begins with.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

fn is_low(text: Option<&str>) -> bool {
    text.and_then(unit).is_some_and(|unit| (0xDC00..=0xDFFF).contains(&unit))
}

#[cfg(test)]
mod tests {
    use super::repair;

    #[test]
    fn only_halves_are_replaced() {
        for (sent, expected) in [
            (r#"{"a":"plain é \n \u00e9"}"#, r#"{"a":"plain é \n \u00e9"}"#),
            (r"\ud83d\ude00", r"\ud83d\ude00"),
            (r"\uD83D\uDE00x", r"\uD83D\uDE00x"),
            (r"\ud83d", r"\ufffd"),
            (r"\ud83dx\ude00", r"\ufffdx\ufffd"),
            (r"\ud83d\ud83d\ude00", r"\ufffd\ud83d\ude00"),
            (r"\\ud83d", r"\\ud83d"),
            (r"\\\ud83d", r"\\\ufffd"),
            (r"\ud83d\n", r"\ufffd\n"),
            (r"\ud83d\", r"\ufffd\"),
            (r"\ud83", r"\ud83"),
            ("\\ud83d\\é", "\\ufffd\\é"),
        ] {
            assert_eq!(repair(sent), expected, "{sent}");
        }
    }
}
