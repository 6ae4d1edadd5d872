//! The intake: requests in, answers out, a descriptor that rings in between.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict};
use unmogrowp_core::limits::Limits;
use unmogrowp_intake::{Inlet, Outbox, Refusal, Request, Settings};
use unmogrowp_spool::{Local, Position};

use crate::door::{Door, Plain};

pyo3::import_exception!(unmogrowp.errors, Refused);
pyo3::import_exception!(unmogrowp.errors, SpoolError);

/// An error of the spool on its way to Python.
pub(crate) struct Spooled(pub(crate) unmogrowp_spool::SpoolError);

impl From<Spooled> for PyErr {
    fn from(error: Spooled) -> Self {
        SpoolError::new_err(error.0.to_string())
    }
}

/// A refusal on its way to Python.
struct No(Refusal);

impl From<No> for PyErr {
    fn from(no: No) -> Self {
        let Refusal { status, title, detail, retry_after } = no.0;
        Refused::new_err((status, title.into_owned(), detail, retry_after))
    }
}

/// What a `Refused` says; any other error is a bug.
pub(crate) fn refusal_of(py: Python<'_>, error: &PyErr) -> Refusal {
    let read = |name| error.value(py).getattr(name);
    let refusal = || -> PyResult<Refusal> {
        let status = read("status")?.extract()?;
        let title: String = read("title")?.extract()?;
        let detail = read("detail")?.extract()?;
        let retry_after = read("retry_after")?.extract()?;
        Ok(Refusal { status, title: title.into(), detail, retry_after })
    };
    if error.is_instance_of::<Refused>(py) {
        return refusal().unwrap_or_else(|error| Refusal::bug(&error));
    }
    Refusal::bug(error)
}

/// Owns a spool directory; every answer is about durable events.
#[pyclass(frozen, module = "unmogrowp._core")]
pub(crate) struct Intake {
    intake: Arc<unmogrowp_intake::Intake>,
    outbox: Arc<Outbox>,
}

/// An answer as Python takes it: `(token, status, body, retry_after)`.
type Answered<'py> = (u64, u16, Bound<'py, PyBytes>, Option<u32>);

impl Intake {
    /// The one that everything in this process shares.
    pub(crate) fn shared(&self) -> Arc<unmogrowp_intake::Intake> {
        self.intake.clone()
    }
}

/// The limits by their names, the others at their defaults.
fn limits(given: Option<BTreeMap<String, usize>>) -> PyResult<Settings> {
    let mut settings = Settings::default();
    let limits: &mut Limits = &mut settings.limits;
    for (name, value) in given.unwrap_or_default() {
        match name.as_str() {
            "body_bytes" => limits.body_bytes = value,
            "decompressed_bytes" => limits.decompressed_bytes = value,
            "event_bytes" => limits.event_bytes = value,
            "depth" => limits.depth = value,
            "records" => limits.records = value,
            "key_events_per_s" => {
                settings.key_events_per_s = u32::try_from(value).unwrap_or(u32::MAX);
            }
            "reject_raw_bytes" => limits.reject_raw_bytes = value,
            _ => {
                let hint = "body_bytes, decompressed_bytes, event_bytes, depth, records, \
                            reject_raw_bytes and key_events_per_s";
                let said = format!("no limit `{name}`\nhint: the limits are {hint}");
                return Err(PyValueError::new_err(said));
            }
        }
    }
    Ok(settings)
}

pub(crate) fn pair(position: Position) -> (u64, u64) {
    (position.segment, position.offset)
}

#[pymethods]
impl Intake {
    /// Own the spool in `dir`; waits up to 5 s for an owner that is about to end.
    #[new]
    #[pyo3(signature = (
        dir, *, spool_bytes_max=None, segment_bytes=67_108_864, ids_max=10_000_000,
        ids_window_s=86_400, limits=None
    ))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn new(
        py: Python<'_>,
        dir: PathBuf,
        spool_bytes_max: Option<u64>,
        segment_bytes: u64,
        ids_max: usize,
        ids_window_s: u32,
        limits: Option<BTreeMap<String, usize>>,
    ) -> PyResult<Self> {
        let mut settings = self::limits(limits)?;
        settings.spool.bytes_max = spool_bytes_max;
        settings.spool.segment_bytes = segment_bytes;
        settings.window.ids_max = ids_max;
        settings.window.window_us = i64::from(ids_window_s) * 1_000_000;
        let intake = py.enter(move || {
            unmogrowp_intake::Intake::open(Arc::new(Local), &dir, settings).map_err(Spooled)
        })?;
        Ok(Self { intake: Arc::new(intake), outbox: Arc::new(Outbox::new()?) })
    }

    /// A descriptor that is readable while answers wait.
    fn fileno(&self) -> i32 {
        self.outbox.bell().as_raw_fd()
    }

    /// Take a request, or raise `Refused`. Its answer comes with `token` from `drain`.
    #[pyo3(signature = (
        token, body, *, encoding, inlet, app_id, truncate_ip, received_at_us, key_id=""
    ))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn submit(
        &self,
        py: Python<'_>,
        token: u64,
        body: PyBackedBytes,
        encoding: Option<&str>,
        inlet: &str,
        app_id: &str,
        truncate_ip: bool,
        received_at_us: i64,
        key_id: &str,
    ) -> PyResult<()> {
        let inlet = Inlet::named(inlet).ok_or_else(|| {
            let hint = "an inlet is `native`, `segment:<call>` or `posthog`";
            PyValueError::new_err(format!("no inlet `{inlet}`\nhint: {hint}"))
        })?;
        py.enter(move || {
            let body = &body[..];
            let request =
                Request { body, encoding, inlet, app_id, key_id, truncate_ip, received_at_us };
            self.intake.submit(&self.outbox, token, &request).map_err(No)
        })
    }

    /// Let all that was taken so far leave the spool as soon as it is shipped.
    fn seal(&self) {
        self.intake.seal();
    }

    /// `(token, status, body, retry_after)` of every request answered since the last call.
    fn drain<'py>(&self, py: Python<'py>) -> Vec<Answered<'py>> {
        let answers = self.outbox.take().into_iter();
        answers.map(|a| (a.token, a.status, PyBytes::new(py, &a.body), a.retry_after)).collect()
    }

    /// Counters and gauges in Prometheus' text format.
    fn metrics(&self) -> String {
        self.intake.metrics()
    }

    /// What it holds and knows.
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let status = self.intake.status();
        let dict = PyDict::new(py);
        dict.set_item("bytes", status.spool.bytes)?;
        dict.set_item("bytes_max", status.spool.bytes_max)?;
        dict.set_item("unshipped_bytes", status.spool.unshipped_bytes)?;
        dict.set_item("segments", status.spool.segments)?;
        dict.set_item("durable", pair(status.spool.durable))?;
        dict.set_item("shipped", status.spool.shipped.map(pair))?;
        dict.set_item("ids", status.ids)?;
        dict.set_item("ids_bytes", status.spool.ids_bytes)?;
        dict.set_item("ids_memory_bytes", status.ids_memory_bytes)?;
        dict.set_item("window_covers_s", status.window_covers_us / 1_000_000)?;
        dict.set_item("queued", status.queued)?;
        dict.set_item("is_open", status.is_open)?;
        Ok(dict)
    }

    /// Refuse new requests, make those that wait durable, release the directory. What was
    /// answered can still be drained.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.enter(|| {
            self.intake.close();
            Ok::<_, Plain>(())
        })
    }
}
