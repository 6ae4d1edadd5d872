//! A thread that serves: its event loop, its connections and what it knows.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hyper::HeaderMap;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_ENCODING;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{self, LocalSet};
use tokio::time::{sleep, timeout};
use unmogrowp_core::decompress::decompress;
use unmogrowp_core::inlet;
use unmogrowp_core::limits::Limits;
use unmogrowp_intake::{Answer, Inlet, Outbox, Refusal, Request};

use crate::connection::{self, stopped};
use crate::gate::{self, Look, Pass, Passes};
use crate::reply::{self, Reply};
use crate::route::Route;
use crate::waiting::Waiting;
use crate::{Shared, body, key};

/// Above this a body is parsed on another thread, so that the loop keeps answering others.
const INLINE_BYTES_MAX: usize = 256 << 10;
/// Threads that parse large bodies or ask the gate for one worker.
const BLOCKING_THREADS_MAX: usize = 8;
/// How long requests at hand may take once the listener stops.
const DRAIN_PATIENCE: Duration = Duration::from_secs(2);
/// How long it is waited after a failed accept: most often there are no descriptors left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// A connection on its way to a worker, with its place among those that may be open.
pub(crate) struct Dealt {
    stream: std::net::TcpStream,
    peer: IpAddr,
    place: OwnedSemaphorePermit,
}

pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
}

/// Accept connections and deal them out in turn until told to stop.
pub(crate) async fn accept(
    socket: TcpListener,
    workers: Vec<mpsc::UnboundedSender<Dealt>>,
    connections_max: usize,
    stopping: watch::Receiver<bool>,
) {
    let Ok(socket) = tokio::net::TcpListener::from_std(socket) else { return };
    let places = Arc::new(Semaphore::new(connections_max));
    let deal = async {
        for worker in workers.iter().cycle() {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let (stream, peer) = loop {
                match socket.accept().await {
                    Ok((stream, peer)) => break (stream, peer.ip()),
                    Err(_) => sleep(ACCEPT_AGAIN).await,
                }
            };
            // Small answers must not wait for more; both calls fail only where nobody is left.
            drop(stream.set_nodelay(true));
            let Ok(stream) = stream.into_std() else { continue };
            drop(worker.send(Dealt { stream, peer, place }));
        }
    };
    tokio::select! {
        () = deal => {}
        () = stopped(stopping) => {}
    }
}

/// Serve connections until there are no more and all are done, or too slow.
pub(crate) async fn run(
    shared: Arc<Shared>,
    outbox: Arc<Outbox>,
    mut incoming: mpsc::UnboundedReceiver<Dealt>,
    stopping: watch::Receiver<bool>,
) {
    let worker =
        Rc::new(Worker { shared, waiting: Waiting::new(outbox), passes: RefCell::default() });
    LocalSet::new()
        .run_until(async {
            let served = worker.clone();
            task::spawn_local(async move { served.waiting.deliver().await });
            // Everyone who serves holds a sender: once all are gone nobody does.
            let (serving, mut done) = mpsc::channel::<()>(1);
            while let Some(Dealt { stream, peer, place }) = incoming.recv().await {
                let Ok(stream) = TcpStream::from_std(stream) else { continue };
                let (worker, stopping) = (worker.clone(), stopping.clone());
                let serving = serving.clone();
                task::spawn_local(async move {
                    connection::serve(worker, stream, peer, stopping).await;
                    drop((serving, place));
                });
            }
            drop(serving);
            // Whoever is slower than that is cut off.
            drop(timeout(DRAIN_PATIENCE, done.recv()).await);
        })
        .await;
}

/// Spawns what HTTP/2 needs on the thread that it is on.
#[derive(Clone, Copy)]
pub(crate) struct Local;

impl<F> hyper::rt::Executor<F> for Local
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        task::spawn_local(future);
    }
}

/// What the connections of a thread share.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    waiting: Waiting,
    passes: RefCell<Passes>,
}

