//! A record batch in, one ClickHouse Native block out.
//!
//! The same bytes go to the embedded engine and over HTTP. Text, labels and UUIDs have no nulls in
//! the warehouse: the empty text and the nil UUID stand for them, which saves a map per column.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, TimestampMicrosecondType};
use arrow_array::types::{
    Float64Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayAccessor, ArrayRef, FixedSizeBinaryArray, OffsetSizeTrait, RecordBatch,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow_buffer::ArrowNativeType;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, TimeUnit};

use crate::calendar::date;
use crate::column::{Bytes, Interner, TableError, find, narrow};
use crate::identity;

/// A batch that cannot become a block.
#[derive(Debug, thiserror::Error)]
pub enum NativeError {
    /// No column type of the warehouse holds this.
    #[error("no warehouse type for column `{0}` of type `{1}`\nhint: cast it first")]
    Type(String, DataType),
    /// A time that must be there is not.
    #[error("column `{0}` has a null\nhint: only optional columns may have one")]
    Null(String),
    /// A needed column is missing or of a wrong type.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Arrow refused to select rows.
    #[error("{0}\nhint: pass canonical events")]
    Arrow(#[from] ArrowError),
}

/// Columns that keep their nulls.
const NULLABLE: [&str; 4] = ["sent_at", "client_timestamp", "received_at", "revenue_micros"];

/// One block holding every row of `batch`. Allocates the block and one index per label column.
///
/// # Errors
/// A column type the warehouse has no match for, or a null in a time that must be there.
pub fn encode(batch: &RecordBatch) -> Result<Vec<u8>, NativeError> {
    encode_rows(batch, &(0..batch.num_rows()).collect::<Vec<_>>())
}

/// As [`encode`], of some rows in their order.
fn encode_rows(batch: &RecordBatch, rows: &[usize]) -> Result<Vec<u8>, NativeError> {
    let share = batch.get_array_memory_size() / batch.num_rows().max(1) * rows.len();
    let mut out = Vec::with_capacity(share + 4096);
    varint(batch.num_columns(), &mut out);
    varint(rows.len(), &mut out);
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        text(field.name().as_bytes(), &mut out);
        text(type_of(field)?.as_bytes(), &mut out);
        if !rows.is_empty() {
            column(field, array, rows, &mut out)?;
        }
    }
    Ok(out)
}

/// The events of one month as a block, with the two columns only the warehouse has: `identity`
/// and `batch_id`. Rows are in the order of the warehouse's table, which then need not sort them:
/// that takes it three times as long as it takes here.
///
/// # Errors
/// As [`encode`], and where `batch` is not canonical events.
pub fn encode_events(
    batch: &RecordBatch,
    month: i32,
    batch_id: u64,
) -> Result<Vec<u8>, NativeError> {
    let rows = ordered(batch, month)?;
    encode_rows(&with_warehouse_columns(batch, batch_id)?, &rows)
}

/// The rows of a month by app, time and id as the warehouse compares them; what is equal stays as
/// it came.
fn ordered(events: &RecordBatch, wanted: i32) -> Result<Vec<usize>, NativeError> {
    let column = |name| find(events, name, "canonical events");
    let mut apps = Interner::default();
    let app_of = apps.column(&Bytes::text(column("app_id")?, "app_id")?, events.num_rows());
    let mut order: Vec<u32> = (0..narrow(apps.len())).collect();
    order.sort_unstable_by_key(|id| apps.value(*id));
    let mut ranks = vec![0_u32; order.len()];
    (1..).zip(&order).for_each(|(rank, id)| ranks[*id as usize] = rank);
    // A null is written as the empty text, before all others.
    let rank = |app: u32| ranks.get(app as usize).copied().unwrap_or_default();
    let array = column("event_id")?;
    let ids = array.as_fixed_size_binary_opt();
    let ids = ids.ok_or_else(|| NativeError::Type("event_id".into(), array.data_type().clone()))?;
    // A UUID is a number there whose second half counts more.
    let id = |row| u128::from_be_bytes(key(ids, row)).rotate_left(64);
    let times = times_of(events)?.values().iter().enumerate();
    let those = times.filter(|(_, time)| month(**time) == wanted);
    let mut keys: Vec<_> = those.map(|(row, time)| ((rank(app_of[row]), *time), row)).collect();
    keys.sort_unstable_by(|(a, one), (b, other)| {
        a.cmp(b).then_with(|| (id(*one), one).cmp(&(id(*other), other)))
    });
    Ok(keys.into_iter().map(|(_, row)| row).collect())
}

