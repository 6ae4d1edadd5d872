"""Tables and CSV in: each row is validated as an event of JSON is."""

import csv
import datetime as dt
import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import unmogrowp as ug
from unmogrowp.errors import SchemaError
from unmogrowp.events import parse_pieces
from unmogrowp.simulate import Scenario, simulate
from unmogrowp.table import ArrowStream

EVENTS = 3_000
BODY = b"".join(simulate(Scenario(events=EVENTS)))
PARSED = ug.parse(BODY)
TABLE = PARSED.events.to_pyarrow()


def to_parquet(path: Path) -> None:
    pq.write_table(TABLE, path, row_group_size=700)


def to_arrow_file(path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=700)


def to_arrow_stream(path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=700)


FILES: dict[str, Callable[[Path], None]] = {
    "events.parquet": to_parquet,
    "events.arrow": to_arrow_file,
    "events.arrows": to_arrow_stream,
}


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def cells(event: dict[str, object]) -> dict[str, object]:
    """An event as a row of CSV, as anybody would write it."""
    shown = {name: compact(v) if isinstance(v, dict) else v for name, v in event.items()}
    return {name: "" if value is None else value for name, value in shown.items()}


def as_csv(events: list[dict[str, object]], delimiter: str = ",") -> bytes:
    names = list(dict.fromkeys(name for event in events for name in event))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, delimiter=delimiter)
    writer.writeheader()
    writer.writerows(map(cells, events))
    return text.getvalue().encode()


def rows_of(pieces: list[ug.Parsed]) -> list[dict[str, object]]:
    """Whatever the pieces number their labels by."""
    return [row for piece in pieces for row in piece.events.to_pyarrow().to_pylist()]


SIMULATED = [json.loads(line) for line in BODY.splitlines()]


@pytest.mark.parametrize(
    "made",
    [
        lambda: PARSED.events,
        lambda: TABLE,
        lambda: pl.from_arrow(TABLE),
        lambda: duckdb.from_arrow(TABLE),
    ],
    ids=["ours", "pyarrow", "polars", "duckdb"],
)
def test_a_table_comes_in_as_it_went_out(made: Callable[[], ArrowStream]) -> None:
    parsed = ug.parse(made())
    assert len(parsed.rejects) == 0
    assert parsed.events.to_pyarrow().equals(TABLE)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_tables_comes_in_as_it_went_out(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    FILES[name](path)
    assert ug.parse(path).events.to_pyarrow().equals(TABLE)
    pieces = parse_pieces(path, piece_bytes=100_000)
    first = next(pieces)
    place = pieces.place
    rest = list(parse_pieces(path, piece_bytes=100_000, start=place))
    assert len(rest) > 2
    assert rows_of([first, *rest]) == TABLE.to_pylist()


def test_a_frame_of_anybody_is_validated() -> None:
    """With columns of their own types, and what is wrong said by row."""
    frame = pd.DataFrame(
        {
            "event_name": ["open", "buy", None, "buy"],
            "timestamp": pd.to_datetime(["2026-01-01T00:00:00.000001Z"] * 4),
            "user_id": [17, 18, 19, 20],
            "revenue": [None, 1.5, None, 3.0],
            "currency": [None, "eur", None, None],
            "level": [1.0, None, None, 2.5],
        }
    )
    parsed = ug.parse(pa.Table.from_pandas(frame))
    assert parsed.rejects.column("row").to_pylist() == [0, 1, 2, 3]
    frame["user_id"] = frame["user_id"].astype(str)
    parsed = ug.parse(pa.Table.from_pandas(frame))
    events = parsed.events.to_pyarrow().to_pylist()
    at = dt.datetime(2026, 1, 1, microsecond=1, tzinfo=dt.UTC)
    assert [(event["event_name"], event["timestamp"]) for event in events] == [
        ("open", at),
        ("buy", at),
    ]
    assert [event["revenue_micros"] for event in events] == [None, 1_500_000]
    assert [event["properties"] for event in events] == ['{"level":1.0}', None]
    rejects = parsed.rejects.to_pyarrow().to_pylist()
    assert [(reject["row"], reject["field"]) for reject in rejects] == [
        (2, "event_name"),
        (3, "currency"),
    ]


def test_a_column_that_json_cannot_say_is_named() -> None:
    table = pa.table({"event_name": ["a"], "took": pa.array([5], pa.duration("s"))})
    with pytest.raises(SchemaError, match=r"column `took` must be text, a number[\s\S]*hint: cast"):
        ug.parse(table)


def test_simulated_events_come_in_from_csv(tmp_path: Path) -> None:
    body = as_csv(SIMULATED)
    whole = ug.parse(body, format="csv")
    assert len(whole.rejects) == 0
    # Whole numbers among their properties have become text: CSV has no other kind of cell.
    assert whole.events.to_pyarrow().equals(TABLE)
    tabs = as_csv(SIMULATED, "\t")
    packed = zstandard.ZstdCompressor().compress(body)
    for name, data in {
        "events.csv": body,
        "events.CSV.gz": gzip.compress(body),
        "events.csv.zst": packed,
        "events.tsv": tabs,
    }.items():
        path = tmp_path / name
        path.write_bytes(data)
        assert ug.parse(path).events.to_pyarrow().equals(TABLE), name
        pieces = parse_pieces(path, piece_bytes=200_000)
        first = next(pieces)
        rest = list(parse_pieces(path, piece_bytes=200_000, start=pieces.place))
        assert rows_of([first, *rest]) == TABLE.to_pylist(), name


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=9)
EVENT = st.fixed_dictionaries(
    {
        "event_name": TEXTS,
        "timestamp": st.integers(1_600_000_000, 1_700_000_000),
        "user_id": TEXTS,
        "source": st.none() | TEXTS,
        "properties": st.none() | st.dictionaries(TEXTS, TEXTS | st.integers(), min_size=1),
    }
)


