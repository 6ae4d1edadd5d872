//! Sealed segments: what they take, when they go.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Attempt, SpoolError};
use crate::ids::{self, IdsFile};
use crate::segment::{self, SEGMENT_HEADER_BYTES, Segment};
use crate::{Disk, Open, Position, mark};

/// A segment that gets no more frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) number: u64,
    /// How many of its bytes count.
    pub(crate) end: u64,
}

#[derive(Default)]
struct Files {
    sealed: Vec<Sealed>,
    ids: Vec<IdsFile>,
    shipped: Option<Position>,
}

/// State that the commit thread, the keeper and the caller share.
pub(crate) struct Shelf {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    files: Mutex<Files>,
    /// Bytes of all segments, the active one included.
    bytes: AtomicU64,
    /// Ids committed before this time are outside the window.
    floor_us: AtomicI64,
    durable_segment: AtomicU64,
    durable_offset: AtomicU64,
}

/// What a spool holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Bytes of all segments.
    pub bytes: u64,
    /// Bytes that are allowed.
    pub bytes_max: u64,
    /// Number of segments, the active one included.
    pub segments: usize,
    /// Bytes of the id log.
    pub ids_bytes: u64,
    /// How far readers may go.
    pub durable: Position,
    /// What the sink has; none where nothing was ever shipped.
    pub shipped: Option<Position>,
    /// Bytes that are durable here and not in the sink.
    pub unshipped_bytes: u64,
}

impl Shelf {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        sealed: Vec<Sealed>,
        ids: Vec<IdsFile>,
    ) -> Self {
        let bytes = sealed.iter().map(|s| s.end).sum();
        Self {
            disk,
            dir,
            files: Mutex::new(Files { sealed, ids, shipped: None }),
            bytes: AtomicU64::new(bytes),
            floor_us: AtomicI64::new(i64::MIN),
            durable_segment: AtomicU64::new(0),
            durable_offset: AtomicU64::new(0),
        }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    pub(crate) fn grew(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn seal(&self, sealed: Sealed) {
        self.files().sealed.push(sealed);
    }

    pub(crate) fn published(&self, position: Position) {
        self.durable_segment.store(position.segment, Relaxed);
        self.durable_offset.store(position.offset, Relaxed);
    }

    pub(crate) fn forget_before(&self, time_us: i64) {
        self.floor_us.fetch_max(time_us, Relaxed);
    }

    pub(crate) fn status(&self, bytes_max: u64) -> Status {
        let files = self.files();
        let durable = Position {
            segment: self.durable_segment.load(Relaxed),
            offset: self.durable_offset.load(Relaxed),
        };
        let active = Sealed { number: durable.segment, end: durable.offset };
        let sealed = files.sealed.iter().filter(|s| s.number != active.number);
        let left = |s: &Sealed| match files.shipped {
            Some(shipped) if shipped.segment == s.number => s.end.saturating_sub(shipped.offset),
            Some(shipped) if shipped.segment > s.number => 0,
            _ => s.end.saturating_sub(SEGMENT_HEADER_BYTES),
        };
        Status {
            unshipped_bytes: sealed.chain([&active]).map(left).sum(),
            bytes: self.bytes(),
            bytes_max,
            segments: files.sealed.len() + 1,
            ids_bytes: files.ids.iter().map(|f| f.bytes).sum(),
            durable,
            shipped: files.shipped,
        }
    }

    /// Remove what is shipped and what is outside the window. Called from one thread at a time.
    pub(crate) fn tidy(&self) -> Result<(), SpoolError> {
        self.drop_segments()?;
        self.drop_ids()
    }

    fn drop_segments(&self) -> Result<(), SpoolError> {
        let shipped = mark::read(self.disk.as_ref(), &self.dir.join(mark::SHIPPED))?;
        self.files().shipped = shipped;
        let Some(shipped) = shipped else { return Ok(()) };
        let is_done = |s: &Sealed| (s.number, s.end) <= (shipped.segment, shipped.offset);
        let done: Vec<_> = self.files().sealed.iter().copied().take_while(is_done).collect();
        for sealed in &done {
            // In order also after a power loss: only a successor knows how far a segment counts.
            self.sync_names()?;
            self.drop_segment(*sealed)?;
        }
        if done.is_empty() { Ok(()) } else { self.sync_names() }
    }

    fn sync_names(&self) -> Result<(), SpoolError> {
        self.disk.sync_dir(&self.dir).attempt("sync", &self.dir)
    }

    /// Its ids are durable in the log before it goes; a crash between the two leaves both.
    fn drop_segment(&self, sealed: Sealed) -> Result<(), SpoolError> {
        let disk = self.disk.as_ref();
        match Segment::open(disk, &self.dir, sealed.number, Open::Read) {
            Ok(Some(segment)) => {
                let floor_us = self.floor_us.load(Relaxed);
                let kept = ids::keep(disk, &self.dir, &segment, sealed.end, floor_us)?;
                self.files().ids.extend(kept);
                let path = segment::path(&self.dir, sealed.number);
                self.disk.remove(&path).attempt("remove", &path)?;
            }
            // Somebody else removed it, and its room is free all the same.
            Err(error) if error.is_gone() => {}
            Ok(None) => {}
            Err(error) => return Err(error),
        }
        self.files().sealed.retain(|s| s.number != sealed.number);
        self.bytes.fetch_sub(sealed.end, Relaxed);
        Ok(())
    }

    fn drop_ids(&self) -> Result<(), SpoolError> {
        let floor_us = self.floor_us.load(Relaxed);
        let old: Vec<_> =
            self.files().ids.iter().copied().filter(|f| f.newest_us < floor_us).collect();
        for file in old {
            ids::remove(self.disk.as_ref(), &self.dir, file.number)?;
            self.files().ids.retain(|f| f.number != file.number);
        }
        Ok(())
    }
}
