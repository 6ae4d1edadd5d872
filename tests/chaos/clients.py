"""Clients that repeat a request until it is answered, as an SDK does."""

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from serving import APP, Server
from unmogrowp.simulate import Scenario, simulate

CONNECTIONS = 8
PER_REQUEST = 50
# What full rate is made of: many requests, and no more events than can be judged in memory.
PER_REQUEST_AT_FULL_RATE = 10
TIMEOUT_S = 10.0
PAUSE_S = 0.05


class Clients:
    """Eight connections that send a seed's events, each until the server has said 200.

    Every other one sends to the native listener, where the server has one.

    Args:
        server: Where to; its addresses may change meanwhile.
        events: How many, about.
        seed: Which.
        rate: Events a second of all together; none: as fast as answers come.
    """

    def __init__(self, server: Server, events: int, seed: int, rate: float | None = None) -> None:
        self.sent: list[bytes] = []
        self.acknowledged = 0
        self.unanswered = 0
        self.statuses: Counter[int] = Counter()
        self.longest_s = 0.0
        self._server, self._rate = server, rate
        self._headers = server.headers("write")
        self._bodies = self._made(events, seed, PER_REQUEST if rate else PER_REQUEST_AT_FULL_RATE)
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(CONNECTIONS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind is not None:
            self._is_over.set()
        for thread in self._threads:
            thread.join()

    def hurry(self) -> None:
        """Send the rest as fast as answers come."""
        self._rate = None

    def enough(self) -> None:
        """Send nothing that is not on its way."""
        with self._lock:
            self._bodies = iter(())

    def is_done(self) -> bool:
        """Whether everything was acknowledged."""
        return not any(thread.is_alive() for thread in self._threads)

    def per_second(self, seconds: float) -> float:
        """Events acknowledged a second over the next so many seconds."""
        before, started = self.acknowledged, time.monotonic()
        while time.monotonic() - started < seconds and not self.is_done():
            time.sleep(0.01)
        return (self.acknowledged - before) / (time.monotonic() - started)

    @staticmethod
    def _made(events: int, seed: int, per_request: int) -> Iterator[list[bytes]]:
        month = simulate(Scenario(app_id=APP, events=events, seed=seed))
        lines = (line for body in month for line in body.splitlines())
        while batch := list(itertools.islice(lines, per_request)):
            yield batch

    def _run(self, number: int) -> None:
        connection = None
        while not self._is_over.is_set() and (batch := self._next()):
            body = b"\n".join(batch)
            while not self._is_over.is_set():
                started = time.monotonic()
                connection, is_taken = self._post(connection, body, number)
                with self._lock:
                    self.longest_s = max(self.longest_s, time.monotonic() - started)
                if is_taken:
                    break
                time.sleep(PAUSE_S)
        if connection is not None:
            connection.close()

    def _next(self) -> list[bytes]:
        with self._lock:
            batch = next(self._bodies, [])
            self.sent += batch
            due = len(self.sent) / self._rate if self._rate else 0.0
        while (wait := self._begun + due - time.monotonic()) > 0 and self._rate:
            if self._is_over.wait(min(wait, 0.05)):
                break
        return batch

    def _post(
        self, connection: http.client.HTTPConnection | None, body: bytes, number: int
    ) -> tuple[http.client.HTTPConnection | None, bool]:
        """Ask once; the connection where it may be used again, and whether the body is taken."""
        if connection is None:
            # Its address may have changed.
            url = self._server.ingest_url if number % 2 else self._server.url
            address = url.removeprefix("http://")
            connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
        try:
            connection.request("POST", "/v1/events", body, self._headers)
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException):
            with suppress(OSError):
                connection.close()
            with self._lock:
                self.unanswered += 1
            return None, False
        with self._lock:
            self.statuses[answer.status] += 1
            if answer.status == 200:
                receipt = json.loads(said)
                assert receipt["rejected"] == [], receipt["rejected"][:3]
                self.acknowledged += receipt["received"]
        return connection, answer.status == 200
