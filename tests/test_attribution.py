"""`attribute` and `compare` against the shared cases, and every way of calling them."""

import dataclasses
import datetime as dt
import json
import random
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

import unmogrowp as ug
from attribution_reference import microseconds

FOLDER = Path(__file__).parent / "cases" / "attribution"
CASES = [case for file in sorted(FOLDER.glob("*.json")) for case in json.loads(file.read_text())]
# Rust names its files one by one, so that a new one is noticed here.
FILES = ["open", "policies", "rules", "values", "windows"]

MODELS = {
    "first_touch": ug.FirstTouch,
    "last_touch": ug.LastTouch,
    "first_non_direct": ug.FirstNonDirect,
    "last_non_direct": ug.LastNonDirect,
    "linear": ug.Linear,
    "position_based": ug.PositionBased,
    "j_shape": ug.JShape,
    "inverse_j": ug.InverseJ,
    "w_shape": ug.WShape,
    "time_decay": ug.TimeDecay,
}
ALL = [kind() for kind in MODELS.values()]


def table_of(rows):
    def column(name, kind):
        return pa.array([row.get(name) for row in rows], kind)

    return pa.table(
        {
            "user_id": column("user", pa.string()),
            "timestamp": pa.array([microseconds(r["at"]) for r in rows], pa.timestamp("us", "UTC")),
            "channel": column("channel", pa.string()),
            "is_conversion": pa.array(["conversion" in row for row in rows], pa.bool_()),
            "value": column("value", pa.float64()),
            "conversion_name": column("conversion", pa.string()),
            "touch_type": column("type", pa.string()),
            "key_touch": column("key", pa.bool_()),
        }
    )


def journeys_of(case, table=None):
    return ug.journeys(
        table_of(case["rows"]) if table is None else table,
        conversion_name="conversion_name",
        touch_type="touch_type",
        key_touch="key_touch",
        **case.get("settings", {}),
    )


def expected_rows(case, credit):
    conversions = [(n, row) for n, row in enumerate(case["rows"]) if "conversion" in row]
    for (number, row), channels, shares in zip(conversions, case["journeys"], credit, strict=True):
        value = row.get("value") or 0
        if not channels:
            yield number, None, "(unattributed)", 1, value
        for index, (channel, share) in enumerate(zip(channels, shares, strict=True)):
            yield number, index, channel, share, share * value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_case(case):
    js = journeys_of(case)
    for given in case["credit"]:
        options = {name: given[name] for name in given.keys() - {"model", "credit"}}
        found = ug.attribute(js, MODELS[given["model"]](**options)).to_pyarrow().to_pylist()
        expected = list(expected_rows(case, given["credit"]))
        shape = [(r["conversion_id"], r["touch_index"], r["channel"]) for r in found]
        assert shape == [row[:3] for row in expected]
        assert [r["credit"] for r in found] == pytest.approx(
            [row[3] for row in expected], abs=1e-12
        )
        assert [r["value"] for r in found] == pytest.approx([row[4] for row in expected], abs=1e-9)


@pytest.mark.parametrize(
    "case", [case for case in CASES if "open" in case], ids=lambda c: c["name"]
)
def test_open_journeys_are_paths_that_did_not_convert(case):
    rows = journeys_of(case).to_paths().to_pyarrow().to_pylist()
    nulls = {tuple(row["path"]): row["nulls"] for row in rows if row["nulls"]}
    assert nulls == Counter(map(tuple, case["open"]))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_totals_of_compare_are_those_of_attribute(case):
    js = journeys_of(case)
    compared = ug.compare(js, ALL).to_pyarrow().to_pylist()
    for model in ALL:
        sums = {}
        for row in ug.attribute(js, model).to_pyarrow().to_pylist():
            credit, value = sums.get(row["channel"], (0, 0))
            sums[row["channel"]] = credit + row["credit"], value + row["value"]
        for row in compared:
            found = row[f"{model.name}_conversions"], row[f"{model.name}_value"]
            assert found == pytest.approx(sums.pop(row["channel"], (0, 0)), abs=1e-9)
        assert not sums


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_every_library_gives_the_same_bytes(case):
    duckdb = pytest.importorskip("duckdb")
    given = table_of(case["rows"])
    frame = ug.Table.read(given).to_polars()
    # Each with its own layout: views, large offsets, dictionaries, chunks.
    others = [
        frame,
        frame.cast({"channel": pytest.importorskip("polars").Categorical}),
        given.to_pandas().astype({"channel": "string", "value": "float64"}),
        given.set_column(2, "channel", given["channel"].dictionary_encode()),
        given.set_column(0, "user_id", given["user_id"].cast(pa.large_string())),
        given.set_column(1, "timestamp", given["timestamp"].cast(pa.timestamp("us", "Asia/Tokyo"))),
        duckdb.sql("select * from given"),
        duckdb.sql("select * from given").to_arrow_table(),
    ]
    if case["rows"]:
        others.append(pa.concat_tables([given.slice(0, 1), given.slice(1)]))
        others.append(pa.concat_tables([given, given]).slice(given.num_rows))
    expected = ug.compare(journeys_of(case), ALL).to_pyarrow()
    for other in others:
        assert ug.compare(journeys_of(case, other), ALL).to_pyarrow() == expected