fn with_warehouse_columns(events: &RecordBatch, batch_id: u64) -> Result<RecordBatch, NativeError> {
    let (mut fields, mut columns) = parts(events);
    fields.push(Arc::new(Field::new("identity", DataType::FixedSizeBinary(16), false)));
    columns.push(Arc::new(identity::keys(events)?));
    let identified = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    with_constants(&identified, &[("batch_id".to_owned(), batch_id)])
}

/// `batch` with a `UInt64` column per name, the same number in every row.
///
/// # Errors
/// Arrow refused the columns.
pub fn with_constants(
    batch: &RecordBatch,
    constants: &[(String, u64)],
) -> Result<RecordBatch, NativeError> {
    let (mut fields, mut columns) = parts(batch);
    for (name, value) in constants {
        fields.push(Arc::new(Field::new(name, DataType::UInt64, false)));
        columns.push(Arc::new(UInt64Array::from_value(*value, batch.num_rows())));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn parts(batch: &RecordBatch) -> (Vec<FieldRef>, Vec<ArrayRef>) {
    (batch.schema_ref().fields().iter().cloned().collect(), batch.columns().to_vec())
}

/// The months (`yyyymm` in UTC) that the events of `batch` fall into, ascending.
///
/// # Errors
/// No `timestamp` column, or a null in it.
pub fn months(batch: &RecordBatch) -> Result<Vec<i32>, NativeError> {
    let mut months: Vec<i32> = times_of(batch)?.values().iter().map(|us| month(*us)).collect();
    months.sort_unstable();
    months.dedup();
    Ok(months)
}

fn times_of(batch: &RecordBatch) -> Result<&TimestampMicrosecondArray, NativeError> {
    let array = find(batch, "timestamp", "canonical events")?;
    let Some(times) = array.as_primitive_opt::<TimestampMicrosecondType>() else {
        return Err(NativeError::Type("timestamp".to_owned(), array.data_type().clone()));
    };
    if times.null_count() > 0 {
        return Err(NativeError::Null("timestamp".to_owned()));
    }
    Ok(times)
}

/// `yyyymm` of an instant, by the civil calendar.
fn month(us: i64) -> i32 {
    let (year, month, _) = date(us.div_euclid(86_400_000_000));
    i32::try_from(year * 100 + month).unwrap_or(i32::MAX)
}

/// The warehouse type of a column.
///
/// # Errors
/// A type the warehouse has no match for.
pub fn type_of(field: &Field) -> Result<String, NativeError> {
    let plain = plain_type(field.name(), field.data_type())?;
    Ok(if is_nullable(field) { format!("Nullable({plain})") } else { plain })
}

fn is_nullable(field: &Field) -> bool {
    field.is_nullable() && NULLABLE.contains(&field.name().as_str())
}

fn plain_type(name: &str, kind: &DataType) -> Result<String, NativeError> {
    Ok(match kind {
        DataType::FixedSizeBinary(16) if name == "ip" => "IPv6",
        DataType::FixedSizeBinary(16) => "UUID",
        DataType::Timestamp(TimeUnit::Microsecond, _) => "DateTime64(6, 'UTC')",
        DataType::Dictionary(key, value)
            if **key == DataType::Int32 && **value == DataType::Utf8 =>
        {
            "LowCardinality(String)"
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary => "String",
        DataType::Boolean => "Bool",
        DataType::Int32 => "Int32",
        DataType::Int64 => "Int64",
        DataType::UInt8 => "UInt8",
        DataType::UInt16 => "UInt16",
        DataType::UInt32 => "UInt32",
        DataType::UInt64 => "UInt64",
        DataType::Float64 => "Float64",
        DataType::List(item) => {
            return Ok(format!("Array({})", plain_type(name, item.data_type())?));
        }
        other => return Err(NativeError::Type(name.to_owned(), other.clone())),
    }
    .to_owned())
}

fn column(
    field: &Field,
    array: &ArrayRef,
    rows: &[usize],
    out: &mut Vec<u8>,
) -> Result<(), NativeError> {
    let is_time = matches!(array.data_type(), DataType::Timestamp(_, _));
    if is_nullable(field) {
        out.extend(rows.iter().map(|row| u8::from(array.is_null(*row))));
    } else if is_time && array.null_count() > 0 {
        return Err(NativeError::Null(field.name().clone()));
    }
    prefix(array.data_type(), out);
    body(field.name(), array, rows, out)
}

/// What comes once per column, before everything else, however deep the label lies.
fn prefix(kind: &DataType, out: &mut Vec<u8>) {
    match kind {
        DataType::Dictionary(_, _) => out.extend_from_slice(&1_u64.to_le_bytes()),
        DataType::List(item) => prefix(item.data_type(), out),
        _ => {}
    }
}

fn body(
    name: &str,
    array: &ArrayRef,
    rows: &[usize],
    out: &mut Vec<u8>,
) -> Result<(), NativeError> {
    match array.data_type() {
        DataType::FixedSizeBinary(_) if name == "ip" => fixed(array, rows, out, |ip| ip),
        DataType::FixedSizeBinary(_) => fixed(array, rows, out, swapped),
        DataType::Timestamp(_, _) => {
            numbers::<TimestampMicrosecondType, 8>(array, rows, out, i64::to_le_bytes);
        }
        DataType::Dictionary(_, _) => labels(array, rows, out),
        DataType::Utf8 => texts::<i32>(array, rows, out),
        DataType::LargeUtf8 => texts::<i64>(array, rows, out),
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            for row in rows {
                text(some(&values, *row).unwrap_or_default(), out);
            }
        }
        DataType::Boolean => {
            let bits = array.as_boolean();
            out.extend(rows.iter().map(|row| u8::from(some(&bits, *row).unwrap_or_default())));
        }
        DataType::Int32 => numbers::<Int32Type, 4>(array, rows, out, i32::to_le_bytes),
        DataType::Int64 => numbers::<Int64Type, 8>(array, rows, out, i64::to_le_bytes),
        DataType::UInt8 => numbers::<UInt8Type, 1>(array, rows, out, u8::to_le_bytes),
        DataType::UInt16 => numbers::<UInt16Type, 2>(array, rows, out, u16::to_le_bytes),
        DataType::UInt32 => numbers::<UInt32Type, 4>(array, rows, out, u32::to_le_bytes),
        DataType::UInt64 => numbers::<UInt64Type, 8>(array, rows, out, u64::to_le_bytes),
        DataType::Float64 => numbers::<Float64Type, 8>(array, rows, out, f64::to_le_bytes),
        DataType::List(_) => lists(name, array, rows, out)?,
        other => return Err(NativeError::Type(name.to_owned(), other.clone())),
    }
    Ok(())
}

/// The value in a row, none where it is null.
fn some<A: ArrayAccessor>(array: &A, row: usize) -> Option<A::Item> {
    array.is_valid(row).then(|| array.value(row))
}

fn numbers<T: ArrowPrimitiveType, const N: usize>(
    array: &ArrayRef,
    rows: &[usize],
    out: &mut Vec<u8>,
    bytes: impl Fn(T::Native) -> [u8; N],
) {
    let array = array.as_primitive::<T>();
    if array.null_count() == 0 {
        let values = array.values();
        out.extend(rows.iter().flat_map(|row| bytes(values[*row])));
        return;
    }
    out.extend(rows.iter().flat_map(|row| bytes(some(&array, *row).unwrap_or_default())));
}

/// A UUID is two little-endian halves in the warehouse.
fn swapped(mut value: [u8; 16]) -> [u8; 16] {
    value[..8].reverse();
    value[8..].reverse();
    value
}

fn fixed(array: &ArrayRef, rows: &[usize], out: &mut Vec<u8>, map: impl Fn([u8; 16]) -> [u8; 16]) {
    let array = array.as_fixed_size_binary();
    for row in rows {
        out.extend_from_slice(&map(key(array, *row)));
    }
}

/// Sixteen bytes, zeros where there are none.
fn key(array: &FixedSizeBinaryArray, row: usize) -> [u8; 16] {
    some(&array, row).and_then(|value| value.try_into().ok()).unwrap_or_default()
}

fn texts<O: OffsetSizeTrait>(array: &ArrayRef, rows: &[usize], out: &mut Vec<u8>) {
    let values = array.as_string::<O>();
    for row in rows {
        text(some(&values, *row).unwrap_or_default().as_bytes(), out);
    }
}

fn text(value: &[u8], out: &mut Vec<u8>) {
    varint(value.len(), out);
    out.extend_from_slice(value);
}

fn varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// The block carries its own dictionary of just the values in use, in order of first use.
const OWN_KEYS: u64 = 1 << 9 | 1 << 10;
const UNUSED: usize = usize::MAX;

fn labels(array: &ArrayRef, rows: &[usize], out: &mut Vec<u8>) {
    if rows.is_empty() {
        return;
    }
    let array = array.as_dictionary::<Int32Type>();
    let values = array.values().as_string::<i32>();
    let null = values.len();
    let mut index_of = vec![UNUSED; null + 1];
    let mut used: Vec<usize> = Vec::new();
    let mut indexes = Vec::with_capacity(rows.len());
    for row in rows {
        let value = array.key(*row).unwrap_or(null);
        if index_of[value] == UNUSED {
            index_of[value] = used.len();
            used.push(value);
        }
        indexes.push(index_of[value]);
    }
    let (width, bytes) = match used.len() {
        0..=0x100 => (0, 1),
        0x101..=0x1_0000 => (1, 2),
        _ => (2, 4),
    };
    out.extend_from_slice(&(OWN_KEYS | width).to_le_bytes());
    out.extend_from_slice(&(used.len() as u64).to_le_bytes());
    for value in used {
        let is_text = value != null && values.is_valid(value);
        text(if is_text { values.value(value).as_bytes() } else { b"" }, out);
    }
    out.extend_from_slice(&(indexes.len() as u64).to_le_bytes());
    for index in indexes {
        out.extend_from_slice(&index.to_le_bytes()[..bytes]);
    }
}

fn lists(
    name: &str,
    array: &ArrayRef,
    rows: &[usize],
    out: &mut Vec<u8>,
) -> Result<(), NativeError> {
    let lists = array.as_list::<i32>();
    let offsets = lists.value_offsets();
    let mut items: Vec<usize> = Vec::with_capacity(lists.values().len());
    for row in rows {
        items.extend(offsets[*row].as_usize()..offsets[row + 1].as_usize());
        out.extend_from_slice(&(items.len() as u64).to_le_bytes());
    }
    body(name, lists.values(), &items, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_that_of_the_civil_calendar() {
        let day = 86_400_000_000;
        assert_eq!(month(0), 197_001);
        assert_eq!(month(-1), 196_912);
        assert_eq!(month(11_016 * day), 200_002);
        assert_eq!(month(11_017 * day - 1), 200_002);
        assert_eq!(month(11_017 * day), 200_003);
        assert_eq!(month(20_454 * day - 1), 202_512);
        assert_eq!(month(20_454 * day), 202_601);
        // 2099-12-31 is day 47481.
        assert_eq!(month(47_482 * day - 1), 209_912);
        assert_eq!(month(47_482 * day), 210_001);
    }

    #[test]
    fn a_block_is_names_types_and_values_by_column() {
        let numbers: ArrayRef = Arc::new(UInt64Array::from(vec![1, 258]));
        let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        let mut expected = b"\x01\x02\x01n\x06UInt64".to_vec();
        expected.extend([1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(encode(&batch).unwrap(), expected);
    }

    #[test]
    fn a_type_without_a_match_is_named() {
        let days: ArrayRef = Arc::new(arrow_array::Date32Array::from(vec![1]));
        let batch = RecordBatch::try_from_iter([("day", days)]).unwrap();
        let error = encode(&batch).unwrap_err().to_string();
        assert!(error.starts_with("no warehouse type for column `day` of type `Date32`"));
    }
}
