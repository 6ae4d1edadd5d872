//! A segment file: a header, then frames until its end.
//!
//! Header, little-endian: magic, number u64, salt (16 bytes), number of the segment before it u64,
//! the good length of that one u64, eight zero bytes, CRC32C. It is durable before any frame is.

use std::path::{Path, PathBuf};

use crate::error::{Attempt, SpoolError};
use crate::frame::MAGIC;
use crate::{Disk, Frame, HEADER_BYTES, Handle, Open};

/// Bytes before the first frame of a segment.
pub const SEGMENT_HEADER_BYTES: u64 = HEAD_BYTES as u64;

const HEAD_BYTES: usize = 64;

const SEGMENT_MAGIC: [u8; 8] = *b"UMGspl01";
const SUFFIX: &str = ".segment";
const CRC_AT: usize = 60;
/// How much is read at a time.
const READ_BYTES: usize = 256 << 10;

/// What the header of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) number: u64,
    pub(crate) salt: [u8; 16],
    /// The segment before it, and how many of that one's bytes count.
    pub(crate) before: Option<(u64, u64)>,
}

impl Head {
    pub(crate) fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let (before, end) = self.before.unwrap_or((0, 0));
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.salt);
        bytes[32..40].copy_from_slice(&before.to_le_bytes());
        bytes[40..48].copy_from_slice(&end.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let u64_at = |at: usize| bytes[at..].first_chunk().map(|b| u64::from_le_bytes(*b));
        let crc = crc32c::crc32c(&bytes[..CRC_AT]).to_le_bytes();
        if bytes[..8] != SEGMENT_MAGIC || bytes[CRC_AT..] != crc {
            return None;
        }
        let (before, end) = (u64_at(32)?, u64_at(40)?);
        Some(Self {
            number: u64_at(8)?,
            salt: *bytes[16..].first_chunk()?,
            before: (end != 0).then_some((before, end)),
        })
    }
}

/// A header of which one bit was turned round. Headers that pass the check differ in several bits,
/// so that at most one is so near.
fn mended(bytes: &[u8; HEAD_BYTES]) -> Option<Head> {
    (0..8 * HEAD_BYTES).find_map(|bit| {
        let mut mended = *bytes;
        mended[bit / 8] ^= 1 << (bit % 8);
        Head::decode(&mended)
    })
}

pub(crate) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}{SUFFIX}"))
}

/// Numbers of the files named `NNNNNNNNNN<suffix>` in `dir`, ascending.
pub(crate) fn numbers(disk: &dyn Disk, dir: &Path, suffix: &str) -> Result<Vec<u64>, SpoolError> {
    let names = disk.names(dir).attempt("list", dir)?;
    let number = |name: &String| name.strip_suffix(suffix)?.parse().ok();
    let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Numbers of the segments in `dir`, ascending.
pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>, SpoolError> {
    numbers(disk, dir, SUFFIX)
}

/// A segment that is open.
pub(crate) struct Segment {
    pub(crate) head: Head,
    pub(crate) path: PathBuf,
    pub(crate) handle: Box<dyn Handle>,
}

impl Segment {
    /// Open segment `number`; none where its header was never finished.
    pub(crate) fn open(
        disk: &dyn Disk,
        dir: &Path,
        number: u64,
        how: Open,
    ) -> Result<Option<Self>, SpoolError> {
        let path = path(dir, number);
        let handle = disk.open(&path, how).attempt("open", &path)?;
        let mut bytes = [0; HEAD_BYTES];
        let read = handle.read_at(&mut bytes, 0).attempt("read", &path)?;
        match Head::decode(&bytes).or_else(|| mended(&bytes)) {
            Some(head) if head.number == number => Ok(Some(Self { head, path, handle })),
            // Its owner may be about to write it, and more, before the next look.
            _ if read < bytes.len() => Ok(None),
            // Frames are written after the header is durable: without frames nothing is lost.
            _ if handle.size().attempt("measure", &path)? <= SEGMENT_HEADER_BYTES => Ok(None),
            _ => Err(SpoolError::Header { path }),
        }
    }

    pub(crate) fn size(&self) -> Result<u64, SpoolError> {
        self.handle.size().attempt("measure", &self.path)
    }

    /// Frames and damage between two offsets.
    pub(crate) fn walk(&self, from: u64, to: u64, check: Check) -> Walk<'_> {
        Walk { segment: self, at: from.max(SEGMENT_HEADER_BYTES), to, check, view: View::default() }
    }
}

