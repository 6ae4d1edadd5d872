//! Some records' bytes in, a batch and rejects out: reads a block of records, has it checked and
//! written, and goes on.

use std::cell::Cell;

use unmogrowp_scan::{Index, Isa, Line, fetch};

use super::block::{Block, Draft, Place, ROWS, each};
use super::duplicate::{duplicate, plain};
use super::escapes::Escapes;
use super::fault::{self, About, Failure};
use super::fields::{Fields, Found, Inherited};
use super::json::{Form, Scanner, Slot, Stop, narrow};
use super::record::Record;
use super::walk::Walker;
use super::{BATCH_BYTES_MAX, Context, ParseError};
use crate::reject::{Code, Reject};
use crate::schema::at;

/// Bytes that are indexed at once: with their index they stay in the second-level cache.
const WINDOW_BYTES: usize = 8 << 10;

/// Where the rows of checked blocks go.
pub(crate) trait Sink {
    /// Append the rows that have not failed.
    fn write(&mut self, fields: &mut Fields<'_>, bytes: &[u8], block: &Block);

    /// Whether there are no rows yet.
    fn is_empty(&self) -> bool;

    /// Make room for `times` as much as there is.
    fn reserve(&mut self, times: usize);
}

/// What reading needs besides the text: kept from one call on a thread to the next.
#[derive(Default)]
struct Bench {
    index: Index,
    escapes: Escapes,
    record: Record,
    block: Block,
}

thread_local! {
    static SPARE: Cell<Option<(Box<Bench>, Box<Found>)>> = const { Cell::new(None) };
}

/// Reads the records of a piece.
pub(crate) struct Reader<'a, 'c, S> {
    text: &'a [u8],
    /// Where the text starts in the body.
    offset: usize,
    context: &'c Context<'c>,
    isa: Isa,
    scanner: Scanner<'a>,
    bench: Box<Bench>,
    fields: Fields<'c>,
    sink: S,
    received: u32,
    indexes: Vec<u32>,
    rejects: Vec<Reject>,
}

/// What became of the records of a piece.
pub(crate) struct Read<S> {
    pub(crate) sink: S,
    pub(crate) indexes: Vec<u32>,
    pub(crate) rejects: Vec<Reject>,
    pub(crate) received: u32,
}

impl<'a, 'c, S: Sink> Reader<'a, 'c, S> {
    pub(crate) fn new(
        text: &'a [u8],
        offset: usize,
        context: &'c Context<'c>,
        sent_at: Inherited,
        sink: S,
    ) -> Result<Self, ParseError> {
        if text.len() > BATCH_BYTES_MAX {
            return Err(ParseError::TooLarge { bytes: text.len(), limit: BATCH_BYTES_MAX });
        }
        let (bench, found) = SPARE.take().unwrap_or_default();
        Ok(Self {
            text,
            offset,
            context,
            isa: Isa::active(),
            scanner: Scanner::default(),
            bench,
            fields: Fields::new(context, sent_at, found),
            sink,
            received: 0,
            indexes: Vec::new(),
            rejects: Vec::new(),
        })
    }

    /// Every line of the text is a record.
    pub(crate) fn lines(&mut self) -> Result<(), ParseError> {
        let mut start = 0;
        while start < self.text.len() {
            let stop = window(self.text, start);
            let mut index = std::mem::take(&mut self.bench.index);
            index.fill(self.isa, &self.text[start..stop], narrow(start));
            let mut quotes = 0;
            for line in &index.lines {
                let end = line.stop as usize;
                let own = index.quotes.get(quotes..line.quotes as usize).unwrap_or_default();
                // What the next window reads at this place.
                fetch(self.text, start + WINDOW_BYTES);
                self.line(start, *line, own)?;
                (start, quotes) = (end + 1, line.quotes as usize);
            }
            self.bench.index = index;
        }
        Ok(())
    }

