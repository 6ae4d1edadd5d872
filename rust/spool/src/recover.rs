//! What a directory holds when its owner opens it.

use std::path::Path;

use crate::error::{Attempt, SpoolError};
use crate::ids::{self, IdsFile, Restore};
use crate::segment::{self, Check, SEGMENT_HEADER_BYTES, Segment, Step};
use crate::shelf::Sealed;
use crate::{Disk, Kind, Open, Position, mark};

/// How much is written again at a time.
const RENEW_BYTES: usize = 1 << 20;

pub(crate) struct Recovered {
    pub(crate) sealed: Vec<Sealed>,
    pub(crate) ids: Vec<IdsFile>,
    /// The highest number that was ever used, as far as the directory tells.
    pub(crate) number: u64,
}

/// Find the good end of every segment, make the last one durable and restore the ids.
pub(crate) fn recover(
    disk: &dyn Disk,
    dir: &Path,
    restore: Restore<'_>,
) -> Result<Recovered, SpoolError> {
    let durable = mark::read(disk, &dir.join(mark::DURABLE))?;
    let shipped = mark::read(disk, &dir.join(mark::SHIPPED))?;
    let segments = open_all(disk, dir)?;
    let present: Vec<_> = segments.iter().map(|s| s.head.number).collect();
    let ids = ids::load(disk, dir, &present, restore)?;
    let mut sealed = Vec::with_capacity(segments.len());
    for (index, segment) in segments.iter().enumerate() {
        let after = segments.get(index + 1);
        let end = settle(segment, after, durable)?;
        restore_segment(segment, end, restore)?;
        sealed.push(Sealed { number: segment.head.number, end });
    }
    let marks = [durable, shipped].into_iter().flatten().map(|p| p.segment);
    let known = present.into_iter().chain(ids.iter().map(|f| f.number)).chain(marks);
    let number = known.max().unwrap_or(0);
    Ok(Recovered { sealed, ids, number })
}

/// Every segment with a header. One without was never used, and goes.
fn open_all(disk: &dyn Disk, dir: &Path) -> Result<Vec<Segment>, SpoolError> {
    let mut segments = Vec::new();
    for number in segment::list(disk, dir)? {
        if let Some(segment) = Segment::open(disk, dir, number, Open::Write)? {
            segments.push(segment);
        } else {
            let path = segment::path(dir, number);
            disk.remove(&path).attempt("remove", &path)?;
        }
    }
    Ok(segments)
}

/// How many bytes of a segment count: what its successor recorded, else what its frames say.
fn settle(
    segment: &Segment,
    after: Option<&Segment>,
    durable: Option<Position>,
) -> Result<u64, SpoolError> {
    let number = segment.head.number;
    let size = segment.size()?;
    if let Some((before, end)) = after.and_then(|a| a.head.before)
        && before == number
    {
        return Ok(end.min(size));
    }
    let durable = durable.filter(|d| d.segment == number).map_or(0, |d| d.offset);
    let end = good_end(segment, size)?.max(durable.min(size));
    if after.is_none() {
        if end < size {
            segment.handle.set_len(end).attempt("cut", &segment.path)?;
        }
        renew(segment, durable.min(end), end)?;
    }
    Ok(end)
}

/// Make what may lie in memory only durable: the owner was killed between write and sync, or the
/// sync failed. After a failed one the system takes the bytes for written, so they are written
/// again; syncing them once more would save nothing.
fn renew(segment: &Segment, from: u64, end: u64) -> Result<(), SpoolError> {
    let mut at = from;
    let mut bytes = vec![0; RENEW_BYTES];
    while at < end {
        let len = usize::try_from(end - at).map_or(RENEW_BYTES, |left| left.min(RENEW_BYTES));
        let read = segment.handle.read_at(&mut bytes[..len], at).attempt("read", &segment.path)?;
        if read == 0 {
            break;
        }
        segment.handle.write_at(&bytes[..read], at).attempt("write", &segment.path)?;
        at += read as u64;
    }
    segment.handle.sync().attempt("sync", &segment.path)
}

/// One past the last commit that is whole. What lies before the start of a later commit was
/// durable before that one was written, so damage there is no torn commit and costs only itself.
fn good_end(segment: &Segment, size: u64) -> Result<u64, SpoolError> {
    let mut end = SEGMENT_HEADER_BYTES.min(size);
    let mut is_whole = false;
    let mut walk = segment.walk(0, size, Check::Payload);
    while let Some(step) = walk.next()? {
        match step {
            Step::Frame(at, frame) => {
                if frame.is_first {
                    end = at;
                    is_whole = true;
                }
                if frame.is_last && is_whole {
                    end = at + frame.bytes();
                }
            }
            Step::Damage(..) => is_whole = false,
        }
    }
    Ok(end)
}

fn restore_segment(segment: &Segment, end: u64, restore: Restore<'_>) -> Result<(), SpoolError> {
    let mut walk = segment.walk(0, end, Check::Header);
    while let Some(step) = walk.next()? {
        if let Step::Frame(at, frame) = step
            && frame.kind == Kind::Ids
        {
            let payload = walk.payload(at, &frame)?;
            if frame.accepts(payload) {
                restore(frame.time_us, payload);
            }
        }
    }
    Ok(())
}
