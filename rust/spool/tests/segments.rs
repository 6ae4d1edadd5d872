//! Segments with damaged headers, long frames and lasting ids.

#![allow(clippy::unwrap_used, reason = "what a test sets up must work")]

mod sim;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sim::Sim;
use unmogrowp_spool::{
    Commit, HEADER_BYTES, Kind, Local, Position, Reader, SEGMENT_HEADER_BYTES, Settings, Spool,
    SpoolError, Want,
};

const ALL: Want = Want { rows_max: u64::MAX, bytes_max: u64::MAX };
const DIR: &str = "/spool";
/// How much a walk reads at a time.
const READ_BYTES: usize = 256 << 10;

fn try_open(sim: &Sim, segment_bytes: u64) -> Result<(Spool, Vec<u32>), SpoolError> {
    let settings = Settings { segment_bytes, lock_wait: Duration::ZERO, ..Settings::default() };
    let mut ids = Vec::new();
    let spool = Spool::open(sim.shared(), Path::new(DIR), &settings, &mut |_, payload| {
        ids.push(u32::from_le_bytes(payload.try_into().unwrap()));
    });
    spool.map(|spool| (spool, ids))
}

fn open(sim: &Sim, segment_bytes: u64) -> (Spool, Vec<u32>) {
    try_open(sim, segment_bytes).unwrap()
}

fn segment(number: u64) -> PathBuf {
    Path::new(DIR).join(format!("{number:010}.segment"))
}

fn ids_file(number: u64) -> PathBuf {
    Path::new(DIR).join(format!("ids/{number:010}.ids"))
}

/// A commit at the time of its number.
fn commit(number: u32, bytes: usize) -> Commit {
    let mut commit = Commit::new(i64::from(number));
    commit.push(Kind::Ids, 1, &number.to_le_bytes()).unwrap();
    commit.push(Kind::Events, 1, &vec![7; bytes]).unwrap();
    commit
}

/// Twenty commits, all shipped, three to a segment.
fn shipped() -> (Sim, Spool, Vec<Position>) {
    let sim = Sim::new(1);
    let (mut spool, _) = open(&sim, 300);
    let ends: Vec<_> = (0..20).map(|n| spool.append(&mut commit(n, 34)).unwrap()).collect();
    Reader::new(sim.shared(), Path::new(DIR)).confirm(ends[19]).unwrap();
    (sim, spool, ends)
}

#[test]
fn damaged_header_is_an_error_where_frames_follow_it() {
    let sim = Sim::new(1);
    let (mut spool, _) = open(&sim, u64::MAX);
    spool.append(&mut commit(1, 10)).unwrap();
    drop(spool);
    // Of one bit that is wrong it is known which; not of two.
    sim.spoil(&segment(1), 20, 3);
    let is_header = |error| matches!(error, SpoolError::Header { path } if path == segment(1));
    assert!(is_header(try_open(&sim, u64::MAX).err().unwrap()));
    let reader = Reader::new(sim.shared(), Path::new(DIR));
    assert!(is_header(reader.next(None, ALL).unwrap_err()));
}

#[test]
fn damaged_header_costs_nothing_where_no_frame_follows_it() {
    let sim = Sim::new(2);
    let (mut spool, _) = open(&sim, u64::MAX);
    spool.append(&mut commit(1, 10)).unwrap();
    drop(spool);
    sim.put(&segment(2), &vec![9; usize::try_from(SEGMENT_HEADER_BYTES).unwrap()]);
    let (_spool, ids) = open(&sim, u64::MAX);
    assert_eq!(ids, [1]);
}

#[test]
fn segment_under_the_name_of_another_is_refused() {
    let sim = Sim::new(3);
    let (mut spool, _) = open(&sim, u64::MAX);
    spool.append(&mut commit(1, 10)).unwrap();
    drop(spool);
    sim.put(&segment(2), &sim.bytes(&segment(1)));
    let refused = try_open(&sim, u64::MAX).err().unwrap();
    assert!(matches!(refused, SpoolError::Header { path } if path == segment(2)));
}

