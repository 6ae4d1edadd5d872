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
use arrow_array::{Array, ArrayRef, BooleanArray, OffsetSizeTrait, RecordBatch, UInt64Array};
use arrow_buffer::ArrowNativeType;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, TimeUnit};
use arrow_select::filter::filter_record_batch;

use crate::column::{TableError, find};
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
    let mut out = Vec::with_capacity(batch.get_array_memory_size() + 1024);
    varint(batch.num_columns(), &mut out);
    varint(batch.num_rows(), &mut out);
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        text(field.name().as_bytes(), &mut out);
        text(type_of(field)?.as_bytes(), &mut out);
        if batch.num_rows() > 0 {
            column(field, array, &mut out)?;
        }
    }
    Ok(out)
}

/// The events of one month as a block, with the two columns only the warehouse has: `identity`
/// and `batch_id`.
///
/// # Errors
/// As [`encode`], and where `batch` is not canonical events.
pub fn encode_events(
    batch: &RecordBatch,
    month: i32,
    batch_id: u64,
) -> Result<Vec<u8>, NativeError> {
    encode(&with_warehouse_columns(&of_month(batch, month)?, batch_id)?)
}

/// The events of one month (`yyyymm` in UTC), in order; sharing memory where that is all of them.
///
/// # Errors
/// No `timestamp` column, or a null in it.
pub fn of_month(batch: &RecordBatch, month: i32) -> Result<RecordBatch, NativeError> {
    let months = month_of_rows(batch)?;
    if months.iter().all(|m| *m == month) {
        return Ok(batch.clone());
    }
    let mask: BooleanArray = months.iter().map(|m| Some(*m == month)).collect();
    Ok(filter_record_batch(batch, &mask)?)
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
    let mut months = month_of_rows(batch)?;
    months.sort_unstable();
    months.dedup();
    Ok(months)
}

fn month_of_rows(batch: &RecordBatch) -> Result<Vec<i32>, NativeError> {
    let array = find(batch, "timestamp", "canonical events")?;
    let Some(times) = array.as_primitive_opt::<TimestampMicrosecondType>() else {
        return Err(NativeError::Type("timestamp".to_owned(), array.data_type().clone()));
    };
    if times.null_count() > 0 {
        return Err(NativeError::Null("timestamp".to_owned()));
    }
    Ok(times.values().iter().map(|us| month(*us)).collect())
}

