//! What is asked of an intake, and why it says no.

use std::borrow::Cow;

use serde_json::json;
use unmogrowp_core::decompress::DecompressError;
use unmogrowp_core::inlet::InletError;
use unmogrowp_core::parse::ParseError;
use unmogrowp_spool::{Busy, SpoolError};

/// Whose words a body is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inlet<'a> {
    /// Ours.
    Native,
    /// Segment's, with the call: `batch`, `track`, …
    Segment(&'a str),
    /// `PostHog`'s.
    PostHog,
}

impl<'a> Inlet<'a> {
    /// The inlet that is written `native`, `segment:<call>` or `posthog`.
    pub fn named(name: &'a str) -> Option<Self> {
        match name {
            "native" => Some(Self::Native),
            "posthog" => Some(Self::PostHog),
            _ => name.strip_prefix("segment:").map(Self::Segment),
        }
    }
}

/// A body and what the server knows about it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// As sent.
    pub body: &'a [u8],
    /// The header `Content-Encoding`.
    pub encoding: Option<&'a str>,
    /// Whose words it is in.
    pub inlet: Inlet<'a>,
    /// The app of the key.
    pub app_id: &'a str,
    /// The key, by the id that may be shown.
    pub key_id: &'a str,
    /// Whether addresses are cut.
    pub truncate_ip: bool,
    /// When it was received, in microseconds since 1970.
    pub received_at_us: i64,
}

/// Why nothing of a request is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// What happened, the same for every occurrence.
    pub title: Cow<'static, str>,
    /// What happened here, and what to do.
    pub detail: String,
    /// Seconds to wait, where waiting helps.
    pub retry_after: Option<u32>,
}

const BROKEN: &str = "the body cannot be read";
const TOO_LARGE: &str = "the request is too large";
const UNAVAILABLE: &str = "nothing can be stored right now";

impl Refusal {
    /// Without a time to come back.
    pub fn new(status: u16, title: &'static str, detail: &impl ToString) -> Self {
        let title = Cow::Borrowed(title);
        Self { status, title, detail: detail.to_string(), retry_after: None }
    }

    /// The body of the answer, as RFC 9457 has it.
    pub fn problem(&self) -> Vec<u8> {
        let Self { status, title, detail, .. } = self;
        json!({"type": "about:blank", "title": title, "status": status, "detail": detail})
            .to_string()
            .into_bytes()
    }

    pub(crate) fn too_large(limit: &str, bytes: usize, bytes_max: usize) -> Self {
        let detail = format!(
            "the {limit} has `{bytes}` bytes, the limit is `{bytes_max}`\n\
             hint: send smaller batches"
        );
        Self::new(413, TOO_LARGE, &detail)
    }

    pub(crate) fn too_fast(seconds: u32) -> Self {
        let detail = "this key sends more events a second than `limits.key_events_per_s`\n\
                      hint: send it again after the seconds in `Retry-After`";
        let title = "too many events from this key";
        Self { retry_after: Some(seconds), ..Self::new(429, title, &detail) }
    }

    /// Nothing can be stored before so many seconds have gone by.
    pub fn unavailable(detail: &impl ToString, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(503, UNAVAILABLE, detail) }
    }

    /// Another server may be there soon.
    pub fn stopping() -> Self {
        Self::unavailable(&"the server is stopping\nhint: send it again later", 5)
    }

    pub(crate) fn busy(busy: Busy) -> Self {
        match busy {
            Busy::Queue => {
                let detail = "too many requests wait for the disk\nhint: send it again later";
                Self::unavailable(&detail, 1)
            }
            Busy::Full => {
                let detail = "the spool is at its size limit\n\
                     hint: send it again later; it drains once the warehouse takes events again";
                Self::unavailable(&detail, 10)
            }
            Busy::Closed => Self::stopping(),
        }
    }

    /// The answer to requests whose commit failed.
    pub(crate) fn unwritten(error: &SpoolError) -> Self {
        Self::unavailable(error, 1)
    }

    /// Columns that do not fit together: no body may bring that about.
    pub fn bug(error: &impl ToString) -> Self {
        Self::new(500, "the request could not be handled", error)
    }
}

impl From<DecompressError> for Refusal {
    fn from(error: DecompressError) -> Self {
        match &error {
            DecompressError::Unsupported(_) => {
                Self::new(415, "the content encoding is not supported", &error)
            }
            DecompressError::Broken { .. } => Self::new(400, BROKEN, &error),
            DecompressError::TooLarge { .. } => Self::new(413, TOO_LARGE, &error),
        }
    }
}

impl From<InletError> for Refusal {
    fn from(error: InletError) -> Self {
        let title = match error.status() {
            404 => "there is no such call",
            413 => TOO_LARGE,
            _ => BROKEN,
        };
        Self::new(error.status(), title, &error)
    }
}

impl From<ParseError> for Refusal {
    fn from(error: ParseError) -> Self {
        match &error {
            ParseError::TooManyRecords { .. } | ParseError::TooLarge { .. } => {
                Self::new(413, TOO_LARGE, &error)
            }
            // Only a caller that can cancel sees the second.
            ParseError::Columns(_) | ParseError::Cancelled => Self::bug(&error),
            ParseError::Empty | ParseError::Broken { .. } | ParseError::KeyTwice { .. } => {
                Self::new(400, BROKEN, &error)
            }
        }
    }
}
