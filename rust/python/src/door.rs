//! The one way into the core: detach from the interpreter, catch a panic, map the error.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

pyo3::import_exception!(unmogrowp.errors, InternalError);

/// Entrance for calls that do work.
pub(crate) trait Door {
    /// Run `work` detached; a panic becomes an `InternalError`, an error is mapped by `E`.
    fn enter<T, E, F>(self, work: F) -> PyResult<T>
    where
        F: Send + FnOnce() -> Result<T, E>,
        T: Send,
        E: Send + Into<PyErr>;
}

impl Door for Python<'_> {
    fn enter<T, E, F>(self, work: F) -> PyResult<T>
    where
        F: Send + FnOnce() -> Result<T, E>,
        T: Send,
        E: Send + Into<PyErr>,
    {
        match self.detach(|| catch_unwind(AssertUnwindSafe(work))) {
            Ok(result) => result.map_err(Into::into),
            Err(panic) => Err(internal(panic.as_ref())),
        }
    }
}

fn internal(panic: &(dyn std::any::Any + Send)) -> PyErr {
    let said = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    InternalError::new_err(format!("{said}\nhint: this is a bug, please report it"))
}

/// An error with nothing to say to the caller but its text.
pub(crate) struct Plain(pub(crate) String);

impl From<Plain> for PyErr {
    fn from(error: Plain) -> Self {
        PyRuntimeError::new_err(error.0)
    }
}
