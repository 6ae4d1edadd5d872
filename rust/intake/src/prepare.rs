//! A body as sent in, frames ready for the spool out. Runs on the caller's thread.

use std::borrow::Cow;

use unmogrowp_core::dedup::Id;
use unmogrowp_core::limits::Limits;
use unmogrowp_core::parse::{Context, Packed, Storable, ip, pack};
use unmogrowp_core::reject::Reject;
use unmogrowp_core::{decompress, inlet, row};
use unmogrowp_spool::PAYLOAD_BYTES_MAX;

use crate::mint::Mint;
use crate::outbox::Return;
use crate::{Inlet, Refusal, Request};

/// About how large a frame is. Readers take whole frames.
pub(crate) const FRAME_BYTES: usize = 1 << 20;
/// What an item takes besides its payloads.
const ITEM_BYTES: usize = 512;

/// A request on its way to the disk.
pub(crate) struct Prepared {
    pub(crate) back: Return,
    pub(crate) app_id: String,
    pub(crate) received: u32,
    pub(crate) decoded_bytes: usize,
    pub(crate) rows: Packed,
    /// Rejects with the number of records in each payload.
    pub(crate) reject_frames: Vec<(u32, Vec<u8>)>,
    pub(crate) rejects: Vec<Reject>,
    /// Set by the commit thread: rows that are no first copy, ascending.
    pub(crate) duplicates: Vec<usize>,
    /// Set by the commit thread: ids that are.
    pub(crate) fresh: Vec<Id>,
}

impl Prepared {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.reject_frames.is_empty()
    }

    /// About the bytes it will take in the spool.
    pub(crate) fn weight(&self) -> usize {
        let rejects = self.reject_frames.iter().map(|(_, payload)| payload.len());
        let ids = size_of_val(self.rows.ids());
        self.rows.bytes().len() + rejects.sum::<usize>() + ids + ITEM_BYTES
    }
}

/// Everything that needs no disk and no other request.
pub(crate) fn prepare(
    back: Return,
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
        return Ok(nothing(back, request));
    }
    let context = Context {
        app_id: Some(request.app_id),
        received_at_us: Some(request.received_at_us),
        truncate_ip: request.truncate_ip,
        limits,
    };
    let Storable { rows, rejects, received } =
        pack(&body, &context, &|| mint.id(request.received_at_us))?;
    let reject_frames = encode_rejects(request, &rejects, &body, &limits);
    let refused = reject_frames.iter().map(|(_, payload)| payload.len()).max();
    let bytes = rows.longest().max(refused.unwrap_or(0));
    // A frame of one group has a byte more.
    if bytes >= PAYLOAD_BYTES_MAX {
        return Err(Refusal::too_large("encoded request", bytes, PAYLOAD_BYTES_MAX));
    }
    let decoded_bytes = body.len();
    Ok(Prepared { received, decoded_bytes, rows, reject_frames, rejects, ..nothing(back, request) })
}

fn nothing(back: Return, request: &Request<'_>) -> Prepared {
    Prepared {
        back,
        app_id: request.app_id.to_owned(),
        received: 0,
        decoded_bytes: 0,
        rows: Packed::default(),
        reject_frames: Vec::new(),
        rejects: Vec::new(),
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
