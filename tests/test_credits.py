"""`_core.credits`, what the warehouse stores: the same kernels, all rules in one pass."""

import datetime as dt

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

import unmogrowp as ug
from event_tables import START, event, events_of
from rule_models import MODELS
from unmogrowp import _core

LOOKBACKS = {"click_lookback_us": 30 * 86_400_000_000, "view_lookback_us": 86_400_000_000}


def touchpoints(rows):
    """Canonical columns and a person: that of the row, else null."""
    persons = [row.pop("person", None) for row in rows]
    identities = [row.pop("identity", None) or bytes(15) + b"1" for row in rows]
    table = events_of(rows).append_column("person", pa.array(persons, pa.binary(16)))
    return table.append_column("identity", pa.array(identities, pa.binary(16)))


def credits_of(table, conversions=("install", "purchase"), **options):
    batches = ug.Table.read(table).batches
    made, _ = _core.credits(batches, conversions=list(conversions), **(LOOKBACKS | options))
    return ug.Table(made)


P = b"P" * 16


def test_one_row_per_conversion_with_lists_per_touch():
    table = touchpoints(
        [
            event("click", 0, person=P, source="ads", campaign="spring", adset="s1", creative="c1"),
            event("impression", 30, person=P, source="tv"),
            event("open", 31, person=P),
            event("purchase", 32, person=P, country="DE", revenue_micros=7, currency="EUR"),
            event("install", 33, person=b"Q" * 16),
        ]
    )
    purchase, install = credits_of(table).to_pyarrow().to_pylist()
    assert {name: purchase[name] for name in list(purchase)[:14]} == {
        "app_id": "app",
        "conversion_id": (4).to_bytes(16),
        "conversion_time": START + dt.timedelta(hours=32),
        "conversion_name": "purchase",
        "country": "DE",
        "value_micros": 7,
        "currency": "EUR",
        "person": P,
        "touch_id": [(1).to_bytes(16), (2).to_bytes(16)],
        "touch_time": [START, START + dt.timedelta(hours=30)],
        "channel": ["ads", "tv"],
        "campaign": ["spring", None],
        "adset": ["s1", None],
        "creative": ["c1", None],
    }
    assert list(purchase)[14:] == [model.name for model in MODELS]
    assert purchase["last_touch"] == [0, 1]
    assert purchase["linear"] == [0.5, 0.5]
    assert (install["value_micros"], install["currency"]) == (0, None)
    assert install["touch_id"] == install["linear"] == install["channel"] == []


def test_the_table_itself_shows_its_lists():
    table = touchpoints([event("click", 0, person=P), event("install", 1, person=P)])
    made = credits_of(table)
    assert made.column("linear").to_pylist() == [[1.0]]
    assert made.column("touch_time").to_pylist() == [[START]]
    assert "linear" in repr(made)


def test_null_and_nil_persons_stand_alone_and_apps_are_apart():
    for person in (None, bytes(16)):
        rows = [event("click", 0, person=person), event("install", 1, person=person)]
        assert credits_of(touchpoints(rows)).column("linear").to_pylist() == [[]]
    rows = [event("click", 0, person=P, app_id="second"), event("install", 1, person=P)]
    assert credits_of(touchpoints(rows)).column("linear").to_pylist() == [[]]


def test_a_reserved_source_does_not_stop_an_app():
    rows = [event("click", 0, person=P, source="(unattributed)"), event("install", 1, person=P)]
    assert credits_of(touchpoints(rows)).column("channel").to_pylist() == [["(unattributed)"]]


def test_no_rows_give_no_rows_of_the_same_columns():
    table = touchpoints([event("click", 0, person=P), event("install", 1, person=P)])
    made = credits_of(table.slice(0, 0))
    assert len(made) == 0
    assert made.schema == credits_of(table).schema


rows = st.lists(
    st.builds(
        lambda name, hour, person, source, micros: event(
            name,
            hour,
            person=bytes([person]) * 16,
            source=source,
            revenue_micros=micros,
            currency="EUR",
            user_id=f"u{person}",
        ),
        st.sampled_from(["click", "impression", "install", "purchase", "open"]),
        st.integers(0, 1000),
        st.integers(1, 3),
        st.sampled_from(["direct", "ads", "mail", None]),
        st.integers(-100, 100),
    ),
    max_size=30,
)


@given(rows, st.sampled_from(["partition", "overlap"]))
def test_it_says_what_the_library_says(rows, policy):
    table = touchpoints([dict(row) for row in rows])
    stored = credits_of(table, policy=policy).to_pyarrow().to_pylist()
    js = ug.journeys(table.drop(["identity"]), conversion=["install", "purchase"], policy=policy)
    for model in MODELS:
        shown = {}
        for row in ug.attribute(js, model).to_pyarrow().to_pylist():
            own = shown.setdefault(row["conversion_id"], [])
            if row["touch_index"] is not None:
                own.append((row["channel"], row["credit"]))
        found = {
            row["conversion_id"]: list(zip(row["channel"], row[model.name], strict=True))
            for row in stored
        }
        assert found == shown


def opens_of(table, known=()):
    persons, places = zip(*known, strict=True) if known else ((), ())
    given = pa.table(
        {
            "app_id": pa.array(["app"] * len(persons)),
            "person": pa.array(persons, pa.binary(16)),
            "places": pa.array(places, pa.int64()),
        }
    )
    batches, opened = ug.Table.read(table).batches, ug.Table.read(given).batches
    _, made = _core.credits(batches, opened, conversions=["install"], **LOOKBACKS)
    return [tuple(row.values()) for row in ug.Table(made).to_pyarrow().to_pylist()]


def test_open_journeys_have_places_of_their_persons():
    hours = dt.timedelta(hours=1)
    rows = [
        event("click", 0, person=P, source="a", campaign="x"),
        event("click", 0, person=bytes(16), identity=b"N" * 16, source="n"),
        event("click", 1, person=P, source="b", creative="y"),
        event("click", 2_000, person=P, source="c"),
        event("click", 0, person=b"Q" * 16, source="d"),
        event("install", 1, person=b"Q" * 16),
    ]
    first = ("app", P, 0, START + hours, ["a", "b"], ["x", None], [None, None], [None, "y"])
    nobody = ("app", b"N" * 16, 0, START, ["n"], [None], [None], [None])
    second = ("app", P, 1, START + 2_000 * hours, ["c"], [None], [None], [None])
    assert opens_of(touchpoints(rows)) == [first, nobody, second]


def test_places_that_are_free_again_get_rows_without_touches():
    rows = [event("click", 0, person=P, source="a")]
    known = [(P, 3), (b"Q" * 16, 1)]
    _, *free = opens_of(touchpoints(rows), known)
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    empty = (epoch, [], [], [], [])
    assert free == [("app", P, 1, *empty), ("app", P, 2, *empty), ("app", b"Q" * 16, 0, *empty)]