def test_rust_reads_every_file_of_cases():
    assert sorted(file.stem for file in FOLDER.glob("*.json")) == FILES
    rust = Path(__file__).parents[1] / "rust/core/src/attribution/case_tests.rs"
    assert all(f'file!("{name}")' in rust.read_text() for name in FILES)


def path(*channels, value=None, user="u", **more):
    """Rows of a person who saw `channels` day by day and then converted."""
    rows = [{"user": user, "at": f"{day}d", "channel": c} for day, c in enumerate(channels, 1)]
    return [*rows, {"user": user, "at": "20d", "conversion": "purchase", "value": value, **more}]


def test_channels_ascend_then_null_then_unattributed():
    rows = [*path("b", None, "a"), *path(user="v"), {"user": "w", "at": "1d", "channel": "c"}]
    compared = ug.compare(journeys_of({"rows": rows}), [ug.Linear()])
    assert compared.column("channel").to_pylist() == ["a", "b", "c", None, "(unattributed)"]
    credit = compared.column("linear_conversions").to_pylist()
    assert credit == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3, 1])


def test_without_a_value_column_there_are_no_value_columns():
    table = table_of(path("a")).drop_columns(["value"])
    js = ug.journeys(table)
    assert list(ug.compare(js, [ug.Linear()]).schema) == ["channel", "linear_conversions"]
    columns = ["conversion_id", "touch_index", "channel", "credit"]
    assert list(ug.attribute(js, ug.Linear()).schema) == columns
    with pytest.raises(ug.errors.SchemaError, match="no column `revenue` for value"):
        ug.journeys(table, value="revenue")


@pytest.mark.parametrize("kind", ["int64", "int8", "uint64", "float32", "decimal"])
def test_value_may_be_any_number(kind):
    table = table_of(path("a", value=10))
    decimal = table["value"].cast(pa.decimal128(10, 2))
    column = decimal if kind == "decimal" else table["value"].cast(kind)
    js = ug.journeys(table.set_column(4, "value", column))
    assert ug.compare(js, [ug.Linear()]).column("linear_value").to_pylist() == [10.0, 0.0]


def test_a_value_that_is_no_number_is_an_error_on_conversions_only():
    table = table_of(path("a", value=float("nan")))
    with pytest.raises(ug.errors.SchemaError, match="`value` is not a finite number in row 1"):
        ug.journeys(table)
    ignored = table_of([{**path("a")[0], "value": float("nan")}, path("a")[1]])
    assert ug.journeys(ignored).conversions == 1


def test_amounts_of_different_currencies_are_never_added():
    rows = [
        *path("a", "b", value=10, user="u"),
        *path("a", value=5, user="v"),
        *path(value=7, user="w"),
    ]
    currency = [None, None, "EUR", None, "USD", None]
    table = table_of(rows).append_column("currency", pa.array(currency))
    js = ug.journeys(table, currency="currency")
    compared = ug.compare(js, [ug.Linear()]).to_pyarrow().to_pylist()
    assert [tuple(row.values()) for row in compared] == [
        ("a", "EUR", 0.5, 5.0),
        ("a", "USD", 1.0, 5.0),
        ("a", None, 0.0, 0.0),
        ("b", "EUR", 0.5, 5.0),
        ("b", "USD", 0.0, 0.0),
        ("b", None, 0.0, 0.0),
        ("(unattributed)", "EUR", 0.0, 0.0),
        ("(unattributed)", "USD", 0.0, 0.0),
        ("(unattributed)", None, 1.0, 7.0),
    ]
    attributed = ug.attribute(js, ug.Linear())
    assert attributed.column("currency").to_pylist() == ["EUR", "EUR", "USD", None]


