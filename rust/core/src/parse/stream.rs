//! A source of any length in, tables piece by piece out, parsed on several threads.
//!
//! Each thread reads the next chunk while no other does, and parses it beside the others: what was
//! just read is still in the caches, nobody waits for the slowest, and reading needs no thread.

use std::any::Any;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::pieces::{PIECE_BYTES, Part};
use super::{Batches, Before, Context, Lines, ParseError, Plan};
use crate::limits::Limits;

/// How often a caller who waits for a piece is asked whether to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Opens a source.
pub type Open<E> = Box<dyn FnOnce() -> Result<Box<dyn Read + Send>, E> + Send>;

/// How a source is read.
#[derive(Clone, Debug)]
pub struct Terms {
    /// As [`Context::app_id`].
    pub app_id: Option<String>,
    /// As [`Context::received_at_us`].
    pub received_at_us: Option<i64>,
    /// As [`Context::truncate_ip`].
    pub truncate_ip: bool,
    /// Bounds on what is accepted.
    pub limits: Limits,
    /// About how many bytes a piece has; more where a line is longer.
    pub piece_bytes: usize,
    /// How many parse at once.
    pub threads: usize,
}

impl Terms {
    fn context(&self) -> Context<'_> {
        let (app_id, limits) = (self.app_id.as_deref(), self.limits);
        let Self { received_at_us, truncate_ip, .. } = *self;
        Context { app_id, received_at_us, truncate_ip, limits }
    }

    fn chunk_bytes(&self) -> usize {
        self.piece_bytes.clamp(1, PIECE_BYTES)
    }

    fn chunks_per_piece(&self) -> usize {
        self.piece_bytes.div_ceil(self.chunk_bytes()).max(1)
    }

    /// Chunks that are read and not yet taken.
    fn ahead(&self) -> u64 {
        self.threads as u64 + 1
    }
}

/// Some bytes of the source, and whether they are lines from its middle: what it begins with may be
/// one whole value, and has a byte order mark or none.
struct Chunk {
    bytes: Vec<u8>,
    is_middle: bool,
}

/// Where chunks come from; whoever holds it reads.
enum Feed<E> {
    Closed(Open<E>, Before),
    Open(Lines<Box<dyn Read + Send>>),
    Over,
}

impl<E: From<io::Error> + From<ParseError>> Feed<E> {
    /// The next chunk, where another lay; after an error there is none.
    fn next(&mut self, spare: Vec<u8>, terms: &Terms) -> Result<Option<Chunk>, E> {
        let mut lines = match std::mem::replace(self, Self::Over) {
            Self::Over => return Ok(None),
            Self::Open(lines) => lines,
            Self::Closed(open, before) => {
                let mut source = open()?;
                io::copy(&mut (&mut source).take(before.bytes), &mut io::sink())?;
                let mut lines = Lines::new(source, terms.chunk_bytes());
                if before.bytes == 0 {
                    let first = first::<E>(&mut lines, &terms.limits)?;
                    *self = Self::Open(lines);
                    return Ok(Some(first));
                }
                lines
            }
        };
        lines.reuse(spare);
        let Some(bytes) = lines.piece()? else { return Ok(None) };
        *self = Self::Open(lines);
        Ok(Some(Chunk { bytes, is_middle: true }))
    }
}

/// What a source begins with says whether it is one value: that is taken whole, or not at all.
fn first<E>(lines: &mut Lines<Box<dyn Read + Send>>, limits: &Limits) -> Result<Chunk, E>
where
    E: From<io::Error> + From<ParseError>,
{
    let bytes = lines.piece()?.ok_or(ParseError::Empty)?;
    let is_lines = match Plan::new(&bytes, limits) {
        Ok(plan) => plan.is_lines(),
        // An array or a batch that is cut off is broken, and so is one that never was whole.
        Err(error) => !matches!(error, ParseError::Broken { .. } | ParseError::KeyTwice { .. }),
    };
    let bytes = if is_lines { bytes } else { lines.rest(bytes)? };
    Ok(Chunk { bytes, is_middle: false })
}