/// Damage whose end lies on the edge of what is read at a time, and next to it.
#[test]
fn frame_after_damage_is_found_wherever_it_begins() {
    for shift in 0..12 {
        let sim = Sim::new(4);
        let (mut spool, _) = open(&sim, u64::MAX);
        // The search begins one byte into the damage.
        let payload = READ_BYTES - 6 + shift - HEADER_BYTES;
        let mut first = Commit::new(1);
        first.push(Kind::Events, 1, &vec![7; payload]).unwrap();
        spool.append(&mut first).unwrap();
        spool.append(&mut commit(2, 9)).unwrap();
        let head = usize::try_from(SEGMENT_HEADER_BYTES).unwrap();
        sim.spoil(&segment(1), head + HEADER_BYTES + 5, 1);
        let chunk = Reader::new(sim.shared(), Path::new(DIR)).next(None, ALL).unwrap().unwrap();
        assert_eq!(chunk.damaged_bytes, first.len() as u64, "{shift}");
        assert_eq!((chunk.count(Kind::Ids), chunk.count(Kind::Events)), (1, 1), "{shift}");
    }
}

#[test]
fn frames_that_lie_across_reads_come_whole() {
    let sim = Sim::new(5);
    let (mut spool, _) = open(&sim, u64::MAX);
    for number in 0..9 {
        spool.append(&mut commit(number, 100_000)).unwrap();
    }
    let chunk = Reader::new(sim.shared(), Path::new(DIR)).next(None, ALL).unwrap().unwrap();
    assert_eq!((chunk.damaged_bytes, chunk.count(Kind::Events)), (0, 9));
    assert!(chunk.payloads(Kind::Events).all(|(_, payload)| payload == vec![7; 100_000]));
}

#[test]
fn ids_from_before_the_window_are_left_out_to_the_microsecond() {
    let (sim, spool, _) = shipped();
    spool.forget_before(10);
    spool.tidy().unwrap();
    drop(spool);
    assert_eq!(open(&sim, 300).1, (10..20).collect::<Vec<_>>());
}

#[test]
fn damaged_ids_are_not_remembered() {
    let (sim, spool, _) = shipped();
    let payload = usize::try_from(SEGMENT_HEADER_BYTES).unwrap() + HEADER_BYTES;
    sim.spoil(&segment(1), payload, 1);
    spool.tidy().unwrap();
    drop(spool);
    assert_eq!(open(&sim, 300).1, (1..20).collect::<Vec<_>>());
}

#[test]
fn file_of_ids_goes_once_its_newest_are_too_old_and_takes_no_other_with_it() {
    let (sim, spool, ends) = shipped();
    spool.tidy().unwrap();
    let size = |number| sim.bytes(&ids_file(number)).len() as u64;
    let last = ends[19].segment;
    let all: u64 = (1..last).map(size).sum();
    assert_eq!(spool.status().ids_bytes, all);
    let in_first = ends.iter().filter(|end| end.segment == 1).count();
    let newest = i64::try_from(in_first).unwrap() - 1;
    spool.forget_before(newest);
    spool.tidy().unwrap();
    assert_eq!(spool.status().ids_bytes, all);
    let first = size(1);
    spool.forget_before(newest + 1);
    spool.tidy().unwrap();
    assert_eq!(spool.status().ids_bytes, all - first);
    let names: Vec<_> = sim.files().into_iter().map(|(path, _)| path).collect();
    assert!(!names.contains(&ids_file(1)) && names.contains(&ids_file(2)), "{names:?}");
}

#[test]
fn segment_that_cannot_be_opened_is_not_taken_for_gone() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { segment_bytes: 100, ..Settings::default() };
    let mut spool = Spool::open(Arc::new(Local), dir.path(), &settings, &mut |_, _| {}).unwrap();
    let ends: Vec<_> = (0..3).map(|n| spool.append(&mut commit(n, 34)).unwrap()).collect();
    Reader::new(Arc::new(Local), dir.path()).confirm(ends[2]).unwrap();
    let path = dir.path().join("0000000001.segment");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let before = spool.status();
    assert!(spool.tidy().is_err());
    assert_eq!((spool.status().segments, spool.status().bytes), (before.segments, before.bytes));
}
