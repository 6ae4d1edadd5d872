//! One connection: which HTTP it speaks, and its requests.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::HeaderName;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::pin;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::reply::{self, Reply};
use crate::route;
use crate::tls;
use crate::worker::{Local, Worker};

/// How long the head of a request may take, and a connection be silent.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// How long it is waited for the next of the few bytes that tell the versions of HTTP apart.
const SNIFF_EVERY: Duration = Duration::from_millis(5);
/// What every connection of HTTP/2 begins with, and no method of HTTP/1.
const HTTP2: &[u8] = b"PRI";
/// Of the head of a request, and of what is read at once.
const BUFFER_BYTES_MAX: usize = 256 << 10;
/// Of the headers of a request over HTTP/2.
const HEADER_BYTES_MAX: u32 = 64 << 10;
/// Requests that a connection of HTTP/2 may have open.
const STREAMS_MAX: u32 = 256;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Serve until the client leaves, breaks the rules or the listener stops.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: IpAddr,
    stopping: watch::Receiver<bool>,
) {
    let shared = worker.shared.clone();
    if let Some(tls) = &shared.tls {
        let Ok(Ok(stream)) = timeout(HEAD_PATIENCE, tls.greet(stream)).await else { return };
        let is_http2 = tls::speaks_http2(&stream);
        speak(worker, stream, is_http2, peer, stopping).await;
    } else {
        let found = timeout(HEAD_PATIENCE, speaks_http2(&stream)).await;
        let Ok(Some(is_http2)) = found else { return };
        speak(worker, stream, is_http2, peer, stopping).await;
    }
}

async fn speak(
    worker: Rc<Worker>,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    is_http2: bool,
    peer: IpAddr,
    stopping: watch::Receiver<bool>,
) {
    let service = service_fn(|request| {
        let worker = worker.clone();
        async move { Ok::<_, Infallible>(respond(&worker, peer, request).await) }
    });
    let io = TokioIo::new(stream);
    if is_http2 {
        let connection = http2::Builder::new(Local)
            .timer(TokioTimer::new())
            .keep_alive_interval(HEAD_PATIENCE)
            .keep_alive_timeout(HEAD_PATIENCE)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADER_BYTES_MAX)
            .serve_connection(io, service);
        until_stopped(connection, stopping, http2::Connection::graceful_shutdown).await;
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_PATIENCE)
            .half_close(true)
            .pipeline_flush(true)
            .max_buf_size(BUFFER_BYTES_MAX)
            .serve_connection(io, service);
        until_stopped(connection, stopping, http1::Connection::graceful_shutdown).await;
    }
}

/// Serve a connection; once the listener stops, only what was begun.
async fn until_stopped<C: Future>(
    connection: C,
    stopping: watch::Receiver<bool>,
    shut: impl FnOnce(Pin<&mut C>),
) {
    pin!(connection);
    // Whatever ends a connection early is the client's doing, and it is not there to hear of it.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stopped(stopping) => shut(connection.as_mut()),
    }
    drop(connection.await);
}

/// Return once the listener stops.
pub(crate) async fn stopped(mut stopping: watch::Receiver<bool>) {
    // Without a sender the listener is gone.
    drop(stopping.wait_for(|is_stopping| *is_stopping).await);
}

/// Whether the first bytes are those of HTTP/2; none from a client that leaves before it said so.
async fn speaks_http2(stream: &TcpStream) -> Option<bool> {
    let mut first = [0; HTTP2.len()];
    loop {
        let seen = stream.peek(&mut first).await.ok().filter(|&seen| seen > 0)?;
        if first[..seen] != HTTP2[..seen] || seen == HTTP2.len() {
            return Some(seen == HTTP2.len() && first == *HTTP2);
        }
        // What was peeked at stays readable, so that waiting for more would not wait.
        sleep(SNIFF_EVERY).await;
    }
}

/// The answer to one request.
async fn respond(worker: &Rc<Worker>, peer: IpAddr, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let id = worker.shared.request_ids.begin(head.headers.get(&REQUEST_ID));
    let path = head.uri.path();
    let mut reply = match (route::find(path), &head.method) {
        (Some(route), &Method::POST) => {
            let taken = worker.take(route, &head.headers, peer, body).await;
            taken.unwrap_or_else(|refusal| reply::refusal(&refusal))
        }
        (Some(_), &Method::OPTIONS) => reply::preflight(),
        (Some(_), method) => reply::wrong_method(path, method.as_str()),
        (None, &Method::GET) if path == "/health/live" => reply::json(r#"{"status":"ok"}"#),
        (None, &Method::GET) if path == "/health/ready" => worker.ready(),
        (None, _) => reply::no_route(path),
    };
    reply::share(&head.headers, &mut reply);
    reply.headers_mut().insert(REQUEST_ID, id);
    reply
}
