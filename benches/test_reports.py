"""How long reports take over many stored events: idle, and while events come in at full rate.

The simulator's events are stored first: a million, or as many as `BENCH_EVENTS` says. What comes in
meanwhile makes the reports longer too, so that those under load stand beside the mean of those
before and after it.
"""

import datetime as dt
import itertools
import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import cast

import pytest

from serving import APP, Server, keyed, processes, serving
from unmogrowp.sending import Connection, Json, Progress, Senders, Sent
from unmogrowp.simulate import Scenario, simulate

EVENTS = int(os.environ.get("BENCH_EVENTS", "1_000_000"))
SLICE = 1_000_000
ROUNDS = 7
# Parts become one five minutes after the last, and the engine looks for them once a minute.
REST_S = 420.0
IDLE_MS_MAX = 300.0
BUSY_RATIO_MAX = 3.0
REPORTS: dict[str, dict[str, str]] = {
    "overview": {"interval": "day"},
    "campaigns": {},
    "attribution": {"model": "linear", "conversion": "purchase"},
    "attribution by day": {"model": "time_decay", "group_by": "day"},
    "attribution markov": {"model": "markov", "conversion": "install"},
    "paths": {"limit": "20"},
    "cohorts": {"by": "source", "days": "1,7,14"},
}


def months(number: int) -> Iterator[bytes]:
    """The events of one seed, in bodies."""
    start = dt.date(2026, 6, 1)
    yield from simulate(Scenario(app_id=APP, events=SLICE, seed=number, start=start))


def settle(reports: Connection, events: int) -> float:
    """Wait until everything stored is in the reports and credited; the seconds it took."""
    started = time.monotonic()
    while True:
        overview = reports.get("/v1/reports/overview", app_id=APP, interval="total")
        stored = cast("Json", overview["total"])["events"]
        store = cast("Json", reports.get("/health/ready")["store"])
        waiting = store["lag_bytes"] or store["unattributed_batches"]
        if cast("int", stored) >= events and not waiting:
            return time.monotonic() - started
        assert time.monotonic() - started < 600, store
        time.sleep(0.2)


def latencies(reports: Connection, rounds: int = ROUNDS) -> dict[str, float]:
    """Milliseconds of each report, the median of some rounds in turns."""
    found: dict[str, list[float]] = {name: [] for name in REPORTS}
    for name, query in [*REPORTS.items()] * rounds:
        started = time.perf_counter()
        answer: Json = reports.get(f"/v1/reports/{name.split()[0]}", app_id=APP, **query)
        found[name].append((time.perf_counter() - started) * 1000)
        assert answer["rows"], name
    return {name: statistics.median(times) for name, times in found.items()}


def at_rest(reports: Connection) -> dict[str, float]:
    """As `latencies`, after the parts of the store became one."""
    time.sleep(REST_S)
    return latencies(reports)


@contextmanager
def ingesting(server: Server) -> Iterator[Sent]:
    """Send events without a pause meanwhile."""
    is_over = threading.Event()
    with Senders(server.url, server.key, Progress(1, "events", is_quiet=True)) as senders:

        def feed() -> None:
            for number in itertools.count(1_000):
                for body in months(number):
                    if is_over.is_set():
                        return
                    senders.give(body)

        thread = threading.Thread(target=feed)
        thread.start()
        try:
            yield senders.sent
        finally:
            is_over.set()
            thread.join()


def resident(server: Server) -> str:
    return ", ".join(f"{name} {kib / 1024:,.0f} MiB" for name, kib in processes(server).items())


@pytest.mark.timeout(1800)
def test_reports_over_many_events(tmp_path: Path) -> None:
    """Client, simulator and server share the machine."""
    with ExitStack() as stack:
        server = stack.enter_context(serving(tmp_path))
        reports = stack.enter_context(closing(Connection(server.url, keyed(server, "read"))))
        with Senders(server.url, server.key, Progress(EVENTS, "events", is_quiet=True)) as senders:
            for number in range(EVENTS // SLICE):
                for body in months(number):
                    senders.give(body)
        stored = senders.sent.stored
        waited = settle(reports, stored)
        print(f"\nreports: {stored:,} events, whole {waited:.1f} s after the last", flush=True)
        before = latencies(reports)
        print(f"resident: {resident(server)}", flush=True)
        with ingesting(server) as more:
            started = time.monotonic()
            busy = latencies(reports)
            took_s = time.monotonic() - started
        waited = settle(reports, stored + more.stored)
        print(
            f"{more.stored / took_s:,.0f} events/s meanwhile, whole {waited:.1f} s after the last"
        )
        after = latencies(reports)
        print(f"resident: {resident(server)}", flush=True)
        # A million events are read fast either way.
        rested = at_rest(reports) if EVENTS > SLICE else {}
    ratios = {name: 2 * busy[name] / (before[name] + after[name]) for name in REPORTS}
    for name, ratio in ratios.items():
        shown = f"{before[name]:7.0f} ms before, {after[name]:7.0f} ms after"
        print(f"{name:20} {shown}, {busy[name]:7.0f} ms under load ({ratio:.1f} times the mean)")
    for name, milliseconds in rested.items():
        print(f"{name:20} {milliseconds:7.0f} ms at rest")
    assert max(before.values()) <= IDLE_MS_MAX
    assert max(ratios.values()) <= BUSY_RATIO_MAX
