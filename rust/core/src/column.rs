//! Arrow columns of any fitting type in, plain values out.

use std::borrow::Cow;
use std::hash::BuildHasher;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray,
    LargeBinaryArray, LargeStringArray, PrimitiveArray, RecordBatch, StringArray, StringViewArray,
};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use hashbrown::{HashMap, HashTable};
use thiserror::Error;

/// A table that cannot be read as what it was said to be.
#[derive(Debug, Error)]
pub enum TableError {
    /// A named column is not there.
    #[error("no column `{name}` for {role}\nhint: the columns are {columns}")]
    Missing {
        /// The name asked for.
        name: String,
        /// The parameter that named it.
        role: &'static str,
        /// What there is.
        columns: String,
    },
    /// A column is there but of a type that cannot be meant.
    #[error("column `{name}` must be {wanted}, got `{found}`\nhint: {hint}")]
    WrongType {
        /// The column.
        name: String,
        /// What would do.
        wanted: &'static str,
        /// What it is.
        found: String,
        /// What to do.
        hint: &'static str,
    },
    /// A value is null that must not be.
    #[error("`{name}` is null in row {row}\nhint: drop the rows without it, or fill it")]
    Null {
        /// The column.
        name: String,
        /// 0-based row over all chunks.
        row: usize,
    },
    /// A number or time that cannot be computed with.
    #[error("`{name}` is {what} in row {row}\nhint: {hint}")]
    OutOfRange {
        /// The column.
        name: String,
        /// 0-based row over all chunks.
        row: usize,
        /// What it is, in words.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// A channel has the name of the row that is no channel.
    #[error(
        "the channel in row {row} is named `(unattributed)`\nhint: that name is kept for \
         conversions without touches; rename the channel"
    )]
    ReservedChannel {
        /// 0-based row over all chunks.
        row: usize,
    },
    /// More of something than there are numbers for it.
    #[error("too many {what}: more than {max}\nhint: split the table by person")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: u32,
    },
    /// Arrow itself refused.
    #[error("{0}\nhint: this is a limit of Arrow arrays; split the table")]
    Arrow(#[from] ArrowError),
    /// The caller asked to stop.
    #[error("cancelled\nhint: call it again")]
    Cancelled,
}

/// The column called `name`, or an error that says what `role` it was wanted for.
///
/// # Errors
/// The column is missing, of a wrong type, or has a value that cannot be used.
pub fn find<'a>(
    batch: &'a RecordBatch,
    name: &str,
    role: &'static str,
) -> Result<&'a ArrayRef, TableError> {
    batch.column_by_name(name).ok_or_else(|| TableError::Missing {
        name: name.to_owned(),
        role,
        columns: batch
            .schema_ref()
            .fields()
            .iter()
            .map(|f| f.name().as_str())
            .collect::<Vec<_>>()
            .join(", "),
    })
}

pub(crate) fn wrong(
    name: &str,
    array: &dyn Array,
    wanted: &'static str,
    hint: &'static str,
) -> TableError {
    TableError::WrongType {
        name: name.to_owned(),
        wanted,
        found: array.data_type().to_string(),
        hint,
    }
}

/// A column of numbers of this very type, which has no sign, none of them null.
pub(crate) fn unsigned<'a, T: ArrowPrimitiveType>(
    batch: &'a RecordBatch,
    name: &str,
    role: &'static str,
) -> Result<&'a [T::Native], TableError> {
    let array = find(batch, name, role)?;
    match array.as_primitive_opt::<T>() {
        Some(column) if column.null_count() == 0 => Ok(column.values()),
        _ => Err(wrong(name, array, "whole numbers without a sign, none of them null", "cast it")),
    }
}

