//! Segment's tracking calls, also as its forks' SDKs send them.

use std::borrow::Cow;

use super::line::Line;
use super::object::{inside, pick};
use super::origin::Origin;
use super::{InletError, Request, field, records, utf8};
use crate::limits::Limits;
use crate::schema::{COLUMNS, at};

/// The calls that exist.
pub const CALLS: [&str; 7] = ["batch", "track", "identify", "page", "screen", "group", "alias"];

const BATCH: &str = "Segment batch";
const CALL: &str = "Segment call";

/// Turn the decompressed body of `POST /v1/<route>` into canonical NDJSON, one line per record.
///
/// No record at all is an empty output: answer it without calling the parser, which takes an
/// empty body for a broken one. A record without a time gets its time of sending, else
/// `received_at_us`.
///
/// # Errors
/// [`InletError`], whose `status()` is the answer: the body is no JSON object, a batch has no
/// `batch`, there are too many records, or there is no such call.
pub fn segment(
    route: &str,
    body: &[u8],
    received_at_us: i64,
    limits: &Limits,
) -> Result<Vec<u8>, InletError> {
    let Some(call) = CALLS.into_iter().find(|known| *known == route) else {
        return Err(InletError::UnknownRoute { route: route.to_owned() });
    };
    let expected = if call == "batch" { BATCH } else { CALL };
    let body = utf8(body, expected)?;
    let body = body.as_ref();
    let [batch, sent_at, context] = pick(body, &["batch", "sentAt", "context"])
        .map_err(|reason| InletError::Broken { expected, reason })?;
    let request = Request { limits, received_at_us, sent_at: field::time(sent_at) };
    let mut out = Vec::with_capacity(body.len() * 2);
    match batch {
        Some(batch) => records(batch, limits, expected, |record| {
            write(&mut out, record, call, context, &request);
        })?,
        None if call == "batch" => {
            let reason = "there is no `batch` in it".to_owned();
            return Err(InletError::Broken { expected, reason });
        }
        None => write(&mut out, body, call, None, &request),
    }
    Ok(out)
}

/// The write key in a body, for clients that do not send it as the Basic user.
pub fn segment_key(body: &[u8]) -> Option<String> {
    let [key] = pick(std::str::from_utf8(body).ok()?, &["writeKey"]).ok()?;
    field::text(key?).map(Cow::into_owned)
}

const RECORD: [&str; 12] = [
    "type",
    "event",
    "userId",
    "anonymousId",
    "previousId",
    "messageId",
    "properties",
    "context",
    "timestamp",
    "originalTimestamp",
    "sentAt",
    "receivedAt",
];

/// One record, as the call it came through: `batch` items say it themselves in their `type`.
fn write(out: &mut Vec<u8>, record: &str, call: &str, shared: Option<&str>, request: &Request<'_>) {
    let Some(fields) = request.pick(record, &RECORD) else {
        return Line::refuse(out, record);
    };
    let [kind, event, user, anonymous, previous, id, properties, context, times @ ..] = fields;
    let said = field::short(kind, COLUMNS[at::EVENT_TYPE].bytes_max);
    let call = match (call, &said) {
        ("batch", Some(said)) => said.as_ref(),
        // An item of a forgetful client has no type, and only `track` has an event.
        ("batch", None) => "track",
        (call, _) => call,
    };
    let mut line = Line::open(out);
    line.event_id(id);
    let quoted = format!("\"{call}\"");
    let name = if call == "track" { event } else { Some(quoted.as_str()) };
    let origin = origin(context.or(shared), properties).classify(&mut line, name, properties, call);
    line.id(at::USER_ID, user);
    line.id(at::ANONYMOUS_ID, previous.filter(|_| call == "alias").or(anonymous));
    clock(&mut line, times, request);
    origin.write(&mut line);
    describe(&mut line, context.or(shared));
    let [revenue, currency] = inside(properties, &["revenue", "currency"]);
    line.revenue(revenue, currency);
    match shared.filter(|_| context.is_none()) {
        // Segment gives a batch's context to each record, so the original has it from then on.
        Some(shared) => line.close(&with_context(record, shared)),
        None => line.close(record),
    }
}

