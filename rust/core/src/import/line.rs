//! Values in, the JSON that says them out.

use std::io::Write as _;

use serde_json::value::RawValue;

use crate::calendar::date;

/// A string in quotes. What is no UTF-8 stays so: the parser says that.
pub(super) fn text(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate().filter(|(_, byte)| must_be_escaped(**byte)) {
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            control => put(out, format_args!("\\u{control:04x}")),
        }
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

fn must_be_escaped(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// A text that holds one JSON object as that object, any other as a text, which the parser refuses
/// where an object belongs. It cannot end early and go on as something else.
pub(super) fn object(bytes: &[u8], out: &mut Vec<u8>) {
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(value) if value.get().starts_with('{') => {
            // A line break can only stand between tokens, where a space does as well.
            let is_break = |byte: u8| matches!(byte, b'\n' | b'\r');
            out.extend(value.get().bytes().map(|byte| if is_break(byte) { b' ' } else { byte }));
        }
        _ => text(bytes, out),
    }
}

/// A number as it is written, where it is one of JSON; else a text.
pub(super) fn number(bytes: &[u8], out: &mut Vec<u8>) {
    let is_number = bytes.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-')
        && serde_json::from_slice::<&RawValue>(bytes).is_ok();
    if is_number { out.extend_from_slice(bytes) } else { text(bytes, out) }
}

/// Millionths as a decimal.
pub(super) fn micros(value: i64, out: &mut Vec<u8>) {
    let sign = if value < 0 { "-" } else { "" };
    let (whole, rest) = (value.unsigned_abs() / 1_000_000, value.unsigned_abs() % 1_000_000);
    put(out, format_args!("\"{sign}{whole}.{rest:06}\""));
}

const DAY_US: i64 = 86_400_000_000;

/// Microseconds since 1970 as RFC 3339 in UTC.
pub(super) fn time(us: i64, out: &mut Vec<u8>) {
    let (days, rest) = (us.div_euclid(DAY_US), us.rem_euclid(DAY_US));
    let (year, month, day) = date(days);
    let (seconds, us) = (rest / 1_000_000, rest % 1_000_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    put(
        out,
        format_args!(
            "\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{us:06}Z\""
        ),
    );
}

/// Append what is formatted; writing into memory cannot fail.
pub(super) fn put(out: &mut Vec<u8>, value: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(value);
}