impl Worker {
    /// Whether events are taken.
    pub(crate) fn ready(&self) -> Reply {
        if self.shared.intake.is_open() {
            return reply::json(r#"{"status":"ready"}"#);
        }
        let detail = "the spool takes no more commits\nhint: send it again later";
        reply::refusal(&Refusal::unavailable(&detail, 1))
    }

    /// Read a body, find whose it is and make its events durable.
    pub(crate) async fn take(
        self: &Rc<Self>,
        route: Route,
        headers: &HeaderMap,
        peer: IpAddr,
        incoming: Incoming,
    ) -> Result<Reply, Refusal> {
        let encoding = key::text(headers, CONTENT_ENCODING.as_str());
        let found = key::in_headers(headers);
        let (pass, body) = if found.is_some() || route.inlet == Inlet::Native {
            // Before the body: nothing of it is kept for whoever has no key.
            match self.admit(found, peer).await {
                Ok(pass) => (pass, body::collect(&self.shared, incoming).await?),
                Err(refusal) => {
                    body::discard(&self.shared, incoming).await;
                    return Err(refusal);
                }
            }
        } else {
            let body = body::collect(&self.shared, incoming).await?;
            let found = key_in(route.inlet, &body, encoding.as_deref());
            (self.admit(found, peer).await?, body)
        };
        let answer = self.store(route.inlet, &pass, encoding, body).await?;
        Ok(reply::answer(answer, route.thanks))
    }

    /// What a key opens, at most `gate::FRESH` old.
    async fn admit(
        self: &Rc<Self>,
        key: Option<String>,
        peer: IpAddr,
    ) -> Result<Rc<Pass>, Refusal> {
        let Some(key) = key else { return self.shared.entrance.ask(None, peer).await };
        let name = gate::fingerprint(self.shared.seed, &key);
        let look = self.passes.borrow_mut().look(name, Instant::now());
        match look {
            Look::Fresh(pass) => Ok(pass),
            Look::Renew(pass) => {
                let worker = self.clone();
                // It is learnt there; whoever comes next hears of it.
                task::spawn_local(async move { drop(worker.learn(name, key, peer).await) });
                Ok(pass)
            }
            Look::Unknown => self.learn(name, key, peer).await,
        }
    }

    async fn learn(&self, name: u128, key: String, peer: IpAddr) -> Result<Rc<Pass>, Refusal> {
        let asked = Instant::now();
        let pass = self.shared.entrance.ask(Some(key), peer).await;
        self.passes.borrow_mut().learn(name, pass.as_ref().ok(), asked);
        pass
    }

    /// Make the events of a body durable.
    async fn store(
        &self,
        inlet: Inlet<'static>,
        pass: &Rc<Pass>,
        encoding: Option<String>,
        body: Bytes,
    ) -> Result<Answer, Refusal> {
        let (token, answer) = self.waiting.enlist();
        let (shared, outbox) = (self.shared.clone(), self.waiting.outbox().clone());
        let received_at_us = now_us();
        let is_long = body.len() > INLINE_BYTES_MAX;
        let submit = move |pass: &Pass| {
            let request = Request {
                body: &body,
                encoding: encoding.as_deref(),
                inlet,
                app_id: &pass.app_id,
                key_id: &pass.key_id,
                truncate_ip: pass.truncate_ip,
                received_at_us,
            };
            let submitted = || shared.intake.submit(&outbox, token, &request);
            catch_unwind(AssertUnwindSafe(submitted)).unwrap_or_else(|_| Err(panicked()))
        };
        let submitted = if is_long {
            let pass = Pass::clone(pass);
            let submitted = task::spawn_blocking(move || submit(&pass)).await;
            submitted.unwrap_or_else(|error| Err(Refusal::bug(&error)))
        } else {
            submit(pass)
        };
        if let Err(refusal) = submitted {
            self.waiting.forget(token);
            return Err(refusal);
        }
        answer.await.map_err(|error| Refusal::bug(&error))
    }
}

fn panicked() -> Refusal {
    Refusal::bug(&"a panic\nhint: this is a bug, please report it")
}

/// Where SDKs without a header put their key.
fn key_in(inlet: Inlet<'_>, body: &[u8], encoding: Option<&str>) -> Option<String> {
    let plain = decompress(body, encoding, &Limits::default()).ok()?;
    match inlet {
        Inlet::PostHog => inlet::posthog_key(&plain),
        Inlet::Segment(_) => inlet::segment_key(&plain),
        Inlet::Native => None,
    }
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
