//! What is imported is what a parser makes of the same events as JSON.

use std::fmt::Write as _;
use std::io::Read;
use std::sync::Arc;

use arrow_array::builder::{Int64Builder, ListBuilder, MapBuilder, StringBuilder};
use arrow_array::types::Int8Type;
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array,
    Int64Array, NullArray, RecordBatch, StringArray, StringViewArray, StructArray,
    Time32SecondArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt8Array,
};
use arrow_schema::{DataType, Field};
use proptest::prelude::*;

use super::*;
use crate::parse::{Context, Parsed, parse};

fn parsed(body: &[u8]) -> Parsed {
    parse(body, &Context::default()).unwrap()
}

fn said(columns: Vec<(&str, ArrayRef)>) -> String {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut out = Vec::new();
    lines(&batch, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn of_csv(csv: &str) -> String {
    let mut out = String::new();
    CsvLines::new(csv.as_bytes()).unwrap().read_to_string(&mut out).unwrap();
    out
}

#[test]
fn every_type_is_said_as_json_says_it() {
    let mut lists = ListBuilder::new(Int64Builder::new());
    lists.append_value([Some(1), None]);
    let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for (key, value) in [("a", Some("x")), ("b", None)] {
        maps.keys().append_value(key);
        maps.values().append_option(value);
    }
    maps.append(true).unwrap();
    let member = Arc::new(Field::new("n", DataType::UInt8, true));
    let nested = StructArray::from(vec![(member, Arc::new(UInt8Array::from(vec![7])) as ArrayRef)]);
    let label: DictionaryArray<Int8Type> = ["meta"].into_iter().collect();
    let money = Decimal128Array::from(vec![-1_234]).with_precision_and_scale(9, 2).unwrap();
    assert_eq!(
        said(vec![
            ("a\"b", Arc::new(StringArray::from(vec!["\u{1}\"\\é"]))),
            ("none", Arc::new(NullArray::new(1))),
            ("source", Arc::new(label)),
            ("view", Arc::new(StringViewArray::from(vec!["a text longer than twelve bytes"]))),
            ("yes", Arc::new(BooleanArray::from(vec![true]))),
            ("float", Arc::new(Float64Array::from(vec![1e300]))),
            ("nan", Arc::new(Float64Array::from(vec![f64::NAN]))),
            ("revenue", Arc::new(money)),
            ("timestamp", Arc::new(TimestampMillisecondArray::from(vec![-1]))),
            ("ns", Arc::new(TimestampNanosecondArray::from(vec![1_709_210_096_123_456_789]))),
            ("day", Arc::new(Date32Array::from(vec![11_016]))),
            ("list", Arc::new(lists.finish())),
            ("map", Arc::new(maps.finish())),
            ("nested", Arc::new(nested)),
        ]),
        concat!(
            r#"{"a\"b":"\u0001\"\\é","source":"meta","view":"a text longer than twelve bytes","#,
            r#""yes":true,"float":1e300,"nan":"NaN","revenue":-12.34,"#,
            r#""timestamp":"1969-12-31T23:59:59.999000Z","ns":"2024-02-29T12:34:56.123456Z","#,
            r#""day":"2000-02-29T00:00:00.000000Z","list":[1,null],"map":{"a":"x"},"#,
            "\"nested\":{\"n\":7}}\n",
        )
    );
}

#[test]
fn what_json_cannot_say_names_its_column() {
    let column = Arc::new(Time32SecondArray::from(vec![1])) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("at", column)]).unwrap();
    let error = lines(&batch, &mut Vec::new()).unwrap_err().to_string();
    assert!(error.starts_with("column `at` must be text, a number"), "{error}");
}

