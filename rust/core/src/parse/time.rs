//! Instants in, microseconds since 1970 in UTC out: RFC 3339 text or an epoch number.

use super::money::{Decimal, decimal};

/// Why a time was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeError {
    /// No RFC 3339 instant and no epoch number.
    Invalid,
    /// A real instant outside the years 2000 to 2099.
    OutOfRange,
}

/// 2000-01-01T00:00:00Z.
pub const FIRST_US: i64 = 946_684_800_000_000;
/// The last microsecond of 2099.
pub const LAST_US: i64 = 4_102_444_799_999_999;

const DAY_S: i64 = 86_400;

/// The instant if it lies in the years 2000 to 2099.
///
/// # Errors
///
/// [`TimeError::OutOfRange`] otherwise.
pub fn in_range(us: i64) -> Result<i64, TimeError> {
    if (FIRST_US..=LAST_US).contains(&us) { Ok(us) } else { Err(TimeError::OutOfRange) }
}

#[inline]
fn two(text: &[u8; 19], at: usize) -> Option<u32> {
    let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
}

const fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn month_days(year: u32, month: u32) -> u32 {
    match month {
        2 => 28 + is_leap(year) as u32,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
fn days(year: u32, month: u32, day: u32) -> i64 {
    // Years that start in March put the leap day last, which makes month lengths regular.
    let (shift, month) = if month > 2 { (0, month - 3) } else { (1, month + 9) };
    let year = i64::from(year) - shift;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let in_year = i64::from((153 * month + 2) / 5 + day - 1);
    year * 365 + leaps + in_year - 719_468
}

/// A strict RFC 3339 instant of any offset. Digits past the microsecond are cut off; a leap second
/// (only 23:59:60 in UTC) is the first second of the next day.
///
/// # Errors
///
/// [`TimeError`] where it is no such text or another century.
#[inline]
pub fn rfc3339(text: &[u8]) -> Result<i64, TimeError> {
    if let Some(us) = quick(text) {
        return Ok(us);
    }
    let us = instant(text).ok_or(TimeError::Invalid)?;
    in_range(us)
}

fn instant(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_first_chunk::<19>()?;
    let marks = [head[4], head[7], head[10] & !0x20, head[13], head[16]];
    if marks != *b"--T::" {
        return None;
    }
    let year = two(head, 0)? * 100 + two(head, 2)?;
    let (month, day) = (two(head, 5)?, two(head, 8)?);
    let (hour, minute, second) = (two(head, 11)?, two(head, 14)?, two(head, 17)?);
    let is_date = (1..=12).contains(&month) && day >= 1 && day <= month_days(year, month);
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction_us, zone) = fraction(tail)?;
    let offset_s = offset(zone)?;
    let clock = i64::from(hour * 3600 + minute * 60 + second);
    let seconds = days(year, month, day) * DAY_S + clock - offset_s;
    if second == 60 && seconds.rem_euclid(DAY_S) != 0 {
        return None;
    }
    Some(seconds * 1_000_000 + fraction_us)
}

/// Bits that a byte must not reach: added to a digit it stays below 128, as does a zero.
const fn room(mut layout: [u8; 8]) -> u64 {
    let mut at = 0;
    while at < 8 {
        layout[at] = if layout[at] == b'0' { 0x76 } else { 0x7f };
        at += 1;
    }
    u64::from_le_bytes(layout)
}

/// The digits of eight bytes, zero elsewhere, if they are laid out so: `0` stands for any digit.
#[inline]
fn laid_out(bytes: [u8; 8], layout: [u8; 8]) -> Option<u64> {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let digits = u64::from_le_bytes(bytes) ^ u64::from_le_bytes(layout);
    let is_so = (digits | (digits & !HIGH).wrapping_add(room(layout))) & HIGH == 0;
    is_so.then_some(digits)
}

/// The two-digit number at a byte of digits.
#[inline]
const fn pair(digits: u64, at: u32) -> u32 {
    let two = digits >> (8 * at);
    (two & 15) as u32 * 10 + (two >> 8 & 15) as u32
}

/// Days of a year before each month, and one of a leap year's from March on.
const BEFORE: [u16; 13] = [0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// The two layouts that nearly everybody sends, in UTC with milliseconds or none, eight digits at a
/// time. None says nothing: the exact way decides.
#[inline]
fn quick(text: &[u8]) -> Option<i64> {
    let (date, rest) = text.split_first_chunk::<8>()?;
    let (clock, rest) = rest.split_first_chunk::<8>()?;
    let tail = match rest {
        [a, b, c, b'Z'] => laid_out([*a, *b, *c, b'.', b'0', b'0', b'0', b'Z'], *b":00.000Z")?,
        _ => laid_out(rest.try_into().ok()?, *b":00.000Z")?,
    };
    let (date, clock) = (laid_out(*date, *b"0000-00-")?, laid_out(*clock, *b"00T00:00")?);
    let (year, month, day) = (pair(date, 0) * 100 + pair(date, 2), pair(date, 5), pair(clock, 0));
    let (hour, minute, second) = (pair(clock, 3), pair(clock, 6), pair(tail, 1));
    let ms = pair(tail, 4) * 10 + (tail >> 48 & 15) as u32;
    let is_good = (2000..2100).contains(&year)
        && month.wrapping_sub(1) < 12
        && day.wrapping_sub(1) < month_days(year, month)
        && hour < 24
        && minute < 60
        && second < 60;
    if !is_good {
        return None;
    }
    // Of these hundred years every fourth is a leap year.
    let years = year - 2000;
    let is_late_leap = month > 2 && years.is_multiple_of(4);
    let before = u32::from(BEFORE[month as usize]) + u32::from(is_late_leap);
    let days = years * 365 + years.div_ceil(4) + before + day - 1;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    Some(FIRST_US + i64::from(seconds) * 1_000_000 + i64::from(ms) * 1_000)
}

/// One to nine digits after a point, as microseconds, and what follows.
#[inline]
fn fraction(tail: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = tail.strip_prefix(b".") else { return Some((0, tail)) };
    let mut us = 0;
    let mut scale = 100_000;
    let mut count = 0;
    while let Some(digit) = digits.get(count).filter(|byte| byte.is_ascii_digit()) {
        us += i64::from(digit - b'0') * scale;
        scale /= 10;
        count += 1;
    }
    (1..=9).contains(&count).then(|| (us, &digits[count..]))
}

/// Seconds east of UTC.
#[inline]
fn offset(zone: &[u8]) -> Option<i64> {
    let &[sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] = zone else {
        return matches!(zone, b"Z" | b"z").then_some(0);
    };
    if ![h1, h2, m1, m2].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let two = |tens: u8, ones: u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
    let (hours, minutes) = (two(h1, h2), two(m1, m2));
    let seconds = hours * 3600 + minutes * 60;
    (hours < 24 && minutes < 60).then_some(if sign == b'-' { -seconds } else { seconds })
}

/// Bounds that tell seconds, milliseconds and microseconds apart; each unit's years 2000 to 2099
/// lie well inside its own range.
const MILLIS_FROM: i128 = 100_000_000_000;
const MICROS_FROM: i128 = 100_000_000_000_000;

/// Eight digits as a number: pairs, fours, then all of them.
#[inline]
const fn eight(digits: u64) -> u64 {
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours * 10_000 + (fours >> 32)) & 0xffff_ffff
}

/// Thirteen digits, which are milliseconds since 2001. None says nothing.
#[inline]
fn quick_millis(text: &[u8]) -> Option<i64> {
    let text: &[u8; 13] = text.try_into().ok()?;
    let (high, low) = (*text.first_chunk::<8>()?, *text.last_chunk::<8>()?);
    // The last eight overlap the first by three.
    let (high, low) = (laid_out(high, *b"00000000")?, laid_out(low, *b"00000000")?);
    let ms = eight(high) * 100_000 + eight(low) % 100_000;
    let us = i64::try_from(ms * 1_000).ok()?;
    (text[0] != b'0').then_some(us).filter(|us| in_range(*us).is_ok())
}

/// A JSON number of seconds, milliseconds or microseconds since 1970, told apart by magnitude.
/// A fraction is taken where it is a whole number of microseconds.
///
/// # Errors
///
/// [`TimeError`] where it is no such number or another century.
#[inline]
pub fn epoch(text: &[u8]) -> Result<i64, TimeError> {
    if let Some(us) = quick_millis(text) {
        return Ok(us);
    }
    let millionths = match decimal(text) {
        Decimal::Micros(value) => value,
        Decimal::TooLarge => return Err(TimeError::OutOfRange),
        Decimal::TooFine | Decimal::Invalid => return Err(TimeError::Invalid),
    };
    let size = millionths.unsigned_abs() / 1_000_000;
    let divisor = if size < MILLIS_FROM.unsigned_abs() {
        1
    } else if size < MICROS_FROM.unsigned_abs() {
        1_000
    } else {
        1_000_000
    };
    if millionths % divisor != 0 {
        return Err(TimeError::Invalid);
    }
    i64::try_from(millionths / divisor).map_err(|_| TimeError::OutOfRange).and_then(in_range)
}

#[cfg(test)]
mod tests {
    use super::{TimeError, epoch, rfc3339};

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = super::FIRST_US;
        for year in 2000..2100 {
            for month in 1..=12 {
                for day in 1..=super::month_days(year, month) {
                    let text = format!("{year:04}-{month:02}-{day:02}T00:00:00Z");
                    assert_eq!(rfc3339(text.as_bytes()), Ok(expected), "{text}");
                    expected += super::DAY_S * 1_000_000;
                }
            }
        }
        assert_eq!(expected, super::LAST_US + 1);
    }

    #[test]
    fn offsets_and_fractions_are_exact() {
        let base = 1_767_225_600_000_000;
        for (text, us) in [
            ("2026-01-01T00:00:00Z", base),
            ("2026-01-01t00:00:00.1z", base + 100_000),
            ("2026-01-01T05:30:00.123456789+05:30", base + 123_456),
            ("2025-12-31T16:00:00-08:00", base),
            ("2025-12-31T23:59:60Z", base),
            ("2026-01-01T01:59:60.5+02:00", base + 500_000),
        ] {
            assert_eq!(rfc3339(text.as_bytes()), Ok(us), "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_is_invalid() {
        for text in [
            "",
            "yesterday",
            "2026-01-01",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-00-10T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T12:00:60Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1234567890Z",
            "2026-01-01T00:00:00+0530",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+05:60",
            "2026-01-01T00:00:00ZZ",
            "+026-01-01T00:00:00Z",
            "1767225600",
        ] {
            assert_eq!(rfc3339(text.as_bytes()), Err(TimeError::Invalid), "{text}");
        }
    }

    #[test]
    fn years_outside_are_out_of_range() {
        for text in ["1999-12-31T23:59:59.999999Z", "2100-01-01T00:00:00Z", "0000-01-01T00:00:00Z"]
        {
            assert_eq!(rfc3339(text.as_bytes()), Err(TimeError::OutOfRange), "{text}");
        }
        assert!(rfc3339(b"2099-12-31T23:59:59.999999999Z").is_ok());
        assert!(rfc3339(b"2000-01-01T00:00:00Z").is_ok());
    }

    #[test]
    fn epoch_units_are_told_apart() {
        let us = Ok(1_767_225_600_123_000);
        for text in ["1767225600.123", "1767225600123", "1767225600123000", "1767225600123e0"] {
            assert_eq!(epoch(text.as_bytes()), us, "{text}");
        }
        assert_eq!(epoch(b"1767225600"), Ok(1_767_225_600_000_000));
        assert_eq!(epoch(b"1.7672256e9"), Ok(1_767_225_600_000_000));
        assert_eq!(epoch(b"1767225600123.5"), Ok(1_767_225_600_123_500));
    }

    #[test]
    fn epoch_numbers_that_are_no_time_are_refused() {
        for text in ["-1", "0", "1e30", "1767225600123000000", "-1767225600", "1e999999"] {
            assert_eq!(epoch(text.as_bytes()), Err(TimeError::OutOfRange), "{text}");
        }
        for text in ["1767225600.1234567", "1767225600123000.5"] {
            assert_eq!(epoch(text.as_bytes()), Err(TimeError::Invalid), "{text}");
        }
    }
}
