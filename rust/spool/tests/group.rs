//! Many threads submit, one commits.

#![allow(clippy::unwrap_used, reason = "what a test sets up must work")]

mod sim;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant, SystemTime};

use sim::Sim;
use unmogrowp_spool::{
    Busy, Commit, Disk, Group, Kind, Local, Position, Reader, Settings, SpoolError, Want, Work,
};

const WANT: Want = Want { rows_max: u64::MAX, bytes_max: u64::MAX };

/// An item that makes the commit thread panic.
const PANIC: u32 = u32::MAX;

/// Writes each item as a frame and answers on a channel.
struct Echo {
    answers: Sender<(u32, bool)>,
    restored: Arc<Mutex<Vec<u32>>>,
    /// When what was restored had been committed.
    times: Arc<Mutex<Vec<i64>>>,
    settled: Arc<AtomicUsize>,
    commit_sizes: Arc<Mutex<Vec<usize>>>,
    /// Held while the commit thread must wait.
    gate: Arc<Mutex<()>>,
}

impl Work for Echo {
    type Item = (u32, Vec<u8>);

    fn restore(&mut self, time_us: i64, ids: &[u8]) {
        self.times.lock().unwrap().push(time_us);
        self.restored.lock().unwrap().push(u32::from_le_bytes(ids.try_into().unwrap()));
    }

    fn stage(&mut self, items: &mut [Self::Item], commit: &mut Commit) -> Result<(), SpoolError> {
        drop(self.gate.lock().unwrap());
        self.commit_sizes.lock().unwrap().push(items.len());
        for (number, payload) in items {
            assert!(*number != PANIC, "told to");
            commit.push(Kind::Ids, 1, &number.to_le_bytes())?;
            commit.push(Kind::Events, 1, payload)?;
        }
        Ok(())
    }

    fn complete(&mut self, items: Vec<Self::Item>, result: Result<(), &SpoolError>) {
        for (number, _) in items {
            self.answers.send((number, result.is_ok())).unwrap();
        }
    }

    fn settle(&mut self, _now_us: i64) -> i64 {
        self.settled.fetch_add(1, Ordering::Relaxed);
        i64::MIN
    }
}

struct Desk {
    group: Group<Echo>,
    answers: Receiver<(u32, bool)>,
    restored: Arc<Mutex<Vec<u32>>>,
    times: Arc<Mutex<Vec<i64>>>,
    settled: Arc<AtomicUsize>,
    commit_sizes: Arc<Mutex<Vec<usize>>>,
    gate: Arc<Mutex<()>>,
}

/// Ask again and again until it is so.
fn wait_until(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "it never came to that");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn desk(disk: Arc<dyn Disk>, dir: &Path, settings: Settings) -> Desk {
    let (answers, receiver) = channel();
    let echo = Echo {
        answers,
        restored: Arc::default(),
        times: Arc::default(),
        settled: Arc::default(),
        commit_sizes: Arc::default(),
        gate: Arc::default(),
    };
    let (restored, times, settled) =
        (echo.restored.clone(), echo.times.clone(), echo.settled.clone());
    let (commit_sizes, gate) = (echo.commit_sizes.clone(), echo.gate.clone());
    let group = Group::open(disk, dir, settings, echo).unwrap();
    Desk { group, answers: receiver, restored, times, settled, commit_sizes, gate }
}

fn read_all(disk: Arc<dyn Disk>, dir: &Path) -> Vec<Vec<u8>> {
    let reader = Reader::new(disk, dir);
    let (mut payloads, mut after) = (Vec::new(), None);
    while let Some(chunk) = reader.next(after, WANT).unwrap() {
        payloads.extend(chunk.payloads(Kind::Events).map(|(_, p)| p.to_vec()));
        after = Some(chunk.last);
    }
    payloads
}

