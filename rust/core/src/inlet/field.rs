//! One raw JSON value in, a value the parser will take out, or nothing.

use std::borrow::Cow;

use crate::parse::{ip, money, time, uuid};

/// The text of a JSON string, or a number as it was written.
pub(super) fn text(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'"' if !json.contains('\\') => json.get(1..json.len() - 1).map(Cow::Borrowed),
        b'"' => serde_json::from_str(json).ok().map(Cow::Owned),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(json)),
        _ => None,
    }
}

/// Text that is not empty and fits into `bytes_max`.
pub(super) fn short(json: Option<&str>, bytes_max: usize) -> Option<Cow<'_, str>> {
    text(json?).filter(|text| !text.is_empty() && text.len() <= bytes_max)
}

/// JSON `true`.
pub(super) fn is_true(json: Option<&str>) -> bool {
    json == Some("true")
}

/// An address; the unspecified one is how SDKs say that there is none.
pub(super) fn ip(json: Option<&str>) -> Option<String> {
    let text = text(json?)?;
    let bytes = ip::parse(text.as_bytes())?;
    let is_none = matches!(text.as_ref(), "0.0.0.0") || bytes == [0; 16];
    (!is_none).then(|| text.into_owned())
}

/// Whether `text` is a UUID as people write it: 36 characters, hyphens, any case.
pub(super) fn is_uuid(text: &str) -> bool {
    uuid::parse(text.as_bytes()).is_some()
}

/// Whether `text` is the UUID of zeros.
pub(super) fn is_nil(text: &str) -> bool {
    uuid::parse(text.as_bytes()) == Some([0; 16])
}

/// Money the parser can keep exactly, as it was sent.
pub(super) fn money(json: Option<&str>) -> Option<&str> {
    let json = json?;
    let text = text(json)?;
    let micros = if json.starts_with('"') {
        money::string(text.as_bytes())
    } else {
        money::number(text.as_bytes())
    };
    micros.map(|_| json)
}

/// A currency code, upper case.
pub(super) fn currency(json: Option<&str>) -> Option<String> {
    let code = money::currency(text(json?)?.as_bytes())?;
    Some(code.into_iter().map(char::from).collect())
}

/// A time as JSON the parser takes. SDKs write dates without leading zeros or without an offset
/// (Segment's own documentation does); both are made whole, nothing else is.
pub(super) fn time(json: Option<&str>) -> Option<Cow<'_, str>> {
    let json = json?;
    let text = text(json)?;
    if !json.starts_with('"') {
        return time::epoch(json.as_bytes()).is_ok().then_some(Cow::Borrowed(json));
    }
    if time::rfc3339(text.as_bytes()).is_ok() {
        return Some(Cow::Borrowed(json));
    }
    let whole = whole_time(&text)?;
    time::rfc3339(whole.as_bytes()).is_ok().then(|| Cow::Owned(format!("\"{whole}\"")))
}

/// RFC 3339 of a time that only lacks zeros, its offset or its time of day.
fn whole_time(text: &str) -> Option<String> {
    let (date, clock) = text.split_once(['T', 't', ' ']).unwrap_or((text, "0:0:0"));
    let cut = clock.find(['Z', 'z', '+', '-', ' ']).unwrap_or(clock.len());
    let (clock, offset) = clock.split_at_checked(cut)?;
    let [year, month, day] = three(date, '-')?;
    let [hour, minute, second] = three(clock, ':').or_else(|| three(&format!("{clock}:0"), ':'))?;
    let (second, fraction) = second.split_once('.').unwrap_or((&second, "0"));
    let offset = whole_offset(offset.trim())?;
    Some(format!(
        "{year}-{month:0>2}-{day:0>2}T{hour:0>2}:{minute:0>2}:{second:0>2}.{fraction}{offset}"
    ))
}

fn three(text: &str, mark: char) -> Option<[String; 3]> {
    let parts: Vec<_> = text.split(mark).map(str::to_owned).collect();
    parts.try_into().ok()
}

/// `Z` or `±hh:mm`; a time without an offset is the server's, which is UTC.
fn whole_offset(text: &str) -> Option<String> {
    let Some(digits) = text.strip_prefix(['+', '-']) else {
        return matches!(text, "" | "Z" | "z" | "UTC").then(|| "Z".to_owned());
    };
    let digits = digits.replace(':', "");
    let (hours, minutes) = digits.split_at_checked(2)?;
    Some(format!("{}{hours}:{minutes:0<2}", text.get(..1)?))
}
