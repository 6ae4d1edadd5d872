//! Group commit: many threads submit, one thread commits. There is no timer: each commit takes
//! whatever was queued while the one before it was synced.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Attempt, SpoolError};
use crate::shelf::{Shelf, Status};
use crate::{Commit, Disk, Settings, Spool, Stats};

/// How often shipped segments are looked for.
const TIDY_EVERY: Duration = Duration::from_millis(250);

/// How often an idle commit thread lets its work settle.
const SETTLE_EVERY: Duration = Duration::from_secs(1);

/// What is done to items around a commit, on the commit thread.
pub trait Work: Send + 'static {
    /// What is queued.
    type Item: Send + 'static;

    /// Take the ids of a commit that the spool holds. Called before anything else, oldest first.
    fn restore(&mut self, time_us: i64, ids: &[u8]);

    /// Turn items into frames, in the order they were queued.
    ///
    /// # Errors
    /// Then nothing is written and all of the items fail.
    fn stage(&mut self, items: &mut [Self::Item], commit: &mut Commit) -> Result<(), SpoolError>;

    /// Answer items: durable, or failed and then nothing of them counts.
    fn complete(&mut self, items: Vec<Self::Item>, result: Result<(), &SpoolError>);

    /// After all ids are restored, after each commit, and now and then in between. Ids that were
    /// committed before the returned time are not needed any more.
    fn settle(&mut self, now_us: i64) -> i64;
}

/// Why an item is not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// As many items or bytes wait as may.
    Queue,
    /// The spool is as large as it may be.
    Full,
    /// The spool is closed, or its thread ended.
    Closed,
}

struct Queue<I> {
    items: VecDeque<(I, usize)>,
    /// Of items that wait or are being committed.
    bytes: usize,
    /// Whether the newest segment is to be sealed before anything else is written.
    is_sealing: bool,
    is_closed: bool,
}

struct Shared<I> {
    queue: Mutex<Queue<I>>,
    ready: Condvar,
    shelf: Arc<Shelf>,
    stats: Arc<Stats>,
    settings: Settings,
    bytes_max: u64,
}

impl<I> Shared<I> {
    fn queue(&self) -> MutexGuard<'_, Queue<I>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the next commit takes, waiting a while for the first item; none once closed and
    /// drained.
    fn take(&self) -> Option<(Vec<I>, usize)> {
        let queue = self.queue();
        let wait = |q: &mut Queue<I>| q.items.is_empty() && !q.is_closed && !q.is_sealing;
        let waited = self.ready.wait_timeout_while(queue, SETTLE_EVERY, wait);
        drop(waited);
        // Whoever is about to queue more goes first where they share a core: fewer, larger commits.
        thread::yield_now();
        let mut queue = self.queue();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < self.settings.commit_bytes_max
            && let Some((item, weight)) = queue.items.pop_front()
        {
            taken.push(item);
            bytes += weight;
        }
        (!taken.is_empty() || !queue.is_closed).then_some((taken, bytes))
    }
}

/// Closes the queue when the commit thread ends, for whatever reason.
struct Closing<I>(Arc<Shared<I>>);

impl<I> Closing<I> {
    /// What waits, after which nothing is taken.
    fn last_items(&self) -> Vec<I> {
        let mut queue = self.0.queue();
        queue.is_closed = true;
        queue.bytes = 0;
        queue.items.drain(..).map(|(item, _)| item).collect()
    }
}

impl<I> Drop for Closing<I> {
    fn drop(&mut self) {
        drop(self.last_items());
    }
}

