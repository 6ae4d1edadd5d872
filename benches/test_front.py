"""CPU of the server for a request: the front, the routes behind it, and bare handlers."""

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from serving import Server, bodies, send, sync_ms

ROUNDS = 7
START_S = 30
HERE = Path(__file__).parent
KINDS = ("front", "routes", "bare", "parsing")


@contextmanager
def granian(kind: str, home: Path) -> Iterator[tuple[Server, int]]:
    """One kind of server, and its pid."""
    home.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(HERE / "front_app.py"), kind, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    wait_for(said["port"])
    try:
        yield Server("127.0.0.1", said["port"], said["key"], home), process.pid
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()


def wait_for(port: int) -> None:
    """Poll until somebody listens."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nobody listens on `{port}`")


def cpu_us(pid: int) -> float:
    """Microseconds that all threads of a process have run."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK") * 1e6


@pytest.mark.parametrize(("per_request", "requests"), [(1, 3_000), (100, 600)])
def test_cpu_of_a_request(tmp_path: Path, per_request: int, requests: int) -> None:
    """Interleaved rounds at 8 connections; the ratio of each pair, then the median."""
    spent: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with ExitStack() as stack:
        servers = {k: stack.enter_context(granian(k, tmp_path / k)) for k in KINDS}
        for number in range(-1, ROUNDS):
            work = bodies(per_request * requests, per_request, f"{per_request}-{number}")
            for kind in KINDS if number % 2 else KINDS[::-1]:
                server, pid = servers[kind]
                before = cpu_us(pid)
                send(server, work)
                if number >= 0:
                    spent[kind].append((cpu_us(pid) - before) / requests)
    for kind in KINDS:
        ratios = [other / ours for other, ours in zip(spent[kind], spent["front"], strict=True)]
        print(
            f"\n{per_request} events a request, {kind}: {statistics.median(spent[kind]):.0f} µs of "
            f"CPU, {statistics.median(ratios):.2f} × the front's "
            f"({min(ratios):.2f} - {max(ratios):.2f})",
            end="",
        )
    print(f"\nfdatasync {sync_ms(tmp_path):.2f} ms")
    assert all(value > 0 for values in spent.values() for value in values)
