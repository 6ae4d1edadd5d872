//! What this build runs on, as Python sees it.

use pyo3::prelude::*;

use crate::door::threads;

/// The vector instructions in use, and how many threads work is shared among.
#[pyfunction]
pub(crate) fn info() -> (&'static str, usize) {
    (unmogrowp_core::simd(), threads())
}
