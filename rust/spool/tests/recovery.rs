//! What a reader sees after a crash, a flipped bit or a failed sync.

#![allow(clippy::unwrap_used, reason = "what a test sets up must work")]

mod sim;

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use sim::{Dice, Sim};
use unmogrowp_spool::{
    Chunk, Commit, Disk, HEADER_BYTES, Kind, Position, Reader, SEGMENT_HEADER_BYTES, Settings,
    Spool, SpoolError, Want,
};

const ALL: Want = Want { rows_max: u64::MAX, bytes_max: u64::MAX };
const DIR: &str = "/spool";

fn settings(segment_bytes: u64) -> Settings {
    Settings { segment_bytes, lock_wait: Duration::ZERO, ..Settings::default() }
}

fn open(sim: &Sim, segment_bytes: u64) -> (Spool, Vec<(i64, Vec<u8>)>) {
    let mut ids = Vec::new();
    let spool = Spool::open(sim.shared(), Path::new(DIR), &settings(segment_bytes), &mut |t, p| {
        ids.push((t, p.to_vec()));
    });
    (spool.unwrap(), ids)
}

/// A commit with the ids and the events of one number.
fn commit(number: u32, bytes: usize) -> Commit {
    let mut commit = Commit::new(i64::from(number));
    commit.push(Kind::Ids, 1, &number.to_le_bytes()).unwrap();
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(4 + bytes, 7);
    commit.push(Kind::Events, 1, &payload).unwrap();
    commit
}

fn events(chunk: &Chunk) -> Vec<u32> {
    let number = |p: &[u8]| u32::from_le_bytes(p[..4].try_into().unwrap());
    chunk.payloads(Kind::Events).map(|(_, p)| number(p)).collect()
}

fn read_all(disk: Arc<dyn Disk>) -> Vec<u32> {
    let reader = Reader::new(disk, Path::new(DIR));
    let (mut numbers, mut after) = (Vec::new(), None);
    while let Some(chunk) = reader.next(after, ALL).unwrap() {
        numbers.extend(events(&chunk));
        after = Some(chunk.last);
    }
    numbers
}

fn numbers(ids: &[(i64, Vec<u8>)]) -> Vec<u32> {
    ids.iter().map(|(_, p)| u32::from_le_bytes(p[..].try_into().unwrap())).collect()
}

fn segment(number: u64) -> PathBuf {
    Path::new(DIR).join(format!("{number:010}.segment"))
}

/// Three commits of `2 × (header + payload)`; returns where each ends.
fn three() -> (Sim, Vec<usize>) {
    let sim = Sim::new(1);
    let (mut spool, _) = open(&sim, u64::MAX);
    let end = |p: Position| usize::try_from(p.offset).unwrap();
    let ends = (1..=3).map(|n| end(spool.append(&mut commit(n, 40)).unwrap())).collect();
    (sim, ends)
}

fn head_bytes() -> usize {
    usize::try_from(SEGMENT_HEADER_BYTES).unwrap()
}

/// Keep what was never told to a reader out of the way, as after a power loss.
fn without_mark(sim: &Sim) {
    sim.put(&Path::new(DIR).join("durable"), b"");
}

#[test]
fn cut_at_any_byte_keeps_exactly_the_whole_commits() {
    let (whole, ends) = three();
    let bytes = whole.bytes(&segment(1));
    assert_eq!(bytes.len(), ends[2]);
    for cut in ends[0]..=ends[2] {
        let sim = Sim::new(2);
        sim.put(&segment(1), &bytes[..cut]);
        let (_spool, ids) = open(&sim, u64::MAX);
        let expected: Vec<u32> =
            (1..=3).zip(&ends).filter(|&(_, &end)| end <= cut).map(|(n, _)| n).collect();
        assert_eq!(read_all(sim.shared()), expected, "cut at {cut}");
        assert_eq!(numbers(&ids), expected, "cut at {cut}");
        assert_eq!(sim.bytes(&segment(1)).len(), ends[expected.len() - 1], "cut at {cut}");
    }
}

/// A segment with one bit turned round.
fn spoiled(whole: &Sim, bit: usize) -> Sim {
    let sim = Sim::new(3);
    sim.put(&segment(1), &whole.bytes(&segment(1)));
    sim.spoil(&segment(1), bit / 8, 1 << (bit % 8));
    sim
}

