"""The warehouse on a real embedded engine: blocks in, the same events and sums out."""

import datetime as dt
import os
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from unmogrowp import _core
from unmogrowp.errors import SinkBusy, SinkRefused

pa = pytest.importorskip("pyarrow")
pytest.importorskip("chdb")
pytest.importorskip("clickhouse_connect")

from stored import (  # noqa: E402
    NEW_YEAR,
    PATHS,
    batch_ids,
    count,
    credit,
    event,
    lines,
    parsed,
    purchase,
    store,
)
from unmogrowp.warehouse import Span, Warehouse, events, schema, turns  # noqa: E402
from unmogrowp.warehouse.attribution import Question, attribution  # noqa: E402
from unmogrowp.warehouse.campaigns import campaigns  # noqa: E402
from unmogrowp.warehouse.overview import overview  # noqa: E402
from unmogrowp.warehouse.rejects import rejects  # noqa: E402

pytestmark = pytest.mark.service


def test_a_block_holds_every_type_and_its_nulls(warehouse: Warehouse) -> None:
    moment = dt.datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=dt.UTC)
    one = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    label = pa.dictionary(pa.int32(), pa.string())
    time = pa.timestamp("us", "UTC")
    table = pa.table(
        {
            "id": pa.array([one.bytes, None], pa.binary(16)),
            "ip": pa.array([bytes(10) + b"\xff\xff\x01\x02\x03\x04", None], pa.binary(16)),
            "sent_at": pa.array([None, moment], time),
            "label": pa.array(["a", None]).dictionary_encode(),
            "text": pa.array([None, "é" * 200]),
            "revenue_micros": pa.array([None, -5], pa.int64()),
            "i64": pa.array([-1, None], pa.int64()),
            "i32": pa.array([-7, 7], pa.int32()),
            "u8": pa.array([255, 0], pa.uint8()),
            "u16": pa.array([65535, 0], pa.uint16()),
            "u32": pa.array([2**32 - 1, 0], pa.uint32()),
            "u64": pa.array([2**64 - 1, 0], pa.uint64()),
            "f": pa.array([0.1, None]),
            "b": pa.array([True, None]),
            "labels": pa.array([["a", None, "a"], []], pa.list_(label)),
            "times": pa.array([[], [moment, moment]], pa.list_(time)),
            "ids": pa.array([[], [one.bytes]], pa.list_(pa.binary(16))),
        }
    )
    types = (
        "id UUID, ip IPv6, sent_at Nullable(DateTime64(6, 'UTC')), label LowCardinality(String), "
        "text String, revenue_micros Nullable(Int64), i64 Int64, i32 Int32, u8 UInt8, u16 UInt16, "
        "u32 UInt32, u64 UInt64, f Float64, b Bool, labels Array(LowCardinality(String)), "
        "times Array(DateTime64(6, 'UTC')), ids Array(UUID)"
    )
    warehouse.command(f"CREATE TABLE every_type ({types}) ENGINE = Memory")
    with warehouse._client() as client:
        block = _core.native(_core.Batches.read(table))
        client.raw_insert("every_type", insert_block=block, fmt="Native")
    first, second = warehouse.rows("SELECT * FROM every_type ORDER BY u8 DESC")
    assert first["id"] == one
    assert str(first["ip"]) in {"1.2.3.4", "::ffff:1.2.3.4", "::ffff:102:304"}
    assert first["sent_at"] is None
    assert [first["label"], first["text"], first["revenue_micros"]] == ["a", "", None]
    assert [first["i64"], first["i32"], first["u8"], first["u16"]] == [-1, -7, 255, 65535]
    assert [first["u32"], first["u64"], first["f"], first["b"]] == [2**32 - 1, 2**64 - 1, 0.1, True]
    assert [first["labels"], first["times"], first["ids"]] == [["a", "", "a"], [], []]
    assert second["id"] == uuid.UUID(int=0)
    assert second["sent_at"].astimezone(dt.UTC) == moment  # type: ignore[attr-defined]
    assert [second["label"], second["text"], second["revenue_micros"]] == ["", "é" * 200, -5]
    assert [second["i64"], second["f"], second["b"]] == [0, 0.0, False]
    assert [second["labels"], second["ids"]] == [[], [one]]


def test_more_labels_than_a_byte_counts_come_back(warehouse: Warehouse, app: str) -> None:
    given = [event("open", i / 60, source=f"s{i}") for i in range(300)]
    store(warehouse, app, *given)
    assert [row["source"] for row in lines(warehouse, Span(app))] == [f"s{i}" for i in range(300)]


