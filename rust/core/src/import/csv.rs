//! CSV of events, with a header, as lines.

use std::io::{self, Read};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use thiserror::Error;

use super::is_made;
use super::line;
use crate::schema::{COLUMNS, Kind};

/// Bytes of one row: above, a quote was opened and never closed.
const ROW_BYTES_MAX: usize = 8 << 20;
const COLUMNS_MAX: usize = 10_000;
/// Bytes read and lines made at once.
const CHUNK_BYTES: usize = 64 << 10;
const SEPARATORS: [u8; 3] = *b",;\t";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// CSV that cannot be taken apart into rows.
#[derive(Debug, Error)]
pub enum CsvError {
    /// A row does not end.
    #[error(
        "row {row} of the CSV is longer than {ROW_BYTES_MAX} bytes\nhint: close the quote that is \
         opened there"
    )]
    Endless {
        /// 0-based, the header not counted.
        row: u64,
    },
    /// More columns than there may be.
    #[error("the CSV has more than {COLUMNS_MAX} columns\nhint: is it CSV?")]
    Wide,
    /// A column without a name.
    #[error("column {column} of the CSV has no name\nhint: the first row names the columns")]
    Unnamed {
        /// 0-based.
        column: usize,
    },
    /// Two columns of one name.
    #[error("two columns of the CSV are called `{name}`\nhint: rename one of them")]
    Twice {
        /// The name.
        name: String,
    },
}

impl From<CsvError> for io::Error {
    fn from(error: CsvError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// How the cells of a column are said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cell {
    Text,
    /// A number of seconds, milliseconds or microseconds is one.
    Time,
    /// Millionths under the name of the whole.
    Micros,
    Object,
    /// Not at all.
    Nothing,
}

/// Reads CSV as lines of JSON: a member for each cell that is not empty, named as the header says.
/// Separated by commas, semicolons or tabs, whichever the header has most of.
pub struct CsvLines<R> {
    source: R,
    reader: Reader,
    input: Vec<u8>,
    taken: usize,
    is_over: bool,
    cells: Vec<u8>,
    ends: Vec<usize>,
    /// By column: its key, and how its cells are said.
    columns: Vec<(Vec<u8>, Cell)>,
    rows: u64,
    lines: Vec<u8>,
    given: usize,
}

impl<R: Read> CsvLines<R> {
    /// Read the header.
    ///
    /// # Errors
    /// The source fails, or the header is none ([`CsvError`]).
    pub fn new(mut source: R) -> io::Result<Self> {
        let mut input = Vec::new();
        source.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut input)?;
        let taken = if input.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let header = input[taken..].split(|byte| *byte == b'\n').next().unwrap_or_default();
        let count = |separator: u8| memchr::memchr_iter(separator, header).count();
        // Of the same count the first: the last of the maxima, from behind.
        let separator = SEPARATORS.into_iter().rev().max_by_key(|byte| count(*byte));
        let reader = ReaderBuilder::new().delimiter(separator.unwrap_or(b',')).build();
        let mut made = Self {
            source,
            reader,
            input,
            taken,
            is_over: false,
            cells: vec![0; CHUNK_BYTES],
            ends: vec![0; COLUMNS.len()],
            columns: Vec::new(),
            rows: 0,
            lines: Vec::new(),
            given: 0,
        };
        if let Some(count) = made.row()? {
            made.columns = made.header(count)?;
        }
        Ok(made)
    }

