//! Kernels for x86-64: AVX-512 and AVX2. Each has its twin in plain Rust beside its caller.

#![allow(unsafe_code, reason = "vector instructions are two to ten times as fast, see docs")]

use core::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm_andnot_si128, _mm_cmpeq_epi8, _mm_cmpgt_epi32,
    _mm_cvtsi128_si32, _mm_loadu_si128, _mm_madd_epi16, _mm_maddubs_epi16, _mm_min_epu8,
    _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8, _mm_set1_epi16, _mm_set1_epi32, _mm_setr_epi8,
    _mm_shuffle_epi8, _mm_storeu_si128, _mm_sub_epi8, _mm256_add_epi8, _mm256_blendv_epi8,
    _mm256_castsi256_si128, _mm256_cmpeq_epi8, _mm256_cmpgt_epi8, _mm256_loadu_si256,
    _mm256_maddubs_epi16, _mm256_max_epu8, _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256,
    _mm256_packus_epi16, _mm256_permute4x64_epi64, _mm256_set_m128i, _mm256_set1_epi8,
    _mm256_set1_epi16, _mm256_sub_epi8, _mm256_testz_si256, _mm512_add_epi32,
    _mm512_castsi512_si128, _mm512_castsi512_si256, _mm512_cmpeq_epi8_mask, _mm512_cmplt_epi8_mask,
    _mm512_cmplt_epu8_mask, _mm512_cvtepu8_epi32, _mm512_extracti32x4_epi32, _mm512_loadu_si512,
    _mm512_maskz_compress_epi8, _mm512_maskz_loadu_epi8, _mm512_movepi8_mask, _mm512_set1_epi8,
    _mm512_set1_epi32, _mm512_storeu_si512,
};

use crate::index::{BLOCK, Index, Marks, Pen, narrow, padded};
use crate::ip;
use crate::isa::{Isa, Path};
use crate::rows::ROWS;
use crate::uuid::{CHARS, convert};

/// Room that a kernel may write beyond what it keeps.
const SLACK: usize = BLOCK;

/// Quotes of one block at most, and room to write whole vectors.
fn reserve(index: &mut Index, bytes: &[u8]) {
    index.quotes.reserve(bytes.len() + SLACK);
}

pub(crate) fn index_avx512(isa: Isa, bytes: &[u8], base: u32, index: &mut Index) {
    assert!(isa.path() == Path::Avx512, "the caller matched on the path");
    reserve(index, bytes);
    // SAFETY: an `Isa` of this path exists only where all its instructions were detected.
    unsafe { fill_avx512(bytes, base, index) }
}

pub(crate) fn index_avx2(isa: Isa, bytes: &[u8], base: u32, index: &mut Index) {
    assert!(isa.path() == Path::Avx2, "the caller matched on the path");
    reserve(index, bytes);
    // SAFETY: an `Isa` of this path exists only where all its instructions were detected.
    unsafe { fill_avx2(bytes, base, index) }
}

