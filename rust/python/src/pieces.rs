//! A source of any length in, a table of events and one of rejects out for each piece of it.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use unmogrowp_core::decompress::stream;
use unmogrowp_core::import::CsvLines;
use unmogrowp_core::parse::{Before, Context, Lines, ParseError, Plan, parse_batches};
use unmogrowp_core::schema;

use crate::door::{Door, threads};
use crate::events::{Refused, limits};
use crate::table::Batches;

/// Pieces that may wait to be parsed: while one is, the next is read.
const AHEAD: usize = 1;

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

/// Lines, and whether they are the middle or the end of a body of lines.
type Piece = Result<(Vec<u8>, bool), Refused>;

/// Where pieces go, and where those come back that were parsed.
struct Belt {
    pieces: SyncSender<Piece>,
    spares: Receiver<Vec<u8>>,
}

impl Belt {
    /// Whether anybody wants more.
    fn send(&self, piece: Vec<u8>, is_middle: bool) -> bool {
        self.pieces.send(Ok((piece, is_middle))).is_ok()
    }
}

/// Read ahead until there is no more, or nobody wants it; the first `skip` plain bytes are known.
fn feed(
    source: Box<dyn Read + Send>,
    (encoding, is_csv): (Option<&str>, bool),
    piece_bytes: usize,
    skip: u64,
    belt: &Belt,
) -> Result<(), Refused> {
    let plain = stream(source, encoding).map_err(Refused::Read)?;
    let mut plain = plain.map_err(Refused::Decompress)?;
    if is_csv {
        plain = Box::new(CsvLines::new(plain).map_err(Refused::Read)?);
    }
    io::copy(&mut (&mut plain).take(skip), &mut io::sink()).map_err(Refused::Read)?;
    let mut lines = Lines::new(plain, piece_bytes);
    if skip > 0 {
        return each(&mut lines, belt);
    }
    let Some(mut first) = lines.piece().map_err(Refused::Read)? else {
        return Err(Refused::Parse(ParseError::Empty));
    };
    if !is_lines(&first) {
        // One value: it is taken whole, or not at all.
        first = lines.rest(first).map_err(Refused::Read)?;
    }
    if belt.send(first, false) { each(&mut lines, belt) } else { Ok(()) }
}

/// Pieces from the middle of a body of lines.
fn each(lines: &mut Lines<impl Read>, belt: &Belt) -> Result<(), Refused> {
    loop {
        if let Ok(spare) = belt.spares.try_recv() {
            lines.reuse(spare);
        }
        let Some(piece) = lines.piece().map_err(Refused::Read)? else { return Ok(()) };
        if !belt.send(piece, true) {
            return Ok(());
        }
    }
}

/// Whether more lines may follow these.
fn is_lines(first: &[u8]) -> bool {
    match Plan::new(first, &limits()) {
        Ok(plan) => plan.is_lines(),
        // An array or a batch that is cut off is broken, and so is one that never was whole.
        Err(error) => !matches!(error, ParseError::Broken { .. } | ParseError::KeyTwice { .. }),
    }
}

struct State {
    pieces: Receiver<Piece>,
    spares: Sender<Vec<u8>>,
    before: Before,
    app_id: Option<String>,
    received_at_us: Option<i64>,
    truncate_ip: bool,
}

impl State {
    /// The tables of the next piece.
    fn next(&mut self, stop: &AtomicBool) -> Result<Option<Parts>, Refused> {
        let Ok(piece) = self.pieces.recv() else { return Ok(None) };
        let (piece, is_middle) = piece?;
        let limits = limits();
        let context = Context {
            app_id: self.app_id.as_deref(),
            received_at_us: self.received_at_us,
            truncate_ip: self.truncate_ip,
            limits,
        };
        let before = is_middle.then_some(self.before);
        let found = parse_batches(&piece, before, &context, threads(), stop);
        let found = found.map_err(Refused::Parse)?;
        self.before.rows += found.received;
        self.before.bytes += piece.len() as u64;
        // Once all is read, nobody takes it.
        drop(self.spares.send(piece));
        Ok(Some((Batches::new(schema::arrow(), found.events), Batches::from(found.rejects))))
    }
}

type Parts = (Batches, Batches);

/// Parses a source of lines piece by piece, so that memory holds three pieces and no more.
#[pyclass(frozen, module = "unmogrowp._core")]
pub(crate) struct Pieces {
    state: Arc<Mutex<State>>,
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
        let (sender, pieces) = sync_channel(AHEAD);
        let (spares, returned) = channel();
        thread::Builder::new().name("unmogrowp-read".to_owned()).spawn(move || {
            let belt = Belt { pieces: sender, spares: returned };
            let format = (encoding.as_deref(), is_csv);
            if let Err(error) = feed(source, format, piece_bytes, start.1, &belt) {
                // Nobody may be listening any more.
                drop(belt.pieces.send(Err(error)));
            }
        })?;
        let before = Before { rows: start.0, bytes: start.1 };
        let state = State { pieces, spares, before, app_id, received_at_us, truncate_ip };
        Ok(Self { state: Arc::new(Mutex::new(state)), read_bytes })
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    /// The tables of events and of rejects of the next piece.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Parts>> {
        let state = self.state.clone();
        py.enter_long(move |stop| state.lock().unwrap_or_else(PoisonError::into_inner).next(stop))
    }

    /// Records and plain bytes of the pieces so far: where one could start again.
    #[getter]
    fn place(&self) -> (u64, u64) {
        let before = self.state.lock().unwrap_or_else(PoisonError::into_inner).before;
        (before.rows, before.bytes)
    }

    /// Bytes of the source that were read, compressed or not.
    #[getter]
    fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }
}
