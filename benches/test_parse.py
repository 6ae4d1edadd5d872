"""`ug.parse` beside what a Python user has today, on the mixed corpus.

Each pair runs interleaved in this process and is compared by CPU time, so that a busy machine
moves both. Neither of the others says which records are bad, nor types ids and money.
"""

import datetime as dt
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import corpus
import unmogrowp as ug
from pairs import cpu_seconds, times_faster

EVENTS = 20_000
# Well below what was measured, so that only a real loss of speed falls short.
TIMES_POLARS_MIN = 4.0
TIMES_PYARROW_MIN = 14.0
TIMES_ORJSON_MIN = 1.5
TIMES_ARRO3_MIN = 2.0


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


def in_words(found: re.Match[bytes]) -> bytes:
    """A time in milliseconds as text."""
    at = dt.datetime.fromtimestamp(int(found[1]) / 1000, dt.UTC)
    return f'"timestamp":"{at:%Y-%m-%dT%H:%M:%S.%f}Z"'.encode()


def test_parse_costs_less_cpu_than_arro3(mixed: bytes) -> None:
    """It is told the columns, and takes no number where another record has text."""
    arro3 = pytest.importorskip("arro3.io")
    body = re.sub(rb'"timestamp":(\d{13})\b', in_words, mixed)
    schema = arro3.infer_json_schema(io.BytesIO(body))

    def theirs() -> object:
        return arro3.read_json(io.BytesIO(body), schema).read_all()

    assert len(ug.parse(body).events) == theirs().num_rows == EVENTS
    middle, spread = times_faster(lambda: ug.parse(body), theirs)
    measured = f"measured {middle:.2f} × (spread {spread:.0%})"
    print(f"\nparse: claim ≥ {TIMES_ARRO3_MIN} × arro3, {measured}")
    assert middle >= TIMES_ARRO3_MIN


FAIR = """
import sys, threading, time
import unmogrowp as ug

body = open(sys.argv[1], "rb").read() * int(sys.argv[2])
count = 0

def spin():
    global count
    while True:
        count += 1

def rate(during):
    global count
    started, before = time.perf_counter(), count
    during()
    return (count - before) / (time.perf_counter() - started)

threading.Thread(target=spin, daemon=True).start()
ug.parse(body)
solo = [rate(lambda: time.sleep(0.5)) for _ in range(3)]
beside = [rate(lambda: ug.parse(body)) for _ in range(5)]
print(sorted(beside)[2] / sorted(solo)[1], len(body) >> 20)
"""
SHARE_OF_SOLO_MIN = 0.6


def test_a_python_thread_goes_on(tmp_path: Path) -> None:
    """How fast a loop in Python runs beside a parse on one thread, of how fast it runs alone."""
    corpus.write(tmp_path, EVENTS)
    path = tmp_path / "mixed.ndjson"
    times = (64 << 20) // path.stat().st_size + 1
    done = subprocess.run(
        [sys.executable, "-c", FAIR, str(path), str(times)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "UNMOGROWP_THREADS": "1"},
    )
    share, mib = done.stdout.split()
    print(f"\na Python thread beside a parse of {mib} MiB: {float(share):.2f} of its speed alone")
    assert float(share) >= SHARE_OF_SOLO_MIN
