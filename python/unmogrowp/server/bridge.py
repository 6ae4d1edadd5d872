"""Request bodies into the intake, its answers back to the handlers that wait.

One commit of the intake resolves many requests: it writes one byte to a descriptor, the event
loop wakes once and hands every answer to its future.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from unmogrowp import _core
from unmogrowp.server.problems import Denied

# Above this a body is parsed in a thread, so that the loop keeps answering others.
INLINE_BYTES_MAX = 16_384
RETRY_S = 2
# Of all bodies together that are not whole yet.
ARRIVING_BYTES_MAX = 256 << 20


class Answer(NamedTuple):
    """What the intake says once it is known whether the events are durable."""

    status: int
    body: bytes
    retry_after: int | None


@dataclass(frozen=True)
class Sender:
    """Whose events these are and how they come."""

    app_id: str
    key_id: str
    inlet: str = "native"
    truncate_ip: bool = False


@dataclass(frozen=True)
class Body:
    """What a body may be."""

    bytes_max: int
    seconds_max: float


class Bridge:
    """The intake as the event loop sees it."""

    def __init__(self, intake: _core.Intake, body: Body) -> None:
        self.intake = intake
        self._body = body
        self._arriving = 0
        self._is_closed = False
        self._tokens = itertools.count()
        self._waiting: dict[int, asyncio.Future[Answer]] = {}

    def start(self) -> None:
        """Listen for commits on the running loop."""
        asyncio.get_running_loop().add_reader(self.intake.fileno(), self._resolve)

    def close(self) -> None:
        """Commit what is queued, answer it and let the spool go."""
        self._is_closed = True
        asyncio.get_running_loop().remove_reader(self.intake.fileno())
        self.intake.close()
        self._resolve()

    async def submit(self, body: bytes, encoding: str | None, sender: Sender) -> bytes:
        """Make the events of a body durable.

        Returns:
            The JSON that says what became of each event.

        Raises:
            Refused: Nothing was stored.
            Denied: The commit failed, so nothing was stored.
        """
        token = next(self._tokens)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting[token] = future
        try:
            if len(body) > INLINE_BYTES_MAX:
                await asyncio.to_thread(self._hand_over, token, body, encoding, sender)
            else:
                self._hand_over(token, body, encoding, sender)
            status, answer, retry_after = await future
            if status != HTTPStatus.OK:
                raise Denied(status, _detail(answer), retry_after=retry_after)
            return answer
        finally:
            self._waiting.pop(token, None)

    def _hand_over(self, token: int, body: bytes, encoding: str | None, sender: Sender) -> None:
        self.intake.submit(
            token,
            body,
            encoding=encoding,
            inlet=sender.inlet,
            app_id=sender.app_id,
            key_id=sender.key_id,
            truncate_ip=sender.truncate_ip,
            received_at_us=time.time_ns() // 1000,
        )

    def is_broken(self) -> bool:
        """Whether the intake stopped committing by itself: only a new process helps then."""
        return not self._is_closed and not self.intake.status()["is_open"]

    def _resolve(self) -> None:
        for token, status, body, retry_after in self.intake.drain():
            future = self._waiting.get(token)
            if future is not None and not future.done():
                future.set_result(Answer(status, body, retry_after))

    async def collect(self, stream: AsyncIterator[bytes]) -> bytes:
        """The whole body; one that is too large is read to its end and refused.

        Raises:
            Denied: It is too large, takes too long, or too many arrive at once.
        """
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._body.seconds_max):
                async for chunk in stream:
                    size += len(chunk)
                    if size <= self._body.bytes_max:
                        self._arrive(len(chunk))
                        chunks.append(chunk)
        except TimeoutError:
            raise self._too_slow(size) from None
        finally:
            self._arriving -= sum(map(len, chunks))
        if size > self._body.bytes_max:
            raise self._too_large(size)
        return b"".join(chunks)

    def _arrive(self, size: int) -> None:
        if self._arriving + size > ARRIVING_BYTES_MAX:
            raise Denied(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too many bodies arrive at once\nhint: try again shortly",
                retry_after=RETRY_S,
            )
        self._arriving += size

    def _too_slow(self, size: int) -> Denied:
        return Denied(
            HTTPStatus.REQUEST_TIMEOUT,
            f"of the body `{size}` bytes came in {self._body.seconds_max} s, the limit"
            " `limits.body_seconds`\nhint: send smaller batches",
        )

    def _too_large(self, size: int) -> Denied:
        return Denied(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the body has `{size}` bytes, the limit `limits.body_bytes` is "
            f"{self._body.bytes_max}\nhint: send smaller batches",
        )

    async def discard(self, stream: AsyncIterator[bytes]) -> None:
        """Let a body pass by, so that its sender gets to hear the answer; not for long."""
        size = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(self._body.seconds_max):
                async for chunk in stream:
                    size += len(chunk)
                    if size > self._body.bytes_max:
                        return


def _detail(problem: bytes) -> str:
    return str(msgspec.json.decode(problem, type=dict[str, object])["detail"])