#[test]
fn bit_flipped_in_the_last_commit_drops_it_whole() {
    let (whole, ends) = three();
    for bit in 8 * ends[1]..8 * ends[2] {
        let sim = spoiled(&whole, bit);
        let (_spool, ids) = open(&sim, u64::MAX);
        assert_eq!(read_all(sim.shared()), [1, 2], "bit {bit}");
        assert_eq!(numbers(&ids), [1, 2], "bit {bit}");
    }
}

#[test]
fn bit_flipped_in_the_header_costs_nothing() {
    let (whole, _) = three();
    for bit in 0..8 * head_bytes() {
        let sim = spoiled(&whole, bit);
        let (_spool, ids) = open(&sim, u64::MAX);
        assert_eq!(read_all(sim.shared()), [1, 2, 3], "bit {bit}");
        assert_eq!(numbers(&ids), [1, 2, 3], "bit {bit}");
    }
}

#[test]
fn bit_flipped_before_a_later_commit_costs_only_its_own_frame() {
    let (whole, ends) = three();
    for (start, end, number) in [(head_bytes(), ends[0], 1), (ends[0], ends[1], 2)] {
        let others: Vec<u32> = [1, 2, 3].into_iter().filter(|other| *other != number).collect();
        let ids_end = start + HEADER_BYTES + 4;
        for bit in 8 * start..8 * end {
            let sim = spoiled(&whole, bit);
            let (_spool, ids) = open(&sim, u64::MAX);
            let (kept, known): (&[u32], &[u32]) =
                if bit < 8 * ids_end { (&[1, 2, 3], &others) } else { (&others, &[1, 2, 3]) };
            assert_eq!(read_all(sim.shared()), kept, "bit {bit}");
            assert_eq!(numbers(&ids), known, "bit {bit}");
        }
    }
}

#[test]
fn damage_below_the_durable_mark_never_cuts_what_follows_it() {
    let (sim, ends) = three();
    sim.spoil(&segment(1), ends[1] + HEADER_BYTES + 1, 4);
    let (_spool, _) = open(&sim, u64::MAX);
    // The ids frame of the third commit is lost, its events were acknowledged and stay.
    assert_eq!(read_all(sim.shared()), [1, 2, 3]);
}

#[test]
fn bytes_that_look_like_a_frame_are_none() {
    let (whole, ends) = three();
    let forged = whole.bytes(&segment(1))[ends[0]..ends[1]].to_vec();
    let sim = Sim::new(5);
    let (mut spool, _) = open(&sim, u64::MAX);
    let mut first = Commit::new(1);
    first.push(Kind::Rejects, 1, &forged).unwrap();
    spool.append(&mut first).unwrap();
    spool.append(&mut commit(9, 4)).unwrap();
    drop(spool);
    sim.spoil(&segment(1), 64, 1);
    let (_spool, ids) = open(&sim, u64::MAX);
    assert_eq!(read_all(sim.shared()), [9]);
    assert_eq!(numbers(&ids), [9]);
}

#[test]
fn failed_sync_poisons_the_segment_and_hides_its_commit() {
    let sim = Sim::new(6);
    let (mut spool, _) = open(&sim, u64::MAX);
    spool.append(&mut commit(1, 10)).unwrap();
    sim.fail_syncs(1);
    assert!(matches!(spool.append(&mut commit(2, 10)), Err(SpoolError::Disk { .. })));
    assert_eq!(read_all(sim.shared()), [1]);
    let position = spool.append(&mut commit(3, 10)).unwrap();
    assert_eq!(position.segment, 2);
    assert_eq!(read_all(sim.shared()), [1, 3]);
    drop(spool);
    let (_spool, ids) = open(&sim, u64::MAX);
    assert_eq!(read_all(sim.shared()), [1, 3]);
    assert_eq!(numbers(&ids), [1, 3]);
}

