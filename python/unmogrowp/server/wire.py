"""Questions to the store process and streamed answers back, over a Unix socket.

Frames are a four-byte length, one byte of kind and the payload. An answer is a head, any number
of body chunks and an end; while the store works, ticks say that it is alive. A store that was
killed refuses the connection, one that was stopped stops ticking, one that fails in the middle of
an answer says so: all are `StoreAway`.
"""

import asyncio
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec

from unmogrowp.errors import UnmogrowpError

FRAME_BYTES_MAX = 64 << 20
TICK_S = 0.5
SILENCE_S = 2.5
HEAD, BODY, TICK, END, BROKEN = b"h", b"b", b"t", b"e", b"x"
STATUS = "status"
BACKUP = "backup"
ERASE = "erase"
_LENGTH = struct.Struct(">Ic")

Value: TypeAlias = str | int | float | bool | list[str] | None
Params: TypeAlias = dict[str, Value]


class StoreAway(UnmogrowpError):
    """The store process does not answer."""


class Question(msgspec.Struct, frozen=True):
    """What is asked of the store: a name and its parameters."""

    name: str
    params: Params


class Head(msgspec.Struct, frozen=True):
    """How an answer begins; a problem's sentence is its whole body."""

    status: int = 200
    content_type: str = "application/json"


@dataclass(frozen=True)
class Answer:
    """A head and the chunks of the body as they come."""

    head: Head
    chunks: AsyncIterator[bytes]

    async def body(self) -> bytes:
        """All chunks together."""
        return b"".join([chunk async for chunk in self.chunks])


async def write(writer: asyncio.StreamWriter, kind: bytes, payload: bytes = b"") -> None:
    """Send one frame."""
    writer.write(_LENGTH.pack(len(payload), kind) + payload)
    await writer.drain()


async def read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Receive one frame: its kind and payload."""
    length, kind = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > FRAME_BYTES_MAX:
        raise StoreAway(f"a frame of `{length}` bytes is over the limit of {FRAME_BYTES_MAX}")
    return kind, await reader.readexactly(length)


async def ask(socket: Path, question: Question) -> Answer:
    """Put a question to the store.

    Raises:
        StoreAway: It is not running, or silent for `SILENCE_S` seconds.
    """
    try:
        async with asyncio.timeout(SILENCE_S):
            reader, writer = await asyncio.open_unix_connection(socket)
            await write(writer, HEAD, msgspec.json.encode(question))
    except (OSError, TimeoutError) as error:
        raise StoreAway("the store process is not running") from error
    frames = _frames(reader, writer)
    try:
        _, head = await anext(frames)
    except StopAsyncIteration:
        raise StoreAway("the store process ended without an answer") from None
    return Answer(msgspec.json.decode(head, type=Head), _chunks(frames))


async def _frames(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> AsyncGenerator[tuple[bytes, bytes], None]:
    try:
        while True:
            async with asyncio.timeout(SILENCE_S):
                kind, payload = await read(reader)
            if kind == END:
                return
            if kind == BROKEN:
                raise StoreAway("the store process failed in the middle of an answer")
            if kind != TICK:
                yield kind, payload
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        raise StoreAway("the store process stopped answering") from error
    finally:
        writer.close()


async def _chunks(frames: AsyncGenerator[tuple[bytes, bytes], None]) -> AsyncIterator[bytes]:
    async with aclosing(frames) as open_frames:
        async for _, payload in open_frames:
            yield payload


def socket_of(home: Path) -> Path:
    """Where the store process of a data directory listens, as it wrote it down itself.

    Raises:
        StoreAway: It never started here.
    """
    try:
        return Path((home / "store.socket").read_text())
    except FileNotFoundError:
        raise StoreAway("the store process is not running") from None