/// Which of the record's times counts. One that passed through a collector before (it has a
/// `receivedAt`) was corrected there: taking its old time of sending for the client's clock
/// would move it to now.
fn clock(line: &mut Line<'_>, times: [Option<&str>; 4], request: &Request<'_>) {
    let [timestamp, original, sent_at, received_at] = times;
    let sent_at = field::time(sent_at).or_else(|| request.sent_at.clone());
    let is_forwarded = field::time(received_at).is_some();
    let order = if is_forwarded { [timestamp, original] } else { [original, timestamp] };
    request.clock(line, &order, sent_at.as_deref().filter(|_| !is_forwarded));
}

/// The campaign of the context, else the one in the properties (`Install Attributed` and its
/// like carry it there).
fn origin<'a>(context: Option<&'a str>, properties: Option<&'a str>) -> Origin<'a> {
    let [campaign, referrer] = inside(context, &["campaign", "referrer"]);
    let [click_id] = inside(referrer, &["id"]);
    let [inner] = inside(properties, &["campaign"]);
    let known = campaign_of(campaign).or(campaign_of(inner));
    Origin { click_id: known.click_id.or(click_id), ..known }
}

fn campaign_of(campaign: Option<&str>) -> Origin<'_> {
    let names = ["source", "medium", "name", "ad_group", "ad_creative", "content", "click_id"];
    let [source, medium, name, ad_group, ad_creative, content, click_id] = inside(campaign, &names);
    Origin {
        source,
        medium,
        campaign: name,
        adset: ad_group,
        creative: ad_creative.or(content),
        site_id: None,
        click_id,
    }
}

const CONTEXT: [&str; 9] =
    ["ip", "userAgent", "locale", "os", "app", "device", "library", "location", "sessionId"];

fn describe(line: &mut Line<'_>, context: Option<&str>) {
    let [ip, user_agent, locale, os, app, device, library, location, session] =
        inside(context, &CONTEXT);
    let [os_name, os_version] = inside(os, &["name", "version"]);
    line.text(at::SESSION_ID, session);
    line.ip(ip);
    line.text(at::USER_AGENT, user_agent);
    line.text(at::OS, os_name);
    line.text(at::OS_VERSION, os_version);
    line.text(at::APP_VERSION, inside(app, &["version"])[0]);
    line.sdk(inside(library, &["name", "version"]));
    line.text(at::COUNTRY, inside(location, &["country"])[0]);
    line.text(at::LANGUAGE, locale);
    describe_device(line, os_name, device);
}

/// Ids of a device have their kind from the system: Segment calls all of them the same.
fn describe_device(line: &mut Line<'_>, os: Option<&str>, device: Option<&str>) {
    let [id, advertising_id, model, kind] =
        inside(device, &["id", "advertisingId", "model", "type"]);
    line.text(at::DEVICE_MODEL, model);
    let system = os.or(kind).and_then(field::text).unwrap_or_default().to_ascii_lowercase();
    let is_apple = matches!(system.as_str(), "ios" | "ipados" | "tvos" | "watchos" | "visionos");
    if is_apple {
        line.uuid(at::IDFA, advertising_id);
    } else if system == "android" {
        line.uuid(at::GAID, advertising_id);
    }
    let is_vendor = is_apple && id.and_then(field::text).is_some_and(|id| field::is_uuid(&id));
    line.text(if is_vendor { at::IDFV } else { at::DEVICE_ID }, id);
}

fn with_context(record: &str, context: &str) -> String {
    let rest = record.trim_start().strip_prefix('{').unwrap_or_default();
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    format!("{{\"context\":{context}{comma}{rest}")
}