@given(st.lists(EVENT, min_size=1, max_size=8))
def test_csv_and_json_come_to_the_same(events: list[dict[str, object]]) -> None:
    """Whatever texts hold: quotes, separators, line breaks, what means nobody."""
    from_json = ug.parse("\n".join(map(compact, events)).encode())
    from_csv = ug.parse(as_csv(events), format="csv")
    names = ("event_name", "timestamp", "user_id", "source", "properties")
    for name in names:
        assert from_csv.events.column(name).to_pylist() == from_json.events.column(name).to_pylist()
    for name in ("row", "code", "field"):
        found = from_csv.rejects.column(name).to_pylist()
        assert found == from_json.rejects.column(name).to_pylist()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"a,,b\n1,2,3\n", r"column 1 of the CSV has no name[\s\S]*hint: the first row"),
        (b"a,a\n1,2\n", r"two columns of the CSV are called `a`[\s\S]*hint: rename"),
        (b"", r"hint:"),
        (b"event_name\n", r"hint:"),
    ],
)
def test_csv_that_is_none_says_so(body: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(body)
    with pytest.raises(ValueError, match=message):
        ug.parse(path)
    with pytest.raises(ValueError, match=message):
        list(parse_pieces(path))


def test_a_broken_file_of_tables_says_so(tmp_path: Path) -> None:
    for name, write in FILES.items():
        path = tmp_path / name
        write(path)
        path.write_bytes(path.read_bytes()[:5_000])
        with pytest.raises(ValueError, match=rf"{name} is broken: [\s\S]*hint: write it anew"):
            ug.parse(path)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown format `xml`\nhint: `json`, `csv` or None"):
        ug.parse(b"<a/>", format="xml")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "unmogrowp.cli", "parse", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ.copy(),
        check=False,
    )


def test_files_of_every_kind_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_bytes(as_csv(SIMULATED))
    to_parquet(tmp_path / "events.parquet")
    for name in ("events.csv", "events.parquet"):
        out = tmp_path / "out.parquet"
        done = run(str(tmp_path / name), "-o", str(out))
        assert done.returncode == 0, done.stderr
        assert f"{EVENTS:,} events, 0 rejects" in done.stderr
        assert pq.read_table(out).to_pylist() == TABLE.to_pylist()
        out.unlink()
