"""The native listener beside nginx that only answers, each on the first core, wrk on the second.

Durable acknowledgements and the duplicate check are included; nginx reads the same bodies, stores
nothing and answers 202. Needs `nginx` and `wrk` on the PATH.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import corpus
from serving import CLI, sync_ms
from test_front import cpu_us, wait_for
from unmogrowp.catalog import Catalog
from unmogrowp.server.supervisor import free_port

EVENTS, APPS = 100_000, 400
# Apps that one load may come to; the next begins behind them, where the same events are new.
APPS_A_LOAD = 40
ROUNDS, SECONDS = 5, 3
SERVER_CORE, CLIENT_CORE = "0", "1"
# Well below what was measured, so that only a real loss of speed falls short.
SHARE_OF_NGINX_MIN = 0.5
EVENTS_PER_S_MIN = 600_000
NGINX = """
worker_processes 1; daemon off; pid {home}/nginx.pid; error_log {home}/nginx.log;
events {{ worker_connections 4096; }}
http {{
    access_log off; client_max_body_size 20m; client_body_buffer_size 256k;
    keepalive_requests 100000000;
    server {{ listen 127.0.0.1:{port}; location / {{ return 202; }} }}
}}
"""

pytestmark = pytest.mark.skipif(
    not (shutil.which("nginx") and shutil.which("wrk")), reason="nginx and wrk are not installed"
)


@dataclass(frozen=True)
class Target:
    """A server under load: where it listens, and the process that does the work."""

    port: int
    pid: int


@dataclass(frozen=True)
class Load:
    """What wrk saw."""

    requests_per_s: float
    cpu_us: float
    p50: str
    p99: str


def child(pid: int, word: str) -> int:
    """The child of a process whose command line holds a word."""
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        for found in map(int, tasks.read_text().split()):
            if word in Path(f"/proc/{found}/cmdline").read_text():
                return found
    raise LookupError(word)


@contextmanager
def nginx(home: Path) -> Iterator[Target]:
    """An nginx that answers 202."""
    port = free_port("127.0.0.1", 0)
    config = home / "nginx.conf"
    config.write_text(NGINX.format(home=home, port=port))
    command = ["taskset", "-c", SERVER_CORE, "nginx", "-c", str(config)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        wait_for(port)
        yield Target(port, child(process.pid, "worker"))
        process.terminate()


@contextmanager
def listener(home: Path) -> Iterator[Target]:
    """`unmogrowp serve --role ingest --listener native` with one worker, and keys of many apps."""
    words = ("--role", "ingest", "--listener", "native", "--port", "0", "--ingest-port", "0")
    command = [*CLI, "serve", "--json", "--data-dir", str(home / "data"), *words]
    with subprocess.Popen(
        ["taskset", "-c", SERVER_CORE, *command],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "UNMOGROWP_THREADS": "1"},
    ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["ingest_url"]
        with Catalog.open(home / "data") as catalog:
            keys = []
            for number in range(APPS):
                catalog.create_app(f"com.example.bench{number}", "Bench", "USD")
                keys.append(catalog.create_key(f"com.example.bench{number}", "write")[0])
        (home / "keys").write_text("\n".join(keys) + "\n")
        yield Target(int(url.rpartition(":")[2]), child(process.pid, "unmogrowp.server.ingest"))
        process.terminate()


def load(home: Path, target: Target, *, per_body: int, connections: int, first_key: int) -> Load:
    """Some seconds of load on a server."""
    script = str(Path(__file__).parent / "listener.lua")
    url = f"http://127.0.0.1:{target.port}/v1/events"
    files = [str(home / "mixed.ndjson"), str(home / "keys"), str(per_body), str(first_key)]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-s", script, url]
    before = cpu_us(target.pid)
    done = subprocess.run(
        ["taskset", "-c", CLIENT_CORE, *command, "--", *files],
        check=True,
        capture_output=True,
        text=True,
    )
    used = cpu_us(target.pid) - before
    said = done.stdout
    assert "Non-2xx" not in said, said
    requests = int(re.findall(r"(\d+) requests in", said)[0])
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", said)[0])
    p50, p99 = (re.findall(rf"{share}%\s+(\S+)", said)[0] for share in (50, 99))
    return Load(rate, used / requests, p50, p99)


def test_requests_beside_nginx(tmp_path: Path) -> None:
    """Single events at 256 connections and bodies of 100 at 64, interleaved with nginx."""
    corpus.write(tmp_path, EVENTS)
    mixed = tmp_path / "mixed.ndjson"
    mixed.write_bytes(re.sub(rb'"app_id":"[^"]*",?', b"", mixed.read_bytes()))
    shares, key = {}, 1
    with listener(tmp_path) as ours, nginx(tmp_path) as theirs:
        for per_body, connections in [(1, 256), (1, 8), (100, 64)]:
            pairs = []
            for number in range(-1, ROUNDS):
                sizes = {"per_body": per_body, "connections": connections}
                a = load(tmp_path, ours, **sizes, first_key=key)
                b = load(tmp_path, theirs, **sizes, first_key=1)
                key = (key + APPS_A_LOAD) % APPS + 1
                if number >= 0:
                    pairs.append((a, b))
            shares[per_body, connections] = report(per_body, connections, pairs)
    print(f"\nfdatasync {sync_ms(tmp_path):.2f} ms")
    assert shares[1, 256][0] >= SHARE_OF_NGINX_MIN
    assert shares[100, 64][1] * 100 >= EVENTS_PER_S_MIN


def report(per_body: int, connections: int, pairs: list[tuple[Load, Load]]) -> tuple[float, float]:
    """Print the medians; the share of nginx's rate, and the rate."""
    share = statistics.median(a.requests_per_s / b.requests_per_s for a, b in pairs)
    cpu = statistics.median(a.cpu_us / b.cpu_us for a, b in pairs)
    rate = statistics.median(a.requests_per_s for a, _ in pairs)
    middle = sorted((a for a, _ in pairs), key=lambda a: a.requests_per_s)[len(pairs) // 2]
    sys.stdout.write(
        f"\n{per_body} events a request, {connections} connections: {rate:,.0f} requests/s = "
        f"{rate * per_body:,.0f} events/s, {share:.2f} of nginx's rate, {cpu:.2f} × its CPU "
        f"({middle.cpu_us:.1f} µs), p50 {middle.p50}, p99 {middle.p99}"
    )
    return share, rate
