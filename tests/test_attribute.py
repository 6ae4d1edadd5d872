"""The incremental job round by round, on a ClickHouse that can be hurt from outside."""

import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("chdb")
pytest.importorskip("clickhouse_connect")

import unmogrowp as ug
from clickhouse_over_http import clickhouse
from house import House
from serving import event
from unmogrowp.errors import SinkBusy, SinkRefused
from unmogrowp.pipeline import attribute, ship
from unmogrowp.pipeline.state import State

pytestmark = pytest.mark.service

HOUR_MS = 3_600_000
SHARED_USERS_MAX = 50


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with clickhouse(tmp_path / "clickhouse") as dsn:
        opened = House(tmp_path, dsn)
        opened.create("app")
        yield opened
        opened.close()


def click(number: int, source: str, **more: object) -> dict[str, object]:
    return event(number, event_name="ad", event_type="click", source=source, **more)


def at(hours: int) -> dict[str, object]:
    return {"timestamp": 1_790_000_000_000 + hours * HOUR_MS}


Cuts = Iterable[tuple[str, str]]


def journeys_of(events: list[dict[str, object]], app: str, cuts: Cuts = ()) -> ug.Journeys:
    """Those of the same events at rest."""
    body = "\n".join(json.dumps({**one, "app_id": app}) for one in events).encode()
    return ug.journeys(ug.parse(body).events, conversion=["install", "purchase"], cut=cuts)


def paths_of(
    events: list[dict[str, object]], app: str, cuts: Cuts = ()
) -> dict[tuple[str | None, ...], tuple[int, int]]:
    """How often each path converted, and how often not, as the library counts."""
    table = journeys_of(events, app, cuts).to_paths()
    columns = [table.column(name).to_pylist() for name in ("path", "conversions", "nulls")]
    return {tuple(path): (won, lost) for path, won, lost in zip(*columns, strict=True)}


def by_library(events: list[dict[str, object]], app: str) -> tuple[dict[str | None, float], float]:
    """The credit that the library computes from the same events at rest."""
    table = ug.compare(journeys_of(events, app), [ug.Linear()])
    channels = table.column("channel").to_pylist()
    shares = table.column("linear_conversions").to_pylist()
    rows = dict(zip(channels, shares, strict=True))
    alone = rows.pop("(unattributed)")
    return {name: share for name, share in rows.items() if share}, alone


def household(users: int) -> list[dict[str, object]]:
    """People who share one device: a touch with it each, an install without it."""
    touches = [
        click(n, f"s{n}", user_id=f"u{n}", device_id="tablet", **at(n)) for n in range(users)
    ]
    installs = [
        event(100 + n, event_name="install", user_id=f"u{n}", **at(100)) for n in range(users)
    ]
    return touches + installs


def break_off(house: House) -> None:
    """Let a round fail where credit is written, and start anew as after a kill."""
    house.warehouse.command("RENAME TABLE credits TO hidden")
    with pytest.raises(SinkRefused):
        house.pipeline.attribute_once()
    house.reopen()
    house.warehouse.command("RENAME TABLE hidden TO credits")


def test_a_round_says_whether_there_was_anything_to_do(house: House) -> None:
    idle = {"lag_bytes": 0, "unattributed_batches": 0}
    house.ship()
    house.attribute()
    assert house.pipeline.status() == idle
    # A round takes five batches.
    for number in range(7):
        house.send("app", [click(number, "meta", user_id="ana", **at(number))])
    assert house.pipeline.status() == idle | {"unattributed_batches": 7}
    assert house.pipeline.attribute_once()
    assert house.pipeline.status() == idle | {"unattributed_batches": 2}
    assert house.pipeline.attribute_once()
    assert house.pipeline.status() == idle
    assert not house.pipeline.attribute_once()


def test_a_round_that_broke_off_is_finished_to_the_librarys_credit(house: House) -> None:
    house.send("app", household(SHARED_USERS_MAX))
    house.attribute()
    together, _ = house.credit("app")
    assert together["s0"] == pytest.approx(1 / SHARED_USERS_MAX)
    # One more user makes the device nobody's: everyone becomes a person of their own.
    house.send("app", [event(500, user_id="late", device_id="tablet", **at(200))])
    break_off(house)
    house.attribute()
    assert house.paths("app") == paths_of(house.sent, "app")
    rows, alone = house.credit("app")
    expected, unattributed = by_library(house.sent, "app")
    assert expected == dict.fromkeys((f"s{n}" for n in range(SHARED_USERS_MAX)), 1.0)
    assert rows == pytest.approx(expected)
    assert alone == unattributed


