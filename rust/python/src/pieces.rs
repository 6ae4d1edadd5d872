//! A source of any length in, a table of events and one of rejects out for each piece of it.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use unmogrowp_core::decompress::stream;
use unmogrowp_core::import::CsvLines;
use unmogrowp_core::parse::{self, Before, Stream, Terms};
use unmogrowp_core::schema;

use crate::door::{Door, threads};
use crate::events::{Refused, limits};
use crate::table::Batches;

/// Where the bytes of a source come from.
#[derive(FromPyObject)]
pub(crate) enum Source {
    /// A file, by its path.
    Path(PathBuf),
    /// A callable that gives the next bytes, none at the end.
    Callable(Py<PyAny>),
}

/// Calls Python for more.
struct Called {
    next: Py<PyAny>,
    chunk: Option<PyBackedBytes>,
    at: usize,
}

impl Called {
    fn call(&self) -> PyResult<PyBackedBytes> {
        let called = Python::try_attach(|py| Ok(self.next.bind(py).call0()?.extract()?));
        called.unwrap_or_else(|| Err(io::Error::other("the interpreter is ending").into()))
    }
}

impl Read for Called {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.chunk.take().filter(|chunk| self.at < chunk.len());
        let chunk = if let Some(chunk) = left {
            chunk
        } else {
            self.at = 0;
            self.call()?
        };
        let read = (&chunk[self.at..]).read(out)?;
        self.chunk = Some(chunk);
        self.at += read;
        Ok(read)
    }
}

/// Counts what is read.
struct Counted<R> {
    source: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(out)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Plain lines of JSON, whatever the source holds.
fn opened(
    source: Box<dyn Read + Send>,
    encoding: Option<&str>,
    is_csv: bool,
) -> Result<Box<dyn Read + Send>, Refused> {
    let plain = stream(source, encoding)?.map_err(Refused::Decompress)?;
    Ok(if is_csv { Box::new(CsvLines::new(plain)?) } else { plain })
}

type Parts = (Batches, Batches);

/// What was found, as Python gets it.
pub(crate) fn tables(found: parse::Batches) -> Parts {
    (Batches::new(schema::arrow(), found.events), Batches::from(found.rejects))
}

/// Parses a source of lines piece by piece.
#[pyclass(frozen, module = "unmogrowp._core")]
pub(crate) struct Pieces {
    stream: Arc<Mutex<Stream<Refused>>>,
    read_bytes: Arc<AtomicU64>,
}

#[pymethods]
impl Pieces {
    /// Open a path, or take bytes from a callable until it gives none. What lies before the place
    /// `start` is passed over.
    #[new]
    #[pyo3(signature = (
        source, *, piece_bytes, start=(0, 0), encoding=None, is_csv=false, app_id=None,
        received_at_us=None, truncate_ip=false
    ))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn new(
        source: Source,
        piece_bytes: usize,
        start: (u64, u64),
        encoding: Option<String>,
        is_csv: bool,
        app_id: Option<String>,
        received_at_us: Option<i64>,
        truncate_ip: bool,
    ) -> PyResult<Self> {
        let read_bytes = Arc::new(AtomicU64::new(0));
        let bytes = read_bytes.clone();
        let source: Box<dyn Read + Send> = match source {
            Source::Path(path) => Box::new(Counted { source: File::open(path)?, bytes }),
            Source::Callable(next) => {
                Box::new(Counted { source: Called { next, chunk: None, at: 0 }, bytes })
            }
        };
        let terms = Terms {
            app_id,
            received_at_us,
            truncate_ip,
            limits: limits(),
            piece_bytes,
            threads: threads(),
        };
        let open = Box::new(move || opened(source, encoding.as_deref(), is_csv));
        let before = Before { rows: start.0, bytes: start.1 };
        let stream = Stream::start(open, before, terms)?;
        Ok(Self { stream: Arc::new(Mutex::new(stream)), read_bytes })
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    /// The tables of events and of rejects of the next piece.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Parts>> {
        let stream = self.stream.clone();
        py.enter_long(move |stop| {
            let found = stream.lock().unwrap_or_else(PoisonError::into_inner).next(stop)?;
            Ok::<_, Refused>(found.map(tables))
        })
    }

    /// Records and plain bytes of the pieces so far: where one could start again.
    #[getter]
    fn place(&self, py: Python<'_>) -> PyResult<(u64, u64)> {
        // Whoever waits for a piece holds it, and the source may need the interpreter meanwhile.
        py.enter(|| {
            let before = self.stream.lock().unwrap_or_else(PoisonError::into_inner).before();
            Ok::<_, Refused>((before.rows, before.bytes))
        })
    }

    /// Bytes of the source that were read, compressed or not.
    #[getter]
    fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }
}
