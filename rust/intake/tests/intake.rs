//! Requests in, answers out, over a real directory or a disk that breaks.

#![allow(clippy::unwrap_used, reason = "what a test sets up must work")]

#[path = "../../spool/tests/sim/mod.rs"]
mod sim;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use serde_json::{Value, json};
use sim::Sim;
use unmogrowp_core::row::{self, StoredReject};
use unmogrowp_core::schema::at;
use unmogrowp_intake::spool::{Disk, Kind, Local, Reader, Want};
use unmogrowp_intake::{Answer, Inlet, Intake, Outbox, Request, Settings};

const WANT: Want = Want { rows_max: u64::MAX, bytes_max: u64::MAX };
const RECEIVED_AT_US: i64 = 1_767_225_600_000_000;

fn request(body: &[u8]) -> Request<'_> {
    Request {
        body,
        encoding: None,
        inlet: Inlet::Native,
        app_id: "app",
        key_id: "key",
        truncate_ip: false,
        received_at_us: RECEIVED_AT_US,
    }
}

fn open(disk: Arc<dyn Disk>, dir: &Path) -> Intake {
    Intake::open(disk, dir, Settings::default()).unwrap()
}

fn outbox() -> Arc<Outbox> {
    Arc::new(Outbox::new().unwrap())
}

fn answers(outbox: &Outbox, count: usize) -> Vec<Answer> {
    let start = Instant::now();
    let mut answers = Vec::new();
    while answers.len() < count {
        answers.extend(outbox.take());
        assert!(start.elapsed() < Duration::from_secs(20), "{} answers", answers.len());
        std::thread::yield_now();
    }
    answers.sort_by_key(|answer| answer.token);
    answers
}

