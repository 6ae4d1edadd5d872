//! Event ids for events that have none: `UUIDv7`, unique without asking anyone.
//!
//! Time of receipt, then 42 bits drawn once per process, then a counter. Ids of one process
//! differ in few bits, so columns of them compress.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use unmogrowp_core::dedup::Id;

/// Makes ids.
pub(crate) struct Mint {
    /// What all ids of this process share: version, variant and 42 random bits.
    stem: u128,
    next: AtomicU32,
}

const VERSION_7: u128 = 7 << 76;
const VARIANT: u128 = 0b10 << 62;

impl Mint {
    pub(crate) fn new(entropy: [u64; 2]) -> Self {
        let a = u128::from(entropy[0] & 0xfff) << 64;
        let b = u128::from(entropy[1] & 0x3fff_ffff) << 32;
        let next = u32::try_from(entropy[0] >> 32).unwrap_or(0);
        Self { stem: VERSION_7 | VARIANT | a | b, next: AtomicU32::new(next) }
    }

    /// An id of an event that was received at this time.
    pub(crate) fn id(&self, received_at_us: i64) -> Id {
        let ms = u64::try_from(received_at_us / 1_000).unwrap_or(0) & 0xffff_ffff_ffff;
        let count = self.next.fetch_add(1, Relaxed);
        (u128::from(ms) << 80 | self.stem | u128::from(count)).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_7_in_time_order_and_differ() {
        let mint = Mint::new([0x1234_5678_9abc_def0, u64::MAX]);
        let ids: Vec<_> = (0..1000).map(|i| mint.id(1_767_225_600_000_000 + i * 500)).collect();
        for id in &ids {
            assert_eq!((id[6] >> 4, id[8] >> 6), (7, 0b10));
            assert_eq!(id[..4], [0x01, 0x9b, 0x76, 0xda]);
        }
        assert!(ids.is_sorted());
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn processes_make_different_ids() {
        let (one, two) = (Mint::new([1, 2]), Mint::new([1, 3]));
        assert_ne!(one.id(0), two.id(0));
    }
}
