//! Text in, IPv4 addresses out, many at a time.

use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::Path;
use crate::rows::{self, ROWS};

/// The first twelve bytes of an IPv4 address that is mapped into IPv6.
pub const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// Characters of the longest and of the shortest address.
pub(crate) const LONGEST: usize = 15;
pub(crate) const SHORTEST: usize = 7;

/// Four decimal octets without leading zeros.
#[inline]
pub fn ipv4(text: &[u8]) -> Option<[u8; 4]> {
    if text.len() > LONGEST {
        return None;
    }
    let (mut octets, mut at, mut octet) = ([0; 4], 0, None);
    for &byte in text {
        match (byte, octet) {
            (b'0'..=b'9', None) => octet = Some(u32::from(byte - b'0')),
            (b'0'..=b'9', Some(value @ 1..=99)) => {
                octet = Some(value * 10 + u32::from(byte - b'0'));
            }
            (b'.', Some(value)) if at < 3 => {
                octets[at] = u8::try_from(value).ok()?;
                (at, octet) = (at + 1, None);
            }
            _ => return None,
        }
    }
    octets[3] = u8::try_from(octet?).ok()?;
    (at == 3).then_some(octets)
}

/// Read the addresses that lie at `span` of `text`, for each bit of `rows`, and map them into
/// IPv6. Returns the bits of those that are one; the others leave their place as it was.
pub fn ipv4s(
    isa: Isa,
    text: &[u8],
    span: impl Fn(usize) -> (u32, u32),
    rows: u64,
    out: &mut [[u8; 16]; ROWS],
) -> u64 {
    match isa.path() {
        #[cfg(target_arch = "x86_64")]
        Path::Avx512 | Path::Avx2 => crate::x86::ipv4s(isa, text, span, rows, out),
        _ => convert(text, span, rows, out, |chars, length| ipv4(&chars[..length])),
    }
}

/// Read each wanted row by `read`, which gets a text with what lies behind it.
#[inline(always)]
#[allow(clippy::inline_always, reason = "it is the loop of each kernel")]
pub(crate) fn convert(
    text: &[u8],
    span: impl Fn(usize) -> (u32, u32),
    wanted: u64,
    out: &mut [[u8; 16]; ROWS],
    read: impl Fn(&[u8; 16], usize) -> Option<[u8; 4]>,
) -> u64 {
    rows::convert(span, wanted, out, |start, stop| {
        let length = stop.wrapping_sub(start);
        if !(SHORTEST..=LONGEST).contains(&length) || stop > text.len() {
            return None;
        }
        let mut chars = [0; 16];
        match text[start..].first_chunk() {
            Some(sixteen) => chars = *sixteen,
            None => chars[..length].copy_from_slice(&text[start..stop]),
        }
        let octets = read(&chars, length)?;
        let mut mapped = [0; 16];
        mapped[..12].copy_from_slice(&MAPPED);
        mapped[12..].copy_from_slice(&octets);
        Some(mapped)
    })
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::{Isa, MAPPED, ROWS, ipv4, ipv4s};

    /// Every path reads what the standard library reads, at the end of a text and inside one.
    fn check(text: &[u8]) {
        let known = std::str::from_utf8(text).ok().and_then(|text| text.parse::<Ipv4Addr>().ok());
        let known = known.map(|address| address.octets());
        assert_eq!(ipv4(text), known, "{text:?}");
        for behind in [&b""[..], b".", b"7", b"\",\"os\":\"1.2.3.4\""] {
            let body = [b"1.", text, behind].concat();
            let stop = u32::try_from(text.len() + 2).unwrap();
            for isa in Isa::supported() {
                let mut out = [[7; 16]; ROWS];
                let good = ipv4s(isa, &body, |_| (2, stop), 1 << 3, &mut out);
                assert_eq!(good, u64::from(known.is_some()) << 3, "{isa:?} {text:?}");
                if let Some(octets) = known {
                    assert_eq!((&out[3][..12], &out[3][12..]), (&MAPPED[..], &octets[..]));
                } else {
                    assert_eq!(out[3], [7; 16]);
                }
                assert_eq!(out[4], [7; 16]);
            }
        }
    }

    #[test]
    fn every_octet_is_read_at_every_place() {
        for octet in 0..1_200_u32 {
            for form in [format!("{octet}"), format!("0{octet}"), format!("{octet:03}")] {
                for place in 0..4 {
                    let mut octets = ["1", "23", "0", "255"];
                    octets[place] = &form;
                    check(octets.join(".").as_bytes());
                }
            }
        }
    }

    #[test]
    fn every_byte_is_judged_at_every_place() {
        for text in [&b"1.2.3.4"[..], b"10.200.3.44", b"192.168.100.200"] {
            for place in 0..text.len() {
                for byte in 0..=255 {
                    let mut text = text.to_vec();
                    text[place] = byte;
                    check(&text);
                }
            }
        }
        let digits = "999999999999999";
        for text in
            [digits, "", ".", "...", "1.2.3", "1.2.3.", ".1.2.3", "1..2.3", "1.2.3.4.5", "1.2.3.4."]
        {
            check(text.as_bytes());
        }
    }

    #[test]
    fn spans_outside_the_text_are_no_addresses() {
        for isa in Isa::supported() {
            let mut out = [[0; 16]; ROWS];
            for span in [(0, 8), (7, 0), (u32::MAX, 7), (u32::MAX - 7, u32::MAX), (9, 16)] {
                assert_eq!(ipv4s(isa, b"1.2.3.4", |_| span, u64::MAX, &mut out), 0);
            }
        }
    }
}
