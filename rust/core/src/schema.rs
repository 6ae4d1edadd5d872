//! THE event table: every column with its Arrow type and limit. Arrow schemas, warehouse DDL,
//! the JSON schema and the docs derive from it.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// What a column holds, and so how it is parsed, stored and compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A UUID as 16 bytes, big-endian as written.
    Uuid,
    /// Microseconds since 1970 in UTC.
    Time,
    /// An IPv6 address as 16 bytes; IPv4 is mapped (`::ffff:a.b.c.d`).
    Ip,
    /// Text with many different values.
    Text,
    /// Text with few different values: dictionary-encoded.
    Label,
    /// Money as integer millionths.
    Micros,
    /// A JSON object as sent, as UTF-8 text.
    Json,
}

/// One column of the event table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Name in every table, report and export.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Longest accepted text in bytes; 0 where the kind has a fixed size.
    pub bytes_max: usize,
    /// One sentence for the docs.
    pub doc: &'static str,
}

const fn column(name: &'static str, kind: Kind, bytes_max: usize, doc: &'static str) -> Column {
    Column { name, kind, bytes_max, doc }
}

/// Position of each column in [`COLUMNS`].
#[allow(missing_docs, reason = "the names are the documentation; COLUMNS describes each")]
pub mod at {
    pub const EVENT_ID: usize = 0;
    pub const APP_ID: usize = 1;
    pub const EVENT_NAME: usize = 2;
    pub const EVENT_TYPE: usize = 3;
    pub const USER_ID: usize = 4;
    pub const ANONYMOUS_ID: usize = 5;
    pub const DEVICE_ID: usize = 6;
    pub const IDFA: usize = 7;
    pub const GAID: usize = 8;
    pub const IDFV: usize = 9;
    pub const SESSION_ID: usize = 10;
    pub const TIMESTAMP: usize = 11;
    pub const SENT_AT: usize = 12;
    pub const SOURCE: usize = 13;
    pub const MEDIUM: usize = 14;
    pub const CAMPAIGN: usize = 15;
    pub const ADSET: usize = 16;
    pub const CREATIVE: usize = 17;
    pub const SITE_ID: usize = 18;
    pub const CLICK_ID: usize = 19;
    pub const IP: usize = 20;
    pub const USER_AGENT: usize = 21;
    pub const OS: usize = 22;
    pub const OS_VERSION: usize = 23;
    pub const APP_VERSION: usize = 24;
    pub const SDK_VERSION: usize = 25;
    pub const DEVICE_MODEL: usize = 26;
    pub const COUNTRY: usize = 27;
    pub const LANGUAGE: usize = 28;
    pub const REVENUE: usize = 29;
    pub const CURRENCY: usize = 30;
    pub const PROPERTIES: usize = 31;
    pub const CLIENT_TIMESTAMP: usize = 32;
    pub const RECEIVED_AT: usize = 33;
}

/// Every column, in stored order. The first 32 can be sent, the last two are the server's.
pub const COLUMNS: [Column; 34] = [
    column(
        "event_id",
        Kind::Uuid,
        256,
        "Idempotency key within the app; any other text is mapped to a UUID.",
    ),
    column("app_id", Kind::Label, 256, "The app this event belongs to."),
    column(
        "event_name",
        Kind::Label,
        256,
        "What happened, e.g. `install`; fills in for `event_type`.",
    ),
    column("event_type", Kind::Label, 256, "Its class; `click` and `impression` are touches."),
    column("user_id", Kind::Text, 256, "The app's own id of a signed-in user."),
    column("anonymous_id", Kind::Text, 256, "An id made before sign-in."),
    column("device_id", Kind::Text, 256, "Any other id of the device."),
    column("idfa", Kind::Uuid, 0, "Apple's advertising identifier."),
    column("gaid", Kind::Uuid, 0, "Google's advertising identifier."),
    column("idfv", Kind::Uuid, 0, "Apple's vendor identifier."),
    column("session_id", Kind::Text, 256, "The session this event is part of."),
    column("timestamp", Kind::Time, 0, "When it happened, corrected for clock skew."),
    column("sent_at", Kind::Time, 0, "When the client sent it, by the client's clock."),
    column(
        "source",
        Kind::Label,
        256,
        "Ad network or other origin; the channel unless a rule says otherwise.",
    ),
    column("medium", Kind::Label, 256, "Kind of traffic, e.g. `cpc`."),
    column("campaign", Kind::Label, 256, "Campaign of the touch."),
    column("adset", Kind::Label, 256, "Ad set within the campaign."),
    column("creative", Kind::Label, 256, "Creative within the ad set."),
    column("site_id", Kind::Label, 256, "Publisher the ad ran on."),
    column("click_id", Kind::Text, 256, "The network's id of the click."),
    column("ip", Kind::Ip, 0, "Address of the device."),
    column("user_agent", Kind::Label, 1024, "User agent of the device."),
    column("os", Kind::Label, 256, "Operating system."),
    column("os_version", Kind::Label, 256, "Its version."),
    column("app_version", Kind::Label, 256, "Version of the app."),
    column("sdk_version", Kind::Label, 256, "Version of the SDK that sent it."),
    column("device_model", Kind::Label, 256, "Model of the device."),
    column("country", Kind::Label, 256, "Country of the device."),
    column("language", Kind::Label, 256, "Language of the device."),
    column(
        "revenue_micros",
        Kind::Micros,
        0,
        "Money earned, in millionths of `currency`; negative for a refund.",
    ),
    column("currency", Kind::Label, 3, "ISO 4217 code, upper case."),
    column("properties", Kind::Json, 0, "Every other field that was sent, as a JSON object."),
    column("client_timestamp", Kind::Time, 0, "`timestamp` as the client sent it."),
    column("received_at", Kind::Time, 0, "When the server received it."),
];

/// Id columns that say who an event is about, in the order that names a person.
pub const IDENTITY: [usize; 6] =
    [at::USER_ID, at::ANONYMOUS_ID, at::DEVICE_ID, at::IDFA, at::GAID, at::IDFV];

impl Kind {
    /// The Arrow type of a column of this kind.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Uuid | Self::Ip => DataType::FixedSizeBinary(16),
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Text | Self::Json => DataType::Utf8,
            Self::Label => {
                DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
            }
            Self::Micros => DataType::Int64,
        }
    }
}

static ARROW: LazyLock<SchemaRef> = LazyLock::new(|| {
    let field = |c: &Column| Field::new(c.name, c.kind.arrow(), true);
    Arc::new(Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>()))
});

/// The Arrow schema of parsed events.
pub fn arrow() -> SchemaRef {
    ARROW.clone()
}
