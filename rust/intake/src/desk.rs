//! The commit thread's work: first copies in, duplicates out, everyone answered.

use std::sync::Arc;

use unmogrowp_core::dedup::{Block, Bounds, Window};
use unmogrowp_core::row;
use unmogrowp_spool::{Commit, Kind, SpoolError, Work};

use crate::counters::{Counters, Memory};
use crate::outbox::Outbox;
use crate::prepare::{Frame, Prepared};
use crate::{Refusal, answer};

/// How often the gauges of the window are set: measuring it visits every app.
const PUBLISH_EVERY_US: u64 = 200_000;

/// Drops duplicates, writes the rest, answers.
pub(crate) struct Desk {
    window: Window,
    block: Block,
    outbox: Arc<Outbox>,
    counters: Arc<Counters>,
    published_us: i64,
}

impl Desk {
    pub(crate) fn new(
        bounds: Bounds,
        seed: u64,
        outbox: Arc<Outbox>,
        counters: Arc<Counters>,
    ) -> Self {
        let window = Window::new(bounds, seed);
        Self { window, block: Block::default(), outbox, counters, published_us: 0 }
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
            self.window.remember(&item.app_id, &item.ids, time_us, &mut first);
            for ((id, row), &is_first) in item.ids.iter().zip(&item.id_rows).zip(&first) {
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
        for item in items.iter() {
            for frame in &item.frames {
                push(item, frame, commit)?;
            }
            for (count, payload) in &item.reject_frames {
                commit.push(Kind::Rejects, *count, payload)?;
            }
        }
        Ok(())
    }

    fn complete(&mut self, items: Vec<Prepared>, result: Result<(), &SpoolError>) {
        let answers = match result {
            Ok(()) => items.iter().map(|item| self.counters.stored(item)).collect(),
            Err(error) => {
                let refusal = Refusal::unwritten(error);
                let refuse = |item: &Prepared| {
                    self.window.forget(&item.app_id, &item.fresh);
                    self.counters.answered(refusal.status);
                    answer::refused(item.token, &refusal)
                };
                items.iter().map(refuse).collect()
            }
        };
        self.outbox.put(answers);
    }

    fn settle(&mut self, now_us: i64) -> i64 {
        self.window.advance(now_us);
        if now_us.abs_diff(self.published_us) >= PUBLISH_EVERY_US {
            self.publish(now_us);
        }
        self.window.floor_us()
    }
}

/// The frame as it was prepared, or without its duplicates.
fn push(item: &Prepared, frame: &Frame, commit: &mut Commit) -> Result<(), SpoolError> {
    let from = item.duplicates.partition_point(|&row| row < frame.rows.start);
    let to = item.duplicates.partition_point(|&row| row < frame.rows.end);
    let count = frame.rows.len() - (to - from);
    let records = u32::try_from(count).unwrap_or(u32::MAX);
    match &item.events {
        Some(events) if from != to => {
            let mut duplicates = item.duplicates[from..to].iter().peekable();
            let kept = frame.rows.clone().filter(|row| duplicates.next_if_eq(&row).is_none());
            let mut payload = Vec::with_capacity(frame.payload.len());
            row::encode(events, kept, &mut payload)
                .map_err(|error| SpoolError::Unstaged { reason: error.to_string() })?;
            if count == 0 { Ok(()) } else { commit.push(Kind::Events, records, &payload) }
        }
        _ => commit.push(Kind::Events, records, &frame.payload),
    }
}
