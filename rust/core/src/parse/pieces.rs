//! A body of any size in, batches and one table of rejects out, on several threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use arrow_array::RecordBatch;

use super::{Context, ParseError, Parsed, Piece, Plan};
use crate::reject::{self, Reject};

/// Bytes of body that become one batch. Large enough for dictionaries to pay, small enough for
/// Ctrl-C to be heard; never a matter of how many threads there are.
const PIECE_BYTES: usize = 16 << 20;

/// What became of a body.
#[derive(Clone, Debug)]
pub struct Batches {
    /// The good records, in order; at least one batch.
    pub events: Vec<RecordBatch>,
    /// The bad records, in order, as [`reject::arrow`].
    pub rejects: RecordBatch,
    /// How many records there were.
    pub received: u64,
}

/// Where some lines of a longer body lie in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// Records before them.
    pub rows: u64,
    /// Bytes before them.
    pub bytes: u64,
}

/// Parse a body of any size, or lines from its middle. The result is the same for any number of
/// threads.
///
/// # Errors
///
/// As [`super::parse`], and [`ParseError::Cancelled`] once `stop` is set.
pub fn parse_batches(
    body: &[u8],
    before: Option<Before>,
    context: &Context<'_>,
    threads: usize,
    stop: &AtomicBool,
) -> Result<Batches, ParseError> {
    let plan = match before {
        None => Plan::new(body, &context.limits)?,
        Some(_) => Plan::lines(body),
    };
    let Before { rows, bytes } = before.unwrap_or_default();
    let mut pieces = plan.pieces(PIECE_BYTES);
    if pieces.is_empty() {
        pieces.push(plan.whole());
    }
    let parts = each_piece(&plan, &pieces, context, threads, stop)?;
    let (mut events, mut rejects, mut received) = (Vec::new(), Vec::new(), 0);
    for part in parts {
        events.push(part.events);
        rejects.extend(part.rejects.into_iter().map(|one| {
            let row = rows + received + u64::from(one.index);
            (row, Reject { start: bytes + one.start, stop: bytes + one.stop, ..one })
        }));
        received += u64::from(part.received);
    }
    let rejects =
        reject::arrow(&rejects).map_err(|error| ParseError::Columns(error.to_string()))?;
    Ok(Batches { events, rejects, received })
}

/// Workers take the next piece until there is none; the answers keep the order of the pieces.
fn each_piece(
    plan: &Plan<'_>,
    pieces: &[Piece],
    context: &Context<'_>,
    threads: usize,
    stop: &AtomicBool,
) -> Result<Vec<Parsed>, ParseError> {
    let next = AtomicUsize::new(0);
    let parts: Vec<_> = pieces.iter().map(|_| Mutex::new(Err(ParseError::Cancelled))).collect();
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let (Some(piece), Some(part)) = (pieces.get(index), parts.get(index)) else { break };
            let parsed = plan.parse(piece, context);
            if let Ok(mut slot) = part.lock() {
                *slot = parsed;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(pieces.len()) {
            scope.spawn(work);
        }
        work();
    });
    let taken =
        parts.into_iter().map(|part| part.into_inner().unwrap_or(Err(ParseError::Cancelled)));
    taken.collect()
}