/// Text or bytes of any layout: plain, large, view, fixed size or dictionary.
pub enum Bytes<'a> {
    /// A column of nulls.
    Null,
    /// See the Arrow type.
    Utf8(&'a StringArray),
    /// See the Arrow type.
    LargeUtf8(&'a LargeStringArray),
    /// See the Arrow type.
    Utf8View(&'a StringViewArray),
    /// See the Arrow type.
    Binary(&'a BinaryArray),
    /// See the Arrow type.
    LargeBinary(&'a LargeBinaryArray),
    /// See the Arrow type.
    BinaryView(&'a BinaryViewArray),
    /// See the Arrow type.
    Fixed(&'a FixedSizeBinaryArray),
    /// A dictionary: the position of each row's value, and the values.
    Keyed(Vec<u32>, Box<Self>),
}

impl<'a> Bytes<'a> {
    /// None where the type is neither text nor bytes.
    pub fn new(array: &'a dyn Array) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Utf8 => Self::Utf8(array.as_string()),
            DataType::LargeUtf8 => Self::LargeUtf8(array.as_string()),
            DataType::Utf8View => Self::Utf8View(array.as_string_view()),
            DataType::Binary => Self::Binary(array.as_binary()),
            DataType::LargeBinary => Self::LargeBinary(array.as_binary()),
            DataType::BinaryView => Self::BinaryView(array.as_binary_view()),
            DataType::FixedSizeBinary(_) => Self::Fixed(array.as_fixed_size_binary()),
            DataType::Dictionary(_, _) => {
                let values = array.as_any_dictionary().values();
                Self::Keyed(dictionary_keys(array), Box::new(Self::new(values.as_ref())?))
            }
            _ => return None,
        })
    }

    /// Text (not raw bytes), or an error that names the column.
    ///
    /// # Errors
    /// The column is missing, of a wrong type, or has a value that cannot be used.
    pub fn text(array: &'a dyn Array, name: &str) -> Result<Self, TableError> {
        let refused = || wrong(name, array, "text", "cast it to a text type");
        match Self::new(array).ok_or_else(refused)? {
            Self::Binary(_) | Self::LargeBinary(_) | Self::BinaryView(_) | Self::Fixed(_) => {
                Err(refused())
            }
            text => Ok(text),
        }
    }

    /// Whether it holds bytes, not text.
    pub(crate) fn is_raw(&self) -> bool {
        match self {
            Self::Binary(_) | Self::LargeBinary(_) | Self::BinaryView(_) | Self::Fixed(_) => true,
            Self::Keyed(_, values) => values.is_raw(),
            _ => false,
        }
    }

    /// How many rows there are; 0 where all are null.
    fn len(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Utf8(array) => array.len(),
            Self::LargeUtf8(array) => array.len(),
            Self::Utf8View(array) => array.len(),
            Self::Binary(array) => array.len(),
            Self::LargeBinary(array) => array.len(),
            Self::BinaryView(array) => array.len(),
            Self::Fixed(array) => array.len(),
            Self::Keyed(keys, _) => keys.len(),
        }
    }

    /// The value in `row`, none where it is null.
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        macro_rules! value {
            ($array:expr) => {
                (!$array.is_null(row)).then(|| AsRef::<[u8]>::as_ref($array.value(row)))
            };
        }
        match self {
            Self::Null => None,
            Self::Utf8(array) => value!(array),
            Self::LargeUtf8(array) => value!(array),
            Self::Utf8View(array) => value!(array),
            Self::Binary(array) => value!(array),
            Self::LargeBinary(array) => value!(array),
            Self::BinaryView(array) => value!(array),
            Self::Fixed(array) => value!(array),
            Self::Keyed(keys, values) if keys[row] == NULL => None,
            Self::Keyed(keys, values) => values.get(keys[row] as usize),
        }
    }
}

impl Bytes<'_> {
    /// Call `take` with each row that is not null and its value.
    pub(crate) fn each(&self, mut take: impl FnMut(usize, &[u8])) {
        macro_rules! values {
            ($array:expr) => {{
                let row_of = |row| take(row, AsRef::<[u8]>::as_ref($array.value(row)));
                match $array.nulls() {
                    Some(nulls) => nulls.valid_indices().for_each(row_of),
                    None => (0..$array.len()).for_each(row_of),
                }
            }};
        }
        match self {
            Self::Null => {}
            Self::Utf8(array) => values!(array),
            Self::LargeUtf8(array) => values!(array),
            Self::Utf8View(array) => values!(array),
            Self::Binary(array) => values!(array),
            Self::LargeBinary(array) => values!(array),
            Self::BinaryView(array) => values!(array),
            Self::Fixed(array) => values!(array),
            Self::Keyed(keys, values) => {
                for (row, key) in keys.iter().enumerate().filter(|(_, key)| **key != NULL) {
                    if let Some(value) = values.get(*key as usize) {
                        take(row, value);
                    }
                }
            }
        }
    }
}

/// Position of each row's value in a dictionary array, [`NULL`] for nulls.
pub(crate) fn dictionary_keys(array: &dyn Array) -> Vec<u32> {
    let dictionary = array.as_any_dictionary();
    let last = dictionary.values().len().saturating_sub(1);
    macro_rules! positions {
        ($type:ty) => {{
            let keys = dictionary.keys().as_primitive::<$type>().values().iter();
            // What lies under a null may be anything.
            keys.map(|key| narrow(usize::try_from(*key).unwrap_or_default().min(last))).collect()
        }};
    }
    let mut positions: Vec<u32> = match dictionary.keys().data_type() {
        DataType::Int8 => positions!(Int8Type),
        DataType::Int16 => positions!(Int16Type),
        DataType::Int32 => positions!(Int32Type),
        DataType::Int64 => positions!(Int64Type),
        DataType::UInt8 => positions!(UInt8Type),
        DataType::UInt16 => positions!(UInt16Type),
        DataType::UInt32 => positions!(UInt32Type),
        _ => positions!(UInt64Type),
    };
    if let Some(nulls) = dictionary.keys().nulls() {
        let null = |(position, is_valid): (&mut u32, bool)| {
            if !is_valid {
                *position = NULL;
            }
        };
        positions.iter_mut().zip(nulls).for_each(null);
    }
    if dictionary.values().is_empty() {
        positions.fill(NULL);
    }
    positions
}

/// A hash map whose iteration order nothing may depend on.
pub(crate) type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// The id of a null in what [`Interner::column`] returns.
pub const NULL: u32 = u32::MAX;

/// A position as the kernels number it. Reading refuses tables of more rows than there are numbers,
/// and nothing that is numbered outnumbers the rows.
pub(crate) fn narrow(position: usize) -> u32 {
    debug_assert!(u32::try_from(position).is_ok(), "more positions than rows can be");
    u32::try_from(position).unwrap_or(NULL)
}

/// Different byte strings, numbered in order of first appearance.
#[derive(Default)]
pub struct Interner {
    table: HashTable<u32>,
    ends: Vec<usize>,
    bytes: Vec<u8>,
    hasher: foldhash::quality::FixedState,
}

impl Interner {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The value numbered `id`.
    pub fn value(&self, id: u32) -> &[u8] {
        slice(&self.ends, &self.bytes, id)
    }

    /// The number of `value`, new or old.
    pub fn id(&mut self, value: &[u8]) -> u32 {
        let Self { table, ends, bytes, hasher } = self;
        let hash = hasher.hash_one(value);
        let entry = table.entry(
            hash,
            |&id| slice(ends, bytes, id) == value,
            |&id| hasher.hash_one(slice(ends, bytes, id)),
        );
        match entry {
            hashbrown::hash_table::Entry::Occupied(found) => *found.get(),
            hashbrown::hash_table::Entry::Vacant(free) => {
                let id = u32::try_from(ends.len()).unwrap_or(NULL);
                debug_assert!(id < NULL, "a table has fewer rows than there are ids");
                free.insert(id);
                bytes.extend_from_slice(value);
                ends.push(bytes.len());
                id
            }
        }
    }

    /// Numbers of all values of a text or bytes column; [`NULL`] for nulls.
    pub fn column(&mut self, column: &Bytes<'_>, rows: usize) -> Vec<u32> {
        match column {
            Bytes::Null => vec![NULL; rows],
            Bytes::Keyed(keys, values) => {
                // All of a small dictionary; of a large one what a slice uses, about.
                let used = || keys.iter().filter(|key| **key != NULL).max();
                let count = match values.len() {
                    few if few <= rows => few,
                    _ => used().map_or(0, |key| *key as usize + 1),
                };
                let ids = self.column(values, count);
                let id = |key: &u32| ids.get(*key as usize).copied().unwrap_or(NULL);
                keys.iter().map(id).collect()
            }
            plain => (0..rows).map(|row| plain.get(row).map_or(NULL, |v| self.id(v))).collect(),
        }
    }

    /// Take in the values of another; returns their numbers here.
    pub(crate) fn absorb(&mut self, other: &Self) -> Vec<u32> {
        (0..narrow(other.len())).map(|id| self.id(other.value(id))).collect()
    }

    /// By number: its place in the order of the values.
    pub(crate) fn places(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..narrow(self.len())).collect();
        order.sort_unstable_by_key(|id| self.value(*id));
        let mut places = vec![0; order.len()];
        for (place, id) in (0..).zip(order) {
            places[id as usize] = place;
        }
        places
    }

    /// All values as text, in order of their numbers.
    pub fn texts(&self) -> Vec<String> {
        let text = |id| String::from_utf8_lossy(slice(&self.ends, &self.bytes, id)).into_owned();
        (0..u32::try_from(self.len()).unwrap_or(NULL)).map(text).collect()
    }
}

