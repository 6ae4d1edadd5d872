"""`ug.compare(ug.journeys(table), models)` beside Polars, DuckDB and numba, on rows in no order.

Each pair runs interleaved in this process and is compared by CPU time. `UNMOGROWP_BENCH_ROWS`
makes the tables larger or smaller.
"""

import os
from functools import cache

import numpy as np
import pyarrow as pa
import pytest

import peers
import unmogrowp as ug
from pairs import times_faster

ROWS = int(os.environ.get("UNMOGROWP_BENCH_ROWS", "10000000"))
ROWS_PER_USER = 9
CHANNELS = 16
DAYS = 90
MODELS = [ug.FirstTouch(), ug.LastTouch(), ug.Linear(), ug.TimeDecay(), ug.PositionBased()]


@cache
def table_of(user: str) -> pa.Table:
    rng = np.random.default_rng(1)
    people = ROWS // ROWS_PER_USER
    users = rng.integers(0, people, ROWS)
    channels = pa.array([f"channel {number:02}" for number in range(CHANNELS)])
    keys = pa.array(rng.integers(0, CHANNELS, ROWS, dtype=np.int32))
    names = pa.array(users.astype(np.uint64))
    if user == "text":
        names = pa.array([f"{number:032x}" for number in range(people)]).take(pa.array(users))
    return pa.table(
        {
            "user_id": names,
            "timestamp": pa.array(
                rng.integers(0, DAYS * 86_400_000_000, ROWS), type=pa.timestamp("us", "UTC")
            ),
            "channel": pa.DictionaryArray.from_arrays(keys, channels),
            "is_conversion": pa.array(rng.random(ROWS) < 0.04),
        }
    )


def ours(table: pa.Table) -> peers.Credit:
    rows = ug.compare(ug.journeys(table), MODELS).to_pyarrow().slice(0, CHANNELS)
    sums = zip(*(rows[f"{name}_conversions"].to_pylist() for name in peers.MODELS), strict=True)
    return dict(zip(rows["channel"].to_pylist(), sums, strict=True))


@pytest.mark.parametrize(
    ("user", "name", "floor"),
    [
        ("u64", "polars", 5.0),
        ("u64", "duckdb", 5.0),
        ("u64", "numba", 2.0),
        ("text", "polars", 8.0),
        ("text", "duckdb", 12.0),
    ],
)
def test_compare_beside(user: str, name: str, floor: float, record_property) -> None:
    if name == "numba":
        pytest.importorskip("numba")
    table, peer = table_of(user), getattr(peers, name)
    expected = peer(table)
    for channel, sums in ours(table).items():
        assert sums == pytest.approx(expected[channel], rel=1e-6)
    ratio, spread = times_faster(lambda: ours(table), lambda: peer(table), pairs=5)
    record_property("ratio", ratio)
    print(f"\ncompare, {user} ids: {ratio:.1f} x {name} (floor {floor}), spread {spread:.0%}")
    assert ratio >= floor
