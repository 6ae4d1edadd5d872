//! What happened since the start, counted where it happens.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use unmogrowp_core::reject::Code;

use crate::prepare::Prepared;
use crate::{Answer, answer};

/// Statuses that an intake answers; anything else counts as 500.
pub(crate) const STATUSES: [u16; 8] = [200, 400, 404, 413, 415, 429, 500, 503];

#[derive(Default)]
pub(crate) struct Counters {
    stored: AtomicU64,
    duplicate: AtomicU64,
    rejected: [AtomicU64; Code::ALL.len()],
    requests: [AtomicU64; STATUSES.len()],
    body_bytes: AtomicU64,
    decoded_bytes: AtomicU64,
    ids: AtomicU64,
    ids_bytes: AtomicU64,
    covers_us: AtomicI64,
}

/// What the duplicate window holds.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) ids: u64,
    pub(crate) bytes: u64,
    pub(crate) covers_us: i64,
}

impl Counters {
    pub(crate) fn read(&self, bytes: usize) {
        self.body_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn decoded(&self, bytes: usize) {
        self.decoded_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn answered(&self, status: u16) {
        let at = |status| STATUSES.iter().position(|&known| known == status);
        if let Some(index) = at(status).or_else(|| at(500)) {
            self.requests[index].fetch_add(1, Relaxed);
        }
    }

    /// Count a durable request and answer it.
    pub(crate) fn stored(&self, item: &Prepared) -> Answer {
        let duplicate = item.duplicates.len() as u64;
        self.stored.fetch_add(item.rows.len() as u64 - duplicate, Relaxed);
        self.duplicate.fetch_add(duplicate, Relaxed);
        for reject in &item.rejects {
            if let Some(index) = Code::ALL.iter().position(|&code| code == reject.code) {
                self.rejected[index].fetch_add(1, Relaxed);
            }
        }
        self.answered(200);
        answer::stored(item)
    }

    pub(crate) fn remember(&self, memory: Memory) {
        self.ids.store(memory.ids, Relaxed);
        self.ids_bytes.store(memory.bytes, Relaxed);
        self.covers_us.store(memory.covers_us, Relaxed);
    }

    pub(crate) fn memory(&self) -> Memory {
        Memory {
            ids: self.ids.load(Relaxed),
            bytes: self.ids_bytes.load(Relaxed),
            covers_us: self.covers_us.load(Relaxed),
        }
    }

    pub(crate) fn events_stored(&self) -> u64 {
        self.stored.load(Relaxed)
    }

    pub(crate) fn events_duplicate(&self) -> u64 {
        self.duplicate.load(Relaxed)
    }

    pub(crate) fn events_rejected(&self) -> impl Iterator<Item = (Code, u64)> {
        Code::ALL.into_iter().zip(&self.rejected).map(|(code, count)| (code, count.load(Relaxed)))
    }

    pub(crate) fn requests(&self) -> impl Iterator<Item = (u16, u64)> {
        STATUSES.into_iter().zip(&self.requests).map(|(s, count)| (s, count.load(Relaxed)))
    }

    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes.load(Relaxed)
    }

    pub(crate) fn decoded_bytes(&self) -> u64 {
        self.decoded_bytes.load(Relaxed)
    }
}
