"""Laws of attribution on random journeys: a plain reference, a SQL twin, what must not show."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attribution_reference as reference
import unmogrowp as ug
from attribution_reference import DAY
from rule_models import MODELS

# Whole hours over forty days meet each other and the edges of the lookbacks.
times = st.integers(0, 40 * 24).map(lambda hour: hour * (DAY // 24))
touch = st.fixed_dictionaries(
    {
        "user": st.sampled_from("abc"),
        "us": times,
        "channel": st.sampled_from(["direct", "ads", "mail", "web", None]),
        "type": st.sampled_from(["click", "impression", None]),
        "key": st.booleans(),
    }
)
conversion = st.fixed_dictionaries(
    {
        "user": st.sampled_from("abc"),
        "us": times,
        "conversion": st.sampled_from(["install", "purchase"]),
        "value": st.one_of(st.none(), st.integers(-100, 100), st.floats(-1e9, 1e9)),
    }
)
tables = st.lists(st.one_of(touch, touch, touch, conversion), max_size=40)
policies = st.sampled_from(["partition", "overlap"])


def table_of(rows):
    def column(name, kind):
        return pa.array([row.get(name) for row in rows], kind)

    return pa.table(
        {
            "user_id": column("user", pa.string()),
            "timestamp": column("us", pa.timestamp("us")),
            "channel": column("channel", pa.string()),
            "is_conversion": pa.array(["conversion" in row for row in rows], pa.bool_()),
            "value": column("value", pa.float64()),
            "conversion_name": column("conversion", pa.string()),
            "touch_type": column("type", pa.string()),
            "key_touch": column("key", pa.bool_()),
            "row": pa.array(range(len(rows)), pa.int64()),
        }
    )


def journeys(table, **options):
    return ug.journeys(
        table,
        conversion_name="conversion_name",
        touch_type="touch_type",
        key_touch="key_touch",
        **options,
    )


def credits_of(js, model):
    """Channel and credit of every touch, by conversion."""
    found = {}
    for row in ug.attribute(js, model).to_pyarrow().to_pylist():
        found.setdefault(row["conversion_id"], []).append(row)
    return list(found.values())


@given(tables, policies)
def test_every_rule_agrees_with_the_reference(rows, policy):
    js = journeys(table_of(rows), policy=policy)
    expected = reference.journeys(rows, policy=policy)
    converted = [row for row in rows if "conversion" in row]
    for model, rule in zip(MODELS, reference.RULES, strict=True):
        found = credits_of(js, model)
        for own, touches, row in zip(found, expected, converted, strict=True):
            if not touches:
                assert [(r["touch_index"], r["channel"]) for r in own] == [(None, "(unattributed)")]
                continue
            assert [r["channel"] for r in own] == [touch.channel for touch in touches]
            shares = rule(touches, row["us"])
            assert [r["credit"] for r in own] == pytest.approx(shares, abs=1e-12)
            value = row["value"] or 0
            assert [r["value"] for r in own] == pytest.approx([s * value for s in shares], abs=1e-6)


@given(tables, policies)
def test_impressions_earn_nothing_beside_a_click_where_clicks_come_first(rows, policy):
    js = journeys(table_of(rows), policy=policy, click_over_view=True)
    for own, touches in zip(
        credits_of(js, ug.Linear()), reference.journeys(rows, policy=policy), strict=True
    ):
        left = reference.clicks_first(touches, rows)
        expected = [touch.channel for touch in left] or ["(unattributed)"]
        assert [row["channel"] for row in own] == expected


@given(tables, policies)
def test_credit_and_value_are_conserved(rows, policy):
    js = journeys(table_of(rows), policy=policy)
    values = [row["value"] or 0 for row in rows if "conversion" in row]
    for model in MODELS:
        for own, value in zip(credits_of(js, model), values, strict=True):
            assert sum(row["credit"] for row in own) == pytest.approx(1, rel=1e-9)
            assert sum(row["value"] for row in own) == pytest.approx(value, rel=1e-9, abs=1e-9)
    compared = ug.compare(js, MODELS).to_pyarrow()
    for model in MODELS:
        conversions = sum(compared[f"{model.name}_conversions"].to_pylist())
        assert conversions == pytest.approx(len(values), rel=1e-9)
        size = sum(abs(value) for value in values)
        value = sum(compared[f"{model.name}_value"].to_pylist())
        assert value == pytest.approx(sum(values), abs=1e-9 * max(size, 1))


@given(tables, policies, st.randoms(use_true_random=False), st.integers(1, 7))
def test_order_and_chunks_of_rows_cannot_show(rows, policy, random, size):
    # Input order is the last tie-break, so rows that tie must keep theirs.
    places = list(range(len(rows)))
    random.shuffle(places)
    key = [(row["user"], row["us"], "conversion" in row) for row in rows]
    ties = {}
    for place in sorted(places):
        ties.setdefault(key[place], []).append(place)
    shuffled = [ties[key[place]].pop(0) for place in places]
    table = table_of(rows)
    moved = table.take(pa.array(shuffled, pa.int64()))
    chunks = [moved.slice(start, size) for start in range(0, len(rows), size)]
    chunked = pa.concat_tables(chunks) if chunks else moved
    compared = [
        ug.compare(journeys(given, policy=policy), MODELS).to_pyarrow()
        for given in (table, moved, chunked)
    ]
    assert compared[0] == compared[1] == compared[2]
    by_id = [
        sorted(
            ug.attribute(journeys(given, policy=policy, conversion_id="row"), ug.TimeDecay())
            .to_pyarrow()
            .to_pylist(),
            key=lambda row: (row["conversion_id"], row["touch_index"] or 0),
        )
        for given in (table, chunked)
    ]
    assert by_id[0] == by_id[1]


@given(tables)
def test_policies_agree_where_nobody_converts_twice_by_one_name(rows):
    seen = set()
    single = []
    for row in rows:
        name = (row["user"], row.get("conversion"))
        if "conversion" not in row or name not in seen:
            single.append(row)
        seen.add(name)
    table = table_of(single)
    partition, overlap = (
        ug.compare(journeys(table, policy=policy), MODELS).to_pyarrow()
        for policy in ("partition", "overlap")
    )
    assert partition == overlap


@given(tables)
def test_an_endless_half_life_is_linear_and_a_short_one_the_last_touch(rows):
    js = journeys(table_of(rows))
    endless, short = ug.TimeDecay("36500000d", name="endless"), ug.TimeDecay("1us", name="short")
    models = [endless, short, ug.Linear(), ug.LastTouch()]
    compared = ug.compare(js, models).to_pyarrow()
    assert compared["endless_conversions"].to_pylist() == pytest.approx(
        compared["linear_conversions"].to_pylist(), abs=1e-3
    )
    # Touches that tie with the newest share with it, whatever the half-life.
    for own in credits_of(js, short):
        newest = [row["credit"] for row in own if row["credit"] > 0]
        assert newest == pytest.approx([1 / len(newest)] * len(newest))
        assert own[-1]["credit"] > 0


@given(tables, st.sampled_from(["1d", "7d", "36h"]))
def test_a_stepped_decay_counts_whole_half_lives(rows, half_life):
    js = journeys(table_of(rows))
    us = reference.microseconds(half_life)
    converted = [row for row in rows if "conversion" in row]
    found = credits_of(js, ug.TimeDecay(half_life, step=True))
    for own, touches, row in zip(found, reference.journeys(rows), converted, strict=True):
        if touches:
            shares = reference.time_decay(touches, row["us"], us, step=True)
            assert [r["credit"] for r in own] == pytest.approx(shares, abs=1e-12)


TWIN = """
with events as (select * from given),
conversions as (
    select *, lag(row) over same as before_row, lag(timestamp) over same as before
    from events where is_conversion
    window same as (partition by user_id, conversion_name order by timestamp, row)
),
pairs as (
    select c.row as conversion, t.row as touch, t.channel, coalesce(c.value, 0) as value,
        row_number() over (partition by c.row order by t.timestamp desc, t.row desc) as from_end,
        row_number() over (partition by c.row order by t.timestamp, t.row) as from_start,
        count(*) over (partition by c.row) as touches,
        pow(2, -epoch_us(c.timestamp - t.timestamp) / 604800000000.0) as weight
    from conversions c join events t on not t.is_conversion and t.user_id = c.user_id
        and t.timestamp <= c.timestamp
        and epoch_us(c.timestamp - t.timestamp) <=
            case when t.touch_type = 'impression' then 86400000000 else 2592000000000 end
        and ({policy} = 'overlap' or c.before is null or t.timestamp > c.before)
)
select channel,
    sum(case when from_start = 1 then 1 else 0 end) as first_touch,
    sum(case when from_end = 1 then 1 else 0 end) as last_touch,
    sum(1.0 / touches) as linear,
    sum(weight / total) as time_decay,
    sum(value * weight / total) as time_decay_value