/// How a part came to none: an error, or a panic of the thread that was to make it.
enum Failure<E> {
    Error(E),
    Panic(Box<dyn Any + Send>),
}

fn caught<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<T, Failure<E>> {
    let done = catch_unwind(AssertUnwindSafe(work)).map_err(Failure::Panic)?;
    done.map_err(Failure::Error)
}

struct Parts<E> {
    made: BTreeMap<u64, Result<Part, Failure<E>>>,
    /// How many were taken.
    taken: u64,
    /// How many there are in all, once that is known.
    count: Option<u64>,
}

struct Shared<E> {
    /// The feed, and the number of its next chunk.
    feed: Mutex<(Feed<E>, u64)>,
    parts: Mutex<Parts<E>>,
    /// A part was made or taken, or nobody wants more.
    moved: Condvar,
    is_left: AtomicBool,
    terms: Terms,
}

impl<E: From<io::Error> + From<ParseError>> Shared<E> {
    fn parts(&self) -> MutexGuard<'_, Parts<E>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Read and parse until there is no more, or nobody wants it.
    fn work(&self) {
        let mut spare = Vec::new();
        while let Some((number, chunk)) = self.read(std::mem::take(&mut spare)) {
            let made = chunk.and_then(|chunk| {
                let part = caught(|| self.parse(&chunk));
                spare = chunk.bytes;
                part
            });
            self.parts().made.insert(number, made);
            self.moved.notify_all();
        }
    }

    /// The next chunk and its number, as soon as there is room for what becomes of it.
    fn read(&self, spare: Vec<u8>) -> Option<(u64, Result<Chunk, Failure<E>>)> {
        let mut feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
        let (source, next) = &mut *feed;
        let number = *next;
        let ahead = self.terms.ahead();
        let is_left = || self.is_left.load(Ordering::Relaxed);
        let is_full = |parts: &mut Parts<E>| number >= parts.taken + ahead && !is_left();
        drop(self.moved.wait_while(self.parts(), is_full));
        if is_left() {
            return None;
        }
        let Some(read) = caught(|| source.next(spare, &self.terms)).transpose() else {
            self.parts().count = Some(number);
            self.moved.notify_all();
            return None;
        };
        *next += 1;
        Some((number, read))
    }

    fn parse(&self, chunk: &Chunk) -> Result<Part, E> {
        let context = self.terms.context();
        if chunk.is_middle {
            return Ok(Part::parse(&Plan::lines(&chunk.bytes), &context, 1, &self.is_left)?);
        }
        let plan = Plan::new(&chunk.bytes, &context.limits)?;
        let threads = if plan.is_lines() { 1 } else { self.terms.threads };
        Ok(Part::parse(&plan, &context, threads, &self.is_left)?)
    }

