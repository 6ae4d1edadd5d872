//! A failed check in, a `Reject` with a sentence out. Only bad records come here.

use super::json::{Broken, Form, Scanner, Slot, Stop, unescape};
use super::keys::name;
use crate::limits::Limits;
use crate::reject::Code;
use crate::schema::{COLUMNS, at};

/// What a failure is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The record as a whole, with what to say.
    Record(String),
    /// A column and the value sent for it.
    Column(usize, Slot),
    /// A key by its text.
    Key(String),
}

/// The first failed check of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) about: About,
}

/// Longest quoted value in a message, in bytes.
const QUOTED_MAX: usize = 64;

/// A value as it may stand in a message.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(QUOTED_MAX)];
    let mut text = String::from_utf8_lossy(cut).into_owned();
    if cut.len() < bytes.len() {
        // A character cut in half is no fault of the sender's.
        text.truncate(text.trim_end_matches(char::REPLACEMENT_CHARACTER).len());
        text.push('…');
    }
    let plain = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    format!("`{}`", text.chars().map(plain).collect::<String>())
}

impl Failure {
    pub(crate) fn column(code: Code, column: usize, value: Slot) -> Self {
        Self { code, about: About::Column(column, value) }
    }

    fn record(code: Code, message: String) -> Self {
        Self { code, about: About::Record(message) }
    }

    pub(crate) fn broken(bytes: &[u8], broken: Broken) -> Self {
        let (at, near) = (broken.at, near(bytes, broken.at));
        Self::record(Code::InvalidJson, format!("{} at byte `{at}`{near}", broken.what))
    }

    /// Whether this one comes before `other` in the documented order.
    pub(crate) fn precedes(&self, other: &Self) -> bool {
        self.rank() < other.rank()
    }

    fn rank(&self) -> (usize, usize) {
        let code = Code::ALL.iter().position(|code| *code == self.code).unwrap_or(0);
        let column = if let About::Column(column, _) = self.about { column } else { 0 };
        (code, column)
    }

    pub(crate) fn field(&self) -> Option<String> {
        match &self.about {
            About::Record(_) => None,
            About::Column(column, _) => Some(name(*column).to_owned()),
            About::Key(key) => Some(key.clone()),
        }
    }

    pub(crate) fn message(&self, bytes: &[u8]) -> String {
        let (column, value) = match &self.about {
            About::Record(message) => return message.clone(),
            About::Key(key) => return format!("key {} appears twice", quote(key.as_bytes())),
            About::Column(column, value) => (*column, value),
        };
        let key = name(column);
        // Nothing of the record's own: the batch lent it.
        let lent = *value == Slot::default();
        let got = if lent { "the batch's own".to_owned() } else { quote(value.raw(bytes)) };
        match self.code {
            Code::WrongType => format!("`{key}` must be {}, got {got}", wanted(column)),
            Code::TooLong => {
                let limit = COLUMNS[column].bytes_max;
                format!("`{key}` is longer than `{limit}` bytes, got {got}")
            }
            Code::MissingField => missing(column),
            Code::AppMismatch => format!("{got} is not the app this key may write to"),
            Code::InvalidUuid if column == at::EVENT_ID => {
                format!("`{key}` must not be empty or the nil UUID, got {got}")
            }
            Code::InvalidUuid => format!("`{key}` must be a UUID with hyphens, got {got}"),
            Code::InvalidTimestamp => {
                format!("`{key}` must be RFC 3339 text or an epoch number, got {got}")
            }
            Code::TimestampOutOfRange => {
                format!("`{key}` lies outside 2000 to 2099 or in the future, got {got}")
            }
            Code::InvalidIp => format!("`{key}` must be an IPv4 or IPv6 address, got {got}"),
            Code::InvalidNumber => {
                format!("`{key}` must be a decimal of at most six places, got {got}")
            }
            Code::InvalidCurrency => format!("`{key}` must be an ISO 4217 code, got {got}"),
            _ => format!("`{key}` is refused, got {got}"),
        }
    }
}

fn wanted(column: usize) -> &'static str {
    match column {
        at::TIMESTAMP | at::SENT_AT => "text or a number",
        at::REVENUE => "a number or decimal text",
        at::PROPERTIES => "an object",
        _ => "text",
    }
}

fn missing(column: usize) -> String {
    match column {
        at::EVENT_NAME => "`event_name` or `event_type` must be there and not empty".to_owned(),
        at::USER_ID => "one of `user_id`, `anonymous_id`, `device_id`, `idfa`, `gaid`, `idfv` \
                        must say who it is about"
            .to_owned(),
        at::CURRENCY => "`revenue` needs a `currency`".to_owned(),
        _ => format!("`{}` must be there", name(column)),
    }
}

/// The record's own id where it is text of a believable length.
pub(crate) fn event_id(bytes: &[u8], slot: Option<Slot>) -> Option<String> {
    let slot = slot.filter(|slot| matches!(slot.form, Form::Text | Form::Escaped))?;
    let mut text = Vec::new();
    unescape(slot.of(bytes), &mut text);
    String::from_utf8(text).ok().filter(|text| text.len() <= COLUMNS[at::EVENT_ID].bytes_max)
}

/// What stands at a position, for a message.
pub(crate) fn near(bytes: &[u8], at: usize) -> String {
    let from = at.min(bytes.len());
    let near = &bytes[from..bytes.len().min(from + 16)];
    if near.is_empty() { String::new() } else { format!(", near {}", quote(near)) }
}

/// More bytes than an event may have.
pub(crate) fn too_large(bytes: &[u8], limits: &Limits) -> Option<Failure> {
    let limit = limits.event_bytes.min(u32::MAX as usize);
    (bytes.len() > limit).then(|| {
        let message = format!("the event has `{}` bytes, the limit is `{limit}`", bytes.len());
        Failure::record(Code::EventTooLarge, message)
    })
}

/// Bytes that are no text.
pub(crate) fn check_utf8(bytes: &[u8]) -> Result<(), Failure> {
    std::str::from_utf8(bytes).map(drop).map_err(|error| {
        let message = format!("not UTF-8 from byte `{}` on", error.valid_up_to());
        Failure::record(Code::InvalidUtf8, message)
    })
}

/// A record that does not open as an object: another value, or no JSON.
#[cold]
pub(crate) fn not_an_object(bytes: &[u8], scanner: &mut Scanner<'_>) -> Failure {
    match scanner.value().and_then(|_| scanner.end()) {
        Err(Stop) => Failure::broken(bytes, scanner.broken),
        Ok(()) if scanner.lone_surrogate.is_some() => lone(bytes, scanner),
        Ok(()) => {
            let message = format!("a record must be an object, got {}", quote(bytes));
            Failure::record(Code::NotAnObject, message)
        }
    }
}

/// What the scanner noted about a record that is JSON by its grammar.
#[inline]
pub(crate) fn noted(bytes: &[u8], scanner: &Scanner<'_>, limits: &Limits) -> Option<Failure> {
    if scanner.lone_surrogate.is_some() {
        return Some(lone(bytes, scanner));
    }
    (scanner.deepest > limits.depth).then(|| {
        let (deepest, limit) = (scanner.deepest, limits.depth);
        let message = format!("nested `{deepest}` deep, the limit is `{limit}`");
        Failure::record(Code::TooDeep, message)
    })
}

#[cold]
fn lone(bytes: &[u8], scanner: &Scanner<'_>) -> Failure {
    let at = scanner.lone_surrogate.unwrap_or_default();
    Failure::broken(bytes, Broken { at, what: "half a surrogate pair" })
}
