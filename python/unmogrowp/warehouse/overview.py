"""Events, people and revenue over time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from unmogrowp.warehouse.money import by_currency, decimal_text
from unmogrowp.warehouse.report import Report, Row
from unmogrowp.warehouse.span import Span
from unmogrowp.warehouse.store import Warehouse
from unmogrowp.warehouse.users import START, Interval, UsersOf, users_by_day, users_by_time


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
    if interval not in START:
        raise ValueError(f"unknown interval `{interval}`\nhint: one of {', '.join(START)}")
    zone = ZoneInfo(tz)
    values = {**span.values(), "tz": tz}
    is_by_day = span.is_of_days() and interval != "hour" and (interval == "total" or tz == "UTC")
    with ThreadPoolExecutor(1) as beside:
        # People are counted by a kernel of ours, meanwhile the engine counts events.
        users = (
            users_by_day(warehouse, span, interval, beside)
            if is_by_day
            else users_by_time(warehouse, span, interval, tz)
        )
        counts = warehouse.rows(_counts_by_row(span, interval), values)
        users_of = users()
    rows = [_row(row, users_of, None if interval == "total" else zone) for row in counts]
    return {"rows": rows, "total": _total(counts, users_of.get(None, 0))}


def _row(row: Row, users_of: UsersOf, zone: ZoneInfo | None) -> Row:
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


def _counts_by_row(span: Span, interval: Interval) -> str:
    start = START[interval].format(time="time")
    return (
        f"SELECT toInt64(toUnixTimestamp({start})) AS start, toString(event_name) AS event_name, "
        "toString(currency) AS currency, toInt64(sum(n)) AS events, toInt64(sum(micros)) AS micros "
        f"FROM ({counts(span)}) GROUP BY start, event_name, currency "
        "ORDER BY start, event_name, currency"
    )


def _total(counts: list[Row], users: object) -> Row:
    return {
        "events": sum(int(str(row["events"])) for row in counts),
        "users": users,
        "revenue": by_currency(counts),
    }