#[test]
fn eight_threads_share_commits_and_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let settings =
        Settings { segment_bytes: 100_000, commit_bytes_max: 10_000, ..Settings::default() };
    let desk = desk(Arc::new(Local), dir.path(), settings);
    let start = Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8_u32 {
            let (group, start) = (&desk.group, &start);
            scope.spawn(move || {
                start.wait();
                for item in 0..500 {
                    let number = thread * 1000 + item;
                    let payload = vec![u8::try_from(thread).unwrap(); 100];
                    group.submit((number, payload), 100).unwrap();
                }
            });
        }
    });
    let mut answered: Vec<_> = desk.answers.iter().take(4000).collect();
    answered.sort_unstable();
    answered.dedup();
    assert!(answered.len() == 4000 && answered.iter().all(|&(_, is_durable)| is_durable));
    let commits = desk.group.stats().commits();
    assert!(commits < 4000, "{commits} commits for 4000 items share nothing");
    assert!(desk.group.status().segments > 3);
    let stored = read_all(Arc::new(Local), dir.path());
    assert_eq!(stored.len(), 4000);
    drop(desk.group);
}

#[test]
fn failed_sync_acknowledges_nothing_and_the_next_commit_goes_on() {
    let sim = Sim::new(1);
    let desk = desk(sim.shared(), Path::new("/spool"), Settings::default());
    desk.group.submit((1, vec![1]), 1).unwrap();
    assert_eq!(desk.answers.recv().unwrap(), (1, true));
    let gate = desk.gate.lock().unwrap();
    sim.fail_syncs(1);
    desk.group.submit((2, vec![2]), 1).unwrap();
    drop(gate);
    assert_eq!(desk.answers.recv().unwrap(), (2, false));
    desk.group.submit((3, vec![3]), 1).unwrap();
    assert_eq!(desk.answers.recv().unwrap(), (3, true));
    assert_eq!(read_all(sim.shared(), Path::new("/spool")), [[1], [3]]);
    assert_eq!((desk.group.stats().commits(), desk.group.stats().failures()), (2, 1));
}

#[test]
fn close_commits_what_waits_and_refuses_the_rest() {
    let sim = Sim::new(2);
    let desk = desk(sim.shared(), Path::new("/spool"), Settings::default());
    let gate = desk.gate.lock().unwrap();
    for number in 0..100 {
        desk.group.submit((number, vec![0]), 1).unwrap();
    }
    drop(gate);
    desk.group.close();
    assert_eq!(desk.answers.iter().filter(|&(_, is_durable)| is_durable).count(), 100);
    assert_eq!(desk.group.submit((100, vec![0]), 1), Err(Busy::Closed));
    let again = self::desk(sim.shared(), Path::new("/spool"), Settings::default());
    assert_eq!(*again.restored.lock().unwrap(), (0..100).collect::<Vec<_>>());
}

#[test]
fn queue_is_bounded_by_count_and_by_bytes() {
    let sim = Sim::new(3);
    let settings = Settings { queue_items_max: 5, queue_bytes_max: 100, ..Settings::default() };
    let desk = desk(sim.shared(), Path::new("/spool"), settings);
    let gate = desk.gate.lock().unwrap();
    let submit = |bytes| desk.group.submit((0, vec![0]), bytes);
    // A lone item may be larger than the queue, or a large request could never be taken.
    submit(1000).unwrap();
    assert_eq!(submit(1), Err(Busy::Queue));
    drop(gate);
    desk.answers.recv().unwrap();
    // An answer comes a moment before its bytes are given back: all of them, or one so large
    // would not be taken again.
    wait_until(|| submit(1000).is_ok());
    desk.answers.recv().unwrap();
    let gate = desk.gate.lock().unwrap();
    wait_until(|| submit(1).is_ok());
    // One may already be with the commit thread.
    let taken = 1 + (0..10).take_while(|_| submit(1).is_ok()).count();
    assert!((5..=6).contains(&taken), "{taken} items fit a queue of 5");
    drop(gate);
}

