//! Our parser beside `serde_json`, on generated and on damaged input.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test ends so")]

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use unmogrowp_core::parse::{money, parse, time};
use unmogrowp_core::reject::{Code, Reject};

mod oracle;
use oracle::{KNOWN, check_books, check_columns, check_line, context};

/// So many cases, and with `PROOFS=200` two hundred times as many.
fn times(cases: u32) -> u32 {
    cases * std::env::var("PROOFS").map_or(1, |factor| factor.parse::<u32>().unwrap())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..5)
                .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// The text of an event, with some fields set to anything.
fn event() -> impl Strategy<Value = Map<String, Value>> {
    let key = prop_oneof![
        Just("user_id".to_owned()),
        Just("source".to_owned()),
        Just("properties".to_owned()),
        Just("event_type".to_owned()),
        // No column begins with it.
        "x[a-z]{0,2}",
    ];
    prop::collection::vec((key, value()), 0..5).prop_map(|more| {
        let mut event = Map::new();
        event.insert("event_name".to_owned(), json!("open"));
        event.insert("timestamp".to_owned(), json!(1_767_225_600));
        event.insert("device_id".to_owned(), json!("d1"));
        event.extend(more);
        event
    })
}

/// Damage that a network or a careless client does.
#[derive(Clone, Debug)]
enum Damage {
    Cut(usize),
    Drop(usize),
    Put(usize, u8),
    Insert(usize, u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    let byte = prop_oneof![
        any::<u8>(),
        prop::sample::select(b"{}[]\",:\\/0123456789.eE+-untfx \t\r\xed\xa0\x80".to_vec()),
    ];
    prop_oneof![
        any::<usize>().prop_map(Damage::Cut),
        any::<usize>().prop_map(Damage::Drop),
        (any::<usize>(), byte.clone()).prop_map(|(at, byte)| Damage::Put(at, byte)),
        (any::<usize>(), byte).prop_map(|(at, byte)| Damage::Insert(at, byte)),
    ]
}

fn apply_all(bytes: &mut Vec<u8>, damages: &[Damage]) {
    for damage in damages {
        apply(bytes, damage);
    }
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let length = bytes.len().max(1);
    match *damage {
        Damage::Cut(at) => bytes.truncate(at % length),
        Damage::Drop(at) if !bytes.is_empty() => drop(bytes.remove(at % length)),
        Damage::Put(at, byte) if !bytes.is_empty() => bytes[at % length] = byte,
        Damage::Insert(at, byte) => bytes.insert((at % length).min(bytes.len()), byte),
        _ => {}
    }
}

/// What JSON is made of, and what it nearly is made of.
const TOKENS: [&str; 44] = [
    "{", "}", "[", "]", ",", ":", "\"", "\"\"", "\"a\"", "\"a\":", "{}", "[]", "0", "1", "9", "-",
    "+", ".", "e", "E", "e5", "true", "fals", "false", "nul", "null", "NaN", " ", "\t", "\u{b}",
    "\\", "\\\"", "\\n", "\\x", "\\u", "\\u00e9", "\\ud83d", "\\ude00", "00", "\u{1}", "\u{7f}",
    "é", "😀", "//",
];

/// A value or nearly one: some tokens, bare or as a string, behind a key.
fn soup() -> impl Strategy<Value = String> {
    let tokens = prop::collection::vec(prop::sample::select(&TOKENS[..]), 0..6);
    (tokens, 0..3).prop_map(|(tokens, dress)| match dress {
        0 => format!("{{\"a\":{}}}", tokens.concat()),
        1 => format!("{{\"a\":[\"{}\"]}}", tokens.concat()),
        _ => tokens.concat(),
    })
}

/// The code a good-looking event must be refused with, if any.
fn expected_code(event: &Map<String, Value>) -> Option<Code> {
    let wrong = ["user_id", "source", "event_type"]
        .into_iter()
        .any(|key| event.get(key).is_some_and(|value| !value.is_null() && !value.is_string()));
    let properties = event.get("properties").filter(|value| !value.is_null());
    let twice = properties.and_then(Value::as_object).is_some_and(|inside| {
        inside.keys().any(|key| {
            event.contains_key(key) && !KNOWN.contains(&key.as_str()) && key != "properties"
        })
    });
    let long = |key: &str| event.get(key).and_then(Value::as_str).is_some_and(|t| t.len() > 256);
    if twice {
        Some(Code::DuplicateKey)
    } else if wrong || properties.is_some_and(|value| !value.is_object()) {
        Some(Code::WrongType)
    } else {
        ["user_id", "source", "event_type"].into_iter().any(long).then_some(Code::TooLong)
    }
}

/// Every character as an escape, which means the same.
fn escaped(json: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    let mut chars = json.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                inside = !inside;
                out.push(c);
            }
            '\\' => {
                out.push(c);
                out.extend(chars.next());
            }
            c if inside => {
                let mut units = [0; 2];
                let units = c.encode_utf16(&mut units).iter();
                out.extend(units.map(|unit| format!("\\u{unit:04X}")));
            }
            c => out.push(c),
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(times(1_500)))]

    #[test]
    fn good_events_keep_every_value(event in event()) {
        let compact = Value::from(event.clone()).to_string();
        let pretty = serde_json::to_string_pretty(&event).unwrap();
        for body in [escaped(&compact), compact, pretty] {
            let parsed = parse(body.as_bytes(), &context()).unwrap();
            check_books(body.as_bytes(), &parsed);
            let code = parsed.rejects.first().map(|reject| reject.code);
            prop_assert_eq!(code, expected_code(&event), "{}", body);
            if code.is_none() {
                check_columns(&event, &parsed.events, 0);
            }
        }
    }

    #[test]
    fn damaged_lines_are_json_for_both_or_for_neither(
        event in event(),
        damages in prop::collection::vec(damage(), 0..4),
    ) {
        let mut line = Value::from(event).to_string().into_bytes();
        apply_all(&mut line, &damages);
        line.retain(|byte| *byte != b'\n');
        check_line(&line);
    }

    #[test]
    fn near_json_is_json_for_both_or_for_neither(soups in prop::collection::vec(soup(), 5)) {
        for line in soups {
            check_line(line.as_bytes());
        }
    }

    #[test]
    fn any_bytes_are_refused_or_accounted_for(body in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(parsed) = parse(&body, &context()) {
            check_books(&body, &parsed);
        }
    }

    #[test]
    fn damaged_bodies_are_refused_or_accounted_for(
        events in prop::collection::vec(event(), 1..4),
        damages in prop::collection::vec(damage(), 0..3),
        shape in 0..3,
    ) {
        let lines = events.into_iter().map(|event| Value::from(event).to_string());
        let lines = lines.collect::<Vec<_>>();
        let mut body = match shape {
            0 => lines.join("\n"),
            1 => format!("[{}]", lines.join(",")),
            _ => format!("{{\"batch\":[{}]}}", lines.join(",")),
        }
        .into_bytes();
        let shaped = parse(&body, &context()).unwrap();
        let lined = parse(lines.join("\n").as_bytes(), &context()).unwrap();
        prop_assert_eq!(shaped.events, lined.events);
        prop_assert_eq!(shaped.indexes, lined.indexes);
        apply_all(&mut body, &damages);
        if let Ok(parsed) = parse(&body, &context()) {
            check_books(&body, &parsed);
        }
    }

    #[test]
    fn money_is_what_was_written(units in any::<i64>(), places in 0_u32..=6, zeros in 0_usize..9) {
        let scale = 10_i128.pow(places);
        let (whole, rest) = (i128::from(units).abs() / scale, i128::from(units).abs() % scale);
        let sign = if units < 0 { "-" } else { "" };
        let fraction = format!("{rest:0width$}", width = places as usize);
        let fraction = fraction + &"0".repeat(zeros);
        let point = if places == 0 { String::new() } else { format!(".{fraction}") };
        let micros = i128::from(units) * 10_i128.pow(6 - places);
        let expected = i64::try_from(micros).ok();
        let text = format!("{sign}{whole}{point}");
        prop_assert_eq!(money::number(text.as_bytes()), expected, "{}", text);
        let shifted = format!("{units}e-{places}");
        prop_assert_eq!(money::number(shifted.as_bytes()), expected, "{}", shifted);
    }

    #[test]
    fn time_is_what_was_written(
        us in time::FIRST_US..=time::LAST_US,
        offset in -1_439_i64..=1_439,
    ) {
        let local = us + offset * 60_000_000;
        let (day, clock) = (local.div_euclid(86_400_000_000), local.rem_euclid(86_400_000_000));
        let (year, month, date) = civil(day);
        let (seconds, fraction) = (clock / 1_000_000, clock % 1_000_000);
        let sign = if offset < 0 { '-' } else { '+' };
        let text = format!(
            "{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}.{fraction:06}{sign}{:02}:{:02}",
            seconds / 3600, seconds / 60 % 60, seconds % 60, offset.abs() / 60, offset.abs() % 60,
        );
        prop_assert_eq!(time::rfc3339(text.as_bytes()), Ok(us), "{}", text);
        let number = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
        prop_assert_eq!(time::epoch(number.as_bytes()), Ok(us), "{}", number);
        prop_assert_eq!(time::epoch(us.to_string().as_bytes()), Ok(us));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(times(150)))]

    #[test]
    fn a_line_means_the_same_alone_and_among_others(
        lines in prop::collection::vec((event(), prop::collection::vec(damage(), 0..2)), 1..150),
    ) {
        let lines: Vec<_> = lines.into_iter().map(|(event, damages)| {
            let mut line = Value::from(event).to_string().into_bytes();
            apply_all(&mut line, &damages);
            line.retain(|byte| *byte != b'\n');
            line
        }).filter(|line| !line.trim_ascii().is_empty()).collect();
        let together = parse(&[&b"{}"[..], &lines.join(&b'\n')].join(&b'\n'), &context()).unwrap();
        let (mut rows, mut rejects) = (0, together.rejects.iter().skip(1));
        for line in &lines {
            // The tab is white space to JSON, and to us a reason to read the line the slow way.
            let tabbed = || [&b"{\t"[..], &line[1..]].concat();
            let slow = if line[0] == b'{' { tabbed() } else { line.clone() };
            for (line, is_same) in [(line, true), (&slow, false)] {
                let alone = parse(&[&b"{}\n"[..], line].concat(), &context()).unwrap();
                let next = together.events.slice(rows, alone.events.num_rows());
                prop_assert_eq!(&alone.events, &next);
                let expected = rejects.clone().next().filter(|_| alone.rejects.len() == 2);
                let message = |reject: &Reject| (reject.code, reject.field.clone());
                prop_assert_eq!(alone.rejects.get(1).map(message), expected.map(message));
                if is_same {
                    let text = |reject: &Reject| reject.message.clone();
                    prop_assert_eq!(alone.rejects.get(1).map(text), expected.map(text));
                } else if alone.rejects.len() == 2 {
                    rejects.next();
                } else {
                    rows += 1;
                }
            }
        }
        prop_assert_eq!(rows, together.events.num_rows());
        prop_assert!(rejects.next().is_none());
    }
}

/// Year, month and day of a day since 1970, by walking.
fn civil(mut day: i64) -> (i64, i64, i64) {
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    while day >= 365 + i64::from(leap(year)) {
        day -= 365 + i64::from(leap(year));
        year += 1;
    }
    let february = 28 + i64::from(leap(year));
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    (year, i64::try_from(month).unwrap() + 1, day + 1)
}
