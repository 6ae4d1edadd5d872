"""`unmogrowp serve`: start the children, keep them running, end them together."""

import fcntl
import json
import logging
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import msgspec

from unmogrowp.config import LAYOUT, Settings
from unmogrowp.errors import UnmogrowpError
from unmogrowp.server import logs
from unmogrowp.server.certificate import CertificateFiles
from unmogrowp.server.child import READY, Orders

START_WAIT_S = 5.0
STOP_WAIT_S = 8.5
# The store answers the last reads of the ingest process, so it is asked to end after it.
STORE_STOP_S = 5.0
BACKOFF_MAX_S = 5.0
STEADY_S = 10.0
ROLES = {"all": ("store", "ingest"), "ingest": ("ingest",), "store": ("store",)}
# What the store's threads have freed the C library keeps, up to 64 MiB in each place where it puts
# them: with a place for each thread that is a gigabyte of nothing.
ENVIRONMENT = {"store": {"MALLOC_ARENA_MAX": "1"}}


log = logging.getLogger("unmogrowp.supervisor")


class StartError(UnmogrowpError):
    """The server cannot start."""


class Keeper:
    """One child: started, watched, restarted with back-off until told to stop."""

    def __init__(self, name: str, orders: bytes) -> None:
        self.name = name
        self.ready = threading.Event()
        self.ended = threading.Event()
        self._orders = orders
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name=f"keep-{name}", daemon=True)

    def start(self) -> None:
        """Start the child and its watch."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the child to drain; `join` waits for it."""
        self._stopping.set()
        if self._process is not None:
            self._process.terminate()

    def join(self, deadline: float) -> None:
        """Wait for the child until `deadline`, then end it by force."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive() and self._process is not None:
            self._process.kill()
            self._thread.join()

    def _keep(self) -> None:
        backoff_s = 0.1
        while not self._stopping.is_set():
            started = time.monotonic()
            self._run()
            if not self.ready.is_set():
                break
            if time.monotonic() - started > STEADY_S:
                backoff_s = 0.1
            if not self._stopping.is_set():
                log.warning("%s ended, restarting in %.1f s", self.name, backoff_s)
            self._stopping.wait(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)
        self.ended.set()

    def _run(self) -> None:
        command = [sys.executable, "-m", f"unmogrowp.server.{self.name}"]
        process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**ENVIRONMENT.get(self.name, {}), **os.environ},
        )
        self._process = process
        if self._stopping.is_set():
            process.terminate()
        with process:
            assert process.stdin is not None  # noqa: S101 - it is a pipe
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            with suppress(BrokenPipeError):
                process.stdin.write(self._orders + b"\n")
                process.stdin.flush()
            for line in process.stdout:
                if line.decode().strip() == READY:
                    self.ready.set()
            # Its stdout is closed, so it is ending; only now may its stdin close too.
            process.wait()


def serve(settings: Settings, *, role: str = "all", as_json: bool = False) -> int:
    """Run the server until SIGTERM or SIGINT.

    Args:
        settings: Where the data lies, what address to listen on, all limits.
        role: `all`, `ingest` or `store`.
        as_json: Print the start line as a JSON object.

    Returns:
        The exit code: 0 after a drain, 1 when a child could not start.
    """
    logs.begin("supervisor")
    with ExitStack() as stack:
        home = prepare(settings.data_dir)
        for name in ROLES[role]:
            stack.enter_context(owning(home / f"{name}.lock"))
        ports = _ports(settings) if "ingest" in ROLES[role] else Ports()
        token = secrets.token_urlsafe(32)
        orders = msgspec.json.encode(_orders(settings, home, ports, token))
        keepers = [Keeper(name, orders) for name in ROLES[role]]
        stop = Stop()
        for keeper in keepers:
            keeper.start()
        try:
            if not _all_ready(keepers, stop):
                return 0 if stop.is_set() else 1
            url = _url("http", settings.host, ports.api)
            if url is not None:
                stack.callback((home / "server.json").unlink, missing_ok=True)
                _leave_address(home / "server.json", url, token)
            scheme = "http" if settings.ingest_certificate is None else "https"
            _announce(url, _url(scheme, settings.host, ports.ingest), as_json=as_json)
            stop.wait()
            return 0
        finally:
            _end(keepers)


def prepare(data_dir: Path) -> Path:
    """Make the data directory and check its layout version.

    Raises:
        StartError: It was written by a newer version.
    """
    home = data_dir.absolute()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    mark = home / "VERSION"
    text = mark.read_text().strip() if mark.exists() else str(LAYOUT)
    found = int(text) if text.isascii() and text.isdigit() else None
    if found is None:
        raise StartError(
            f"`{mark}` says `{text:.40}`, not a layout\nhint: is `{home}` a data directory of ours?"
        )
    if found > LAYOUT:
        raise StartError(
            f"`{home}` has layout `{found}`, this version knows `{LAYOUT}`\n"
            "hint: install a newer unmogrowp"
        )
    if not mark.exists():
        # Renamed into place: a crash leaves no empty file that nobody understands.
        mark.with_suffix(".new").write_text(f"{LAYOUT}\n")
        mark.with_suffix(".new").rename(mark)
    return home


@contextmanager
def owning(lock: Path) -> Iterator[None]:
    """Hold a lock file; wait a while for a dying predecessor.

    Raises:
        StartError: Somebody else holds it.
    """
    with lock.open("w") as file:
        deadline = time.monotonic() + START_WAIT_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StartError(
                        f"`{lock.parent}` is in use by another server\n"
                        "hint: stop it, or choose another --data-dir"
                    ) from None
                time.sleep(0.1)
        yield


def free_port(host: str, port: int) -> int:
    """The port to listen on: `port` once it is free, or any free one for 0.

    Raises:
        StartError: Somebody else keeps listening there.
    """
    deadline = time.monotonic() + START_WAIT_S
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                if time.monotonic() > deadline:
                    raise StartError(
                        f"cannot listen on `{host}:{port}`: {error.strerror}\n"
                        "hint: choose another --port, 0 for any free one"
                    ) from error
            else:
                return int(probe.getsockname()[1])
        time.sleep(0.1)


@dataclass(frozen=True)
class Ports:
    """Where a server listens; None where it does not."""

    api: int | None = None
    ingest: int | None = None


def _ports(settings: Settings) -> Ports:
    api = free_port(settings.host, settings.port)
    if settings.listener == "litestar":
        return Ports(api)
    ingest = free_port(settings.host, settings.ingest_port)
    while ingest == api:
        # Both were free for a moment, and only one of the two may have it.
        if settings.ingest_port:
            raise StartError(
                f"`--port` and `--ingest-port` are both `{ingest}`\nhint: choose another of them"
            )
        ingest = free_port(settings.host, 0)
    return Ports(api, ingest)


def _orders(settings: Settings, home: Path, ports: Ports, token: str) -> Orders:
    return Orders(
        data_dir=str(home),
        host=settings.host,
        port=ports.api or 0,
        ingest_port=ports.ingest,
        ingest_certificate=_certificate(settings) if ports.ingest is not None else None,
        token=token,
        dsn=settings.warehouse.dsn or f"chdb://{home / 'warehouse'}",
        spool_bytes_max=settings.spool.bytes_max,
        segment_bytes=settings.spool.segment_bytes,
        ids_max=settings.spool.ids_max,
        ids_window_s=settings.spool.ids_window_s,
        limits=msgspec.to_builtins(settings.limits),
    )


def _certificate(settings: Settings) -> tuple[str, str] | None:
    """The files of the listener's certificate, which can be used."""
    chain, key = settings.ingest_certificate, settings.ingest_certificate_key
    if chain is None or key is None:
        return None
    CertificateFiles(chain, key).read()
    return str(chain.absolute()), str(key.absolute())


