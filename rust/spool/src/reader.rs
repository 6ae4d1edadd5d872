//! Follows a spool from another process: durable frames only, in order, across segments.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::SpoolError;
use crate::segment::{self, Check, SEGMENT_HEADER_BYTES, Segment, Step};
use crate::{Disk, Frame, Kind, Open, Position, mark};

/// Frames that lie side by side in one segment.
#[derive(Debug)]
pub struct Chunk {
    /// Where it starts.
    pub first: Position,
    /// One past its end: where the next one starts.
    pub last: Position,
    /// Bytes inside it that are no frame: damage that was skipped.
    pub damaged_bytes: u64,
    frames: Vec<(Frame, Range<usize>)>,
    bytes: Vec<u8>,
}

impl Chunk {
    /// The payloads of one kind, in order.
    pub fn payloads(&self, kind: Kind) -> impl Iterator<Item = (&Frame, &[u8])> {
        let is_kind = move |(frame, _): &&(Frame, Range<usize>)| frame.kind == kind;
        self.frames.iter().filter(is_kind).map(|(frame, at)| (frame, &self.bytes[at.clone()]))
    }

    /// Records of one kind.
    pub fn count(&self, kind: Kind) -> u64 {
        self.payloads(kind).map(|(frame, _)| u64::from(frame.count)).sum()
    }
}

/// Bounds of a chunk. The first frame is taken whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Events at most.
    pub rows_max: u64,
    /// Bytes at most, frame headers included.
    pub bytes_max: u64,
}

/// Reads a spool that some process (this or another) owns.
pub struct Reader {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl Reader {
    /// Read the spool in `dir`, which need not exist yet.
    pub fn new(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        Self { disk, dir: dir.to_owned() }
    }

    /// How far one may read; none where nobody ever owned the spool.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn durable(&self) -> Result<Option<Position>, SpoolError> {
        mark::read(self.disk.as_ref(), &self.dir.join(mark::DURABLE))
    }

    /// The last confirmed position.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn shipped(&self) -> Result<Option<Position>, SpoolError> {
        mark::read(self.disk.as_ref(), &self.dir.join(mark::SHIPPED))
    }

    /// Say, durably, that the sink holds everything before `position`.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn confirm(&self, position: Position) -> Result<(), SpoolError> {
        mark::replace(self.disk.as_ref(), &self.dir, mark::SHIPPED, position)
    }

    /// The frames after `after` (a chunk's `last`), or from the oldest; none if there are none.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn next(&self, after: Option<Position>, want: Want) -> Result<Option<Chunk>, SpoolError> {
        let Some(durable) = self.durable()? else { return Ok(None) };
        let mut at = after.unwrap_or(Position { segment: 0, offset: 0 });
        while at <= durable {
            if let Some((segment, end)) = self.open(at.segment, durable)?
                && at.offset < end
            {
                let chunk = read(&segment, at.offset, end, want)?;
                return Ok((chunk.first != chunk.last).then_some(chunk));
            }
            let numbers = segment::list(self.disk.as_ref(), &self.dir)?;
            match numbers.into_iter().find(|&number| number > at.segment) {
                Some(number) => at = Position { segment: number, offset: SEGMENT_HEADER_BYTES },
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Exactly the frames between two positions that a chunk had: the same bytes again.
    ///
    /// # Errors
    /// They are not there, or a disk that refuses.
    pub fn range(&self, first: Position, last: Position) -> Result<Chunk, SpoolError> {
        let (segment, from, to) = (first.segment, first.offset, last.offset);
        let missing = || SpoolError::Missing { segment, from, to };
        let durable = self.durable()?.filter(|durable| last <= *durable).ok_or_else(missing)?;
        let (open, end) = self.open(segment, durable)?.ok_or_else(missing)?;
        if last.segment != segment || from >= to || to > end {
            return Err(missing());
        }
        read(&open, from, to, Want { rows_max: u64::MAX, bytes_max: u64::MAX })
    }

    /// A segment and how far it may be read.
    fn open(&self, number: u64, durable: Position) -> Result<Option<(Segment, u64)>, SpoolError> {
        let Some(segment) = self.open_one(number)? else { return Ok(None) };
        let is_active = number == durable.segment;
        let end = if is_active { durable.offset } else { self.sealed_end(&segment)? };
        Ok(Some((segment, end)))
    }

    fn open_one(&self, number: u64) -> Result<Option<Segment>, SpoolError> {
        match Segment::open(self.disk.as_ref(), &self.dir, number, Open::Read) {
            Err(error) if error.is_gone() => Ok(None),
            other => other,
        }
    }

    /// The good length of a sealed segment, which its successor recorded.
    fn sealed_end(&self, segment: &Segment) -> Result<u64, SpoolError> {
        let size = segment.size()?;
        for number in segment::list(self.disk.as_ref(), &self.dir)? {
            if number > segment.head.number
                && let Some(after) = self.open_one(number)?
                && let Some((before, end)) = after.head.before
            {
                return Ok(if before == segment.head.number { end.min(size) } else { size });
            }
        }
        Ok(size)
    }
}

fn read(segment: &Segment, from: u64, end: u64, want: Want) -> Result<Chunk, SpoolError> {
    let at = |offset| Position { segment: segment.head.number, offset };
    let first = at(from.max(SEGMENT_HEADER_BYTES));
    let mut chunk =
        Chunk { first, last: first, damaged_bytes: 0, frames: Vec::new(), bytes: Vec::new() };
    let mut rows = 0;
    let mut walk = segment.walk(from, end, Check::Payload);
    while let Some(step) = walk.next()? {
        match step {
            Step::Frame(start, frame) => {
                let adds = if frame.kind == Kind::Events { u64::from(frame.count) } else { 0 };
                let bytes = start + frame.bytes() - first.offset;
                if !chunk.frames.is_empty()
                    && (rows + adds > want.rows_max || bytes > want.bytes_max)
                {
                    break;
                }
                rows += adds;
                let payload = walk.payload(start, &frame)?;
                let at_byte = chunk.bytes.len();
                if frame.kind != Kind::Ids {
                    chunk.bytes.extend_from_slice(payload);
                }
                let stop = chunk.bytes.len();
                chunk.frames.push((frame, at_byte..stop));
                chunk.last = at(start + frame.bytes());
            }
            Step::Damage(start, stop) => {
                chunk.damaged_bytes += stop - start;
                chunk.last = at(stop);
            }
        }
    }
    Ok(chunk)
}
