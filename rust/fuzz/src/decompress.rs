//! Whatever is sent: never more bytes than allowed, and of what was packed exactly what it was.

#![no_main]

use std::io::{Read, Write};

use libfuzzer_sys::fuzz_target;
use unmogrowp_core::decompress::{decompress, stream};
use unmogrowp_core::limits::Limits;

const ENCODINGS: [Option<&str>; 6] =
    [None, Some("identity"), Some("gzip"), Some("zstd"), Some("deflate"), Some("br")];
const PLAIN_BYTES_MAX: usize = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let [choice, body @ ..] = bytes else { return };
    let encoding = ENCODINGS[usize::from(*choice) % ENCODINGS.len()];
    let limits = Limits { decompressed_bytes: PLAIN_BYTES_MAX, ..Limits::default() };
    if let Ok(plain) = decompress(body, encoding, &limits) {
        assert!(plain.len() <= PLAIN_BYTES_MAX);
    }
    streamed(body, encoding);
    let Some(name) = encoding.filter(|name| *name != "identity") else { return };
    let packed = pack(body, name);
    let plain = decompress(&packed, Some(name), &limits).expect("it was packed well");
    assert_eq!(&*plain, body, "{name}");
    assert_eq!(streamed(&packed, Some(name)).as_deref(), Some(body), "{name}");
});

/// What comes out piece by piece, if it is what it says.
fn streamed(body: &[u8], encoding: Option<&str>) -> Option<Vec<u8>> {
    let source = stream(Box::new(std::io::Cursor::new(body.to_vec())), encoding);
    let mut plain = Vec::new();
    let limit = PLAIN_BYTES_MAX as u64;
    source.expect("memory can be read").ok()?.take(limit).read_to_end(&mut plain).ok()?;
    Some(plain)
}

fn pack(plain: &[u8], encoding: &str) -> Vec<u8> {
    let level = flate2::Compression::fast();
    let packed = match encoding {
        "gzip" => written(flate2::write::GzEncoder::new(Vec::new(), level), plain).finish(),
        "deflate" => written(flate2::write::ZlibEncoder::new(Vec::new(), level), plain).finish(),
        "zstd" => zstd::encode_all(plain, 1),
        _ => {
            Ok(written(brotli::CompressorWriter::new(Vec::new(), 4096, 3, 16), plain).into_inner())
        }
    };
    packed.expect("memory can be written")
}

fn written<W: Write>(mut writer: W, plain: &[u8]) -> W {
    writer.write_all(plain).expect("memory can be written");
    writer
}