/// `yyyymm` of an instant, by the civil calendar.
fn month(us: i64) -> i32 {
    // Days since 0000-03-01: a year then ends with its leap day, and months follow one formula.
    let days = us.div_euclid(86_400_000_000) + 719_468;
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let (month, carry) = if from_march < 10 { (from_march + 3, 0) } else { (from_march - 9, 1) };
    i32::try_from((year + era * 400 + carry) * 100 + month).unwrap_or(i32::MAX)
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

fn column(field: &Field, array: &ArrayRef, out: &mut Vec<u8>) -> Result<(), NativeError> {
    let is_time = matches!(array.data_type(), DataType::Timestamp(_, _));
    if is_nullable(field) {
        out.extend((0..array.len()).map(|row| u8::from(array.is_null(row))));
    } else if is_time && array.null_count() > 0 {
        return Err(NativeError::Null(field.name().clone()));
    }
    prefix(array.data_type(), out);
    body(field.name(), array, out)
}

/// What comes once per column, before everything else, however deep the label lies.
fn prefix(kind: &DataType, out: &mut Vec<u8>) {
    match kind {
        DataType::Dictionary(_, _) => out.extend_from_slice(&1_u64.to_le_bytes()),
        DataType::List(item) => prefix(item.data_type(), out),
        _ => {}
    }
}

fn body(name: &str, array: &ArrayRef, out: &mut Vec<u8>) -> Result<(), NativeError> {
    match array.data_type() {
        DataType::FixedSizeBinary(_) if name == "ip" => fixed(array, out, |ip| ip),
        DataType::FixedSizeBinary(_) => fixed(array, out, swapped),
        DataType::Timestamp(_, _) => {
            numbers::<TimestampMicrosecondType, 8>(array, out, i64::to_le_bytes);
        }
        DataType::Dictionary(_, _) => labels(array, out),
        DataType::Utf8 => texts::<i32>(array, out),
        DataType::LargeUtf8 => texts::<i64>(array, out),
        DataType::Binary => {
            for value in array.as_binary::<i32>() {
                text(value.unwrap_or_default(), out);
            }
        }
        DataType::Boolean => {
            let bits = array.as_boolean();
            out.extend((0..bits.len()).map(|row| u8::from(bits.is_valid(row) && bits.value(row))));
        }
        DataType::Int32 => numbers::<Int32Type, 4>(array, out, i32::to_le_bytes),
        DataType::Int64 => numbers::<Int64Type, 8>(array, out, i64::to_le_bytes),
        DataType::UInt8 => numbers::<UInt8Type, 1>(array, out, u8::to_le_bytes),
        DataType::UInt16 => numbers::<UInt16Type, 2>(array, out, u16::to_le_bytes),
        DataType::UInt32 => numbers::<UInt32Type, 4>(array, out, u32::to_le_bytes),
        DataType::UInt64 => numbers::<UInt64Type, 8>(array, out, u64::to_le_bytes),
        DataType::Float64 => numbers::<Float64Type, 8>(array, out, f64::to_le_bytes),
        DataType::List(_) => lists(name, array, out)?,
        other => return Err(NativeError::Type(name.to_owned(), other.clone())),
    }
    Ok(())
}

fn numbers<T: ArrowPrimitiveType, const N: usize>(
    array: &ArrayRef,
    out: &mut Vec<u8>,
    bytes: impl Fn(T::Native) -> [u8; N],
) {
    let array = array.as_primitive::<T>();
    if array.null_count() == 0 {
        out.extend(array.values().iter().flat_map(|v| bytes(*v)));
        return;
    }
    out.extend(array.iter().flat_map(|v| bytes(v.unwrap_or_default())));
}

/// A UUID is two little-endian halves in the warehouse.
fn swapped(mut value: [u8; 16]) -> [u8; 16] {
    value[..8].reverse();
    value[8..].reverse();
    value
}

fn fixed(array: &ArrayRef, out: &mut Vec<u8>, map: impl Fn([u8; 16]) -> [u8; 16]) {
    let array = array.as_fixed_size_binary();
    for row in 0..array.len() {
        let value = if array.is_null(row) { &[0; 16] } else { array.value(row) };
        out.extend_from_slice(&map(value.try_into().unwrap_or_default()));
    }
}

fn texts<O: OffsetSizeTrait>(array: &ArrayRef, out: &mut Vec<u8>) {
    for value in array.as_string::<O>() {
        text(value.unwrap_or_default().as_bytes(), out);
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

fn labels(array: &ArrayRef, out: &mut Vec<u8>) {
    if array.is_empty() {
        return;
    }
    let array = array.as_dictionary::<Int32Type>();
    let values = array.values().as_string::<i32>();
    let null = values.len();
    let mut index_of = vec![UNUSED; null + 1];
    let mut used: Vec<usize> = Vec::new();
    let mut indexes = Vec::with_capacity(array.len());
    for row in 0..array.len() {
        let value = array.key(row).unwrap_or(null);
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

fn lists(name: &str, array: &ArrayRef, out: &mut Vec<u8>) -> Result<(), NativeError> {
    let lists = array.as_list::<i32>();
    let offsets = lists.value_offsets();
    let first = offsets[0];
    for end in &offsets[1..] {
        out.extend_from_slice(&i64::from(end - first).to_le_bytes());
    }
    let count = offsets[offsets.len() - 1] - first;
    let items = lists.values().slice(first.as_usize(), count.as_usize());
    body(name, &items, out)
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
