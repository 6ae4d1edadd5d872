//! An event becomes a line of NDJSON.

use crate::life::{Event, Kind};
use crate::person::Person;
use crate::random::{Random, mix};
use crate::scenario::Scenario;
use crate::world::{
    ANDROID, ANDROID_MODELS, APP_VERSIONS, COUNTRIES, DAY, IOS, IOS_MODELS, NETWORKS,
};

const HEX: &[u8; 16] = b"0123456789abcdef";
const SCREENS: [&str; 6] = ["home", "search", "item", "cart", "profile", "play"];
const ITEMS: u64 = 60;

/// Append the line of `event`.
pub(crate) fn line(scenario: &Scenario, person: &Person, event: &Event, out: &mut Vec<u8>) {
    let skew = if event.kind.is_touch() { 0 } else { person.skew };
    let start = scenario.start_day * DAY;
    out.extend_from_slice(b"{\"event_id\":\"");
    uuid(mix(person.key ^ event.tag), event.tag, out);
    let (name, kind) = names(event.kind);
    out.push(b'"');
    text("event_name", name, out);
    text("event_type", kind, out);
    if let Some(app_id) = &scenario.app_id {
        escaped("app_id", app_id, out);
    }
    time("timestamp", start + event.at + skew, out);
    if scenario.is_sent_at_told && !event.kind.is_touch() {
        time("sent_at", start + event.arrives + skew, out);
    }
    ids(person, event, out);
    if event.kind.is_touch() {
        touch(person, event, out);
    } else {
        open("session_id", out);
        hex(event.session, 16, out);
        out.push(b'"');
        text("app_version", APP_VERSIONS[usize::from(person.app_version)], out);
    }
    device(person, out);
    details(scenario, person, event, out);
    out.extend_from_slice(b"}\n");
}

const fn names(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Impression => ("impression", "impression"),
        Kind::Click => ("click", "click"),
        Kind::Install => ("install", "install"),
        Kind::SessionStart => ("session_start", "session"),
        Kind::ScreenView => ("screen_view", "engagement"),
        Kind::SignUp => ("sign_up", "engagement"),
        Kind::Purchase => ("purchase", "revenue"),
    }
}

/// Advertising id where the device gives one. A click's link hands its id on to the app, which
/// keeps it as anonymous id; an impression without an advertising id has only the network's
/// cookie, which nobody else ever sees.
fn ids(person: &Person, event: &Event, out: &mut Vec<u8>) {
    if person.sign_up.is_some_and(|at| !event.kind.is_touch() && event.at >= at) {
        open("user_id", out);
        out.push(b'u');
        decimal(u64::from(event.person), out);
        out.push(b'"');
    }
    if person.has_advertising_id {
        open(if person.is_ios { "idfa" } else { "gaid" }, out);
        uuid(mix(person.key ^ 1), mix(person.key ^ 2), out);
        out.push(b'"');
    }
    let is_seen = event.kind == Kind::Impression;
    if is_seen && person.has_advertising_id {
        return;
    }
    let key = if is_seen { event.tag } else { person.key };
    open("anonymous_id", out);
    uuid(mix(key ^ 3), mix(key ^ 4), out);
    out.push(b'"');
}

fn touch(person: &Person, event: &Event, out: &mut Vec<u8>) {
    let touch = event.touch;
    let network = &NETWORKS[usize::from(touch.network)];
    let named = |field: &str, tags: &[(&str, u64)], out: &mut Vec<u8>| {
        open(field, out);
        out.extend_from_slice(network.name.as_bytes());
        for (tag, number) in tags {
            out.extend_from_slice(tag.as_bytes());
            decimal(*number, out);
        }
        out.push(b'"');
    };
    let campaign = ("_c", u64::from(touch.campaign) + 1);
    let adset = ("_s", u64::from(touch.adset) + 1);
    text("source", network.name, out);
    text("medium", network.medium, out);
    named("campaign", &[campaign], out);
    named("adset", &[campaign, adset], out);
    named("creative", &[campaign, adset, ("_k", u64::from(touch.creative) + 1)], out);
    named("site_id", &[("_p", u64::from(touch.site) + 1)], out);
    if event.kind == Kind::Click {
        open("click_id", out);
        hex(mix(event.tag ^ person.key), 16, out);
        hex(mix(event.tag ^ 5), 16, out);
        out.push(b'"');
    }
}

