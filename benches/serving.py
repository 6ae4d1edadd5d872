"""Start a real server for a benchmark and send it load over loopback."""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

APP = "com.example.bench"
START_MS = 1_790_000_000_000
CLI = [sys.executable, "-m", "unmogrowp.cli"]


@dataclass(frozen=True)
class Server:
    """A running server and the key to write to it."""

    host: str
    port: int
    key: str
    data_dir: Path
    pid: int

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.host}:{self.port}"


def keyed(server: Server, role: str) -> str:
    """A new key of the app."""
    where = ["--data-dir", str(server.data_dir)]
    made = subprocess.run(
        [*CLI, "keys", "create", "--app", APP, "--role", role, "--json", *where],
        check=True,
        capture_output=True,
    )
    return str(json.loads(made.stdout)["key"])


def processes(server: Server) -> dict[str, int]:
    """Resident KiB of each of its processes, by module."""
    found = {}
    # Any of its threads may have started them.
    tasks = Path(f"/proc/{server.pid}/task").glob("*/children")
    for pid in " ".join(task.read_text() for task in tasks).split():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        status = Path(f"/proc/{pid}/status").read_text()
        module = next(word.decode() for word in words if word.startswith(b"unmogrowp."))
        found[module] = int(status.split("VmRSS:")[1].split()[0])
    return found


@contextmanager
def serving(data_dir: Path) -> Iterator[Server]:
    """`unmogrowp serve` on a free port with one app, ended by SIGTERM."""
    where = ["--data-dir", str(data_dir)]
    process = subprocess.Popen(
        [*CLI, "serve", "--port", "0", "--json", *where],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        subprocess.run([*CLI, "apps", "create", APP, *where], check=True, capture_output=True)
        host, port = url.removeprefix("http://").split(":")
        server = Server(host, int(port), "", data_dir, process.pid)
        yield replace(server, key=keyed(server, "write"))
    finally:
        process.terminate()
        process.wait(timeout=30)
        if process.stdout is not None:
            process.stdout.close()


def bodies(events: int, per_request: int, name: str) -> list[bytes]:
    """NDJSON bodies of events that all differ."""
    pad = "x" * 64
    made = []
    for first in range(0, events, per_request):
        lines = (
            f'{{"event_id":"{name}-{n}","event_name":"purchase","timestamp":{START_MS + n},'
            f'"user_id":"u{n % 5000}","idfv":"{n % 5000:08X}-0000-4000-8000-00000000000A",'
            f'"source":"meta","campaign":"camp_{n % 300}","country":"DE","os":"iOS",'
            f'"revenue":"4.99","currency":"EUR","properties":{{"pad":"{pad}","n":{n}}}}}'
            for n in range(first, first + per_request)
        )
        made.append("\n".join(lines).encode())
    return made


def send(server: Server, work: list[bytes], connections: int = 8) -> float:
    """Send every body once over kept-alive connections; the seconds it took."""
    failures: list[str] = []
    shares = [work[index::connections] for index in range(connections)]

    def run(share: list[bytes]) -> None:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
        for body in share:
            connection.request(
                "POST", "/v1/events", body, {"Authorization": f"Bearer {server.key}"}
            )
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != http.client.OK or json.loads(text)["rejected"]:
                failures.append(f"{answer.status} {text[:200]!r}")
                return
        connection.close()

    threads = [threading.Thread(target=run, args=(share,)) for share in shares]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]
    return time.perf_counter() - started


def sync_ms(folder: Path, size: int = 700, rounds: int = 50) -> float:
    """Median milliseconds of an append and fdatasync here, to state beside durable figures."""
    path = folder / "sync-probe"
    times = []
    with path.open("wb", buffering=0) as file:
        for _ in range(rounds):
            started = time.perf_counter()
            file.write(b"x" * size)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    path.unlink()
    return sorted(times)[rounds // 2] * 1000