#[test]
fn queue_is_full_at_its_bytes_and_the_spool_at_its_own() {
    let sim = Sim::new(8);
    let settings =
        Settings { queue_bytes_max: 100, bytes_max: Some(10_000), ..Settings::default() };
    let desk = desk(sim.shared(), Path::new("/spool"), settings);
    let room = 10_000 - usize::try_from(desk.group.status().bytes).unwrap();
    let gate = desk.gate.lock().unwrap();
    let submit = |bytes| desk.group.submit((0, vec![0]), bytes);
    assert_eq!(submit(room + 1), Err(Busy::Full));
    submit(60).unwrap();
    submit(40).unwrap();
    assert_eq!(submit(1), Err(Busy::Queue));
    drop(gate);
    for _ in 0..2 {
        assert!(desk.answers.recv().unwrap().1);
    }
    let room = 10_000 - usize::try_from(desk.group.status().bytes).unwrap();
    wait_until(|| submit(room).is_ok());
}

#[test]
fn commit_takes_its_bytes_and_no_item_more() {
    let sim = Sim::new(9);
    let settings = Settings { commit_bytes_max: 20, ..Settings::default() };
    let desk = desk(sim.shared(), Path::new("/spool"), settings);
    let gate = desk.gate.lock().unwrap();
    for number in 0..9 {
        desk.group.submit((number, vec![0]), 10).unwrap();
    }
    drop(gate);
    assert_eq!(desk.answers.iter().take(9).filter(|&(_, is_durable)| is_durable).count(), 9);
    let sizes = desk.commit_sizes.lock().unwrap().clone();
    assert_eq!(sizes.iter().max(), Some(&2), "{sizes:?}");
}

#[test]
fn queue_says_what_waits_and_whether_it_is_open() {
    let sim = Sim::new(10);
    let desk = desk(sim.shared(), Path::new("/spool"), Settings::default());
    let gate = desk.gate.lock().unwrap();
    desk.group.submit((0, vec![0]), 1).unwrap();
    wait_until(|| desk.group.queued() == 0);
    for number in 1..3 {
        desk.group.submit((number, vec![0]), 1).unwrap();
    }
    assert_eq!(desk.group.queued(), 2);
    assert!(desk.group.is_open());
    drop(gate);
    desk.group.close();
    assert!(!desk.group.is_open());
    assert_eq!(desk.group.queued(), 0);
}

#[test]
fn idle_group_rests_and_settles_now_and_then() {
    let sim = Sim::new(11);
    let desk = desk(sim.shared(), Path::new("/spool"), Settings::default());
    let settled = || desk.settled.load(Ordering::Relaxed);
    let before = settled();
    std::thread::sleep(Duration::from_millis(300));
    assert!(settled() <= before + 1, "{} times in 0.3 s", settled() - before);
    wait_until(|| settled() > before + 1);
}

#[test]
fn commit_has_the_time_of_the_clock() {
    let now_us = || {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        i64::try_from(since.as_micros()).unwrap()
    };
    let sim = Sim::new(12);
    let desk = desk(sim.shared(), Path::new("/spool"), Settings::default());
    let before = now_us();
    desk.group.submit((1, vec![1]), 1).unwrap();
    assert!(desk.answers.recv().unwrap().1);
    let after = now_us();
    // What is dropped ends its threads and lets the directory go.
    drop(desk.group);
    let settings = Settings { lock_wait: Duration::ZERO, ..Settings::default() };
    let again = self::desk(sim.shared(), Path::new("/spool"), settings);
    let times = again.times.lock().unwrap().clone();
    assert!(times.len() == 1 && (before..=after).contains(&times[0]), "{times:?}");
}

#[test]
fn queue_closes_when_its_thread_ends_by_whatever_panic() {
    let sim = Sim::new(13);
    let Desk { group, answers, .. } = desk(sim.shared(), Path::new("/spool"), Settings::default());
    // Nobody hears what became of the item, and that it is not said ends the thread.
    drop(answers);
    group.submit((1, vec![1]), 1).unwrap();
    wait_until(|| !group.is_open());
    assert_eq!(group.submit((2, vec![2]), 1), Err(Busy::Closed));
}

