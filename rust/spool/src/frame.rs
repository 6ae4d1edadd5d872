//! The unit of the spool: a checked header and a payload.
//!
//! Layout, little-endian: magic u32, kind u8, flags u8, two zero bytes, payload length u32,
//! records u32, commit time i64 (µs), payload CRC32C, header CRC32C. The header's CRC also covers
//! the segment's salt and the frame's offset, so bytes that a client sends never pass for a frame,
//! and a frame never passes for one elsewhere.

use crate::SpoolError;

/// Bytes before a payload.
pub const HEADER_BYTES: usize = 32;
/// Largest payload of one frame.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 20;

pub(crate) const MAGIC: [u8; 4] = *b"UMGf";
const FIRST: u8 = 1;
const LAST: u8 = 2;

/// A place in the spool, always at the edge of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Number of the segment.
    pub segment: u64,
    /// Byte in its file.
    pub offset: u64,
}

/// What a payload holds. The spool reads none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Accepted events.
    Events,
    /// Refused records.
    Rejects,
    /// Idempotency keys of the commit.
    Ids,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Events => 1,
            Self::Rejects => 2,
            Self::Ids => 3,
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Events),
            2 => Some(Self::Rejects),
            3 => Some(Self::Ids),
            _ => None,
        }
    }
}

/// What the header of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What the payload holds.
    pub kind: Kind,
    /// Records in the payload.
    pub count: u32,
    /// When the commit was made, in microseconds since 1970.
    pub time_us: i64,
    /// Bytes of the payload.
    pub len: u32,
    pub(crate) is_first: bool,
    pub(crate) is_last: bool,
    pub(crate) payload_crc: u32,
}

impl Frame {
    /// Bytes of header and payload.
    pub fn bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.len)
    }

    /// Read a header that lies at `offset` in the segment with this salt.
    pub(crate) fn decode(bytes: &[u8], salt: &[u8; 16], offset: u64) -> Option<Self> {
        let header: &[u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
        let is_ours = header[..4] == MAGIC && u32_at(header, 28) == seal(header, salt, offset);
        if !is_ours || u32_at(header, 8) as usize > PAYLOAD_BYTES_MAX {
            return None;
        }
        Some(Self {
            kind: Kind::from_byte(header[4])?,
            count: u32_at(header, 12),
            time_us: i64::from_le_bytes(header[16..24].try_into().ok()?),
            len: u32_at(header, 8),
            is_first: header[5] & FIRST != 0,
            is_last: header[5] & LAST != 0,
            payload_crc: u32_at(header, 24),
        })
    }

    pub(crate) fn accepts(&self, payload: &[u8]) -> bool {
        crc32c::crc32c(payload) == self.payload_crc
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn seal(header: &[u8; HEADER_BYTES], salt: &[u8; 16], offset: u64) -> u32 {
    let crc = crc32c::crc32c(salt);
    let crc = crc32c::crc32c_append(crc, &offset.to_le_bytes());
    crc32c::crc32c_append(crc, &header[..28])
}

/// Frames that become durable together or not at all.
#[derive(Debug, Default)]
pub struct Commit {
    time_us: i64,
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Commit {
    /// An empty commit made at `time_us`.
    pub fn new(time_us: i64) -> Self {
        Self { time_us, ..Self::default() }
    }

    /// When it is made, in microseconds since 1970.
    pub fn time_us(&self) -> i64 {
        self.time_us
    }

    /// Whether it holds no frame.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Bytes it will take.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Add a frame of `count` records.
    ///
    /// # Errors
    /// A payload above [`PAYLOAD_BYTES_MAX`]; the commit is then as before.
    pub fn push(&mut self, kind: Kind, count: u32, payload: &[u8]) -> Result<(), SpoolError> {
        self.push_with(kind, |bytes| {
            bytes.extend_from_slice(payload);
            count
        })
    }

    /// Add a frame whose payload `write` appends; it says how many records that are.
    ///
    /// # Errors
    /// As [`Commit::push`].
    pub fn push_with(
        &mut self,
        kind: Kind,
        write: impl FnOnce(&mut Vec<u8>) -> u32,
    ) -> Result<(), SpoolError> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEADER_BYTES]);
        let count = write(&mut self.bytes);
        let (before, payload) = self.bytes.split_at_mut(start + HEADER_BYTES);
        let (len, crc) = (payload.len(), crc32c::crc32c(payload));
        if len > PAYLOAD_BYTES_MAX {
            self.bytes.truncate(start);
            return Err(SpoolError::TooLarge { bytes: len });
        }
        let header = &mut before[start..];
        header[..4].copy_from_slice(&MAGIC);
        header[4] = kind.byte();
        // A payload of that size fits.
        header[8..12].copy_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
        header[12..16].copy_from_slice(&count.to_le_bytes());
        header[16..24].copy_from_slice(&self.time_us.to_le_bytes());
        header[24..28].copy_from_slice(&crc.to_le_bytes());
        self.starts.push(start);
        Ok(())
    }

    /// Forget every frame, keeping the memory.
    pub fn reset(&mut self, time_us: i64) {
        self.time_us = time_us;
        self.bytes.clear();
        self.starts.clear();
    }

    /// The bytes as they lie at `offset` of the segment with this salt.
    pub(crate) fn sealed(&mut self, salt: &[u8; 16], offset: u64) -> &[u8] {
        let last = self.starts.len().saturating_sub(1);
        for (index, &start) in self.starts.iter().enumerate() {
            let flags = if index == 0 { FIRST } else { 0 } | if index == last { LAST } else { 0 };
            if let Some(header) = self.bytes[start..].first_chunk_mut::<HEADER_BYTES>() {
                header[5] = flags;
                let crc = seal(header, salt, offset + start as u64);
                header[28..].copy_from_slice(&crc.to_le_bytes());
            }
        }
        &self.bytes
    }
}
