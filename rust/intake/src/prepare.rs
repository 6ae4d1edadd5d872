//! A body as sent in, frames ready for the spool out. Runs on the caller's thread.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, FixedSizeBinaryArray, RecordBatch};
use unmogrowp_core::dedup::Id;
use unmogrowp_core::limits::Limits;
use unmogrowp_core::parse::{Context, ip, parse};
use unmogrowp_core::reject::Reject;
use unmogrowp_core::schema::{self, at};
use unmogrowp_core::{decompress, inlet, row};
use unmogrowp_spool::PAYLOAD_BYTES_MAX;

use crate::mint::Mint;
use crate::{Inlet, Refusal, Request};

/// About how large a frame of events is. Readers take whole frames.
const FRAME_BYTES: usize = 1 << 20;
/// What an item takes besides its payloads.
const ITEM_BYTES: usize = 512;

/// Some consecutive rows of a request, encoded.
pub(crate) struct Frame {
    pub(crate) rows: Range<usize>,
    pub(crate) payload: Vec<u8>,
}

/// A request on its way to the disk.
pub(crate) struct Prepared {
    pub(crate) token: u64,
    pub(crate) app_id: String,
    pub(crate) received: u32,
    pub(crate) decoded_bytes: usize,
    pub(crate) frames: Vec<Frame>,
    /// Rejects with the number of records in each payload.
    pub(crate) reject_frames: Vec<(u32, Vec<u8>)>,
    pub(crate) rejects: Vec<Reject>,
    /// The events, where duplicates among them are possible.
    pub(crate) events: Option<RecordBatch>,
    /// Ids that clients gave, and the row of each.
    pub(crate) ids: Vec<Id>,
    pub(crate) id_rows: Vec<usize>,
    /// Set by the commit thread: rows that are no first copy, ascending.
    pub(crate) duplicates: Vec<usize>,
    /// Set by the commit thread: ids that are.
    pub(crate) fresh: Vec<Id>,
}

impl Prepared {
    pub(crate) fn rows(&self) -> usize {
        self.frames.last().map_or(0, |frame| frame.rows.end)
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.reject_frames.is_empty()
    }

    /// About the bytes it will take in the spool.
    pub(crate) fn weight(&self) -> usize {
        let events = self.frames.iter().map(|frame| frame.payload.len());
        let rejects = self.reject_frames.iter().map(|(_, payload)| payload.len());
        events.chain(rejects).sum::<usize>() + self.ids.len() * size_of::<Id>() + ITEM_BYTES
    }
}

/// Everything that needs no disk and no other request.
pub(crate) fn prepare(
    token: u64,
    request: &Request<'_>,
    limits: &Limits,
    mint: &Mint,
) -> Result<Prepared, Refusal> {
    if request.body.len() > limits.body_bytes {
        return Err(Refusal::too_large("body", request.body.len(), limits.body_bytes));
    }
    let plain = decompress::decompress(request.body, request.encoding, limits)?;
    let (body, limits) = translate(request, plain, limits)?;
    if body.is_empty() && request.inlet != Inlet::Native {
        return Ok(nothing(token, request));
    }
    let context = Context {
        app_id: Some(request.app_id),
        received_at_us: Some(request.received_at_us),
        truncate_ip: request.truncate_ip,
        limits,
    };
    let parsed = parse(&body, &context)?;
    let (events, ids, id_rows) = identify(parsed.events, request.received_at_us, mint)?;
    let frames = encode(&events, body.len())?;
    let reject_frames = encode_rejects(request, &parsed.rejects, &body, &limits);
    let payloads = frames.iter().map(|f| &f.payload).chain(reject_frames.iter().map(|(_, p)| p));
    if let Some(bytes) = payloads.map(Vec::len).find(|&bytes| bytes > PAYLOAD_BYTES_MAX) {
        return Err(Refusal::too_large("encoded request", bytes, PAYLOAD_BYTES_MAX));
    }
    Ok(Prepared {
        received: parsed.received,
        decoded_bytes: body.len(),
        frames,
        reject_frames,
        rejects: parsed.rejects,
        events: (!ids.is_empty()).then_some(events),
        ids,
        id_rows,
        ..nothing(token, request)
    })
}

