"""`ug.parse` beside what a Python user has today, on the mixed corpus.

Each pair runs interleaved in this process and is compared by CPU time, so that a busy machine
moves both. Neither of the others says which records are bad, nor types ids and money.
"""

import io
import json

import pytest

import corpus
import unmogrowp as ug
from pairs import cpu_seconds, times_faster

EVENTS = 20_000
# Well below what was measured, so that only a real loss of speed falls short.
TIMES_POLARS_MIN = 2.5
TIMES_PYARROW_MIN = 12.0
TIMES_ORJSON_MIN = 1.5


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("corpus")
    corpus.write(out, EVENTS)
    return (out / "mixed.ndjson").read_bytes()


def read_with_polars(body: bytes) -> object:
    polars = pytest.importorskip("polars")
    # One type per column is all it takes: the times are read as text, and nothing is checked.
    schema = dict.fromkeys(ug.parse(body[: body.index(b"\n")]).events.schema, polars.String)
    schema |= {"revenue": polars.Float64, "properties": polars.String}
    return polars.read_ndjson(io.BytesIO(body), schema=schema)


def read_with_pyarrow(body: bytes) -> object:
    orjson = pytest.importorskip("orjson")
    pyarrow = pytest.importorskip("pyarrow")
    rows = [orjson.loads(line) for line in body.splitlines()]
    for row in rows:
        row["timestamp"] = str(row["timestamp"])
        row["properties"] = json.dumps(row["properties"])
    return pyarrow.Table.from_pylist(rows)


def read_with_orjson(body: bytes) -> object:
    orjson = pytest.importorskip("orjson")
    return [orjson.loads(line) for line in body.splitlines()]


@pytest.mark.parametrize(
    ("name", "theirs", "floor"),
    [
        ("polars read_ndjson", read_with_polars, TIMES_POLARS_MIN),
        ("orjson to pyarrow", read_with_pyarrow, TIMES_PYARROW_MIN),
        ("orjson to dicts, no columns", read_with_orjson, TIMES_ORJSON_MIN),
    ],
)
def test_parse_costs_less_cpu(mixed, benchmark, name, theirs, floor) -> None:
    middle, spread = times_faster(lambda: ug.parse(mixed), lambda: theirs(mixed))
    parsed = benchmark.pedantic(ug.parse, (mixed,), rounds=7, warmup_rounds=1)
    assert len(parsed.events) == EVENTS
    seconds = min(cpu_seconds(lambda: ug.parse(mixed)) for _ in range(9))
    benchmark.extra_info |= {"times faster": middle, "beside": name, "CPU s": seconds}
    rate = EVENTS / seconds / 1e6
    print(f"\nparse: {rate:.2f} M events/s of CPU; ", end="")
    print(f"claim ≥ {floor} × {name}, measured {middle:.2f} × (spread {spread:.0%})")
    assert middle >= floor
