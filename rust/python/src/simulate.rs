//! The simulator as an iterator of bytes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use unmogrowp_simulate::{Scenario, ScenarioError, Setting, Step};

use crate::door::{Door, Plain};

/// A settings value as Python sends it. Flags come first: Python's are whole numbers as well.
#[derive(FromPyObject)]
enum Value {
    Flag(bool),
    Whole(i64),
    Real(f64),
    Text(String),
}

impl From<Value> for Setting {
    fn from(value: Value) -> Self {
        match value {
            Value::Flag(value) => Self::Flag(value),
            Value::Whole(value) => Self::Whole(value),
            Value::Real(value) => Self::Real(value),
            Value::Text(value) => Self::Text(value),
        }
    }
}

/// Chunks of NDJSON of one scenario, in the order in which events arrive.
#[pyclass(frozen, module = "unmogrowp._core")]
pub(crate) struct Simulation {
    state: Mutex<unmogrowp_simulate::Simulation>,
}

fn refused(error: &ScenarioError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

#[pymethods]
impl Simulation {
    /// `settings` by the names of docs/simulator.md; what is left out keeps its default.
    #[new]
    fn new(settings: BTreeMap<String, Value>) -> PyResult<Self> {
        let mut scenario = Scenario::default();
        for (name, value) in settings {
            scenario.set(&name, value.into()).map_err(|e| refused(&e))?;
        }
        let simulation = unmogrowp_simulate::Simulation::new(scenario).map_err(|e| refused(&e))?;
        Ok(Self { state: Mutex::new(simulation) })
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        loop {
            let step = py.enter(|| {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                Ok::<_, Plain>(state.step())
            })?;
            match step {
                Step::Chunk(lines) => return Ok(Some(PyBytes::new(py, &lines))),
                Step::Done => return Ok(None),
                Step::Working => py.check_signals()?,
            }
        }
    }
}

/// Name, default and meaning of every setting that is a number with a fraction.
#[pyfunction]
pub(crate) fn simulation_settings() -> Vec<(&'static str, f64, &'static str)> {
    Scenario::REALS.to_vec()
}
