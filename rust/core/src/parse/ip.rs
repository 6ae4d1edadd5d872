//! Addresses: text in, 16 bytes out, IPv4 mapped into IPv6.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::borrow::Cow;

/// The first twelve bytes of a mapped IPv4 address.
pub(crate) const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// A strict IPv4 (four decimal octets, no leading zeros) or IPv6 address (no zone).
#[inline]
pub fn parse(text: &[u8]) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    if text.len() < 16 {
        bytes[..text.len()].copy_from_slice(text);
        if let Some(address) = v4(u128::from_le_bytes(bytes), text.len()) {
            return Some(address);
        }
    }
    let text = std::str::from_utf8(text).ok()?;
    text.parse::<Ipv6Addr>().ok().map(|address| address.octets())
}

/// The same of the bytes that lie here: with others behind them, they are read at once.
#[inline]
pub(crate) fn parse_at(around: &[u8], (start, stop): (u32, u32)) -> Option<[u8; 16]> {
    let (start, length) = (start as usize, stop.wrapping_sub(start) as usize);
    let found = around.get(start..).and_then(<[u8]>::first_chunk::<16>);
    if let (1..16, Some(sixteen)) = (length, found) {
        let own = u128::MAX >> (8 * (16 - length));
        if let Some(address) = v4(u128::from_le_bytes(*sixteen) & own, length) {
            return Some(address);
        }
    }
    parse(around.get(start..stop as usize)?)
}

/// The octet of which `word` ends in the last of `count` digits.
#[inline]
fn octet(word: u128, count: u32) -> Option<u8> {
    if !(1..=3).contains(&count) {
        return None;
    }
    // The last four bytes; those before the digits become zeros.
    let four = u32::try_from(word & 0xffff_ffff).ok()?;
    let digits = (four ^ 0x3030_3030) & u32::MAX << (8 * (4 - count));
    let [_, hundreds, tens, ones] = digits.to_le_bytes();
    let first = digits >> (8 * (4 - count)) & 0xff;
    let value = u32::from(hundreds) * 100 + u32::from(tens) * 10 + u32::from(ones);
    let is_good = hundreds < 10 && tens < 10 && ones < 10 && (first > 0 || count == 1);
    u8::try_from(value).ok().filter(|_| is_good)
}

/// All bytes of a text at once, zeros behind: where the dots are tells where each octet's digits
/// end.
#[inline]
fn v4(word: u128, length: usize) -> Option<[u8; 16]> {
    const DOTS: u128 = u128::from_le_bytes([b'.'; 16]);
    const LOW: u128 = u128::from_le_bytes([0x7f; 16]);
    // The high bit of a byte stays clear where it is a dot, and only there.
    let other = word ^ DOTS;
    let mut dots = !(((other & LOW) + LOW) | other) & !LOW;
    if dots.count_ones() != 3 {
        return None;
    }
    let shifted = |at: u32| if at >= 4 { word >> (8 * (at - 4)) } else { word << (8 * (4 - at)) };
    let (mut address, mut start) = ([0; 16], 0);
    address[..12].copy_from_slice(&MAPPED);
    for value in &mut address[12..] {
        let at = if dots == 0 { u32::try_from(length).ok()? } else { dots.trailing_zeros() / 8 };
        *value = octet(shifted(at), at - start)?;
        start = at + 1;
        dots &= dots.wrapping_sub(1);
    }
    Some(address)
}

/// Forget the device: an IPv4 address loses its last octet, an IPv6 address keeps its /48.
pub fn truncate(mut bytes: [u8; 16]) -> [u8; 16] {
    if bytes[..12] == MAPPED {
        bytes[15] = 0;
    } else {
        bytes[6..].fill(0);
    }
    bytes
}

/// A text with every address in it truncated, wherever it stands.
pub fn truncated(text: &[u8]) -> Cow<'_, [u8]> {
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
    let mut made: Vec<u8> = Vec::new();
    let (mut kept, mut at) = (0, 0);
    while let Some(start) = text[at..].iter().position(is_part).map(|more| at + more) {
        let stop = text[start..].iter().position(|byte| !is_part(byte));
        let stop = stop.map_or(text.len(), |more| start + more);
        // A colon before a bare number, a dot that ends a sentence.
        let run = &text[start..stop];
        let front = usize::from(run.starts_with(b":") && !run.starts_with(b"::"));
        let back = usize::from(run.ends_with(b".") || run.ends_with(b":") && !run.ends_with(b"::"));
        let (first, last) = (start + front, stop.saturating_sub(back).max(start + front));
        if let Some(address) = parse(&text[first..last]) {
            made.extend_from_slice(&text[kept..first]);
            made.extend_from_slice(written(truncate(address)).as_bytes());
            kept = last;
        }
        at = stop;
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    made.extend_from_slice(&text[kept..]);
    Cow::Owned(made)
}

fn written(bytes: [u8; 16]) -> String {
    match bytes {
        [.., a, b, c, d] if bytes[..12] == MAPPED => Ipv4Addr::new(a, b, c, d).to_string(),
        _ => Ipv6Addr::from(bytes).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::{parse, truncate, truncated};

    #[test]
    fn addresses_agree_with_the_standard_library() {
        for text in [
            "1.2.3.4",
            "255.255.255.255",
            "0.0.0.0",
            "::",
            "::1",
            "2001:db8::1",
            "::ffff:1.2.3.4",
            "1:2:3:4:5:6:7:8",
            "999.1.1.1",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "1.2.3.",
            ".1.2.3",
            "1..2.3",
            "2001:::1",
            "host",
            "",
            "1.2.3.4 ",
            "fe80::1%eth0",
            "[::1]",
            "1.2.3.4/24",
            "256.1.1.1",
            "1.2.3.0000",
            "0.0.0.00",
            "10.0.0.1",
            "12345::",
        ] {
            let expected = text.parse::<IpAddr>().ok().map(|address| match address {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            });
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn addresses_in_a_text_are_truncated_wherever_they_stand() {
        for (text, expected) in [
            (r#"{"ip":"10.1.2.3","x":1}"#, r#"{"ip":"10.1.2.0","x":1}"#),
            (r#"{"ip":10.1.2.33,"#, r#"{"ip":10.1.2.0,"#),
            ("from 10.1.2.3.", "from 10.1.2.0."),
            ("10.1.2.3", "10.1.2.0"),
            ("[2001:db8:1:2::9]:80", "[2001:db8:1::]:80"),
            ("2001:db8:1:2::9 and 1.2.3.4", "2001:db8:1:: and 1.2.3.0"),
            ("at 12:30:59, version 1.2.3, 1e5", "at 12:30:59, version 1.2.3, 1e5"),
            ("", ""),
        ] {
            let made = truncated(text.as_bytes());
            assert_eq!(std::str::from_utf8(&made).unwrap(), expected);
        }
        let mut damaged = b"\xff10.1.2.3\xfe".to_vec();
        assert_eq!(&*truncated(&damaged), b"\xff10.1.2.0\xfe");
        damaged.truncate(4);
        assert_eq!(&*truncated(&damaged), &damaged[..]);
    }

    #[test]
    fn truncation_keeps_the_network() {
        let cut = |text: &str| Ipv6Addr::from(truncate(parse(text.as_bytes()).unwrap()));
        assert_eq!(cut("1.2.3.4"), Ipv4Addr::new(1, 2, 3, 0).to_ipv6_mapped());
        assert_eq!(cut("2001:db8:1:2:3:4:5:6"), "2001:db8:1::".parse::<Ipv6Addr>().unwrap());
    }
}