    /// The next part, none at the end.
    fn take(&self, stop: &AtomicBool) -> Result<Option<Result<Part, Failure<E>>>, ParseError> {
        let mut parts = self.parts();
        loop {
            let number = parts.taken;
            if let Some(made) = parts.made.remove(&number) {
                parts.taken += 1;
                self.moved.notify_all();
                return Ok(Some(made));
            }
            if parts.count.is_some_and(|count| number >= count) {
                return Ok(None);
            }
            if stop.load(Ordering::Relaxed) {
                return Err(ParseError::Cancelled);
            }
            let waited = self.moved.wait_timeout(parts, LOOK_EVERY);
            parts = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A source of lines being parsed; one that is a single value comes as a single piece.
///
/// What was read and not yet taken is a chunk for each thread and one more.
pub struct Stream<E> {
    shared: Arc<Shared<E>>,
    before: Before,
    /// Of the next piece.
    gathered: Vec<Part>,
    /// What ends it, behind the pieces before.
    failure: Option<Failure<E>>,
    is_over: bool,
}

impl<E> Stream<E>
where
    E: From<io::Error> + From<ParseError> + Send + 'static,
{
    /// Start to read. What lies before `before` is passed over.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn start(open: Open<E>, before: Before, terms: Terms) -> io::Result<Self> {
        let threads = terms.threads.max(1);
        let shared = Arc::new(Shared {
            feed: Mutex::new((Feed::Closed(open, before), 0)),
            parts: Mutex::new(Parts { made: BTreeMap::new(), taken: 0, count: None }),
            moved: Condvar::new(),
            is_left: AtomicBool::new(false),
            terms,
        });
        let stream = Self { shared, before, gathered: Vec::new(), failure: None, is_over: false };
        for _ in 0..threads {
            let shared = stream.shared.clone();
            let name = "unmogrowp-parse".to_owned();
            thread::Builder::new().name(name).spawn(move || shared.work())?;
        }
        Ok(stream)
    }

    /// The next piece, none at the end. After [`ParseError::Cancelled`] it can be asked for again.
    ///
    /// # Errors
    /// What the source says; [`ParseError`] where it cannot be taken apart, and once `stop` is set.
    pub fn next(&mut self, stop: &AtomicBool) -> Result<Option<Batches>, E> {
        while !self.is_over && self.gathered.len() < self.shared.terms.chunks_per_piece() {
            match self.shared.take(stop)? {
                Some(Ok(part)) => self.gathered.push(part),
                Some(Err(failure)) => (self.failure, self.is_over) = (Some(failure), true),
                None => self.is_over = true,
            }
        }
        if !self.gathered.is_empty() {
            let parts = std::mem::take(&mut self.gathered);
            return Ok(Some(Part::join(parts, &mut self.before)?));
        }
        match self.failure.take() {
            Some(Failure::Error(error)) => Err(error),
            Some(Failure::Panic(panic)) => resume_unwind(panic),
            None => Ok(None),
        }
    }
}

impl<E> Stream<E> {
    /// Records and bytes of the pieces so far: where another could go on.
    pub fn before(&self) -> Before {
        self.before
    }
}

impl<E> Drop for Stream<E> {
    fn drop(&mut self) {
        self.shared.is_left.store(true, Ordering::Relaxed);
        // Whoever was about to wait waits by now, and hears this.
        drop(self.shared.parts.lock());
        self.shared.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Weak};
    use std::thread;
    use std::time::Duration;

    use arrow_array::RecordBatch;
    use thiserror::Error;

    use super::{Stream, Terms};
    use crate::limits::Limits;
    use crate::parse::{Before, Context, ParseError, parse_batches};

    #[derive(Debug, Error)]
    enum Failed {
        #[error("read: {0}")]
        Read(#[from] io::Error),
        #[error("parse: {0}")]
        Parse(#[from] ParseError),
    }

    /// Gives its bytes, then does what it is told to.
    struct Source<F> {
        bytes: io::Cursor<Vec<u8>>,
        end: F,
        _alive: Arc<()>,
    }

    impl<F: FnMut() -> io::Result<usize>> Read for Source<F> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            match self.bytes.read(out)? {
                0 => (self.end)(),
                read => Ok(read),
            }
        }
    }

    fn body(lines: usize) -> Vec<u8> {
        let line = |n: usize| match n % 5 {
            3 => format!("{{\"event_id\":\"bad {n}\"}}\n"),
            _ => format!(
                "{{\"event_name\":\"open\",\"timestamp\":1767225600,\"user_id\":\"u{n}\"}}\n"
            ),
        };
        (0..lines).map(line).collect::<String>().into_bytes()
    }

    fn started(
        bytes: Vec<u8>,
        piece_bytes: usize,
        threads: usize,
        end: impl FnMut() -> io::Result<usize> + Send + 'static,
    ) -> (Stream<Failed>, Weak<()>) {
        let limits =
            Limits { decompressed_bytes: usize::MAX, records: usize::MAX, ..Limits::default() };
        let (app_id, received_at_us) = (Some("com.example.app".to_owned()), None);
        let terms =
            Terms { app_id, received_at_us, truncate_ip: false, limits, piece_bytes, threads };
        let alive = Arc::new(());
        let watched = Arc::downgrade(&alive);
        let source = Source { bytes: io::Cursor::new(bytes), end, _alive: alive };
        let open = Box::new(|| Ok(Box::new(source) as Box<dyn Read + Send>));
        (Stream::start(open, Before::default(), terms).unwrap(), watched)
    }

    fn gone(watched: &Weak<()>) {
        for _ in 0..1_000 {
            if watched.strong_count() == 0 {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("its threads still hold the source");
    }

    #[test]
    fn pieces_are_the_whole_on_any_number_of_threads() {
        let (bytes, never) = (body(9_000), AtomicBool::new(false));
        let context = Context { app_id: Some("com.example.app"), ..Context::default() };
        let whole = parse_batches(&bytes, &context, 1, &never).unwrap();
        for (threads, piece_bytes) in [(1, 1), (2, 70_000), (5, 1), (3, 1 << 30)] {
            let (mut stream, watched) = started(bytes.clone(), piece_bytes, threads, || Ok(0));
            let (mut rows, mut rejects, mut pieces) = (0, Vec::new(), 0);
            while let Some(piece) = stream.next(&never).unwrap() {
                rows += piece.events.iter().map(RecordBatch::num_rows).sum::<usize>();
                rejects.push(piece.rejects);
                pieces += 1;
            }
            let rejects = arrow_select::concat::concat_batches(&rejects[0].schema(), &rejects);
            assert_eq!(rejects.unwrap(), whole.rejects);
            assert_eq!(rows, whole.events[0].num_rows());
            assert_eq!(pieces > 1, piece_bytes < bytes.len());
            let before = Before { rows: whole.received, bytes: bytes.len() as u64 };
            assert_eq!(stream.before(), before);
            gone(&watched);
        }
    }

    #[test]
    fn an_error_comes_behind_the_pieces_before_it() {
        let never = AtomicBool::new(false);
        let failing = || Err(io::Error::other("gone"));
        let (mut stream, watched) = started(body(5_000), 1, 2, failing);
        let mut pieces = 0;
        let error = loop {
            match stream.next(&never) {
                Ok(piece) => pieces += usize::from(piece.is_some()),
                Err(error) => break error,
            }
        };
        assert_eq!((error.to_string(), pieces), ("read: gone".to_owned(), 4));
        assert!(stream.next(&never).unwrap().is_none());
        gone(&watched);
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let (mut stream, watched) = started(Vec::new(), 1, 2, || panic!("of the source"));
        let never = AtomicBool::new(false);
        let called = std::panic::AssertUnwindSafe(|| stream.next(&never));
        let said = std::panic::catch_unwind(called).err().unwrap();
        assert_eq!(said.downcast_ref::<&str>(), Some(&"of the source"));
        assert!(stream.next(&never).unwrap().is_none());
        gone(&watched);
    }

    #[test]
    fn a_caller_who_stops_may_ask_again_and_one_who_leaves_is_not_waited_for() {
        let (stop, held) = (AtomicBool::new(true), Arc::new(AtomicBool::new(true)));
        let waiting = held.clone();
        let (mut stream, watched) = started(body(5_000), 1 << 20, 2, move || {
            while waiting.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(0)
        });
        let stopped = stream.next(&stop);
        assert!(matches!(stopped, Err(Failed::Parse(ParseError::Cancelled))));
        held.store(false, Ordering::Relaxed);
        stop.store(false, Ordering::Relaxed);
        let piece = stream.next(&stop).unwrap().unwrap();
        assert_eq!(piece.received, 5_000);
        let (stream, left) = started(body(50_000), 1, 2, || Ok(0));
        drop(stream);
        gone(&left);
        gone(&watched);
    }
}
