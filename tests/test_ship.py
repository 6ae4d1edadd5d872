"""Out of the spool into the warehouse: each event once, wherever the process was killed."""

import itertools
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from unmogrowp import _core

pytest.importorskip("chdb")
pytest.importorskip("clickhouse_connect")

from house import body_of, make_durable
from stored import count, event
from unmogrowp.pipeline import ship
from unmogrowp.pipeline.ship import Shipper
from unmogrowp.pipeline.state import JOINED, SCHEMA, Applied, State
from unmogrowp.warehouse import Warehouse

pytestmark = pytest.mark.service

SEGMENT_HEAD_BYTES = 64


class Dock:
    """A spool, what is remembered of it, and the warehouse."""

    def __init__(self, home: Path, warehouse: Warehouse, app: str) -> None:
        self.app, self.warehouse = app, warehouse
        self.spool, self.memory = home / "spool", home / "store.db"
        self.intake = _core.Intake(self.spool, segment_bytes=1_000)
        self.reader = _core.SpoolReader(self.spool)
        self._tokens = itertools.count(1)
        self.state = State(self.memory)
        self.shipper = Shipper(self.spool, warehouse, self.state)

    def reopen(self) -> None:
        """As after a kill."""
        self.close_shipper()
        self.state = State(self.memory)
        self.shipper = Shipper(self.spool, self.warehouse, self.state)

    def send(self, *events: dict[str, object]) -> None:
        answer = make_durable(self.intake, next(self._tokens), self.app, body_of(list(events)))
        assert answer["received"] == len(events)

    def ship(self) -> int:
        """Ship all; how many batches that took."""
        batches = 0
        while self.shipper.ship_once():
            batches += 1
        return batches

    def stored(self) -> int:
        return count(self.warehouse, "events", self.app)

    def forget_that_it_is_done(self) -> None:
        """As if the process had been killed between the insert and its note."""
        with sqlite3.connect(self.memory) as memory:
            memory.execute("update batches set is_done = 0")
        self.reopen()

    def close_shipper(self) -> None:
        self.shipper.close()
        self.state.close()


@pytest.fixture
def dock(tmp_path: Path, warehouse: Warehouse, app: str) -> Iterator[Dock]:
    made = Dock(tmp_path, warehouse, app)
    yield made
    made.close_shipper()
    made.intake.close()


def test_what_waits_is_counted_to_the_byte(dock: Dock) -> None:
    nowhere = Shipper(dock.spool / "nowhere", dock.warehouse, dock.state)
    assert nowhere.lag_bytes() == 0
    assert not nowhere.ship_once()
    nowhere.close()
    assert dock.ship() == 0
    assert dock.shipper.lag_bytes() == 0
    dock.send(event("open", 1))
    segment, first = dock.reader.durable() or (0, 0)
    assert (segment, dock.shipper.lag_bytes()) == (1, first)
    assert dock.ship() == 1
    assert dock.shipper.lag_bytes() == 0
    dock.send(event("open", 2))
    assert dock.shipper.lag_bytes() == (dock.reader.durable() or (0, 0))[1] - first
    for hour in range(20):
        dock.send(event("open", hour))
    segment, offset = dock.reader.durable() or (0, 0)
    assert segment > 2
    sealed = [path.stat().st_size for path in sorted(dock.spool.glob("*.segment"))[:-1]]
    assert dock.shipper.lag_bytes() == sum(sealed) - first + offset
    dock.ship()
    assert (dock.shipper.lag_bytes(), dock.stored()) == (0, 22)


def test_of_a_new_segment_something_waits_and_of_a_drained_one_nothing(dock: Dock) -> None:
    for hour in range(9):
        dock.send(event("open", hour))
    dock.ship()
    dock.reopen()
    # Until it looked, it cannot know that a head is all there is.
    assert dock.shipper.lag_bytes() in {0, SEGMENT_HEAD_BYTES}
    assert dock.ship() == 0
    assert dock.shipper.lag_bytes() == 0


