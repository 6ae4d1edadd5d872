use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};

use super::{Context, ParseError, Parsed, Plan, pack, parse, uuid};
use crate::reject::Code;
use crate::schema::at;

const MIN: &str = r#""event_name":"open","timestamp":1767225600,"user_id":"u1""#;

fn parsed(body: &str) -> Parsed {
    parse(body.as_bytes(), &Context::default()).unwrap()
}

/// A minimal event with more members.
fn event(more: &str) -> String {
    if more.is_empty() { format!("{{{MIN}}}") } else { format!("{{{MIN},{more}}}") }
}

fn text(events: &RecordBatch, column: usize, row: usize) -> Option<String> {
    let array = events.column(column);
    if let Some(labels) = array.as_dictionary_opt::<Int32Type>() {
        let values = labels.values().as_string::<i32>();
        labels.key(row).map(|key| values.value(key).to_owned())
    } else {
        let values = array.as_string::<i32>();
        values.is_valid(row).then(|| values.value(row).to_owned())
    }
}

fn time(events: &RecordBatch, column: usize, row: usize) -> Option<i64> {
    let times = events.column(column).as_primitive::<TimestampMicrosecondType>();
    times.is_valid(row).then(|| times.value(row))
}

fn one(body: &str) -> RecordBatch {
    let parsed = parsed(body);
    assert_eq!(parsed.rejects, [], "{body}");
    assert_eq!(parsed.events.num_rows(), 1, "{body}");
    parsed.events
}

fn refused(body: &str) -> (Code, Option<String>) {
    let parsed = parsed(body);
    assert_eq!(parsed.rejects.len(), 1, "{body}");
    let reject = parsed.rejects[0].clone();
    (reject.code, reject.field)
}

fn field(code: Code, name: &str) -> (Code, Option<String>) {
    (code, Some(name.to_owned()))
}

#[test]
fn a_full_event_fills_its_columns() {
    let id = "6ba7b811-9dad-11d1-80b4-00c04fd430c8";
    let body = format!(
        r#"{{"event_id":"{id}","app_id":"a","event_name":"purchase","event_type":"revenue",
        "user_id":"u\u00e9","idfa":"{}","timestamp":"2026-01-01T00:00:00Z","ip":"1.2.3.4",
        "source":"meta","revenue":"12.34","currency":"eur","properties":{{ "a" : 1 }},
        "extra":[1, 2],"more":"x\"y"}}"#,
        id.to_uppercase()
    );
    let events = one(&body);
    let bytes = uuid::parse(id.as_bytes()).unwrap();
    assert_eq!(events.column(at::EVENT_ID).as_fixed_size_binary().value(0), bytes);
    assert_eq!(events.column(at::IDFA).as_fixed_size_binary().value(0), bytes);
    assert_eq!(text(&events, at::USER_ID, 0).as_deref(), Some("ué"));
    assert_eq!(time(&events, at::TIMESTAMP, 0), Some(1_767_225_600_000_000));
    assert_eq!(events.column(at::REVENUE).as_primitive::<Int64Type>().value(0), 12_340_000);
    assert_eq!(text(&events, at::CURRENCY, 0).as_deref(), Some("EUR"));
    let properties = r#"{ "a" : 1 ,"extra":[1, 2],"more":"x\"y"}"#;
    assert_eq!(text(&events, at::PROPERTIES, 0).as_deref(), Some(properties));
    assert!(events.column(at::RECEIVED_AT).is_null(0));
}

