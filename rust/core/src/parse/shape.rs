//! A body's bytes in, its shape and the place of each record out.
//!
//! Bytes alone decide. One complete JSON value is the shape it is; everything else is lines.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use unmogrowp_scan::lines;

use super::json::{Broken, Form, Scanner, Slot, Stop, unescape};
use super::{ParseError, fault};

/// Where the records are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One record a line, from this byte on.
    Lines { start: usize },
    /// The byte range of each record, and the batch's own `sent_at`.
    Ranges { records: Vec<(usize, usize)>, sent_at: Option<Slot> },
}

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Positions inside one JSON value have 32 bits. Lines have no such bound.
const ONE_VALUE_MAX: usize = u32::MAX as usize;

/// Decide the shape; at most `records_max` records are looked for.
pub(crate) fn decide(body: &[u8], records_max: usize) -> Result<Shape, ParseError> {
    let start = if body.starts_with(BOM) { BOM.len() } else { 0 };
    let mut scanner = Scanner::over(body);
    scanner.skip(start);
    scanner.space();
    let first = scanner.at();
    if first == body.len() {
        return Err(ParseError::Empty);
    }
    if is_lone_event(&body[first..]) {
        return Ok(Shape::Lines { start });
    }
    let found = match scanner.peek() {
        b'[' => array(&mut scanner, records_max),
        b'{' => object(body, &mut scanner, records_max),
        _ => return Ok(Shape::Lines { start }),
    };
    match found {
        Ok(_) if body.len() > ONE_VALUE_MAX => {
            Err(ParseError::TooLarge { bytes: body.len(), limit: ONE_VALUE_MAX })
        }
        Ok(Found::Ranges { records, .. }) if records.len() > records_max => {
            Err(ParseError::TooManyRecords { limit: records_max })
        }
        Ok(Found::Ranges { records, sent_at }) => Ok(Shape::Ranges { records, sent_at }),
        Ok(Found::Twice(key)) => Err(ParseError::KeyTwice { key }),
        Err(Stop) if must_be_whole(&body[first..]) && !first_line_is_whole(body, first) => {
            let Broken { at, what } = scanner.broken;
            Err(ParseError::Broken { at, what, near: fault::near(body, at) })
        }
        Err(Stop) => Ok(Shape::Lines { start }),
    }
}

/// How the key ends without which there is no batch.
static BATCH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"batch\""));

/// Whether the bytes are one line with an object that can be no batch: no escape hides a key.
fn is_lone_event(text: &[u8]) -> bool {
    let line = text.trim_ascii_end();
    let is_line = line.starts_with(b"{") && memchr::memchr2(b'\n', b'\\', line).is_none();
    is_line && BATCH.find(line).is_none()
}

enum Found {
    Ranges { records: Vec<(usize, usize)>, sent_at: Option<Slot> },
    Twice(&'static str),
}

/// The elements of the array that starts here.
fn elements(scanner: &mut Scanner<'_>, records_max: usize) -> Result<Vec<(usize, usize)>, Stop> {
    let mut records = Vec::new();
    let mut inside = scanner.enter();
    while inside {
        let start = scanner.at();
        scanner.value()?;
        // One above the limit is enough to refuse; the rest is only read for being JSON.
        if records.len() <= records_max {
            records.push((start, scanner.at()));
        }
        inside = scanner.more()?;
    }
    Ok(records)
}

fn array(scanner: &mut Scanner<'_>, records_max: usize) -> Result<Found, Stop> {
    let records = elements(scanner, records_max)?;
    scanner.end()?;
    Ok(Found::Ranges { records, sent_at: None })
}

/// A batch is an object whose `batch` is an array and which is no event itself; any other object
/// is one record.
fn object(body: &[u8], scanner: &mut Scanner<'_>, records_max: usize) -> Result<Found, Stop> {
    let start = scanner.at();
    let (mut batch, mut sent_at, mut twice, mut is_event) = (None, None, None, false);
    let mut inside = scanner.enter();
    while inside {
        let key = scanner.key()?;
        match known(key, body) {
            Some("batch") if scanner.peek() == b'[' => {
                let records = elements(scanner, records_max)?;
                if batch.replace(records).is_some() {
                    twice = Some("batch");
                }
            }
            Some("sent_at") => {
                if sent_at.replace(scanner.value()?).is_some() {
                    twice = Some("sent_at");
                }
            }
            other => {
                is_event |= other.is_some_and(|key| key.starts_with("event"));
                scanner.value()?;
            }
        }
        inside = scanner.more()?;
    }
    let stop = scanner.at();
    scanner.end()?;
    Ok(match (batch, twice) {
        (Some(_), Some(key)) if !is_event => Found::Twice(key),
        (Some(records), _) if !is_event => Found::Ranges { records, sent_at },
        _ => Found::Ranges { records: vec![(start, stop)], sent_at: None },
    })
}

fn known(key: Slot, body: &[u8]) -> Option<&'static str> {
    let mut text = Vec::new();
    let key = if key.form == Form::Escaped {
        unescape(key.of(body), &mut text);
        &text
    } else {
        key.of(body)
    };
    ["batch", "sent_at", "event_name", "event_type"].into_iter().find(|name| name.as_bytes() == key)
}

