"""What an app no longer wants to keep, out of the warehouse: whole months."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from unmogrowp.pipeline import deletion
from unmogrowp.pipeline.statements import APP
from unmogrowp.warehouse import Warehouse
from unmogrowp.warehouse.schema import TOUCH_KEYS

# Tables that lie in months, and what their months follow from.
_BY_MONTH = {
    "events": "timestamp",
    "rollup_counts": "bucket",
    "rollup_seen": "month",
    "rollup_active": "day",
    "rollup_earned": "timestamp",
    "credits": "conversion_time",
}
_NOBODY = f"identity NOT IN (SELECT identity FROM events WHERE {APP})"
# A person is called after one of its identities, which may be gone before the others.
_GONE = (
    f"person NOT IN (SELECT identity FROM events WHERE {APP}"
    f" UNION ALL SELECT person FROM persons WHERE {APP})"
)
_OLD = f"{APP} AND last_touch < {{start:Date}} AND notEmpty(channel)"
_EMPTY = ", ".join(f"{key} = []" for key in TOUCH_KEYS)


def kept_from(days: int, now: datetime) -> datetime:
    """The first instant that is kept: the start of the month that began before those days did.

    >>> kept_from(90, datetime(2026, 6, 15, tzinfo=UTC)).isoformat()
    '2026-03-01T00:00:00+00:00'
    """
    oldest = now.astimezone(UTC) - timedelta(days=days)
    return oldest.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def retain(warehouse: Warehouse, app_id: str, start: datetime) -> dict[str, int]:
    """Delete the months of an app that ended before `start`.

    A month that only this app has is dropped whole, which costs nothing; in one that others share
    its rows are deleted.

    Returns:
        How many rows each table lost; empty where nothing was that old.
    """
    given = {"app_id": app_id, "start": start.strftime("%Y-%m-%d")}
    gone = {table: _months(warehouse, table, given) for table in _BY_MONTH}
    gone["touchpoints"] = _delete(warehouse, "touchpoints", "timestamp < {start:Date}", given)
    gone["opens"] = _empty_opens(warehouse, given)
    if gone["events"]:
        for table in ("persons", "members", "identities"):
            gone[table] = _delete(warehouse, table, _NOBODY, given)
        _delete(warehouse, "opens", _GONE, given)
    return {table: rows for table, rows in gone.items() if rows}


def _empty_opens(warehouse: Warehouse, given: Mapping[str, object]) -> int:
    """Take the touches out of old open journeys: a row that went would bring an older one back."""
    sql = f"SELECT count() AS rows FROM opens FINAL WHERE {_OLD}"
    (row,) = warehouse.rows(sql, given)
    warehouse.command(
        f"ALTER TABLE opens UPDATE {_EMPTY} WHERE {_OLD} SETTINGS mutations_sync = 2", given
    )
    return int(str(row["rows"]))


def _months(warehouse: Warehouse, table: str, given: Mapping[str, object]) -> int:
    time = _BY_MONTH[table]
    found = warehouse.rows(
        f"SELECT toYYYYMM({time}) AS number, countIf({APP}) AS own, count() AS all FROM {table}"
        f" WHERE {time} < {{start:Date}} GROUP BY number HAVING own > 0 ORDER BY number",
        given,
    )
    for row in found:
        month = int(str(row["number"]))
        if row["own"] == row["all"]:
            warehouse.command(f"ALTER TABLE {table} DROP PARTITION {month}")
        else:
            deletion.delete(warehouse, table, f"toYYYYMM({time}) = {month}", given)
    return sum(int(str(row["own"])) for row in found)


def _delete(warehouse: Warehouse, table: str, which: str, given: Mapping[str, object]) -> int:
    rows = deletion.count(warehouse, table, which, given)
    if rows:
        deletion.delete(warehouse, table, which, given)
    return rows