def test_who_is_who_is_read_anew_part_by_part(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As whoever is started does: nobody is left out at the ends of a part."""
    # Twice, so that some stand in the warehouse more than once.
    for first in (0, 100):
        house.send("app", [click(first + n, f"s{n}", user_id=f"u{n}", **at(n)) for n in range(40)])
        house.attribute()
    monkeypatch.setattr(attribute, "IDENTITIES_MAX", 3)
    house.reopen()
    installs = [event(200 + n, event_name="install", user_id=f"u{n}", **at(99)) for n in range(20)]
    pairs = [(f"u{n}", f"device-{n % 20}") for n in range(40)]
    links = [event(300 + n, user_id=u, device_id=d, **at(90)) for n, (u, d) in enumerate(pairs)]
    house.send("app", installs + links)
    house.attribute()
    expected = by_library(house.sent, "app")
    assert set(expected[0].values()) == {0.5}, "each has the touches of two"
    assert house.credit("app") == expected


def test_a_round_whose_work_tables_were_lost_is_done_again(house: House) -> None:
    house.send("app", [click(1, "meta", user_id="ana", **at(1))])
    house.attribute()
    house.send("app", [event(2, event_name="install", user_id="ana", **at(2))])
    # A server that is started anew has empty tables in memory: this one forgets what is older.
    house.warehouse.command("RENAME TABLE marks TO hidden")
    forgetful = "ENGINE = Memory SETTINGS min_rows_to_keep = 0, max_rows_to_keep = 1"
    house.warehouse.command(f"CREATE TABLE marks AS hidden {forgetful}")
    with pytest.raises(SinkBusy, match="started anew"):
        house.pipeline.attribute_once()
    house.warehouse.command("DROP TABLE marks")
    house.warehouse.command("RENAME TABLE hidden TO marks")
    assert house.pipeline.status()["unattributed_batches"] == 1
    house.attribute()
    assert house.pipeline.status()["unattributed_batches"] == 0
    assert house.credit("app") == ({"meta": 1.0}, 0)


def test_what_waits_is_late_once_there_is_much_of_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attribute, "PATIENT_BATCHES_MAX", 1)
    for number, is_late in [(1, False), (2, True)]:
        house.send("app", [click(number, "meta", user_id="ana", **at(number))])
        assert house.pipeline.is_attributing_late() == is_late
    house.attribute()
    assert not house.pipeline.is_attributing_late()
    house.send("app", [click(3, "meta", user_id="ana", **at(3))], is_shipped=False)
    assert not house.pipeline.is_shipping_late()
    monkeypatch.setattr(ship, "PATIENT_BYTES_MAX", 0)
    assert house.pipeline.is_shipping_late()
    house.pipeline.ship_once()
    assert not house.pipeline.is_shipping_late()


def test_an_app_the_catalog_does_not_know_holds_nobody_up(house: House) -> None:
    house.send("ghost", [click(1, "meta", user_id="ana", **at(1))])
    house.send("app", [event(2, event_name="install", user_id="ana", **at(2))])
    house.attribute()
    assert house.credit("app") == ({}, 1)
    house.create("ghost")
    house.send("ghost", [event(3, event_name="install", user_id="ana", **at(3))])
    house.attribute()
    assert house.credit("ghost") == ({"meta": 1.0}, 0)


def cut(house: House, text: str) -> None:
    house.pipeline.catalog.set_app("app", {"cut": text})


def test_an_id_that_is_cut_links_nobody_until_it_is_not(house: House) -> None:
    """Three people on the tablet of a shop; what comes later follows the same rule."""
    house.send("app", household(3))
    house.attribute()
    assert house.paths("app") == paths_of(house.sent, "app")
    cut(house, "device_id:tablet,user_id:nobody, here")
    house.attribute()
    assert house.paths("app") == paths_of(house.sent, "app", [("device_id", "tablet")])
    # Somebody new on the tablet, and after a restart somebody else.
    for number, user in enumerate(("new", "other")):
        house.send("app", [click(800 + number, user, user_id=user, device_id="tablet", **at(300))])
        installed = event(900 + number, event_name="install", user_id=user, **at(301))
        house.send("app", [installed])
        house.attribute()
        house.reopen()
    apart = paths_of(house.sent, "app", [("device_id", "tablet")])
    assert apart["new",] == apart["other",] == (1, 0)
    assert house.paths("app") == apart
    cut(house, "none")
    house.attribute()
    assert house.paths("app") == paths_of(house.sent, "app") != apart


def test_a_cut_that_broke_off_is_made_whole(house: House) -> None:
    house.send("app", household(4))
    house.attribute()
    cut(house, "device_id:tablet")
    break_off(house)
    house.attribute()
    assert house.paths("app") == paths_of(house.sent, "app", [("device_id", "tablet")])


def test_what_one_app_cuts_links_in_another(house: House) -> None:
    house.create("second")
    cut(house, "device_id:tablet")
    for app in ("app", "second"):
        house.send(app, household(3))
    house.attribute()
    sent = house.sent_to["app"]
    assert house.paths("app") == paths_of(sent, "app", [("device_id", "tablet")])
    assert house.paths("second") == paths_of(sent, "second")


def journal(choice: random.Random) -> list[dict[str, object]]:
    """Touches and conversions of people with several ids, all at different times."""
    events = []
    for n in range(1_200):
        kind = choice.choice(["ad", "ad", "install", "purchase", "open"])
        owner = choice.randrange(80)
        ids = [{"user_id": f"u{owner}"}, {"user_id": None, "device_id": f"d{owner}"}]
        both = {"user_id": f"u{owner}", "device_id": f"d{owner}"}
        fields: dict[str, object] = choice.choice([*ids, *ids, both]) | at(n)
        if kind == "ad":
            events.append(click(n, choice.choice("abc"), **fields))
        else:
            events.append(event(n, event_name=kind, **fields))
    return events


def test_credit_is_the_same_bytes_for_any_order_and_batches_of_arrival(house: House) -> None:
    choice = random.Random(9)
    events = journal(choice)
    answers = []
    for batches in (1, 6):
        app = f"app{batches}"
        house.create(app)
        shuffled = choice.sample(events, len(events)) if batches > 1 else events
        for batch in range(batches):
            house.send(app, shuffled[batch::batches])
            house.attribute()
            assert house.paths(app) == paths_of(house.sent_to[app], app)
        answers.append(house.credit(app))
    assert answers[0] == answers[1]
    expected, alone = by_library(events, "any")
    assert answers[0] == (pytest.approx(expected), alone)


def test_open_journeys_follow_who_is_who(house: House) -> None:
    """Whoever joins somebody, converts late or is no longer anybody leaves no journey behind."""
    steps: list[list[dict[str, object]]] = [
        [click(1, "a", device_id="d", **at(0)), click(2, "b", user_id="u", **at(1))],
        # A gap that no lookback spans makes two journeys of one person.
        [click(3, "c", user_id="u", **at(1_000))],
        # The two were one all along: the first two touches become one journey.
        [event(4, event_name="open", user_id="u", device_id="d", **at(1_001))],
        # A late install takes the first journey away, and the second moves up.
        [event(5, event_name="install", user_id="u", **at(2))],
        [event(6, event_name="install", user_id="u", **at(1_002))],
    ]
    seen = []
    for step in steps:
        house.send("app", step)
        house.attribute()
        seen.append(house.paths("app"))
        assert seen[-1] == paths_of(house.sent, "app")
    assert seen[2] == {("a", "b"): (0, 1), ("c",): (0, 1)}
    assert seen[-1] == {("a", "b"): (1, 0), ("c",): (1, 0)}


def test_open_journeys_are_made_again_where_a_former_version_kept_none(house: House) -> None:
    house.send("app", [click(1, "a", user_id="u", **at(0))])
    house.attribute()
    before = house.pipeline.applied("app")
    house.warehouse.command("TRUNCATE TABLE opens")
    state = State(house.home / "store.db")
    state.set_counter("kept app", 0)
    state.close()
    assert not house.pipeline.has_opens("app")
    house.attribute()
    assert house.pipeline.has_opens("app")
    assert house.paths("app") == {("a",): (0, 1)}
    assert house.pipeline.applied("app") != before
