//! Bytes in, 128 bits under a salt out, by which they are told apart.

use std::hash::{BuildHasher, Hasher};

use foldhash::quality::FixedState;

/// Makes digests wide enough that no two values of a table share one, and that cannot be guessed
/// where the salt cannot.
#[derive(Clone)]
pub(crate) struct Digester([FixedState; 2]);

impl Digester {
    pub(crate) fn new(salt: u64) -> Self {
        Self([salt, !salt].map(FixedState::with_seed))
    }

    pub(crate) fn digest(&self, bytes: &[u8]) -> [u64; 2] {
        self.0.each_ref().map(|state| {
            let mut hasher = state.build_hasher();
            // The length is part of what is written.
            hasher.write(bytes);
            hasher.finish()
        })
    }
}