/// How much of a frame is verified while walking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Headers only: payloads are not read.
    Header,
    /// Payloads too.
    Payload,
}

/// One step of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A frame that starts at this offset.
    Frame(u64, Frame),
    /// Bytes that are no frame, from the first to the second offset.
    Damage(u64, u64),
}

/// Walks over a segment in order. After damage it goes on at the next valid frame.
pub(crate) struct Walk<'a> {
    segment: &'a Segment,
    at: u64,
    to: u64,
    check: Check,
    view: View,
}

impl Walk<'_> {
    pub(crate) fn next(&mut self) -> Result<Option<Step>, SpoolError> {
        if self.at >= self.to {
            return Ok(None);
        }
        let at = self.at;
        if let Some(frame) = self.frame(at, self.check)? {
            self.at += frame.bytes();
            return Ok(Some(Step::Frame(at, frame)));
        }
        self.at = self.find(at + 1)?;
        Ok(Some(Step::Damage(at, self.at)))
    }

    /// The payload of a frame that starts at `offset`.
    pub(crate) fn payload(&mut self, offset: u64, frame: &Frame) -> Result<&[u8], SpoolError> {
        self.read(offset + HEADER_BYTES as u64, frame.len as usize)
    }

    fn frame(&mut self, at: u64, check: Check) -> Result<Option<Frame>, SpoolError> {
        let salt = self.segment.head.salt;
        let Some(frame) = Frame::decode(self.read(at, HEADER_BYTES)?, &salt, at) else {
            return Ok(None);
        };
        if at + frame.bytes() > self.to {
            return Ok(None);
        }
        let is_good = check == Check::Header || frame.accepts(self.payload(at, &frame)?);
        Ok(is_good.then_some(frame))
    }

    /// Offset of the first valid frame at or after `from`, else the end.
    fn find(&mut self, from: u64) -> Result<u64, SpoolError> {
        let mut at = from;
        while at < self.to {
            let bytes = self.read(at, READ_BYTES)?;
            match memchr::memmem::find(bytes, &MAGIC) {
                Some(skip) => {
                    at += skip as u64;
                    if self.frame(at, Check::Payload)?.is_some() {
                        return Ok(at);
                    }
                    at += 1;
                }
                // The magic may lie across two reads.
                None => at += bytes.len().saturating_sub(MAGIC.len() - 1).max(1) as u64,
            }
        }
        Ok(self.to)
    }

    /// Up to `len` bytes at `offset`, fewer at the end.
    fn read(&mut self, offset: u64, len: usize) -> Result<&[u8], SpoolError> {
        let left = usize::try_from(self.to.saturating_sub(offset)).unwrap_or(usize::MAX);
        let handle = self.segment.handle.as_ref();
        self.view.read(handle, offset, len.min(left)).attempt("read", &self.segment.path)
    }
}

/// Buffered reads at rising offsets.
#[derive(Default)]
struct View {
    start: u64,
    bytes: Vec<u8>,
}

impl View {
    fn read(&mut self, handle: &dyn Handle, offset: u64, len: usize) -> std::io::Result<&[u8]> {
        let is_here =
            offset >= self.start && offset + len as u64 <= self.start + self.bytes.len() as u64;
        if !is_here {
            self.bytes.resize(len.max(READ_BYTES), 0);
            let read = handle.read_at(&mut self.bytes, offset)?;
            self.bytes.truncate(read);
            self.start = offset;
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let to = (from + len).min(self.bytes.len());
        Ok(&self.bytes[from.min(to)..to])
    }
}
