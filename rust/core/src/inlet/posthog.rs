//! PostHog's capture calls, as its server and client SDKs send them to `/batch/`.

use std::borrow::Cow;

use super::line::Line;
use super::object::{inside, pick};
use super::origin::Origin;
use super::{InletError, Request, field, records, utf8};
use crate::limits::Limits;
use crate::schema::at;

const EXPECTED: &str = "PostHog batch";

/// Turn the decompressed body of `POST /batch/` into canonical NDJSON, one line per record: an
/// object with `batch`, one event, or an array of events.
///
/// No record at all is an empty output: answer it without calling the parser, which takes an
/// empty body for a broken one. A record without a time gets its time of sending, else
/// `received_at_us`.
///
/// # Errors
/// [`InletError`], whose `status()` is the answer: the body is no JSON or holds no event, or
/// there are too many records.
pub fn posthog(body: &[u8], received_at_us: i64, limits: &Limits) -> Result<Vec<u8>, InletError> {
    let body = utf8(body, EXPECTED)?.trim_ascii();
    let mut out = Vec::with_capacity(body.len() * 2);
    if body.starts_with('[') {
        let request = Request { limits, received_at_us, sent_at: None };
        records(body, limits, EXPECTED, |record| write(&mut out, record, &request))?;
        return Ok(out);
    }
    let [batch, event, sent_at, sent_at_camel] =
        pick(body, &["batch", "event", "sent_at", "sentAt"])
            .map_err(|reason| InletError::Broken { expected: EXPECTED, reason })?;
    let sent_at = field::time(sent_at).or_else(|| field::time(sent_at_camel));
    let request = Request { limits, received_at_us, sent_at };
    match (batch, event) {
        (Some(batch), _) => {
            records(batch, limits, EXPECTED, |record| write(&mut out, record, &request))?;
        }
        (None, Some(_)) => write(&mut out, body, &request),
        (None, None) => {
            let reason = "there is neither `batch` nor `event` in it".to_owned();
            return Err(InletError::Broken { expected: EXPECTED, reason });
        }
    }
    Ok(out)
}

/// The project key in a body: at its top, else in the first event's properties.
pub fn posthog_key(body: &[u8]) -> Option<String> {
    let body = std::str::from_utf8(body).ok()?.trim_ascii();
    if body.starts_with('[') {
        return key_of(first(body)?);
    }
    let [batch] = pick(body, &["batch"]).ok()?;
    key_of(body).or_else(|| key_of(first(batch?)?))
}

fn first(array: &str) -> Option<&str> {
    let mut found = None;
    super::object::each(array, |record| {
        found = Some(record);
        false
    })
    .ok()?;
    found
}

fn key_of(object: &str) -> Option<String> {
    let [api_key, token, dollar, properties] =
        pick(object, &["api_key", "token", "$token", "properties"]).ok()?;
    let [inner, inner_token] = inside(properties, &["api_key", "token"]);
    let key = api_key.or(token).or(dollar).or(inner).or(inner_token)?;
    field::text(key).map(Cow::into_owned)
}

const RECORD: [&str; 5] = ["event", "distinct_id", "uuid", "timestamp", "properties"];

fn write(out: &mut Vec<u8>, record: &str, request: &Request<'_>) {
    let Some(fields) = request.pick(record, &RECORD) else {
        return Line::refuse(out, record);
    };
    let [event, distinct_id, uuid, timestamp, properties] = fields;
    let mut line = Line::open(out);
    line.event_id(uuid.or(inside(properties, &["$insert_id"])[0]));
    let origin = origin(properties).classify(&mut line, event, properties, "capture");
    let [inner] = inside(properties, &["distinct_id"]);
    identify(&mut line, event, distinct_id.or(inner), properties);
    request.clock(&mut line, &[timestamp], request.sent_at.as_deref());
    origin.write(&mut line);
    describe(&mut line, properties);
    let [revenue, currency] = inside(properties, &["revenue", "currency"]);
    line.revenue(revenue, currency);
    line.close(record);
}