#[test]
fn full_spool_is_busy_until_it_is_shipped() {
    let sim = Sim::new(4);
    let dir = Path::new("/spool");
    let settings = Settings { segment_bytes: 1000, bytes_max: Some(20_000), ..Settings::default() };
    let desk = desk(sim.shared(), dir, settings);
    let mut taken = 0;
    let refusal = loop {
        match desk.group.submit((taken, vec![0; 500]), 600) {
            Ok(()) => taken += 1,
            Err(busy) => break busy,
        }
        assert!(desk.answers.recv().unwrap().1);
    };
    assert_eq!(refusal, Busy::Full);
    assert!((25..40).contains(&taken), "{taken} items of 600 bytes fit in 20000");
    let reader = Reader::new(sim.shared(), dir);
    reader.confirm(Position { segment: u64::MAX, offset: 0 }).unwrap();
    wait_until(|| desk.group.submit((taken, vec![0; 500]), 600).is_ok());
}

#[test]
fn waiting_items_become_one_commit() {
    let sim = Sim::new(5);
    let desk = desk(sim.shared(), Path::new("/spool"), Settings::default());
    let gate = desk.gate.lock().unwrap();
    for number in 0..50 {
        desk.group.submit((number, vec![0]), 1).unwrap();
    }
    drop(gate);
    assert_eq!(desk.answers.iter().take(50).filter(|&(_, is_durable)| is_durable).count(), 50);
    let sizes = desk.commit_sizes.lock().unwrap().clone();
    assert!(sizes.len() <= 2, "{sizes:?}");
}

#[test]
fn panic_on_the_commit_thread_answers_everyone_and_ends_the_taking() {
    let sim = Sim::new(6);
    let desk = desk(sim.shared(), Path::new("/spool"), Settings::default());
    desk.group.submit((1, vec![1]), 1).unwrap();
    assert_eq!(desk.answers.recv().unwrap(), (1, true));
    let gate = desk.gate.lock().unwrap();
    for number in [2, PANIC, 3] {
        desk.group.submit((number, vec![0]), 1).unwrap();
    }
    drop(gate);
    let mut answers: Vec<_> = desk.answers.iter().collect();
    answers.sort_unstable();
    // The first of them may have been taken alone before the others came.
    assert!(answers == [(2, false), (3, false), (PANIC, false)] || answers[0] == (2, true));
    assert_eq!(answers[1..], [(3, false), (PANIC, false)]);
    assert_eq!(desk.group.submit((4, vec![0]), 1), Err(Busy::Closed));
    desk.group.close();
    let again = self::desk(sim.shared(), Path::new("/spool"), Settings::default());
    assert_eq!(again.restored.lock().unwrap()[0], 1);
}

#[test]
fn a_sealed_segment_goes_as_soon_as_it_is_shipped() {
    let dir = tempfile::tempdir().unwrap();
    let desk = desk(Arc::new(Local), dir.path(), Settings::default());
    desk.group.submit((1, b"first".to_vec()), 5).unwrap();
    assert!(desk.answers.recv().unwrap().1);
    desk.group.seal();
    let reader = Reader::new(Arc::new(Local), dir.path());
    let chunk = reader.next(None, WANT).unwrap().unwrap();
    reader.confirm(chunk.last).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while desk.group.status().bytes > 0 {
        assert!(Instant::now() < deadline, "{:?} {:?}", desk.group.status(), chunk.last);
        std::thread::sleep(Duration::from_millis(10));
    }
    desk.group.submit((2, b"second".to_vec()), 6).unwrap();
    assert!(desk.answers.recv().unwrap().1);
    let next = reader.next(Some(chunk.last), WANT).unwrap().unwrap();
    let payloads: Vec<_> = next.payloads(Kind::Events).map(|(_, p)| p.to_vec()).collect();
    assert_eq!(payloads, [b"second"]);
}