def test_a_batch_in_doubt_is_inserted_by_its_own_bounds(dock: Dock) -> None:
    for hour in range(3):
        dock.send(event("open", hour), event("open", hour + 0.5))
    # Ids of events are a frame of their own.
    batch = dock.reader.next(None, rows_max=2)
    assert batch is not None
    dock.state.begin_batch(batch.first, batch.last)
    dock.reopen()
    assert dock.shipper.ship_once()
    assert dock.stored() == 2
    done = dock.state.last_batch()
    assert done is not None
    assert (done.id, done.first, done.last) == (1, batch.first, batch.last)
    assert dock.reader.shipped() == batch.last
    assert dock.ship() == 1
    assert dock.stored() == 6


def test_all_is_what_is_durable_now_and_in_many_batches(
    dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship, "ROWS_MAX", 1)
    dock.shipper.ship_all()
    for hour in range(3):
        dock.send(event("open", hour))
    late = iter(range(3, 6))
    once = dock.shipper.ship_once

    def meanwhile() -> bool:
        dock.send(event("open", next(late)))
        return once()

    monkeypatch.setattr(dock.shipper, "ship_once", meanwhile)
    dock.shipper.ship_all()
    assert (dock.stored(), next(late, None)) == (3, None)


def test_rows_have_the_id_of_their_batch_where_ids_were_raised(dock: Dock) -> None:
    dock.state.raise_batch_id(41)
    dock.send(event("open", 1))
    dock.ship()
    done = dock.state.last_batch()
    assert done is not None
    query = "SELECT batch_id FROM events WHERE app_id = {app:String}"
    assert dock.warehouse.rows(query, {"app": dock.app}) == [{"batch_id": 42}]
    assert done.id == 42


def test_something_waits_behind_a_segment_that_is_gone(dock: Dock) -> None:
    for hour in range(9):
        dock.send(event("open", hour))
    dock.state.finish_batch(dock.state.begin_batch((1, 64), (1, 10**6)))
    for path in sorted(dock.spool.glob("*.segment"))[:-1]:
        path.unlink()
    assert dock.shipper.lag_bytes() == 1


def test_an_insert_that_was_not_noted_stores_nothing_again(dock: Dock) -> None:
    dock.send(event("open", 1), event("open", 24 * 40), {"event_name": 5})
    for _ in range(3):
        assert dock.ship() == 1
        assert (dock.stored(), count(dock.warehouse, "rejects", dock.app)) == (2, 1)
        dock.forget_that_it_is_done()


def test_repaired_is_what_the_warehouse_lost(dock: Dock) -> None:
    dock.send(event("open", 1), event("open", 2))
    dock.ship()
    dock.shipper.ship_again()
    assert (dock.state.counter("repairs"), dock.stored()) == (1, 2)
    lost = f"ALTER TABLE events DELETE WHERE app_id = '{dock.app}' SETTINGS mutations_sync = 2"
    dock.warehouse.command(lost)
    dock.forget_that_it_is_done()
    dock.shipper.ship_again()
    assert (dock.state.counter("repairs"), dock.stored()) == (2, 2)
    # Under the token of now it is known.
    dock.forget_that_it_is_done()
    assert (dock.ship(), dock.stored()) == (1, 2)


@pytest.mark.parametrize("ahead_bytes_min", [0, 1, 10**9])
def test_what_is_made_ahead_is_what_would_have_been_made(
    dock: Dock, monkeypatch: pytest.MonkeyPatch, ahead_bytes_min: int
) -> None:
    monkeypatch.setattr(ship, "AHEAD_BYTES_MIN", ahead_bytes_min)
    monkeypatch.setattr(ship, "ROWS_MAX", 2)
    for hour in range(7):
        dock.send(event("open", hour), event("open", hour + 0.5))
    made: list[int] = []
    threads: set[str] = set()
    after = Shipper._after

    def counted(self: Shipper, position: tuple[int, int] | None, batch_id: int) -> object:
        made.append(batch_id)
        threads.add(threading.current_thread().name)
        return after(self, position, batch_id)

    monkeypatch.setattr(Shipper, "_after", counted)
    assert dock.ship() == 7
    assert dock.stored() == 14
    query = "SELECT batch_id, count() AS rows FROM events WHERE app_id = {app:String} GROUP BY ALL"
    rows = dock.warehouse.rows(f"{query} ORDER BY batch_id", {"app": dock.app})
    assert [(row["batch_id"], row["rows"]) for row in rows] == [(n, 2) for n in range(1, 8)]
    # Each was made once, ahead or not; behind the last there was nothing.
    assert sorted(made)[:8] == list(range(1, 9))
    assert set(made[8:]) <= {8}
    is_ahead = any(name.startswith("ship-ahead") for name in threads)
    assert is_ahead == (ahead_bytes_min < 10**9)


