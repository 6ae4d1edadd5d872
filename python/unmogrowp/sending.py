"""Bodies of NDJSON in, events at a server: several connections, patient with a busy one."""

import contextlib
import http
import http.client
import json
import queue
import sys
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TextIO, cast

from unmogrowp.errors import UnmogrowpError

CONNECTIONS = 4
TRIES_MAX = 60
PAUSE_S_MAX = 5.0
REASONS_MAX = 5

Json = dict[str, object]


@dataclass
class Sent:
    """What a server answered, summed over bodies."""

    received: int = 0
    stored: int = 0
    duplicate: int = 0
    rejected: int = 0
    reasons: list[str] = field(default_factory=list)
    """Why the first of the rejected were refused."""

    def add(self, answer: Json) -> None:
        """Count one more answer of `/v1/events`."""
        rejects = cast("list[Json]", answer["rejected"])
        self.received += cast("int", answer["received"])
        self.stored += cast("int", answer["stored"])
        self.duplicate += cast("int", answer["duplicate"])
        self.rejected += len(rejects)
        room = REASONS_MAX - len(self.reasons)
        self.reasons += [f"{reject['code']}: {reject['message']}" for reject in rejects[:room]]


class Connection:
    """One kept-alive HTTP connection with a key."""

    def __init__(self, url: str, key: str) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UnmogrowpError(f"no server is at `{url}`\nhint: e.g. http://127.0.0.1:8000")
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._http = kind(parts.hostname, parts.port, timeout=120)
        self._headers = {"Authorization": f"Bearer {key}"}

    def post(self, path: str, body: bytes) -> Json:
        """Post NDJSON; waits and tries again where the server asks for it or is away."""
        return self._ask("POST", path, body)

    def get(self, path: str, **query: str) -> Json:
        """Get a JSON object."""
        return self._ask("GET", f"{path}?{urllib.parse.urlencode(query)}", None)

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def _ask(self, method: str, target: str, body: bytes | None) -> Json:
        why = ""
        for _ in range(TRIES_MAX):
            try:
                self._http.request(method, target, body, self._headers)
                answer = self._http.getresponse()
                said = answer.read()
            except (OSError, http.client.HTTPException) as error:
                # Events carry ids, so that one whose answer was lost may be sent again.
                self._http.close()
                why = str(error) or type(error).__name__
                time.sleep(1)
                continue
            if answer.status == http.HTTPStatus.OK:
                return cast("Json", json.loads(said))
            why = f"`{answer.status}`: {_sentence(said)}"
            if answer.status not in {429, 503}:
                break
            time.sleep(min(float(answer.headers.get("Retry-After") or 1), PAUSE_S_MAX))
        raise UnmogrowpError(f"{method} {target.partition('?')[0]} failed with {why}")


def _sentence(body: bytes) -> str:
    with contextlib.suppress(ValueError, AttributeError):
        problem = json.loads(body)
        return str(problem.get("detail") or problem.get("title"))
    return body[:200].decode(errors="replace")


class Senders:
    """A few connections that post bodies from one short queue; leaving waits for every answer.

    Raises:
        UnmogrowpError: On leaving, where a body could not be delivered.
    """

    def __init__(self, url: str, key: str, progress: "Progress") -> None:
        self.sent = Sent()
        self._progress = progress
        self._bodies: queue.Queue[bytes | None] = queue.Queue(maxsize=2 * CONNECTIONS)
        self._failures: list[UnmogrowpError] = []
        self._lock = threading.Lock()
        connections = [Connection(url, key) for _ in range(CONNECTIONS)]
        self._threads = [
            threading.Thread(target=self._work, args=(one,), daemon=True) for one in connections
        ]

    def give(self, body: bytes) -> None:
        """Queue a body; waits while the queue is full."""
        if self._failures:
            raise self._failures[0]
        self._bodies.put(body)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        for _thread in self._threads:
            self._bodies.put(None)
        for thread in self._threads:
            thread.join()
        self._progress.finish()
        if self._failures and kind is None:
            raise self._failures[0]

    def _work(self, connection: Connection) -> None:
        # An empty queue is not the end: only the mark is, so that a failure drains what is left.
        with contextlib.closing(connection):
            while (body := self._bodies.get()) is not None:
                if not self._failures:
                    self._send(connection, body)

    def _send(self, connection: Connection, body: bytes) -> None:
        try:
            answer = connection.post("/v1/events", body)
        except UnmogrowpError as error:
            self._failures.append(error)
            return
        with self._lock:
            self.sent.add(answer)
            self._progress.advance(cast("int", answer["received"]))


class Progress:
    """A bar on a terminal, a line per tenth anywhere else.

    Args:
        total: How many there will be.
        what: What is counted.
        stream: Where it shows; none: stderr.
        is_quiet: Whether it shows on a terminal only.
    """

    def __init__(
        self, total: int, what: str, stream: TextIO | None = None, *, is_quiet: bool = False
    ) -> None:
        self._total, self._what = max(total, 1), what
        self._stream: TextIO = stream or sys.stderr
        self._is_bar = self._stream.isatty()
        self._is_shown = self._is_bar or not is_quiet
        self._started = time.monotonic()
        self._count = self._step = 0

    def advance(self, count: int) -> None:
        """Count some more."""
        self._count += count
        step = self._count * (200 if self._is_bar else 10) // self._total
        if step == self._step or not self._is_shown:
            return
        self._step = step
        share = min(self._count / self._total, 1.0)
        rate = self._count / max(time.monotonic() - self._started, 1e-9)
        text = f"{self._count:>11,} {self._what}, {rate:,.0f} a second"
        if self._is_bar:
            bar = ("█" * int(share * 30)).ljust(30, "·")
            self._stream.write(f"\r{bar} {text}\x1b[K")
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def finish(self) -> None:
        """Leave the bar's line."""
        if self._is_bar and self._step:
            self._stream.write("\n")
