//! The parser beside `serde_json` reading the same lines into a borrowed struct, by CPU time.
//!
//!     python benches/corpus.py OUT 60000
//!     cargo run --release -p unmogrowp-core --example parse_speed -- \
//!         OUT/mixed.ndjson [BODY_BYTES [PAIRS]]
//!
//! `serde_json` only decodes: it builds no columns, checks no value and types no id. Both run
//! interleaved on this thread; the ratio is the median over the pairs.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an example talks and may stop")]

use std::borrow::Cow;
use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use serde_json::value::RawValue;
use unmogrowp_core::limits::Limits;
use unmogrowp_core::parse::{Context, pack, parse};

/// Text that is copied only where it is escaped.
#[derive(Deserialize)]
#[allow(dead_code, reason = "it is decoded, not used")]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The fields of the corpus.
#[derive(Deserialize)]
#[allow(dead_code, reason = "it is decoded, not used")]
struct Line<'a> {
    #[serde(borrow)]
    event_id: Text<'a>,
    event_name: Text<'a>,
    event_type: Text<'a>,
    app_id: Text<'a>,
    timestamp: &'a RawValue,
    user_id: Option<Text<'a>>,
    idfa: Option<Text<'a>>,
    idfv: Option<Text<'a>>,
    gaid: Option<Text<'a>>,
    session_id: Option<Text<'a>>,
    source: Option<Text<'a>>,
    medium: Option<Text<'a>>,
    campaign: Option<Text<'a>>,
    adset: Option<Text<'a>>,
    creative: Option<Text<'a>>,
    click_id: Option<Text<'a>>,
    ip: Option<Text<'a>>,
    user_agent: Option<Text<'a>>,
    os: Option<Text<'a>>,
    os_version: Option<Text<'a>>,
    app_version: Option<Text<'a>>,
    country: Option<Text<'a>>,
    revenue: Option<f64>,
    currency: Option<Text<'a>>,
    properties: Option<&'a RawValue>,
}

fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

fn timed(work: impl FnOnce()) -> f64 {
    let started = cpu_seconds();
    work();
    cpu_seconds() - started
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Parts of about `bytes` bytes that end with a line.
fn bodies(file: &[u8], bytes: usize) -> Vec<&[u8]> {
    let (mut bodies, mut rest) = (Vec::new(), file);
    while !rest.is_empty() {
        let tail = rest.iter().skip(bytes).position(|&byte| byte == b'\n');
        let (body, after) = rest.split_at(tail.map_or(rest.len(), |at| bytes + at + 1));
        bodies.push(body);
        rest = after;
    }
    bodies
}

fn main() {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| "mixed.ndjson".to_owned());
    let mut number = |default: usize| args.next().map_or(default, |text| text.parse().unwrap());
    let (bytes, pairs, is_alone) = (number(16 << 20), number(15), number(0) == 1);
    let file = std::fs::read(path).unwrap();
    let lines: Vec<_> = file.split(|&byte| byte == b'\n').filter(|l| !l.is_empty()).collect();
    let records = lines.len();
    let limits =
        Limits { decompressed_bytes: usize::MAX, records: usize::MAX, ..Limits::default() };
    let context = Context { limits, ..Context::default() };
    let bodies = bodies(&file, bytes);
    let ours = || {
        for body in &bodies {
            black_box(parse(body, &context).unwrap());
        }
    };
    let theirs = || {
        for line in lines.iter().filter(|_| !is_alone) {
            let _ = black_box(serde_json::from_slice::<Line<'_>>(line));
        }
    };
    let packed = || {
        for body in &bodies {
            black_box(pack(body, &context, &|| [7; 16]).unwrap());
        }
    };
    ours();
    packed();
    let (mut times, mut ratios, mut packs) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..pairs {
        let mut b = if pair % 2 == 0 { timed(theirs) } else { 0.0 };
        let a = timed(ours);
        let c = timed(packed);
        if pair % 2 == 1 {
            b = timed(theirs);
        }
        times.push(a);
        ratios.push(a / b);
        packs.push(c / b);
    }
    let ns = median(times) * 1e9 / records as f64;
    println!("rows for the spool: {:.2} of serde_json's time", median(packs));
    println!(
        "{}: {ns:.0} ns/event, {:.2} M events/s, {:.2} GB/s of CPU; {:.3} of serde_json's time",
        unmogrowp_core::simd(),
        1e3 / ns,
        file.len() as f64 / records as f64 / ns,
        median(ratios),
    );
}