/// Bytes that were written and not synced are there after a kill: told to somebody, they must last,
/// also where the system takes them for written since it failed to write them.
#[test]
fn what_a_restart_brings_back_outlives_a_power_cut() {
    let mut came_back = 0;
    for bytes in [10, 1 << 20, 3 << 20] {
        for operations in 1..16 {
            let sim = Sim::new(8);
            let (mut spool, _) = open(&sim, u64::MAX);
            spool.append(&mut commit(1, 10)).unwrap();
            sim.fail_syncs(u32::from(operations % 2 == 0));
            sim.live_for(1 + operations / 2);
            let _ = spool.append(&mut commit(2, bytes));
            drop(spool);
            sim.live_for(u64::MAX);
            sim.fail_syncs(0);
            let (spool, ids) = open(&sim, u64::MAX);
            let told = numbers(&ids);
            came_back += told.len() - 1;
            sim.lose_power();
            drop(spool);
            let (_spool, ids) = open(&sim, u64::MAX);
            assert_eq!(numbers(&ids), told, "{bytes} bytes, killed after {operations}");
            assert_eq!(read_all(sim.shared()), told, "{bytes} bytes, killed after {operations}");
        }
    }
    assert!(came_back > 3, "{came_back}");
}

#[test]
fn reader_never_passes_durable() {
    let sim = Sim::new(7);
    let (mut spool, _) = open(&sim, u64::MAX);
    spool.append(&mut commit(1, 10)).unwrap();
    let mark = sim.bytes(&Path::new(DIR).join("durable"));
    spool.append(&mut commit(2, 10)).unwrap();
    assert_eq!(read_all(sim.shared()), [1, 2]);
    sim.put(&Path::new(DIR).join("durable"), &mark);
    assert_eq!(read_all(sim.shared()), [1]);
    without_mark(&sim);
    assert_eq!(read_all(sim.shared()), Vec::<u32>::new());
}

#[test]
fn reader_follows_across_segments_and_reads_ranges_again() {
    let sim = Sim::new(8);
    let (mut spool, _) = open(&sim, 300);
    for number in 0..50 {
        spool.append(&mut commit(number, 30)).unwrap();
    }
    assert!(spool.status().segments > 5);
    let reader = Reader::new(sim.shared(), Path::new(DIR));
    let want = Want { rows_max: 2, bytes_max: u64::MAX };
    let (mut seen, mut after) = (Vec::new(), None);
    while let Some(chunk) = reader.next(after, want).unwrap() {
        assert!(chunk.count(Kind::Events) <= 2);
        let again = reader.range(chunk.first, chunk.last).unwrap();
        assert_eq!(events(&again), events(&chunk));
        seen.extend(events(&chunk));
        after = Some(chunk.last);
    }
    assert_eq!(seen, (0..50).collect::<Vec<_>>());
    let beyond = Position { segment: 99, offset: 64 };
    assert!(reader.range(beyond, Position { offset: 70, ..beyond }).unwrap_err().is_missing());
}

#[test]
fn shipped_segments_go_and_their_ids_stay() {
    let sim = Sim::new(9);
    let (mut spool, _) = open(&sim, 300);
    for number in 0..20 {
        spool.append(&mut commit(number, 30)).unwrap();
    }
    let reader = Reader::new(sim.shared(), Path::new(DIR));
    let mut after = None;
    while let Some(chunk) = reader.next(after, ALL).unwrap() {
        after = Some(chunk.last);
    }
    reader.confirm(after.unwrap()).unwrap();
    let before = spool.status();
    spool.tidy().unwrap();
    let status = spool.status();
    assert_eq!((status.segments, status.unshipped_bytes), (1, 0));
    assert!(
        before.unshipped_bytes > 2000 && status.bytes < before.bytes / 5 && status.ids_bytes > 0
    );
    assert!(reader.next(after, ALL).unwrap().is_none());
    drop(spool);
    let (mut spool, ids) = open(&sim, 300);
    assert_eq!(numbers(&ids), (0..20).collect::<Vec<_>>());
    spool.append(&mut commit(20, 30)).unwrap();
    assert_eq!(events(&reader.next(after, ALL).unwrap().unwrap()), [20]);
    spool.forget_before(i64::MAX);
    spool.tidy().unwrap();
    assert_eq!(spool.status().ids_bytes, 0);
}

#[test]
fn segments_that_are_not_shipped_stay() {
    let sim = Sim::new(10);
    let (mut spool, _) = open(&sim, 300);
    for number in 0..20 {
        spool.append(&mut commit(number, 30)).unwrap();
    }
    let reader = Reader::new(sim.shared(), Path::new(DIR));
    let third = Position { segment: 3, offset: 64 };
    reader.confirm(third).unwrap();
    spool.tidy().unwrap();
    let left = read_all(sim.shared());
    let all: Vec<u32> = (0..20).collect();
    assert!(all.ends_with(&left) && left.len() > 10, "{left:?}");
    assert_eq!(reader.next(None, ALL).unwrap().unwrap().first, third);
}

