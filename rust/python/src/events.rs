//! Bytes in, events and rejects out.

use std::io::{self, Read};
use std::sync::atomic::AtomicBool;

use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use unmogrowp_core::decompress::{DecompressError, decompress};
use unmogrowp_core::import::{CsvError, CsvLines, lines};
use unmogrowp_core::limits::Limits;
use unmogrowp_core::parse::{Context, ParseError, parse_batches};

use crate::door::{Door, threads};
use crate::pieces::tables;
use crate::table::Batches;

/// A body that could not be taken apart, on its way to Python.
pub(crate) enum Refused {
    Parse(ParseError),
    Decompress(DecompressError),
    Read(io::Error),
}

impl From<ParseError> for Refused {
    fn from(error: ParseError) -> Self {
        Self::Parse(error)
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl From<Refused> for PyErr {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Parse(error @ ParseError::Cancelled) => {
                PyKeyboardInterrupt::new_err(error.to_string())
            }
            Refused::Parse(error) => PyValueError::new_err(error.to_string()),
            Refused::Decompress(error) => PyValueError::new_err(error.to_string()),
            Refused::Read(error) if is_csv(&error) => PyValueError::new_err(error.to_string()),
            Refused::Read(error) if is_damage(&error) => PyValueError::new_err(format!(
                "the data is broken: {error}\nhint: compress it once, and send all of it"
            )),
            Refused::Read(error) => error.into(),
        }
    }
}

/// Whether it says of itself what is wrong, and what to do.
fn is_csv(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<CsvError>()).is_some()
}

/// Whether a decoder, not the system, says that it cannot be read.
fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    let python = error.get_ref().and_then(|inner| inner.downcast_ref::<PyErr>());
    let is_ours = matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof | Other);
    python.is_none() && error.raw_os_error().is_none() && is_ours
}

/// What one event may be is bounded here too; how many there are is not.
pub(crate) fn limits() -> Limits {
    Limits {
        body_bytes: usize::MAX,
        decompressed_bytes: usize::MAX,
        records: usize::MAX,
        ..Limits::default()
    }
}

/// Up to here a plain body is parsed before anyone could press Ctrl-C, and a thread of its own
/// would cost more than the work.
const SHORT_BYTES: usize = 65_536;

fn from_csv(csv: &[u8]) -> io::Result<Vec<u8>> {
    let mut body = Vec::with_capacity(2 * csv.len());
    CsvLines::new(csv)?.read_to_end(&mut body)?;
    Ok(body)
}

/// Lines of JSON that say the rows of a table, for `parse`.
#[pyfunction]
pub(crate) fn json_lines<'py>(py: Python<'py>, table: &Batches) -> PyResult<Bound<'py, PyBytes>> {
    let body = py.enter(|| {
        let mut body = Vec::new();
        let said = table.batches().iter().try_for_each(|batch| lines(batch, &mut body));
        said.map(|()| body).map_err(crate::journeys::Refused::from)
    })?;
    Ok(PyBytes::new(py, &body))
}

/// Parse a body, compressed or not, into a table of events and one of rejects.
#[pyfunction]
#[pyo3(signature = (
    data, /, *, encoding=None, is_csv=false, app_id=None, received_at_us=None, truncate_ip=false
))]
#[allow(clippy::too_many_arguments, reason = "keywords in Python")]
pub(crate) fn parse(
    py: Python<'_>,
    data: PyBackedBytes,
    encoding: Option<String>,
    is_csv: bool,
    app_id: Option<String>,
    received_at_us: Option<i64>,
    truncate_ip: bool,
) -> PyResult<(Batches, Batches)> {
    let is_plain = encoding.is_none() && !is_csv && matches!(data.first(), Some(b'{' | b'['));
    let is_short = is_plain && data.len() <= SHORT_BYTES;
    let work = move |stop: &AtomicBool| {
        let limits = limits();
        let context = Context { app_id: app_id.as_deref(), received_at_us, truncate_ip, limits };
        let body = decompress(&data, encoding.as_deref(), &limits).map_err(Refused::Decompress)?;
        let body = if is_csv { from_csv(&body).map_err(Refused::Read)?.into() } else { body };
        parse_batches(&body, &context, threads(), stop).map_err(Refused::Parse)
    };
    let found =
        if is_short { py.enter(|| work(&AtomicBool::new(false)))? } else { py.enter_long(work)? };
    Ok(tables(found))
}