from (select *, sum(weight) over (partition by conversion) as total from pairs)
group by channel
"""


@settings(deadline=None, max_examples=40)
@given(tables, policies)
def test_a_twin_in_sql_gives_the_same_totals(rows, policy):
    duckdb = pytest.importorskip("duckdb")
    table = table_of(rows)
    connection = duckdb.connect()
    connection.register("given", table)
    twin = connection.sql(TWIN.format(policy=f"'{policy}'")).fetchall()
    expected = {channel: sums for channel, *sums in twin}
    models = [ug.FirstTouch(), ug.LastTouch(), ug.Linear(), ug.TimeDecay()]
    compared = ug.compare(journeys(table, policy=policy), models).to_pyarrow().to_pylist()
    for row in compared[:-1]:
        found = [row[f"{model.name}_conversions"] for model in models]
        found.append(row["time_decay_value"])
        sums = expected.pop(row["channel"], [0] * 5)
        assert found == pytest.approx([float(number) for number in sums], rel=1e-9, abs=1e-6)
        assert found[:4] == pytest.approx([float(number) for number in sums[:4]], abs=1e-9)
    assert not expected


@pytest.mark.service
def test_a_twin_in_clickhouse_gives_the_same_totals():
    program = [sys.executable, str(Path(__file__).parent / "chdb_twin.py"), "7", "60"]
    assert subprocess.check_output(program, text=True) == "60 tables\n"
