//! One raw JSON value in, a value the parser will take out, or nothing.

use std::borrow::Cow;
use std::net::IpAddr;

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
    let ip: IpAddr = text(json?)?.trim().parse().ok()?;
    (!ip.is_unspecified()).then(|| ip.to_string())
}

/// Whether `text` is a UUID as people write it: 36 characters, hyphens, any case.
pub(super) fn is_uuid(text: &str) -> bool {
    let hyphen = |at| matches!(at, 8 | 13 | 18 | 23);
    let fits =
        |(at, byte): (usize, u8)| if hyphen(at) { byte == b'-' } else { byte.is_ascii_hexdigit() };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

/// Whether every hexadecimal digit of a UUID is zero.
pub(super) fn is_nil(text: &str) -> bool {
    is_uuid(text) && text.bytes().all(|byte| matches!(byte, b'0' | b'-'))
}

/// Money as a plain decimal: exact, at most six decimals, within 64 bits of micros.
pub(super) fn money(json: Option<&str>) -> Option<String> {
    let text = text(json?)?;
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().ok()?),
        None => (text.as_ref(), 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = !whole.is_empty() && all_digits(whole) && all_digits(fraction);
    if !is_number || digits.ends_with('.') || digits.len() > 36 {
        return None;
    }
    let value: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = i32::from(exponent) + 6 - i32::try_from(fraction.len()).ok()?;
    let micros = i64::try_from(scaled(value, scale)?).ok()?;
    let sign = if negative && micros != 0 { "-" } else { "" };
    Some(format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000))
}

/// `value × 10^scale` where that is a whole number.
fn scaled(value: i128, scale: i32) -> Option<i128> {
    if value == 0 {
        return Some(0);
    }
    let factor = 10_i128.checked_pow(scale.unsigned_abs())?;
    if scale >= 0 {
        return value.checked_mul(factor);
    }
    (value % factor == 0).then(|| value / factor)
}

/// A currency code, upper case.
pub(super) fn currency(json: Option<&str>) -> Option<String> {
    let text = text(json?)?;
    let is_code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_code.then(|| text.to_ascii_uppercase())
}

/// A time as JSON the parser takes. SDKs write dates without leading zeros or without an offset
/// (Segment's own documentation does); both are made whole, nothing else is.
pub(super) fn time(json: Option<&str>) -> Option<String> {
    let json = json?;
    if !json.starts_with('"') {
        return is_epoch(json).then(|| json.to_owned());
    }
    let text = text(json)?;
    let (date, clock) = text.split_once(['T', 't', ' ']).unwrap_or((&text, "00:00:00Z"));
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let (year_number, month_number) = (year.parse::<u16>().ok()?, padded(month, 1, 12)?);
    let day_number = padded(day, 1, days(year_number, month_number))?;
    if parts.next().is_some() || year.len() != 4 || !(2000..=2099).contains(&year_number) {
        return None;
    }
    Some(format!("\"{year}-{month_number:02}-{day_number:02}T{}\"", time_of_day(clock)?))
}

/// Whether a number is seconds, milliseconds or microseconds of the years 2000 to 2099.
fn is_epoch(json: &str) -> bool {
    let years = 946_684_800..4_102_444_800;
    let within =
        |value: i64| [1, 1_000, 1_000_000].iter().any(|unit| years.contains(&(value / unit)));
    json.parse().is_ok_and(within)
}

fn days(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) => 29,
        2 => 28,
        _ => 31,
    }
}

/// One or two digits as a number within bounds.
fn padded(text: &str, min: u8, max: u8) -> Option<u8> {
    let is_short = matches!(text.len(), 1 | 2) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|value| is_short && (min..=max).contains(value))
}

fn time_of_day(clock: &str) -> Option<String> {
    let cut = clock.find(['Z', 'z', '+', '-', ' ']).unwrap_or(clock.len());
    let (clock, offset) = clock.split_at_checked(cut)?;
    let mut parts = clock.split(':');
    let (hour, minute) = (padded(parts.next()?, 0, 23)?, padded(parts.next()?, 0, 59)?);
    let seconds = parts.next().unwrap_or("00");
    let (second, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let second = padded(second, 0, 59)?;
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
    if !is_fraction || parts.next().is_some() {
        return None;
    }
    // Digits below a microsecond are cut: no column could keep them.
    let fraction = fraction.get(..6).unwrap_or(fraction);
    Some(format!("{hour:02}:{minute:02}:{second:02}.{fraction}{}", offset_of(offset.trim())?))
}

/// `Z` or `±hh:mm`; without an offset the server's zone, which is UTC.
fn offset_of(text: &str) -> Option<String> {
    let Some(sign) = text.chars().next().filter(|c| matches!(c, '+' | '-')) else {
        return matches!(text, "" | "Z" | "z" | "UTC").then(|| "Z".to_owned());
    };
    let digits: String = text.get(1..)?.chars().filter(|c| *c != ':').collect();
    let digits = if digits.len() == 2 { digits + "00" } else { digits };
    let hours = padded(digits.get(..2)?, 0, 23)?;
    let minutes = padded(digits.get(2..)?, 0, 59)?;
    Some(format!("{sign}{hours:02}:{minutes:02}"))
}