#[test]
fn status_counts_what_is_not_shipped_and_tidying_removes_what_is() {
    let sim = Sim::new(12);
    let (mut spool, _) = open(&sim, 300);
    let ends: Vec<_> = (0..12).map(|n| spool.append(&mut commit(n, 30)).unwrap()).collect();
    let last = ends[11].segment;
    let sizes: Vec<_> = (1..=last).map(|n| sim.bytes(&segment(n)).len() as u64).collect();
    let size = |number: u64| sizes[usize::try_from(number - 1).unwrap()];
    let reader = Reader::new(sim.shared(), Path::new(DIR));
    for at in &ends {
        reader.confirm(*at).unwrap();
        spool.tidy().unwrap();
        let later = (at.segment + 1..=last).map(|number| size(number) - SEGMENT_HEADER_BYTES);
        let in_this = size(at.segment) - at.offset;
        let status = spool.status();
        assert_eq!(status.unshipped_bytes, in_this + later.sum::<u64>(), "{at:?}");
        assert_eq!(status.shipped, Some(*at));
        let names = sim.shared().names(Path::new(DIR)).unwrap();
        let left = names.iter().filter(|name| name.ends_with(".segment")).count();
        assert_eq!(status.segments, left, "{at:?}");
        // The segment at hand goes once it is shipped whole and is not the active one.
        let is_done = in_this == 0 && at.segment < last;
        assert_eq!(left as u64, last - at.segment + u64::from(!is_done), "{at:?}");
    }
}

#[test]
fn shipped_segments_that_cannot_be_removed_count_as_shipped() {
    let sim = Sim::new(14);
    let (mut spool, _) = open(&sim, 300);
    let last = (0..12).map(|n| spool.append(&mut commit(n, 30)).unwrap()).last().unwrap();
    Reader::new(sim.shared(), Path::new(DIR)).confirm(last).unwrap();
    sim.fail_one_in(1);
    assert!(spool.tidy().is_err());
    assert!(spool.status().segments > 2);
    assert_eq!(spool.status().unshipped_bytes, 0);
    sim.fail_one_in(0);
    spool.tidy().unwrap();
    assert_eq!(spool.status().segments, 1);
}

#[test]
fn segment_that_somebody_removed_holds_up_no_other() {
    let sim = Sim::new(13);
    let (mut spool, _) = open(&sim, 300);
    for number in 0..20 {
        spool.append(&mut commit(number, 30)).unwrap();
    }
    sim.remove(&segment(2)).unwrap();
    let reader = Reader::new(sim.shared(), Path::new(DIR));
    reader.confirm(reader.durable().unwrap().unwrap()).unwrap();
    spool.tidy().unwrap();
    assert_eq!(spool.status().segments, 1);
}

#[test]
fn second_owner_is_refused_with_a_hint() {
    let sim = Sim::new(11);
    let (_spool, _) = open(&sim, 300);
    let second = Spool::open(sim.shared(), Path::new(DIR), &settings(300), &mut |_, _| {});
    let Err(error) = second else { panic!("two owners") };
    assert!(matches!(error, SpoolError::Locked { .. }));
    assert!(error.to_string().contains("/spool") && error.to_string().contains("hint:"));
}

#[test]
fn restarts_without_traffic_leave_one_segment() {
    let sim = Sim::new(12);
    for _ in 0..5 {
        let (spool, _) = open(&sim, 300);
        assert_eq!(spool.status().segments, 1);
    }
    let (mut spool, _) = open(&sim, 300);
    spool.append(&mut commit(1, 1)).unwrap();
    drop(spool);
    let (spool, _) = open(&sim, 300);
    assert_eq!(spool.status().segments, 2);
}

/// What a run has promised, kept outside of the disk.
#[derive(Default)]
struct Promise {
    acknowledged: Vec<u32>,
    /// Neither promised nor refused for good: a crash came before the answer.
    open: Vec<u32>,
    shipped: Vec<u32>,
    after: Option<Position>,
}