/// Whether the body says by its first bytes that it is one array or one batch.
fn must_be_whole(body: &[u8]) -> bool {
    let Some(inside) = body.strip_prefix(b"{") else { return body.starts_with(b"[") };
    inside.trim_ascii_start().starts_with(b"\"batch\"")
}

/// Whether the first line that is not blank is a complete JSON value, which makes the body lines.
fn first_line_is_whole(body: &[u8], first: usize) -> bool {
    let Some((start, stop)) = lines(&body[first..]).next() else { return false };
    let mut scanner = Scanner::over(&body[first + start..first + stop]);
    scanner.value().and_then(|_| scanner.end()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{Shape, decide};
    use crate::parse::ParseError;

    fn ranges(body: &str) -> Vec<&str> {
        match decide(body.as_bytes(), 100) {
            Ok(Shape::Ranges { records, .. }) => {
                records.into_iter().map(|(start, stop)| &body[start..stop]).collect()
            }
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn one_complete_value_is_the_shape_it_is() {
        assert_eq!(ranges("{\"a\":\n1}"), ["{\"a\":\n1}"]);
        assert_eq!(ranges("{\"a\":\"\\n\"}"), ["{\"a\":\"\\n\"}"]);
        assert_eq!(ranges("\u{feff} {\n \"a\":\r\n 1 }\n\n"), ["{\n \"a\":\r\n 1 }"]);
        assert_eq!(ranges("[{},\n[1], 2]"), ["{}", "[1]", "2"]);
        assert_eq!(ranges("[]"), Vec::<&str>::new());
        assert_eq!(ranges("{\"x\":[1],\"batch\":[{}, 3]}"), ["{}", "3"]);
        assert_eq!(ranges("{\"\\u0062atch\":[{}]}"), ["{}"]);
        assert_eq!(ranges("{\"batch\":{}}"), ["{\"batch\":{}}"]);
        assert_eq!(
            ranges("{\"event_name\":\"a\",\"batch\":[1]}"),
            ["{\"event_name\":\"a\",\"batch\":[1]}"]
        );
    }

    #[test]
    fn everything_else_is_lines() {
        for body in [
            "{\"a\":1}",
            "{}\n{}",
            "42",
            "nonsense",
            "{\"a\":1}}",
            "{",
            "[1]\n[2",
            "{\"batch\":[]}\n{}",
            "{\"a\":\n1}\n{}",
            "\n\n[1]\n{}",
            "\"[\"",
        ] {
            assert_eq!(decide(body.as_bytes(), 100), Ok(Shape::Lines { start: 0 }), "{body}");
        }
    }

    #[test]
    fn a_broken_array_or_batch_is_refused_as_a_whole() {
        for body in [
            "[",
            "[1,",
            "[1]]",
            "[{}\n,{}",
            "[1] 2",
            "{\"batch\":[",
            "{\"batch\":[]}}",
            "{ \"batch\": [1 2]}",
            "[\"\u{1}\"]",
            "\n[{},\n{}",
        ] {
            let found = decide(body.as_bytes(), 100);
            assert!(matches!(found, Err(ParseError::Broken { .. })), "{body}: {found:?}");
        }
        for body in ["", " \r\n\t", "\u{feff}", "\u{feff}\n"] {
            assert_eq!(decide(body.as_bytes(), 100), Err(ParseError::Empty), "{body:?}");
        }
    }

    #[test]
    fn ambiguous_batches_and_too_many_records_are_refused() {
        let twice = decide(b"{\"batch\":[],\"batch\":[]}", 9);
        assert_eq!(twice, Err(ParseError::KeyTwice { key: "batch" }));
        assert_eq!(decide(b"[1,2,3]", 2), Err(ParseError::TooManyRecords { limit: 2 }));
        assert!(decide(b"[1,2]", 2).is_ok());
    }
}
