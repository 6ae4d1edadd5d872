//! 64 words of 64 bits in, rows and columns exchanged out.

use super::block::each;

/// Rows up to which single bits are moved: most requests bring one.
pub(crate) const FEW_ROWS: usize = 4;

/// [`transpose`] where only the first `rows` words are not zero.
pub(crate) fn turn(block: &mut [u64; 64], rows: usize) {
    if rows > FEW_ROWS {
        return transpose(block);
    }
    let mut turned = [0; 64];
    for (row, &word) in block[..rows].iter().enumerate() {
        each(word, |column| turned[column] |= 1 << row);
    }
    *block = turned;
}

/// Turn 64 rows of 64 bits around: bit `c` of word `r` becomes bit `r` of word `c`.
pub(crate) fn transpose(block: &mut [u64; 64]) {
    swap::<32>(block, 0x0000_0000_ffff_ffff);
    swap::<16>(block, 0x0000_ffff_0000_ffff);
    swap::<8>(block, 0x00ff_00ff_00ff_00ff);
    swap::<4>(block, 0x0f0f_0f0f_0f0f_0f0f);
    swap::<2>(block, 0x3333_3333_3333_3333);
    swap::<1>(block, 0x5555_5555_5555_5555);
}

/// Exchange the upper bits of each `WIDTH` words with the lower bits of the next.
#[inline]
fn swap<const WIDTH: usize>(block: &mut [u64; 64], mask: u64) {
    for pair in block.chunks_exact_mut(2 * WIDTH) {
        let (first, second) = pair.split_at_mut(WIDTH);
        for (a, b) in first.iter_mut().zip(second) {
            let swap = (*a >> WIDTH ^ *b) & mask;
            *a ^= swap << WIDTH;
            *b ^= swap;
        }
    }
}
