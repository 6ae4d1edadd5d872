//! Every case of `tests/cases/inlets/`: what an SDK sends, and the event it must become.

use serde_json::{Map, Value, json};

use super::{InletError, posthog, posthog_key, segment, segment_key};
use crate::limits::Limits;

const RECEIVED_AT_US: i64 = 1_790_000_000_000_000;

const CASES: [&str; 2] = [
    include_str!("../../../../tests/cases/inlets/segment.json"),
    include_str!("../../../../tests/cases/inlets/posthog.json"),
];

fn convert(inlet: &str, body: &[u8]) -> Result<Vec<Map<String, Value>>, InletError> {
    let limits = Limits::default();
    let out = match inlet.strip_prefix("segment:") {
        Some(route) => segment(route, body, RECEIVED_AT_US, &limits)?,
        None => posthog(body, RECEIVED_AT_US, &limits)?,
    };
    let text = String::from_utf8(out).unwrap();
    Ok(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// The records in a body, for comparing them with what is kept under `properties`.
fn sent(body: &Value) -> Vec<Value> {
    match body.get("batch").unwrap_or(body) {
        Value::Array(records) => records.clone(),
        record => vec![record.clone()],
    }
}

#[test]
fn records_become_the_events_of_the_case_tables() {
    for table in CASES {
        let cases: Vec<Value> = serde_json::from_str(table).unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let inlet = case["inlet"].as_str().unwrap();
            let lines = convert(inlet, case["body"].to_string().as_bytes()).unwrap();
            let mut events = Vec::new();
            for (mut line, record) in lines.into_iter().zip(sent(&case["body"])) {
                let kept = line.remove("properties").unwrap();
                if case["body"].get("context").is_none() || record.get("context").is_some() {
                    assert_eq!(kept, record, "{}", case["name"]);
                }
                events.push(Value::Object(line));
            }
            assert_eq!(Value::Array(events), case["events"], "{}", case["name"]);
        }
    }
}

#[test]
fn a_record_keeps_its_bytes_on_one_line() {
    let body =
        b"{\"batch\":[{\"type\":\"track\",\n \"event\":\"e\",\"n\":1.50,\"z\":1,\r\n\"a\":2}]}";
    let out = segment("batch", body, RECEIVED_AT_US, &Limits::default()).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains(r#"{"type":"track",  "event":"e","n":1.50,"z":1,  "a":2}"#), "{text}");
}

#[test]
fn a_broken_body_is_a_400_and_an_unknown_call_a_404() {
    let broken: [&[u8]; 7] = [
        b"",
        b"17",
        b"{\"batch\":[{}",
        b"{\"batch\":17}",
        b"{\"batch\":[{\"a\":\"\xff\"}]}",
        b"{\"batch\":[]}}",
        b"{}",
    ];
    for body in broken {
        let refused = segment("batch", body, RECEIVED_AT_US, &Limits::default()).unwrap_err();
        assert_eq!(refused.status(), 400, "{refused}");
        let refused = posthog(body, RECEIVED_AT_US, &Limits::default()).unwrap_err();
        assert_eq!(refused.status(), 400, "{refused}");
    }
    let refused = segment("delete", b"{}", RECEIVED_AT_US, &Limits::default()).unwrap_err();
    assert_eq!(refused.status(), 404);
}

#[test]
fn an_empty_batch_has_no_lines() {
    assert_eq!(convert("segment:batch", br#"{"batch":[]}"#).unwrap(), []);
    assert_eq!(convert("posthog", br#"{"batch":[]}"#).unwrap(), []);
    assert_eq!(convert("posthog", b"[]").unwrap(), []);
}

#[test]
fn one_record_above_the_limit_refuses_the_request() {
    let limits = Limits { records: 2, ..Limits::default() };
    let body = |count: usize| json!({ "batch": vec![json!({"type": "page"}); count] }).to_string();
    assert!(segment("batch", body(2).as_bytes(), RECEIVED_AT_US, &limits).is_ok());
    let refused = segment("batch", body(3).as_bytes(), RECEIVED_AT_US, &limits).unwrap_err();
    assert_eq!((refused.status(), refused), (413, InletError::TooManyRecords { limit: 2 }));
}

#[test]
fn items_that_are_no_objects_keep_their_place() {
    let body = br#"{"batch":[17,[{"type":"page"}],null,"x",{"type":"page","userId":"u"}]}"#;
    let out = segment("batch", body, RECEIVED_AT_US, &Limits::default()).unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..4], ["17", r#""[{\"type\":\"page\"}]""#, "null", "\"x\""]);
    assert!(lines[4].starts_with('{'));
}

#[test]
fn keys_are_found_where_the_sdks_put_them() {
    assert_eq!(segment_key(br#"{"batch":[],"writeKey":"wk"}"#).as_deref(), Some("wk"));
    assert_eq!(segment_key(br#"{"batch":[]}"#), None);
    assert_eq!(segment_key(b"nonsense"), None);
    let bodies: [&[u8]; 5] = [
        br#"{"batch":[{}],"api_key":"k"}"#,
        br#"{"batch":[{"api_key":"k"},{"api_key":"other"}]}"#,
        br#"{"event":"e","token":"k"}"#,
        br#"[{"event":"e","properties":{"token":"k"}}]"#,
        br#"{"event":"e","$token":"k"}"#,
    ];
    for body in bodies {
        assert_eq!(posthog_key(body).as_deref(), Some("k"), "{}", String::from_utf8_lossy(body));
    }
    assert_eq!(posthog_key(br#"{"batch":[]}"#), None);
}

#[test]
fn times_are_made_whole_but_never_guessed() {
    let read = |text: &str| super::field::time(Some(text));
    let whole = [
        ("\"2026-3-4T05:06:07Z\"", "\"2026-03-04T05:06:07.0Z\""),
        ("\"2026-03-04 05:06:07\"", "\"2026-03-04T05:06:07.0Z\""),
        ("\"2026-03-04\"", "\"2026-03-04T00:00:00.0Z\""),
        ("\"2026-03-04T05:06:07.123456789+0530\"", "\"2026-03-04T05:06:07.123456+05:30\""),
        ("\"2026-03-04T05:06:07-08\"", "\"2026-03-04T05:06:07.0-08:00\""),
        ("\"2028-02-29T00:00:00Z\"", "\"2028-02-29T00:00:00.0Z\""),
        ("1767225600", "1767225600"),
        ("1767225600000", "1767225600000"),
    ];
    for (sent, expected) in whole {
        assert_eq!(read(sent).as_deref(), Some(expected), "{sent}");
    }
    let wrong = [
        "\"2026-02-30T00:00:00Z\"",
        "\"2026-13-01T00:00:00Z\"",
        "\"2027-02-29T00:00:00Z\"",
        "\"1999-01-01T00:00:00Z\"",
        "\"yesterday\"",
        "\"\"",
        "\"2026-01-01T25:00:00Z\"",
        "\"2026-01-01T00:00:00Zulu\"",
        "\"2026-01-01T00:00:00.Z\"",
        "-5",
        "17",
        "1.5",
        "true",
        "{}",
    ];
    for sent in wrong {
        assert_eq!(read(sent), None, "{sent}");
    }
}

#[test]
fn money_is_exact_or_nothing() {
    let read = |json: &str| super::field::money(Some(json));
    let exact = [
        ("12.5", "12.500000"),
        ("\"12.50\"", "12.500000"),
        ("-3", "-3.000000"),
        ("1e2", "100.000000"),
        ("2.5E-1", "0.250000"),
        ("-0.0", "0.000000"),
        ("9223372036854.775807", "9223372036854.775807"),
    ];
    for (sent, expected) in exact {
        assert_eq!(read(sent).as_deref(), Some(expected), "{sent}");
    }
    let none = [
        "0.1234567",
        "\"12,50\"",
        "\"\"",
        "\"$5\"",
        "true",
        "null",
        "9223372036854.775808",
        "1e400",
        "\"1.\"",
        "\".5\"",
        "\"NaN\"",
        "\"1e\"",
        "\" 1\"",
        "0.30000000000000004",
    ];
    for sent in none {
        assert_eq!(read(sent), None, "{sent}");
    }
}
