"""`journeys`: what may be passed, what is refused, and what is shown."""

import datetime as dt
import decimal
import importlib
import json
import os
import signal
import threading
import time

import pyarrow as pa
import pytest

import unmogrowp as ug
from unmogrowp.errors import SchemaError

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def table(**columns):
    days = [START + dt.timedelta(days=n) for n in range(3)]
    return pa.table(
        {
            "user_id": [1, 1, 1],
            "timestamp": pa.array(days, pa.timestamp("us", "UTC")),
            "channel": ["ads", "mail", None],
            "is_conversion": [False, False, True],
            "value": [None, None, 5],
        }
        | columns
    )


def credit(given, **options):
    return ug.compare(ug.journeys(given, **options), [ug.Linear()]).to_pyarrow()


def test_repr_says_what_is_in_it():
    assert repr(ug.journeys(table())) == (
        "Journeys(1 conversions, 0 unattributed, 2 touches, 2026-01-01 00:00 to 2026-01-03 00:00)"
    )
    empty = table().slice(0, 0)
    assert repr(ug.journeys(empty)) == "Journeys(0 conversions, 0 unattributed, 0 touches)"


def test_the_counts_can_be_asked_for():
    js = ug.journeys(table(user_id=[1, 2, 1]))
    assert (js.conversions, js.unattributed, js.touches, len(js)) == (1, 0, 2, 1)
    assert js.span == (START, START + dt.timedelta(days=2))


@pytest.mark.parametrize(
    "kind",
    [
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "string",
        "large_string",
        "string_view",
        "binary",
        "uuid",
        "dictionary",
        "int_dictionary",
    ],
)
def test_a_person_may_be_named_by_any_of_these(kind):
    ids = pa.array([1, 2, 1])
    if kind == "uuid":
        ids = pa.array([b"a" * 16, b"b" * 16, b"a" * 16], pa.binary(16))
    elif kind == "dictionary":
        ids = ids.cast(pa.string()).dictionary_encode()
    elif kind == "int_dictionary":
        ids = ids.dictionary_encode()
    else:
        through = pa.string() if kind in ("binary", "string_view") else kind
        ids = ids.cast(through).cast(kind)
    # The touch of person 2 must not count.
    assert credit(table(user_id=ids))["linear_conversions"].to_pylist() == [1, 0, 0]


def test_negative_and_huge_integers_are_people():
    ids = pa.array([-1, 2**63 - 1, -1], pa.int64())
    assert credit(table(user_id=ids))["linear_conversions"].to_pylist() == [1, 0, 0]
    ids = pa.array([2**64 - 1, 0, 2**64 - 1], pa.uint64())
    assert credit(table(user_id=ids))["linear_conversions"].to_pylist() == [1, 0, 0]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_time_may_have_any_unit_and_zone(unit, zone):
    times = table()["timestamp"].cast(pa.timestamp(unit, "UTC")).cast(pa.timestamp(unit, zone))
    js = ug.journeys(table(timestamp=times))
    assert js.span == (START, START + dt.timedelta(days=2))


