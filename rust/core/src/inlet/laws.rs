//! Whatever an SDK puts into optional fields, the event is stored and its neighbours with it.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{posthog, segment};
use crate::limits::Limits;
use crate::parse::{Context, parse};
use crate::reject::Code;

const RECEIVED_AT_US: i64 = 1_790_000_000_000_000;

/// Values that fields tend to have, and some that they never should.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "\\PC{0,12}".prop_map(Value::from),
        "[0-9a-f.:]{0,16}".prop_map(Value::from),
        "-?[0-9]{1,9}(\\.[0-9]{1,8})?".prop_map(Value::from),
        "20[0-9]{2}-[0-9]{1,2}-[0-9]{1,2}[T ][0-9]{1,2}:[0-9]{2}(:[0-9]{2})?Z?"
            .prop_map(Value::from),
        "[a-zA-Z]{3}".prop_map(Value::from),
        "(click|impression|iOS|android|\\$identify)".prop_map(Value::from),
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}".prop_map(Value::from),
        Just(Value::from("00000000-0000-0000-0000-000000000000")),
        Just(Value::from("x".repeat(2_000))),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("[a-z]{1,5}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// An object with some of `names`.
fn object(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop::collection::vec(prop::option::of(value()), names.len()).prop_map(move |values| {
        let known = names.iter().zip(values);
        let fields = known.filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        Value::Object(fields.collect::<Map<_, _>>())
    })
}

fn context() -> impl Strategy<Value = Value> {
    let parts = (
        object(&["ip", "userAgent", "locale", "sessionId", "app", "library", "location"]),
        object(&["name", "version"]),
        object(&["id", "advertisingId", "model", "type"]),
        object(&["source", "medium", "name", "content", "ad_group", "click_id"]),
    );
    parts.prop_map(|(mut context, os, device, campaign)| {
        context["os"] = os;
        context["device"] = device;
        context["campaign"] = campaign;
        context
    })
}

/// Codes of all rejects among the records that are right in what is required.
fn rejects(lines: &[u8]) -> Vec<(u32, Code)> {
    let context = Context { received_at_us: Some(RECEIVED_AT_US), ..Context::default() };
    let parsed = parse(lines, &context).unwrap();
    assert_eq!(parsed.received, 3);
    parsed.rejects.iter().map(|reject| (reject.index, reject.code)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_optional_field_of_segment_costs_an_event(
        context in prop_oneof![3 => context(), 1 => value()],
        properties in prop_oneof![
            3 => object(&["revenue", "currency", "event_type", "campaign", "source", "adset"]),
            1 => value(),
        ],
        record in object(&["messageId", "sentAt", "originalTimestamp", "receivedAt", "traits"]),
        sent_at in value(),
        shared in value(),
    ) {
        let mut record = record;
        // A wrong time of the event itself is a reject; every other field is the SDK's affair.
        let original = record.get("originalTimestamp").map(Value::to_string);
        if super::field::time(original.as_deref()).is_none() {
            record.as_object_mut().unwrap().remove("originalTimestamp");
        }
        record["type"] = json!("track");
        record["event"] = json!("click");
        record["userId"] = json!("u");
        record["timestamp"] = json!("2026-03-01T10:00:00Z");
        record["context"] = context;
        record["properties"] = properties;
        let plain = json!({"type": "page", "anonymousId": "a", "timestamp": 1_772_359_200});
        let batch = json!([plain, record, plain]);
        let body = json!({ "batch": batch, "sentAt": sent_at, "context": shared }).to_string();
        let lines = segment("batch", body.as_bytes(), RECEIVED_AT_US, &Limits::default()).unwrap();
        for (index, code) in rejects(&lines) {
            // A clock that is years off moves the event out of the years that are kept.
            prop_assert_eq!(code, Code::TimestampOutOfRange, "record {}", index);
        }
    }

    #[test]
    fn no_optional_field_of_posthog_costs_an_event(
        properties in prop_oneof![
            9 => object(&[
                "revenue", "currency", "event_type", "source", "utm_source", "utm_content", "gclid",
                "$insert_id", "$device_id", "$is_identified", "$user_id", "$process_person_profile",
                "$session_id", "$ip", "$raw_user_agent", "$os", "$os_version", "$is_server",
                "$app_version", "$locale", "$lib", "$lib_version", "$geoip_country_code",
            ]),
            1 => value(),
        ],
        uuid in value(),
        sent_at in value(),
    ) {
        let record = json!({
            "event": "click", "distinct_id": "u", "timestamp": "2026-03-01T10:00:00Z",
            "uuid": uuid, "properties": properties,
        });
        let plain = json!({"event": "e", "distinct_id": "v", "timestamp": 1_772_359_200});
        let body = json!({ "batch": [plain, record, plain], "sent_at": sent_at }).to_string();
        let lines = posthog(body.as_bytes(), RECEIVED_AT_US, &Limits::default()).unwrap();
        for (index, code) in rejects(&lines) {
            prop_assert_eq!(code, Code::TimestampOutOfRange, "record {}", index);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let limits = Limits::default();
        let _ = posthog(&body, RECEIVED_AT_US, &limits);
        let _ = segment("batch", &body, RECEIVED_AT_US, &limits);
        let _ = (super::posthog_key(&body), super::segment_key(&body));
    }

    #[test]
    fn arbitrary_text_with_escapes_never_panics(
        text in "[{}\\[\\]\",:a-zé\\\\u0-9dD]{0,60}",
    ) {
        let body = format!("{{\"batch\":[{{\"event\":\"{text}\"}}]}}");
        let limits = Limits::default();
        let _ = posthog(body.as_bytes(), RECEIVED_AT_US, &limits);
        let _ = segment("batch", text.as_bytes(), RECEIVED_AT_US, &limits);
    }
}
