//! What unpacking a body costs an event, by CPU time, beside parsing what comes out.
//!
//!     python benches/corpus.py OUT 60000
//!     cargo run --release -p unmogrowp-benches --bin decompress_speed -- OUT/mixed.ndjson
//!
//! Bodies of 100 events, compressed as clients do by default: zstd 3, gzip and deflate 6.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench talks and may stop")]

use std::hint::black_box;
use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use rustix::time::{ClockId, clock_gettime};
use unmogrowp_core::decompress::decompress;
use unmogrowp_core::limits::Limits;
use unmogrowp_core::parse::{Context, parse};

const PER_BODY: usize = 100;
const ROUNDS: usize = 9;

fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(plain, 3).unwrap()
}

/// Median microseconds an event of unpacking and of parsing, interleaved.
fn measure(bodies: &[Vec<u8>], plain: &[Vec<u8>]) -> (f64, f64) {
    let limits = Limits::default();
    let (mut unpacking, mut parsing) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = cpu_seconds();
        for body in bodies {
            black_box(decompress(body, None, &limits).unwrap());
        }
        let middle = cpu_seconds();
        for body in plain {
            black_box(parse(body, &Context::default()).unwrap());
        }
        unpacking.push(middle - start);
        parsing.push(cpu_seconds() - middle);
    }
    let median = |mut times: Vec<f64>| {
        times.sort_unstable_by(f64::total_cmp);
        times[ROUNDS / 2] * 1e6 / (bodies.len() * PER_BODY) as f64
    };
    (median(unpacking), median(parsing))
}

fn main() {
    let path = std::env::args().nth(1).unwrap_or_else(|| "mixed.ndjson".to_owned());
    let file = std::fs::read(path).unwrap();
    let lines: Vec<_> = file.split(|&byte| byte == b'\n').filter(|l| !l.is_empty()).collect();
    let plain: Vec<Vec<u8>> = lines.chunks_exact(PER_BODY).map(|l| l.join(&b'\n')).collect();
    for (name, pack) in
        [("zstd", zstd as fn(&[u8]) -> Vec<u8>), ("gzip", gzip), ("deflate", deflate)]
    {
        let bodies: Vec<_> = plain.iter().map(|body| pack(body)).collect();
        let share = plain.iter().map(Vec::len).sum::<usize>() as f64
            / bodies.iter().map(Vec::len).sum::<usize>() as f64;
        let (unpacking, parsing) = measure(&bodies, &plain);
        println!("{name}: {unpacking:.2} µs/event, {share:.1} to 1; parsing {parsing:.2} µs/event");
    }
}
