//! Addresses: text in, 16 bytes out, IPv4 mapped into IPv6.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::borrow::Cow;

pub(crate) use unmogrowp_scan::MAPPED;
use unmogrowp_scan::{HEX, ipv4};

/// A strict IPv4 (four decimal octets, no leading zeros) or IPv6 address (no zone).
#[inline]
pub fn parse(text: &[u8]) -> Option<[u8; 16]> {
    let mapped = |octets: [u8; 4]| Ipv4Addr::from(octets).to_ipv6_mapped().octets();
    ipv4(text).map(mapped).or_else(|| v6(text))
}

/// Groups of an IPv6 address.
const GROUPS: usize = 8;

/// An IPv6 address.
pub(crate) fn v6(text: &[u8]) -> Option<[u8; 16]> {
    // One colon more than groups, each group of four digits.
    if text.len() > 5 * GROUPS - 1 {
        return None;
    }
    let (mut groups, mut count, mut gap) = ([0; GROUPS], 0, None);
    let (mut group, mut digits, mut rest) = (0_u16, 0, text);
    if text.starts_with(b"::") {
        (gap, rest) = (Some(0), &text[2..]);
    }
    while let [byte, after @ ..] = rest {
        rest = after;
        let digit = HEX[usize::from(*byte)];
        if digit < 16 && digits < 4 {
            (group, digits) = (group << 4 | u16::from(digit), digits + 1);
            continue;
        }
        if *byte == b'.' {
            return with_v4(text);
        }
        if *byte != b':' || digits == 0 || count == GROUPS - 1 {
            return None;
        }
        groups[count] = group;
        (group, digits, count) = (0, 0, count + 1);
        if let [b':', after @ ..] = rest {
            if gap.replace(count).is_some() {
                return None;
            }
            rest = after;
        } else if rest.is_empty() {
            return None;
        }
    }
    if digits > 0 {
        groups[count] = group;
        count += 1;
    }
    let start = match gap {
        None if count == GROUPS => GROUPS,
        // It stands for one group at least.
        Some(start) if count < GROUPS => start,
        _ => return None,
    };
    let mut spread = [0; GROUPS];
    spread[..start].copy_from_slice(&groups[..start]);
    spread[start + GROUPS - count..].copy_from_slice(&groups[start..count]);
    Some(Ipv6Addr::from(spread).octets())
}

/// An IPv6 address that ends like an IPv4 address.
#[cold]
fn with_v4(text: &[u8]) -> Option<[u8; 16]> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse::<Ipv6Addr>().ok().map(|address| address.octets())
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

    use proptest::prelude::*;

    use super::{parse, truncate, truncated};

    proptest! {
        #[test]
        fn nearly_addresses_agree_with_the_standard_library(
            parts in prop::collection::vec(
                prop_oneof![
                    3 => "[0-9a-fA-F]{1,4}",
                    1 => "[0-9a-g]{0,5}",
                    1 => Just(String::new()),
                ],
                1..10,
            ),
            tail in prop::sample::select(&["", "", "", ":1.2.3.4", ":", "::"][..]),
        ) {
            let text = parts.join(":") + tail;
            let expected = text.parse::<Ipv6Addr>().ok().map(|address| address.octets());
            prop_assert_eq!(parse(text.as_bytes()), expected, "{}", text);
        }
    }

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
