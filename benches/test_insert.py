"""Rows per second into the embedded warehouse: roll-ups, tokens and fsync included."""

import statistics
import time
from pathlib import Path

import pytest

import corpus
import unmogrowp as ug
from unmogrowp import _core
from unmogrowp.warehouse import Warehouse

ROWS = 100_000
ROUNDS = 5


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> _core.Batches:
    out = tmp_path_factory.mktemp("corpus")
    corpus.write(out, ROWS)
    return ug.parse(out / "mixed.ndjson").events.batches


def test_rows_into_the_warehouse(tmp_path: Path, events: _core.Batches) -> None:
    """Encoding to Native blocks is timed apart from the insert."""
    with Warehouse(f"chdb://{tmp_path / 'warehouse'}") as warehouse:
        warehouse.migrate()
        encoding, inserting = [], []
        for number in range(1, ROUNDS + 1):
            started = time.perf_counter()
            months = _core.months(events)
            blocks = [_core.native_events(events, month, number) for month in months]
            encoded = time.perf_counter()
            for month, block in zip(months, blocks, strict=True):
                warehouse.insert("events", block, f"bench-{number}-{month}")
            encoding.append(ROWS / (encoded - started))
            inserting.append(ROWS / (time.perf_counter() - encoded))
        (row,) = warehouse.rows("SELECT count() AS stored FROM events")
        assert row["stored"] == ROWS * ROUNDS
    print(
        f"\nwarehouse: encode {statistics.median(encoding):,.0f} rows/s, insert with roll-ups "
        f"{statistics.median(inserting):,.0f} rows/s (min {min(inserting):,.0f}, "
        f"max {max(inserting):,.0f})"
    )
