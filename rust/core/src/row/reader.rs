//! Bytes of a payload in, the values of its rows out.

use super::{Flags, LABEL_BYTES_MIN, LABELS_VERSION, ORDER, ROWS_VERSION, RowError, VERSION};
use crate::parse::ip::MAPPED;
use crate::schema::{COLUMNS, Kind, at};

/// Bytes read from the front.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A payload whose first byte must be `version`.
    pub(super) fn new(payload: &'a [u8], version: u8) -> Result<Self, RowError> {
        match payload.first() {
            None => Err(RowError::Damaged(0)),
            Some(&found) if found == version => Ok(Self { bytes: payload, at: 1 }),
            Some(&other) => Err(RowError::Version(other)),
        }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let found = *self.bytes.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(found)
    }

    #[inline]
    fn length(&mut self) -> Option<usize> {
        let mut length = 0_usize;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(length);
            }
        }
        None
    }

    #[inline]
    fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let text = self.bytes.get(self.at..)?.get(..length)?;
        self.at += length;
        Some(text)
    }

    #[inline]
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.slice(length)
    }

    pub(super) fn string(&mut self) -> Option<String> {
        String::from_utf8(self.text()?.to_vec()).ok()
    }

    /// Text that may be missing: a byte tells.
    pub(super) fn maybe(&mut self, text: &mut Option<String>) -> Option<()> {
        let [is_there] = self.array()?;
        if is_there == 1 {
            *text = Some(self.string()?);
        }
        (is_there <= 1).then_some(())
    }
}

/// Characters of a UUID.
const UUID_CHARS: usize = 36;

/// What a row has in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Fixed([u8; 16]),
    Int(i64),
    Text(&'a [u8]),
    /// Text that is this UUID in lower case.
    UuidText([u8; 16]),
}

impl Value<'_> {
    /// Bytes of its text.
    pub(crate) fn text_bytes(self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::UuidText(_) => UUID_CHARS,
            Self::Fixed(_) | Self::Int(_) => 0,
        }
    }
}

/// The rows of a payload, one after the other.
pub(crate) struct Rows<'a> {
    reader: Reader<'a>,
    /// What may be said: nothing in version 1, where labels have no numbers either.
    flags: u64,
    /// Labels of the group that have a number.
    labels: Vec<&'a [u8]>,
    received_us: Option<i64>,
}

impl<'a> Rows<'a> {
    /// The rows of a payload with its version.
    pub(crate) fn new(payload: &'a [u8]) -> Result<Self, RowError> {
        let (version, flags) = match payload.first() {
            Some(&ROWS_VERSION) => (ROWS_VERSION, Flags::ALL),
            Some(&LABELS_VERSION) => (LABELS_VERSION, Flags::LABELS),
            _ => (VERSION, 0),
        };
        let reader = Reader::new(payload, version)?;
        Ok(Self { reader, flags, labels: Vec::new(), received_us: None })
    }

    /// Rows without a version before them.
    pub(crate) fn bare(bytes: &'a [u8]) -> Self {
        let reader = Reader { bytes, at: 0 };
        Self { reader, flags: Flags::ALL, labels: Vec::new(), received_us: None }
    }

    pub(crate) fn at(&self) -> usize {
        self.reader.at()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.reader.is_done()
    }

    /// Visit the values of the next row in their order: which columns those are, or none where
    /// the bytes are no row.
    #[inline]
    pub(crate) fn next(&mut self, mut visit: impl FnMut(usize, Value<'a>)) -> Option<u64> {
        let word = u64::from_le_bytes(self.reader.array()?);
        let (present, flags) = (word & !self.flags, word & self.flags);
        if present >> COLUMNS.len() != 0 {
            return None;
        }
        if flags & Flags::FIRST != 0 {
            self.labels.clear();
            self.received_us = None;
        }
        let has_numbers = self.flags != 0;
        let order: &[u64] = if has_numbers { &ORDER } else { &[u64::MAX] };
        let mut timestamp = None;
        for kinds in order {
            let mut bits = present & kinds;
            while bits != 0 {
                let column = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let value = match COLUMNS[column].kind {
                    Kind::Uuid => Value::Fixed(self.reader.array()?),
                    Kind::Ip => Value::Fixed(self.address(flags)?),
                    Kind::Micros => Value::Int(self.int()?),
                    Kind::Time => Value::Int(self.time(column, flags, &mut timestamp)?),
                    Kind::Label if has_numbers => Value::Text(self.label()?),
                    _ if column == at::SESSION_ID && flags & Flags::UUID_SESSION != 0 => {
                        Value::UuidText(self.reader.array()?)
                    }
                    Kind::Text | Kind::Json | Kind::Label => Value::Text(self.reader.text()?),
                };
                visit(column, value);
            }
        }
        Some(present)
    }

    #[inline]
    fn int(&mut self) -> Option<i64> {
        Some(i64::from_le_bytes(self.reader.array()?))
    }

    #[inline]
    fn address(&mut self, flags: u64) -> Option<[u8; 16]> {
        if flags & Flags::IPV4 == 0 {
            return self.reader.array();
        }
        let mut address = [0; 16];
        address[..12].copy_from_slice(&MAPPED);
        address[12..].copy_from_slice(&self.reader.array::<4>()?);
        Some(address)
    }

    #[inline]
    fn time(&mut self, column: usize, flags: u64, timestamp: &mut Option<i64>) -> Option<i64> {
        match column {
            at::TIMESTAMP => {
                *timestamp = Some(self.int()?);
                *timestamp
            }
            at::CLIENT_TIMESTAMP if flags & Flags::NO_SKEW != 0 => *timestamp,
            at::RECEIVED_AT if flags & Flags::SAME_RECEIPT != 0 => self.received_us,
            at::RECEIVED_AT => {
                self.received_us = Some(self.int()?);
                self.received_us
            }
            _ => self.int(),
        }
    }

    /// A label: twice its number in the group and one, or twice its length and its text.
    #[inline]
    fn label(&mut self) -> Option<&'a [u8]> {
        let said = self.reader.length()?;
        if said & 1 == 1 {
            return self.labels.get(said >> 1).copied();
        }
        let text = self.reader.slice(said >> 1)?;
        if text.len() >= LABEL_BYTES_MIN {
            self.labels.push(text);
        }
        Some(text)
    }
}
