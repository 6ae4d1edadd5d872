//! 16-byte columns in, their usual text out: UUIDs with hyphens, addresses as people write them.

use core::net::Ipv6Addr;
use std::fmt::Write as _;

use arrow_array::builder::StringBuilder;
use arrow_array::{Array, FixedSizeBinaryArray, StringArray};

/// Longest text of an address, which is longer than that of a UUID.
const TEXT_BYTES: usize = 45;

/// UUIDs as lower-case text with hyphens; the array is allocated once per batch.
///
/// Values of another size than 16 bytes are null.
pub fn uuids(ids: &FixedSizeBinaryArray) -> StringArray {
    texts(ids, |bytes, out| {
        for (at, byte) in bytes.iter().enumerate() {
            let hyphen = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            // Writing into memory cannot fail.
            let _ = write!(out, "{hyphen}{byte:02x}");
        }
    })
}

/// Addresses as text, mapped IPv4 with dots; the array is allocated once per batch.
///
/// Values of another size than 16 bytes are null.
pub fn addresses(ips: &FixedSizeBinaryArray) -> StringArray {
    texts(ips, |bytes, out| {
        let address = Ipv6Addr::from(*bytes).to_canonical();
        // Writing into memory cannot fail.
        let _ = write!(out, "{address}");
    })
}

fn texts(values: &FixedSizeBinaryArray, write: impl Fn(&[u8; 16], &mut String)) -> StringArray {
    let mut out = StringBuilder::with_capacity(values.len(), values.len() * TEXT_BYTES);
    let mut text = String::with_capacity(TEXT_BYTES);
    for value in values {
        text.clear();
        match value.and_then(|bytes| <&[u8; 16]>::try_from(bytes).ok()) {
            Some(bytes) => {
                write(bytes, &mut text);
                out.append_value(&text);
            }
            None => out.append_null(),
        }
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[Option<[u8; 16]>]) -> FixedSizeBinaryArray {
        FixedSizeBinaryArray::try_from_sparse_iter_with_size(values.iter().copied(), 16).unwrap()
    }

    #[test]
    fn a_uuid_has_hyphens() {
        let bytes = std::array::from_fn(|at| u8::try_from(at * 17).unwrap());
        let texts = uuids(&column(&[Some(bytes), None]));
        assert_eq!(texts.value(0), "00112233-4455-6677-8899-aabbccddeeff");
        assert!(texts.is_null(1));
    }

    #[test]
    fn an_address_is_written_as_people_do() {
        let given = ["::ffff:203.0.113.9", "2001:db8::1", "::1"];
        let bytes = given.map(|text| Some(text.parse::<Ipv6Addr>().unwrap().octets()));
        let texts = addresses(&column(&bytes));
        let shown: Vec<_> = texts.iter().flatten().collect();
        assert_eq!(shown, ["203.0.113.9", "2001:db8::1", "::1"]);
    }
}