fn nothing(token: u64, request: &Request<'_>) -> Prepared {
    Prepared {
        token,
        app_id: request.app_id.to_owned(),
        received: 0,
        decoded_bytes: 0,
        frames: Vec::new(),
        reject_frames: Vec::new(),
        rejects: Vec::new(),
        events: None,
        ids: Vec::new(),
        id_rows: Vec::new(),
        duplicates: Vec::new(),
        fresh: Vec::new(),
    }
}

/// The body in our words. What an SDK sent was measured before it grew.
fn translate<'a>(
    request: &Request<'_>,
    plain: Cow<'a, [u8]>,
    limits: &Limits,
) -> Result<(Cow<'a, [u8]>, Limits), Refusal> {
    let received_at_us = request.received_at_us;
    let body = match request.inlet {
        Inlet::Native => return Ok((plain, *limits)),
        Inlet::Segment(call) => inlet::segment(call, &plain, received_at_us, limits)?,
        Inlet::PostHog => inlet::posthog(&plain, received_at_us, limits)?,
    };
    Ok((Cow::Owned(body), Limits { decompressed_bytes: usize::MAX, ..*limits }))
}

type Identified = (RecordBatch, Vec<Id>, Vec<usize>);

/// The events with an id each, and the ids that clients gave.
fn identify(events: RecordBatch, received_at_us: i64, mint: &Mint) -> Result<Identified, Refusal> {
    let column = events.column(at::EVENT_ID).as_fixed_size_binary();
    let (mut ids, mut rows) = (Vec::new(), Vec::new());
    let mut all = Vec::with_capacity(column.len());
    for row in 0..column.len() {
        let given = column.is_valid(row).then(|| Id::try_from(column.value(row)).ok()).flatten();
        if let Some(id) = given {
            ids.push(id);
            rows.push(row);
        }
        all.push(given.unwrap_or_else(|| mint.id(received_at_us)));
    }
    if ids.len() == all.len() {
        return Ok((events, ids, rows));
    }
    let filled =
        FixedSizeBinaryArray::try_from_iter(all.iter()).map_err(|error| Refusal::bug(&error))?;
    let mut columns = events.columns().to_vec();
    columns[at::EVENT_ID] = Arc::new(filled);
    let events =
        RecordBatch::try_new(schema::arrow(), columns).map_err(|error| Refusal::bug(&error))?;
    Ok((events, ids, rows))
}

fn encode(events: &RecordBatch, body_bytes: usize) -> Result<Vec<Frame>, Refusal> {
    let rows = events.num_rows();
    let per_frame = (rows * FRAME_BYTES / body_bytes.max(1)).max(1);
    let mut frames = Vec::with_capacity(rows.div_ceil(per_frame));
    for start in (0..rows).step_by(per_frame) {
        let rows = start..rows.min(start + per_frame);
        let mut payload = Vec::with_capacity(body_bytes.min(FRAME_BYTES) / 2);
        row::encode(events, rows.clone(), &mut payload).map_err(|error| Refusal::bug(&error))?;
        frames.push(Frame { rows, payload });
    }
    Ok(frames)
}

fn encode_rejects(
    request: &Request<'_>,
    rejects: &[Reject],
    body: &[u8],
    limits: &Limits,
) -> Vec<(u32, Vec<u8>)> {
    let raw = |reject: &Reject| {
        let at = |byte| usize::try_from(byte).unwrap_or(usize::MAX);
        let (start, stop) = (at(reject.start), at(reject.stop));
        let stop = stop.min(start.saturating_add(limits.reject_raw_bytes));
        let raw = body.get(start..stop).unwrap_or_default();
        if request.truncate_ip { ip::truncated(raw) } else { Cow::Borrowed(raw) }
    };
    let kept: Vec<_> = rejects.iter().map(|reject| (reject, raw(reject))).collect();
    let bytes: usize = kept.iter().map(|(_, raw)| raw.len()).sum();
    let per_frame = (kept.len() * FRAME_BYTES / bytes.max(1)).max(1);
    let frame = |kept: &[(&Reject, Cow<'_, [u8]>)]| {
        let mut payload = Vec::new();
        let raws = kept.iter().map(|(reject, raw)| (*reject, &**raw));
        row::encode_rejects(request.app_id, request.received_at_us, raws, &mut payload);
        (u32::try_from(kept.len()).unwrap_or(u32::MAX), payload)
    };
    kept.chunks(per_frame).map(frame).collect()
}
