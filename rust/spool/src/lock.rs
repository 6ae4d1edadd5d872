//! One owner per directory.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Attempt, SpoolError};
use crate::{Disk, Handle, Open};

const POLL: Duration = Duration::from_millis(20);

/// Own `dir` for as long as the handle lives. Waits for an owner that is about to end.
pub(crate) fn own(
    disk: &dyn Disk,
    dir: &Path,
    wait: Duration,
) -> Result<Box<dyn Handle>, SpoolError> {
    let path = dir.join("lock");
    let handle = disk.open(&path, Open::Keep).attempt("open", &path)?;
    let start = Instant::now();
    while !handle.try_lock().attempt("lock", &path)? {
        if start.elapsed() >= wait {
            return Err(SpoolError::Locked { dir: dir.to_owned() });
        }
        std::thread::sleep(POLL);
    }
    Ok(handle)
}