impl Promise {
    fn ship(&mut self, reader: &Reader, dice: &mut Dice) {
        let want = Want { rows_max: 1 + dice.below(5), bytes_max: u64::MAX };
        let Ok(Some(chunk)) = reader.next(self.after, want) else { return };
        let again = reader.range(chunk.first, chunk.last).unwrap();
        assert_eq!(events(&again), events(&chunk));
        assert_eq!(chunk.damaged_bytes, 0);
        self.shipped.extend(events(&chunk));
        self.after = Some(chunk.last);
        if dice.one_in(2) {
            drop(reader.confirm(chunk.last));
        }
    }

    fn check(&self, seed: u64) {
        let mut shipped = self.shipped.clone();
        shipped.sort_unstable();
        let once = shipped.windows(2).all(|pair| pair[0] != pair[1]);
        assert!(once, "seed {seed}: shipped twice in {shipped:?}");
        for number in &self.acknowledged {
            assert!(shipped.binary_search(number).is_ok(), "seed {seed}: {number} is lost");
        }
        for number in shipped {
            let is_known = self.acknowledged.contains(&number) || self.open.contains(&number);
            assert!(is_known, "seed {seed}: {number} was refused and is there");
        }
    }
}

/// One life of an owner: commits, shipping and faults until a crash.
fn live(sim: &Sim, dice: &mut Dice, promise: &mut Promise, next: &mut u32) {
    let mut known = Vec::new();
    let opened = Spool::open(sim.shared(), Path::new(DIR), &settings(400), &mut |time_us, ids| {
        known.push((time_us, ids.to_vec()));
    });
    let Ok(mut spool) = opened else { return };
    // A client that repeats one of these is told that it is stored.
    promise.acknowledged.extend(numbers(&known));
    let reader = Reader::new(sim.shared(), Path::new(DIR));
    let mut refused = Vec::new();
    for _ in 0..dice.below(30) {
        if sim.is_dead() {
            break;
        }
        match dice.below(6) {
            0 => promise.ship(&reader, dice),
            1 => drop(spool.tidy()),
            _ => {
                *next += 1;
                let size = usize::try_from(dice.below(1500)).unwrap();
                match spool.append(&mut commit(*next, size)) {
                    Ok(_) => {
                        promise.acknowledged.push(*next);
                        refused.clear();
                    }
                    Err(_) => refused.push(*next),
                }
            }
        }
    }
    // They may come back, ids and all, where no later segment says that they do not count.
    promise.open.append(&mut refused);
    drop(spool);
    if dice.one_in(2) {
        sim.lose_power();
    }
}

/// Six lives of an owner over one disk, each ended by a crash; then everything is looked at.
fn schedule(seed: u64) {
    let sim = Sim::new(seed);
    let mut dice = Dice(seed ^ 0xabcd);
    let mut promise = Promise::default();
    let mut next = 0;
    for _ in 0..6 {
        sim.fail_one_in([0, 0, 15, 40][usize::try_from(dice.below(4)).unwrap()]);
        sim.live_for(if dice.one_in(2) { 1 + dice.below(60) } else { u64::MAX });
        live(&sim, &mut dice, &mut promise, &mut next);
    }
    sim.fail_one_in(0);
    sim.live_for(u64::MAX);
    let (_spool, ids) = open(&sim, 400);
    let known = numbers(&ids);
    for number in &promise.acknowledged {
        assert!(known.contains(number), "seed {seed}: the id of {number} is forgotten");
    }
    let reader = Reader::new(sim.shared(), Path::new(DIR));
    while let Some(chunk) = reader.next(promise.after, ALL).unwrap() {
        promise.shipped.extend(events(&chunk));
        promise.after = Some(chunk.last);
    }
    promise.check(seed);
}

/// `SPOOL_SEEDS=4711..4712` repeats the schedule of a seed that failed, and only that.
#[test]
fn nothing_acknowledged_is_lost_or_doubled_whatever_breaks() {
    let given = std::env::var("SPOOL_SEEDS").unwrap_or_else(|_| "0..20000".into());
    let (first, end) = given.split_once("..").expect("SPOOL_SEEDS is like 0..1000");
    let (first, end): (u64, u64) = (first.parse().unwrap(), end.parse().unwrap());
    let next = AtomicU64::new(first);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    schedule(seed);
                }
            });
        }
    });
}
