//! Frames in, durable segments out: append-only files with group commit and one owner.
//!
//! A directory holds numbered segments of frames. The owner appends whole commits, makes them
//! durable and publishes how far readers may go; a reader in another process follows, and says
//! with the `shipped` mark what a sink holds durably. Shipped segments are removed once their ids
//! lie in the id log, which outlives them.
//!
//! A commit is one write and one `fdatasync`. The next one is not written before the one before
//! it is durable, so only the last commit of a segment can be torn, and a torn one was never
//! acknowledged. A failed write or sync poisons the segment: nothing is retried on that file, its
//! good length is recorded in the header of the next.

mod disk;
mod error;
mod frame;
mod group;
mod ids;
mod lock;
mod mark;
mod reader;
mod recover;
mod segment;
mod shelf;
mod stats;
mod writer;

pub use disk::{Disk, Handle, Local, Open};
pub use error::SpoolError;
pub use frame::{Commit, Frame, HEADER_BYTES, Kind, PAYLOAD_BYTES_MAX, Position};
pub use group::{Busy, Group, Work};
pub use reader::{Chunk, Reader, Want};
pub use segment::SEGMENT_HEADER_BYTES;
pub use shelf::Status;
pub use stats::{SYNC_BOUNDS_US, Stats, Sync};
pub use writer::{Settings, Spool};