def test_what_was_made_ahead_of_another_batch_is_made_anew(
    dock: Dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship, "AHEAD_BYTES_MIN", 1)
    monkeypatch.setattr(ship, "ROWS_MAX", 1)
    for hour in range(4):
        dock.send(event("open", hour))
    assert dock.shipper.ship_once()
    # Somebody else shipped the next one meanwhile.
    other = Shipper(dock.spool, dock.warehouse, dock.state)
    assert other.ship_once()
    other.close()
    assert dock.ship() == 2
    assert dock.stored() == 4


@pytest.mark.parametrize(
    "known",
    [
        "insert into counters values ('version', 7)",
        "insert into batches values (1, 1, 64, 1, 100, 0)",
    ],
)
def test_a_memory_of_before_there_were_origins_goes_on_under_its_names(
    tmp_path: Path, known: str
) -> None:
    path = tmp_path / "store.db"
    with sqlite3.connect(path) as memory:
        memory.executescript(SCHEMA)
        memory.execute(known)
    old = State(path)
    assert (old.origin, old.token("a-1"), old.counter(JOINED)) == (0, "a-1", 1)
    old.renew()
    assert (old.token("a-1"), old.counter(JOINED)) == (f"{old.origin:x}.a-1", 0)
    old.set_counter("version", 7)
    new = State(tmp_path / "new.db")
    assert new.origin not in {0, old.origin}
    old.raise_counter("version", 5)
    new.raise_counter("version", 5)
    assert [old.next("version"), new.next("version")] == [8, 6]
    for state in (old, new):
        state.raise_batch_id(41)
        assert state.begin_batch((1, 64), (1, 100)).id == 42
        state.raise_batch_id(3)
        assert state.begin_batch((1, 100), (1, 200)).id == 43
        state.close()


def test_the_memory_of_the_pipeline(tmp_path: Path) -> None:
    state = State(tmp_path / "store.db")
    assert (state.open_batch(), state.last_batch()) == (None, None)
    one = state.begin_batch((1, 64), (1, 100))
    two = state.begin_batch((1, 100), (2, 70))
    assert (one.id, one.first, one.last) == (1, (1, 64), (1, 100))
    assert (state.open_batch(), state.last_batch()) == (one, None)
    state.finish_batch(one)
    assert (state.open_batch(), state.last_batch()) == (two, one)
    state.finish_batch(two)
    assert (state.open_batch(), state.last_batch()) == (None, two)
    assert state.begin_batch((2, 70), (2, 90)).id == 3
    assert state.counter("x") == 0
    assert [state.next("x"), state.next("x"), state.next("y")] == [1, 2, 1]
    state.set_counter("x", 9)
    assert (state.counter("x"), state.next("x")) == (9, 10)
    assert state.applied("a") is None
    state.apply("a", Applied('{"cut": ["user_id:u1"]}', 1))
    state.apply("a", Applied("{}", 2))
    state.apply("b", Applied('{"cut": ["user_id:u1"]}', 3))
    state.close()
    again = State(tmp_path / "store.db")
    assert again.applied("a") == Applied("{}", 2)
    kept = again.applied("b")
    assert kept is not None
    assert (kept.rule_version, kept.cut) == (3, ["user_id:u1"])
    assert (again.counter("x"), again.last_batch()) == (10, two)
    again.close()