class Stop:
    """Set by SIGTERM and SIGINT. A handler must not take locks, so it writes to a pipe."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        with suppress(BlockingIOError):
            os.write(self._writing, b"!")

    def is_set(self) -> bool:
        """Whether a signal came."""
        return self.wait(0)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for a signal; whether one came."""
        return bool(select.select([self._reading], [], [], timeout_s)[0])


def _all_ready(keepers: list[Keeper], stop: Stop) -> bool:
    while not stop.is_set():
        if all(keeper.ready.is_set() for keeper in keepers):
            return True
        if any(keeper.ended.is_set() for keeper in keepers):
            return False
        stop.wait(0.02)
    return False


def _url(scheme: str, host: str, port: int | None) -> str | None:
    if port is None:
        return None
    # A client cannot connect to "every address"; the loopback is one of them.
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound here
    return f"{scheme}://[{shown}]:{port}" if ":" in shown else f"{scheme}://{shown}:{port}"


def _leave_address(path: Path, url: str, token: str) -> None:
    """Tell the commands where the server is, for the owner's eyes only."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"url": url, "token": token, "pid": os.getpid()}, file)


def _announce(url: str | None, ingest_url: str | None, *, as_json: bool) -> None:
    if as_json:
        said = {"url": url} if ingest_url is None else {"url": url, "ingest_url": ingest_url}
        text = json.dumps(said)
    else:
        first = "" if ingest_url is None else f"ingest on {ingest_url}\n"
        text = first + ("the store runs" if url is None else f"listening on {url}")
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _end(keepers: list[Keeper]) -> None:
    """Stop the ingest process, then the store; whoever does not end in time is ended."""
    deadline = time.monotonic() + STOP_WAIT_S
    for keeper in reversed(keepers):
        keeper.stop()
        keeper.ended.wait(min(STORE_STOP_S, max(0.0, deadline - time.monotonic())))
    for keeper in keepers:
        keeper.join(deadline)
