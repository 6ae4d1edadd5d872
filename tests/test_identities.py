"""`ug.identities`: whose each id is and why, whatever the order of events."""

import datetime as dt
import random

import pytest

import unmogrowp as ug
from event_tables import START, event, events_of
from unmogrowp import _core

pa = pytest.importorskip("pyarrow")

SHARED_USERS_MAX = 50
HOUR = dt.timedelta(hours=1)


def rows_of(events, **options):
    return ug.identities(events_of(events), **options).to_pyarrow().to_pylist()


def story(events, **options):
    """By kind and id: status, what it was joined to, and when."""
    names = ("status", "joined_to_kind", "joined_to_id", "joined_at")
    return {
        (row["kind"], row["id"]): tuple(row[name] for name in names)
        for row in rows_of(events, **options)
    }


def test_an_id_is_joined_by_the_earliest_event_that_has_it_with_another():
    events = [
        event("open", 3, user_id="ana", device_id="d1", event_id=b"3" * 16),
        event("open", 1, device_id="d1", event_id=b"1" * 16),
        event("open", 2, anonymous_id="a1", device_id="d1", event_id=b"2" * 16),
        event("open", 9, user_id="leo", event_id=b"9" * 16),
    ]
    assert story(events) == {
        ("user_id", "ana"): ("joined", "device_id", "d1", START + 3 * HOUR),
        ("user_id", "leo"): ("single", None, None, None),
        ("anonymous_id", "a1"): ("joined", "device_id", "d1", START + 2 * HOUR),
        ("device_id", "d1"): ("joined", "anonymous_id", "a1", START + 2 * HOUR),
    }
    by_id = {row["id"]: row for row in rows_of(events)}
    assert by_id["d1"]["event_id"] == b"2" * 16
    assert (by_id["d1"]["first_seen"], by_id["d1"]["events"]) == (START + HOUR, 3)
    persons = {name: row["person"] for name, row in by_id.items()}
    assert persons["ana"] == persons["a1"] == persons["d1"]
    assert persons["leo"] not in {None, persons["ana"]}


def test_what_joins_nobody_says_why():
    tablet = [
        event("open", n, user_id=f"u{n}", device_id="tablet") for n in range(SHARED_USERS_MAX + 1)
    ]
    nobody = event("open", 0, user_id="ana", anonymous_id="NULL", idfa=bytes(16))
    told = story([*tablet, nobody, event("open", 1, user_id="u1", gaid=b"g" * 16)])
    assert told["device_id", "tablet"] == ("shared", None, None, None)
    assert told["user_id", "u0"] == ("single", None, None, None)
    assert told["anonymous_id", "NULL"] == ("nobody", None, None, None)
    nil = ("idfa", "00000000-0000-0000-0000-000000000000")
    assert told[nil] == ("nobody", None, None, None)
    assert told["user_id", "ana"] == ("single", None, None, None)
    gaid = ("gaid", "67676767-6767-6767-6767-676767676767")
    assert told[gaid] == ("joined", "user_id", "u1", START + HOUR)
    assert {row["person"] for row in rows_of(tablet) if row["id"] == "tablet"} == {None}


def test_a_link_can_be_cut_and_journeys_follow():
    events = [
        event("click", 0, user_id="ana", device_id="kiosk", source="ads"),
        event("install", 1, user_id="leo", device_id="kiosk"),
    ]
    cut = [("device_id", "kiosk")]
    assert len({row["person"] for row in rows_of(events)}) == 1
    told = {row["id"]: (row["status"], row["person"]) for row in rows_of(events, cut=cut)}
    assert told["kiosk"] == ("cut", None)
    assert told["ana"][1] != told["leo"][1]
    table = events_of(events)
    assert ug.journeys(table, conversion="install").unattributed == 0
    assert ug.journeys(table, conversion="install", cut=cut).unattributed == 1
    uuid = [event("open", 0, user_id=f"u{n}", idfv=b"v" * 16) for n in range(2)]
    by_text = [("idfv", "76767676-7676-7676-7676-767676767676")]
    statuses = {row["kind"]: row["status"] for row in rows_of(uuid, cut=by_text)}
    assert statuses == {"user_id": "single", "idfv": "cut"}
    shouted = [event("open", 0, user_id="ana", idfv=b"\xaa" * 16)]
    upper = [("idfv", "AAAAAAAA-AAAA-AAAA-AAAA-AAAAAAAAAAAA")]
    statuses = {row["kind"]: row["status"] for row in rows_of(shouted, cut=upper)}
    assert statuses == {"user_id": "single", "idfv": "cut"}


def test_wrong_cuts_say_what_would_be_right():
    with pytest.raises(ValueError, match=r"no kind of id `device` to cut\n.*user_id"):
        rows_of([], cut=[("device", "d1")])
    with pytest.raises(TypeError, match="pairs of kind and id, got `'device_id'`"):
        rows_of([], cut=["device_id"])
    with pytest.raises(TypeError, match="cut is for canonical events"):
        ug.journeys(pa.table({"user_id": ["u"]}), cut=[("user_id", "u")])


def crowd(seed):
    dice = random.Random(seed)
    kinds = {"user_id": 40, "anonymous_id": 60, "device_id": 30}
    events = []
    for number in range(400):
        chosen = dice.sample(list(kinds), dice.randint(1, 2))
        ids = {kind: f"{kind[0]}{dice.randrange(kinds[kind])}" for kind in chosen}
        at, name = dice.randrange(200), number.to_bytes(16)
        events.append(event("open", at, event_id=name, app_id=dice.choice("xy"), **ids))
    return events


@pytest.mark.parametrize("seed", range(5))
def test_no_order_shows_and_persons_are_the_servers(seed):
    events = crowd(seed)
    table = ug.identities(events_of(events)).to_pyarrow()
    shuffled = random.Random(seed).sample(events, len(events))
    parts = [events_of(shuffled[:100]), events_of(shuffled[100:])]
    assert ug.identities(pa.concat_tables(parts)).to_pyarrow() == table
    graph = _core.Graph()
    graph.add(ug.Table.read(events_of(events)).batches)
    known = ug.Table(graph.persons()).to_pyarrow().to_pylist()
    persons = {row["identity"]: row["person"] for row in known}
    keys = ug.Table(_core.identity_keys(ug.Table.read(events_of(events)).batches))
    expected = {}
    for one, key in zip(events, keys.column("identity").to_pylist(), strict=True):
        for kind in ("user_id", "anonymous_id", "device_id"):
            if kind in one:
                expected[one["app_id"], kind, one[kind]] = persons[key]
    found = {(r["app_id"], r["kind"], r["id"]): r["person"] for r in table.to_pylist()}
    assert found == expected
