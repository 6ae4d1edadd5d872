"""Tables of many people: several threads, many drawers, short words and long ones."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import attribution_reference as reference
import unmogrowp as ug

ROWS = 200_000
MODELS = [ug.FirstTouch(), ug.LastTouch(), ug.Linear(), ug.TimeDecay(), ug.WShape()]


def table_of(*, days: int, channels: int, user: pa.DataType, people: int = 20_000) -> pa.Table:
    """Rows in no order, the same on every call."""
    numbers = [
        int.from_bytes(hashlib.sha256(f"{row}".encode()).digest()[:16]) for row in range(ROWS)
    ]
    users = [f"{number % people:032x}" for number in numbers]
    if pa.types.is_integer(user):
        users = [int(name, 16) << 40 for name in users]
    elif pa.types.is_fixed_size_binary(user):
        users = [bytes.fromhex(name) for name in users]
    return pa.table(
        {
            "user_id": pa.array(users, type=user),
            "timestamp": pa.array(
                [(number >> 20) % (days * reference.DAY) for number in numbers],
                type=pa.timestamp("us", "UTC"),
            ),
            "channel": pa.array([f"channel {(number >> 64) % channels}" for number in numbers]),
            "is_conversion": pa.array([(number >> 80) % 20 == 0 for number in numbers]),
            "value": pa.array([(number >> 90) % 1000 for number in numbers]),
            "name": pa.array([["install", "purchase"][(number >> 100) % 2] for number in numbers]),
            "currency": pa.array([["EUR", None, "USD"][(number >> 102) % 3] for number in numbers]),
            "type": pa.array([["click", "impression"][(number >> 104) % 2] for number in numbers]),
            "key": pa.array([(number >> 106) % 9 == 0 for number in numbers]),
        }
    )


def compared(table: pa.Table) -> pa.Table:
    journeys = ug.journeys(
        table,
        conversion_name="name",
        currency="currency",
        touch_type="type",
        key_touch="key",
        view_lookback="5d",
    )
    return ug.compare(journeys, MODELS).to_pyarrow()


def totals(table: pa.Table) -> dict[str, float]:
    rows = compared(table)
    names = [f"{model.name}_{what}" for model in MODELS for what in ("conversions", "value")]
    return {name: sum(rows[name].to_pylist()) for name in names}


@pytest.mark.parametrize(
    "user",
    [pa.uint64(), pa.int64(), pa.string(), pa.large_string(), pa.string_view(), pa.binary(16)],
    ids=str,
)
def test_people_are_the_same_whatever_names_them(user):
    """All types of ids give what short texts give, which a dictionary keeps apart exactly."""
    table = table_of(days=90, channels=16, user=user)
    named = table_of(days=90, channels=16, user=pa.string())
    exact = named.set_column(0, "user_id", named["user_id"].combine_chunks().dictionary_encode())
    assert compared(table).equals(compared(exact))


@pytest.mark.parametrize(
    ("days", "channels"),
    [(90, 16), (90, 5000), (60 * 365, 16), (60 * 365, 5000)],
)
def test_sums_are_those_of_the_conversions(days, channels):
    """However many bits times and channels need."""
    table = table_of(days=days, channels=channels, user=pa.uint64())
    converting = table.filter(table["is_conversion"])
    sums = totals(table)
    for model in MODELS:
        assert sums[f"{model.name}_conversions"] == pytest.approx(len(converting), rel=1e-12)
        value = sum(converting["value"].to_pylist())
        assert sums[f"{model.name}_value"] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("days", [90, 60 * 365])
def test_a_plain_reference_gives_the_same_credit(days):
    """Over people with a hundred rows each, so that runs are long and windows full."""
    table = table_of(days=days, channels=7, user=pa.string(), people=2_000).slice(0, 20_000)
    plain = table.drop_columns(["type", "currency", "key"])
    journeys = ug.journeys(plain, conversion_name="name", click_lookback="20d")
    credit = ug.attribute(journeys, ug.Linear()).to_pyarrow()
    found = dict.fromkeys(credit["conversion_id"].to_pylist(), 0)
    for conversion, index in zip(
        credit["conversion_id"].to_pylist(), credit["touch_index"].to_pylist(), strict=True
    ):
        found[conversion] += index is not None
    assert found == touch_counts(plain, 20 * reference.DAY)


def touch_counts(table: pa.Table, lookback_us: int) -> dict[int, int]:
    """By row of each conversion: how many touches it may credit, counted one by one."""
    people: dict[str, list[tuple[int, bool, int, str]]] = {}
    us = table["timestamp"].cast(pa.int64()).to_pylist()
    columns = (table[name].to_pylist() for name in ("user_id", "is_conversion", "name"))
    for row, (user, is_conversion, name) in enumerate(zip(*columns, strict=True)):
        people.setdefault(user, []).append((us[row], is_conversion, row, name))
    counts = {}
    for rows in people.values():
        touches: list[int] = []
        consumed = dict.fromkeys(("install", "purchase"), 0)
        for time, is_conversion, row, name in sorted(rows):
            if not is_conversion:
                touches.append(time)
                continue
            counts[row] = sum(time - touch <= lookback_us for touch in touches[consumed[name] :])
            consumed[name] = len(touches)
    return counts


SAME = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
import pyarrow as pa
from test_journeys_at_size import compared, table_of
table = table_of(days=90, channels=300, user=pa.string())
halves = pa.concat_tables([table.slice(0, 77_777), table.slice(77_777)])
for given in (table, halves):
    rows = compared(given)
    print(len(rows), hashlib.sha256(repr(rows.to_pydict()).encode()).hexdigest())
"""


def test_neither_threads_nor_chunks_change_a_byte():
    answers = set()
    for threads in ("1", "2", "5"):
        env = os.environ | {"UNMOGROWP_THREADS": threads}
        command = [sys.executable, "-c", SAME, str(Path(__file__).parent)]
        told = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE).stdout
        answers.update(told.splitlines())
    assert len(answers) == 1
    assert answers.pop().startswith(b"903 ")


def test_one_person_may_own_most_rows():
    table = table_of(days=90, channels=16, user=pa.uint64(), people=2)
    assert totals(table)["linear_conversions"] == pytest.approx(
        len(table.filter(table["is_conversion"])), rel=1e-12
    )
