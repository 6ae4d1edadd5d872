//! The public JSON test suite: each of its texts as a field of an event.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test ends so")]

use std::path::Path;

use arrow_array::cast::AsArray;
use serde_json::Value;
use unmogrowp_core::parse::parse;
use unmogrowp_core::schema::at;

#[allow(dead_code, reason = "shared with other tests")]
mod oracle;
use oracle::{check_books, context};

/// Name and text of each case.
fn cases() -> Vec<(String, Vec<u8>)> {
    let path = "../../tests/cases/json/json_test_suite.json";
    let file = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let suite: Value = serde_json::from_slice(&file).unwrap();
    let bytes = |text: &Value| {
        text.as_str().unwrap().chars().map(|byte| u8::try_from(byte).unwrap()).collect()
    };
    let cases = suite["cases"].as_object().unwrap().iter();
    let mut cases: Vec<_> = cases.map(|(name, text)| (name.clone(), bytes(text))).collect();
    cases.push(("n_structure_100000_opening_arrays".to_owned(), b"[".repeat(100_000)));
    cases.push(("n_structure_open_array_object".to_owned(), b"[{\"\":".repeat(50_000)));
    cases
}

/// What an event has in its field `x` that was sent as this text; none if it was refused.
fn taken(text: &[u8]) -> Option<Value> {
    let head = b"{\"event_name\":\"open\",\"timestamp\":1767225600,\"user_id\":\"u1\",\"x\":";
    let body = [head, text, b"}"].concat();
    let parsed = parse(&body, &context()).unwrap();
    check_books(&body, &parsed);
    if parsed.events.num_rows() == 0 {
        assert!(!parsed.rejects.is_empty());
        return None;
    }
    assert!(parsed.rejects.is_empty());
    let properties = parsed.events.column(at::PROPERTIES).as_string::<i32>().value(0);
    let properties: Value = serde_json::from_str(properties).unwrap_or_default();
    // What no number can hold is kept as it was sent.
    Some(properties["x"].clone())
}

#[test]
fn what_must_be_accepted_is_and_what_must_be_refused_is_refused() {
    let cases = cases();
    assert_eq!(cases.len(), 318);
    for (name, text) in cases {
        let (ours, theirs) = (taken(&text), serde_json::from_slice::<Value>(&text));
        match (name.as_bytes()[0], theirs) {
            (b'n', _) => assert_eq!(ours, None, "{name}"),
            (b'i', Err(error)) if error.to_string().contains("out of range") => {
                assert_eq!(ours, Some(Value::Null), "{name}");
            }
            (_, theirs) => assert_eq!(ours, theirs.ok(), "{name}"),
        }
        assert!(!name.starts_with('y') || ours.is_some(), "{name}");
    }
}
