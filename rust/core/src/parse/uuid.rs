//! UUIDs: 36 characters in, 16 bytes out; and the mapping of other text to a UUID.

pub use unmogrowp_scan::uuid as parse;

/// Where the two digits of each byte stand.
const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// Lower-case text with hyphens.
pub fn render(bytes: [u8; 16]) -> String {
    String::from_utf8_lossy(&written(bytes)).into_owned()
}

/// The characters of [`render`].
pub(crate) fn written(bytes: [u8; 16]) -> [u8; 36] {
    let mut text = [b'-'; 36];
    for (byte, place) in bytes.into_iter().zip(PLACES) {
        text[place] = b"0123456789abcdef"[usize::from(byte >> 4)];
        text[place + 1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    text
}

/// The UUID (version 5) of `name` within `namespace`.
pub fn v5(namespace: [u8; 16], name: &[u8]) -> [u8; 16] {
    let mut sha = sha1_smol::Sha1::new();
    sha.update(&namespace);
    sha.update(name);
    let digest = sha.digest().bytes();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x50;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}

/// Version 5 of the URL namespace and `https://unmogrowp.org/event_id`: the root of all mapped ids.
/// It must never change, or the same event sent twice would be stored twice.
const ROOT: [u8; 16] = [
    0x8b, 0xf7, 0xbc, 0xa4, 0x2c, 0xe2, 0x54, 0x20, 0xa5, 0x9e, 0x4f, 0xd1, 0x6b, 0x58, 0xbe, 0xd9,
];

/// The namespace of an app's event ids; an empty name stands for no app.
pub fn namespace(app_id: &[u8]) -> [u8; 16] {
    v5(ROOT, app_id)
}

#[cfg(test)]
mod tests {
    use super::{parse, render, v5};

    #[test]
    fn text_survives_a_round_trip() {
        let text = "6ba7b811-9dad-11d1-80b4-00c04fd430c8";
        assert_eq!(render(parse(text.as_bytes()).unwrap()), text);
        assert_eq!(parse(text.to_uppercase().as_bytes()), parse(text.as_bytes()));
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "{6ba7b811-9dad-11d1-80b4-00c04fd430c8}",
            "6ba7b8119dad11d180b400c04fd430c8",
            "6ba7b811-9dad-11d1-80b4-00c04fd430cg",
            "6ba7b811-9dad-11d1-80b4000c04fd430c8",
            "6ba7b81-19dad-11d1-80b4-00c04fd430c8",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn version_five_agrees_with_the_standard() {
        let dns = parse(b"6ba7b810-9dad-11d1-80b4-00c04fd430c8").unwrap();
        assert_eq!(render(v5(dns, b"python.org")), "886313e1-3b8a-5372-9b90-0c9aee199e5d");
    }
}
