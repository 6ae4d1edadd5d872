//! Addresses: text in, 16 bytes out, IPv4 mapped into IPv6.

use core::net::Ipv6Addr;

/// The first twelve bytes of a mapped IPv4 address.
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// A strict IPv4 (four decimal octets, no leading zeros) or IPv6 address (no zone).
#[inline]
pub fn parse(text: &[u8]) -> Option<[u8; 16]> {
    if let Some(octets) = v4(text) {
        let mut bytes = [0; 16];
        bytes[..12].copy_from_slice(&MAPPED);
        bytes[12..].copy_from_slice(&octets);
        return Some(bytes);
    }
    let text = std::str::from_utf8(text).ok()?;
    text.parse::<Ipv6Addr>().ok().map(|address| address.octets())
}

#[inline]
fn v4(text: &[u8]) -> Option<[u8; 4]> {
    if text.len() > 15 {
        return None;
    }
    let mut octets = [0_u8; 4];
    let (mut index, mut value, mut digits) = (0, 0_u16, 0);
    for &byte in text {
        if byte == b'.' {
            *octets.get_mut(index)? = u8::try_from(value).ok().filter(|_| digits > 0)?;
            (index, value, digits) = (index + 1, 0, 0);
            continue;
        }
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 || digits == 3 || (digits > 0 && value == 0) {
            return None;
        }
        (value, digits) = (value * 10 + u16::from(digit), digits + 1);
    }
    *octets.get_mut(index)? = u8::try_from(value).ok().filter(|_| digits > 0)?;
    (index == 3).then_some(octets)
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

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::{parse, truncate};

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
    fn truncation_keeps_the_network() {
        let cut = |text: &str| Ipv6Addr::from(truncate(parse(text.as_bytes()).unwrap()));
        assert_eq!(cut("1.2.3.4"), Ipv4Addr::new(1, 2, 3, 0).to_ipv6_mapped());
        assert_eq!(cut("2001:db8:1:2:3:4:5:6"), "2001:db8:1::".parse::<Ipv6Addr>().unwrap());
    }
}
