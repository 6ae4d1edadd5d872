//! The one way into the core: detach from the interpreter, catch a panic, map the error.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use unmogrowp_core::journey::Effort;

use crate::memory::keep_freed;

pyo3::import_exception!(unmogrowp.errors, InternalError);

/// Entrance for calls that do work.
pub(crate) trait Door {
    /// Run `work` detached; a panic becomes an `InternalError`, an error is mapped by `E`.
    fn enter<T, E, F>(self, work: F) -> PyResult<T>
    where
        F: Send + FnOnce() -> Result<T, E>,
        T: Send,
        E: Send + Into<PyErr>;

    /// Like `enter` for work that may take long: it runs on a thread of its own while this one
    /// listens for Ctrl-C, which ends the call at once and tells the work to stop.
    fn enter_long<T, E, F>(self, work: F) -> PyResult<T>
    where
        F: Send + FnOnce(&AtomicBool) -> Result<T, E> + 'static,
        T: Send + 'static,
        E: Send + Into<PyErr> + 'static;
}

/// How often Ctrl-C is looked for, and how long work that was told to stop is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_millis(50);

impl Door for Python<'_> {
    fn enter<T, E, F>(self, work: F) -> PyResult<T>
    where
        F: Send + FnOnce() -> Result<T, E>,
        T: Send,
        E: Send + Into<PyErr>,
    {
        keep_freed();
        match self.detach(|| catch_unwind(AssertUnwindSafe(work))) {
            Ok(result) => result.map_err(Into::into),
            Err(panic) => Err(internal(panic.as_ref())),
        }
    }

    fn enter_long<T, E, F>(self, work: F) -> PyResult<T>
    where
        F: Send + FnOnce(&AtomicBool) -> Result<T, E> + 'static,
        T: Send + 'static,
        E: Send + Into<PyErr> + 'static,
    {
        keep_freed();
        let stop = Arc::new(AtomicBool::new(false));
        let heard = stop.clone();
        let (answer, mut answers) = sync_channel(1);
        thread::Builder::new().name("unmogrowp".to_owned()).spawn(move || {
            // Nobody listens any more after Ctrl-C.
            let _ = answer.send(catch_unwind(AssertUnwindSafe(|| work(&heard))));
        })?;
        loop {
            // The receiver moves through the closure because it cannot be shared.
            let (back, result) = self.detach(move || {
                let result = answers.recv_timeout(LOOK_EVERY);
                (answers, result)
            });
            answers = back;
            match result {
                Ok(Ok(result)) => return result.map_err(Into::into),
                Ok(Err(panic)) => return Err(internal(panic.as_ref())),
                Err(RecvTimeoutError::Disconnected) => return Err(internal(&"the thread is gone")),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Err(interrupt) = self.check_signals() {
                stop.store(true, Ordering::Relaxed);
                // Work that looks often enough has let go of its tables by now.
                self.detach(move || drop(answers.recv_timeout(PATIENCE)));
                return Err(interrupt);
            }
        }
    }
}

/// `UNMOGROWP_THREADS`, else as many as the machine runs at once.
pub(crate) fn threads() -> usize {
    let wanted = std::env::var("UNMOGROWP_THREADS").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get)).max(1)
}

/// All threads there are, until `stop`.
pub(crate) fn effort(stop: &AtomicBool) -> Effort<'_> {
    Effort { threads: threads(), stop, salt: RandomState::new().hash_one(0) }
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