def test_the_months_of_a_batch_are_ascending_and_each_block_has_its_own(
    warehouse: Warehouse, app: str
) -> None:
    given = [event("open", 24 * 31), event("open", -1), event("open", 0)]
    assert _core.months(parsed(app, *given).batches) == [202512, 202601, 202602]
    store(warehouse, app, *given)
    assert [row["timestamp"] for row in lines(warehouse, Span(app))] == [
        "2025-12-31T23:00:00.000000Z",
        "2026-01-01T00:00:00.000000Z",
        "2026-02-01T00:00:00.000000Z",
    ]


def test_a_block_is_in_the_order_of_the_table(
    warehouse: Warehouse, app: str, tmp_path: Path
) -> None:
    """So that the engine has nothing to sort; many share an app and an instant."""
    given = [
        {**event("open", number % 7), "app_id": f"{app}-{number % 3}"} for number in range(500)
    ]
    block = tmp_path / "block.native"
    block.write_bytes(_core.native_events(parsed(app, *given).batches, 202601, next(batch_ids)))
    select = f"SELECT toString(event_id) AS id FROM file('{block}', 'Native')"
    as_written = warehouse.rows(f"{select} SETTINGS max_threads = 1")
    assert len(as_written) == 500
    assert as_written == warehouse.rows(f"{select} ORDER BY app_id, timestamp, event_id")


def test_a_token_stores_once_in_base_and_views(warehouse: Warehouse, app: str) -> None:
    table = parsed(app, event("open", 1), event("open", 2, "u2")).batches
    block = _core.native_events(table, 202601, next(batch_ids))
    for _ in range(3):
        warehouse.insert("events", block, f"{app}-token")
    assert count(warehouse, "events", app) == 2
    assert count(warehouse, "rollup_counts", app, "sum(events)") == 2
    assert count(warehouse, "rollup_seen", app) == count(warehouse, "rollup_active", app) == 2


def test_the_first_copy_of_an_event_wins(warehouse: Warehouse, app: str) -> None:
    first = event("open", 1, source="first")
    store(warehouse, app, first)
    store(warehouse, app, {**first, "source": "second"})
    assert [row["source"] for row in lines(warehouse, Span(app))] == ["first"]
    warehouse.command("OPTIMIZE TABLE events FINAL")
    assert [row["source"] for row in lines(warehouse, Span(app))] == ["first"]


def test_what_reports_read_becomes_one_part_at_rest(warehouse: Warehouse, app: str) -> None:
    tables = warehouse.rows("SELECT name, engine_full AS said FROM system.tables")
    said = {str(row["name"]): str(row["said"]) for row in tables}
    for table in schema.MERGED_AT_REST:
        assert "min_age_to_force_merge_seconds = 300" in said[table], table
        assert "max_bytes_to_merge_at_max_space_in_pool" in said[table], table
    for number in range(4):
        store(warehouse, app, event("open", 24 * 400 + number))
    alter = "ALTER TABLE rollup_counts MODIFY SETTING min_age_to_force_merge_seconds ="
    own = "partition = '202702' AND active AND table = 'rollup_counts'"
    parts = f"SELECT count() AS parts FROM system.parts WHERE {own}"
    warehouse.command(f"{alter} 1")
    try:
        deadline = time.monotonic() + 60
        while warehouse.rows(parts) != [{"parts": 1}] and time.monotonic() < deadline:
            time.sleep(0.2)
    finally:
        warehouse.command(f"{alter} 300")
    assert warehouse.rows(parts) == [{"parts": 1}]
    assert count(warehouse, "rollup_counts", app, "sum(events)") == 4


def nice_of(thread: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, thread)


def test_a_thread_that_makes_room_does_so_in_the_engine_and_on_the_processors(
    warehouse: Warehouse,
) -> None:
    def turn() -> list[object]:
        sql = "SELECT getSetting('priority') AS turn"
        queries = [warehouse.rows(sql)[0]["turn"], warehouse.arrow(sql, {})["turn"][0].as_py()]
        return [*queries, nice_of(threading.get_native_id())]

    here = nice_of(threading.get_native_id())
    with ThreadPoolExecutor(1) as other:
        # Whatever the thread asked before.
        assert other.submit(turn).result() == [1, 1, here]
        other.submit(warehouse.give_way).result()
        assert other.submit(turn).result() == [2, 2, here + turns.BEHIND]
    assert turn() == [1, 1, here]


