//! Memory that one call frees is there for the next one.

use std::hint::black_box;
use std::sync::Once;

/// Just below 32 MiB, the largest block from which glibc learns: it counts its own header, whole
/// pages and the flags in the low bits.
const LEARNT: usize = (32 << 20) - (64 << 10);

/// Have the C library keep freed blocks of up to 32 MiB, and up to 64 MiB of them in each of its
/// arenas, from the first call on.
///
/// At first glibc gives whatever is above 128 KiB back to the machine at once, and the next call
/// pays for every page again: a quarter of parsing a body of 13 MB. It raises both thresholds when
/// it sees a larger block freed, so one is freed here that nobody ever wrote to. Where
/// `MALLOC_MMAP_THRESHOLD_` or `MALLOC_TRIM_THRESHOLD_` is set, what they say holds; other C
/// libraries are not touched by it.
pub(crate) fn keep_freed() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut block = Vec::<u8>::new();
        // Where so much is not to be had, everything stays as it was.
        if block.try_reserve_exact(LEARNT).is_ok() {
            drop(black_box(block));
        }
    });
}
