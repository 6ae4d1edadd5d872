//! The parser beside Rust's JSON libraries reading the same lines, by CPU time.
//!
//!     python benches/corpus.py OUT 60000
//!     cargo run --release -p unmogrowp-benches --bin parse_speed -- \
//!         OUT/mixed.ndjson [BODY_BYTES [ROUNDS [NAME]]]
//!
//! The others only decode: they build no columns, check no value and type no id. All run
//! interleaved on this thread; a ratio is the median over the rounds. With a name, only that
//! runs, and nothing is said: for whoever counts instructions.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench talks and may stop"
)]

use std::borrow::Cow;
use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use serde_json::value::RawValue;
use sonic_rs::LazyValue;
use unmogrowp_core::limits::Limits;
use unmogrowp_core::parse::{Context, pack, parse};

/// Text that is copied only where it is escaped.
#[derive(Deserialize)]
#[allow(dead_code, reason = "it is decoded, not used")]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The fields of the corpus; what a library calls a value left as it is.
#[derive(Deserialize)]
#[serde(bound(deserialize = "Raw: Deserialize<'de>"))]
#[allow(dead_code, reason = "it is decoded, not used")]
struct Line<'a, Raw> {
    #[serde(borrow)]
    event_id: Text<'a>,
    event_name: Text<'a>,
    event_type: Text<'a>,
    app_id: Text<'a>,
    timestamp: Raw,
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
    properties: Option<Raw>,
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

/// What is compared, over bodies and over the lines they are made of.
struct Work<'a> {
    bodies: Vec<&'a [u8]>,
    lines: Vec<&'a [u8]>,
    context: Context<'static>,
}

const OURS: [&str; 2] = ["parse", "pack"];
/// Line by line, into one borrowed struct; the last only finds where everything is.
const THEIRS: [&str; 3] = ["serde_json", "sonic-rs", "simd-json"];

impl<'a> Work<'a> {
    fn new(file: &'a [u8], body_bytes: usize) -> Self {
        let lines = file.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let limits =
            Limits { decompressed_bytes: usize::MAX, records: usize::MAX, ..Limits::default() };
        let context = Context { limits, ..Context::default() };
        Self { bodies: bodies(file, body_bytes), lines: lines.collect(), context }
    }

    fn run(&self, name: &str) {
        match name {
            "parse" => self.each_body(|body| drop(black_box(parse(body, &self.context).unwrap()))),
            "pack" => self.each_body(|body| {
                drop(black_box(pack(body, &self.context, &|| [7; 16]).unwrap()));
            }),
            "serde_json" => self.each_line(|line| {
                drop(black_box(serde_json::from_slice::<Line<'_, &RawValue>>(line)));
            }),
            "sonic-rs" => self.each_line(|line| {
                drop(black_box(sonic_rs::from_slice::<Line<'_, LazyValue<'_>>>(line)));
            }),
            "simd-json" => {
                // It writes into what it reads.
                let (mut copy, mut buffers) = (Vec::new(), simd_json::Buffers::default());
                self.each_line(|line| {
                    copy.clear();
                    copy.extend_from_slice(line);
                    drop(black_box(simd_json::to_tape_with_buffers(&mut copy, &mut buffers)));
                });
            }
            _ => panic!("one of {OURS:?}, {THEIRS:?}"),
        }
    }

    fn each_body(&self, work: impl Fn(&[u8])) {
        self.bodies.iter().for_each(|body| work(body));
    }

    fn each_line(&self, mut work: impl FnMut(&[u8])) {
        self.lines.iter().for_each(|line| work(line));
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| "mixed.ndjson".to_owned());
    let mut number = |default: usize| args.next().map_or(default, |text| text.parse().unwrap());
    let (body_bytes, rounds) = (number(16 << 20), number(15));
    let file = std::fs::read(path).unwrap();
    let work = Work::new(&file, body_bytes);
    if let Some(name) = args.next() {
        (0..rounds).for_each(|_| work.run(&name));
        return;
    }
    compare(&work, rounds);
}

/// Each beside `serde_json` in the same round, in turns from either end.
fn compare(work: &Work<'_>, rounds: usize) {
    let names: Vec<_> = OURS.into_iter().chain(THEIRS).collect();
    let mut seconds = vec![Vec::new(); names.len()];
    for round in 0..=rounds {
        for place in 0..names.len() {
            let at = if round % 2 == 0 { place } else { names.len() - 1 - place };
            let took = timed(|| work.run(names[at]));
            // The first round is for the caches.
            if round > 0 {
                seconds[at].push(took);
            }
        }
    }
    println!("{} events, {}", work.lines.len(), unmogrowp_core::simd());
    for (name, times) in names.iter().zip(&seconds) {
        let ratios = times.iter().zip(&seconds[OURS.len()]).map(|(ours, theirs)| ours / theirs);
        let (ratio, ns) = (median(ratios.collect()), median(times.clone()) * 1e9);
        let ns = ns / work.lines.len() as f64;
        println!("{name:12} {ns:6.0} ns/event of CPU, {ratio:.3} of serde_json's time");
    }
}
