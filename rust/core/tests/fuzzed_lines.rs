//! Our parser beside `serde_json` on damaged lines, a thousand to a body: which are refused, and
//! every value of those that are not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test ends so")]

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;
use unmogrowp_core::parse::{Parsed, parse};
use unmogrowp_core::reject::Code;
use unmogrowp_core::schema::COLUMNS;

#[allow(dead_code, reason = "shared with other tests")]
mod oracle;
use oracle::{KNOWN, check_columns, context};

/// Lines of one body, all read by one reader, so that what a line leaves behind shows.
const BODY_LINES: u64 = 1_000;

/// Random numbers from a seed (the generator `SplitMix64`).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }

    fn one_of<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.below(texts.len())]
    }
}

const KEYS: [&str; 12] = [
    "user_id",
    "source",
    "event_type",
    "properties",
    "xaa",
    "xbb",
    "x",
    "xzzz",
    "x.y",
    "xé",
    "x\\n",
    "\\u0078u",
];
const STRINGS: [&str; 24] = [
    "",
    "a",
    "click",
    "impression",
    "u1",
    "00000000-0000-0000-0000-000000000000",
    "null",
    "é",
    "😀",
    "\\n",
    "\\\"",
    "\\\\",
    "\\/",
    "\\u00e9",
    "\\ud83d\\ude00",
    "\\ud83d",
    "\\u0000",
    "a b",
    "google",
    "spring_sale",
    "0123456789012345678901234567890123456789",
    "\u{7f}",
    "ÿ",
    "\\t",
];
const NUMBERS: [&str; 14] = [
    "0",
    "-0",
    "1",
    "-1",
    "12.5",
    "1e3",
    "1E-7",
    "9007199254740993",
    "18446744073709551616",
    "1767225600",
    "0.1",
    "-2.5e+10",
    "1e400",
    "123456789.000001",
];
/// What JSON is made of, and what it nearly is made of.
const TOKENS: [&str; 30] = [
    "{", "}", "[", "]", ",", ":", "\"", "\\", "\\\"", "\\u", "\\u12", "0", "9", "-", "+", ".", "e",
    "true", "fals", "nul", "null", "NaN", " ", "\t", "\r", "\u{1}", "{}", "[]", "\":", ",\"",
];
const SPACES: [&str; 6] = ["", "", "", " ", "\t", " \r"];

fn string(dice: &mut Dice, out: &mut String) {
    out.push('"');
    for _ in 0..=dice.below(2) {
        out.push_str(dice.one_of(&STRINGS));
    }
    out.push('"');
}

fn value(dice: &mut Dice, depth: usize, out: &mut String) {
    match dice.below(if depth < 3 { 10 } else { 7 }) {
        0..=2 => string(dice, out),
        3..=4 => out.push_str(dice.one_of(&NUMBERS)),
        5 => write!(out, "{}", dice.below(1 << 40)).unwrap(),
        6 => out.push_str(dice.one_of(&["null", "true", "false"])),
        7 => {
            out.push('[');
            for number in 0..dice.below(4) {
                out.push_str(if number > 0 { "," } else { "" });
                value(dice, depth + 1, out);
            }
            out.push(']');
        }
        _ => object(dice, depth + 1, out),
    }
}

fn object(dice: &mut Dice, depth: usize, out: &mut String) {
    out.push('{');
    for number in 0..dice.below(4) {
        out.push_str(if number > 0 { "," } else { "" });
        write!(out, "\"{}{number}\":", dice.one_of(&["k", "é", "\\n", "", "k.k"])).unwrap();
        value(dice, depth, out);
    }
    out.push('}');
}

/// A line that is an event, and some more of anything.
fn event(dice: &mut Dice) -> String {
    let mut out = String::from("{\"event_name\":\"open\",\"timestamp\":1767225600");
    out.push_str(",\"device_id\":\"d1\"");
    let first = dice.below(KEYS.len());
    for number in 0..dice.below(6) {
        let space = dice.one_of(&SPACES);
        let key = KEYS[(first + number) % KEYS.len()];
        write!(out, ",{space}\"{key}\":{space}").unwrap();
        match key {
            "user_id" | "source" | "event_type" if dice.below(8) > 0 => string(dice, &mut out),
            "properties" if dice.below(8) > 0 => object(dice, 1, &mut out),
            _ => value(dice, 1, &mut out),
        }
    }
    out.push('}');
    out
}

