//! Bodies of third-party SDKs in, canonical NDJSON out: one line per record, in the order sent.
//!
//! Nothing is judged here. What an SDK calls a field becomes what the event table calls it, the
//! record itself goes whole under `properties`, and the parser decides as it does for everyone.
//! Optional fields are passed on only where the parser would take them, so that an odd address
//! or price never costs the event. `docs/inlets.md` holds the tables.

use std::borrow::Cow;

use thiserror::Error;

use crate::limits::Limits;
use crate::schema::at;
use line::Line;

mod field;
mod line;
mod object;
mod origin;
mod posthog;
mod segment;
mod surrogate;

pub use posthog::{posthog, posthog_key};
pub use segment::{CALLS as SEGMENT_CALLS, segment, segment_key};

/// Why a body as a whole cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InletError {
    /// The body is not what this SDK sends: a 400.
    #[error("the body is no {expected}, {reason}\nhint: send it as the SDK does")]
    Broken {
        /// What would have been right.
        expected: &'static str,
        /// What was wrong, with its place.
        reason: String,
    },
    /// More records than one request may bring: a 413.
    #[error("more than `{limit}` records in one request\nhint: lower the SDK's batch size")]
    TooManyRecords {
        /// The limit that was passed.
        limit: usize,
    },
    /// A Segment call that does not exist: a 404.
    #[error("no Segment call `{route}`\nhint: the calls are {}", segment::CALLS.join(", "))]
    UnknownRoute {
        /// What was asked for.
        route: String,
    },
}

impl InletError {
    /// The HTTP status that answers it.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Broken { .. } => 400,
            Self::UnknownRoute { .. } => 404,
            Self::TooManyRecords { .. } => 413,
        }
    }
}

/// What every record of a request shares.
struct Request<'a> {
    limits: &'a Limits,
    received_at_us: i64,
    /// The batch's own time of sending, a valid JSON value.
    sent_at: Option<Cow<'a, str>>,
}

impl Request<'_> {
    /// Fields of a record, unless it is none or one the parser will refuse for its size.
    fn pick<'a, const N: usize>(
        &self,
        record: &'a str,
        names: &[&str; N],
    ) -> Option<[Option<&'a str>; N]> {
        if record.len() > self.limits.event_bytes { None } else { object::pick(record, names).ok() }
    }

    /// The first of `times` that can be read; a wrong one is left for the parser to refuse, and
    /// where there is none the record happened when it was sent, else when it was received.
    fn clock(&self, line: &mut Line<'_>, times: &[Option<&str>], sent_at: Option<&str>) {
        let readable = times.iter().find_map(|time| field::time(*time));
        let wrong = times.iter().copied().flatten().next();
        let received_at = self.received_at_us.to_string();
        let time = readable.as_deref().or(wrong).or(sent_at).unwrap_or(&received_at);
        line.raw(at::TIMESTAMP, Some(time));
        line.raw(at::SENT_AT, sent_at);
    }
}

/// Write every record of `batch` with `write`, or say that the body is not `expected`.
fn records<'a>(
    batch: &'a str,
    limits: &Limits,
    expected: &'static str,
    mut write: impl FnMut(&'a str),
) -> Result<(), InletError> {
    let mut count = 0;
    let seen = object::each(batch, |record| {
        count += 1;
        if count <= limits.records {
            write(record);
        }
        count <= limits.records
    });
    if count > limits.records {
        return Err(InletError::TooManyRecords { limit: limits.records });
    }
    seen.map_err(|reason| InletError::Broken { expected, reason })
}

/// The body as text that can be read to its end.
fn utf8<'a>(body: &'a [u8], expected: &'static str) -> Result<Cow<'a, str>, InletError> {
    let broken = |e: std::str::Utf8Error| InletError::Broken { expected, reason: e.to_string() };
    std::str::from_utf8(body.trim_ascii()).map(surrogate::repair).map_err(broken)
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