fn device(person: &Person, out: &mut Vec<u8>) {
    let at = |table: &[&'static str], position: u8| table[usize::from(position) % table.len()];
    let (os, version, model) = if person.is_ios {
        ("iOS", at(&IOS, person.os_version), at(&IOS_MODELS, person.model))
    } else {
        ("Android", at(&ANDROID, person.os_version), at(&ANDROID_MODELS, person.model))
    };
    let country = &COUNTRIES[usize::from(person.country)];
    open("ip", out);
    let mut random = Random::of(person.key, 6);
    // First bytes that are neither private nor reserved.
    decimal(11 + random.below(89), out);
    for _ in 0..3 {
        out.push(b'.');
        decimal(1 + random.below(254), out);
    }
    out.push(b'"');
    text("os", os, out);
    text("os_version", version, out);
    text("device_model", model, out);
    text("country", country.code, out);
    text("language", country.language, out);
}

fn details(scenario: &Scenario, person: &Person, event: &Event, out: &mut Vec<u8>) {
    let pick = |count: u64| mix(event.tag ^ 7) % count;
    match event.kind {
        Kind::Install if scenario.is_truth_told => {
            let paid = NETWORKS[usize::from(person.touch.network)].name;
            let truth = if person.click.is_some() { paid } else { "organic" };
            properties("truth", truth, out);
        }
        Kind::ScreenView => {
            properties("screen", SCREENS[usize::try_from(pick(6)).unwrap_or_default()], out);
        }
        Kind::Purchase => {
            out.extend_from_slice(b",\"revenue\":");
            decimal(u64::from(event.cents / 100), out);
            out.push(b'.');
            pair(u64::from(event.cents % 100), out);
            text("currency", "USD", out);
            out.extend_from_slice(b",\"properties\":{\"item\":\"item_");
            decimal(pick(ITEMS) + 1, out);
            out.extend_from_slice(b"\"}");
        }
        _ => {}
    }
}

fn properties(name: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"properties\":{\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\"}");
}

fn open(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
}

/// A field whose text is known to need no escape.
fn text(name: &str, value: &str, out: &mut Vec<u8>) {
    open(name, out);
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

fn escaped(name: &str, value: &str, out: &mut Vec<u8>) {
    open(name, out);
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..=31 => {
                out.extend_from_slice(b"\\u00");
                hex(u64::from(byte), 2, out);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

fn decimal(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let (mut rest, mut at) = (value, digits.len());
    loop {
        at -= 1;
        digits[at] = HEX[(rest % 10) as usize];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn pair(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&[HEX[(value / 10 % 10) as usize], HEX[(value % 10) as usize]]);
}

/// The lowest `digits` hexadecimal digits.
fn hex(value: u64, digits: u32, out: &mut Vec<u8>) {
    for at in (0..digits).rev() {
        out.push(HEX[(value >> (at * 4) & 15) as usize]);
    }
}

/// A version 4 UUID of two words.
fn uuid(high: u64, low: u64, out: &mut Vec<u8>) {
    let high = high & 0xFFFF_FFFF_FFFF_0FFF | 0x4000;
    let low = low & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000;
    hex(high >> 32, 8, out);
    out.push(b'-');
    hex(high >> 16, 4, out);
    out.push(b'-');
    hex(high, 4, out);
    out.push(b'-');
    hex(low >> 48, 4, out);
    out.push(b'-');
    hex(low, 12, out);
}

/// RFC 3339 in UTC with milliseconds.
fn time(name: &str, us: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil(us.div_euclid(DAY));
    let ms = (us.rem_euclid(DAY) / 1_000).cast_unsigned();
    open(name, out);
    decimal(year, out);
    for (mark, value) in
        [(b'-', month), (b'-', day), (b'T', ms / 3_600_000), (b':', ms / 60_000 % 60)]
    {
        out.push(mark);
        pair(value, out);
    }
    out.push(b':');
    pair(ms / 1_000 % 60, out);
    out.push(b'.');
    out.push(HEX[(ms / 100 % 10) as usize]);
    pair(ms % 100, out);
    out.extend_from_slice(b"Z\"");
}

/// Year, month and day of a day counted from 1970, for days after year 0 (Howard Hinnant's
/// algorithm: years from March, eras of 400 of them).
fn civil(day: i64) -> (u64, u64, u64) {
    let shifted = (day + 719_468).cast_unsigned();
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    (era * 400 + year + u64::from(month <= 2), month, day)
}
