"""How many people there were, by interval and event name: of a person's days, or of events."""

from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime
from typing import Literal

from unmogrowp import _core
from unmogrowp.table import Table
from unmogrowp.warehouse.persons import Known, with_person
from unmogrowp.warehouse.span import TIME, Span
from unmogrowp.warehouse.store import AS_DICTIONARY, Warehouse

Interval = Literal["hour", "day", "week", "month", "total"]
# By start in seconds and event name; all of them by None.
UsersOf = dict[object, object]
START = {
    "hour": "toStartOfHour({time}, {{tz:String}})",
    "day": "toStartOfDay({time}, {{tz:String}})",
    "week": "toDateTime(toMonday({time}, {{tz:String}}), {{tz:String}})",
    "month": "toDateTime(toStartOfMonth({time}, {{tz:String}}), {{tz:String}})",
    "total": "toDateTime(0, 'UTC')",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = 86_400
# Days from 1970 to beyond every event.
_FAR = 1 << 20


def users_by_day(
    warehouse: Warehouse, span: Span, interval: Interval, beside: Executor
) -> Callable[[], UsersOf]:
    """From who was seen on which days, in UTC; `beside` counts, and what is returned waits."""
    first, end = (None if at is None else (at - _EPOCH).days for at in (span.start, span.stop))
    known = Known(warehouse, span.app_id, beside)
    seen = Table.read(warehouse.arrow(_seen(span), span.values())).batches
    days = (-_FAR if first is None else first, _FAR if end is None else end)
    counted = beside.submit(lambda: _core.users(seen, known.persons(), interval, *days))

    def users() -> UsersOf:
        rows, everybody = counted.result()
        return {None: everybody} | {(day * _DAY_S, name): users for day, name, users in rows}

    return users


def _seen(span: Span) -> str:
    # Months of which any day counts. As a UUID a column would be built value by value.
    first = "" if span.start is None else f" AND s.month >= toStartOfMonth({{start:{TIME}}}, 'UTC')"
    end = "" if span.stop is None else f" AND s.month < {{stop:{TIME}}}"
    return (
        "SELECT UUIDToNum(s.identity) AS identity, toUInt16(s.month) AS month, event_name AS name,"
        f" days FROM rollup_seen AS s WHERE app_id = {{app_id:String}}{first}{end} {AS_DICTIONARY}"
    )


def users_by_time(
    warehouse: Warehouse, span: Span, interval: Interval, tz: str
) -> Callable[[], UsersOf]:
    """From the events, all people in a row of its own: nobody is read twice."""
    start = START[interval].format(time="time")
    seen = (
        "SELECT timestamp AS time, event_name, identity FROM events "
        f"WHERE {span.where('timestamp')}"
    )
    rows = warehouse.rows(
        f"SELECT toInt64(toUnixTimestamp({start})) AS start, toString(event_name) AS event_name, "
        "toInt64(uniqExact(person)) AS users, grouping(start, event_name) = 0 AS is_of_row "
        f"FROM ({with_person(seen)}) GROUP BY GROUPING SETS ((start, event_name), ())",
        {**span.values(), "tz": tz},
    )
    return lambda: {
        (row["start"], row["event_name"]) if row["is_of_row"] else None: row["users"]
        for row in rows
    }