def test_migrating_again_changes_nothing(warehouse: Warehouse, app: str) -> None:
    store(warehouse, app, event("open", 1))
    before = warehouse.rows("SELECT number, name FROM migrations ORDER BY number")
    assert warehouse.migrate() == len(before)
    assert warehouse.rows("SELECT number, name FROM migrations ORDER BY number") == before
    assert count(warehouse, "events", app) == 1


def test_a_directory_is_taken_by_its_name_whatever_is_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "a#b %20 ä"
    folder.mkdir()
    # In a process of its own, since an engine has one directory.
    script = (
        "import sys; from unmogrowp.warehouse import Warehouse\n"
        "with Warehouse('chdb://' + sys.argv[1]) as warehouse: print(warehouse.migrate())"
    )
    command = [sys.executable, "-W", "ignore", "-c", script, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert int(done.stdout) > 0
    assert (folder / "store").is_dir()
    assert list(tmp_path.iterdir()) == [folder]
    with pytest.raises(SinkRefused, match=r"a `\?` in the directory"):
        Warehouse(f"chdb://{tmp_path}/a?b")


def test_a_newer_warehouse_is_refused(warehouse: Warehouse) -> None:
    warehouse.command("INSERT INTO migrations (number, name) VALUES (999, 'from the future')")
    try:
        with pytest.raises(SinkRefused, match="version `999`"):
            warehouse.migrate()
    finally:
        warehouse.command(
            "ALTER TABLE migrations DELETE WHERE number = 999 SETTINGS mutations_sync = 2"
        )


def test_ndjson_shows_what_was_sent(warehouse: Warehouse, app: str) -> None:
    properties = {"n": 12345678901234567890123, "a.b": {"c": [1, "x/y\n"]}}
    given = event(
        "purchase",
        1.5,
        revenue="-12.340001",
        currency="usd",
        ip="1.2.3.4",
        source='quo"te/s',
        idfa="00112233-4455-6677-8899-AABBCCDDEEFF",
        properties=properties,
    )
    store(warehouse, app, given)
    assert lines(warehouse, Span(app)) == [
        {
            "event_id": given["event_id"],
            "app_id": app,
            "event_name": "purchase",
            "event_type": "purchase",
            "user_id": "u1",
            "idfa": "00112233-4455-6677-8899-aabbccddeeff",
            "timestamp": "2026-01-01T01:30:00.000000Z",
            "source": 'quo"te/s',
            "ip": "1.2.3.4",
            "revenue": "-12.340001",
            "currency": "USD",
            "properties": properties,
        }
    ]


def test_pages_join_into_the_whole_in_order(
    warehouse: Warehouse, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [event("open", i // 5, f"u{i}") for i in range(23)]
    store(warehouse, app, *given)
    whole = lines(warehouse, Span(app))
    monkeypatch.setattr(events, "PAGE_ROWS", 4)
    assert lines(warehouse, Span(app)) == whole
    assert len(whole) == 23
    assert lines(warehouse, Span(app), limit=9) == whole[:9]
    assert lines(warehouse, Span(app), limit=8) == whole[:8]
    assert lines(warehouse, Span(app), limit=0) == []


def test_arrow_and_parquet_hold_the_canonical_columns(
    warehouse: Warehouse, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(events, "PAGE_ROWS", 2)
    given = [purchase(i, f"u{i}", "1.5") for i in range(5)]
    store(warehouse, app, *given)
    stream = b"".join(events.stream(warehouse, Span(app), fmt="arrow"))
    table = pa.ipc.open_stream(stream).read_all()
    file = b"".join(events.stream(warehouse, Span(app), fmt="parquet"))
    assert pq.read_table(pa.BufferReader(file)).equals(table)
    assert table.column_names == list(parsed(app, *given).schema)
    assert table["revenue_micros"].to_pylist() == [1_500_000] * 5
    assert table["source"].to_pylist() == [None] * 5
    ids = [uuid.UUID(str(one["event_id"])).bytes for one in given]
    assert table["event_id"].to_pylist() == ids


def test_csv_has_a_header_and_a_line_per_event(warehouse: Warehouse, app: str) -> None:
    store(warehouse, app, purchase(1, "u1", "0.5"), event("open", 2))
    header, *rest = b"".join(events.stream(warehouse, Span(app), fmt="csv")).decode().splitlines()
    assert header.startswith("event_id,app_id,event_name,")
    first = dict(zip(header.split(","), rest[0].split(","), strict=True))
    assert [first["revenue"], first["source"]] == ['"0.50"', '""']
    assert len(rest) == 2


def test_a_range_is_half_open_and_a_name_filters(warehouse: Warehouse, app: str) -> None:
    store(warehouse, app, event("a", 1), event("b", 2), event("a", 3))
    span = Span(app, NEW_YEAR + dt.timedelta(hours=1), NEW_YEAR + dt.timedelta(hours=3))
    assert [row["event_name"] for row in lines(warehouse, span)] == ["a", "b"]
    assert len(lines(warehouse, Span(app), event_name="a")) == 2


def test_rejects_show_reason_and_bytes(warehouse: Warehouse, app: str) -> None:
    now = dt.datetime.now(dt.UTC).replace(microsecond=123456)
    table = pa.table(
        {
            "app_id": pa.array([app, app]),
            "received_at": pa.array([now, now], pa.timestamp("us", "UTC")),
            "index": pa.array([1, 0], pa.uint32()),
            "event_id": pa.array([None, "x"]),
            "code": pa.array(["invalid_utf8", "invalid_json"]),
            "field": pa.array([None, "source"]),
            "message": pa.array(["m1", "m0"]),
            "raw": pa.array([b"\xff{", b"{"], pa.binary()),
        }
    )
    warehouse.insert("rejects", _core.native(_core.Batches.read(table)), f"{app}-rejects")
    first, second = rejects(warehouse, Span(app))
    assert [first["index"], first["event_id"], first["field"], first["raw"]] == [
        0,
        "x",
        "source",
        "{",
    ]
    assert first["raw_base64"] is None
    assert [second["code"], second["raw_base64"]] == ["invalid_utf8", "/3s="]
    assert rejects(warehouse, Span(app), limit=1) == [first]
    assert rejects(warehouse, Span("another")) == []


def test_rollups_equal_the_events_after_inserts_and_after_a_rebuild(
    warehouse: Warehouse, app: str
) -> None:
    for round_ in range(3):
        batch = [purchase(i * 7 + round_, f"u{i % 4}", f"{i}.25") for i in range(20)]
        store(warehouse, app, *batch, event("open", 1000 + round_, "u9"))
    exact = (
        count(warehouse, "events", app),
        count(warehouse, "events", app, "sum(revenue_micros)"),
    )

    def rolled() -> tuple[int, int]:
        events_ = count(warehouse, "rollup_counts", app, "sum(events)")
        return events_, count(warehouse, "rollup_counts", app, "sum(revenue_micros)")

    users = "uniqExact(toDate(timestamp, 'UTC'), event_name, identity)"
    met = count(warehouse, "events", app, users)
    assert rolled() == exact
    warehouse.rebuild_rollups()
    assert rolled() == exact
    assert count(warehouse, "rollup_seen", app, "sum(bitCount(days))") == met
    assert count(warehouse, "rollup_earned", app, "sum(micros)") == exact[1]
    days = "uniqExact(identity, toDate(timestamp, 'UTC'))"
    assert count(warehouse, "rollup_active", app) == count(warehouse, "events", app, days)
    store(warehouse, app, event("open", 5000))
    assert rolled() == (exact[0] + 1, exact[1])


def test_the_overview_counts_people_once_and_money_by_currency(
    warehouse: Warehouse, app: str
) -> None:
    store(
        warehouse,
        app,
        event("open", 1, "u1"),
        event("open", 2, "u1"),
        event("open", 30, "u2"),
        purchase(3, "u1", "1.10"),
        purchase(4, "u2", "2.205", "EUR"),
    )
    answer = overview(warehouse, Span(app))
    assert answer["total"] == {
        "events": 5,
        "users": 2,
        "revenue": {"EUR": "2.205", "USD": "1.10"},
    }
    keys = ("time", "event_name", "events", "users", "revenue", "currency")
    assert [tuple(row[key] for key in keys) for row in answer["rows"]] == [
        ("2026-01-01T00:00:00Z", "open", 2, 1, None, None),
        ("2026-01-01T00:00:00Z", "purchase", 1, 2, "2.205", "EUR"),
        ("2026-01-01T00:00:00Z", "purchase", 1, 2, "1.10", "USD"),
        ("2026-01-02T00:00:00Z", "open", 1, 1, None, None),
    ]


def test_rollups_and_events_give_the_same_overview(warehouse: Warehouse, app: str) -> None:
    given = [
        purchase(i * 5.01, f"u{i % 7}", f"{i}.01", "USD" if i % 3 else "EUR") for i in range(60)
    ]
    store(warehouse, app, *given)
    edge = NEW_YEAR + dt.timedelta(days=365)
    by_rollup = Span(app, NEW_YEAR, edge)
    by_events = Span(app, NEW_YEAR, edge + dt.timedelta(microseconds=1))
    for interval in ("hour", "day", "week", "month", "total"):
        for tz in ("UTC", "Asia/Kathmandu"):
            fast = overview(warehouse, by_rollup, interval=interval, tz=tz)
            assert fast == overview(warehouse, by_events, interval=interval, tz=tz)
            assert sum(row["events"] for row in fast["rows"]) == 60


def test_days_of_a_zone_begin_at_its_midnight(warehouse: Warehouse, app: str) -> None:
    store(warehouse, app, event("open", 1))
    rows = overview(warehouse, Span(app), tz="America/New_York")["rows"]
    assert [row["time"] for row in rows] == ["2025-12-31T00:00:00-05:00"]
    assert [row["time"] for row in overview(warehouse, Span(app), interval="total")["rows"]] == [
        None
    ]


def test_linked_identities_are_one_user(warehouse: Warehouse, app: str) -> None:
    store(warehouse, app, event("open", 1, "u1"), event("open", 2, "u2"))
    known = warehouse.rows(
        "SELECT DISTINCT toString(identity) AS identity FROM events WHERE app_id = {app:String} "
        "ORDER BY identity",
        {"app": app},
    )
    one, two = (uuid.UUID(str(row["identity"])).bytes for row in known)
    table = pa.table(
        {
            "app_id": pa.array([app]),
            "identity": pa.array([two], pa.binary(16)),
            "person": pa.array([one], pa.binary(16)),
        }
    )
    block = _core.native(_core.Batches.read(table), [("version", 1)])
    warehouse.insert("persons", block, f"{app}-persons")
    assert overview(warehouse, Span(app))["total"]["users"] == 1


def test_identities_that_belong_to_nobody_are_counted_each(warehouse: Warehouse, app: str) -> None:
    ids = [{"user_id": None, "device_id": f"shared{n}"} for n in range(3)]
    store(warehouse, app, event("open", 1), *(event("open", 2, **one) for one in ids))
    known = warehouse.rows(
        "SELECT DISTINCT app_id, identity FROM events WHERE app_id = {app:String}"
        " AND device_id != ''",
        {"app": app},
    )
    table = pa.table(
        {
            "app_id": pa.array([app] * 3),
            "identity": pa.array([row["identity"].bytes for row in known], pa.binary(16)),
            "person": pa.array([None] * 3, pa.binary(16)),
        }
    )
    block = _core.native(_core.Batches.read(table), [("version", 1)])
    warehouse.insert("persons", block, f"{app}-persons")
    assert overview(warehouse, Span(app))["total"]["users"] == 4


def test_a_bound_beyond_every_event_bounds_nothing(warehouse: Warehouse, app: str) -> None:
    store(warehouse, app, event("open", 1))
    ends = dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)
    assert len(lines(warehouse, Span(app, *ends))) == 1
    assert overview(warehouse, Span(app, *ends))["total"]["events"] == 1


def test_another_apps_rows_never_show(warehouse: Warehouse, app: str) -> None:
    other = f"{app}-other"
    store(warehouse, other, purchase(1, "u1", "1"), event("open", 2))
    credit(warehouse, other, PATHS)
    span = Span(app)
    assert lines(warehouse, span) == []
    assert overview(warehouse, span) == {
        "rows": [],
        "total": {"events": 0, "users": 0, "revenue": {}},
    }
    assert attribution(warehouse, span, Question(1))["rows"] == []
    assert campaigns(warehouse, span, Question(1))["rows"] == []


def test_what_is_wrong_is_refused_and_what_may_pass_is_busy(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    with pytest.raises(SinkRefused, match="the warehouse refused"):
        warehouse.rows("SELECT nothing FROM nowhere")
    with pytest.raises(SinkRefused, match="no table `users`"):
        warehouse.insert("users", b"", "t")
    with pytest.raises(SinkRefused, match="the warehouse refused"):
        warehouse.insert("events", b"\x01\x01\x01x\x06UInt64", "broken")
    with pytest.raises(SinkBusy, match="the warehouse is busy"):
        warehouse.rows(
            "SELECT groupArray(number) FROM numbers(1e7) SETTINGS max_memory_usage = 1e6"
        )
    with pytest.raises(SinkRefused, match="unknown warehouse `mysql://x`"):
        Warehouse("mysql://x")
    closed = Warehouse(f"chdb://{tmp_path}")
    closed.close()
    with pytest.raises(SinkRefused, match="closed"):
        closed.rows("SELECT 1")
