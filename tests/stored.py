"""Events and credits in a warehouse, for tests that ask it."""

import datetime as dt
import itertools
import json
import uuid

import pyarrow as pa

import unmogrowp as ug
from unmogrowp import _core
from unmogrowp.warehouse import Span, Warehouse, events
from unmogrowp.warehouse.schema import MODELS

NEW_YEAR = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
batch_ids = itertools.count(1)


def parsed(app: str, *given: dict[str, object]) -> ug.Table:
    lines = (json.dumps({"app_id": app, **event}) for event in given)
    table = ug.parse("\n".join(lines).encode())
    assert table.rejects.column("message").to_pylist() == []
    return table.events


def store(warehouse: Warehouse, app: str, *given: dict[str, object]) -> int:
    """Insert as the shipper does, a block a month; returns the batch."""
    table, batch_id = parsed(app, *given).batches, next(batch_ids)
    for month in _core.months(table):
        block = _core.native_events(table, month, batch_id)
        warehouse.insert("events", block, f"batch-{batch_id}-{month}")
    return batch_id


def event(name: str, hours: float, user: str = "u1", **more: object) -> dict[str, object]:
    at = NEW_YEAR + dt.timedelta(hours=hours)
    text = f"{at:%Y-%m-%dT%H:%M:%S.%f}Z"
    own = {"event_id": str(uuid.uuid4()), "event_name": name, "timestamp": text, "user_id": user}
    return {**own, **more}


def purchase(hours: float, user: str, revenue: str, currency: str = "USD") -> dict[str, object]:
    return event("purchase", hours, user, revenue=revenue, currency=currency, country="DE")


def lines(
    warehouse: Warehouse, span: Span, event_name: str | None = None, limit: int | None = None
) -> list[dict[str, object]]:
    body = b"".join(events.stream(warehouse, span, event_name=event_name, limit=limit))
    return [json.loads(line) for line in body.splitlines()]


def count(warehouse: Warehouse, table: str, app: str, what: str = "count()") -> int:
    rows = warehouse.rows(
        f"SELECT toInt64({what}) AS n FROM {table} WHERE app_id = {{app:String}}", {"app": app}
    )
    return int(str(rows[0]["n"]))


def credit(
    warehouse: Warehouse,
    app: str,
    paths: list[tuple[list[str | None], int, str]],
    version: int = 1,
    *,
    first: int = 0,
) -> None:
    """One conversion a path, each of its touches with an equal share under every model."""
    n = len(paths)
    touches = [path for path, _, _ in paths]
    times = [NEW_YEAR + dt.timedelta(hours=first + i) for i in range(n)]
    time, label = pa.timestamp("us", "UTC"), pa.list_(pa.string())
    shares = pa.array([[1 / len(path) for _ in path] for path in touches], pa.list_(pa.float64()))
    ids = [
        [uuid.UUID(int=i * 100 + j + 1).bytes for j in range(len(p))] for i, p in enumerate(touches)
    ]
    table = pa.table(
        {
            "app_id": pa.array([app] * n),
            "conversion_id": pa.array(
                [uuid.UUID(int=first + i + 1).bytes for i in range(n)], pa.binary(16)
            ),
            "conversion_time": pa.array(times, time),
            "conversion_name": pa.array(["purchase" if i % 2 else "install" for i in range(n)]),
            "value_micros": pa.array([value for _, value, _ in paths], pa.int64()),
            "currency": pa.array([currency for _, _, currency in paths]),
            "country": pa.array(["DE"] * n),
            "touch_id": pa.array(ids, pa.list_(pa.binary(16))),
            "touch_time": pa.array(
                [[t] * len(p) for t, p in zip(times, touches, strict=True)], pa.list_(time)
            ),
            **{
                name: pa.array(touches, label)
                for name in ("channel", "campaign", "adset", "creative")
            },
            **dict.fromkeys(MODELS, shares),
        }
    )
    constants = [("rule_version", 1), ("version", version)]
    block = _core.native(_core.Batches.read(table), constants)
    warehouse.insert("credits", block, f"{app}-credits-{version}-{first}")


PATHS: list[tuple[list[str | None], int, str]] = [
    (["a", "b", "c"], 10_000_000, "USD"),
    (["a", None], 1, "USD"),
    ([], 3_330_000, "EUR"),
    (["b"], 5_000_000, "EUR"),
]
