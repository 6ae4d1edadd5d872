use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use proptest::prelude::*;

use super::{Decoder, ROWS_VERSION, RowError, decode, decode_rejects, encode_rejects};
use crate::parse::{Context, Packed, pack, parse};
use crate::schema::at;

/// Events with different fields missing, and a time of receipt; as columns and as rows.
fn events(count: usize) -> (RecordBatch, Packed) {
    let tail = |i: usize| match i % 4 {
        0 => format!(r#""event_name":"a","source":"s{}","ip":"1.2.3.4""#, i % 3),
        1 => r#""event_type":"click","revenue":-1.5,"currency":"EUR","x":[1]"#.to_owned(),
        2 => {
            let long = "é".repeat(i * 40);
            format!(r#""event_name":"b","event_id":"e{i}","properties":{{"k":"{long}"}}"#)
        }
        _ => r#""event_name":"c","idfv":"6ba7b811-9dad-11d1-80b4-00c04fd430c8""#.to_owned(),
    };
    let line = |i: usize| {
        let second = 1_767_225_600 + i;
        let labels = r#""campaign":"a campaign with a long name","medium":"brief""#;
        format!(r#"{{"timestamp":{second},"user_id":"u{i}",{labels},{}}}"#, tail(i))
    };
    let body = (0..count).map(line).collect::<Vec<_>>().join("\n");
    let context = Context {
        app_id: Some("app"),
        received_at_us: Some(1_767_225_600_000_000),
        ..Context::default()
    };
    let parsed = parse(body.as_bytes(), &context).unwrap();
    assert_eq!(parsed.rejects, []);
    // The events without an id have none as columns, and the nil one as rows.
    let packed = pack(body.as_bytes(), &context, &|| [0; 16]).unwrap();
    (parsed.events, packed.rows)
}

/// One payload with all rows but these.
fn payload(rows: &Packed, without: &[usize]) -> Vec<u8> {
    let mut payload = vec![ROWS_VERSION];
    rows.runs(without).for_each(|run| payload.extend_from_slice(&run.unwrap().1));
    payload
}

/// The values of each column as text.
fn shown(events: &RecordBatch) -> Vec<Vec<String>> {
    let one = |array: &ArrayRef, row: usize| -> String {
        if array.is_null(row) {
            return "-".to_owned();
        }
        match array.data_type() {
            DataType::FixedSizeBinary(_) => {
                let bytes = array.as_fixed_size_binary().value(row);
                format!("{:032x}", u128::from_be_bytes(bytes.try_into().unwrap()))
            }
            DataType::Timestamp(..) => {
                array.as_primitive::<TimestampMicrosecondType>().value(row).to_string()
            }
            DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
            DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
            _ => {
                let labels = array.as_dictionary::<Int32Type>();
                labels.values().as_string::<i32>().value(labels.key(row).unwrap()).to_owned()
            }
        }
    };
    let rows = 0..events.num_rows();
    events.columns().iter().map(|c| rows.clone().map(|row| one(c, row)).collect()).collect()
}

/// All columns but the ids, which rows always have.
fn others(events: &RecordBatch) -> RecordBatch {
    events.project(&(1..events.num_columns()).collect::<Vec<_>>()).unwrap()
}

#[test]
fn rows_say_what_columns_say() {
    let (events, rows) = events(200);
    let stored = decode(&payload(&rows, &[])).unwrap();
    assert_eq!(others(&stored), others(&events));
    let (kept, given) = (stored.column(0), events.column(0));
    let ids = kept.as_fixed_size_binary();
    for row in 0..200 {
        assert!(kept.is_valid(row));
        let sent = given.is_valid(row).then(|| given.as_fixed_size_binary().value(row));
        assert_eq!(ids.value(row), sent.unwrap_or(&[0; 16]));
    }
    let given: Vec<usize> = (0..200).filter(|&row| given.is_valid(row)).collect();
    assert_eq!(rows.id_rows(), given);
    assert_eq!(rows.ids().len(), given.len());
}

#[test]
fn a_session_with_a_uuid_has_sixteen_bytes() {
    let lower = "6ba7b811-9dad-11d1-80b4-00c04fd430c8";
    let size = |session: &str| {
        let tail = r#""event_name":"a","timestamp":1767225600,"user_id":"u"}"#;
        let line = format!(r#"{{"session_id":"{session}",{tail}"#);
        let body = [line.as_str(); 3].join("\n");
        let packed = pack(body.as_bytes(), &Context::default(), &|| [1; 16]).unwrap();
        // Whole, and written anew without one of them.
        for without in [vec![], vec![1]] {
            let stored = decode(&payload(&packed.rows, &without)).unwrap();
            assert_eq!(stored.num_rows(), 3 - without.len());
            let sessions = stored.column(at::SESSION_ID).as_string::<i32>();
            assert!(sessions.iter().all(|found| found == Some(session)), "{session}");
        }
        packed.rows.bytes().len()
    };
    assert_eq!(size(lower) + 3 * 21, size(&lower.replace('-', "_")));
    // What does not read back as it was sent is text.
    assert_eq!(size(&lower.to_uppercase()), size(&lower.replace('-', "_")));
    assert_eq!(size(&lower.replace("6ba7", "6Ba7")), size(&lower.replace('-', "_")));
}

#[test]
fn payloads_of_the_version_before_are_read() {
    let (events, rows) = events(70);
    let mut payload = payload(&rows, &[]);
    payload[0] = 2;
    // None of these events has a session.
    assert_eq!(others(&decode(&payload).unwrap()), others(&events));
}

#[test]
fn rows_that_are_left_out_are_missed_by_no_other() {
    let (events, rows) = events(300);
    for without in [vec![0], vec![0, 1, 2, 3], vec![299], (0..300).step_by(2).collect(), vec![]] {
        let stored = decode(&payload(&rows, &without)).unwrap();
        let mut expected = shown(&events);
        for column in &mut expected {
            let mut row = 0..;
            column.retain(|_| !without.contains(&row.next().unwrap()));
        }
        assert_eq!(shown(&stored)[1..], expected[1..], "{without:?}");
    }
    assert_eq!(rows.runs(&(0..300).collect::<Vec<_>>()).count(), 0);
}

#[test]
fn groups_of_many_payloads_make_one_batch() {
    let (events, rows) = events(9);
    let (mut twice, whole) = (Decoder::new(), payload(&rows, &[]));
    twice.append(&whole).unwrap();
    twice.append(&[&whole[..], &whole[1..]].concat()).unwrap();
    assert_eq!(twice.rows(), 27);
    let stored = twice.finish().unwrap();
    for start in [0, 9, 18] {
        assert_eq!(shown(&stored.slice(start, 9))[1..], shown(&events)[1..]);
    }
}

#[test]
fn a_label_that_many_rows_share_is_said_once() {
    let (_, rows) = events(100);
    let said =
        |label: &[u8]| rows.bytes().windows(label.len()).filter(|bytes| *bytes == label).count();
    assert_eq!(said(b"a campaign with a long name"), 1);
    assert_eq!(said(b"brief"), 100, "too short to be looked for");
}

#[test]
fn damage_is_found_and_harms_no_row_before_it() {
    let (events, rows) = events(2);
    let (payload, first) = (payload(&rows, &[]), payload(&rows, &[1]));
    for length in 1..payload.len() {
        let mut decoder = Decoder::new();
        let found = decoder.append(&payload[..length]);
        assert_eq!(found.is_ok(), length == 1 || length == first.len(), "{length}");
        let rows = usize::from(length >= first.len());
        assert_eq!(others(&decoder.finish().unwrap()), others(&events.slice(0, rows)));
    }
    assert_eq!(decode(&[]).unwrap_err(), RowError::Damaged(0));
    assert_eq!(decode(&[9]).unwrap_err(), RowError::Version(9));
    // A label by a number that nobody has, a flag that version 1 does not know, an odd column.
    for word in [[2, 2, 0, 0, 0, 0, 0, 0, 0x80, 0x03], [1, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x03]] {
        assert_eq!(decode(&word).unwrap_err(), RowError::Damaged(1));
    }
    assert_eq!(decode(&[2, 0, 0, 0, 0, 4, 0, 0, 0]).unwrap_err(), RowError::Damaged(1));
}

/// What version 1 wrote of an event, byte by byte.
#[test]
fn payloads_of_the_first_version_are_read() {
    let present = 1_u64 << at::EVENT_NAME | 1 << at::USER_ID | 1 << at::TIMESTAMP | 1 << at::IP;
    let mut payload = vec![1];
    payload.extend_from_slice(&present.to_le_bytes());
    payload.extend_from_slice(b"\x07install\x02u1");
    payload.extend_from_slice(&1_767_225_600_000_000_i64.to_le_bytes());
    payload.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4]);
    let events = decode(&payload).unwrap();
    let shown = shown(&events);
    assert_eq!(shown[at::EVENT_NAME], ["install"]);
    assert_eq!(shown[at::USER_ID], ["u1"]);
    assert_eq!(shown[at::TIMESTAMP], ["1767225600000000"]);
    assert_eq!(shown[at::IP], ["00000000000000000000ffff01020304"]);
    assert_eq!(shown[at::SOURCE], ["-"]);
}

#[test]
fn rejects_survive_a_round_trip() {
    let body = b"{\"event_id\":\"x\"\n[1]\n{\"event_name\":3}\n";
    let parsed = parse(body, &Context::default()).unwrap();
    assert_eq!(parsed.rejects.len(), 3);
    let mut payload = Vec::new();
    let raws = [&b"a"[..], b"", b"\xff"];
    encode_rejects("app", 7, parsed.rejects.iter().zip(raws), &mut payload);
    let found = decode_rejects(&payload).unwrap();
    for ((stored, reject), raw) in found.iter().zip(&parsed.rejects).zip(raws) {
        assert_eq!((stored.app_id.as_str(), stored.received_at_us), ("app", 7));
        assert_eq!((&stored.reject, stored.raw.as_slice()), (reject, raw));
    }
    assert_eq!(found.len(), 3);
    let cut = decode_rejects(&payload[..payload.len() - 1]);
    assert!(matches!(cut, Err(RowError::Damaged(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
        for version in [1, 2] {
            let mut versioned = vec![version];
            versioned.extend_from_slice(&bytes);
            let _ = decode(&versioned);
            let _ = decode_rejects(&versioned);
        }
    }
}