def test_with_a_currency_column_and_no_conversion_channels_still_have_a_row():
    table = table_of([{"user": "u", "at": "1d", "channel": "a"}])
    table = table.append_column("currency", pa.array(["EUR"]))
    compared = ug.compare(ug.journeys(table, currency="currency"), [ug.Linear()])
    assert compared.column("channel").to_pylist() == ["a", "(unattributed)"]
    assert compared.column("currency").to_pylist() == [None, None]


def test_conversion_id_may_be_a_column_of_any_type():
    table = table_of([*path("a", "b"), *path(user="v")])
    day = pa.array([dt.date(2026, 1, n) for n in range(1, 5)])
    for ids in (day, pa.array([b"1" * 16, b"2" * 16, b"3" * 16, None], pa.binary(16))):
        js = ug.journeys(table.append_column("id", ids), conversion_id="id")
        found = ug.attribute(js, ug.Linear()).to_pyarrow()["conversion_id"]
        assert found.to_pylist() == [ids[2].as_py(), ids[2].as_py(), ids[3].as_py()]
    assert ug.attribute(ug.journeys(table), ug.Linear()).column("conversion_id").to_pylist() == [
        2,
        2,
        3,
    ]


def test_models_are_frozen_comparable_and_printable():
    assert ug.TimeDecay("3d") == ug.TimeDecay(half_life="3d")
    assert ug.TimeDecay("3d") != ug.TimeDecay("3d", step=True)
    assert ug.PositionBased() != ug.PositionBased(first=0.3)
    assert ug.LastNonDirect({"a", "b"}) == ug.LastNonDirect(["b", "a"])
    assert len({ug.Linear(), ug.Linear(), ug.LastNonDirect(), ug.FirstNonDirect()}) == 3
    assert repr(ug.TimeDecay()) == "TimeDecay(half_life='7d', step=False, name='time_decay')"
    with pytest.raises(dataclasses.FrozenInstanceError):
        ug.Linear().name = "x"


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: ug.TimeDecay("week"), ValueError, "half_life must be a duration, got `week`"),
        (lambda: ug.TimeDecay("0d"), ValueError, "half_life must be longer than 0"),
        (lambda: ug.TimeDecay(7), TypeError, "half_life must be a duration, got `7`"),
        (lambda: ug.TimeDecay(-dt.timedelta(1)), ValueError, "half_life must not be negative"),
        (lambda: ug.PositionBased(0.7, 0.7), ValueError, "together at most 1"),
        (lambda: ug.PositionBased(-0.1, 0.7), ValueError, "at least 0"),
        (lambda: ug.PositionBased(float("nan")), ValueError, "at least 0"),
        (lambda: ug.LastNonDirect("direct"), TypeError, "direct must be a set, got `'direct'`"),
    ],
)
def test_a_model_refuses_what_it_cannot_mean(build, error, message):
    with pytest.raises(error, match=message) as caught:
        build()
    assert "\nhint: " in str(caught.value)


def test_a_half_life_may_be_a_timedelta():
    js = journeys_of({"rows": path("a", "b", "c")})
    as_text, as_delta = (
        ug.attribute(js, ug.TimeDecay(half_life)) for half_life in ("36h", dt.timedelta(hours=36))
    )
    assert as_text.to_pyarrow() == as_delta.to_pyarrow()


def test_name_overrides_the_column_and_must_differ():
    js = journeys_of({"rows": path("a")})
    compared = ug.compare(js, [ug.TimeDecay(), ug.TimeDecay("1d", name="fast")])
    assert list(compared.schema) == [
        "channel",
        "time_decay_conversions",
        "time_decay_value",
        "fast_conversions",
        "fast_value",
    ]
    with pytest.raises(ValueError, match=r"two models are named `linear`\nhint: .*name="):
        ug.compare(js, [ug.Linear(), ug.Linear()])


