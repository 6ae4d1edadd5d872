//! How many events each key may send a second: a token bucket per key.
//!
//! What a request holds is known only once it is parsed, so that a bucket may fall into debt: a
//! request is let in while one event may be sent, and the next one waits until the debt is paid.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Seconds of its rate that a key may send at once.
const BURST_S: i64 = 2;
/// Keys known at once. Those that have been silent for a burst are forgotten without loss.
const KEYS_MAX: usize = 10_000;
const SECOND_US: i64 = 1_000_000;

/// Millionths of an event at `rate` events a second: what a microsecond brings is `rate` of them.
type Tokens = i128;
const EVENT: Tokens = 1_000_000;

#[derive(Clone, Copy)]
struct Bucket {
    tokens: Tokens,
    at_us: i64,
}

/// The buckets of all keys.
pub(crate) struct Buckets {
    rate: i64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

impl Buckets {
    /// Of so many events a second; 0 lets everything in.
    pub(crate) fn new(events_per_s: u32) -> Self {
        Self { rate: i64::from(events_per_s), buckets: Mutex::default() }
    }

    fn full(&self) -> Tokens {
        Tokens::from(self.rate) * Tokens::from(BURST_S * SECOND_US)
    }

    /// Let a request of `key` in, or say after how many seconds it may come back.
    pub(crate) fn admit(&self, key: &str, now_us: i64) -> Result<(), u32> {
        if self.rate == 0 {
            return Ok(());
        }
        let missing = EVENT - self.with(key, now_us, |bucket| bucket.tokens);
        if missing <= 0 {
            return Ok(());
        }
        let second = Tokens::from(self.rate) * EVENT;
        Err(u32::try_from((missing + second - 1) / second).unwrap_or(u32::MAX))
    }

    /// Take what a request of `key` turned out to hold.
    pub(crate) fn charge(&self, key: &str, now_us: i64, events: u32) {
        if self.rate > 0 {
            self.with(key, now_us, |bucket| bucket.tokens -= Tokens::from(events) * EVENT);
        }
    }

    fn with<T>(&self, key: &str, now_us: i64, use_it: impl FnOnce(&mut Bucket) -> T) -> T {
        let full = self.full();
        let refilled = |bucket: &Bucket| {
            // A clock that was set back brings nothing and takes nothing.
            let passed_us = now_us.saturating_sub(bucket.at_us).max(0);
            (bucket.tokens + Tokens::from(self.rate) * Tokens::from(passed_us)).min(full)
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= KEYS_MAX && !buckets.contains_key(key) {
            buckets.retain(|_, bucket| refilled(bucket) < full);
        }
        let bucket = buckets
            .entry(key.to_owned())
            .and_modify(|bucket| {
                bucket.tokens = refilled(bucket);
                bucket.at_us = now_us;
            })
            .or_insert(Bucket { tokens: full, at_us: now_us });
        use_it(bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_send_its_burst_and_then_its_rate() {
        let buckets = Buckets::new(100);
        assert_eq!(buckets.admit("a", 0), Ok(()));
        buckets.charge("a", 0, 199);
        assert_eq!(buckets.admit("a", 0), Ok(()));
        buckets.charge("a", 0, 1);
        assert_eq!(buckets.admit("a", 0), Err(1));
        assert_eq!(buckets.admit("a", 9_999), Err(1), "not yet a whole event");
        assert_eq!(buckets.admit("a", 10_000), Ok(()));
        assert_eq!(buckets.admit("b", 0), Ok(()), "another key has a bucket of its own");
    }

    #[test]
    fn a_large_request_is_paid_for_afterwards() {
        let buckets = Buckets::new(100);
        buckets.charge("a", 0, 1_200);
        assert_eq!(buckets.admit("a", 0), Err(11));
        assert_eq!(buckets.admit("a", 9 * SECOND_US), Err(2));
        assert_eq!(buckets.admit("a", 10 * SECOND_US + 10_000), Ok(()));
    }

    #[test]
    fn a_bucket_never_holds_more_than_its_burst() {
        let buckets = Buckets::new(10);
        buckets.charge("a", 0, 1);
        buckets.charge("a", i64::MAX, 20);
        assert_eq!(buckets.admit("a", i64::MAX), Err(1));
    }

    #[test]
    fn a_clock_that_is_set_back_costs_nothing() {
        let buckets = Buckets::new(10);
        buckets.charge("a", 100 * SECOND_US, 10);
        assert_eq!(buckets.admit("a", 0), Ok(()));
        buckets.charge("a", 0, 10);
        assert_eq!(buckets.admit("a", 0), Err(1));
    }

    #[test]
    fn silent_keys_are_forgotten_and_indebted_ones_are_not() {
        let buckets = Buckets::new(1);
        buckets.charge("debtor", 0, 1_000_000);
        for key in 0..2 * KEYS_MAX {
            let _ = buckets.admit(&key.to_string(), 0);
        }
        assert!(buckets.buckets.lock().unwrap().len() <= KEYS_MAX);
        assert!(buckets.admit("debtor", 0).is_err());
    }

    #[test]
    fn without_a_rate_everything_is_let_in() {
        let buckets = Buckets::new(0);
        buckets.charge("a", 0, u32::MAX);
        assert_eq!(buckets.admit("a", 0), Ok(()));
    }
}
