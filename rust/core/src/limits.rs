//! Every limit of the data plane in one table, with its default.

/// Bounds on what one request may bring. A value at a limit is accepted, one above is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request body as sent.
    pub body_bytes: usize,
    /// Bytes of a request body after decompression.
    pub decompressed_bytes: usize,
    /// Bytes of one event's JSON.
    pub event_bytes: usize,
    /// Nesting of one event's JSON, the event itself being 1.
    pub depth: usize,
    /// Records in one request.
    pub records: usize,
    /// Bytes kept of a rejected record.
    pub reject_raw_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 10_000_000,
            decompressed_bytes: 64_000_000,
            event_bytes: 1_000_000,
            depth: 32,
            records: 100_000,
            reject_raw_bytes: 65_536,
        }
    }
}

/// Different `user_id`s an id may be seen with before it is shared and joins nobody.
pub const SHARED_USERS_MAX: usize = 50;

/// Largest believed difference between `sent_at` and the time of receipt, in microseconds.
pub const SKEW_MAX_US: i64 = 60 * 1_000_000;

/// How far in the future a corrected timestamp may lie, in microseconds.
pub const FUTURE_MAX_US: i64 = 24 * 3_600 * 1_000_000;
