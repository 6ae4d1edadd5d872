//! What must hold of the parser for any bytes, with `serde_json` as the judge.

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, RecordBatch};
use serde_json::{Map, Value, json};
use unmogrowp_core::limits::Limits;
use unmogrowp_core::parse::{Context, Parsed, is_nobody, pack, parse};
use unmogrowp_core::reject::Code;
use unmogrowp_core::row;
use unmogrowp_core::schema::at;

/// What events without an id get.
const MINTED: [u8; 16] = [9; 16];

/// Keys of columns among those that tests use.
pub(crate) const KNOWN: [&str; 6] =
    ["event_name", "event_type", "timestamp", "user_id", "device_id", "source"];

pub(crate) fn context() -> Context<'static> {
    // As deep as `serde_json` goes, so that depth is no reason to differ.
    Context { limits: Limits { depth: 100, ..Limits::default() }, ..Context::default() }
}

/// Whether we and `serde_json` say the same of one line.
pub(crate) fn check_line(line: &[u8]) {
    // The first record keeps the body from being anything but lines.
    let body = [b"{}\n", line].concat();
    let parsed = parse(&body, &context()).unwrap();
    check_books(&body, &parsed);
    let theirs = serde_json::from_slice::<Value>(line);
    let too_big = theirs.as_ref().is_err_and(|e| e.to_string().contains("out of range"));
    let ours = parsed.rejects.iter().find(|reject| reject.index == 1).map(|one| one.code);
    if parsed.received == 1 {
        assert!(line.trim_ascii().is_empty());
    } else if !too_big {
        let refused = matches!(ours, Some(Code::InvalidJson | Code::InvalidUtf8));
        assert_eq!(theirs.is_err(), refused, "{theirs:?}: {ours:?}");
        if let Ok(value) = theirs {
            assert_eq!(!value.is_object(), ours == Some(Code::NotAnObject));
        }
        assert_eq!(std::str::from_utf8(line).is_err(), ours == Some(Code::InvalidUtf8));
    }
}

fn label(events: &RecordBatch, column: usize, row: usize) -> Option<String> {
    let labels = events.column(column).as_dictionary::<Int32Type>();
    let values = labels.values().as_string::<i32>();
    labels.key(row).map(|key| values.value(key).to_owned())
}

fn text(events: &RecordBatch, column: usize, row: usize) -> Option<&str> {
    let texts = events.column(column).as_string::<i32>();
    texts.is_valid(row).then(|| texts.value(row))
}

/// What the columns of a good event must hold, by the standard's own words.
pub(crate) fn check_columns(event: &Map<String, Value>, events: &RecordBatch, row: usize) {
    let sent = |key: &str| event.get(key).and_then(Value::as_str);
    assert_eq!(
        text(events, at::USER_ID, row),
        sent("user_id").filter(|id| !is_nobody(id.as_bytes()))
    );
    // Empty text means absent.
    let filled = |key: &str| sent(key).filter(|text| !text.is_empty());
    assert_eq!(label(events, at::SOURCE, row).as_deref(), filled("source"));
    let class = filled("event_type").or(sent("event_name"));
    assert_eq!(label(events, at::EVENT_TYPE, row).as_deref(), class);
    let properties = event.get("properties").and_then(Value::as_object);
    let mut expected = properties.cloned().unwrap_or_default();
    for (key, value) in event {
        if !KNOWN.contains(&key.as_str()) && key != "properties" {
            expected.insert(key.clone(), value.clone());
        }
    }
    let found =
        text(events, at::PROPERTIES, row).map_or(json!({}), |t| serde_json::from_str(t).unwrap());
    assert_eq!(found, Value::from(expected));
}

/// Every record is in exactly one table and its place lies in the body.
pub(crate) fn check_books(body: &[u8], parsed: &Parsed) {
    let mut indexes = parsed.indexes.clone();
    indexes.extend(parsed.rejects.iter().map(|reject| reject.index));
    indexes.sort_unstable();
    assert_eq!(indexes, (0..parsed.received).collect::<Vec<_>>());
    assert_eq!(parsed.events.num_rows(), parsed.indexes.len());
    for reject in &parsed.rejects {
        assert!(reject.start < reject.stop && reject.stop <= body.len() as u64);
    }
    check_rows(body, parsed);
}

/// What is packed for the spool is what the columns hold, with and without some of the rows.
fn check_rows(body: &[u8], parsed: &Parsed) {
    let packed = pack(body, &context(), &|| MINTED).unwrap();
    assert_eq!((packed.received, &packed.rejects), (parsed.received, &parsed.rejects));
    let others = |events: &RecordBatch| {
        events.project(&(1..events.num_columns()).collect::<Vec<_>>()).unwrap()
    };
    let rows = parsed.events.num_rows();
    for without in [vec![], (0..rows).step_by(3).collect::<Vec<_>>()] {
        let mut payload = vec![row::ROWS_VERSION];
        packed.rows.runs(&without).for_each(|run| payload.extend_from_slice(&run.unwrap().1));
        let stored = row::decode(&payload).unwrap();
        let mut kept = (0..rows).filter(|row| !without.contains(row));
        for (at, row) in kept.by_ref().enumerate() {
            let (found, expected) = (stored.slice(at, 1), parsed.events.slice(row, 1));
            assert_eq!(others(&found), others(&expected));
            let (found, given) = (found.column(0), expected.column(0));
            let id = found.as_fixed_size_binary().value(0);
            let given = given.is_valid(0).then(|| given.as_fixed_size_binary().value(0));
            assert_eq!(id, given.unwrap_or(&MINTED));
        }
        assert_eq!(stored.num_rows(), rows - without.len());
    }
}