def test_a_wrong_argument_is_told_what_to_do():
    js = journeys_of({"rows": path("a")})
    with pytest.raises(TypeError, match=r"hint: write Linear\(\)"):
        ug.attribute(js, ug.Linear)
    with pytest.raises(TypeError, match="expected a model, got `'linear'`"):
        ug.compare(js, ["linear"])
    with pytest.raises(TypeError, match=r"hint: write \[Linear"):
        ug.compare(js, ug.Linear())
    with pytest.raises(TypeError, match="expected journeys, got `Table`"):
        ug.attribute(table_of(path("a")), ug.Linear())


def test_paths_share_their_conversions_and_value():
    paths = pa.table(
        {
            "path": ["a > b > a", "b", "", None],
            "conversions": [10, 4, 1, 2],
            "value": [100.0, 8.0, None, 3.0],
            "nulls": [5, 0, 0, 0],
        }
    )
    js = ug.Journeys.from_paths(paths)
    assert (js.conversions, js.unattributed, js.touches, js.span) == (17, 3, 4, None)
    compared = ug.compare(js, [ug.Linear(), ug.LastTouch(), ug.WShape(), ug.PositionBased()])
    shown = compared.to_pyarrow()
    assert shown["channel"].to_pylist() == ["a", "b", "(unattributed)"]
    assert shown["linear_conversions"].to_pylist() == pytest.approx([20 / 3, 10 / 3 + 4, 3])
    assert shown["linear_value"].to_pylist() == pytest.approx([200 / 3, 100 / 3 + 8, 3])
    assert shown["last_touch_conversions"].to_pylist() == [10, 4, 3]
    attributed = ug.attribute(js, ug.PositionBased()).to_pyarrow().to_pylist()
    assert [row["credit"] for row in attributed] == pytest.approx([4, 2, 4, 4, 1, 2])
    assert [row["conversion_id"] for row in attributed] == [0, 0, 0, 1, 2, 3]
    with pytest.raises(ValueError, match="`time_decay` needs times"):
        ug.attribute(js, ug.TimeDecay())
    with pytest.raises(ValueError, match="`time_decay` needs times"):
        ug.compare(js, [ug.Linear(), ug.TimeDecay()])


def test_value_of_paths_stays_in_its_currency():
    paths = pa.table(
        {
            "path": ["a > b", "a > b", "a"],
            "conversions": [2, 1, 0],
            "value": [10.0, 4.0, 0.0],
            "currency": ["EUR", "USD", None],
            "nulls": [0, 0, 3],
        }
    )
    js = ug.Journeys.from_paths(paths)
    shown = ug.compare(js, [ug.Linear(), ug.Markov()]).to_pyarrow().to_pylist()
    value = {(row["channel"], row["currency"]): row["linear_value"] for row in shown}
    assert value["a", "EUR"] == value["b", "EUR"] == 5
    assert value["a", "USD"] == value["b", "USD"] == 2
    # Half of the paths convert at all, and without either channel none does.
    assert [row["markov_conversions"] for row in shown[:2]] == pytest.approx([1, 0.5])
    assert js.to_paths().column("nulls").to_pylist() == [0, 3]


def test_a_path_as_a_list_may_have_any_channel_even_the_separator():
    lists = [["a", " > ", None], [], None, ["a"]]
    compared = []
    for kind in (pa.list_(pa.string()), pa.large_list(pa.large_string())):
        paths = pa.table({"path": pa.array(lists, kind), "conversions": [3, 1, 1, 0.5]})
        compared.append(ug.compare(ug.Journeys.from_paths(paths), [ug.Linear()]).to_pyarrow())
    assert compared[0] == compared[1]
    assert compared[0]["channel"].to_pylist() == [" > ", "a", None, "(unattributed)"]
    assert compared[0]["linear_conversions"].to_pylist() == [1, 1.5, 1, 2]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.string()),
        pa.large_list(pa.large_string()),
        pa.list_(pa.string(), 2),
        pa.list_(pa.dictionary(pa.int8(), pa.string())),
    ],
    ids=str,
)
def test_lists_of_any_layout_are_the_same_paths(kind):
    """Also where a part of a table is taken, and where a path is null."""
    paths = [["x", "x"], ["a", "b"], None, ["b", "c"], ["c", None], ["x", "y"]]
    counts = [9, 4, 3, 2, 1, 9]
    table = pa.table({"path": pa.array(paths, kind), "conversions": counts}).slice(1, 4)
    rows = ug.compare(ug.Journeys.from_paths(table), [ug.LastTouch()]).to_pyarrow().to_pylist()
    credit = {row["channel"]: row["last_touch_conversions"] for row in rows}
    assert credit == {"a": 0.0, "b": 4.0, "c": 2.0, None: 1.0, "(unattributed)": 3.0}