/// Submit one request and wait for its answer.
fn send(intake: &Intake, request: &Request<'_>) -> (u16, Value) {
    let outbox = outbox();
    intake.submit(&outbox, 1, request).unwrap();
    let answer = answers(&outbox, 1).remove(0);
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

fn counts(body: &Value) -> [u64; 4] {
    let rejected = body["rejected"].as_array().unwrap().len() as u64;
    let count = |name: &str| body[name].as_u64().unwrap();
    [count("received"), count("stored"), count("duplicate"), rejected]
}

fn event(id: &str) -> String {
    format!(r#"{{"event_id":"{id}","event_name":"e","timestamp":1767225600,"user_id":"u"}}"#)
}

fn events(ids: &[&str]) -> Vec<u8> {
    ids.iter().map(|id| event(id)).collect::<Vec<_>>().join("\n").into_bytes()
}

/// Event ids in the spool, in order.
fn stored(disk: Arc<dyn Disk>, dir: &Path) -> Vec<[u8; 16]> {
    let reader = Reader::new(disk, dir);
    let (mut ids, mut after) = (Vec::new(), None);
    while let Some(chunk) = reader.next(after, WANT).unwrap() {
        for (frame, payload) in chunk.payloads(Kind::Events) {
            let events = row::decode(payload).unwrap();
            assert_eq!(events.num_rows(), frame.count as usize);
            let column = events.column(at::EVENT_ID).as_fixed_size_binary();
            assert_eq!(column.null_count(), 0);
            ids.extend((0..column.len()).map(|i| <[u8; 16]>::try_from(column.value(i)).unwrap()));
        }
        after = Some(chunk.last);
    }
    ids
}

fn rejects(disk: Arc<dyn Disk>, dir: &Path) -> Vec<StoredReject> {
    let reader = Reader::new(disk, dir);
    let (mut rejects, mut after) = (Vec::new(), None);
    while let Some(chunk) = reader.next(after, WANT).unwrap() {
        for (_, payload) in chunk.payloads(Kind::Rejects) {
            rejects.extend(row::decode_rejects(payload).unwrap());
        }
        after = Some(chunk.last);
    }
    rejects
}

#[test]
fn answer_counts_every_record_once() {
    let dir = tempfile::tempdir().unwrap();
    let intake = open(Arc::new(Local), dir.path());
    let mut body = events(&["a", "b", "a"]);
    body.extend_from_slice(b"\n{\"event_name\":7}\nnonsense\n");
    let (status, answer) = send(&intake, &request(&body));
    assert_eq!(status, 200);
    assert_eq!(counts(&answer), [5, 2, 1, 2]);
    let rejected = answer["rejected"].as_array().unwrap();
    assert_eq!(rejected[0]["index"], 3);
    assert_eq!(rejected[0]["code"], "wrong_type");
    assert_eq!(rejected[0]["event_id"], Value::Null);
    assert_eq!(rejected[0]["field"], "event_name");
    assert!(rejected[0]["message"].as_str().unwrap().contains("`7`"));
    assert_eq!(rejected[1]["code"], "invalid_json");
    assert_eq!(stored(Arc::new(Local), dir.path()).len(), 2);
    let kept = rejects(Arc::new(Local), dir.path());
    let raws: Vec<_> = kept.iter().map(|reject| &reject.raw[..]).collect();
    assert_eq!(raws, [&b"{\"event_name\":7}"[..], b"nonsense"]);
    assert!(kept.iter().all(|r| r.app_id == "app" && r.received_at_us == RECEIVED_AT_US));
}

#[test]
fn rejects_keep_no_whole_address_where_events_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let intake = open(Arc::new(Local), dir.path());
    let body = b"{\"event_name\":7,\"ip\":\"10.1.2.3\"}\nnonsense from 2001:db8:1:2::3\n";
    let (status, _) = send(&intake, &Request { truncate_ip: true, ..request(body) });
    assert_eq!(status, 200);
    let kept = rejects(Arc::new(Local), dir.path());
    let raws: Vec<_> = kept.iter().map(|reject| &reject.raw[..]).collect();
    let expected = ["{\"event_name\":7,\"ip\":\"10.1.2.0\"}", "nonsense from 2001:db8:1::"];
    assert_eq!(raws, expected.map(str::as_bytes));
}

#[test]
fn duplicates_are_known_across_requests_and_restarts_and_apps_do_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    let body = events(&["a", "b"]);
    {
        let intake = open(Arc::new(Local), dir.path());
        assert_eq!(counts(&send(&intake, &request(&body)).1), [2, 2, 0, 0]);
        assert_eq!(counts(&send(&intake, &request(&body)).1), [2, 0, 2, 0]);
        let other = Request { app_id: "other", ..request(&body) };
        assert_eq!(counts(&send(&intake, &other).1), [2, 2, 0, 0]);
    }
    let intake = open(Arc::new(Local), dir.path());
    assert_eq!(intake.status().ids, 4);
    let mixed = events(&["b", "c"]);
    assert_eq!(counts(&send(&intake, &request(&mixed)).1), [2, 1, 1, 0]);
    assert_eq!(stored(Arc::new(Local), dir.path()).len(), 5);
}

#[test]
fn events_without_an_id_get_one_and_are_no_duplicates() {
    let dir = tempfile::tempdir().unwrap();
    let intake = open(Arc::new(Local), dir.path());
    let body = br#"{"event_name":"e","timestamp":1767225600,"user_id":"u"}"#;
    for _ in 0..3 {
        assert_eq!(counts(&send(&intake, &request(body)).1), [1, 1, 0, 0]);
    }
    let mut ids = stored(Arc::new(Local), dir.path());
    assert!(ids.iter().all(|id| id[6] >> 4 == 7 && id[8] >> 6 == 2));
    ids.dedup();
    assert_eq!((ids.len(), intake.status().ids), (3, 0));
}

