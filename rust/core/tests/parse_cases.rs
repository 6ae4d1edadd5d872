//! The tables in `tests/cases/parse`, which Python reads too.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test ends so")]

use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use serde_json::{Map, Value, json};
use unmogrowp_core::parse::{Context, Parsed, parse, uuid};
use unmogrowp_core::reject::Code;
use unmogrowp_core::schema::{COLUMNS, Kind};

fn cases(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/parse").join(file);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The bytes of a case: text, hex, or the smallest event with some fields set.
fn body(case: &Value) -> Vec<u8> {
    if let Some(text) = case["body"].as_str() {
        return text.as_bytes().to_vec();
    }
    if let Some(hex) = case["hex"].as_str() {
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        return (0..hex.len()).step_by(2).map(byte).collect();
    }
    let mut event = Map::new();
    event.insert("event_name".to_owned(), json!("open"));
    event.insert("timestamp".to_owned(), json!(1_767_225_600));
    event.insert("user_id".to_owned(), json!("u1"));
    event.extend(case["event"].as_object().unwrap().clone());
    Value::from(event).to_string().into_bytes()
}

/// A cell as the tables spell it.
fn cell(events: &RecordBatch, name: &str, row: usize) -> Value {
    let at = COLUMNS.iter().position(|column| column.name == name).unwrap();
    let array = events.column(at);
    if array.is_null(row) {
        return Value::Null;
    }
    let sixteen = |row| <[u8; 16]>::try_from(array.as_fixed_size_binary().value(row)).unwrap();
    match COLUMNS[at].kind {
        Kind::Uuid => json!(uuid::render(sixteen(row))),
        Kind::Ip => json!(std::net::Ipv6Addr::from(sixteen(row)).to_canonical().to_string()),
        Kind::Time => json!(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        Kind::Micros => json!(array.as_primitive::<Int64Type>().value(row)),
        Kind::Text | Kind::Json => json!(array.as_string::<i32>().value(row)),
        Kind::Label => {
            let labels = array.as_dictionary::<Int32Type>();
            json!(labels.values().as_string::<i32>().value(labels.key(row).unwrap()))
        }
    }
}

fn check(case: &Value, parsed: &Parsed) {
    let name = &case["name"];
    let rejects: Vec<_> = parsed
        .rejects
        .iter()
        .map(|r| json!({"row": r.index, "code": r.code.as_str(), "field": r.field}))
        .collect();
    let expected = case["rejects"].as_array().cloned().unwrap_or_default();
    assert_eq!(rejects, expected, "{name}: {:?}", parsed.rejects);
    if let Some(names) = case["names"].as_array() {
        let rows = 0..parsed.events.num_rows();
        let found: Vec<_> = rows.map(|row| cell(&parsed.events, "event_name", row)).collect();
        assert_eq!(&found, names, "{name}");
    }
    for (column, value) in case["columns"].as_object().into_iter().flatten() {
        assert_eq!(&cell(&parsed.events, column, 0), value, "{name}: {column}");
    }
}

fn check_all(file: &str) {
    for case in cases(file) {
        let given = &case["context"];
        let context = Context {
            app_id: given["app_id"].as_str(),
            received_at_us: given["received_at_us"].as_i64(),
            truncate_ip: given["truncate_ip"].as_bool().unwrap_or(false),
            ..Context::default()
        };
        match (parse(&body(&case), &context), case["error"].as_str()) {
            (Ok(parsed), None) => check(&case, &parsed),
            (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, _) => panic!("{}: {found:?}", case["name"]),
        }
    }
}

#[test]
fn the_docs_list_every_code_in_the_order_of_checks() {
    let docs = include_str!("../../../docs/rejects.md");
    let rows = docs.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.collect::<Vec<_>>(), Code::ALL.map(Code::as_str));
}

#[test]
fn fields_become_columns() {
    check_all("fields.json");
}

#[test]
fn bad_records_become_rejects() {
    check_all("rejects.json");
}

#[test]
fn bytes_decide_the_shape() {
    check_all("shapes.json");
}
