//! A body as it arrives: joined once, bounded in bytes and time.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use tokio::time::timeout;
use unmogrowp_intake::Refusal;

use crate::Shared;

/// Of all bodies together that are not whole yet.
const ARRIVING_BYTES_MAX: usize = 256 << 20;
const RETRY_S: u32 = 2;

/// Bytes that count as arriving while this lives.
struct Arriving<'a> {
    all: &'a AtomicUsize,
    own: usize,
}

impl Arriving<'_> {
    fn add(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.own += bytes;
        if self.all.fetch_add(bytes, Relaxed) + bytes > ARRIVING_BYTES_MAX {
            let detail = "too many bodies arrive at once\nhint: try again shortly";
            return Err(Refusal::unavailable(&detail, RETRY_S));
        }
        Ok(())
    }
}

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Relaxed);
    }
}

/// The whole body; one that is too large is read to its end and refused.
pub(crate) async fn collect<B>(shared: &Shared, body: B) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut arriving = Arriving { all: &shared.arriving, own: 0 };
    let (mut chunks, mut size) = (Vec::new(), 0);
    let bytes_max = shared.settings.body_bytes_max;
    let read = read(body, &mut chunks, &mut size, bytes_max, &mut arriving);
    match timeout(shared.settings.body_patience, read).await {
        Ok(result) => result?,
        Err(_) => return Err(too_slow(size, shared.settings.body_patience)),
    }
    if size > bytes_max {
        return Err(too_large(size, bytes_max));
    }
    Ok(joined(chunks, size))
}

async fn read<B>(
    mut body: B,
    chunks: &mut Vec<Bytes>,
    size: &mut usize,
    bytes_max: usize,
    arriving: &mut Arriving<'_>,
) -> Result<(), Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(|_| broken_off())?.into_data() else { continue };
        *size += chunk.len();
        if *size <= bytes_max {
            arriving.add(chunk.len())?;
            chunks.push(chunk);
        }
    }
    Ok(())
}

fn joined(mut chunks: Vec<Bytes>, size: usize) -> Bytes {
    if chunks.len() <= 1 {
        return chunks.pop().unwrap_or_default();
    }
    let mut whole = Vec::with_capacity(size);
    for chunk in chunks {
        whole.extend_from_slice(&chunk);
    }
    whole.into()
}

/// Let a body pass by, so that its sender gets to hear the answer; not for long.
pub(crate) async fn discard<B>(shared: &Shared, mut body: B)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut size = 0;
    let pass = async {
        while let Some(Ok(frame)) = body.frame().await {
            size += frame.data_ref().map_or(0, Bytes::len);
            if size > shared.settings.body_bytes_max {
                break;
            }
        }
    };
    // Late or not, the answer is the same.
    drop(timeout(shared.settings.body_patience, pass).await);
}

fn broken_off() -> Refusal {
    let detail = "the body broke off\nhint: send as many bytes as were announced";
    Refusal::new(400, "Bad Request", &detail)
}

fn too_slow(size: usize, patience: Duration) -> Refusal {
    let seconds = patience.as_secs();
    let detail = format!(
        "of the body `{size}` bytes came in {seconds} s, the limit `limits.body_seconds`\n\
         hint: send smaller batches"
    );
    Refusal::new(408, "Request Timeout", &detail)
}

fn too_large(size: usize, bytes_max: usize) -> Refusal {
    let detail = format!(
        "the body has `{size}` bytes, the limit `limits.body_bytes` is {bytes_max}\n\
         hint: send smaller batches"
    );
    Refusal::new(413, "Request Entity Too Large", &detail)
}