    fn header(&self, count: usize) -> Result<Vec<(Vec<u8>, Cell)>, CsvError> {
        let names: Vec<&[u8]> = (0..count).map(|at| self.cell(at).trim_ascii()).collect();
        let mut columns = Vec::with_capacity(count);
        for (column, name) in names.iter().enumerate() {
            if name.is_empty() {
                return Err(CsvError::Unnamed { column });
            }
            if names[..column].contains(name) {
                return Err(CsvError::Twice { name: String::from_utf8_lossy(name).into_owned() });
            }
            let kind = COLUMNS.iter().find(|own| own.name.as_bytes() == *name).map(|own| own.kind);
            let (name, cell) = match kind {
                _ if is_made(name) => (*name, Cell::Nothing),
                Some(Kind::Time) => (*name, Cell::Time),
                Some(Kind::Json) => (*name, Cell::Object),
                Some(Kind::Micros) if !names.contains(&&b"revenue"[..]) => {
                    (&b"revenue"[..], Cell::Micros)
                }
                _ => (*name, Cell::Text),
            };
            let mut key = Vec::new();
            line::text(name, &mut key);
            key.push(b':');
            columns.push((key, cell));
        }
        Ok(columns)
    }

    fn cell(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.cells[start..self.ends[at]]
    }

    /// Read one row into `cells` and `ends`; how many cells it has.
    fn row(&mut self) -> io::Result<Option<usize>> {
        let (mut bytes, mut count) = (0, 0);
        loop {
            let (result, read, written, ended) = self.reader.read_record(
                &self.input[self.taken..],
                &mut self.cells[bytes..],
                &mut self.ends[count..],
            );
            self.taken += read;
            bytes += written;
            count += ended;
            match result {
                ReadRecordResult::InputEmpty => self.fill()?,
                ReadRecordResult::OutputFull if self.cells.len() >= ROW_BYTES_MAX => {
                    return Err(CsvError::Endless { row: self.rows }.into());
                }
                ReadRecordResult::OutputFull => self.cells.resize(2 * self.cells.len(), 0),
                ReadRecordResult::OutputEndsFull if self.ends.len() >= COLUMNS_MAX => {
                    return Err(CsvError::Wide.into());
                }
                ReadRecordResult::OutputEndsFull => self.ends.resize(2 * self.ends.len(), 0),
                ReadRecordResult::Record => return Ok(Some(count)),
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.input.clear();
        self.taken = 0;
        if !self.is_over {
            let mut some = self.source.by_ref().take(CHUNK_BYTES as u64);
            self.is_over = some.read_to_end(&mut self.input)? == 0;
        }
        Ok(())
    }

    /// Say the row that was read last.
    fn say(&mut self, count: usize) {
        let mut lines = std::mem::take(&mut self.lines);
        if count > self.columns.len() {
            // No object, so it is refused, and shown as what it says.
            let wrong = format!("the row has {count} cells, the header {}", self.columns.len());
            line::text(wrong.as_bytes(), &mut lines);
        } else {
            lines.push(b'{');
            let start = lines.len();
            for (at, (key, kind)) in self.columns.iter().enumerate().take(count) {
                let cell = self.cell(at);
                if cell.is_empty() || *kind == Cell::Nothing {
                    continue;
                }
                if lines.len() > start {
                    lines.push(b',');
                }
                lines.extend_from_slice(key);
                say(cell, *kind, &mut lines);
            }
            lines.push(b'}');
        }
        lines.push(b'\n');
        self.lines = lines;
    }
}

fn say(cell: &[u8], kind: Cell, out: &mut Vec<u8>) {
    let micros = || std::str::from_utf8(cell).ok().and_then(|text| text.parse().ok());
    match kind {
        Cell::Time => line::number(cell, out),
        Cell::Object => line::object(cell, out),
        Cell::Micros => match micros() {
            Some(value) => line::micros(value, out),
            None => line::text(cell, out),
        },
        Cell::Text => line::text(cell, out),
        Cell::Nothing => {}
    }
}

impl<R: Read> Read for CsvLines<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.given == self.lines.len() {
            self.lines.clear();
            self.given = 0;
            while self.lines.len() < CHUNK_BYTES {
                let Some(count) = self.row()? else { break };
                self.say(count);
                self.rows += 1;
            }
        }
        let read = (&self.lines[self.given..]).read(out)?;
        self.given += read;
        Ok(read)
    }
}
