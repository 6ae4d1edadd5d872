//! A reader takes what it wants and no more, and says what it cannot find.

#![allow(clippy::unwrap_used, reason = "what a test sets up must work")]

mod sim;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sim::Sim;
use unmogrowp_spool::{
    Commit, Disk, Kind, Local, Position, Reader, Settings, Spool, SpoolError, Want,
};

const DIR: &str = "/spool";
const ROWS: u64 = 3;

fn open(disk: Arc<dyn Disk>, dir: &Path, segment_bytes: u64) -> Spool {
    let settings = Settings { segment_bytes, lock_wait: Duration::ZERO, ..Settings::default() };
    Spool::open(disk, dir, &settings, &mut |_, _| {}).unwrap()
}

/// Ids of many, then some events.
fn commit(number: u8) -> Commit {
    let mut commit = Commit::new(i64::from(number));
    commit.push(Kind::Ids, 100, &[number; 8]).unwrap();
    commit.push(Kind::Events, u32::try_from(ROWS).unwrap(), &[number; 50]).unwrap();
    commit
}

/// Four commits of one size in as many segments as it takes.
fn four(segment_bytes: u64) -> (Sim, Reader) {
    let sim = Sim::new(1);
    let mut spool = open(sim.shared(), Path::new(DIR), segment_bytes);
    for number in 0..4 {
        spool.append(&mut commit(number)).unwrap();
    }
    let reader = Reader::new(sim.shared(), Path::new(DIR));
    (sim, reader)
}

fn events(reader: &Reader, after: Option<Position>, rows_max: u64, bytes_max: u64) -> u64 {
    let chunk = reader.next(after, Want { rows_max, bytes_max }).unwrap().unwrap();
    chunk.count(Kind::Events)
}

#[test]
fn chunk_has_as_many_rows_as_are_wanted() {
    let (_sim, reader) = four(1 << 20);
    // Ids are no rows; frames are taken whole.
    for (rows_max, commits) in [(3, 1), (5, 1), (6, 2), (8, 2), (9, 3), (u64::MAX, 4)] {
        assert_eq!(events(&reader, None, rows_max, u64::MAX), commits * ROWS, "{rows_max}");
    }
}

#[test]
fn chunk_has_as_many_bytes_as_are_wanted_wherever_it_starts() {
    let (_sim, reader) = four(1 << 20);
    let first = reader.next(None, Want { rows_max: ROWS, bytes_max: u64::MAX }).unwrap().unwrap();
    let size = u64::try_from(commit(0).len()).unwrap();
    // The ids of the next commit came along.
    let after = Position { offset: first.first.offset + size, ..first.first };
    for start in [None, Some(after)] {
        for commits in 1..3 {
            assert_eq!(events(&reader, start, u64::MAX, commits * size), commits * ROWS);
            assert_eq!(events(&reader, start, u64::MAX, (commits + 1) * size - 1), commits * ROWS);
        }
    }
}

#[test]
fn range_that_no_chunk_had_is_missing() {
    let (_sim, reader) = four(100);
    let want = Want { rows_max: u64::MAX, bytes_max: u64::MAX };
    let first = reader.next(None, want).unwrap().unwrap();
    let second = reader.next(Some(first.last), want).unwrap().unwrap();
    assert_eq!((first.first.segment, second.first.segment), (1, 2));
    assert_eq!(reader.range(first.first, first.last).unwrap().count(Kind::Events), ROWS);
    let beyond = Position { offset: first.last.offset + 1, ..first.last };
    let elsewhere = Position { segment: 2, ..first.last };
    let wrong = [
        (first.first, beyond),
        (first.first, elsewhere),
        (first.last, first.last),
        (first.last, first.first),
        (Position { segment: 9, ..first.first }, Position { segment: 9, ..first.last }),
    ];
    for (from, to) in wrong {
        let found = reader.range(from, to);
        assert!(matches!(found, Err(SpoolError::Missing { .. })), "{from:?} to {to:?}: {found:?}");
    }
}

#[test]
fn damage_is_counted_to_the_byte_wherever_it_lies() {
    let (sim, reader) = four(1 << 20);
    let want = Want { rows_max: u64::MAX, bytes_max: u64::MAX };
    let whole = reader.next(None, want).unwrap().unwrap();
    assert_eq!(whole.damaged_bytes, 0);
    let size = commit(0).len();
    let start = usize::try_from(whole.first.offset).unwrap();
    // The last byte of the events of two commits.
    for number in [1, 3] {
        sim.spoil(&Path::new(DIR).join("0000000001.segment"), start + number * size - 1, 1);
    }
    let damaged = reader.next(None, want).unwrap().unwrap();
    assert_eq!((damaged.first, damaged.last), (whole.first, whole.last));
    assert_eq!(damaged.count(Kind::Events), 2 * ROWS);
    let mut ids = Commit::new(0);
    ids.push(Kind::Ids, 100, &[0; 8]).unwrap();
    assert_eq!(damaged.damaged_bytes, 2 * u64::try_from(size - ids.len()).unwrap());
}

#[test]
fn segment_that_cannot_be_read_is_an_error_and_not_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(Arc::new(Local), dir.path(), 1 << 20);
    spool.append(&mut commit(1)).unwrap();
    let path = dir.path().join("0000000001.segment");
    std::fs::remove_file(&path).unwrap();
    let reader = Reader::new(Arc::new(Local), dir.path());
    let want = Want { rows_max: 1, bytes_max: 1 };
    assert!(reader.next(None, want).unwrap().is_none());
    std::fs::create_dir(&path).unwrap();
    assert!(reader.next(None, want).is_err());
}

#[test]
fn owner_takes_a_fifth_of_what_is_free_or_its_own_already() {
    let sim = Sim::new(2);
    let mut spool = open(sim.shared(), Path::new(DIR), 1 << 20);
    let free = sim.free_bytes(Path::new(DIR)).unwrap();
    assert_eq!(spool.status().bytes_max, free / 5);
    for number in 0..9 {
        spool.append(&mut commit(number)).unwrap();
    }
    let held = spool.status().bytes;
    drop(spool);
    let again = open(sim.shared(), Path::new(DIR), 1 << 20);
    assert_eq!(again.status().bytes_max, (free + held) / 5);
}

#[test]
fn segment_before_the_one_that_ends_needs_no_memory() {
    let (sim, _) = four(100);
    let is_cool = |number| sim.is_cool(&Path::new(DIR).join(format!("{number:010}.segment")));
    // The fourth is open, the third ended last.
    assert_eq!([1, 2, 3, 4].map(is_cool), [true, true, false, false]);
}