#[test]
fn stored_events_say_when_they_were_received() {
    let dir = tempfile::tempdir().unwrap();
    let intake = open(Arc::new(Local), dir.path());
    send(&intake, &request(&events(&["a"])));
    let reader = Reader::new(Arc::new(Local), dir.path());
    let chunk = reader.next(None, WANT).unwrap().unwrap();
    let (_, payload) = chunk.payloads(Kind::Events).next().unwrap();
    let events = row::decode(payload).unwrap();
    for column in [at::RECEIVED_AT, at::CLIENT_TIMESTAMP] {
        let times = events.column(column).as_primitive::<TimestampMicrosecondType>();
        assert_eq!(times.value(0), RECEIVED_AT_US);
    }
}

#[test]
fn frames_of_a_large_request_keep_their_rows_where_duplicates_leave() {
    let dir = tempfile::tempdir().unwrap();
    let intake = open(Arc::new(Local), dir.path());
    let id = |i: u32| format!("id-{i}");
    let body = |ids: Vec<String>| events(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    let some = body((0..20_000).step_by(3).map(id).collect());
    let all = body((0..20_000).map(id).collect());
    assert!(all.len() > 1_500_000, "more than one frame");
    assert_eq!(counts(&send(&intake, &request(&some)).1), [6667, 6667, 0, 0]);
    assert_eq!(counts(&send(&intake, &request(&all)).1), [20_000, 13_333, 6_667, 0]);
    let mut ids = stored(Arc::new(Local), dir.path());
    assert_eq!(ids.len(), 20_000);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20_000);
}

#[test]
fn failed_commit_is_a_503_and_the_same_events_are_stored_later() {
    let sim = Sim::new(1);
    let dir = Path::new("/spool");
    let intake = open(sim.shared(), dir);
    let body = events(&["a", "b"]);
    assert_eq!(counts(&send(&intake, &request(&events(&["b"]))).1), [1, 1, 0, 0]);
    sim.fail_syncs(1);
    let (status, problem) = send(&intake, &request(&body));
    assert_eq!((status, &problem["status"]), (503, &json!(503)));
    assert!(problem["detail"].as_str().unwrap().contains("hint:"), "{problem}");
    assert_eq!(counts(&send(&intake, &request(&body)).1), [2, 1, 1, 0]);
    assert_eq!(stored(sim.shared(), dir).len(), 2);
}

#[test]
fn bodies_are_refused_with_a_status_and_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let intake = open(Arc::new(Local), dir.path());
    let large = vec![b' '; 10_000_001];
    let zeros = {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&vec![b' '; 64_000_001]).unwrap();
        gzip.finish().unwrap()
    };
    let many = "{}\n".repeat(100_001);
    let segment = |body| Request { inlet: Inlet::Segment("batch"), ..request(body) };
    let cases: [(&str, Request<'_>, u16, &str); 8] = [
        ("empty", request(b""), 400, "empty"),
        ("broken", request(b"[{},"), 400, "broken"),
        ("large", request(&large), 413, "10000000"),
        ("bomb", request(&zeros), 413, "64000000"),
        ("many", request(many.as_bytes()), 413, "100000"),
        ("encoding", Request { encoding: Some("lzma"), ..request(b"{}") }, 415, "lzma"),
        ("segment", segment(b"[]"), 400, "Segment"),
        ("call", Request { inlet: Inlet::Segment("x"), ..request(b"{}") }, 404, "`x`"),
    ];
    for (name, request, status, words) in cases {
        let refusal = intake.submit(&outbox(), 1, &request).unwrap_err();
        assert_eq!(refusal.status, status, "{name}");
        assert!(refusal.detail.contains(words), "{name}: {}", refusal.detail);
        assert!(refusal.detail.contains("hint:"), "{name}: {}", refusal.detail);
        assert_eq!(refusal.retry_after, None, "{name}");
    }
    assert!(stored(Arc::new(Local), dir.path()).is_empty());
}

#[test]
fn full_spool_and_closed_intake_ask_to_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    settings.spool.bytes_max = Some(100);
    let intake = Intake::open(Arc::new(Local), dir.path(), settings).unwrap();
    let body = events(&["a"]);
    let refusal = intake.submit(&outbox(), 1, &request(&body)).unwrap_err();
    assert_eq!((refusal.status, refusal.retry_after), (503, Some(10)));
    intake.close();
    let refusal = intake.submit(&outbox(), 1, &request(&body)).unwrap_err();
    assert_eq!((refusal.status, refusal.retry_after), (503, Some(5)));
}