def test_the_separator_is_exactly_that():
    paths = pa.table({"path": ["a>b > c"], "conversions": [1]})

    def channels(**given):
        js = ug.Journeys.from_paths(paths, **given)
        return ug.compare(js, [ug.Linear()]).column("channel").to_pylist()

    assert channels() == ["a>b", "c", "(unattributed)"]
    assert channels(sep=">") == [" c", "a", "b ", "(unattributed)"]
    with pytest.raises(ValueError, match="sep must not be empty"):
        channels(sep="")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"path": ["a"]}, "no column `conversions`"),
        ({"conversions": [1]}, "no column `path`"),
        ({"path": ["a", "b"], "conversions": [1, -1]}, "`conversions` is negative in row 1"),
        ({"path": ["a"], "conversions": pa.array([None], pa.int64())}, "null in row 0"),
        ({"path": ["(unattributed)"], "conversions": [1]}, r"row 0 is named `\(unattributed\)`"),
        ({"path": [1], "conversions": [1]}, "column `path` must be text"),
    ],
)
def test_paths_that_cannot_be_read_are_refused(columns, message):
    with pytest.raises(ug.errors.SchemaError, match=message):
        ug.Journeys.from_paths(pa.table(columns))


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("path", ["a", "(unattributed)"], "row 3 is named"),
        ("conversions", [1.0, None], "null in row 3"),
        ("conversions", [1.0, -1.0], "negative in row 3"),
        ("conversions", [1.0, float("inf")], "not a finite number in row 3"),
        ("nulls", [0.0, -1.0], "negative in row 3"),
        ("value", [0.0, float("nan")], "not a finite number in row 3"),
    ],
)
def test_a_path_is_named_over_all_chunks(column, values, message):
    good = {"path": ["a", "b"], "conversions": [1.0, 1.0], "nulls": [0.0] * 2, "value": [0.0] * 2}
    table = pa.concat_tables([pa.table(good), pa.table(good | {column: values})])
    with pytest.raises(ug.errors.SchemaError, match=message):
        ug.Journeys.from_paths(table)


@pytest.mark.parametrize(
    ("most", "is_whole"),
    [
        (1.0, [False, False]),
        (9.0, [True, False]),
        (9.0, [False, True]),
        (1_000.0, [True, True]),
        (2.0**53, [True, True]),
    ],
)
def test_threads_do_not_show_in_what_they_sum(most, is_whole, monkeypatch):
    count, chance = 200_000, random.Random(7)
    columns = {"conversions": [], "nulls": []}
    for column, is_floored in zip(columns.values(), is_whole, strict=True):
        drawn = [chance.random() * most for _ in range(count)]
        column.extend(float(int(number)) if is_floored else number for number in drawn)
    paths = [[f"{number % 7}", f"{number % 11}"] for number in range(count)]
    table = pa.table({"path": paths, **columns})
    models = [ug.Markov(), ug.Markov(2), ug.Shapley(), ug.Linear()]
    models += [ug.Shapley("conversion_rate", name="rate"), ug.Counterfactual()]

    def made(threads):
        monkeypatch.setenv("UNMOGROWP_THREADS", threads)
        js = ug.Journeys.from_paths(table)
        counted = [js.transitions(), js.to_paths(), js.to_paths(whole=True)]
        counted.append(ug.removal_effects(js, ug.Markov()))
        counted.append(ug.compare(js, models[:2], intervals=0.9, resamples=4))
        return [table.to_pyarrow() for table in (ug.compare(js, models), *counted)]

    assert made("1") == made("3")


def test_moves_that_never_happened_are_no_rows():
    moves = ug.Journeys.from_paths(pa.table({"path": ["a > b"], "conversions": [2]})).transitions()
    rows = {
        (row["kind"], row["from"], row["to"]): row["count"]
        for row in moves.to_pyarrow().to_pylist()
    }
    assert rows == {("start", None, "a"): 2, ("move", "a", "b"): 2, ("conversion", "b", None): 2}
