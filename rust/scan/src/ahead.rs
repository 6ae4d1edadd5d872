//! Bytes that will be read soon, called for before they are needed.

/// Bytes that come from memory together.
const LINE: usize = 64;

/// Lines of memory that are called for at once: a usual event's.
const LINES: usize = 11;

/// Have the bytes from `start` on brought near, about as many as an event has. Takes no time of its
/// own: whatever else there is to do is done meanwhile.
///
/// Always as many, because a loop that is left early now and then costs more than a call in vain.
#[inline]
pub fn fetch(text: &[u8], start: usize) {
    if start < text.len() {
        for line in 0..LINES {
            touch(text.as_ptr().wrapping_add(start + line * LINE));
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[allow(
    unsafe_code,
    reason = "a hint to the processor; half of what finding quotes cost was waiting"
)]
fn touch(byte: *const u8) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: every x86-64 has the instruction, which takes any address and reads into no register.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(byte.cast()) };
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
const fn touch(_: *const u8) {}

#[cfg(test)]
mod tests {
    use super::fetch;

    #[test]
    fn any_place_may_be_asked_for() {
        for start in [0, 299, 300, usize::MAX] {
            fetch(&[7; 300], start);
        }
    }
}