fn slice<'a>(ends: &[usize], bytes: &'a [u8], id: u32) -> &'a [u8] {
    let id = id as usize;
    let start = if id == 0 { 0 } else { ends[id - 1] };
    &bytes[start..ends[id]]
}

/// Microseconds of a timestamp column of any unit and zone; nanoseconds are floored.
/// `first_row` is the number of the chunk's first row.
///
/// # Errors
/// The column is missing, of a wrong type, or has a value that cannot be used.
pub fn times<'a>(
    array: &'a dyn Array,
    name: &str,
    first_row: usize,
) -> Result<Cow<'a, [i64]>, TableError> {
    if let Some(row) = first_null(array) {
        return Err(TableError::Null { name: name.to_owned(), row: first_row + row });
    }
    // A column without a value may have lost its type.
    if array.data_type() == &DataType::Null {
        return Ok(Cow::default());
    }
    let DataType::Timestamp(unit, _) = array.data_type() else {
        let hint = "cast it to a timestamp: an integer does not say its unit, a date no time";
        return Err(wrong(name, array, "a timestamp", hint));
    };
    match unit {
        TimeUnit::Microsecond => {
            Ok(Cow::Borrowed(array.as_primitive::<TimestampMicrosecondType>().values()))
        }
        TimeUnit::Nanosecond => {
            let values = array.as_primitive::<TimestampNanosecondType>().values();
            Ok(values.iter().map(|ns| ns.div_euclid(1_000)).collect())
        }
        TimeUnit::Millisecond => scaled(
            array.as_primitive::<TimestampMillisecondType>().values(),
            1_000,
            name,
            first_row,
        ),
        TimeUnit::Second => {
            scaled(array.as_primitive::<TimestampSecondType>().values(), 1_000_000, name, first_row)
        }
    }
}