    /// The records lie in these ranges of the body.
    pub(crate) fn ranges(&mut self, records: &[(usize, usize)]) -> Result<(), ParseError> {
        for (start, stop) in records {
            let (start, stop) = (start - self.offset, stop - self.offset);
            let mut index = std::mem::take(&mut self.bench.index);
            index.fill(self.isa, &self.text[start..stop], narrow(start));
            match index.lines[..] {
                [line] => self.line(start, line, &index.quotes)?,
                _ => self.slow(start, stop)?,
            }
            self.bench.index = index;
        }
        Ok(())
    }

    /// What all records together have become.
    pub(crate) fn finish(mut self) -> Read<S> {
        self.flush();
        let Self { bench, fields, sink, indexes, rejects, received, .. } = self;
        SPARE.set(Some((bench, fields.found)));
        Read { sink, indexes, rejects, received }
    }

    fn line(&mut self, start: usize, line: Line, quotes: &[u32]) -> Result<(), ParseError> {
        let mut stop = line.stop as usize;
        if stop > start && self.text[stop - 1] == b'\r' {
            stop -= 1;
        }
        let limits = &self.context.limits;
        let is_short = stop - start <= limits.event_bytes;
        let is_fine = |text| !line.is_wide || std::str::from_utf8(text).is_ok();
        if !line.is_odd && is_short && is_fine(&self.text[start..stop]) {
            let Bench { escapes, block, .. } = &mut *self.bench;
            let (strings, rest) = quotes.as_chunks::<2>();
            let draft = if line.is_escaped {
                escapes.find(self.text, (start, stop), quotes, &mut self.scanner).then(|| {
                    let (strings, escaped) = (escapes.strings(), escapes.escaped());
                    Walker::new(self.text, strings, escaped, start).record(
                        stop,
                        limits.depth,
                        block,
                    )
                })
            } else {
                let walker = Walker::new(self.text, strings, (), start);
                rest.is_empty().then(|| walker.record(stop, limits.depth, block))
            };
            if let Some(draft) = draft.flatten() {
                let place = self.place(start, stop)?;
                if self.bench.block.unknown_of_draft().is_empty() {
                    self.end(draft, place);
                } else {
                    self.keep(draft, place, None);
                }
                return Ok(());
            }
        }
        self.slow(start, stop)
    }

    /// The place of the next record.
    #[inline]
    fn place(&mut self, start: usize, stop: usize) -> Result<Place, ParseError> {
        let index = self.received;
        let limit = self.context.limits.records;
        if index as usize >= limit || index == u32::MAX {
            return Err(ParseError::TooManyRecords { limit });
        }
        self.received += 1;
        Ok(Place { start: narrow(start), stop: narrow(stop), index })
    }

    /// Keep a record that was read, or why it was not.
    fn keep(&mut self, draft: Draft, place: Place, failure: Option<Failure>) {
        if let Some(failure) = failure.or_else(|| self.twice(draft)) {
            self.bench.block.fail(self.bench.block.rows, failure);
        }
        self.end(draft, place);
    }

    /// The record is read.
    #[inline]
    fn end(&mut self, draft: Draft, place: Place) {
        self.bench.block.end(draft, place);
        if self.bench.block.rows == ROWS {
            self.flush();
        }
    }

    /// An unknown key that the record has twice.
    fn twice(&self, draft: Draft) -> Option<Failure> {
        let block = &self.bench.block;
        if block.unknown_of_draft().is_empty() {
            return None;
        }
        let slot = block.slot(at::PROPERTIES, block.rows, draft.plain >> at::PROPERTIES & 1 == 1);
        let is_object = draft.seen >> at::PROPERTIES & 1 == 1 && slot.form == Form::Object;
        let properties = if is_object { slot.of(self.text) } else { b"" };
        let key = duplicate(self.text, block.unknown_of_draft(), properties)?;
        Some(Failure { code: Code::DuplicateKey, about: About::Key(key) })
    }

