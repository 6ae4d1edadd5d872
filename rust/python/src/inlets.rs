//! Where third-party SDKs put their key: needed before anything else is done with a body.

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use unmogrowp_core::decompress::decompress;
use unmogrowp_core::inlet;
use unmogrowp_core::limits::Limits;

use crate::door::{Door, Plain};

/// The key `find` sees in the decompressed body; none in one that cannot be read.
fn key(
    py: Python<'_>,
    body: PyBackedBytes,
    encoding: Option<&str>,
    find: fn(&[u8]) -> Option<String>,
) -> PyResult<Option<String>> {
    py.enter(move || {
        let plain = decompress(&body, encoding, &Limits::default());
        Ok::<_, Plain>(plain.ok().and_then(|plain| find(&plain)))
    })
}

/// The write key in the body of a Segment call, for clients without a Basic user.
#[pyfunction]
#[pyo3(signature = (body, encoding=None))]
pub(crate) fn segment_key(
    py: Python<'_>,
    body: PyBackedBytes,
    encoding: Option<&str>,
) -> PyResult<Option<String>> {
    key(py, body, encoding, inlet::segment_key)
}

/// The project key in the body of a PostHog call.
#[pyfunction]
#[pyo3(signature = (body, encoding=None))]
pub(crate) fn posthog_key(
    py: Python<'_>,
    body: PyBackedBytes,
    encoding: Option<&str>,
) -> PyResult<Option<String>> {
    key(py, body, encoding, inlet::posthog_key)
}
