//! The index kernel for ARM64. Its twin in plain Rust stands beside its caller.

#![allow(unsafe_code, reason = "vector instructions, as on x86-64")]

use core::arch::aarch64::{
    uint8x16_t, vandq_u8, vceqq_u8, vcgeq_u8, vcltq_u8, vdupq_n_u8, vgetq_lane_u64, vld1q_u8,
    vpaddq_u8, vreinterpretq_u64_u8,
};

use crate::index::{BLOCK, Index, Marks};
use crate::isa::{Isa, Path};

pub(crate) fn index(isa: Isa, bytes: &[u8], base: u32, index: &mut Index) {
    assert!(isa.path() == Path::Neon, "the caller matched on the path");
    // SAFETY: an `Isa` of this path exists only on ARM64, which always has NEON.
    index.fill_with(bytes, base, |block| unsafe { quotes(block) }, |block| unsafe { marks(block) });
}

#[inline]
#[target_feature(enable = "neon")]
fn load(block: &[u8; BLOCK]) -> [uint8x16_t; 4] {
    // SAFETY: 16 bytes from 0, 16, 32 and 48 on end at 64, inside the array.
    unsafe { [0, 16, 32, 48].map(|at| vld1q_u8(block.as_ptr().add(at))) }
}

#[inline]
#[target_feature(enable = "neon")]
fn is(block: &[u8; BLOCK], byte: u8) -> [uint8x16_t; 4] {
    load(block).map(|part| vceqq_u8(part, vdupq_n_u8(byte)))
}

#[inline]
#[target_feature(enable = "neon")]
fn quotes(block: &[u8; BLOCK]) -> u64 {
    bits(is(block, b'"'))
}

#[inline]
#[target_feature(enable = "neon")]
fn marks(block: &[u8; BLOCK]) -> Option<Marks> {
    let control = bits(load(block).map(|part| vcltq_u8(part, vdupq_n_u8(0x20))));
    let slash = bits(is(block, b'\\'));
    let wide = bits(load(block).map(|part| vcgeq_u8(part, vdupq_n_u8(0x80))));
    let newline = || bits(is(block, b'\n'));
    (control | slash | wide != 0).then(|| Marks { newline: newline(), control, slash, wide })
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
