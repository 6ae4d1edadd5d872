//! The parser beside `serde_json` reading the same lines into a borrowed struct, by CPU time.
//!
//!     python benches/corpus.py OUT 60000
//!     cargo run --release -p unmogrowp-core --example parse_speed -- OUT/mixed.ndjson
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
use unmogrowp_core::parse::{Context, parse};

/// Text that is copied only where it is escaped.
#[derive(Deserialize)]
#[allow(dead_code, reason = "it is decoded, not used")]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The fields of the corpus.
#[derive(Deserialize)]
#[allow(dead_code, reason = "it is decoded, not used")]
struct Event<'a> {
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

fn main() {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| "mixed.ndjson".to_owned());
    let pairs: usize = args.next().map_or(11, |text| text.parse().unwrap());
    let body = std::fs::read(path).unwrap();
    let records = body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).count();
    let limits =
        Limits { decompressed_bytes: usize::MAX, records: usize::MAX, ..Limits::default() };
    let context = Context { limits, ..Context::default() };
    let ours = || drop(black_box(parse(&body, &context).unwrap()));
    let theirs = || {
        for line in body.split(|&byte| byte == b'\n') {
            let _ = black_box(serde_json::from_slice::<Event<'_>>(line));
        }
    };
    ours();
    let (mut times, mut ratios) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        let (mut a, mut b) = (0.0, 0.0);
        if pair % 2 == 0 {
            b = timed(theirs);
        }
        a += timed(ours);
        if pair % 2 == 1 {
            b = timed(theirs);
        }
        times.push(a);
        ratios.push(a / b);
    }
    let ns = median(times) * 1e9 / records as f64;
    println!(
        "{}: {ns:.0} ns/event, {:.2} M events/s, {:.2} GB/s of CPU; {:.3} of serde_json's time",
        unmogrowp_core::simd(),
        1e3 / ns,
        body.len() as f64 / records as f64 / ns,
        median(ratios),
    );
}
