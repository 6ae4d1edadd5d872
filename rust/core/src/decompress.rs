//! A body as sent in, its plain bytes out: gzip, zstd, deflate and brotli, with a cap.
//!
//! The `Content-Encoding` header is a hint and magic bytes win, because clients and proxies lie in
//! both directions. Brotli has no magic, so only the header can announce it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, Cursor, Read};

use libdeflater::Decompressor as Inflate;
use thiserror::Error;

use crate::limits::Limits;

/// Why a body could not be made plain.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DecompressError {
    /// An encoding we do not speak.
    #[error("content encoding `{0}` is not supported\nhint: send gzip, zstd, deflate, br or plain")]
    Unsupported(String),
    /// It is announced or begins as this encoding, and is not.
    #[error("the {encoding} data is broken: {reason}\nhint: compress the whole body once")]
    Broken {
        /// Name of the encoding.
        encoding: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// More plain bytes than allowed.
    #[error("the body has more than `{limit}` bytes when decompressed\nhint: split it")]
    TooLarge {
        /// [`Limits::decompressed_bytes`].
        limit: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Plain,
    Gzip,
    Zstd,
    Zlib,
    /// Deflate as the header names it: with the zlib wrapper or, from old clients, without.
    Deflate,
    Brotli,
}

impl Encoding {
    fn named(header: &str) -> Result<Self, DecompressError> {
        let name = header.trim().to_ascii_lowercase();
        Ok(match name.as_str() {
            "" | "identity" => Self::Plain,
            "gzip" | "x-gzip" => Self::Gzip,
            "zstd" => Self::Zstd,
            "deflate" => Self::Deflate,
            "br" => Self::Brotli,
            _ => return Err(DecompressError::Unsupported(name)),
        })
    }

    fn by_magic(body: &[u8]) -> Option<Self> {
        match body {
            _ if body.starts_with(GZIP_MAGIC) => Some(Self::Gzip),
            // A frame, or a skippable frame before one.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [cmf @ 0x78, flags, ..] if (u16::from(*cmf) << 8 | u16::from(*flags)) % 31 == 0 => {
                Some(Self::Zlib)
            }
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Zlib | Self::Deflate => "deflate",
            Self::Brotli => "brotli",
        }
    }
}

/// The plain bytes of a body; borrowed where it was plain already.
///
/// # Errors
///
/// [`DecompressError`] for an unknown encoding, broken data, or more bytes than the limit.
pub fn decompress<'a>(
    body: &'a [u8],
    encoding: Option<&str>,
    limits: &Limits,
) -> Result<Cow<'a, [u8]>, DecompressError> {
    let limit = limits.decompressed_bytes;
    let announced = Encoding::named(encoding.unwrap_or_default())?;
    let plain = match (Encoding::by_magic(body), announced) {
        // A brotli stream may begin with any bytes, those of another format included.
        (Some(_), Encoding::Brotli) | (None, _) if announced != Encoding::Plain => {
            unpack_or_plain(body, announced, limit)?
        }
        (Some(found), _) => Cow::Owned(unpack(body, found, limit)?),
        (None, _) => Cow::Borrowed(body),
    };
    if plain.len() > limit { Err(DecompressError::TooLarge { limit }) } else { Ok(plain) }
}

/// The plain bytes of a source, as they come.
///
/// # Errors
///
/// What the source says, and [`DecompressError::Unsupported`] inside.
pub fn stream(
    mut source: Box<dyn Read + Send>,
    encoding: Option<&str>,
) -> io::Result<Result<Box<dyn Read + Send>, DecompressError>> {
    let announced = match Encoding::named(encoding.unwrap_or_default()) {
        Ok(announced) => announced,
        Err(error) => return Ok(Err(error)),
    };
    let mut first = Vec::new();
    (&mut source).take(BUFFER_BYTES as u64).read_to_end(&mut first)?;
    let found = match Encoding::by_magic(&first) {
        Some(found) if announced != Encoding::Brotli => found,
        _ if looks_plain(&first) => Encoding::Plain,
        _ => announced,
    };
    let whole = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(first).chain(source));
    decoder(whole, found).map(Ok)
}

/// What undoes an encoding as bytes come.
fn decoder<'s>(
    source: impl BufRead + Send + 's,
    encoding: Encoding,
) -> io::Result<Box<dyn Read + Send + 's>> {
    Ok(match encoding {
        Encoding::Plain => Box::new(source),
        Encoding::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
        Encoding::Zlib => Box::new(flate2::bufread::ZlibDecoder::new(source)),
        Encoding::Deflate => Box::new(flate2::bufread::DeflateDecoder::new(source)),
        Encoding::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(source)?),
        Encoding::Brotli => Box::new(brotli_decompressor::Decompressor::new(source, BUFFER_BYTES)),
    })
}