/// A spool with its threads.
pub struct Group<W: Work> {
    shared: Arc<Shared<W::Item>>,
    stop: Arc<(Mutex<bool>, Condvar)>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl<W: Work> Group<W> {
    /// Open the spool in `dir` and start its threads.
    ///
    /// # Errors
    /// Another owner, or a disk that refuses.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        settings: Settings,
        mut work: W,
    ) -> Result<Self, SpoolError> {
        let spool = Spool::open(disk, dir, &settings, &mut |time_us, ids| {
            work.restore(time_us, ids);
        })?;
        spool.forget_before(work.settle(now_us()));
        let queue = Queue { items: VecDeque::new(), bytes: 0, is_sealing: false, is_closed: false };
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            ready: Condvar::new(),
            shelf: spool.shelf(),
            stats: spool.stats(),
            bytes_max: spool.bytes_max(),
            settings,
        });
        let group = Self { shared, stop: Arc::default(), threads: Mutex::default() };
        group.start(dir, "spool-commit", {
            let shared = group.shared.clone();
            move || run(&shared, spool, work)
        })?;
        group.start(dir, "spool-tidy", {
            let (shared, stop) = (group.shared.clone(), group.stop.clone());
            move || keep(&shared, &stop)
        })?;
        Ok(group)
    }

    fn start(
        &self,
        dir: &Path,
        name: &str,
        run: impl FnOnce() + Send + 'static,
    ) -> Result<(), SpoolError> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run);
        let thread = thread.attempt("start a thread for", dir)?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// Queue an item that takes about `bytes`.
    ///
    /// # Errors
    /// No room; the item is dropped and nothing of it was or will be written.
    pub fn submit(&self, item: W::Item, bytes: usize) -> Result<(), Busy> {
        let shared = &self.shared;
        let mut queue = shared.queue();
        let waiting = queue.bytes + bytes;
        let is_lone = queue.bytes == 0;
        if queue.is_closed {
            return Err(Busy::Closed);
        }
        if shared.shelf.bytes() + waiting as u64 > shared.bytes_max {
            return Err(Busy::Full);
        }
        let settings = &shared.settings;
        let is_long = queue.items.len() >= settings.queue_items_max;
        if is_long || (waiting > settings.queue_bytes_max && !is_lone) {
            return Err(Busy::Queue);
        }
        queue.bytes = waiting;
        queue.items.push_back((item, bytes));
        drop(queue);
        shared.ready.notify_one();
        Ok(())
    }

    /// Seal the newest segment soon, however small it is, so that it can go once it is shipped.
    pub fn seal(&self) {
        self.shared.queue().is_sealing = true;
        self.shared.ready.notify_one();
    }

    /// What the spool holds.
    pub fn status(&self) -> Status {
        self.shared.shelf.status(self.shared.bytes_max)
    }

    /// Items that wait.
    pub fn queued(&self) -> usize {
        self.shared.queue().items.len()
    }

    /// Whether items are still taken.
    pub fn is_open(&self) -> bool {
        !self.shared.queue().is_closed
    }

    /// Counters.
    pub fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// Refuse new items, commit those that wait, release the directory.
    pub fn close(&self) {
        self.shared.queue().is_closed = true;
        self.shared.ready.notify_all();
        *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.1.notify_all();
        let threads: Vec<_> =
            self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        for thread in threads {
            // A thread that panicked has closed the queue: there is nothing left to say.
            drop(thread.join());
        }
    }
}

impl<W: Work> Drop for Group<W> {
    fn drop(&mut self) {
        self.close();
    }
}

fn run<W: Work>(shared: &Arc<Shared<W::Item>>, mut spool: Spool, mut work: W) {
    let closing = Closing(shared.clone());
    let mut commit = Commit::default();
    while let Some((mut items, bytes)) = shared.take() {
        if std::mem::take(&mut shared.queue().is_sealing) {
            spool.seal();
        }
        if items.is_empty() {
            spool.forget_before(work.settle(now_us()));
            continue;
        }
        commit.reset(now_us());
        let made = catch_unwind(AssertUnwindSafe(|| {
            work.stage(&mut items, &mut commit)?;
            if commit.is_empty() { Ok(()) } else { spool.append(&mut commit).map(drop) }
        }));
        let Ok(result) = made else {
            items.extend(closing.last_items());
            work.complete(items, Err(&panicked()));
            return;
        };
        work.complete(items, result.as_ref().copied());
        shared.queue().bytes -= bytes;
        spool.forget_before(work.settle(now_us()));
    }
}

fn panicked() -> SpoolError {
    SpoolError::Unstaged { reason: "the commit thread ended with a panic".to_owned() }
}

/// Tidies apart from the commit thread, so that copying ids delays no answer.
fn keep<I>(shared: &Shared<I>, stop: &(Mutex<bool>, Condvar)) {
    let mut stopped = stop.0.lock().unwrap_or_else(PoisonError::into_inner);
    while !*stopped {
        drop(stopped);
        if shared.shelf.tidy().is_err() {
            shared.stats.untidy();
        }
        let guard = stop.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *guard {
            break;
        }
        let waited = stop.1.wait_timeout(guard, TIDY_EVERY);
        stopped = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
