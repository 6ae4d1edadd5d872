//! Arrow batches out to Python, and any Arrow stream in, without a dependency on either side.

use std::ffi::CStr;

use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use arrow_array::{RecordBatch, RecordBatchIterator, RecordBatchReader};
use arrow_pyarrow::FromPyArrow;
use arrow_schema::SchemaRef;
use arrow_schema::ffi::FFI_ArrowSchema;
use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyList};

const STREAM: &CStr = c"arrow_array_stream";
const SCHEMA: &CStr = c"arrow_schema";

/// Record batches of one schema, immutable.
#[pyclass(frozen, module = "unmogrowp._core")]
pub(crate) struct Batches {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Batches {
    pub(crate) fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self { schema, batches }
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    pub(crate) fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }
}

impl From<RecordBatch> for Batches {
    fn from(batch: RecordBatch) -> Self {
        Self { schema: batch.schema(), batches: vec![batch] }
    }
}

#[pymethods]
impl Batches {
    /// Any object with `__arrow_c_stream__` becomes batches, without a copy.
    #[staticmethod]
    fn read(table: &Bound<'_, PyAny>) -> PyResult<Self> {
        if !table.hasattr("__arrow_c_stream__")? {
            let hint = if table.hasattr("collect")? {
                "call `.collect()` on a lazy frame first"
            } else {
                "pass a Polars, pandas or PyArrow table, a DuckDB relation, or any object with \
                 `__arrow_c_stream__`"
            };
            return Err(PyTypeError::new_err(format!(
                "expected an Arrow table, got `{}`\nhint: {hint}",
                table.get_type().name()?
            )));
        }
        let reader = RecordBatchStreamReader::from_pyarrow_bound(table)?;
        let schema = reader.schema();
        let batches = reader
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| PyTypeError::new_err(format!("the Arrow stream broke off: {e}")))?;
        Ok(Self { schema, batches })
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The protocol lets a producer ignore a requested schema it cannot honour.
        drop(requested_schema);
        let batches = self.batches.clone().into_iter().map(Ok);
        let reader = RecordBatchIterator::new(batches, self.schema.clone());
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(reader)), STREAM)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(self.schema.as_ref())
            .map_err(|e| PyTypeError::new_err(e.to_string()))?;
        PyCapsule::new_with_value(py, schema, SCHEMA)
    }

    fn __len__(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// `(name, type)` of every column.
    fn fields(&self) -> Vec<(String, String)> {
        let field = |f: &arrow_schema::FieldRef| (f.name().clone(), f.data_type().to_string());
        self.schema.fields().iter().map(field).collect()
    }

    /// The values of one column as Python objects; `rows` stops early.
    #[pyo3(signature = (name, rows=None))]
    fn values<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        rows: Option<usize>,
    ) -> PyResult<Bound<'py, PyList>> {
        let index = self.schema.index_of(name).map_err(|_| {
            let names: Vec<_> = self.schema.fields().iter().map(|f| f.name().as_str()).collect();
            PyKeyError::new_err(format!(
                "no column `{name}`\nhint: the columns are {}",
                names.join(", ")
            ))
        })?;
        let list = PyList::empty(py);
        let mut left = rows.unwrap_or(usize::MAX);
        for batch in &self.batches {
            let count = left.min(batch.num_rows());
            values::append(&list, batch.column(index), count)?;
            left -= count;
        }
        Ok(list)
    }

    /// The first `rows` rows, sharing memory.
    fn head(&self, rows: usize) -> Self {
        let mut left = rows;
        let mut batches = Vec::new();
        for batch in &self.batches {
            let count = left.min(batch.num_rows());
            batches.push(batch.slice(0, count));
            left -= count;
            if left == 0 {
                break;
            }
        }
        Self { schema: self.schema.clone(), batches }
    }
}

#[path = "values.rs"]
mod values;

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Batches>()
}
