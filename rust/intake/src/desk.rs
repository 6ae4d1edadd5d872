//! The commit thread's work: first copies in, duplicates out, everyone answered.

use std::sync::Arc;

use unmogrowp_core::dedup::{Block, Bounds, Window};
use unmogrowp_core::row;
use unmogrowp_spool::{Commit, Kind, SpoolError, Work};

use crate::counters::{Counters, Memory};
use crate::outbox;
use crate::prepare::{FRAME_BYTES, Prepared};
use crate::{Refusal, answer};

/// How often the gauges of the window are set: measuring it visits every app.
const PUBLISH_EVERY_US: u64 = 200_000;

/// Drops duplicates, writes the rest, answers.
pub(crate) struct Desk {
    window: Window,
    block: Block,
    counters: Arc<Counters>,
    published_us: i64,
}

impl Desk {
    pub(crate) fn new(bounds: Bounds, seed: u64, counters: Arc<Counters>) -> Self {
        let window = Window::new(bounds, seed);
        Self { window, block: Block::default(), counters, published_us: 0 }
    }

    fn publish(&mut self, now_us: i64) {
        self.published_us = now_us;
        self.counters.remember(Memory {
            ids: self.window.len() as u64,
            bytes: self.window.bytes() as u64,
            covers_us: self.window.covers_us(now_us),
        });
    }

    /// Which rows are first copies, over all items of the commit in order.
    fn sift(&mut self, items: &mut [Prepared], time_us: i64) {
        let mut first = Vec::new();
        self.window.advance(time_us);
        self.block.clear();
        for item in items {
            first.clear();
            let ids = item.rows.ids();
            self.window.remember(&item.app_id, ids, time_us, &mut first);
            for ((id, row), &is_first) in ids.iter().zip(item.rows.id_rows()).zip(&first) {
                if is_first {
                    item.fresh.push(*id);
                } else {
                    item.duplicates.push(*row);
                }
            }
            self.block.push(&item.app_id, &item.fresh);
        }
    }
}

impl Work for Desk {
    type Item = Prepared;

    fn restore(&mut self, time_us: i64, ids: &[u8]) {
        // A data directory of a newer version is refused before it comes to this.
        let _ = self.window.restore(time_us, ids);
    }

    fn stage(&mut self, items: &mut [Prepared], commit: &mut Commit) -> Result<(), SpoolError> {
        self.sift(items, commit.time_us());
        if self.block.count() > 0 {
            commit.push(Kind::Ids, self.block.count(), self.block.bytes())?;
        }
        push_events(items, commit)?;
        for item in items.iter() {
            for (count, payload) in &item.reject_frames {
                commit.push(Kind::Rejects, *count, payload)?;
            }
        }
        Ok(())
    }

    fn complete(&mut self, items: Vec<Prepared>, result: Result<(), &SpoolError>) {
        let refusal = result.err().map(Refusal::unwritten);
        outbox::deliver(items.iter().map(|item| {
            let Some(refusal) = &refusal else {
                return (&item.back, self.counters.stored(item));
            };
            self.window.forget(&item.app_id, &item.fresh);
            self.counters.answered(refusal.status);
            (&item.back, answer::refused(item.back.token, refusal))
        }));
    }

    fn settle(&mut self, now_us: i64) -> i64 {
        self.window.advance(now_us);
        if now_us.abs_diff(self.published_us) >= PUBLISH_EVERY_US {
            self.publish(now_us);
        }
        self.window.floor_us()
    }
}

/// The first copies of all items. Groups stand alone, so that small requests share a frame.
fn push_events(items: &[Prepared], commit: &mut Commit) -> Result<(), SpoolError> {
    let runs = items.iter().flat_map(|item| item.rows.runs(&item.duplicates));
    let runs: Vec<_> = runs
        .collect::<Result<_, _>>()
        .map_err(|error| SpoolError::Unstaged { reason: error.to_string() })?;
    let mut runs = runs.iter().peekable();
    while runs.peek().is_some() {
        commit.push_with(Kind::Events, |out| {
            let start = out.len();
            out.push(row::ROWS_VERSION);
            let mut count = 0;
            while let Some((rows, bytes)) = runs
                .next_if(|(_, bytes)| count == 0 || out.len() - start + bytes.len() <= FRAME_BYTES)
            {
                out.extend_from_slice(bytes);
                count += rows;
            }
            count
        })?;
    }
    Ok(())
}
