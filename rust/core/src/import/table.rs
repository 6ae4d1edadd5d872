//! Tables of events in Arrow, of whatever types, as lines.

use core::net::Ipv6Addr;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, OffsetSizeTrait, RecordBatch};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, TimeUnit};

use super::{is_made, line};
use crate::column::{Bytes, NULL, TableError, dictionary_keys, wrong};
use crate::parse::uuid;
use crate::schema::{COLUMNS, Kind, at};

/// Append a line for each row: a member for each column that is not null there, named as the
/// column. Money in `revenue_micros` becomes `revenue`, UUIDs and addresses of 16 bytes become
/// text, and `properties` in text the object it says.
///
/// # Errors
/// A column has a type that JSON cannot say.
pub fn lines(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), TableError> {
    let schema = batch.schema_ref();
    let mut members = Vec::with_capacity(batch.num_columns());
    let columns = schema.fields().iter().zip(batch.columns());
    for (field, array) in columns.filter(|(field, _)| !is_made(field.name().as_bytes())) {
        let is_money = field.name() == COLUMNS[at::REVENUE].name
            && schema.index_of("revenue").is_err()
            && array.data_type() == &DataType::Int64;
        let cells = if is_money {
            let values = array.as_primitive::<Int64Type>();
            Cells::new(array, move |row, out| line::micros(values.value(row), out))
        } else {
            Cells::of(field.name(), array)?
        };
        let mut key = Vec::new();
        line::text(if is_money { b"revenue" } else { field.name().as_bytes() }, &mut key);
        key.push(b':');
        members.push((key, cells));
    }
    for row in 0..batch.num_rows() {
        object(members.iter().map(|(key, cells)| (&key[..], cells)), row, out);
        out.push(b'\n');
    }
    Ok(())
}

/// The members that are not null.
fn object<'a>(
    members: impl Iterator<Item = (&'a [u8], &'a Cells<'a>)>,
    row: usize,
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    let mut is_first = true;
    for (key, cells) in members.filter(|(_, cells)| !cells.is_null(row)) {
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        out.extend_from_slice(key);
        cells.write(row, out);
    }
    out.push(b'}');
}

type Write<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

/// A column, and how each of its cells is said.
struct Cells<'a> {
    nulls: Option<NullBuffer>,
    write: Write<'a>,
}

