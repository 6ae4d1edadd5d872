"""Rows per second into the embedded warehouse, tokens and fsync included: bare, with roll-ups.

The peer is the engine's own way from Arrow, `INSERT … SELECT FROM Python(table)`: the same rows as
they arrived, into a table of the same definition, with the engine's settings as they come.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import corpus
import unmogrowp as ug
from unmogrowp import _core
from unmogrowp.warehouse import Warehouse, schema

ROWS = 100_000
ROUNDS = 7
VIEWS = tuple(f"{table}_view" for table in schema.ROLLUPS)
BARE_AIM, BARE_FLOOR, ROLLUPS_FLOOR, PEER_FLOOR = 1_000_000, 600_000, 400_000, 1.25
PEER = (
    "INSERT INTO peer (* EXCEPT precedence) SELECT * FROM Python(arrived) "
    "SETTINGS optimize_on_insert = 1"
)
ARRIVED = "SELECT * EXCEPT precedence FROM events ORDER BY cityHash64(event_id)"


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> _core.Batches:
    out = tmp_path_factory.mktemp("corpus")
    corpus.write(out, ROWS)
    return ug.parse(out / "mixed.ndjson").events.batches


def rate(work: Callable[..., object], *given: object) -> float:
    started = time.perf_counter()
    work(*given)
    return ROWS / (time.perf_counter() - started)


def test_rows_into_the_warehouse(tmp_path: Path, events: _core.Batches) -> None:
    """Encoding to Native blocks is timed apart; all take turns while merges stand still."""
    with Warehouse(f"chdb://{tmp_path / 'warehouse'}") as warehouse:
        warehouse.migrate()
        (month,) = _core.months(events)
        warehouse.insert("events", _core.native_events(events, month, 0), "rows of the peer")
        arrived = warehouse.arrow(ARRIVED, {})
        assert len(arrived) == ROWS
        warehouse.command("CREATE TABLE peer AS events")
        warehouse.command("SYSTEM STOP MERGES")
        rates: dict[str, list[float]] = {"encode": [], "bare": [], "roll-ups": [], "peer": []}
        for number in range(1, ROUNDS + 1):
            block = _core.native_events(events, month, number)
            rates["encode"].append(rate(_core.native_events, events, month, number))
            rates["peer"].append(rate(warehouse.command, PEER))
            for name, verb in (("bare", "DETACH"), ("roll-ups", "ATTACH")):
                for view in VIEWS:
                    warehouse.command(f"{verb} TABLE {view}")
                token = f"{name}-{number}"
                rates[name].append(rate(warehouse.insert, "events", block, token))
        # Every round has the same events, which merge into one copy of each.
        (row,) = warehouse.rows("SELECT count() AS stored FROM events FINAL")
        assert row["stored"] == ROWS
    found = {name: statistics.median(all_rates) for name, all_rates in rates.items()}
    for name, median in found.items():
        spread = f"min {min(rates[name]):,.0f}, max {max(rates[name]):,.0f}"
        print(f"\nwarehouse, {name}: {median:,.0f} rows/s ({spread})", end="")
    ratio = found["bare"] / found["peer"]
    print(
        f"\nwarehouse, bare over peer: {ratio:.2f} (floor {PEER_FLOOR}), bare aims at {BARE_AIM:,}"
    )
    assert ratio >= PEER_FLOOR
    assert found["bare"] >= BARE_FLOOR
    assert found["roll-ups"] >= ROLLUPS_FLOOR
