//! 16-byte values in, the text people write for them out.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use unmogrowp_core::text;

use crate::door::Door;
use crate::table::Batches;

/// A column that has no text, on its way to Python.
struct Unwritable(ArrowError);

impl From<Unwritable> for PyErr {
    fn from(error: Unwritable) -> Self {
        PyValueError::new_err(error.0.to_string())
    }
}

/// The same table with its 16-byte columns as text; those named in `addresses` are IPs.
#[pyfunction]
#[pyo3(signature = (table, /, *, addresses))]
pub(crate) fn as_text(
    py: Python<'_>,
    table: &Batches,
    addresses: Vec<String>,
) -> PyResult<Batches> {
    let (schema, batches) = (table.schema(), table.batches().to_vec());
    py.enter(move || {
        let shown = Arc::new(Schema::new(
            schema.fields().iter().map(|field| field_of(field)).collect::<Vec<_>>(),
        ));
        let batches = batches.iter().map(|batch| batch_of(batch, &shown, &addresses));
        let batches = batches.collect::<Result<Vec<_>, _>>().map_err(Unwritable)?;
        Ok::<_, Unwritable>(Batches::new(shown, batches))
    })
}

fn is_sixteen(data_type: &DataType) -> bool {
    matches!(data_type, DataType::FixedSizeBinary(16))
}

fn field_of(field: &Field) -> Field {
    if is_sixteen(field.data_type()) {
        Field::new(field.name(), DataType::Utf8, field.is_nullable())
    } else {
        field.clone()
    }
}

fn batch_of(
    batch: &RecordBatch,
    shown: &SchemaRef,
    addresses: &[String],
) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().zip(shown.fields());
    let columns = columns.map(|(column, field)| -> ArrayRef {
        if !is_sixteen(column.data_type()) {
            return column.clone();
        }
        let bytes = column.as_fixed_size_binary();
        let is_address = addresses.contains(field.name());
        Arc::new(if is_address { text::addresses(bytes) } else { text::uuids(bytes) })
    });
    RecordBatch::try_new(shown.clone(), columns.collect())
}