impl<'a> Cells<'a> {
    fn new(array: &dyn Array, write: impl Fn(usize, &mut Vec<u8>) + 'a) -> Self {
        // The logical ones: a column of type null has no bitmap, a dictionary may hold a null.
        Self { nulls: array.logical_nulls(), write: Box::new(write) }
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) { out.extend_from_slice(b"null") } else { (self.write)(row, out) }
    }

    /// By the type of the column and, for 16 bytes and objects, by its name.
    fn of(name: &'a str, array: &'a dyn Array) -> Result<Self, TableError> {
        if let Some(cells) = Self::plain(array).or_else(|| Self::times(array)) {
            return Ok(cells);
        }
        match array.data_type() {
            DataType::Dictionary(..) => {
                let keys = dictionary_keys(array);
                let values = Self::of(name, array.as_any_dictionary().values().as_ref())?;
                Ok(Self::new(array, move |row, out| match keys[row] {
                    NULL => out.extend_from_slice(b"null"),
                    key => values.write(key as usize, out),
                }))
            }
            DataType::List(_) => Self::list(name, array, array.as_list::<i32>()),
            DataType::LargeList(_) => Self::list(name, array, array.as_list::<i64>()),
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns();
                let mut members = Vec::with_capacity(columns.len());
                for (field, column) in fields.iter().zip(columns) {
                    let mut key = Vec::new();
                    line::text(field.name().as_bytes(), &mut key);
                    key.push(b':');
                    members.push((key, Self::of(field.name(), column.as_ref())?));
                }
                Ok(Self::new(array, move |row, out| {
                    object(members.iter().map(|(key, cells)| (&key[..], cells)), row, out);
                }))
            }
            DataType::Map(..) => Self::map(name, array),
            _ => match Bytes::new(array) {
                Some(bytes) => Ok(Self::bytes(name, array, bytes)),
                None => Err(wrong(
                    name,
                    array,
                    "text, a number, a time or nested values",
                    "cast it to text",
                )),
            },
        }
    }

    /// Booleans and numbers.
    fn plain(array: &'a dyn Array) -> Option<Self> {
        macro_rules! numbers {
            ($type:ty) => {{
                let values = array.as_primitive::<$type>();
                Self::new(array, move |row, out| {
                    line::put(out, format_args!("{}", values.value(row)));
                })
            }};
        }
        // The shortest text that reads as the same number; JSON has no other kinds of it.
        macro_rules! floats {
            ($type:ty) => {{
                let values = array.as_primitive::<$type>();
                Self::new(array, move |row, out| match values.value(row) {
                    value if value.is_finite() => line::put(out, format_args!("{value:?}")),
                    value => line::text(value.to_string().as_bytes(), out),
                })
            }};
        }
        Some(match array.data_type() {
            DataType::Boolean => {
                let values = array.as_boolean();
                Self::new(array, move |row, out| {
                    line::put(out, format_args!("{}", values.value(row)));
                })
            }
            DataType::Int8 => numbers!(Int8Type),
            DataType::Int16 => numbers!(Int16Type),
            DataType::Int32 => numbers!(Int32Type),
            DataType::Int64 => numbers!(Int64Type),
            DataType::UInt8 => numbers!(UInt8Type),
            DataType::UInt16 => numbers!(UInt16Type),
            DataType::UInt32 => numbers!(UInt32Type),
            DataType::UInt64 => numbers!(UInt64Type),
            DataType::Float32 => floats!(Float32Type),
            DataType::Float64 => floats!(Float64Type),
            DataType::Decimal128(..) => {
                let values = array.as_primitive::<Decimal128Type>();
                Self::new(array, move |row, out| {
                    line::number(values.value_as_string(row).as_bytes(), out);
                })
            }
            _ => return None,
        })
    }

    /// Timestamps and dates; those without a zone are UTC's.
    fn times(array: &'a dyn Array) -> Option<Self> {
        macro_rules! times {
            ($type:ty, $micros:expr) => {{
                let values = array.as_primitive::<$type>();
                Self::new(array, move |row, out| {
                    // What is too far for microseconds is too far for an event, which is said.
                    let us: Option<i64> = $micros(i64::from(values.value(row)));
                    line::time(us.unwrap_or(i64::MAX), out);
                })
            }};
        }
        Some(match array.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => {
                times!(TimestampSecondType, |s: i64| s.checked_mul(1_000_000))
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                times!(TimestampMillisecondType, |ms: i64| ms.checked_mul(1_000))
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                times!(TimestampMicrosecondType, Some)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                times!(TimestampNanosecondType, |ns: i64| Some(ns.div_euclid(1_000)))
            }
            DataType::Date32 => {
                times!(Date32Type, |days: i64| days.checked_mul(86_400_000_000))
            }
            DataType::Date64 => times!(Date64Type, |ms: i64| ms.checked_mul(1_000)),
            _ => return None,
        })
    }

    /// Text, or bytes: sixteen of them are an address or a UUID where one belongs.
    fn bytes(name: &str, array: &dyn Array, values: Bytes<'a>) -> Self {
        let kind = COLUMNS.iter().find(|column| column.name == name).map(|column| column.kind);
        let is_raw = values.is_raw();
        Self::new(array, move |row, out| {
            let bytes = values.get(row).unwrap_or_default();
            match (kind, <[u8; 16]>::try_from(bytes)) {
                (Some(Kind::Ip), Ok(octets)) if is_raw => {
                    let address = Ipv6Addr::from(octets).to_canonical();
                    line::put(out, format_args!("\"{address}\""));
                }
                (Some(Kind::Uuid), Ok(uuid)) if is_raw => line::text(&uuid::written(uuid), out),
                (Some(Kind::Json), _) => line::object(bytes, out),
                _ => line::text(bytes, out),
            }
        })
    }

    fn list<O: OffsetSizeTrait>(
        name: &'a str,
        array: &dyn Array,
        list: &'a arrow_array::GenericListArray<O>,
    ) -> Result<Self, TableError> {
        let values = Self::of(name, list.values().as_ref())?;
        Ok(Self::new(array, move |row, out| {
            out.push(b'[');
            let (start, end) = (list.value_offsets()[row], list.value_offsets()[row + 1]);
            for at in start.as_usize()..end.as_usize() {
                if at > start.as_usize() {
                    out.push(b',');
                }
                values.write(at, out);
            }
            out.push(b']');
        }))
    }

    /// Keys are text; a null value is left out as one of a struct is.
    fn map(name: &'a str, array: &'a dyn Array) -> Result<Self, TableError> {
        let map = array.as_map();
        let keys = Bytes::text(map.keys().as_ref(), name)?;
        let values = Self::of(name, map.values().as_ref())?;
        Ok(Self::new(array, move |row, out| {
            out.push(b'{');
            let (start, end) = (map.value_offsets()[row], map.value_offsets()[row + 1]);
            let mut is_first = true;
            for at in (start..end).filter_map(|at| usize::try_from(at).ok()) {
                if values.is_null(at) {
                    continue;
                }
                if !std::mem::take(&mut is_first) {
                    out.push(b',');
                }
                line::text(keys.get(at).unwrap_or_default(), out);
                out.push(b':');
                values.write(at, out);
            }
            out.push(b'}');
        }))
    }
}
