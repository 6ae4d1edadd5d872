//! The owner of a directory: commits in, durable bytes out. One thread, no clock of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Attempt, SpoolError};
use crate::ids::{self, Restore};
use crate::segment::{self, Head, SEGMENT_HEADER_BYTES, Segment};
use crate::shelf::{Sealed, Shelf, Status};
use crate::stats::Stats;
use crate::{Commit, Disk, Handle, Open, Position, lock, mark, recover};

/// Sizes and limits of a spool, with their defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A segment is sealed once it is this large; the last commit may exceed it.
    pub segment_bytes: u64,
    /// Bytes all segments may take; none means 20 % of what is free on the disk now.
    pub bytes_max: Option<u64>,
    /// Items that may wait.
    pub queue_items_max: usize,
    /// Bytes that may wait.
    pub queue_bytes_max: usize,
    /// Bytes of items that one commit takes; one item may exceed it.
    pub commit_bytes_max: usize,
    /// How long to wait for an owner that is about to end.
    pub lock_wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            bytes_max: None,
            queue_items_max: 65_536,
            queue_bytes_max: 256 << 20,
            commit_bytes_max: 8 << 20,
            lock_wait: Duration::from_secs(5),
        }
    }
}

/// The share of the free disk that a spool may take by default.
const FREE_SHARE: u64 = 5;

struct Active {
    segment: Segment,
    end: u64,
}

/// A directory that this process owns, open for appending.
pub struct Spool {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment_bytes: u64,
    bytes_max: u64,
    /// None after a failure: the next commit starts a new segment.
    active: Option<Active>,
    /// The highest number in use.
    number: u64,
    /// The segment before the active one and its good length.
    before: Option<(u64, u64)>,
    durable: Box<dyn Handle>,
    shelf: Arc<Shelf>,
    stats: Arc<Stats>,
    _lock: Box<dyn Handle>,
}

