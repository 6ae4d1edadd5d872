//! Counters of the commit thread, readable from any other.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the sync histogram, in microseconds; one more bucket has none.
pub const SYNC_BOUNDS_US: [u64; 12] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000];

/// What the commit thread did since it started.
#[derive(Debug, Default)]
pub struct Stats {
    commits: AtomicU64,
    failures: AtomicU64,
    unpublished: AtomicU64,
    untidy: AtomicU64,
    committed_bytes: AtomicU64,
    sync_us: AtomicU64,
    buckets: [AtomicU64; SYNC_BOUNDS_US.len() + 1],
}

/// How long syncs took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sync {
    /// Syncs in each bucket; bounds are [`SYNC_BOUNDS_US`].
    pub buckets: [u64; SYNC_BOUNDS_US.len() + 1],
    /// All of them together, in microseconds.
    pub total_us: u64,
}

impl Stats {
    /// Commits that became durable.
    pub fn commits(&self) -> u64 {
        self.commits.load(Relaxed)
    }

    /// Commits that failed; nothing of them was acknowledged.
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Durable commits that readers could not be told of at once.
    pub fn publish_failures(&self) -> u64 {
        self.unpublished.load(Relaxed)
    }

    /// Rounds in which shipped segments could not be removed.
    pub fn tidy_failures(&self) -> u64 {
        self.untidy.load(Relaxed)
    }

    /// Bytes that became durable.
    pub fn committed_bytes(&self) -> u64 {
        self.committed_bytes.load(Relaxed)
    }

    /// How long syncs took.
    pub fn sync(&self) -> Sync {
        let mut sync = Sync { total_us: self.sync_us.load(Relaxed), ..Sync::default() };
        for (count, bucket) in sync.buckets.iter_mut().zip(&self.buckets) {
            *count = bucket.load(Relaxed);
        }
        sync
    }

    pub(crate) fn committed(&self, bytes: u64) {
        self.commits.fetch_add(1, Relaxed);
        self.committed_bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    pub(crate) fn unpublished(&self) {
        self.unpublished.fetch_add(1, Relaxed);
    }

    pub(crate) fn untidy(&self) {
        self.untidy.fetch_add(1, Relaxed);
    }

    pub(crate) fn synced(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = SYNC_BOUNDS_US.partition_point(|&bound| bound < us);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sync_us.fetch_add(us, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{SYNC_BOUNDS_US, Stats, Sync};

    #[test]
    fn each_counter_counts_its_own() {
        let stats = Stats::default();
        stats.committed(5);
        stats.committed(7);
        (0..3).for_each(|_| stats.failed());
        (0..4).for_each(|_| stats.unpublished());
        (0..5).for_each(|_| stats.untidy());
        assert_eq!((stats.commits(), stats.committed_bytes()), (2, 12));
        assert_eq!((stats.failures(), stats.publish_failures(), stats.tidy_failures()), (3, 4, 5));
    }

    #[test]
    fn syncs_fall_into_buckets_by_upper_bounds() {
        let stats = Stats::default();
        let long = SYNC_BOUNDS_US[11] + 1;
        for us in [0, 100, 101, 250, 1_000_000, long] {
            stats.synced(Duration::from_micros(us));
        }
        let mut expected = Sync { total_us: 451 + 1_000_000 + long, ..Sync::default() };
        (expected.buckets[0], expected.buckets[1]) = (2, 2);
        (expected.buckets[11], expected.buckets[12]) = (1, 1);
        assert_eq!(stats.sync(), expected);
    }
}
