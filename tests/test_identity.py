"""Persons: who is one, who is nobody, and that no order can show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import unmogrowp as ug
from unmogrowp import _core

pytest.importorskip("pyarrow")

from event_tables import event, events_of

UUID = bytes(range(16))


def batches(rows):
    return ug.Table.read(events_of(rows)).batches


def graph_of(*chunks):
    graph = _core.Graph()
    told = {}
    for chunk in chunks:
        table = ug.Table(graph.add(batches(chunk))).to_pyarrow()
        told |= dict(zip(table["identity"].to_pylist(), table["person"].to_pylist(), strict=True))
    return graph, told


def persons(graph, app=None):
    table = ug.Table(graph.persons(app)).to_pyarrow()
    return dict(zip(table["identity"].to_pylist(), table["person"].to_pylist(), strict=True))


def test_ids_seen_together_are_one_person():
    graph, _ = graph_of(
        [
            event("open", user_id="u"),
            event("open", device_id="d"),
            event("open", gaid=UUID),
            event("login", user_id="u", device_id="d"),
            event("click", device_id="d", gaid=UUID),
            event("open", user_id="other"),
        ]
    )
    found = persons(graph)
    assert len(found) == 6
    assert len(set(found.values())) == 2
    # A person is called by the smallest of its identities.
    assert all(person == min(k for k, v in found.items() if v == person) for person in found.values())


def test_the_same_value_of_another_kind_or_app_is_another_id():
    graph, _ = graph_of(
        [
            event("open", user_id="x"),
            event("open", anonymous_id="x"),
            event("open", idfa=UUID),
            event("open", idfv=UUID),
            event("open", user_id="x", app_id="second"),
            event("open", user_id="x", app_id=None),
        ]
    )
    assert len(set(persons(graph).values())) == 6
    assert len(persons(graph, "app")) == 4
    assert len(persons(graph, "second")) == 1
    assert len(persons(graph, "third")) == 0


def test_identity_keys_are_those_of_the_graph_and_null_for_nobody():
    rows = [event("open", user_id="u"), event("open"), event("open", user_id="u", device_id="d")]
    keys = ug.Table(_core.identity_keys(batches(rows))).column("identity").to_pylist()
    assert keys[1] is None
    graph, told = graph_of(rows)
    assert set(told) == {keys[0], keys[2]} == set(persons(graph))
    assert told[keys[0]] == told[keys[2]] == min(keys[0], keys[2])


def test_a_known_identity_is_taken_as_the_key():
    import pyarrow as pa

    table = events_of([event("open", user_id="u")])
    known = table.append_column("identity", pa.array([UUID], pa.binary(16)))
    graph = _core.Graph()
    graph.add(ug.Table.read(known).batches)
    assert persons(graph) == {UUID: UUID}


def test_only_what_changed_is_told():
    graph, _ = graph_of([event("open", user_id="u"), event("open", device_id="d")])
    assert len(graph.add(batches([event("open", user_id="u")]))) == 0
    # The link is new, and at least one of the two gets another name.
    assert len(graph.add(batches([event("open", user_id="u", device_id="d")]))) >= 2
    assert len(graph) == 3


def test_a_shared_device_joins_nobody_from_the_51st_user_on():
    def users(count):
        return [event("open", user_id=f"u{n}", device_id="kiosk") for n in range(count)]

    alone = event("open", device_id="kiosk")
    graph, told = graph_of([alone, *users(50)])
    assert len(set(told.values())) == 1
    changed = ug.Table(graph.add(batches(users(51)))).to_pyarrow()
    found = persons(graph)
    key = ug.Table(_core.identity_keys(batches([alone]))).column("identity").to_pylist()[0]
    assert found[key] is None
    assert len(set(found.values())) == 52
    told |= dict(zip(changed["identity"].to_pylist(), changed["person"].to_pylist(), strict=True))
    assert told == found


ids = st.fixed_dictionaries(
    {"app_id": st.sampled_from(["app", "second"])},
    optional={
        "user_id": st.sampled_from("abcde"),
        "anonymous_id": st.sampled_from("abcde"),
        "device_id": st.sampled_from("abcde"),
        "idfa": st.sampled_from([UUID, UUID[::-1]]),
    },
)


@given(st.lists(ids, max_size=25), st.randoms(use_true_random=False), st.integers(1, 6))
def test_order_and_batches_cannot_show(rows, random, size):
    rows = [event("open", **row) for row in rows]
    whole, _ = graph_of(rows)
    random.shuffle(rows)
    parts, told = graph_of(*(rows[start : start + size] for start in range(0, len(rows), size)))
    assert persons(whole) == persons(parts) == told


def test_journeys_of_events_follow_the_person_within_the_app():
    events = events_of(
        [
            event("click", 0, gaid=UUID, source="ads"),
            event("install", 2, device_id="d", gaid=UUID),
            event("click", 3, device_id="d", source="mail"),
            event("purchase", 4, user_id="u", revenue_micros=12_500_000, currency="EUR"),
            event("login", 1, user_id="u", device_id="d"),
            event("click", 3, user_id="u", source="web", app_id="second"),
            event("impression", 3, user_id="u", source="tv"),
        ]
    )
    js = ug.journeys(events, conversion=["install", "purchase"])
    assert (js.conversions, js.unattributed, js.touches) == (2, 0, 4)
    rows = ug.attribute(js, ug.Linear()).to_pyarrow().to_pylist()
    assert [(row["conversion_id"], row["channel"], row["currency"]) for row in rows] == [
        ((2).to_bytes(16), "ads", None),
        ((4).to_bytes(16), "ads", "EUR"),
        ((4).to_bytes(16), "mail", "EUR"),
        ((4).to_bytes(16), "tv", "EUR"),
    ]
    assert [row["value"] for row in rows] == pytest.approx([0, *[12.5 / 3] * 3])
    assert ug.journeys(events, conversion="purchase").conversions == 1
    assert ug.journeys(events, conversion=[]).conversions == 0


def test_events_of_nobody_stand_alone():
    shared = [event("open", user_id=f"u{n}", device_id="kiosk") for n in range(51)]
    events = events_of(
        [
            *shared,
            event("click", 1, device_id="kiosk", source="ads"),
            event("install", 2, device_id="kiosk"),
            event("click", 1, source="ads"),
            event("install", 2),
        ]
    )
    js = ug.journeys(events, conversion=["install"])
    assert (js.conversions, js.unattributed) == (2, 2)


def test_a_conversion_wins_over_a_touch_and_views_have_their_own_lookback():
    events = events_of(
        [
            event("click", 0, user_id="u", source="ads"),
            event("impression", 1, user_id="u", source="tv"),
            event("click", 30, user_id="u", source="mail"),
        ]
    )
    js = ug.journeys(events, conversion=["click"])
    assert (js.conversions, js.unattributed, js.touches) == (2, 2, 1)
    js = ug.journeys(events, conversion=["click"], view_lookback="2d")
    assert (js.conversions, js.unattributed) == (2, 1)
    assert ug.compare(js, [ug.LastTouch()]).column("channel").to_pylist()[0] == "tv"


def test_events_survive_other_libraries():
    duckdb = pytest.importorskip("duckdb")
    events = events_of(
        [
            event("click", 0, gaid=UUID, source="ads"),
            event("install", 2, device_id="d", gaid=UUID, revenue_micros=5, currency="EUR"),
        ]
    )
    expected = ug.compare(ug.journeys(events, conversion="install"), [ug.Linear()]).to_pyarrow()
    table = ug.Table.read(events)
    for other in (table.to_polars(), duckdb.sql("select * from events"), table.to_pandas()):
        js = ug.journeys(other, conversion="install")
        assert ug.compare(js, [ug.Linear()]).to_pyarrow() == expected


def test_events_without_conversion_and_columns_with_it_are_told_what_to_do():
    events = events_of([event("install", user_id="u")])
    with pytest.raises(ug.errors.SchemaError, match=r'hint: .*conversion=\["install", "purchase"\]'):
        ug.journeys(events)
    with pytest.raises(TypeError, match="channel cannot be chosen for canonical events"):
        ug.journeys(events, conversion=["install"], channel="campaign")
    with pytest.raises(ug.errors.SchemaError, match="no column `source` for canonical events"):
        ug.journeys(events.drop_columns(["source"]), conversion=["install"])
    reserved = events_of([event("click", user_id="u", source="(unattributed)")])
    with pytest.raises(ug.errors.SchemaError, match="row 0 is named"):
        ug.journeys(reserved, conversion=["install"])
