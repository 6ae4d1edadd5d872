//! The listener: an intake on a port, with Python to say who may write.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use unmogrowp_intake::Refusal;
use unmogrowp_listener::{Gate, Pass, Settings, TlsError};

use crate::door::{Door, Plain, threads};
use crate::intake::{Intake, refusal_of};

/// What a Python callable says to a key and an address.
struct Asked(Py<PyAny>);

impl Gate for Asked {
    fn admit(&self, key: Option<&str>, peer: IpAddr) -> Result<Pass, Refusal> {
        let asked = Python::try_attach(|py| {
            let said = self.0.bind(py).call1((key, peer.to_string()));
            let (app_id, key_id, truncate_ip) = said
                .and_then(|said| said.extract::<(String, String, bool)>())
                .map_err(|error| refusal_of(py, &error))?;
            Ok(Pass { app_id, key_id, truncate_ip })
        });
        // The interpreter is ending.
        asked.unwrap_or_else(|| Err(Refusal::stopping()))
    }
}

/// A certificate chain and its private key.
#[pyclass(frozen, module = "unmogrowp._core")]
pub(crate) struct Certificate {
    certificate: unmogrowp_listener::Certificate,
}

#[pymethods]
impl Certificate {
    /// Read both from PEM; `ValueError` where that cannot be, or they do not belong together.
    #[new]
    fn new(chain: &[u8], key: &[u8]) -> PyResult<Self> {
        let certificate = unmogrowp_listener::Certificate::new(chain, key);
        let refused = |error: TlsError| PyValueError::new_err(error.to_string());
        Ok(Self { certificate: certificate.map_err(refused)? })
    }
}

/// Serves an intake over HTTP without the interpreter, until it is closed.
#[pyclass(frozen, module = "unmogrowp._core")]
pub(crate) struct Listener {
    listener: unmogrowp_listener::Listener,
}

#[pymethods]
impl Listener {
    /// Listen on `host` and `port`. `gate(key, address)` gives the app's id, the key's id and
    /// whether addresses are cut, or raises `Refused`; its answers are believed for 0.8 s.
    /// With a certificate, connections are TLS.
    #[new]
    #[pyo3(signature = (
        intake, gate, *, host, port, connections_max, body_bytes_max, body_seconds,
        certificate=None
    ))]
    #[allow(clippy::too_many_arguments, reason = "keywords in Python")]
    fn new(
        py: Python<'_>,
        intake: &Intake,
        gate: Py<PyAny>,
        host: &str,
        port: u16,
        connections_max: usize,
        body_bytes_max: usize,
        body_seconds: u32,
        certificate: Option<&Certificate>,
    ) -> PyResult<Self> {
        let address = (host, port).to_socket_addrs()?.next().ok_or_else(|| {
            PyOSError::new_err(format!("`{host}` has no address\nhint: give one like 127.0.0.1"))
        })?;
        let settings = Settings {
            threads: threads(),
            connections_max,
            body_bytes_max,
            body_patience: Duration::from_secs(body_seconds.into()),
        };
        let certificate = certificate.map(|one| one.certificate.clone());
        let intake = intake.shared();
        let listener = py.enter(move || {
            let gate = Arc::new(Asked(gate));
            unmogrowp_listener::Listener::open(address, settings, certificate, intake, gate)
        })?;
        Ok(Self { listener })
    }

    /// The port it listens on.
    #[getter]
    fn port(&self) -> u16 {
        self.listener.address().port()
    }

    /// Greet new connections with another certificate; those that are open keep theirs.
    fn renew(&self, certificate: &Certificate) {
        self.listener.renew(certificate.certificate.clone());
    }

    /// Accept nothing more and finish the requests at hand, for two seconds at most.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.enter(|| {
            self.listener.close();
            Ok::<_, Plain>(())
        })
    }
}
