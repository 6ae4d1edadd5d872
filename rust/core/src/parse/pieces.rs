//! A body of any size in, batches and one table of rejects out, on several threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use arrow_array::RecordBatch;

use super::{Context, ParseError, Parsed, Piece, Plan};
use crate::reject::{self, Reject};

/// Bytes of body that become one batch. Large enough for dictionaries to pay, small enough for
/// Ctrl-C to be heard; never a matter of how many threads there are.
pub(crate) const PIECE_BYTES: usize = 16 << 20;

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

/// Parse a body of any size. The result is the same for any number of threads.
///
/// # Errors
///
/// As [`super::parse`], and [`ParseError::Cancelled`] once `stop` is set.
pub fn parse_batches(
    body: &[u8],
    context: &Context<'_>,
    threads: usize,
    stop: &AtomicBool,
) -> Result<Batches, ParseError> {
    let part = Part::parse(&Plan::new(body, &context.limits)?, context, threads, stop)?;
    Part::join(vec![part], &mut Before::default())
}

/// What became of some consecutive records; places count from their start.
#[derive(Debug)]
pub(crate) struct Part {
    events: Vec<RecordBatch>,
    rejects: Vec<(u64, Reject)>,
    received: u64,
    bytes: u64,
}

impl Part {
    pub(crate) fn parse(
        plan: &Plan<'_>,
        context: &Context<'_>,
        threads: usize,
        stop: &AtomicBool,
    ) -> Result<Self, ParseError> {
        let mut pieces = plan.pieces(PIECE_BYTES);
        if pieces.is_empty() {
            pieces.push(plan.whole());
        }
        let (mut events, mut rejects, mut received) = (Vec::new(), Vec::new(), 0);
        for parsed in each_piece(plan, &pieces, context, threads, stop)? {
            events.push(parsed.events);
            let row = |reject: &Reject| received + u64::from(reject.index);
            rejects.extend(parsed.rejects.into_iter().map(|reject| (row(&reject), reject)));
            received += u64::from(parsed.received);
        }
        Ok(Self { events, rejects, received, bytes: plan.body.len() as u64 })
    }

    /// Parts that follow each other as one; `before` moves behind them.
    pub(crate) fn join(parts: Vec<Self>, before: &mut Before) -> Result<Batches, ParseError> {
        let (mut events, mut rejects, mut received) = (Vec::new(), Vec::new(), 0);
        for part in parts {
            let Before { rows, bytes } = *before;
            events.extend(part.events);
            rejects.extend(part.rejects.into_iter().map(|(row, one)| {
                (rows + row, Reject { start: bytes + one.start, stop: bytes + one.stop, ..one })
            }));
            received += part.received;
            *before = Before { rows: rows + part.received, bytes: bytes + part.bytes };
        }
        let rejects =
            reject::arrow(&rejects).map_err(|error| ParseError::Columns(error.to_string()))?;
        Ok(Batches { events, rejects, received })
    }
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
