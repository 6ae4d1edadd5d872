//! The index kernel for ARM64. Its twin in plain Rust stands beside its caller.

#![allow(unsafe_code, reason = "vector instructions, as on x86-64")]

use core::arch::aarch64::{
    uint8x16_t, vandq_u8, vceqq_u8, vcgeq_u8, vcltq_u8, vdupq_n_u8, vgetq_lane_u64, vld1q_u8,
    vorrq_u8, vpaddq_u8, vreinterpretq_u64_u8,
};

use crate::index::{BLOCK, Index, Masks};
use crate::isa::{Isa, Path};

pub(crate) fn index(isa: Isa, bytes: &[u8], base: u32, index: &mut Index) {
    assert!(isa.path() == Path::Neon, "the caller matched on the path");
    // SAFETY: an `Isa` of this path exists only on ARM64, which always has NEON.
    index.fill_with(bytes, base, |block| unsafe { classify(block) });
}

#[inline]
#[target_feature(enable = "neon")]
fn classify(block: &[u8; BLOCK]) -> Masks {
    // SAFETY: 16 bytes from 0, 16, 32 and 48 on end at 64, inside the array.
    let parts = unsafe { [0, 16, 32, 48].map(|at| vld1q_u8(block.as_ptr().add(at))) };
    let is = |byte: u8| parts.map(|part| vceqq_u8(part, vdupq_n_u8(byte)));
    let small = parts.map(|part| vcltq_u8(part, vdupq_n_u8(0x20)));
    let slash = is(b'\\');
    let odd = [0, 1, 2, 3].map(|at| vorrq_u8(small[at], slash[at]));
    Masks {
        quote: bits(is(b'"')),
        newline: bits(is(b'\n')),
        odd: bits(odd),
        wide: bits(parts.map(|part| vcgeq_u8(part, vdupq_n_u8(0x80)))),
    }
}

/// One bit per byte, which is all ones or zero: each keeps the bit of its place, and neighbours
/// are added until eight places share a byte.
#[inline]
#[target_feature(enable = "neon")]
fn bits(parts: [uint8x16_t; 4]) -> u64 {
    const PLACES: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
    // SAFETY: the array has the 16 bytes that are read.
    let places = unsafe { vld1q_u8(PLACES.as_ptr()) };
    let [a, b, c, d] = parts.map(|part| vandq_u8(part, places));
    let sum = vpaddq_u8(vpaddq_u8(a, b), vpaddq_u8(c, d));
    vgetq_lane_u64::<0>(vreinterpretq_u64_u8(vpaddq_u8(sum, sum)))
}