/// Try the announced encoding; a body that is JSON to the eye was never compressed.
fn unpack_or_plain(
    body: &[u8],
    announced: Encoding,
    limit: usize,
) -> Result<Cow<'_, [u8]>, DecompressError> {
    match unpack(body, announced, limit) {
        Ok(plain) => Ok(Cow::Owned(plain)),
        Err(error @ DecompressError::TooLarge { .. }) => Err(error),
        Err(_) if looks_plain(body) => Ok(Cow::Borrowed(body)),
        Err(error) => {
            let found = Encoding::by_magic(body);
            found.map_or(Err(error), |found| unpack(body, found, limit).map(Cow::Owned))
        }
    }
}

fn looks_plain(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    body.is_empty() || matches!(body[0], b'{' | b'[')
}

/// All at once, where a body says how much it becomes. Else, and where anything is odd, it is read
/// as a stream, which also tells what is wrong.
fn at_once(body: &[u8], encoding: Encoding, limit: usize) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Gzip => gzip_at_once(body, limit),
        Encoding::Zstd => zstd_at_once(body, limit),
        _ => None,
    }
}

thread_local! {
    static GZIP: RefCell<Inflate> = RefCell::new(Inflate::new());
    static ZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> =
        RefCell::new(zstd::bulk::Decompressor::new().ok());
}

fn gzip_at_once(body: &[u8], limit: usize) -> Option<Vec<u8>> {
    let size = u32::from_le_bytes(*body.last_chunk()?) as usize;
    // The size is that of the last member, and only a stream tells where the first one ends.
    let may_be_more = memchr::memmem::find(body.get(1..)?, GZIP_MAGIC).is_some();
    if may_be_more || size > limit || size / INFLATE_MAX > body.len() {
        return None;
    }
    let mut plain = vec![0; size];
    let found = GZIP.with_borrow_mut(|gzip| gzip.gzip_decompress(body, &mut plain));
    (found == Ok(size)).then_some(plain)
}

fn zstd_at_once(body: &[u8], limit: usize) -> Option<Vec<u8>> {
    let size = zstd::zstd_safe::get_frame_content_size(body).ok()??;
    let size = usize::try_from(size).ok().filter(|size| *size <= limit)?;
    let mut plain = Vec::with_capacity(size);
    // Another frame behind this one finds no room, and then there is no answer.
    let unpack =
        |zstd: &mut zstd::bulk::Decompressor<'_>| zstd.decompress_to_buffer(body, &mut plain).ok();
    let found = ZSTD.with_borrow_mut(|zstd| zstd.as_mut().and_then(unpack));
    (found == Some(size)).then_some(plain)
}

fn unpack(body: &[u8], encoding: Encoding, limit: usize) -> Result<Vec<u8>, DecompressError> {
    if let Some(plain) = at_once(body, encoding, limit) {
        return Ok(plain);
    }
    // Some call it deflate with the zlib wrapper, some without.
    let is_wrapped = Encoding::by_magic(body) == Some(Encoding::Zlib);
    let found = if encoding == Encoding::Deflate && is_wrapped { Encoding::Zlib } else { encoding };
    let room = body.len().saturating_mul(RATIO).min(limit.saturating_add(1)).min(ROOM_BYTES_MAX);
    let mut reader = decoder(body, found).map_err(|error| broken(found, &error))?;
    read_capped(reader.as_mut(), found, limit, room)
}

const BUFFER_BYTES: usize = 65_536;
/// Plain bytes that a byte of a body most often becomes at most: room for them is made at once.
const RATIO: usize = 8;
/// What a byte of deflated data becomes at most.
const INFLATE_MAX: usize = 1_032;
/// What every gzip member begins with.
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b, 8];
/// A body that only says it is compressed gets no more room than that.
const ROOM_BYTES_MAX: usize = 4 << 20;

fn broken(encoding: Encoding, error: &io::Error) -> DecompressError {
    DecompressError::Broken { encoding: encoding.name(), reason: error.to_string() }
}