    /// Read a record that the fast way gave up on.
    #[cold]
    fn slow(&mut self, start: usize, stop: usize) -> Result<(), ParseError> {
        let (start, stop) = trim(self.text, start, stop);
        if start == stop {
            return Ok(());
        }
        let place = self.place(start, stop)?;
        self.bench.record.clear();
        self.bench.block.restart();
        let mut failure = self.read(start, stop).err();
        let is_unread = |f: &Failure| matches!(f.code, Code::EventTooLarge | Code::InvalidUtf8);
        if failure.as_ref().is_some_and(is_unread) && self.text[start] == b'{' {
            // Refused unread: look for its id all the same. What is broken stays unread.
            self.scan(start, stop);
            let _ = self.bench.record.read(self.text, &mut self.scanner, &mut self.bench.block);
        }
        if let (None, Some(key)) = (&failure, self.bench.record.duplicate) {
            let about = About::Key(plain(self.text, key));
            failure = Some(Failure { code: Code::DuplicateKey, about });
        }
        self.keep(self.bench.record.draft, place, failure);
        Ok(())
    }

    fn scan(&mut self, start: usize, stop: usize) {
        self.scanner.load(&self.text[..stop]);
        self.scanner.skip(start);
    }

    fn read(&mut self, start: usize, stop: usize) -> Result<(), Failure> {
        let bytes = &self.text[start..stop];
        let limits = &self.context.limits;
        if let Some(failure) = fault::too_large(bytes, limits) {
            return Err(failure);
        }
        fault::check_utf8(bytes)?;
        if bytes.first() != Some(&b'{') {
            self.scanner.load(bytes);
            return Err(fault::not_an_object(bytes, &mut self.scanner));
        }
        self.scan(start, stop);
        let read = self.bench.record.read(self.text, &mut self.scanner, &mut self.bench.block);
        self.scanner.rebase(start);
        read.map_err(|Stop| Failure::broken(bytes, self.scanner.broken))?;
        fault::noted(bytes, &self.scanner, limits).map_or(Ok(()), Err)
    }

    /// Check and write what was read.
    fn flush(&mut self) {
        let block = &mut self.bench.block;
        if block.rows == 0 {
            return;
        }
        self.fields.check(self.text, block);
        let is_first = self.sink.is_empty();
        self.sink.write(&mut self.fields, self.text, block);
        if let (true, Some(last)) = (is_first, block.places[..block.rows].last()) {
            // What the first block took says what the rest will take, about.
            let left = self.text.len() - last.stop as usize;
            let times = left / (last.stop as usize).max(1) * 5 / 4;
            self.sink.reserve(times);
        }
        let live = block.all() & !block.failed;
        if block.failed == 0 {
            self.indexes.extend(block.places[..block.rows].iter().map(|place| place.index));
        } else {
            each(live, |row| self.indexes.push(block.places[row].index));
            self.refuse();
        }
        self.bench.block.clear();
    }

    #[cold]
    fn refuse(&mut self) {
        let block = &mut self.bench.block;
        each(block.failed, |row| {
            let Some(failure) = block.take_failure(row) else { return };
            let Place { start, stop, index } = block.places[row];
            let bytes = &self.text[..stop as usize];
            let id: Option<Slot> = block.sent(at::EVENT_ID, row);
            self.rejects.push(Reject {
                index,
                event_id: fault::event_id(bytes, id),
                code: failure.code,
                field: failure.field(),
                message: failure.message(bytes),
                start: (self.offset + start as usize) as u64,
                stop: (self.offset + stop as usize) as u64,
            });
        });
    }
}

/// Where the window that starts here ends: behind a line's end, or at the end of the text.
fn window(text: &[u8], start: usize) -> usize {
    let stop = start + WINDOW_BYTES;
    if stop >= text.len() {
        return text.len();
    }
    match memchr::memrchr(b'\n', &text[start..stop]) {
        Some(at) => start + at + 1,
        None => memchr::memchr(b'\n', &text[stop..]).map_or(text.len(), |at| stop + at + 1),
    }
}

/// The range without JSON white space at its ends.
#[inline]
fn trim(body: &[u8], mut start: usize, mut stop: usize) -> (usize, usize) {
    let is_space = |byte: u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    while start < stop && is_space(body[start]) {
        start += 1;
    }
    while start < stop && is_space(body[stop - 1]) {
        stop -= 1;
    }
    (start, stop)
}
