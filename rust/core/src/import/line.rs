//! Values in, the JSON that says them out.

use std::io::Write as _;

use serde_json::value::RawValue;

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

/// Year, month and day of a day since 1970, by eras of 400 years that begin in March (Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
fn date(days: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    let from_march = days + 719_468;
    let (era, day_of_era) = (from_march.div_euclid(ERA_DAYS), from_march.rem_euclid(ERA_DAYS));
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (400 * era + year_of_era + i64::from(month <= 2), month, day)
}

/// Append what is formatted; writing into memory cannot fail.
pub(super) fn put(out: &mut Vec<u8>, value: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(value);
}
