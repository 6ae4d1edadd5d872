//! Some records' bytes in, a batch and rejects out: reads a block of records, has it checked and
//! written, and goes on.

use unmogrowp_scan::{Index, Isa, Line};

use super::block::{Block, Draft, Place, ROWS, each};
use super::duplicate::{duplicate, plain};
use super::fault::{self, About, Failure};
use super::fields::{Fields, Inherited};
use super::json::{Form, Scanner, Slot, Stop, narrow};
use super::record::Record;
use super::walk::Walker;
use super::{BATCH_BYTES_MAX, Context, ParseError, Parsed};
use crate::reject::{Code, Reject};
use crate::schema::at;

/// Bytes that are indexed at once: with their index they stay in the second-level cache.
const WINDOW_BYTES: usize = 16 << 10;

/// Reads the records of a piece.
pub(crate) struct Reader<'a, 'c> {
    text: &'a [u8],
    /// Where the text starts in the body.
    offset: usize,
    context: &'c Context<'c>,
    isa: Isa,
    index: Index,
    scanner: Scanner<'a>,
    record: Record,
    block: Block,
    fields: Fields<'c>,
    received: u32,
    indexes: Vec<u32>,
    rejects: Vec<Reject>,
}

impl<'a, 'c> Reader<'a, 'c> {
    pub(crate) fn new(
        text: &'a [u8],
        offset: usize,
        context: &'c Context<'c>,
        sent_at: Inherited,
    ) -> Result<Self, ParseError> {
        if text.len() > BATCH_BYTES_MAX {
            return Err(ParseError::TooLarge { bytes: text.len(), limit: BATCH_BYTES_MAX });
        }
        Ok(Self {
            text,
            offset,
            context,
            isa: Isa::active(),
            index: Index::default(),
            scanner: Scanner::default(),
            record: Record::default(),
            block: Block::default(),
            fields: Fields::new(context, sent_at),
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
            let mut index = std::mem::take(&mut self.index);
            index.fill(self.isa, &self.text[start..stop], narrow(start));
            let mut quotes = 0;
            for line in &index.lines {
                let end = line.stop as usize;
                let own = index.quotes.get(quotes..line.quotes as usize).unwrap_or_default();
                self.line(start, *line, own)?;
                (start, quotes) = (end + 1, line.quotes as usize);
            }
            self.index = index;
        }
        Ok(())
    }

    /// The records lie in these ranges of the body.
    pub(crate) fn ranges(&mut self, records: &[(usize, usize)]) -> Result<(), ParseError> {
        for (start, stop) in records {
            let (start, stop) = (start - self.offset, stop - self.offset);
            let mut index = std::mem::take(&mut self.index);
            index.fill(self.isa, &self.text[start..stop], narrow(start));
            match index.lines[..] {
                [line] => self.line(start, line, &index.quotes)?,
                _ => self.slow(start, stop)?,
            }
            self.index = index;
        }
        Ok(())
    }

    /// What all records together have become.
    pub(crate) fn finish(mut self) -> Result<Parsed, ParseError> {
        self.flush();
        let events = self.fields.columns.finish();
        let events = events.map_err(|error| ParseError::Columns(error.to_string()))?;
        let Self { indexes, rejects, received, .. } = self;
        Ok(Parsed { events, indexes, rejects, received })
    }

    fn line(&mut self, start: usize, line: Line, quotes: &[u32]) -> Result<(), ParseError> {
        let mut stop = line.stop as usize;
        if stop > start && self.text[stop - 1] == b'\r' {
            stop -= 1;
        }
        let (strings, rest) = quotes.as_chunks::<2>();
        let limits = &self.context.limits;
        let is_plain = !line.is_odd && rest.is_empty() && stop - start <= limits.event_bytes;
        if is_plain && (!line.is_wide || std::str::from_utf8(&self.text[start..stop]).is_ok()) {
            let mut walker = Walker::new(self.text, strings, start);
            if let Some(draft) = walker.record(stop, limits.depth, &mut self.block) {
                let place = self.place(start, stop)?;
                self.keep(draft, place, None);
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
    #[inline]
    fn keep(&mut self, draft: Draft, place: Place, failure: Option<Failure>) {
        let failure = failure.or_else(|| {
            if self.block.unknown_of_draft().is_empty() { None } else { self.twice(draft) }
        });
        self.block.end(draft, place);
        if let Some(failure) = failure {
            self.block.fail(self.block.rows - 1, failure);
        }
        if self.block.rows == ROWS {
            self.flush();
        }
    }

    /// An unknown key that the record has twice.
    fn twice(&self, draft: Draft) -> Option<Failure> {
        let row = self.block.rows;
        let slot = self.block.slot(at::PROPERTIES, row, draft.plain >> at::PROPERTIES & 1 == 1);
        let is_object = draft.seen >> at::PROPERTIES & 1 == 1 && slot.form == Form::Object;
        let properties = if is_object { slot.of(self.text) } else { b"" };
        let key = duplicate(self.text, self.block.unknown_of_draft(), properties)?;
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
        self.record.clear();
        self.block.restart();
        let mut failure = self.read(start, stop).err();
        let is_unread = |f: &Failure| matches!(f.code, Code::EventTooLarge | Code::InvalidUtf8);
        if failure.as_ref().is_some_and(is_unread) && self.text[start] == b'{' {
            // Refused unread: look for its id all the same. What is broken stays unread.
            self.scan(start, stop);
            let _ = self.record.read(self.text, &mut self.scanner, &mut self.block);
        }
        if let (None, Some(key)) = (&failure, self.record.duplicate) {
            let about = About::Key(plain(self.text, key));
            failure = Some(Failure { code: Code::DuplicateKey, about });
        }
        self.keep(self.record.draft, place, failure);
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
        let read = self.record.read(self.text, &mut self.scanner, &mut self.block);
        self.scanner.rebase(start);
        read.map_err(|Stop| Failure::broken(bytes, self.scanner.broken))?;
        fault::noted(bytes, &self.scanner, limits).map_or(Ok(()), Err)
    }

    /// Check and write what was read.
    fn flush(&mut self) {
        let block = &mut self.block;
        self.fields.check(self.text, block);
        let is_first = self.fields.columns.rows() == 0;
        self.fields.write(self.text, block);
        if let (true, Some(last)) = (is_first, block.places[..block.rows].last()) {
            // What the first block took says what the rest will take, about.
            let left = self.text.len() - last.stop as usize;
            let times = left / (last.stop as usize).max(1) * 17 / 16;
            self.fields.columns.reserve(times);
        }
        let live = block.all() & !block.failed;
        if block.failed == 0 {
            self.indexes.extend(block.places[..block.rows].iter().map(|place| place.index));
        } else {
            each(live, |row| self.indexes.push(block.places[row].index));
            self.refuse();
        }
        self.block.clear();
    }

    #[cold]
    fn refuse(&mut self) {
        let block = &mut self.block;
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
