//! Where many texts lie in, the sixteen bytes that each of them spells out.

/// Values that are converted together: one bit of a word each.
pub const ROWS: usize = 64;

/// Convert each wanted row by `read`, which gets where its text starts and stops. Returns the bits
/// of those that are a value; the others leave their place as it was.
#[inline(always)]
#[allow(clippy::inline_always, reason = "it is the loop of each kernel")]
pub(crate) fn convert(
    span: impl Fn(usize) -> (u32, u32),
    mut rows: u64,
    out: &mut [[u8; 16]; ROWS],
    read: impl Fn(usize, usize) -> Option<[u8; 16]>,
) -> u64 {
    let mut good = 0;
    while rows != 0 {
        let row = rows.trailing_zeros() as usize;
        let (start, stop) = span(row);
        if let Some(bytes) = read(start as usize, stop as usize) {
            out[row] = bytes;
            good |= 1 << row;
        }
        rows &= rows - 1;
    }
    good
}
