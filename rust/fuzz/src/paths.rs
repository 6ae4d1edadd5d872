//! Every kernel finds what its twin in plain Rust finds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use unmogrowp_scan::{Index, Isa, MAPPED, ROWS, ipv4, ipv4s, string_end, uuid, uuids};

fuzz_target!(|bytes: &[u8]| {
    let plain = Isa::supported().last().expect("plain Rust is always there");
    let (mut expected, mut found) = (Index::default(), Index::default());
    let spans = spans(bytes);
    for isa in Isa::supported() {
        // The second time over what the first left behind.
        for base in [0, 7] {
            expected.fill(plain, bytes, base);
            found.fill(isa, bytes, base);
            assert_eq!(found.quotes, expected.quotes, "{isa:?}");
            assert_eq!(found.lines, expected.lines, "{isa:?}");
        }
        let mut out = [[0x5a; 16]; ROWS];
        let good = uuids(isa, bytes, |row| spans[row], u64::MAX, &mut out);
        let mut addresses = [[0x5a; 16]; ROWS];
        let near = |row: usize| (spans[row].0, spans[row].0 + row as u32 % 17);
        let mapped = ipv4s(isa, bytes, near, u64::MAX, &mut addresses);
        for row in 0..ROWS {
            let text = text(bytes, spans[row]);
            let value = text.and_then(uuid);
            assert_eq!(good >> row & 1 == 1, value.is_some(), "{isa:?} {text:?}");
            assert_eq!(out[row], value.unwrap_or([0x5a; 16]), "{isa:?} {text:?}");
            let text = self::text(bytes, near(row));
            let value = text.and_then(ipv4);
            assert_eq!(mapped >> row & 1 == 1, value.is_some(), "{isa:?} {text:?}");
            if let Some(octets) = value {
                assert_eq!(addresses[row], *[&MAPPED[..], &octets].concat(), "{isa:?} {text:?}");
            }
        }
    }
    for start in [0, bytes.len() / 2, bytes.len()] {
        let special = |&byte: &u8| byte == b'"' || byte == b'\\' || byte < 0x20;
        let end = bytes[start..].iter().position(special).map_or(bytes.len(), |at| start + at);
        assert_eq!(string_end(bytes, start), end);
    }
});

fn text(bytes: &[u8], (start, stop): (u32, u32)) -> Option<&[u8]> {
    bytes.get(start as usize..stop as usize)
}

/// Where UUIDs might lie: the length of one at the first places, and spans that the bytes name.
fn spans(bytes: &[u8]) -> [(u32, u32); ROWS] {
    let named = |row: usize| u32::from(bytes.get(row).copied().unwrap_or(0));
    std::array::from_fn(|row| {
        let start = row as u32;
        if row % 4 == 3 { (named(row), named(row + 1)) } else { (start, start + 36) }
    })
}
