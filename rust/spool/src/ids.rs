//! The id log: the ids frames of removed segments, so that a duplicate is known for as long as
//! the window lasts and not only for as long as its first copy waits in the spool.
//!
//! `ids/NNNNNNNNNN.ids` holds what segment N held: after a magic, entries of length u32, time i64,
//! CRC32C over both and the payload, payload. A file is complete before it has its name.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Attempt, SpoolError};
use crate::segment::{Check, Segment, Step, numbers};
use crate::{Disk, Kind, Open, PAYLOAD_BYTES_MAX};

const DIR: &str = "ids";
const SUFFIX: &str = ".ids";
const MAGIC: [u8; 8] = *b"UMGids01";
const ENTRY_BYTES: usize = 16;

/// One file of the id log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdsFile {
    /// The segment its ids are from.
    pub(crate) number: u64,
    /// When its newest ids were committed.
    pub(crate) newest_us: i64,
    pub(crate) bytes: u64,
}

/// What takes the ids of each commit with its time, oldest first.
pub(crate) type Restore<'a> = &'a mut dyn FnMut(i64, &[u8]);

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(DIR).join(format!("{number:010}{SUFFIX}"))
}

/// Make the directory of the log where missing.
pub(crate) fn prepare(disk: &dyn Disk, dir: &Path) -> Result<(), SpoolError> {
    let ids = dir.join(DIR);
    disk.make_dir(&ids).attempt("create", &ids)
}

/// Read the whole log. Files of segments in `present` are left out: the segment has them too.
pub(crate) fn load(
    disk: &dyn Disk,
    dir: &Path,
    present: &[u64],
    restore: Restore<'_>,
) -> Result<Vec<IdsFile>, SpoolError> {
    let mut files = Vec::new();
    for number in numbers(disk, &dir.join(DIR), SUFFIX)? {
        if present.binary_search(&number).is_err() {
            files.push(load_one(disk, dir, number, restore)?);
        }
    }
    Ok(files)
}

fn load_one(
    disk: &dyn Disk,
    dir: &Path,
    number: u64,
    restore: Restore<'_>,
) -> Result<IdsFile, SpoolError> {
    let path = path(dir, number);
    let bytes = read_all(disk, &path).attempt("read", &path)?;
    let mut file = IdsFile { number, newest_us: i64::MIN, bytes: bytes.len() as u64 };
    let mut rest = bytes.strip_prefix(&MAGIC).unwrap_or_default();
    while let Some((time_us, payload, after)) = entry(rest) {
        restore(time_us, payload);
        file.newest_us = file.newest_us.max(time_us);
        rest = after;
    }
    Ok(file)
}

/// The first entry and what follows it; none at the end or where the file is damaged.
fn entry(bytes: &[u8]) -> Option<(i64, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<ENTRY_BYTES>()?;
    let len = u32::from_le_bytes(*head.first_chunk()?) as usize;
    let time_us = i64::from_le_bytes(head[4..12].try_into().ok()?);
    let crc = u32::from_le_bytes(head[12..].try_into().ok()?);
    let (payload, after) = rest.split_at_checked(len)?;
    let is_good = crc32c::crc32c_append(crc32c::crc32c(&head[..12]), payload) == crc;
    is_good.then_some((time_us, payload, after))
}

fn read_all(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let handle = disk.open(path, Open::Read)?;
    let mut bytes = vec![0; usize::try_from(handle.size()?).unwrap_or(usize::MAX)];
    let read = handle.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Copy the ids of a sealed segment into the log, durably. Ids from before `floor_us` are left.
pub(crate) fn keep(
    disk: &dyn Disk,
    dir: &Path,
    segment: &Segment,
    end: u64,
    floor_us: i64,
) -> Result<Option<IdsFile>, SpoolError> {
    let mut bytes = MAGIC.to_vec();
    let mut newest_us = i64::MIN;
    let mut walk = segment.walk(0, end, Check::Header);
    while let Some(step) = walk.next()? {
        let Step::Frame(at, frame) = step else { continue };
        if frame.kind != Kind::Ids || frame.time_us < floor_us {
            continue;
        }
        let payload = walk.payload(at, &frame)?;
        if frame.accepts(payload) && payload.len() <= PAYLOAD_BYTES_MAX {
            append(&mut bytes, frame.time_us, payload);
            newest_us = newest_us.max(frame.time_us);
        }
    }
    if bytes.len() == MAGIC.len() {
        return Ok(None);
    }
    write(disk, dir, segment.head.number, &bytes)?;
    Ok(Some(IdsFile { number: segment.head.number, newest_us, bytes: bytes.len() as u64 }))
}

fn append(bytes: &mut Vec<u8>, time_us: i64, payload: &[u8]) {
    let start = bytes.len();
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(&time_us.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[start..]), payload);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(payload);
}

fn write(disk: &dyn Disk, dir: &Path, number: u64, bytes: &[u8]) -> Result<(), SpoolError> {
    let path = path(dir, number);
    let new = path.with_extension("new");
    let handle = disk.open(&new, Open::Create).attempt("create", &new)?;
    handle.write_at(bytes, 0).attempt("write", &new)?;
    handle.sync().attempt("sync", &new)?;
    disk.rename(&new, &path).attempt("rename", &new)?;
    let ids = dir.join(DIR);
    disk.sync_dir(&ids).attempt("sync", &ids)
}

/// Remove a file whose ids are all outside the window.
pub(crate) fn remove(disk: &dyn Disk, dir: &Path, number: u64) -> Result<(), SpoolError> {
    let path = path(dir, number);
    disk.remove(&path).attempt("remove", &path)
}