const IDENTITY: [&str; 6] = [
    "$anon_distinct_id",
    "$device_id",
    "$is_identified",
    "$user_id",
    "$process_person_profile",
    "alias",
];

/// Which kind of id `distinct_id` is. PostHog has one kind only, so the event itself must tell.
fn identify(
    line: &mut Line<'_>,
    event: Option<&str>,
    distinct_id: Option<&str>,
    properties: Option<&str>,
) {
    let found = inside(properties, &IDENTITY);
    let [anonymous, device, .., alias] = found;
    if event == Some("\"$create_alias\"") {
        let (user, anonymous) = linked(distinct_id, alias);
        line.id(at::USER_ID, user);
        line.id(at::ANONYMOUS_ID, anonymous);
    } else if event == Some("\"$identify\"") || is_identified(distinct_id, found) {
        line.id(at::USER_ID, distinct_id);
        line.id(at::ANONYMOUS_ID, anonymous);
    } else {
        line.id(at::ANONYMOUS_ID, distinct_id);
    }
    line.text(at::DEVICE_ID, device);
}

/// In the order of how sure each sign is; `docs/inlets.md` gives the reasons.
fn is_identified(distinct_id: Option<&str>, signs: [Option<&str>; 6]) -> bool {
    let [_, device, is_identified, user, has_profile, _] = signs;
    match (is_identified, has_profile) {
        (Some("true"), _) => true,
        (Some("false"), _) | (None, Some("false")) => false,
        _ if user.is_some() => user == distinct_id,
        _ if device.is_some() => device != distinct_id,
        _ => !is_made_up(distinct_id),
    }
}

/// Whether an id looks made by an SDK rather than by an app: a UUID.
fn is_made_up(id: Option<&str>) -> bool {
    id.and_then(field::text).is_some_and(|id| field::is_uuid(&id))
}

/// User and anonymous id of an alias: the made-up one is the anonymous one; of two alike the
/// new name is the user's, for that is what SDKs are called with at sign-up.
fn linked<'a>(
    distinct_id: Option<&'a str>,
    alias: Option<&'a str>,
) -> (Option<&'a str>, Option<&'a str>) {
    if is_made_up(alias) && !is_made_up(distinct_id) {
        (distinct_id, alias)
    } else {
        (alias, distinct_id)
    }
}

/// Ids that ad networks add to a link, the first present is the click's.
const CLICK_IDS: [&str; 8] =
    ["gclid", "gbraid", "wbraid", "fbclid", "ttclid", "twclid", "msclkid", "rdt_cid"];

fn origin(properties: Option<&str>) -> Origin<'_> {
    let [source, medium, campaign, content] =
        inside(properties, &["utm_source", "utm_medium", "utm_campaign", "utm_content"]);
    let click_id = inside(properties, &CLICK_IDS).into_iter().flatten().next();
    Origin { source, medium, campaign, creative: content, click_id, ..Origin::default() }
}

const DESCRIPTION: [&str; 14] = [
    "$session_id",
    "$ip",
    "$raw_user_agent",
    "$user_agent",
    "$os",
    "$os_version",
    "$is_server",
    "$app_version",
    "$device_model",
    "$geoip_country_code",
    "$locale",
    "$browser_language",
    "$lib",
    "$lib_version",
];

fn describe(line: &mut Line<'_>, properties: Option<&str>) {
    let [session, ip, raw_agent, agent, os, os_version, is_server, rest @ ..] =
        inside(properties, &DESCRIPTION);
    let [app_version, model, country, locale, browser_language, lib, lib_version] = rest;
    line.text(at::SESSION_ID, session);
    line.ip(ip);
    line.text(at::USER_AGENT, raw_agent.or(agent));
    // A server SDK describes the machine it runs on, which nobody holds in their hand.
    if !field::is_true(is_server) {
        line.text(at::OS, os);
        line.text(at::OS_VERSION, os_version);
    }
    line.text(at::APP_VERSION, app_version);
    line.text(at::DEVICE_MODEL, model);
    line.text(at::COUNTRY, country);
    line.text(at::LANGUAGE, locale.or(browser_language));
    line.sdk([lib, lib_version]);
}
