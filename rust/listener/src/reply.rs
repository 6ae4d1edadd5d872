//! What a client hears.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ALLOW, CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, ORIGIN,
    RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use unmogrowp_intake::{Answer, Refusal};

pub(crate) type Reply = Response<Full<Bytes>>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
const METHODS: HeaderValue = HeaderValue::from_static("POST, OPTIONS");
const SHARED_METHODS: HeaderValue = HeaderValue::from_static("GET, OPTIONS, POST");
const SHARED_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-encoding, content-type, x-api-key");
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("3600");

fn with(status: u16, kind: HeaderValue, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    // Every status comes from us: none is outside of what HTTP has.
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

/// 200 and JSON.
pub(crate) fn json(body: impl Into<Bytes>) -> Reply {
    with(200, JSON, body)
}

/// A problem, with what its status asks for.
pub(crate) fn refusal(refusal: &Refusal) -> Reply {
    problem(refusal.status, refusal.problem(), refusal.retry_after)
}

fn problem(status: u16, body: Vec<u8>, retry_after: Option<u32>) -> Reply {
    let mut reply = with(status, PROBLEM_JSON, body);
    let headers = reply.headers_mut();
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if status == 401 {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    reply
}

/// What an intake said; `thanks` instead of the receipt for clients that expect it.
pub(crate) fn answer(answer: Answer, thanks: Option<&'static [u8]>) -> Reply {
    match thanks {
        _ if answer.status != 200 => problem(answer.status, answer.body, answer.retry_after),
        Some(thanks) => json(thanks),
        None => json(answer.body),
    }
}

/// A path that takes no such method.
pub(crate) fn wrong_method(path: &str, method: &str) -> Reply {
    let detail = format!("`{path}` does not take {method}");
    let mut reply = refusal(&Refusal::new(405, "Method Not Allowed", &detail));
    reply.headers_mut().insert(ALLOW, METHODS);
    reply
}

/// A path that leads nowhere.
pub(crate) fn no_route(path: &str) -> Reply {
    let detail = format!(
        "no route `{path}`\nhint: this port takes events only; everything else is on `--port`"
    );
    refusal(&Refusal::new(404, "Not Found", &detail))
}

/// Before a browser sends from another page it asks whether it may.
pub(crate) fn preflight() -> Reply {
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    reply.headers_mut().insert(ALLOW, METHODS);
    reply.headers_mut().insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
    reply
}

/// What a browser must read before it shows a page the answer.
pub(crate) fn share(asked: &HeaderMap, reply: &mut Reply) {
    let Some(origin) = asked.get(ORIGIN).filter(|origin| !origin.is_empty()) else { return };
    let headers = reply.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, SHARED_HEADERS);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, SHARED_METHODS);
    if asked.contains_key(COOKIE) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(VARY, HeaderValue::from_static("Origin"));
    } else {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
}
