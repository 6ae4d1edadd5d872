//! Arrow values to Python objects, for `to_pylist` and the repr: the slow, friendly door.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, downcast_dictionary_array};
use arrow_schema::{DataType, TimeUnit};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDateTime, PyDelta, PyList, PyTzInfo};

macro_rules! primitive {
    ($list:expr, $array:expr, $rows:expr, $type:ty) => {{
        let array = $array.as_primitive::<$type>();
        for row in 0..$rows {
            $list.append((!array.is_null(row)).then(|| array.value(row)))?;
        }
    }};
}

macro_rules! text {
    ($list:expr, $array:expr, $rows:expr) => {{
        for row in 0..$rows {
            $list.append((!$array.is_null(row)).then(|| $array.value(row)))?;
        }
    }};
}

macro_rules! binary {
    ($list:expr, $array:expr, $rows:expr) => {{
        let array = $array;
        for row in 0..$rows {
            let value = (!array.is_null(row)).then(|| PyBytes::new($list.py(), array.value(row)));
            $list.append(value)?;
        }
    }};
}

/// Append the first `rows` values of `array` to `list`.
pub(super) fn append(list: &Bound<'_, PyList>, array: &ArrayRef, rows: usize) -> PyResult<()> {
    match array.data_type() {
        DataType::Boolean => text!(list, array.as_boolean(), rows),
        DataType::Int8 => primitive!(list, array, rows, Int8Type),
        DataType::Int16 => primitive!(list, array, rows, Int16Type),
        DataType::Int32 => primitive!(list, array, rows, Int32Type),
        DataType::Int64 => primitive!(list, array, rows, Int64Type),
        DataType::UInt8 => primitive!(list, array, rows, UInt8Type),
        DataType::UInt16 => primitive!(list, array, rows, UInt16Type),
        DataType::UInt32 => primitive!(list, array, rows, UInt32Type),
        DataType::UInt64 => primitive!(list, array, rows, UInt64Type),
        DataType::Float32 => primitive!(list, array, rows, Float32Type),
        DataType::Float64 => primitive!(list, array, rows, Float64Type),
        DataType::Utf8 => text!(list, array.as_string::<i32>(), rows),
        DataType::LargeUtf8 => text!(list, array.as_string::<i64>(), rows),
        DataType::Utf8View => text!(list, array.as_string_view(), rows),
        DataType::Null => (0..rows).try_for_each(|_| list.append(list.py().None()))?,
        DataType::FixedSizeBinary(_) => binary!(list, array.as_fixed_size_binary(), rows),
        DataType::Binary => binary!(list, array.as_binary::<i32>(), rows),
        DataType::LargeBinary => binary!(list, array.as_binary::<i64>(), rows),
        DataType::BinaryView => binary!(list, array.as_binary_view(), rows),
        DataType::List(_) => lists(list, array, rows)?,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => times(list, array, rows)?,
        DataType::Dictionary(_, _) => dictionary(list, array, rows)?,
        other => {
            return Err(PyTypeError::new_err(format!(
                "no Python form for a column of type `{other}`\nhint: use `to_pyarrow()`"
            )));
        }
    }
    Ok(())
}

fn lists(list: &Bound<'_, PyList>, array: &ArrayRef, rows: usize) -> PyResult<()> {
    let array = array.as_list::<i32>();
    for row in 0..rows {
        if array.is_null(row) {
            list.append(list.py().None())?;
            continue;
        }
        let (items, own) = (array.value(row), PyList::empty(list.py()));
        append(&own, &items, items.len())?;
        list.append(own)?;
    }
    Ok(())
}

fn times(list: &Bound<'_, PyList>, array: &ArrayRef, rows: usize) -> PyResult<()> {
    let py = list.py();
    let array = array.as_primitive::<TimestampMicrosecondType>();
    let utc = PyTzInfo::utc(py)?.to_owned();
    // From a fixed epoch by timedelta: exact, and good for years a float could not reach.
    let epoch = PyDateTime::new(py, 1970, 1, 1, 0, 0, 0, 0, Some(&utc))?;
    for row in 0..rows {
        if array.is_null(row) {
            list.append(py.None())?;
            continue;
        }
        let us = array.value(row);
        let days = i32::try_from(us.div_euclid(86_400_000_000))?;
        let rest = us.rem_euclid(86_400_000_000);
        let seconds = i32::try_from(rest / 1_000_000)?;
        let micros = i32::try_from(rest % 1_000_000)?;
        let delta = PyDelta::new(py, days, seconds, micros, false)?;
        list.append(epoch.call_method1("__add__", (delta,))?)?;
    }
    Ok(())
}

fn dictionary(list: &Bound<'_, PyList>, array: &ArrayRef, rows: usize) -> PyResult<()> {
    let array: &dyn Array = array.as_ref();
    let (keys, values): (Vec<Option<usize>>, ArrayRef) = downcast_dictionary_array!(
        array => (
            (0..rows).map(|row| array.key(row)).collect(),
            array.values().clone()
        ),
        _ => return Err(PyTypeError::new_err("not a dictionary"))
    );
    let texts = PyList::empty(list.py());
    append(&texts, &values, values.len())?;
    for key in keys {
        match key {
            Some(key) => list.append(texts.get_item(key)?)?,
            None => list.append(list.py().None())?,
        }
    }
    Ok(())
}