impl Spool {
    /// Own `dir`, recover what it holds and give the ids of every kept commit to `restore`,
    /// oldest first.
    ///
    /// # Errors
    /// Another owner, or a disk that refuses.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        settings: &Settings,
        restore: Restore<'_>,
    ) -> Result<Self, SpoolError> {
        disk.make_dir(dir).attempt("create", dir)?;
        let lock = lock::own(disk.as_ref(), dir, settings.lock_wait)?;
        ids::prepare(disk.as_ref(), dir)?;
        let mut found = recover::recover(disk.as_ref(), dir, restore)?;
        let active = reopen(disk.as_ref(), dir, &mut found.sealed)?;
        let path = dir.join(mark::DURABLE);
        let durable = disk.open(&path, Open::Keep).attempt("open", &path)?;
        disk.sync_dir(dir).attempt("sync", dir)?;
        let held: u64 = found.sealed.iter().map(|s| s.end).sum();
        let bytes_max = match settings.bytes_max {
            Some(bytes) => bytes,
            None => (disk.free_bytes(dir).attempt("measure", dir)? + held) / FREE_SHARE,
        };
        let before = found.sealed.last().map(|s| (s.number, s.end));
        let shelf = Shelf::new(disk.clone(), dir.to_owned(), found.sealed, found.ids);
        let mut spool = Self {
            disk,
            dir: dir.to_owned(),
            segment_bytes: settings.segment_bytes,
            bytes_max,
            active,
            number: found.number,
            before,
            durable,
            shelf: Arc::new(shelf),
            stats: Arc::default(),
            _lock: lock,
        };
        let end = spool.ready()?.end;
        spool.publish(Position { segment: spool.number, offset: end });
        Ok(spool)
    }

    /// Make a commit durable and visible to readers; the position is its end.
    ///
    /// # Errors
    /// A write or sync that failed. Nothing of the commit counts then, now or after a restart of
    /// this owner's successor segment; the next commit goes to a new segment.
    pub fn append(&mut self, commit: &mut Commit) -> Result<Position, SpoolError> {
        let result = self.try_append(commit);
        match result {
            Ok(_) => self.stats.committed(commit.len() as u64),
            Err(_) => self.stats.failed(),
        }
        result
    }

    fn try_append(&mut self, commit: &mut Commit) -> Result<Position, SpoolError> {
        let stats = self.stats.clone();
        let active = self.ready()?;
        let bytes = commit.sealed(&active.segment.head.salt, active.end);
        let end = active.end + bytes.len() as u64;
        let number = active.segment.head.number;
        let written = active.segment.handle.write_at(bytes, active.end).and_then(|()| {
            let start = Instant::now();
            let synced = active.segment.handle.sync();
            stats.synced(start.elapsed());
            synced
        });
        if let Err(error) = written {
            let path = active.segment.path.clone();
            self.poison();
            return Err(error).attempt("write", &path);
        }
        active.end = end;
        self.shelf.grew(commit.len() as u64);
        let position = Position { segment: number, offset: end };
        self.publish(position);
        Ok(position)
    }

    /// The active segment, a new one where there is none or it is full.
    fn ready(&mut self) -> Result<&mut Active, SpoolError> {
        if self.active.as_ref().is_some_and(|a| a.end >= self.segment_bytes) {
            self.seal();
        }
        let active = match self.active.take() {
            Some(active) => active,
            None => self.create()?,
        };
        Ok(self.active.insert(active))
    }

    /// A number is used once, also when its file could not be made.
    fn create(&mut self) -> Result<Active, SpoolError> {
        self.number += 1;
        let (disk, dir) = (self.disk.as_ref(), self.dir.as_path());
        let path = segment::path(dir, self.number);
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(&disk.entropy().to_le_bytes());
        salt[8..].copy_from_slice(&disk.entropy().to_le_bytes());
        let head = Head { number: self.number, salt, before: self.before };
        let handle = disk.open(&path, Open::Create).attempt("create", &path)?;
        let made = handle
            .write_at(&head.encode(), 0)
            .and_then(|()| handle.sync())
            .and_then(|()| disk.sync_dir(dir));
        if let Err(error) = made {
            // It holds no frame; a leftover is removed at the next open.
            drop(disk.remove(&path));
            return Err(error).attempt("write", &path);
        }
        self.shelf.grew(SEGMENT_HEADER_BYTES);
        Ok(Active { segment: Segment { head, path, handle }, end: SEGMENT_HEADER_BYTES })
    }

    /// End the newest segment; the next commit begins another.
    pub(crate) fn seal(&mut self) {
        if let Some(active) = self.active.take() {
            let sealed = Sealed { number: active.segment.head.number, end: active.end };
            self.cool();
            self.shelf.seal(sealed);
            self.before = Some((sealed.number, sealed.end));
        }
    }

    /// A reader that keeps up has read the segment before the one that ends. One that is behind
    /// reads from the disk, which spares the memory of everybody else.
    fn cool(&self) {
        let Some((number, _)) = self.before else { return };
        let path = segment::path(&self.dir, number);
        // It may be gone already, and with it all there is to do.
        let _ = self.disk.open(&path, Open::Read).map(|before| before.cool());
    }

    /// Nobody knows what of the failed commit is on the disk: this file gets nothing more, and
    /// its successor's header says how far it counts.
    fn poison(&mut self) {
        if let Some(active) = &self.active {
            // Gives a full disk its room back. That it fails changes nothing.
            drop(active.segment.handle.set_len(active.end));
        }
        self.seal();
    }

    /// Not synced: after a power loss an old mark only hides frames until the owner is back.
    fn publish(&self, position: Position) {
        self.shelf.published(position);
        if self.durable.write_at(&mark::encode(position), 0).is_err() {
            self.stats.unpublished();
        }
    }

    /// Remove segments that are shipped, and ids from before [`Spool::forget_before`].
    ///
    /// # Errors
    /// A disk that refuses; what was not removed is tried again next time.
    pub fn tidy(&self) -> Result<(), SpoolError> {
        self.shelf.tidy()
    }

    /// Ids that were committed before `time_us` are not needed any more.
    pub fn forget_before(&self, time_us: i64) {
        self.shelf.forget_before(time_us);
    }

    /// What it holds.
    pub fn status(&self) -> Status {
        self.shelf.status(self.bytes_max)
    }

    /// Counters.
    pub fn stats(&self) -> Arc<Stats> {
        self.stats.clone()
    }

    pub(crate) fn shelf(&self) -> Arc<Shelf> {
        self.shelf.clone()
    }

    pub(crate) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }
}

/// The last segment if it has no frame yet: restarts without traffic leave no files behind.
fn reopen(
    disk: &dyn Disk,
    dir: &Path,
    sealed: &mut Vec<Sealed>,
) -> Result<Option<Active>, SpoolError> {
    let Some(last) = sealed.pop_if(|s| s.end == SEGMENT_HEADER_BYTES) else { return Ok(None) };
    let segment = Segment::open(disk, dir, last.number, Open::Write)?;
    Ok(segment.map(|segment| Active { segment, end: last.end }))
}