fn scaled(
    values: &[i64],
    factor: i64,
    name: &str,
    first_row: usize,
) -> Result<Cow<'static, [i64]>, TableError> {
    let too_far = |row: usize| TableError::OutOfRange {
        name: name.to_owned(),
        row: first_row + row,
        what: "too far from 1970 for microseconds",
        hint: "times reach 292,000 years either way",
    };
    let scale = |(row, value): (usize, &i64)| value.checked_mul(factor).ok_or_else(|| too_far(row));
    values.iter().enumerate().map(scale).collect()
}

/// The first null row.
pub fn first_null(array: &dyn Array) -> Option<usize> {
    // The logical ones: a column of type null has no bitmap, a dictionary may hold a null value.
    let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0)?;
    (0..array.len()).find(|&row| nulls.is_null(row))
}

/// A boolean column; a column of nothing but nulls may have lost its type.
///
/// # Errors
/// The column is of a wrong type.
pub fn booleans(array: &dyn Array, name: &str) -> Result<BooleanArray, TableError> {
    if array.data_type() == &DataType::Null {
        return Ok(BooleanArray::new_null(array.len()));
    }
    array.as_boolean_opt().cloned().ok_or_else(|| {
        wrong(name, array, "boolean", "compare it: `column == 1` or `column != \"\"` is boolean")
    })
}

