//! A request body in, durable events and an answer out.
//!
//! `body ─decompress─inlet─parse─mint→ prepared`
//! `prepared ─queue→ commit thread: first copies ─spool→ answers`
//!
//! Everything up to the queue runs on the caller's thread. The commit thread drops duplicates,
//! writes and syncs, then leaves the answers in an outbox and rings once.

mod answer;
mod bucket;
mod counters;
mod desk;
mod metrics;
mod mint;
mod outbox;
mod prepare;
mod request;
pub mod shipping;

use std::path::Path;
use std::sync::Arc;

use unmogrowp_core::dedup::Bounds;
use unmogrowp_core::limits::Limits;
use unmogrowp_spool::{Disk, Group, SpoolError};

pub use answer::Answer;
pub use outbox::Outbox;
pub use request::{Inlet, Refusal, Request};
pub use unmogrowp_core::dedup;
pub use unmogrowp_spool::{self as spool, Status as SpoolStatus};

use bucket::Buckets;
use counters::Counters;
use desk::Desk;
use mint::Mint;
use outbox::Return;

/// How an intake is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bounds on one request.
    pub limits: Limits,
    /// Events that each key may send a second; 0: as many as it likes.
    pub key_events_per_s: u32,
    /// What the duplicate window holds.
    pub window: Bounds,
    /// The spool under it.
    pub spool: spool::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        let window = Bounds { ids_max: 10_000_000, window_us: 24 * 3_600 * 1_000_000 };
        Self {
            limits: Limits::default(),
            key_events_per_s: 0,
            window,
            spool: spool::Settings::default(),
        }
    }
}

/// What an intake holds and knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The spool under it.
    pub spool: SpoolStatus,
    /// Requests that wait for their commit.
    pub queued: usize,
    /// Ids that it would know again.
    pub ids: u64,
    /// Memory that they take.
    pub ids_memory_bytes: u64,
    /// How far back it knows every id.
    pub window_covers_us: i64,
    /// Whether it takes requests.
    pub is_open: bool,
}

/// Takes requests from any thread and answers them once their events are durable.
pub struct Intake {
    group: Group<Desk>,
    counters: Arc<Counters>,
    mint: Mint,
    buckets: Buckets,
    limits: Limits,
}

impl Intake {
    /// Own the spool in `dir` and remember the ids it knows.
    ///
    /// # Errors
    /// Another owner, or a disk that refuses.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, settings: Settings) -> Result<Self, SpoolError> {
        let counters = Arc::new(Counters::default());
        let seed = disk.entropy();
        let desk = Desk::new(settings.window, seed, counters.clone());
        let mint = Mint::new([disk.entropy(), disk.entropy()]);
        let group = Group::open(disk, dir, settings.spool, desk)?;
        let buckets = Buckets::new(settings.key_events_per_s);
        Ok(Self { group, counters, mint, buckets, limits: settings.limits })
    }

    /// Take a request; its answer comes to `outbox`, once and with `token`.
    ///
    /// # Errors
    /// The answer at once: nothing of the request is or will be stored.
    pub fn submit(
        &self,
        outbox: &Arc<Outbox>,
        token: u64,
        request: &Request<'_>,
    ) -> Result<(), Refusal> {
        self.try_submit(Return { outbox: outbox.clone(), token }, request)
            .inspect_err(|refusal| self.counters.answered(refusal.status))
    }

    fn try_submit(&self, back: Return, request: &Request<'_>) -> Result<(), Refusal> {
        self.counters.read(request.body.len());
        let now_us = request.received_at_us;
        self.buckets.admit(request.key_id, now_us).map_err(Refusal::too_fast)?;
        let prepared = prepare::prepare(back, request, &self.limits, &self.mint)?;
        self.counters.decoded(prepared.decoded_bytes);
        self.buckets.charge(request.key_id, now_us, prepared.received);
        if prepared.is_empty() {
            self.counters.answered(200);
            let answer = answer::stored(&prepared);
            outbox::deliver([(&prepared.back, answer)].into_iter());
            return Ok(());
        }
        let bytes = prepared.weight();
        self.group.submit(prepared, bytes).map_err(Refusal::busy)
    }

    /// Let all that was taken so far leave the spool as soon as it is shipped.
    pub fn seal(&self) {
        self.group.seal();
    }

    /// What it holds and knows.
    pub fn status(&self) -> Status {
        let memory = self.counters.memory();
        Status {
            spool: self.group.status(),
            queued: self.group.queued(),
            ids: memory.ids,
            ids_memory_bytes: memory.bytes,
            window_covers_us: memory.covers_us,
            is_open: self.group.is_open(),
        }
    }

    /// Whether it takes requests.
    pub fn is_open(&self) -> bool {
        self.group.is_open()
    }

    /// Counters and gauges as Prometheus reads them.
    pub fn metrics(&self) -> String {
        metrics::render(&self.counters, self.group.stats(), &self.status())
    }

    /// Refuse new requests, answer those that wait and release the directory.
    pub fn close(&self) {
        self.group.close();
    }
}
