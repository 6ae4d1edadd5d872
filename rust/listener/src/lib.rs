//! An intake on a port: HTTP in, durable events and their answers out, without Python.
//!
//! `accept ─connection→ worker: key─body─intake→ commit thread ─outbox→ worker ─answer→`
//!
//! Each worker is a thread with an event loop and an outbox of its own. One of them accepts and
//! deals connections out in turn. A commit rings once for all requests of a worker that it
//! answers; who may write is asked of a [`Gate`] and believed for less than a second.

mod body;
mod connection;
mod gate;
mod key;
mod reply;
mod request_id;
mod route;
mod tls;
mod waiting;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use unmogrowp_intake::{Intake, Outbox};

use gate::Entrance;
pub use gate::{Gate, Pass};
use request_id::RequestIds;
use tls::Tls;
pub use tls::{Certificate, TlsError};

/// How a listener is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Threads that serve.
    pub threads: usize,
    /// Connections open at once; more wait to be accepted.
    pub connections_max: usize,
    /// Bytes of a body as sent.
    pub body_bytes_max: usize,
    /// How long a body may take to arrive.
    pub body_patience: Duration,
}

/// What the workers share.
struct Shared {
    intake: Arc<Intake>,
    entrance: Entrance,
    settings: Settings,
    /// None: connections are plain.
    tls: Option<Arc<Tls>>,
    request_ids: RequestIds,
    /// Secret of the hash that keys are known by.
    seed: [u64; 2],
    /// Bytes of all bodies that are not whole yet.
    arriving: AtomicUsize,
}

/// A running listener. Closed when dropped.
pub struct Listener {
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    stop: watch::Sender<bool>,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

impl Listener {
    /// Serve an intake on an address; port 0 picks a free one. With a certificate, over TLS.
    ///
    /// # Errors
    /// The address is taken or not ours, or the system has no thread or descriptor left.
    pub fn open(
        address: SocketAddr,
        settings: Settings,
        certificate: Option<Certificate>,
        intake: Arc<Intake>,
        gate: Arc<dyn Gate>,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let tls = certificate.map(|certificate| Arc::new(Tls::new(certificate)));
        let shared = Arc::new(Shared {
            intake,
            entrance: Entrance::new(gate, gate::QUESTIONS_MAX),
            settings,
            tls: tls.clone(),
            request_ids: RequestIds::new(),
            seed: [gate::random(), gate::random()],
            arriving: AtomicUsize::new(0),
        });
        let (stop, stopping) = watch::channel(false);
        let listener = Self { address, tls, stop, workers: Mutex::default() };
        let mut deal = Vec::new();
        for number in 0..settings.threads.max(1) {
            let (sender, incoming) = mpsc::unbounded_channel();
            deal.push(sender);
            let (shared, stopping) = (shared.clone(), stopping.clone());
            let outbox = Arc::new(Outbox::new()?);
            let runtime = worker::runtime()?;
            let run = move || runtime.block_on(worker::run(shared, outbox, incoming, stopping));
            listener.keep(thread::Builder::new().name(format!("listener-{number}")).spawn(run)?);
        }
        let runtime = worker::runtime()?;
        let accept = worker::accept(socket, deal, settings.connections_max, stopping);
        let run = move || runtime.block_on(accept);
        listener.keep(thread::Builder::new().name("listener-accept".to_owned()).spawn(run)?);
        Ok(listener)
    }

    fn keep(&self, thread: JoinHandle<()>) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
    }

    /// Greet new connections with another certificate. Nothing is done where none was given.
    pub fn renew(&self, certificate: Certificate) {
        if let Some(tls) = &self.tls {
            tls.renew(certificate);
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accept nothing more, finish the requests at hand, for a few seconds at most, and end.
    pub fn close(&self) {
        self.stop.send_replace(true);
        let workers: Vec<_> =
            self.workers.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        for thread in workers {
            // A thread that panicked serves nobody any more, which is what was wanted.
            drop(thread.join());
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}
