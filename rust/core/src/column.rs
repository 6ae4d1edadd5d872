//! Arrow columns of any fitting type in, plain values out.

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

fn wrong(name: &str, array: &dyn Array, wanted: &'static str, hint: &'static str) -> TableError {
    TableError::WrongType {
        name: name.to_owned(),
        wanted,
        found: array.data_type().to_string(),
        hint,
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
    Keyed(Vec<Option<usize>>, Box<Self>),
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
                Self::Keyed(keys(array), Box::new(Self::new(values.as_ref())?))
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
            Self::Keyed(keys, values) => keys[row].and_then(|key| values.get(key)),
        }
    }
}

/// Position of each row's value in a dictionary array.
fn keys(array: &dyn Array) -> Vec<Option<usize>> {
    let dictionary = array.as_any_dictionary();
    if dictionary.values().is_empty() {
        return vec![None; array.len()];
    }
    let keys = dictionary.normalized_keys();
    keys.into_iter().enumerate().map(|(row, key)| array.is_valid(row).then_some(key)).collect()
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
                let count = keys.iter().flatten().max().map_or(0, |key| key + 1);
                let ids = self.column(values, count);
                keys.iter().map(|key| key.map_or(NULL, |key| ids[key])).collect()
            }
            plain => (0..rows).map(|row| plain.get(row).map_or(NULL, |v| self.id(v))).collect(),
        }
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
pub fn times(array: &dyn Array, name: &str, first_row: usize) -> Result<Vec<i64>, TableError> {
    if let Some(row) = first_null(array) {
        return Err(TableError::Null { name: name.to_owned(), row: first_row + row });
    }
    // A column without a value may have lost its type.
    if array.data_type() == &DataType::Null {
        return Ok(Vec::new());
    }
    let DataType::Timestamp(unit, _) = array.data_type() else {
        let hint = "cast it to a timestamp: an integer does not say its unit, a date no time";
        return Err(wrong(name, array, "a timestamp", hint));
    };
    match unit {
        TimeUnit::Microsecond => {
            Ok(array.as_primitive::<TimestampMicrosecondType>().values().to_vec())
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
) -> Result<Vec<i64>, TableError> {
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

/// One person key per row: equal where the column's values are equal.
pub enum Keys {
    /// Integers are their own keys.
    Integers,
    /// Everything else is numbered.
    Numbered(Box<Interner>),
}

impl Keys {
    /// Keys for columns of this type; None where the type cannot name a person.
    pub fn new(kind: &DataType) -> Option<Self> {
        match kind {
            kind if kind.is_integer() => Some(Self::Integers),
            DataType::Dictionary(_, values) => Self::new(values),
            DataType::Null
            | DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Some(Self::Numbered(Box::default())),
            _ => None,
        }
    }

    /// Keys of one chunk; a null is an error that names the row.
    ///
    /// # Errors
    /// The column is missing, of a wrong type, or has a value that cannot be used.
    pub fn chunk(
        &mut self,
        array: &dyn Array,
        name: &str,
        first_row: usize,
    ) -> Result<Vec<u64>, TableError> {
        if let Some(row) = first_null(array) {
            return Err(TableError::Null { name: name.to_owned(), row: first_row + row });
        }
        Ok(match self {
            Self::Integers => integers(array),
            Self::Numbered(seen) => {
                let column = Bytes::new(array).unwrap_or(Bytes::Null);
                seen.column(&column, array.len()).into_iter().map(u64::from).collect()
            }
        })
    }
}

fn integers(array: &dyn Array) -> Vec<u64> {
    macro_rules! wide {
        ($type:ty) => {
            array
                .as_primitive::<$type>()
                .values()
                .iter()
                .map(|&value| i64::from(value).cast_unsigned())
                .collect()
        };
    }
    match array.data_type() {
        DataType::Int8 => wide!(Int8Type),
        DataType::Int16 => wide!(Int16Type),
        DataType::Int32 => wide!(Int32Type),
        DataType::Int64 => wide!(Int64Type),
        DataType::UInt8 => wide!(UInt8Type),
        DataType::UInt16 => wide!(UInt16Type),
        DataType::UInt32 => wide!(UInt32Type),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().values().to_vec(),
        _ => {
            let dictionary = array.as_any_dictionary();
            let values = integers(dictionary.values().as_ref());
            keys(array).into_iter().map(|key| key.map_or(0, |key| values[key])).collect()
        }
    }
}

/// Refuse a column that cannot name a person.
///
/// # Errors
/// The column is missing, of a wrong type, or has a value that cannot be used.
pub fn person_keys(array: &dyn Array, name: &str) -> Result<Keys, TableError> {
    Keys::new(array.data_type())
        .ok_or_else(|| wrong(name, array, "integer, text or a UUID", "cast it to integer or text"))
}
