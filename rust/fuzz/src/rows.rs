//! Rows of the spool that no seal vouches for: refused or decoded, never a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use unmogrowp_core::row;

fuzz_target!(|payload: &[u8]| {
    let mut sealed = vec![row::ROWS_VERSION];
    sealed.extend_from_slice(payload);
    for payload in [payload, &sealed] {
        if let Ok(events) = row::decode(payload) {
            assert!(events.num_rows() <= payload.len());
        }
    }
});
