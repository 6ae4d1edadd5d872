//! Batches in, blocks for the warehouse out.

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use unmogrowp_core::ddl;
use unmogrowp_core::native::{self, NativeError};

use crate::door::Door;
use crate::table::Batches;

/// A table the warehouse cannot take, on its way to Python.
struct Unfit(NativeError);

impl From<Unfit> for PyErr {
    fn from(Unfit(error): Unfit) -> Self {
        PyValueError::new_err(error.to_string())
    }
}

/// A block is one batch, so several become one first.
fn whole(batches: &Batches) -> Result<RecordBatch, Unfit> {
    match batches.batches() {
        [one] => Ok(one.clone()),
        many => concat_batches(&batches.schema(), many).map_err(|e| Unfit(e.into())),
    }
}

/// Every row as one ClickHouse Native block; `constants` become `UInt64` columns at the end.
#[pyfunction]
#[pyo3(name = "native", signature = (batches, constants=Vec::new(), /))]
pub(crate) fn encode<'py>(
    py: Python<'py>,
    batches: &Batches,
    constants: Vec<(String, u64)>,
) -> PyResult<Bound<'py, PyBytes>> {
    let made = move || {
        let whole = native::with_constants(&whole(batches)?, &constants).map_err(Unfit)?;
        native::encode(&whole).map_err(Unfit)
    };
    let block = py.enter(made)?;
    Ok(PyBytes::new(py, &block))
}

/// The events of one month (`yyyymm`) as one Native block with `identity` and `batch_id`.
#[pyfunction]
#[pyo3(signature = (batches, month, batch_id, /))]
pub(crate) fn native_events<'py>(
    py: Python<'py>,
    batches: &Batches,
    month: i32,
    batch_id: u64,
) -> PyResult<Bound<'py, PyBytes>> {
    let made = || native::encode_events(&whole(batches)?, month, batch_id).map_err(Unfit);
    let block = py.enter(made)?;
    Ok(PyBytes::new(py, &block))
}

/// The months (`yyyymm`) the events fall into, ascending.
#[pyfunction]
#[pyo3(signature = (batches, /))]
pub(crate) fn months(py: Python<'_>, batches: &Batches) -> PyResult<Vec<i32>> {
    py.enter(|| native::months(&whole(batches)?).map_err(Unfit))
}

/// `(name, type, codec)` of every column of the warehouse's `events`.
#[pyfunction]
pub(crate) fn events_ddl() -> PyResult<Vec<(&'static str, String, &'static str)>> {
    let all = ddl::events().map_err(Unfit)?;
    Ok(all.into_iter().map(|d| (d.name, d.kind, d.codec)).collect())
}