/// Walks blocks of bytes, keeps the quotes, and notes the lines. The functions that are named are
/// of one instruction set, and so is the function this is expanded in.
macro_rules! fill {
    ($bytes:expr, $base:expr, $index:expr, $quotes:ident, $marks:ident, $flatten:ident) => {{
        let Index { quotes, lines } = $index;
        let (whole, rest) = $bytes.as_chunks::<BLOCK>();
        let last = padded(rest);
        let mut pen = Pen::new(lines);
        let mut at: u32 = $base;
        let mut kept = 0_usize;
        debug_assert!(quotes.capacity() >= $bytes.len() + SLACK);
        for part in [whole, if rest.is_empty() { &[] } else { core::slice::from_ref(&last) }] {
            for block in part {
                let quote = $quotes(block);
                // SAFETY: at most as many quotes were kept as there were bytes before this block
                // (the padding has none), so a block's worth is left of what `reserve` made.
                unsafe { $flatten(quote, at, quotes.as_mut_ptr().add(kept)) };
                if let Some(marks) = $marks(block) {
                    pen.note(block, quote, marks, at, narrow(kept));
                }
                kept += quote.count_ones() as usize;
                at = at.wrapping_add(64);
            }
        }
        // SAFETY: the first `kept` places were written above.
        unsafe { quotes.set_len(kept) };
        pen.close($base, $base.wrapping_add(narrow($bytes.len())), narrow(kept));
    }};
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2")]
fn fill_avx512(bytes: &[u8], base: u32, index: &mut Index) {
    fill!(bytes, base, index, quotes_avx512, marks_avx512, flatten_avx512);
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
fn fill_avx2(bytes: &[u8], base: u32, index: &mut Index) {
    fill!(bytes, base, index, quotes_avx2, marks_avx2, flatten_avx2);
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_avx512(block: &[u8; BLOCK]) -> __m512i {
    // SAFETY: the array has the 64 bytes that are read; the load needs no alignment.
    unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn quotes_avx512(block: &[u8; BLOCK]) -> u64 {
    _mm512_cmpeq_epi8_mask(load_avx512(block), _mm512_set1_epi8(b'"'.cast_signed()))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn marks_avx512(block: &[u8; BLOCK]) -> Option<Marks> {
    let bytes = load_avx512(block);
    let is = |byte: u8| _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(byte.cast_signed()));
    let (slash, space) = (is(b'\\'), _mm512_set1_epi8(0x20));
    // As signed numbers, bytes beyond ASCII are below a space too.
    if _mm512_cmplt_epi8_mask(bytes, space) | slash == 0 {
        return None;
    }
    Some(Marks {
        newline: is(b'\n'),
        control: _mm512_cmplt_epu8_mask(bytes, space),
        slash,
        wide: _mm512_movepi8_mask(bytes),
    })
}

/// 0 to 63.
const COUNT: [u8; BLOCK] = {
    let mut count = [0; BLOCK];
    let mut at = 0_u8;
    while at < 64 {
        count[at as usize] = at;
        at += 1;
    }
    count
};

/// Write `at` plus the position of each set bit to `out`, sixteen at a time.
///
/// # Safety
///
/// There is room for 64 values at `out`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
unsafe fn flatten_avx512(bits: u64, at: u32, out: *mut u32) {
    // SAFETY: the array has the 64 bytes that are read; the load needs no alignment.
    let count = unsafe { _mm512_loadu_si512(COUNT.as_ptr().cast()) };
    let places = _mm512_maskz_compress_epi8(bits, count);
    let base = _mm512_set1_epi32(at.cast_signed());
    let wide = |places: __m512i, out: *mut u32| {
        let values = _mm512_add_epi32(_mm512_cvtepu8_epi32(_mm512_castsi512_si128(places)), base);
        // SAFETY: sixteen values fit, see each call.
        unsafe { _mm512_storeu_si512(out.cast(), values) };
    };
    wide(places, out);
    if bits.count_ones() > 16 {
        let quarter = |part: __m128i, out: *mut u32| {
            let values = _mm512_add_epi32(_mm512_cvtepu8_epi32(part), base);
            // SAFETY: the caller has room for 64 values; the last of these is the 64th.
            unsafe { _mm512_storeu_si512(out.cast(), values) };
        };
        // SAFETY: 16, 32 and 48 lie inside the room for 64.
        unsafe {
            quarter(_mm512_extracti32x4_epi32::<1>(places), out.add(16));
            quarter(_mm512_extracti32x4_epi32::<2>(places), out.add(32));
            quarter(_mm512_extracti32x4_epi32::<3>(places), out.add(48));
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_avx2(block: &[u8; BLOCK]) -> [__m256i; 2] {
    // SAFETY: the array has the 64 bytes that are read; the loads need no alignment.
    unsafe {
        [
            _mm256_loadu_si256(block.as_ptr().cast()),
            _mm256_loadu_si256(block.as_ptr().add(32).cast()),
        ]
    }
}

/// The high bits of 64 bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn high_bits([low, high]: [__m256i; 2]) -> u64 {
    let bits = |half| u64::from(_mm256_movemask_epi8(half).cast_unsigned());
    bits(low) | bits(high) << 32
}

#[inline]
#[target_feature(enable = "avx2")]
fn quotes_avx2(block: &[u8; BLOCK]) -> u64 {
    let quote = _mm256_set1_epi8(b'"'.cast_signed());
    let [low, high] = load_avx2(block);
    high_bits([_mm256_cmpeq_epi8(low, quote), _mm256_cmpeq_epi8(high, quote)])
}

#[inline]
#[target_feature(enable = "avx2")]
fn marks_avx2(block: &[u8; BLOCK]) -> Option<Marks> {
    let set = |byte: u8| _mm256_set1_epi8(byte.cast_signed());
    let [low, high] = load_avx2(block);
    let slash = |half| _mm256_cmpeq_epi8(half, set(b'\\'));
    // As signed numbers, bytes beyond ASCII are below a space too.
    let any = |half| _mm256_or_si256(_mm256_cmpgt_epi8(set(0x20), half), slash(half));
    let found = _mm256_or_si256(any(low), any(high));
    if _mm256_testz_si256(found, found) == 1 {
        return None;
    }
    let newline = |half| _mm256_cmpeq_epi8(half, set(b'\n'));
    let small = |half| _mm256_cmpeq_epi8(_mm256_max_epu8(half, set(0x1f)), set(0x1f));
    Some(Marks {
        newline: high_bits([newline(low), newline(high)]),
        control: high_bits([small(low), small(high)]),
        slash: high_bits([slash(low), slash(high)]),
        wide: high_bits([low, high]),
    })
}

/// Write `at` plus the position of each set bit to `out`: twelve, which few blocks exceed, then
/// four at a time.
///
/// # Safety
///
/// There is room for 64 values at `out`.
#[inline]
#[target_feature(enable = "bmi1,popcnt")]
unsafe fn flatten_avx2(mut bits: u64, at: u32, out: *mut u32) {
    let count = bits.count_ones() as usize;
    let mut next = |place: usize| {
        // Past the last bit this is 64 and gets overwritten or cut off.
        // SAFETY: places are below 64, see each call.
        unsafe { out.add(place).write(at.wrapping_add(bits.trailing_zeros())) };
        bits &= bits.wrapping_sub(1);
    };
    for place in 0..12 {
        next(place);
    }
    // Steps end once all bits, at most 64, are written, and 60 is the last place a step starts at.
    for step in (12..count).step_by(4) {
        for place in step..step + 4 {
            next(place);
        }
    }
}

pub(crate) fn uuids_avx512(
    isa: Isa,
    text: &[u8],
    span: impl Fn(usize) -> (u32, u32),
    rows: u64,
    out: &mut [[u8; 16]; ROWS],
) -> u64 {
    assert!(isa.path() == Path::Avx512, "the caller matched on the path");
    // SAFETY: an `Isa` of this path exists only where all its instructions were detected.
    unsafe { convert_avx512(text, span, rows, out) }
}

pub(crate) fn uuids_avx2(
    isa: Isa,
    text: &[u8],
    span: impl Fn(usize) -> (u32, u32),
    rows: u64,
    out: &mut [[u8; 16]; ROWS],
) -> u64 {
    assert!(isa.path() == Path::Avx2, "the caller matched on the path");
    // SAFETY: an `Isa` of this path exists only where all its instructions were detected.
    unsafe { convert_avx2(text, span, rows, out) }
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2")]
fn convert_avx512(
    text: &[u8],
    span: impl Fn(usize) -> (u32, u32),
    rows: u64,
    out: &mut [[u8; 16]; ROWS],
) -> u64 {
    convert(text, span, rows, out, |chars| uuid_avx512(chars))
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
fn convert_avx2(
    text: &[u8],
    span: impl Fn(usize) -> (u32, u32),
    rows: u64,
    out: &mut [[u8; 16]; ROWS],
) -> u64 {
    convert(text, span, rows, out, |chars| uuid_avx2(chars))
}

/// Which of the 36 characters are hyphens.
const HYPHENS: u64 = 1 << 8 | 1 << 13 | 1 << 18 | 1 << 23;
const ALL: u64 = (1 << CHARS) - 1;

#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2")]
fn uuid_avx512(chars: &[u8; CHARS]) -> Option<[u8; 16]> {
    // SAFETY: the mask keeps the load to the 36 bytes of the array.
    let text = unsafe { _mm512_maskz_loadu_epi8(ALL, chars.as_ptr().cast()) };
    let hyphens = _mm512_cmpeq_epi8_mask(text, _mm512_set1_epi8(b'-'.cast_signed()));
    let digits = _mm512_castsi512_si256(_mm512_maskz_compress_epi8(ALL & !HYPHENS, text));
    let (bytes, is_hex) = pack(digits);
    (is_hex && hyphens == HYPHENS).then_some(bytes)
}

#[inline]
#[target_feature(enable = "avx2")]
fn uuid_avx2(chars: &[u8; CHARS]) -> Option<[u8; 16]> {
    // SAFETY: 16 bytes from 0, 8 and 20 on end at 16, 24 and 36, inside the array.
    let [low, middle, high] =
        unsafe { [0, 8, 20].map(|at| _mm_loadu_si128(chars.as_ptr().add(at).cast())) };
    let z = -1;
    let first = _mm_or_si128(
        _mm_shuffle_epi8(low, _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, z, z, z, z, z, z, z, z)),
        _mm_shuffle_epi8(middle, _mm_setr_epi8(z, z, z, z, z, z, z, z, 1, 2, 3, 4, 6, 7, 8, 9)),
    );
    let second = _mm_or_si128(
        _mm_shuffle_epi8(middle, _mm_setr_epi8(11, 12, 13, 14, z, z, z, z, z, z, z, z, z, z, z, z)),
        _mm_shuffle_epi8(high, _mm_setr_epi8(z, z, z, z, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)),
    );
    let (bytes, is_hex) = pack(_mm256_set_m128i(second, first));
    let hyphens = [chars[8], chars[13], chars[18], chars[23]] == *b"----";
    (is_hex && hyphens).then_some(bytes)
}

/// The bytes that 32 hexadecimal digits spell, and whether they all are digits.
#[inline]
#[target_feature(enable = "avx2")]
fn pack(digits: __m256i) -> ([u8; 16], bool) {
    let set = |byte: u8| _mm256_set1_epi8(byte.cast_signed());
    // In unsigned bytes `x < n` is `min(x, n - 1) == x`.
    let below = |x, n: u8| _mm256_cmpeq_epi8(_mm256_min_epu8(x, set(n - 1)), x);
    let decimal = _mm256_sub_epi8(digits, set(b'0'));
    let letter = _mm256_sub_epi8(_mm256_or_si256(digits, set(0x20)), set(b'a'));
    let (is_decimal, is_letter) = (below(decimal, 10), below(letter, 6));
    let is_hex = _mm256_movemask_epi8(_mm256_or_si256(is_decimal, is_letter)) == -1;
    let nibbles = _mm256_blendv_epi8(_mm256_add_epi8(letter, set(10)), decimal, is_decimal);
    // Sixteen times the even ones plus the odd ones, as 16-bit numbers, then their low bytes.
    let pairs = _mm256_maddubs_epi16(nibbles, _mm256_set1_epi16(0x0110));
    let packed = _mm256_packus_epi16(pairs, pairs);
    let packed = _mm256_permute4x64_epi64::<0b00_00_10_00>(packed);
    let mut bytes = [0; 16];
    // SAFETY: the array has the 16 bytes that are written; the store needs no alignment.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), _mm256_castsi256_si128(packed)) };
    (bytes, is_hex)
}

pub(crate) fn ipv4s(
    isa: Isa,
    text: &[u8],
    span: impl Fn(usize) -> (u32, u32),
    rows: u64,
    out: &mut [[u8; 16]; ROWS],
) -> u64 {
    assert!(matches!(isa.path(), Path::Avx512 | Path::Avx2), "the caller matched on the path");
    // SAFETY: an `Isa` of these paths exists only where AVX2 and BMI were detected.
    unsafe { ipv4s_avx2(text, span, rows, out) }
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
fn ipv4s_avx2(
    text: &[u8],
    span: impl Fn(usize) -> (u32, u32),
    rows: u64,
    out: &mut [[u8; 16]; ROWS],
) -> u64 {
    ip::convert(text, span, rows, out, |chars, length| ipv4_avx2(chars, length))
}

/// How the digits of four octets are brought to four places of four bytes, and the least value that
/// needs as many.
#[derive(Clone, Copy)]
#[repr(align(32))]
struct Octets {
    places: [u8; 16],
    least: [i32; 4],
}

/// By the digits of each octet, less one, two bits each.
static OCTETS: [Octets; 256] = {
    // A place above 127 makes a zero.
    let mut table = [Octets { places: [0x80; 16], least: [0; 4] }; 256];
    let mut at = 0_usize;
    while at < 256 {
        let (mut octet, mut start) = (0, 0);
        while octet < 4 {
            let count = COUNT[(at >> (2 * octet) & 3) + 1];
            let mut digit = 0;
            while digit < count && digit < 3 {
                table[at].places[4 * octet + 3 - digit as usize] = start + count - 1 - digit;
                digit += 1;
            }
            table[at].least[octet] = [0, 10, 100, 1_000][count as usize - 1];
            start += count + 1;
            octet += 1;
        }
        at += 1;
    }
    table
};

#[inline]
#[target_feature(enable = "avx2,bmi1,popcnt")]
fn ipv4_avx2(chars: &[u8; 16], length: usize) -> Option<[u8; 4]> {
    // SAFETY: the array has the 16 bytes that are read; the load needs no alignment.
    let text = unsafe { _mm_loadu_si128(chars.as_ptr().cast()) };
    let dots = _mm_movemask_epi8(_mm_cmpeq_epi8(text, _mm_set1_epi8(b'.'.cast_signed())));
    let dots = dots.cast_unsigned() & !(u32::MAX << length);
    if dots.count_ones() != 3 {
        return None;
    }
    // How many digits each octet has, less one; what is no number of digits wraps to above 2.
    let (first, rest) = (dots.trailing_zeros(), dots & (dots - 1));
    let (second, third) = (rest.trailing_zeros(), dots.ilog2());
    let counts = [
        first.wrapping_sub(1),
        second.wrapping_sub(first + 2),
        third.wrapping_sub(second + 2),
        narrow(length).wrapping_sub(third + 2),
    ];
    if counts.iter().fold(0, |all, count| all | count) > 3 {
        return None;
    }
    let at = counts[0] | counts[1] << 2 | counts[2] << 4 | counts[3] << 6;
    let Octets { places, least } = &OCTETS[at as usize % OCTETS.len()];
    // SAFETY: both arrays have the 16 bytes that are read; the loads need no alignment.
    let (places, least) = unsafe {
        (_mm_loadu_si128(places.as_ptr().cast()), _mm_loadu_si128(least.as_ptr().cast()))
    };
    let digits = _mm_shuffle_epi8(_mm_sub_epi8(text, _mm_set1_epi8(b'0'.cast_signed())), places);
    let is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digits, _mm_set1_epi8(9)), digits);
    // Hundreds, and tens and ones, as 16-bit numbers; then both together.
    let weights = _mm_setr_epi8(0, 100, 10, 1, 0, 100, 10, 1, 0, 100, 10, 1, 0, 100, 10, 1);
    let values = _mm_madd_epi16(_mm_maddubs_epi16(digits, weights), _mm_set1_epi16(1));
    let is_less = _mm_cmpgt_epi32(least, values);
    let is_more = _mm_cmpgt_epi32(values, _mm_set1_epi32(255));
    let wrong = _mm_or_si128(is_less, is_more);
    if _mm_movemask_epi8(_mm_andnot_si128(wrong, is_digit)) != 0xffff {
        return None;
    }
    let z = -1;
    let low = _mm_setr_epi8(0, 4, 8, 12, z, z, z, z, z, z, z, z, z, z, z, z);
    Some(_mm_cvtsi128_si32(_mm_shuffle_epi8(values, low)).to_le_bytes())
}
