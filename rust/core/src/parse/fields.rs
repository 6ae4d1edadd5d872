//! What checking and writing a block share: the values found, and which rows have one.

use super::columns::WIDTH;
use super::json::{Form, Slot, unescape};
use super::keys::SENT;
use super::time::TimeError;
use super::{Context, block::ROWS, time};
use crate::reject::Code;
use crate::schema::{COLUMNS, Kind};

/// The batch's own `sent_at`, which stands in for a missing one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Inherited {
    Nothing,
    Instant(i64),
    Bad(Code),
}

/// A value of a column, or why it is none.
pub(crate) type Checked<T> = Result<T, Code>;

/// What is found in a block of records, and by what it is judged.
pub(crate) struct Fields<'c> {
    pub(crate) context: &'c Context<'c>,
    pub(crate) sent_at: Inherited,
    pub(crate) scratch: Vec<u8>,
    /// The app whose event ids were last mapped, and its namespace.
    pub(crate) namespace: Option<(Vec<u8>, [u8; 16])>,
    pub(crate) found: Box<Found>,
}

/// The values of a block; reused for every block, because making it anew costs more than reading a
/// record.
pub(crate) struct Found {
    /// Per column a bit per row that has a value to write.
    pub(crate) present: [u64; WIDTH],
    /// Per column a bit per row whose value was refused: wrong, but not missing.
    pub(crate) refused: [u64; SENT],
    /// Per column a bit per row that was sent.
    pub(crate) sent: [u64; SENT],
    /// Per column a bit per row that sent [plain](super::keys::is_plain) text.
    pub(crate) plain: [u64; SENT],
    /// Values of the 16-byte columns, by [`fixed_at`].
    pub(crate) fixed: [[[u8; 16]; ROWS]; FIXED],
    /// Values of the integer columns, by [`int_at`].
    pub(crate) ints: [[i64; ROWS]; INTS],
    /// Currencies in upper case.
    pub(crate) currencies: [[u8; 3]; ROWS],
}

impl Default for Found {
    fn default() -> Self {
        Self {
            present: [0; WIDTH],
            refused: [0; SENT],
            sent: [0; SENT],
            plain: [0; SENT],
            fixed: [[[0; 16]; ROWS]; FIXED],
            ints: [[0; ROWS]; INTS],
            currencies: [[0; 3]; ROWS],
        }
    }
}

/// How many columns hold 16 bytes, and how many an integer.
const FIXED: usize = before(WIDTH, true);
const INTS: usize = before(WIDTH, false);

/// How many columns of 16 bytes, or of integers, stand before one.
const fn before(column: usize, is_fixed: bool) -> usize {
    let (mut count, mut other) = (0, 0);
    while other < column {
        let found = match COLUMNS[other].kind {
            Kind::Uuid | Kind::Ip => is_fixed,
            Kind::Time | Kind::Micros => !is_fixed,
            _ => false,
        };
        count += found as usize;
        other += 1;
    }
    count
}

/// Which of the columns that hold 16 bytes this is.
pub(crate) const fn fixed_at(column: usize) -> usize {
    FIXED_AT[column]
}

/// Which of the columns that hold an integer this is.
pub(crate) const fn int_at(column: usize) -> usize {
    INT_AT[column]
}

const fn table(is_fixed: bool) -> [usize; WIDTH] {
    let mut table = [0; WIDTH];
    let mut column = 0;
    while column < WIDTH {
        table[column] = before(column, is_fixed);
        column += 1;
    }
    table
}

const FIXED_AT: [usize; WIDTH] = table(true);
const INT_AT: [usize; WIDTH] = table(false);

/// The text of a string value; unescaped into `scratch` where needed.
#[inline]
pub(crate) fn text<'a>(bytes: &'a [u8], slot: Slot, scratch: &'a mut Vec<u8>) -> Checked<&'a [u8]> {
    match slot.form {
        Form::Text => Ok(slot.of(bytes)),
        Form::Escaped => {
            scratch.clear();
            unescape(slot.of(bytes), scratch);
            Ok(scratch)
        }
        _ => Err(Code::WrongType),
    }
}

#[inline]
pub(crate) fn instant(bytes: &[u8], slot: Slot, scratch: &mut Vec<u8>) -> Checked<i64> {
    let found = match slot.form {
        Form::Number => time::epoch(slot.of(bytes)),
        _ => time::rfc3339(text(bytes, slot, scratch)?),
    };
    found.map_err(|error| match error {
        TimeError::Invalid => Code::InvalidTimestamp,
        TimeError::OutOfRange => Code::TimestampOutOfRange,
    })
}

/// The `sent_at` of a whole batch.
pub(crate) fn inherited(bytes: &[u8], slot: Option<Slot>) -> Inherited {
    match slot.filter(|slot| slot.form != Form::Null) {
        None => Inherited::Nothing,
        Some(slot) => match instant(bytes, slot, &mut Vec::new()) {
            Ok(us) => Inherited::Instant(us),
            Err(code) => Inherited::Bad(code),
        },
    }
}

impl<'c> Fields<'c> {
    pub(crate) fn new(context: &'c Context<'c>, sent_at: Inherited, found: Box<Found>) -> Self {
        Self { context, sent_at, scratch: Vec::new(), namespace: None, found }
    }

    /// Whether an event of another app than the context's is before us.
    pub(crate) fn is_foreign(&self, app: &[u8]) -> bool {
        self.context.app_id.is_some_and(|own| !app.is_empty() && own.as_bytes() != app)
    }
}
