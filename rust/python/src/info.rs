//! What this build runs on, as Python sees it.

use std::num::NonZero;

use pyo3::prelude::*;

/// `UNMOGROWP_THREADS`, else as many as the machine runs at once.
pub(crate) fn threads() -> usize {
    let wanted = std::env::var("UNMOGROWP_THREADS").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get)).max(1)
}

/// The vector instructions in use, and how many threads work is shared among.
#[pyfunction]
pub(crate) fn info() -> (&'static str, usize) {
    (unmogrowp_core::simd(), threads())
}
