//! Appending to a spool beside writing the same bytes to a file and syncing them, in turns.
//!
//! `cargo run --release -p unmogrowp-benches --bin spool_append -- DIR [BYTES] [ROUNDS]`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for developers"
)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use unmogrowp_spool::{Commit, Kind, Local, Settings, Spool};

/// Commits of one round of each.
const COMMITS: u64 = 50;
/// A spool keeps at least this share of the raw speed.
const FLOOR: f64 = 0.70;

fn main() {
    let mut words = std::env::args().skip(1);
    let dir = PathBuf::from(words.next().expect("a directory on the disk to measure"));
    let bytes: usize = words.next().map_or(64 << 10, |word| word.parse().unwrap());
    let rounds: usize = words.next().map_or(9, |word| word.parse().unwrap());
    let payload: Vec<u8> = (0..bytes).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect();
    let mut spool = opened(&dir.join("spool"));
    let raw = File::create(dir.join("raw")).unwrap();
    let mut at = 0;
    let mut seconds = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let started = Instant::now();
        for _ in 0..COMMITS {
            raw.write_all_at(&payload, at).unwrap();
            raw.sync_data().unwrap();
            at += bytes as u64;
        }
        seconds.0.push(started.elapsed().as_secs_f64());
        let started = Instant::now();
        for number in 0..COMMITS {
            let mut commit = Commit::new(i64::try_from(number).unwrap());
            commit.push(Kind::Events, 1, &payload).unwrap();
            spool.append(&mut commit).unwrap();
        }
        seconds.1.push(started.elapsed().as_secs_f64());
    }
    let ratio = median(seconds.0.iter().zip(&seconds.1).map(|(raw, ours)| raw / ours).collect());
    let per_commit = |seconds: Vec<f64>| 1e6 * median(seconds) / COMMITS as f64;
    println!(
        "{bytes} B a commit: raw {:.0} µs, spool {:.0} µs, {ratio:.2} of raw (floor {FLOOR})",
        per_commit(seconds.0),
        per_commit(seconds.1),
    );
    assert!(ratio >= FLOOR, "below the floor");
}

fn opened(dir: &Path) -> Spool {
    Spool::open(Arc::new(Local), dir, &Settings::default(), &mut |_, _| {}).unwrap()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