#[test]
fn name_and_type_fill_each_other() {
    let events = one(r#"{"event_type":"click","timestamp":1767225600,"user_id":"u"}"#);
    assert_eq!(text(&events, at::EVENT_NAME, 0).as_deref(), Some("click"));
    let events = one(&event(""));
    assert_eq!(text(&events, at::EVENT_TYPE, 0).as_deref(), Some("open"));
}

#[test]
fn an_app_is_given_kept_or_refused() {
    let context = Context { app_id: Some("a"), ..Context::default() };
    let body = [event(""), event(r#""app_id":"a""#), event(r#""app_id":"b""#)].join("\n");
    let parsed = parse(body.as_bytes(), &context).unwrap();
    assert_eq!(parsed.indexes, [0, 1]);
    assert_eq!(text(&parsed.events, at::APP_ID, 0).as_deref(), Some("a"));
    assert_eq!(parsed.rejects[0].code, Code::AppMismatch);
    assert_eq!(parsed.rejects[0].index, 2);
}

#[test]
fn other_event_ids_are_mapped_by_app_and_text() {
    let id = |app: &str, text: &str| {
        let more = format!(r#""event_id":"{text}","app_id":"{app}""#);
        one(&event(&more)).column(at::EVENT_ID).as_fixed_size_binary().value(0).to_vec()
    };
    assert_eq!(id("a", "1"), id("a", "1"));
    assert_ne!(id("a", "1"), id("b", "1"));
    assert_ne!(id("a", "1"), id("a", "2"));
    // The namespace of an app is the same whether the key or the event names it.
    let context = Context { app_id: Some("a"), ..Context::default() };
    let given = parse(event(r#""event_id":"1""#).as_bytes(), &context).unwrap();
    assert_eq!(given.events.column(at::EVENT_ID).as_fixed_size_binary().value(0), id("a", "1"));
    let nil = r#""event_id":"00000000-0000-0000-0000-000000000000""#;
    assert_eq!(refused(&event(nil)), field(Code::InvalidUuid, "event_id"));
}

#[test]
fn clocks_are_compared_only_with_a_time_of_receipt() {
    let received = 1_767_225_600_000_000;
    let context = Context { received_at_us: Some(received), ..Context::default() };
    let with = |more: &str, context: &Context<'_>| {
        let body = format!(r#"{{"event_name":"a","user_id":"u",{more}}}"#);
        parse(body.as_bytes(), context).unwrap()
    };
    // An hour behind: moved by the hour. A minute: believed.
    let late = with(r#""timestamp":1767222000,"sent_at":1767222000"#, &context);
    assert_eq!(time(&late.events, at::TIMESTAMP, 0), Some(received));
    assert_eq!(time(&late.events, at::CLIENT_TIMESTAMP, 0), Some(received - 3_600_000_000));
    assert_eq!(time(&late.events, at::RECEIVED_AT, 0), Some(received));
    let close = with(r#""timestamp":1767225000,"sent_at":1767225540"#, &context);
    assert_eq!(time(&close.events, at::TIMESTAMP, 0), Some(received - 600_000_000));
    let day = with(r#""timestamp":1767312000"#, &context);
    assert_eq!(day.rejects, []);
    let future = with(r#""timestamp":1767312001"#, &context);
    assert_eq!(future.rejects[0].code, Code::TimestampOutOfRange);
    let future = with(r#""timestamp":1767312001"#, &Context::default());
    assert_eq!(future.rejects, []);
}

#[test]
fn a_batch_lends_its_sent_at() {
    let own = event(r#""sent_at":1767225601"#);
    let body = format!(r#"{{"sent_at":1767222000,"batch":[{},{own}],"x":1}}"#, event(""));
    let parsed = parsed(&body);
    assert_eq!(time(&parsed.events, at::SENT_AT, 0), Some(1_767_222_000_000_000));
    assert_eq!(time(&parsed.events, at::SENT_AT, 1), Some(1_767_225_601_000_000));
    let body = format!(r#"{{"sent_at":"soon","batch":[{},{own}]}}"#, event(""));
    let parsed = parse(body.as_bytes(), &Context::default()).unwrap();
    assert_eq!(parsed.indexes, [1]);
    assert_eq!(parsed.rejects[0].code, Code::InvalidTimestamp);
    assert_eq!(parsed.rejects[0].field.as_deref(), Some("sent_at"));
}

#[test]
fn rejects_carry_place_and_id() {
    let body = format!("\u{feff}\n {{\"event_id\":\"e\",\r\n{}\r\n\r\n[1]", event(""));
    let parsed = parsed(&body);
    assert_eq!(parsed.indexes, [1]);
    assert_eq!(parsed.received, 3);
    let [cut, array] = &parsed.rejects[..] else { panic!("{:?}", parsed.rejects) };
    assert_eq!((cut.code, cut.event_id.as_deref()), (Code::InvalidJson, Some("e")));
    assert_eq!((cut.start, cut.stop), (5, 5 + 16));
    assert_eq!((array.index, array.code), (2, Code::NotAnObject));
    assert_eq!(&body[usize::try_from(array.start).unwrap()..], "[1]");
}

#[test]
fn the_first_failure_in_documented_order_wins() {
    let body = r#"{"currency":"?","ip":"x","timestamp":"x","event_name":1,"idfa":"x"}"#;
    assert_eq!(refused(body), field(Code::WrongType, "event_name"));
    let body = r#"{"currency":"?","ip":"x","timestamp":"x","event_name":"a","revenue":"x"}"#;
    assert_eq!(refused(body), field(Code::MissingField, "user_id"));
    let body = r#"{"idfv":"x","idfa":"y","timestamp":"x","event_name":"a","user_id":"u"}"#;
    assert_eq!(refused(body), field(Code::InvalidUuid, "idfa"));
}

#[test]
fn limits_are_kept() {
    let mut context = Context::default();
    context.limits.event_bytes = event("").len();
    let body = format!("{}\n{} \n{}", event(""), event(""), event("\"a\":1"));
    let parsed = parse(body.as_bytes(), &context).unwrap();
    assert_eq!(parsed.indexes, [0, 1]);
    assert_eq!(parsed.rejects[0].code, Code::EventTooLarge);
    context.limits = crate::limits::Limits { records: 2, ..Default::default() };
    let found = parse(body.as_bytes(), &context).map(|parsed| parsed.received);
    assert_eq!(found, Err(ParseError::TooManyRecords { limit: 2 }));
    let deep = |levels: usize| {
        event(&format!(r#""properties":{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels)))
    };
    assert_eq!(parsed_ok(&deep(30)), 1);
    assert_eq!(refused(&deep(31)), (Code::TooDeep, None));
    assert_eq!(refused(&deep(200_000)), (Code::TooDeep, None));
}

fn parsed_ok(body: &str) -> usize {
    parsed(body).events.num_rows()
}

#[test]
fn pieces_add_up_to_the_whole() {
    let lines: Vec<_> = (0..50)
        .map(|i| if i % 7 == 3 { "{".to_owned() } else { event(&format!(r#""os":"{i}""#)) })
        .collect();
    for body in [lines.join("\n"), format!("[{}]", vec![event(""); 40].join(","))] {
        let context = Context::default();
        let whole = parse(body.as_bytes(), &context).unwrap();
        let plan = Plan::new(body.as_bytes(), &context.limits).unwrap();
        for bytes in [1, 100, 1_000, 1_000_000] {
            let (mut rows, mut rejects, mut received) = (0, 0, 0);
            for piece in plan.pieces(bytes) {
                let part = plan.parse(&piece, &context).unwrap();
                assert_eq!(part.events, whole.events.slice(rows, part.events.num_rows()));
                rows += part.events.num_rows();
                rejects += part.rejects.len();
                received += part.received;
            }
            assert_eq!((rows, rejects), (whole.events.num_rows(), whole.rejects.len()));
            assert_eq!(received, whole.received);
        }
    }
}

/// What is kept by a thread from one body to the next must not show.
#[test]
fn nothing_of_a_body_is_left_in_the_next() {
    let id = "6ba7b811-9dad-11d1-80b4-00c04fd430c8";
    let more = format!(
        r#""event_id":"{id}","idfa":"{id}","ip":"1.2.3.4","session_id":"{id}","source":"meta",
        "revenue":"12.34","currency":"eur","sent_at":1767225600,"properties":{{"a":1}},"x":2"#
    )
    .replace('\n', "");
    let long = vec![event(&more); 100].join("\n");
    for short in [event(""), [event(""), "{".to_owned(), event(r#""idfv":"?""#)].join("\n")] {
        for context in [Context::default(), Context { app_id: Some("a"), ..Context::default() }] {
            let found = |body: &str| {
                let parsed = parse(body.as_bytes(), &context).unwrap();
                let packed = pack(body.as_bytes(), &context, &|| [7; 16]).unwrap();
                // What stands where a value is missing as well.
                let columns = parsed.events.columns().iter();
                let buffers: Vec<_> = columns.map(|one| one.to_data().buffers().to_vec()).collect();
                (parsed.events, buffers, packed.rows.bytes().to_vec(), packed.rejects)
            };
            let alone = std::thread::scope(|scope| scope.spawn(|| found(&short)).join());
            found(&long);
            assert_eq!(found(&short), alone.unwrap());
        }
    }
}