/// Stops one byte past the limit, so that a bomb costs no more memory than an honest body: what
/// grows beyond its room is put together once it is known to end.
fn read_capped(
    reader: &mut dyn Read,
    encoding: Encoding,
    limit: usize,
    room: usize,
) -> Result<Vec<u8>, DecompressError> {
    let (mut parts, mut total) = (Vec::new(), 0);
    let mut wanted = room.max(1);
    loop {
        let mut part = Vec::with_capacity(wanted);
        let some = reader.take(wanted as u64).read_to_end(&mut part);
        let read = some.map_err(|error| broken(encoding, &error))?;
        total += read;
        if total > limit {
            return Err(DecompressError::TooLarge { limit });
        }
        if read < wanted && parts.is_empty() {
            return Ok(part);
        }
        parts.push(part);
        if read < wanted {
            return Ok(parts.concat());
        }
        wanted = total.min(limit.saturating_sub(total).saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::{DecompressError, Encoding, at_once, decompress};
    use crate::limits::Limits;

    const PLAIN: &[u8] = b"{\"event_name\":\"a\"}\n{\"event_name\":\"b\"}\n";

    /// `PLAIN`, compressed by the reference encoder.
    const BROTLI: &[u8] = &[
        0x1b, 0x25, 0x00, 0x00, 0x84, 0x70, 0x71, 0x3e, 0xc1, 0x17, 0xcc, 0xac, 0x44, 0xbb, 0xf5,
        0x20, 0x93, 0x88, 0x22, 0x8f, 0xa4, 0x2c, 0xce, 0x57, 0x33, 0xff, 0x19, 0xab, 0xe1, 0x4e,
        0x03,
    ];

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(plain: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(plain: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(plain: &[u8]) -> Vec<u8> {
        zstd::encode_all(plain, 3).unwrap()
    }

    fn unpacked(body: &[u8], header: Option<&str>) -> Result<Vec<u8>, DecompressError> {
        decompress(body, header, &Limits::default()).map(std::borrow::Cow::into_owned)
    }

    #[test]
    fn every_encoding_is_undone_by_header_or_magic() {
        for (body, name) in [(gzip(PLAIN), "gzip"), (zlib(PLAIN), "deflate"), (zstd(PLAIN), "ZSTD")]
        {
            for header in [None, Some(name), Some("identity"), Some("gzip"), Some("br")] {
                assert_eq!(unpacked(&body, header).as_deref(), Ok(PLAIN), "{name} as {header:?}");
            }
        }
        assert_eq!(unpacked(&deflate(PLAIN), Some("deflate")).as_deref(), Ok(PLAIN));
        assert_eq!(unpacked(BROTLI, Some("br")).as_deref(), Ok(PLAIN));
    }

    #[test]
    fn members_and_frames_are_joined() {
        let twice = [PLAIN, PLAIN].concat();
        assert_eq!(unpacked(&[gzip(PLAIN), gzip(PLAIN)].concat(), None), Ok(twice.clone()));
        assert_eq!(unpacked(&[zstd(PLAIN), zstd(PLAIN)].concat(), None), Ok(twice));
    }

    #[test]
    fn at_once_and_as_a_stream_come_to_the_same() {
        let lines: Vec<u8> =
            (0..5_000).flat_map(|i| format!("{{\"n\":{i}}}\n").into_bytes()).collect();
        for plain in [&b""[..], b"x", PLAIN, &lines] {
            let sized = zstd::bulk::compress(plain, 3).unwrap();
            assert_eq!(unpacked(&zstd(plain), None).as_deref(), Ok(plain), "without its size");
            for (body, encoding) in [(gzip(plain), Encoding::Gzip), (sized, Encoding::Zstd)] {
                assert_eq!(at_once(&body, encoding, usize::MAX).as_deref(), Some(plain));
                let twice = [&body[..], &body].concat();
                let joined = at_once(&twice, encoding, usize::MAX);
                assert!(joined.is_none() || plain.is_empty(), "only a stream joins them");
                assert_eq!(unpacked(&twice, None), Ok([plain, plain].concat()));
            }
        }
    }

    #[test]
    fn a_size_that_is_not_true_is_not_believed() {
        let honest = gzip(PLAIN);
        for size in [0, 1, 39, 1_000, u32::MAX] {
            let mut body = honest.clone();
            let end = body.len();
            body[end - 4..].copy_from_slice(&u32::to_le_bytes(size));
            assert!(matches!(unpacked(&body, None), Err(DecompressError::Broken { .. })), "{size}");
        }
    }

    #[test]
    fn a_plain_body_passes_under_any_header() {
        for header in [None, Some(""), Some("gzip"), Some("zstd"), Some("deflate"), Some("br")] {
            assert_eq!(unpacked(PLAIN, header).as_deref(), Ok(PLAIN), "{header:?}");
        }
    }

    #[test]
    fn broken_data_is_an_error() {
        for header in ["gzip", "zstd", "deflate", "br"] {
            let found = unpacked(b"\xffnot compressed at all", Some(header));
            assert!(matches!(found, Err(DecompressError::Broken { .. })), "{header}: {found:?}");
        }
        for body in [gzip(PLAIN), zlib(PLAIN), zstd(PLAIN)] {
            for length in [body.len() / 2, body.len() - 1] {
                let found = unpacked(&body[..length], None);
                assert!(matches!(found, Err(DecompressError::Broken { .. })), "{found:?}");
            }
        }
        assert!(matches!(
            unpacked(&BROTLI[..BROTLI.len() - 1], Some("br")),
            Err(DecompressError::Broken { .. })
        ));
        let unsupported = DecompressError::Unsupported("lzma".to_owned());
        assert_eq!(unpacked(PLAIN, Some("lzma")), Err(unsupported));
    }

    #[test]
    fn the_limit_holds_to_the_byte() {
        let bomb = vec![b' '; 1_000];
        for body in [gzip(&bomb), zlib(&bomb), zstd(&bomb), bomb.clone()] {
            let limits = |bytes| Limits { decompressed_bytes: bytes, ..Limits::default() };
            assert!(decompress(&body, None, &limits(1_000)).is_ok());
            let above = decompress(&body, None, &limits(999));
            assert_eq!(above, Err(DecompressError::TooLarge { limit: 999 }));
        }
    }
}
