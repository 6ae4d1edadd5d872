//! A position in a small file of its own: `durable` and `shipped`.

use std::path::Path;

use crate::error::{Attempt, SpoolError};
use crate::{Disk, Handle, Open, Position};

/// How far readers may go. Overwritten in place after each sync and not itself synced.
pub(crate) const DURABLE: &str = "durable";
/// Everything before it is durable in the sink.
pub(crate) const SHIPPED: &str = "shipped";

const MARK_BYTES: usize = 20;
/// A reader may see half of an overwrite; the next look sees all of it.
const LOOKS_MAX: usize = 100;

pub(crate) fn encode(position: Position) -> [u8; MARK_BYTES] {
    let mut bytes = [0; MARK_BYTES];
    bytes[..8].copy_from_slice(&position.segment.to_le_bytes());
    bytes[8..16].copy_from_slice(&position.offset.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..16]);
    bytes[16..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: [u8; MARK_BYTES]) -> Option<Position> {
    let [s0, s1, s2, s3, s4, s5, s6, s7, o0, o1, o2, o3, o4, o5, o6, o7, c0, c1, c2, c3] = bytes;
    let crc = u32::from_le_bytes([c0, c1, c2, c3]);
    (crc32c::crc32c(&bytes[..16]) == crc).then(|| Position {
        segment: u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
        offset: u64::from_le_bytes([o0, o1, o2, o3, o4, o5, o6, o7]),
    })
}

/// The position in an open mark; none where it was never written or is damaged.
pub(crate) fn look(handle: &dyn Handle) -> std::io::Result<Option<Position>> {
    for _ in 0..LOOKS_MAX {
        let mut bytes = [0; MARK_BYTES];
        let read = handle.read_at(&mut bytes, 0)?;
        let position = decode(bytes);
        if read < MARK_BYTES || position.is_some() {
            return Ok(position.filter(|_| read == MARK_BYTES));
        }
        std::thread::yield_now();
    }
    Ok(None)
}

/// The position in the mark `name` of `dir`, none where there is no such file.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Position>, SpoolError> {
    match disk.open(path, Open::Read) {
        Ok(handle) => look(handle.as_ref()).attempt("read", path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).attempt("open", path),
    }
}

/// Replace the mark durably: a crash leaves the old one or the new one.
pub(crate) fn replace(
    disk: &dyn Disk,
    dir: &Path,
    name: &str,
    position: Position,
) -> Result<(), SpoolError> {
    let path = dir.join(name);
    let new = dir.join(format!("{name}.new"));
    let handle = disk.open(&new, Open::Create).attempt("create", &new)?;
    handle.write_at(&encode(position), 0).attempt("write", &new)?;
    handle.sync().attempt("sync", &new)?;
    disk.rename(&new, &path).attempt("rename", &new)?;
    disk.sync_dir(dir).attempt("sync", dir)
}
