"""Events per second over HTTP, durable acknowledgement and duplicate check included."""

import statistics
from pathlib import Path

import pytest

from serving import bodies, send, serving, sync_ms

ROUNDS = 5


@pytest.mark.parametrize(("per_request", "events"), [(1, 4_000), (100, 100_000), (1000, 200_000)])
def test_events_over_http(tmp_path: Path, per_request: int, events: int) -> None:
    """Client and server share the machine: the client's time is in the figure too."""
    rates = []
    with serving(tmp_path) as server:
        for number in range(ROUNDS):
            work = bodies(events, per_request, f"{per_request}-{number}")
            rates.append(events / send(server, work))
    print(
        f"\nhttp {per_request} events a request, 8 connections: {statistics.median(rates):,.0f} "
        f"events/s (min {min(rates):,.0f}, max {max(rates):,.0f}); "
        f"fdatasync {sync_ms(tmp_path):.2f} ms"
    )
    assert min(rates) > 0