/// What a network, a careless client or an attacker does to it.
fn damage(dice: &mut Dice, line: &mut Vec<u8>) {
    let at = dice.below(line.len() + 1);
    match dice.below(6) {
        0 => line.truncate(at),
        1 => drop(line.drain(at.saturating_sub(1 + dice.below(4))..at)),
        2 => line.insert(at, u8::try_from(dice.below(256)).unwrap()),
        3 if at < line.len() => line[at] = u8::try_from(dice.below(256)).unwrap(),
        4 => {
            let piece = line[at..(at + dice.below(20)).min(line.len())].to_vec();
            drop(line.splice(at..at, piece));
        }
        _ => drop(line.splice(at..at, dice.one_of(&TOKENS).bytes())),
    }
}

/// A key that damage made, and that has rules of its own.
fn has_rules_of_its_own(key: &str) -> bool {
    let is_column = key == "revenue" || COLUMNS.iter().any(|column| column.name == key);
    is_column && key != "properties" && !KNOWN.contains(&key)
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| b" \t\r".contains(byte))
}

/// Lines of one seed, none of them blank.
fn lines(seed: u64) -> Vec<Vec<u8>> {
    let mut dice = Dice(seed);
    let mut lines = Vec::new();
    while (lines.len() as u64) < BODY_LINES {
        let mut line = event(&mut dice).into_bytes();
        for _ in 0..dice.below(3) {
            damage(&mut dice, &mut line);
        }
        line.retain(|byte| *byte != b'\n');
        if !is_blank(&line) {
            lines.push(line);
        }
    }
    lines
}

/// Whether we and `serde_json` say the same of one line; true if both took it.
fn check(line: &[u8], ours: Option<Code>, parsed: &Parsed, row: usize) -> bool {
    let theirs = serde_json::from_slice::<Value>(line);
    if theirs.as_ref().is_err_and(|error| error.to_string().contains("out of range")) {
        return ours.is_none();
    }
    let refused = matches!(ours, Some(Code::InvalidJson | Code::InvalidUtf8));
    assert_eq!(theirs.is_err(), refused, "{theirs:?}: {ours:?}");
    assert_eq!(std::str::from_utf8(line).is_err(), ours == Some(Code::InvalidUtf8));
    let Ok(sent) = theirs else { return false };
    assert_eq!(!sent.is_object(), ours == Some(Code::NotAnObject));
    if ours.is_some() {
        return false;
    }
    let sent = sent.as_object().unwrap();
    if !sent.keys().any(|key| has_rules_of_its_own(key)) {
        check_columns(sent, &parsed.events, row);
    }
    true
}

#[test]
fn fuzzed_lines_are_read_as_serde_json_reads_them() {
    let wanted: u64 = std::env::var("FUZZED_LINES").map_or(50_000, |text| text.parse().unwrap());
    let (mut taken, mut broken) = (0, 0);
    for seed in 0..wanted.div_ceil(BODY_LINES) {
        let lines = lines(seed);
        // The first record keeps the body from being anything but lines.
        let body = [&b"{}"[..], &lines.join(&b'\n')].join(&b'\n');
        let parsed = parse(&body, &context()).unwrap();
        assert_eq!(u64::from(parsed.received), BODY_LINES + 1);
        let mut codes = vec![None; lines.len() + 1];
        for reject in &parsed.rejects {
            codes[reject.index as usize] = Some(reject.code);
        }
        let mut rows = 0;
        for (line, &code) in lines.iter().zip(&codes[1..]) {
            let said = catch_unwind(AssertUnwindSafe(|| check(line, code, &parsed, rows)));
            let is_taken = said.unwrap_or_else(|_| {
                panic!("seed {seed}: {}", String::from_utf8_lossy(line));
            });
            rows += usize::from(code.is_none());
            taken += u64::from(is_taken);
            broken += u64::from(matches!(code, Some(Code::InvalidJson)));
        }
        assert_eq!(rows, parsed.events.num_rows());
    }
    // Neither of them is rare, or little would be seen.
    assert!(taken > wanted / 5 && broken > wanted / 5, "{taken} taken, {broken} broken");
}
