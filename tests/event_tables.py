"""Canonical events for tests, without the parser: a row is a dict of the columns it has."""

import datetime as dt

import pyarrow as pa

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LABEL = pa.dictionary(pa.int32(), pa.string())
KINDS = {
    "event_id": pa.binary(16),
    "app_id": LABEL,
    "event_name": LABEL,
    "event_type": LABEL,
    "user_id": pa.string(),
    "anonymous_id": pa.string(),
    "device_id": pa.string(),
    "idfa": pa.binary(16),
    "gaid": pa.binary(16),
    "idfv": pa.binary(16),
    "timestamp": pa.timestamp("us", "UTC"),
    "source": LABEL,
    "medium": LABEL,
    "campaign": LABEL,
    "adset": LABEL,
    "creative": LABEL,
    "country": LABEL,
    "revenue_micros": pa.int64(),
    "currency": LABEL,
}


def event(name, hours=0.0, **columns):
    """An event of `name` some hours after the start; `click` and `impression` are touches."""
    return {
        "event_name": name,
        "event_type": name,
        "timestamp": START + dt.timedelta(hours=hours),
        "app_id": "app",
        **columns,
    }


def events_of(rows):
    """The rows as a table of canonical columns; `event_id` counts up where it is not given."""
    rows = [{"event_id": number.to_bytes(16), **row} for number, row in enumerate(rows, 1)]

    def column(name, kind):
        values = [row.get(name) for row in rows]
        if pa.types.is_dictionary(kind):
            return pa.array(values, pa.string()).dictionary_encode().cast(kind)
        return pa.array(values, kind)

    return pa.table({name: column(name, kind) for name, kind in KINDS.items()})
