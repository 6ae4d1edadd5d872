//! What can go wrong with a spool directory, said so that an operator can act.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a spool cannot be opened, written or read.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// Another process owns the directory.
    #[error(
        "spool `{}` is owned by another process\nhint: stop it, or use another data directory",
        .dir.display()
    )]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// The operating system refused.
    #[error(
        "cannot {verb} `{}`: {source}\nhint: check the disk and the permissions",
        .path.display()
    )]
    Disk {
        /// What was tried.
        verb: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The first bytes of a segment that holds frames cannot be read.
    #[error(
        "the header of segment `{}` is damaged\nhint: move the file out of the spool and restart",
        .path.display()
    )]
    Header {
        /// The segment's file.
        path: PathBuf,
    },
    /// A frame is larger than a frame may be.
    #[error(
        "a frame of `{bytes}` bytes is too large\nhint: split it, a frame holds at most 256 MiB"
    )]
    TooLarge {
        /// Its payload.
        bytes: usize,
    },
    /// What was queued could not be turned into frames.
    #[error("the commit cannot be made: {reason}\nhint: this is a bug, please report it")]
    Unstaged {
        /// What was wrong.
        reason: String,
    },
    /// A range that was asked for is not there.
    #[error(
        "the spool does not hold segment `{segment}` from `{from}` to `{to}`\n\
         hint: it was shipped and removed, or it is not yet durable"
    )]
    Missing {
        /// The segment.
        segment: u64,
        /// First byte.
        from: u64,
        /// One past the last byte.
        to: u64,
    },
}

impl SpoolError {
    /// Whether what was asked for is not (or no longer) in the spool.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }

    /// Whether the file itself does not exist.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Disk { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Names the file and the attempt in an error of the system.
pub(crate) trait Attempt<T> {
    fn attempt(self, verb: &'static str, path: &Path) -> Result<T, SpoolError>;
}

impl<T> Attempt<T> for io::Result<T> {
    fn attempt(self, verb: &'static str, path: &Path) -> Result<T, SpoolError> {
        self.map_err(|source| SpoolError::Disk { verb, path: path.to_owned(), source })
    }
}