#[test]
fn properties_are_one_object_or_a_text() {
    let given = [r#"{"a": 1}"#, r#"{"a":1},"user_id":"x""#, "{", "[1]", "{\"a\":\n1}"];
    let text = said(vec![("properties", Arc::new(StringArray::from(given.to_vec())))]);
    let expected = [
        r#"{"properties":{"a": 1}}"#,
        r#"{"properties":"{\"a\":1},\"user_id\":\"x\""}"#,
        r#"{"properties":"{"}"#,
        r#"{"properties":"[1]"}"#,
        "{\"properties\":{\"a\": 1}}",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn money_in_millionths_is_money() {
    let micros = Arc::new(Int64Array::from(vec![-1, 12_340_000, i64::MIN]));
    let text = said(vec![("revenue_micros", micros)]);
    let expected = [
        r#"{"revenue":"-0.000001"}"#,
        r#"{"revenue":"12.340000"}"#,
        r#"{"revenue":"-9223372036854.775808"}"#,
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    assert_eq!(
        of_csv("revenue_micros\n-1\nx"),
        "{\"revenue\":\"-0.000001\"}\n{\"revenue\":\"x\"}\n"
    );
}

#[test]
fn a_cell_is_a_text_unless_its_column_is_not() {
    let csv = "\u{feff}event_name,timestamp,user_id,properties,received_at\r\n\
               open,1767225600,0123,\"{\"\"a\"\":1}\",x\r\n\
               \"a \"\"b\"\", c\",2026-01-01T00:00:00Z,,\n\n";
    assert_eq!(
        of_csv(csv),
        concat!(
            r#"{"event_name":"open","timestamp":1767225600,"user_id":"0123","#,
            "\"properties\":{\"a\":1}}\n",
            r#"{"event_name":"a \"b\", c","timestamp":"2026-01-01T00:00:00Z"}"#,
            "\n",
        )
    );
    assert_eq!(of_csv("a;b\n1,5;2"), "{\"a\":\"1,5\",\"b\":\"2\"}\n");
    assert_eq!(of_csv("a\tb\n1\t"), "{\"a\":\"1\"}\n");
}

#[test]
fn a_row_of_too_many_cells_is_refused_alone() {
    let body = of_csv("event_name,timestamp,user_id\na,1767225600,u\na,1,2,3\nb,1767225600,u");
    let parsed = parsed(body.as_bytes());
    assert_eq!((parsed.events.num_rows(), parsed.rejects.len()), (2, 1));
    assert_eq!(parsed.rejects[0].index, 1);
    assert!(body.contains("the row has 4 cells, the header 3"));
}

#[test]
fn a_header_must_name_each_column_once() {
    let error = |csv: &str| CsvLines::new(csv.as_bytes()).err().unwrap().to_string();
    assert!(error("a,,b\n").starts_with("column 1 of the CSV has no name"));
    assert!(error("a,b, a\n").starts_with("two columns of the CSV are called `a`"));
    assert_eq!(of_csv(""), "");
}

#[test]
fn a_quote_that_is_never_closed_takes_no_more_memory_than_a_row_may() {
    let csv = b"a\n1\n\"".chain(std::io::repeat(b'x'));
    let error = CsvLines::new(csv).unwrap().read_to_end(&mut Vec::new()).unwrap_err().to_string();
    assert!(error.starts_with("row 1 of the CSV is longer than"), "{error}");
}

/// An event of the body: a name, a time, ids and money.
fn event() -> impl Strategy<Value = String> {
    let text = "[a-z,;\"\\\\\n é]{0,8}".prop_map(|text| serde_json::to_string(&text).unwrap());
    let id = prop::option::of("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}");
    let revenue = prop::option::of(-10_000_000_i64..10_000_000);
    let time = 1_600_000_000_000_000_i64..1_800_000_000_000_000;
    (text.clone(), text, id, revenue, time).prop_map(|(device, source, id, revenue, time)| {
        let mut event = format!(
            r#"{{"event_name":"open","timestamp":{time},"user_id":"u","device_id":{device},
            "source":{source},"ip":"203.0.113.7","properties":{{"p":{source}}}"#
        )
        .replace('\n', " ");
        if let Some(id) = id {
            let _ = write!(event, r#","idfa":"{id}","event_id":"{id}""#);
        }
        if let Some(micros) = revenue {
            let mut text = Vec::new();
            line::micros(micros, &mut text);
            let text = String::from_utf8(text).unwrap();
            let _ = write!(event, r#","revenue":{text},"currency":"EUR""#);
        }
        event + "}"
    })
}

proptest! {
    #[test]
    fn events_come_in_again_as_they_went_out(events in prop::collection::vec(event(), 1..20)) {
        let once = parsed(events.join("\n").as_bytes());
        prop_assert_eq!(once.rejects.len(), 0);
        let mut body = Vec::new();
        lines(&once.events, &mut body).unwrap();
        let again = parsed(&body);
        prop_assert_eq!(again.rejects.len(), 0);
        for (field, column) in once.events.schema().fields().iter().zip(once.events.columns()) {
            // A missing one is made anew.
            if field.name() != "event_id" {
                let other = again.events.column_by_name(field.name()).unwrap();
                prop_assert_eq!(column, other, "{}", field.name());
            }
        }
    }
}
