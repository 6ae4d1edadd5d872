//! What goes into a commit comes out of a reader, by its kind.

#![allow(clippy::unwrap_used, reason = "what a test sets up must work")]

mod sim;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sim::Sim;
use unmogrowp_spool::{
    Commit, Kind, Local, PAYLOAD_BYTES_MAX, Reader, Settings, Spool, SpoolError, Want,
};

const DIR: &str = "/spool";
const KINDS: [Kind; 3] = [Kind::Events, Kind::Rejects, Kind::Ids];

fn open(sim: &Sim) -> Spool {
    let settings = Settings { lock_wait: Duration::ZERO, ..Settings::default() };
    Spool::open(sim.shared(), Path::new(DIR), &settings, &mut |_, _| {}).unwrap()
}

#[test]
fn each_kind_comes_back_with_its_count_and_time() {
    let sim = Sim::new(1);
    let mut commit = Commit::new(77);
    assert!(commit.is_empty());
    assert_eq!(commit.time_us(), 77);
    for (count, kind) in (1..).zip(KINDS) {
        commit.push(kind, count, &[u8::try_from(count).unwrap(); 9]).unwrap();
        assert!(!commit.is_empty());
    }
    open(&sim).append(&mut commit).unwrap();
    let reader = Reader::new(sim.shared(), Path::new(DIR));
    let want = Want { rows_max: u64::MAX, bytes_max: u64::MAX };
    let chunk = reader.next(None, want).unwrap().unwrap();
    for (count, kind) in (1..).zip(KINDS) {
        let found: Vec<_> = chunk.payloads(kind).collect();
        let [(frame, payload)] = found[..] else { panic!("{kind:?}: {found:?}") };
        assert_eq!((frame.kind, frame.count, frame.time_us), (kind, count, 77));
        // Only an owner that restores its ids reads those.
        let kept = if kind == Kind::Ids { 0 } else { 9 };
        assert_eq!(payload, &[u8::try_from(count).unwrap(); 9][..kept]);
        assert_eq!(chunk.count(kind), u64::from(count));
    }
    commit.reset(78);
    assert!(commit.is_empty());
    assert_eq!(commit.time_us(), 78);
}

#[test]
fn payload_that_is_too_large_leaves_a_commit_as_it_was() {
    let mut commit = Commit::new(1);
    commit.push(Kind::Events, 1, b"small").unwrap();
    let before = commit.len();
    let large = vec![0; PAYLOAD_BYTES_MAX + 1];
    let refused = commit.push(Kind::Events, 1, &large);
    assert!(matches!(refused, Err(SpoolError::TooLarge { bytes }) if bytes == large.len()));
    assert_eq!(commit.len(), before);
}

#[test]
fn mark_that_cannot_be_opened_is_an_error_and_one_that_is_not_there_is_none() {
    let sim = Sim::new(2);
    let reader = Reader::new(sim.shared(), Path::new(DIR));
    assert_eq!(reader.shipped().unwrap(), None);
    let file = tempfile::NamedTempFile::new().unwrap();
    let inside_a_file = Reader::new(Arc::new(Local), file.path());
    assert!(inside_a_file.shipped().is_err());
}

#[test]
fn mark_that_is_cut_short_or_damaged_says_nothing() {
    let sim = Sim::new(3);
    let mut commit = Commit::new(1);
    commit.push(Kind::Events, 1, b"x").unwrap();
    let end = open(&sim).append(&mut commit).unwrap();
    let path = Path::new(DIR).join("durable");
    let whole = sim.bytes(&path);
    let durable = || Reader::new(sim.shared(), Path::new(DIR)).durable().unwrap();
    assert_eq!(durable(), Some(end));
    for length in 0..whole.len() {
        sim.put(&path, &whole[..length]);
        assert_eq!(durable(), None, "{length} bytes");
    }
    for bit in 0..8 * whole.len() {
        sim.put(&path, &whole);
        sim.spoil(&path, bit / 8, 1 << (bit % 8));
        assert_eq!(durable(), None, "bit {bit}");
    }
}