def test_nanoseconds_are_floored_even_before_1970():
    times = pa.array([-1, 0, 999], pa.timestamp("ns"))
    js = ug.journeys(table(timestamp=times), click_lookback="1us")
    assert js.span == (
        dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, dt.UTC),
        dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
    )
    assert (js.conversions, js.unattributed) == (1, 0)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user_id": [1, None, 1]}, "`user_id` is null in row 1"),
        ({"user_id": [1.0, 2.0, 3.0]}, "column `user_id` must be integer, text or a UUID"),
        ({"timestamp": [1, 2, 3]}, "column `timestamp` must be a timestamp, got `Int64`"),
        ({"timestamp": pa.array([START.date()] * 3)}, "must be a timestamp, got `Date32`"),
        (
            {"timestamp": pa.array([START, START, None], pa.timestamp("us"))},
            "`timestamp` is null in row 2",
        ),
        (
            {"timestamp": pa.array([0, 2**62, 0], pa.timestamp("s"))},
            "`timestamp` is too far from 1970 for microseconds in row 1",
        ),
        ({"channel": [1, 2, 3]}, "column `channel` must be text, got `Int64`"),
        ({"channel": ["a", "(unattributed)", "b"]}, r"row 1 is named `\(unattributed\)`"),
        ({"is_conversion": [0, 0, 1]}, "column `is_conversion` must be boolean, got `Int64`"),
        ({"is_conversion": [False, None, True]}, "`is_conversion` is null in row 1"),
        ({"value": ["1", "2", "3"]}, "column `value` must be a number, got `Utf8`"),
        ({"value": [0.0, 0.0, float("inf")]}, "`value` is not a finite number in row 2"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(columns, message):
    with pytest.raises(SchemaError, match=message) as caught:
        ug.journeys(table(**columns))
    assert isinstance(caught.value, ValueError)
    assert "\nhint: " in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user_id": [1, None, 1]}, "null in row 7"),
        ({"is_conversion": [False, None, True]}, "null in row 7"),
        ({"timestamp": pa.array([START, START, None], pa.timestamp("us", "UTC"))}, "in row 8"),
        ({"channel": ["a", "(unattributed)", "b"]}, r"row 7 is named `\(unattributed\)`"),
        ({"value": [0.0, 0.0, float("inf")]}, "not a finite number in row 8"),
    ],
)
def test_a_row_is_named_over_all_chunks(columns, message):
    last = table(**columns)
    chunks = [table().cast(last.schema), table().cast(last.schema), last]
    with pytest.raises(SchemaError, match=message):
        ug.journeys(pa.concat_tables(chunks))


def test_rows_of_one_time_come_in_their_order_over_all_chunks():
    late = {"a": 1, "end": 2}

    def chunk(*channels):
        times = [START + dt.timedelta(days=late.get(channel, 0)) for channel in channels]
        return table(
            timestamp=pa.array(times, pa.timestamp("us", "UTC")),
            channel=list(channels),
            is_conversion=[channel == "end" for channel in channels],
        )

    given = pa.concat_tables([chunk("a", "b", "c"), chunk("d", "e", "f"), chunk("g", "h", "end")])
    found = ug.journeys(given)
    assert found.to_paths().column("path").to_pylist() == [list("bcdefgha")]


def parsed(*events):
    common = {"app_id": "com.example.app", "timestamp": "2026-10-01T10:00:00Z"}
    body = "\n".join(json.dumps({"event_name": "x", **common, **event}) for event in events)
    result = ug.parse(body.encode())
    assert not len(result.rejects)
    return result.events


def test_events_of_the_parser_bring_their_revenue():
    ad = {"event_type": "click", "source": "meta", "user_id": "ana"}
    bought = {"event_name": "purchase", "timestamp": "2026-10-01T11:00:00Z"}
    events = parsed(
        ad,
        bought | {"user_id": "ana", "revenue": 2.5, "currency": "USD"},
        bought | {"user_id": "ben", "revenue": "0.1", "currency": "EUR"},
    )
    rows = ug.attribute(ug.journeys(events, conversion=["purchase"]), ug.Linear()).to_pyarrow()
    shown = [rows[name].to_pylist() for name in ("channel", "value", "currency")]
    assert shown == [["meta", "(unattributed)"], [2.5, 0.1], ["USD", "EUR"]]


def test_a_row_of_events_is_named_over_all_chunks():
    ad = {"event_type": "click", "user_id": "ana"}
    first = parsed(ad | {"source": "meta"}, ad, ad).to_pyarrow()
    last = parsed(ad, ad | {"source": "(unattributed)"}).to_pyarrow()
    with pytest.raises(SchemaError, match=r"row 4 is named `\(unattributed\)`"):
        ug.journeys(pa.concat_tables([first, last]), conversion=["purchase"])