/// Numbers of an integer, decimal or float column as float64; a null is 0.
///
/// # Errors
/// The column is missing, of a wrong type, or has a value that cannot be used.
pub fn numbers(array: &dyn Array, name: &str) -> Result<Vec<f64>, TableError> {
    macro_rules! plain {
        ($type:ty) => {
            values::<$type>(array, |value| value as f64)
        };
    }
    Ok(match array.data_type() {
        DataType::Null => vec![0.0; array.len()],
        DataType::Int8 => values::<Int8Type>(array, f64::from),
        DataType::Int16 => values::<Int16Type>(array, f64::from),
        DataType::Int32 => values::<Int32Type>(array, f64::from),
        DataType::Int64 => plain!(Int64Type),
        DataType::UInt8 => values::<UInt8Type>(array, f64::from),
        DataType::UInt16 => values::<UInt16Type>(array, f64::from),
        DataType::UInt32 => values::<UInt32Type>(array, f64::from),
        DataType::UInt64 => plain!(UInt64Type),
        DataType::Float32 => values::<Float32Type>(array, f64::from),
        DataType::Float64 => values::<Float64Type>(array, |value| value),
        DataType::Decimal32(_, scale) => {
            values::<Decimal32Type>(array, |value| decimal(f64::from(value), *scale))
        }
        DataType::Decimal64(_, scale) => {
            values::<Decimal64Type>(array, |value| decimal(value as f64, *scale))
        }
        DataType::Decimal128(_, scale) => {
            values::<Decimal128Type>(array, |value| decimal(value as f64, *scale))
        }
        DataType::Decimal256(_, scale) => values::<Decimal256Type>(array, |value| {
            // Beyond 38 digits there is nothing a float could keep.
            decimal(value.to_i128().map_or(f64::NAN, |value| value as f64), *scale)
        }),
        _ => return Err(wrong(name, array, "a number", "cast it to integer, decimal or float")),
    })
}

/// Millionths of money as whole numbers; a null is 0. Floats are taken as far as they are whole:
/// some libraries have no other integers that may be null.
///
/// # Errors
/// The column is of a wrong type.
pub fn micros(array: &dyn Array, name: &str) -> Result<Vec<i64>, TableError> {
    if let Some(column) = array.as_primitive_opt::<Int64Type>() {
        return Ok(column.iter().map(Option::unwrap_or_default).collect());
    }
    #[allow(clippy::cast_possible_truncation, reason = "the cast saturates where it is too wide")]
    let whole = |number: f64| i64::try_from(number as i128).ok().filter(|_| number.fract() == 0.0);
    let refused = || wrong(name, array, "int64", "cast it to int64");
    numbers(array, name)?.into_iter().map(|number| whole(number).ok_or_else(refused)).collect()
}

fn values<T: ArrowPrimitiveType>(
    array: &dyn Array,
    convert: impl Fn(T::Native) -> f64,
) -> Vec<f64> {
    let array: &PrimitiveArray<T> = array.as_primitive();
    array.iter().map(|value| value.map_or(0.0, &convert)).collect()
}

fn decimal(digits: f64, scale: i8) -> f64 {
    // Powers of ten to 22 are exact, so the usual scales round only once, here.
    let power = 10_f64.powi(i32::from(scale.unsigned_abs()));
    if scale < 0 { digits * power } else { digits / power }
}
