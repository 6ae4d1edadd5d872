"""Rows per second into the embedded warehouse, tokens and fsync included: bare, with roll-ups."""

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
VIEWS = ("rollup_counts_view", "rollup_users_view")


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> _core.Batches:
    out = tmp_path_factory.mktemp("corpus")
    corpus.write(out, ROWS)
    return ug.parse(out / "mixed.ndjson").events.batches


def test_rows_into_the_warehouse(tmp_path: Path, events: _core.Batches) -> None:
    """Encoding to Native blocks is timed apart; rounds with and without roll-ups take turns."""
    with Warehouse(f"chdb://{tmp_path / 'warehouse'}") as warehouse:
        warehouse.migrate()
        months = _core.months(events)
        encoding: list[float] = []
        inserting: dict[str, list[float]] = {"DETACH": [], "ATTACH": []}
        for number in range(2 * ROUNDS):
            verb = ("DETACH", "ATTACH")[number % 2]
            for view in VIEWS:
                warehouse.command(f"{verb} TABLE {view}")
            started = time.perf_counter()
            blocks = [_core.native_events(events, month, number) for month in months]
            encoded = time.perf_counter()
            for month, block in zip(months, blocks, strict=True):
                warehouse.insert("events", block, f"bench-{number}-{month}")
            encoding.append(ROWS / (encoded - started))
            inserting[verb].append(ROWS / (time.perf_counter() - encoded))
        # Every round has the same events, which merge into one copy of each.
        (row,) = warehouse.rows("SELECT count() AS stored FROM events FINAL")
        assert row["stored"] == ROWS
    shown = {"encode": encoding, "insert": inserting["DETACH"], "roll-ups": inserting["ATTACH"]}
    for name, rates in shown.items():
        spread = f"min {min(rates):,.0f}, max {max(rates):,.0f}"
        print(f"\nwarehouse, {name}: {statistics.median(rates):,.0f} rows/s ({spread})", end="")
