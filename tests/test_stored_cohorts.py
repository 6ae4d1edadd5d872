"""Reports over what a warehouse keeps of events: the same as from all events, at any age."""

import datetime as dt
import json
import random
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

pytest.importorskip("chdb")
pytest.importorskip("clickhouse_connect")

import unmogrowp as ug
from clickhouse_over_http import clickhouse
from house import House
from unmogrowp.warehouse import Span
from unmogrowp.warehouse.cohorts import KEYS, cohorts
from unmogrowp.warehouse.users import Interval, users_by_day, users_by_time

pytestmark = pytest.mark.service

APP = "game"
MIDNIGHT = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
INTERVALS: tuple[Interval, ...] = ("day", "week", "month", "total")
MICROSECOND = dt.timedelta(microseconds=1)
SHARED = "AAAAAAAA-0000-4000-8000-00000000000A"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with clickhouse(tmp_path / "clickhouse") as dsn:
        house = House(tmp_path, dsn)
        house.create(APP)
        yield house
        house.close()


def moment(chance: random.Random) -> dt.datetime:
    """Often at a bound of a day, or at the same microsecond as others."""
    day = MIDNIGHT + dt.timedelta(days=chance.randrange(9))
    edge = chance.choice([0, 0, -1, 1, 43_200_000_000, chance.randrange(86_400_000_000)])
    return day + edge * MICROSECOND


def some_event(chance: random.Random, number: int) -> dict[str, object]:
    kind = chance.choice(["open", "open", "buy", "install", "click", "click", "impression", "odd"])
    one: dict[str, object] = {
        # A text would be another id for another app.
        "event_id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        "event_name": kind,
        "timestamp": moment(chance).isoformat(),
        # Few people, some of whom are found to be one another later.
        chance.choice(["user_id", "device_id"]): f"u{chance.randrange(40)}",
    }
    if chance.random() < 0.2:
        one |= {"user_id": f"u{chance.randrange(40)}", "device_id": f"u{chance.randrange(40)}"}
    if kind in {"click", "impression", "odd"}:
        # An install is one even where it calls itself a click.
        one |= {"event_type": "click" if kind == "odd" else kind}
        one |= {"event_name": "install" if kind == "odd" else kind}
        one |= {"source": chance.choice("abc"), "campaign": chance.choice("xy")}
    if kind in {"buy", "odd"} or number % 11 == 0:
        one |= {"revenue": f"{number % 7}.5", "currency": chance.choice(["EUR", "USD"])}
    return one


def of_nobody(chance: random.Random) -> list[dict[str, object]]:
    """A device with too many users, and what it did without one of them."""
    seen = [
        {"event_id": f"s{n}", "event_name": "open", "user_id": f"s{n}", "idfv": SHARED}
        for n in range(51)
    ]
    alone = [{**some_event(chance, n), "event_id": f"n{n}", "idfv": SHARED} for n in range(12)]
    for one in alone:
        one.pop("user_id", None)
        one.pop("device_id", None)
    return [{"timestamp": moment(chance).isoformat(), **one} for one in [*seen, *alone]]


@pytest.mark.parametrize("seed", range(3))
def test_cohorts_equal_the_librarys(house: House, seed: int) -> None:
    chance = random.Random(seed)
    events = [some_event(chance, number) for number in range(500)] + of_nobody(chance)
    chance.shuffle(events)
    for first in range(0, len(events), 100):
        house.send(APP, events[first : first + 100])
        house.attribute()
    own = ug.parse("\n".join(json.dumps(one) for one in events).encode()).events
    bounds = MIDNIGHT + dt.timedelta(days=2), MIDNIGHT + dt.timedelta(days=6)
    for by in KEYS:
        for start, stop in ((None, None), bounds):
            days, lookbacks = [0, 1, 2, 5], ("3d", "1d")
            stored = cohorts(
                house.warehouse, Span(APP, start, stop), by=by, days=days, lookbacks=lookbacks
            )
            click, view = lookbacks
            asked = {"by": by, "days": days, "start": start, "stop": stop}
            made = ug.cohorts(own_order(own), click_lookback=click, view_lookback=view, **asked)
            assert stored.to_pyarrow().to_pylist() == made.to_pyarrow().to_pylist()


def own_order(events: ug.Table) -> pa.Table:
    """As a warehouse reads them: by time and event id, of which the second half counts more."""
    table = events.to_pyarrow()
    times, ids = table["timestamp"].to_pylist(), table["event_id"].to_pylist()
    order = sorted(range(len(table)), key=lambda row: (times[row], ids[row][8:], ids[row][:8]))
    return table.take(order)


def test_touches_at_the_same_time_are_told_apart_by_their_ids(house: House) -> None:
    """They are of two identities of one person, so that neither comes first where they are kept."""

    def born(user: str, early: str, late: str) -> list[dict[str, object]]:
        rest = "0000000-0000-4000-8000-000000000000"
        ad = {"event_name": "ad", "event_type": "click"}
        events = [
            {**ad, "event_id": early + rest, "source": "early", "user_id": user},
            {**ad, "event_id": late + rest, "source": "late", "device_id": user},
            {"event_name": "install", "event_id": user, "user_id": user, "device_id": user},
        ]
        return [{**one, "timestamp": MIDNIGHT.isoformat()} for one in events]

    house.send(APP, [*born("u1", "1", "2"), *born("u2", "4", "3"), *born("u3", "6", "5")])
    house.attribute()
    rows = cohorts(house.warehouse, Span(APP), days=[0]).to_pyarrow().to_pylist()
    # The greater id comes last.
    assert [(row["source"], row["users"]) for row in rows] == [("early", 2), ("late", 1)]


@pytest.mark.parametrize("seed", range(3))
def test_people_seen_on_days_are_those_of_the_events(house: House, seed: int) -> None:
    chance = random.Random(seed)
    events = [some_event(chance, number) for number in range(400)] + of_nobody(chance)
    # The end of one month, another that has none, and the beginning of a third.
    for one in events:
        if chance.random() < 0.5:
            at = dt.datetime.fromisoformat(str(one["timestamp"]))
            one["timestamp"] = (at - dt.timedelta(days=chance.choice([1, 31, 59]))).isoformat()
    for first in range(0, len(events), 100):
        house.send(APP, events[first : first + 100])
        house.attribute()
    bounds = MIDNIGHT - dt.timedelta(days=3), MIDNIGHT + dt.timedelta(days=5)
    with ThreadPoolExecutor(1) as beside:
        for start, stop in ((None, None), bounds, (bounds[0], None), (None, bounds[1])):
            span = Span(APP, start, stop)
            for interval in INTERVALS:
                by_day = users_by_day(house.warehouse, span, interval, beside)()
                assert by_day == users_by_time(house.warehouse, span, interval, "UTC")()
                assert by_day[None] > 9
