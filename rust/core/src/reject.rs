//! Why a record was refused: a code from a closed list, the field, a sentence and a byte range.

use std::fmt;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, Field, Schema};

/// The closed list of reasons, in the order they are checked where several apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is described by its own text form and docs/rejects.md")]
pub enum Code {
    EventTooLarge,
    InvalidUtf8,
    InvalidJson,
    NotAnObject,
    TooDeep,
    DuplicateKey,
    WrongType,
    TooLong,
    MissingField,
    AppMismatch,
    InvalidUuid,
    InvalidTimestamp,
    TimestampOutOfRange,
    InvalidIp,
    InvalidNumber,
    InvalidCurrency,
}

impl Code {
    /// Every code, for docs and tests.
    pub const ALL: [Self; 16] = [
        Self::EventTooLarge,
        Self::InvalidUtf8,
        Self::InvalidJson,
        Self::NotAnObject,
        Self::TooDeep,
        Self::DuplicateKey,
        Self::WrongType,
        Self::TooLong,
        Self::MissingField,
        Self::AppMismatch,
        Self::InvalidUuid,
        Self::InvalidTimestamp,
        Self::TimestampOutOfRange,
        Self::InvalidIp,
        Self::InvalidNumber,
        Self::InvalidCurrency,
    ];

    /// The public name, e.g. `invalid_json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EventTooLarge => "event_too_large",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::TooDeep => "too_deep",
            Self::DuplicateKey => "duplicate_key",
            Self::WrongType => "wrong_type",
            Self::TooLong => "too_long",
            Self::MissingField => "missing_field",
            Self::AppMismatch => "app_mismatch",
            Self::InvalidUuid => "invalid_uuid",
            Self::InvalidTimestamp => "invalid_timestamp",
            Self::TimestampOutOfRange => "timestamp_out_of_range",
            Self::InvalidIp => "invalid_ip",
            Self::InvalidNumber => "invalid_number",
            Self::InvalidCurrency => "invalid_currency",
        }
    }
}

impl Code {
    /// The code of a public name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One refused record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// 0-based position of the record in what was sent.
    pub index: u32,
    /// The record's `event_id` as sent, where it could be read.
    pub event_id: Option<String>,
    /// Why.
    pub code: Code,
    /// The field it is about; none where the record as a whole is at fault.
    pub field: Option<String>,
    /// What was wrong, with the offending value in backticks.
    pub message: String,
    /// First byte of the record in the (decompressed) body.
    pub start: u64,
    /// One past its last byte.
    pub stop: u64,
}

/// Rejects as a table: `row`, `event_id`, `code`, `field`, `message`, `start`, `stop`. Each comes
/// with its row, because one body may have more records than an index counts.
///
/// # Errors
///
/// Where the texts together pass 2 GiB.
pub fn arrow(rejects: &[(u64, Reject)]) -> Result<RecordBatch, ArrowError> {
    let number = |of: fn(&(u64, Reject)) -> u64| -> ArrayRef {
        let cells = rejects.iter().map(|pair| i64::try_from(of(pair)).unwrap_or(i64::MAX));
        Arc::new(Int64Array::from_iter_values(cells))
    };
    let text = |of: fn(&Reject) -> Option<&str>| -> ArrayRef {
        Arc::new(rejects.iter().map(|(_, reject)| of(reject)).collect::<StringArray>())
    };
    let columns = [
        ("row", number(|pair| pair.0)),
        ("event_id", text(|reject| reject.event_id.as_deref())),
        ("code", text(|reject| Some(reject.code.as_str()))),
        ("field", text(|reject| reject.field.as_deref())),
        ("message", text(|reject| Some(&reject.message))),
        ("start", number(|pair| pair.1.start)),
        ("stop", number(|pair| pair.1.stop)),
    ];
    let field = |(name, array): &(&str, ArrayRef)| {
        let is_optional = matches!(*name, "event_id" | "field");
        Field::new(*name, array.data_type().clone(), is_optional)
    };
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, array)| array).collect())
}
