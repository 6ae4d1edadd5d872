"""A real server for tests: started as a user would, on loopback, ended by its own pid."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

# What takes events: the application, or the native listener beside it.
LISTENERS = {"litestar": (), "native": ("--listener", "native", "--ingest-port", "0")}
CLI = [sys.executable, "-m", "unmogrowp.cli"]
APP = "com.example.app"
START_S = 60.0
VISIBLE_S = 30.0


def until(what: Callable[[], bool], seconds: float, why: str) -> None:
    """Poll with a bound until something holds."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"waited {seconds} s until {why}"
        time.sleep(0.05)


def cli(*words: str, data_dir: Path) -> str:
    """Run a command and give what it prints."""
    command = [*CLI, *words, "--data-dir", str(data_dir)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass
class Server:
    """One data directory and the server on it."""

    data_dir: Path
    app: str = APP
    flags: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    url: str = ""
    ingest_url: str = ""
    keys: dict[tuple[str, str], str] = field(default_factory=dict)

    def start(self) -> "Server":
        command = [*CLI, "serve", "--port", "0", "--json", "--data-dir", str(self.data_dir)]
        log = (self.data_dir.parent / f"{self.data_dir.name}.log").open("a")
        self.process = subprocess.Popen(
            [*command, *self.flags],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
            env={**os.environ, **self.env},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"did not start, see {log.name}:\n{Path(log.name).read_text()[-2000:]}"
        said = json.loads(line)
        self.url = said["url"]
        self.ingest_url = said.get("ingest_url", self.url)
        log.close()
        return self

    def stop(self) -> None:
        """SIGTERM: drain and end."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=15)
        self._close()

    def kill(self) -> None:
        """`kill -9` of every process of the server at once."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=15)
        self._close()

    def _close(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None

    def children(self, module: str = "") -> list[int]:
        """Pids of the server's children, or of the one that runs a module."""
        assert self.process is not None
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                words = (folder / "cmdline").read_text()
                if parent == self.process.pid and module in words:
                    found.append(int(folder.name))
        return found

    def create_app(self, app: str = APP, **settings: str) -> None:
        cli("apps", "create", app, "--name", "Example", data_dir=self.data_dir)
        if settings:
            self.set_app(*(f"{name}={value}" for name, value in settings.items()), app=app)

    def set_app(self, *pairs: str, app: str = APP) -> None:
        cli("apps", "set", app, *pairs, data_dir=self.data_dir)

    def key(self, role: str, app: str = APP) -> str:
        if (role, app) not in self.keys:
            words = ("keys", "create", "--app", app, "--role", role, "--json")
            self.keys[role, app] = json.loads(cli(*words, data_dir=self.data_dir))["key"]
        return self.keys[role, app]

    def headers(self, role: str, app: str = APP) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key(role, app)}"}

    def post(self, body: bytes, path: str = "/v1/events", **headers: str) -> httpx.Response:
        sent = {**self.headers("write"), **headers}
        return httpx.post(self.ingest_url + path, content=body, headers=sent, timeout=60)

    def get(self, path: str, *, app: str = APP, accept: str = "", **query: str) -> httpx.Response:
        headers = {**self.headers("read", app), **({"Accept": accept} if accept else {})}
        params = {"app_id": app, **query}
        return httpx.get(self.url + path, params=params, headers=headers, timeout=60)

    def settle(self, seconds: float = VISIBLE_S) -> None:
        """Wait until everything acknowledged is visible in every read."""

        def settled() -> bool:
            store = httpx.get(self.url + "/health/ready", timeout=30).json()["store"]
            waiting = store and (store.get("lag_bytes"), store.get("unattributed_batches"))
            return bool(store) and waiting == (0, 0)

        until(settled, seconds, "the warehouse had caught up")


@contextlib.contextmanager
def serving(data_dir: Path, *flags: str) -> Iterator[Server]:
    """A started server with one app, stopped at the end."""
    server = Server(data_dir, flags=flags)
    server.start()
    try:
        server.create_app()
        yield server
    finally:
        if server.process is not None:
            try:
                server.stop()
            except subprocess.TimeoutExpired:
                server.kill()
                raise


def event(number: int, **fields: object) -> dict[str, object]:
    """A valid event that differs from its neighbours."""
    return {
        "event_id": f"e-{number}",
        "event_name": "open",
        "timestamp": 1_790_000_000_000 + number,
        "user_id": f"u{number % 100}",
        **fields,
    }


def ndjson(events: list[dict[str, object]]) -> bytes:
    return b"\n".join(json.dumps(one).encode() for one in events)


def files_with(folder: Path, *texts: str) -> list[str]:
    """Every file that holds one of the texts."""
    found = []
    # Unlike `rglob` it goes on where a folder goes away meanwhile.
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            try:
                body = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            except FileNotFoundError:
                continue
            if any(text.encode() in body for text in texts):
                found.append(str(path.relative_to(folder)))
    return found