def test_conversions_without_a_name_share_one():
    """Each name has the touches since its own last conversion."""
    days = [START + dt.timedelta(days=number) for number in range(6)]
    given = pa.table(
        {
            "user_id": [1] * 6,
            "timestamp": pa.array(days, pa.timestamp("us", "UTC")),
            "channel": ["x", None, "y", None, None, "z"],
            "is_conversion": [False, True, False, True, True, False],
            "conversion_name": [None, None, None, None, "buy", None],
            "value": [0.0] * 6,
        }
    )
    found = ug.journeys(given, conversion_name="conversion_name", policy="partition")
    rows = ug.attribute(found, ug.Linear()).to_pyarrow().to_pylist()
    shared = [(row["conversion_id"], row["channel"], row["credit"]) for row in rows]
    assert shared == [(1, "x", 1.0), (3, "y", 1.0), (4, "x", 0.5), (4, "y", 0.5)]


@pytest.mark.parametrize("role", ["user", "time", "channel", "is_conversion", "value"])
@pytest.mark.parametrize("rows", [0, 3])
def test_a_named_column_must_exist(role, rows):
    with pytest.raises(SchemaError, match=f"no column `nope` for {role}\nhint: the columns are"):
        ug.journeys(table().slice(0, rows), **{role: "nope"})


@pytest.mark.parametrize(
    "role", ["conversion_name", "currency", "touch_type", "key_touch", "conversion_id"]
)
def test_an_optional_column_must_exist_once_named(role):
    with pytest.raises(SchemaError, match=f"no column `nope` for {role}"):
        ug.journeys(table(), **{role: "nope"})


def test_columns_may_have_other_names():
    names = {"user": "who", "time": "when", "channel": "from", "is_conversion": "did", "value": "v"}
    renamed = table().rename_columns(list(names.values()))
    assert credit(renamed, **names) == credit(table())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"click_lookback": "-7d"}, ValueError, "click_lookback must not be negative, got `-7d`"),
        ({"click_lookback": "soon"}, ValueError, "click_lookback must be a duration, got `soon`"),
        ({"view_lookback": 3}, TypeError, "view_lookback must be a duration, got `3`"),
        ({"policy": "first"}, ValueError, "no policy `first`"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        ug.journeys(table(), **options)


def test_a_lookback_may_be_a_timedelta():
    near = credit(table(), click_lookback=dt.timedelta(hours=24))
    assert near["linear_conversions"].to_pylist() == [0, 1, 0]
    assert near == credit(table(), click_lookback="24h")


def test_decimals_come_out_unrounded():
    cents = pa.array([None, None, decimal.Decimal("0.10")], pa.decimal128(20, 2))
    assert credit(table(value=cents))["linear_value"].to_pylist() == [0.05, 0.05, 0]


def test_a_wrong_object_is_told_what_to_do():
    with pytest.raises(TypeError, match="hint: pass a Polars, pandas or PyArrow table"):
        ug.journeys([{"user_id": 1}])


def test_the_module_of_the_same_name_does_not_hide_the_function():
    importlib.import_module("unmogrowp.journeys")
    importlib.import_module("unmogrowp.cohorts")
    assert callable(ug.journeys)
    assert callable(ug.cohorts)


@pytest.fixture
def interruptible():
    """Ctrl-C raises, even where whoever started the tests ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_a_long_call_at_once():
    count = 6_000_000
    np = pytest.importorskip("numpy")
    random = np.random.default_rng(7)
    many = pa.table(
        {
            "user_id": pa.array(random.integers(0, 10**6, count)).cast(pa.string()),
            "timestamp": pa.array(random.integers(0, 10**15, count)).cast(pa.timestamp("us")),
            "channel": pa.array(["ads"] * count),
            "is_conversion": pa.array(random.random(count) < 0.1),
        }
    )
    sent = []

    def interrupt():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    # Chunks of the same rows: large without the memory.
    many = pa.concat_tables([many] * 10)
    timer = threading.Timer(0.1, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        ug.journeys(many)
    assert time.monotonic() - sent[0] < 0.2
    timer.join()