#[test]
fn sdk_bodies_are_translated_and_known_again() {
    let dir = tempfile::tempdir().unwrap();
    let intake = open(Arc::new(Local), dir.path());
    let segment =
        br#"{"batch":[{"type":"track","event":"Signed Up","userId":"u1","messageId":"m1"}]}"#;
    let segment = Request { inlet: Inlet::Segment("batch"), ..request(segment) };
    assert_eq!(counts(&send(&intake, &segment).1), [1, 1, 0, 0]);
    assert_eq!(counts(&send(&intake, &segment).1), [1, 0, 1, 0]);
    let posthog = br#"{"api_key":"k","batch":[{"event":"x","distinct_id":"d","properties":{},
        "uuid":"0190b6e5-2f52-7d5f-8c3e-1d2f3a4b5c6d"}]}"#;
    let posthog = Request { inlet: Inlet::PostHog, ..request(posthog) };
    assert_eq!(counts(&send(&intake, &posthog).1), [1, 1, 0, 0]);
    assert_eq!(counts(&send(&intake, &posthog).1), [1, 0, 1, 0]);
    let nothing = Request { inlet: Inlet::Segment("batch"), ..request(br#"{"batch":[]}"#) };
    assert_eq!(counts(&send(&intake, &nothing).1), [0, 0, 0, 0]);
}

#[test]
fn threads_that_send_the_same_events_store_each_once() {
    let dir = tempfile::tempdir().unwrap();
    let intake = open(Arc::new(Local), dir.path());
    let (outbox, other) = (outbox(), outbox());
    intake.submit(&other, 7, &request(&events(&["elsewhere"]))).unwrap();
    assert_eq!(answers(&other, 1)[0].token, 7);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (intake, outbox) = (&intake, &outbox);
            scope.spawn(move || {
                for round in 0..50 {
                    let body = events(&[&format!("{round}"), &format!("{thread}/{round}")]);
                    intake.submit(outbox, thread * 50 + round, &request(&body)).unwrap();
                }
            });
        }
    });
    let answers = answers(&outbox, 200);
    let tokens: Vec<_> = answers.iter().map(|answer| answer.token).collect();
    assert_eq!(tokens, (0..200).collect::<Vec<_>>());
    let sum = |name: &str| -> u64 {
        let count = |a: &Answer| serde_json::from_slice::<Value>(&a.body).unwrap()[name].as_u64();
        answers.iter().map(|answer| count(answer).unwrap()).sum()
    };
    assert_eq!((sum("stored"), sum("duplicate")), (250, 150));
    assert_eq!(stored(Arc::new(Local), dir.path()).len(), 251);
    let metrics = intake.metrics();
    for line in [
        "unmogrowp_events_stored_total 251",
        "unmogrowp_events_duplicate_total 150",
        "unmogrowp_requests_total{status=\"200\"} 201",
        "# TYPE unmogrowp_fdatasync_seconds histogram",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn ids_outlive_the_segments_that_held_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    settings.spool.segment_bytes = 1_000;
    let intake = Intake::open(Arc::new(Local), dir.path(), settings).unwrap();
    let ids: Vec<String> = (0..100).map(|i| format!("id-{i}")).collect();
    for id in &ids {
        send(&intake, &request(&events(&[id])));
    }
    let reader = Reader::new(Arc::new(Local), dir.path());
    reader.confirm(intake.status().spool.durable).unwrap();
    let start = Instant::now();
    while intake.status().spool.segments > 1 {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::yield_now();
    }
    drop(intake);
    let intake = Intake::open(Arc::new(Local), dir.path(), settings).unwrap();
    let all = events(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(counts(&send(&intake, &request(&all)).1), [100, 0, 100, 0]);
}
