"""Events, people and revenue over time."""

from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from unmogrowp.warehouse.money import by_currency, decimal_text
from unmogrowp.warehouse.persons import with_person
from unmogrowp.warehouse.report import Report, Row
from unmogrowp.warehouse.span import Span
from unmogrowp.warehouse.store import Warehouse

Interval = Literal["hour", "day", "week", "month", "total"]
_START = {
    "hour": "toStartOfHour({time}, {{tz:String}})",
    "day": "toStartOfDay({time}, {{tz:String}})",
    "week": "toDateTime(toMonday({time}, {{tz:String}}), {{tz:String}})",
    "month": "toDateTime(toStartOfMonth({time}, {{tz:String}}), {{tz:String}})",
    "total": "toDateTime(0, 'UTC')",
}


def overview(
    warehouse: Warehouse, span: Span, *, interval: Interval = "day", tz: str = "UTC"
) -> Report:
    """What happened in `span`, by interval and event name.

    Args:
        warehouse: Where the events are.
        span: App and time.
        interval: Length of a row's time; weeks begin on Monday.
        tz: Zone that days, weeks and months are of.

    Returns:
        `rows` of `time` (null for `total`), `event_name`, `events`, `users`, `revenue`,
        `currency`: a row per currency, `users` being all of that time and name in each; and
        `total` with `events`, distinct `users` and `revenue` by currency.
    """
    if interval not in _START:
        raise ValueError(f"unknown interval `{interval}`\nhint: one of {', '.join(_START)}")
    zone = ZoneInfo(tz)
    values = {**span.values(), "tz": tz}
    users_of: dict[object, object] = {
        (row["start"], row["event_name"]) if row["is_of_row"] else None: row["users"]
        for row in warehouse.rows(_users(span, interval, tz), values)
    }
    counts = warehouse.rows(_counts_by_row(span, interval), values)
    rows = [_row(row, users_of, None if interval == "total" else zone) for row in counts]
    return {"rows": rows, "total": _total(counts, users_of.get(None, 0))}


def _row(row: Row, users_of: dict[object, object], zone: ZoneInfo | None) -> Row:
    micros = int(str(row["micros"]))
    return {
        "time": None if zone is None else _shown(int(str(row["start"])), zone),
        "event_name": row["event_name"],
        "events": row["events"],
        "users": users_of.get((row["start"], row["event_name"]), 0),
        "revenue": decimal_text(micros) if row["currency"] else None,
        "currency": row["currency"] or None,
    }


def _shown(seconds: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone(zone).isoformat().replace("+00:00", "Z")


def counts(span: Span) -> str:
    """Rows of `time`, keys, `n` and `micros`: the roll-up where its buckets fit the span."""
    if span.is_of_quarters():
        return (
            "SELECT bucket AS time, event_name, event_type, source, campaign, country, currency, "
            f"events AS n, revenue_micros AS micros FROM rollup_counts WHERE {span.where('bucket')}"
        )
    return (
        "SELECT timestamp AS time, event_name, event_type, source, campaign, country, currency, "
        "1 AS n, ifNull(revenue_micros, 0) AS micros FROM events FINAL "
        f"WHERE {span.where('timestamp')}"
    )


def _identities(span: Span, *, is_by_day: bool) -> str:
    if is_by_day:
        # A day of the roll-up begins at midnight in UTC, so the bounds compare as times.
        return (
            "SELECT toDateTime(day, 'UTC') AS time, event_name, identity FROM rollup_users "
            f"WHERE {span.where('day')}"
        )
    return (
        "SELECT timestamp AS time, event_name, identity FROM events "
        f"WHERE {span.where('timestamp')}"
    )


def _counts_by_row(span: Span, interval: Interval) -> str:
    start = _START[interval].format(time="time")
    return (
        f"SELECT toInt64(toUnixTimestamp({start})) AS start, toString(event_name) AS event_name, "
        "toString(currency) AS currency, toInt64(sum(n)) AS events, toInt64(sum(micros)) AS micros "
        f"FROM ({counts(span)}) GROUP BY start, event_name, currency "
        "ORDER BY start, event_name, currency"
    )


def _users(span: Span, interval: Interval, tz: str) -> str:
    """People by row of the report, and in a row of its own all of them: nobody is read twice."""
    is_by_day = span.is_of_days() and (interval == "total" or (tz == "UTC" and interval != "hour"))
    start = _START[interval].format(time="time")
    people = with_person(_identities(span, is_by_day=is_by_day))
    return (
        f"SELECT toInt64(toUnixTimestamp({start})) AS start, toString(event_name) AS event_name, "
        "toInt64(uniqExact(person)) AS users, grouping(start, event_name) = 0 AS is_of_row "
        f"FROM ({people}) GROUP BY GROUPING SETS ((start, event_name), ())"
    )


def _total(counts: list[Row], users: object) -> Row:
    return {
        "events": sum(int(str(row["events"])) for row in counts),
        "users": users,
        "revenue": by_currency(counts),
    }
