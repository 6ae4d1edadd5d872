"""Bytes in, typed event columns and rejects out."""

import datetime as dt
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, final

from unmogrowp import _core
from unmogrowp.table import Table

REJECTS_SHOWN = 5
# Plain bytes that are parsed at once, and bytes that are read of a file at once.
PIECE_BYTES = 64 << 20
CHUNK_BYTES = 1 << 20
# Brotli has no magic bytes, so its files are known by name; the others are tried by both.
# What a person can be known by.
IDS = ("user_id", "anonymous_id", "device_id", "idfa", "gaid", "idfv")
ENCODINGS = {".gz": "gzip", ".zst": "zstd", ".br": "br"}


class BytesReader(Protocol):
    """A file opened for reading bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes at most, or all that are left."""


Source = bytes | bytearray | memoryview | str | os.PathLike[str] | BytesReader | Iterable[bytes]


@final
@dataclass(frozen=True, slots=True, repr=False)
class Parsed:
    """What became of a body: every record is in one of the two tables.

    Attributes:
        events: The good records, one typed column per field.
        rejects: The bad records: `row`, `event_id`, `code`, `field`, `message`, `start`, `stop`.
    """

    events: Table
    rejects: Table

    def __repr__(self) -> str:
        head = f"Parsed: {len(self.events)} events, {len(self.rejects)} rejects"
        first = self.rejects.head(REJECTS_SHOWN)
        columns = (first.column(name).to_pylist() for name in ("row", "code", "message"))
        lines = [f"  row {row}: {code}, {text}" for row, code, text in zip(*columns, strict=True)]
        if len(self.rejects) > len(first):
            lines.append(f"  … {len(self.rejects) - len(first)} more rejects")
        return "\n".join([head, *lines])


@final
class Pieces(Iterator[Parsed]):
    """What `parse_pieces` gives: a `Parsed` for each piece, in order.

    Attributes:
        read_bytes: How many bytes of the source were read so far, compressed or not.
        place: Records and plain bytes of the pieces that came so far.
    """

    def __init__(self, pieces: _core.Pieces) -> None:
        self._pieces = pieces

    def __next__(self) -> Parsed:
        """The next piece.

        Raises:
            ValueError: The data is broken here.
        """
        events, rejects = next(self._pieces)
        return Parsed(Table(events), Table(rejects))

    @property
    def read_bytes(self) -> int:
        """Bytes of the source that were read so far, compressed or not."""
        return self._pieces.read_bytes

    @property
    def place(self) -> tuple[int, int]:
        """Records and plain bytes so far: `start` of a call that goes on from here."""
        return self._pieces.place


def parse(
    data: Source,
    *,
    app_id: str | None = None,
    received_at: dt.datetime | None = None,
    truncate_ip: bool = False,
) -> Parsed:
    r"""Parse events: one object, an array, a batch or one object a line, compressed or not.

    Args:
        data: Bytes, a path, a file opened for reading bytes, or chunks of bytes.
        app_id: Given to events without one; an event of another app becomes a reject.
        received_at: When the events were received. Only with it are clocks that differ from
            `sent_at` corrected and events from the future refused.
        truncate_ip: Forget the last octet of IPv4 and all but the /48 of IPv6 addresses.

    Returns:
        `Parsed` with the tables `events` and `rejects`.

    Raises:
        ValueError: The data as a whole is empty, a broken array or batch, or badly compressed.

    >>> parsed = parse(b'{"event_name":"open","timestamp":1767225600,"user_id":"u1"}\n{"a":1}')
    >>> parsed.events.column("event_type").to_pylist()
    ['open']
    >>> parsed.rejects.column("code").to_pylist()
    ['missing_field']
    """
    body, encoding = _read(data)
    events, rejects = _core.parse(
        body,
        encoding=encoding,
        app_id=app_id,
        received_at_us=None if received_at is None else _epoch_us(received_at),
        truncate_ip=truncate_ip,
    )
    return Parsed(Table(events), Table(rejects))


def parse_pieces(
    data: str | os.PathLike[str] | BytesReader | Iterable[bytes],
    *,
    piece_bytes: int = PIECE_BYTES,
    start: tuple[int, int] = (0, 0),
    app_id: str | None = None,
    received_at: dt.datetime | None = None,
    truncate_ip: bool = False,
) -> Pieces:
    r"""Parse lines of events piece by piece, in memory for about three pieces.

    While one piece is parsed on all threads, the next is read and unpacked. All pieces together
    are what `parse` gives for the whole, row numbers and byte ranges of rejects included. An array
    or a batch is one value, and comes as one piece.

    Args:
        data: A path, a file opened for reading bytes, or chunks of bytes, compressed or not.
        piece_bytes: About how many plain bytes a piece has; more where a line is longer.
        start: Go on behind a piece of an earlier call, from its `place`.
        app_id: As for `parse`.
        received_at: As for `parse`.
        truncate_ip: As for `parse`.

    Returns:
        An iterator over the `Parsed` of each piece.

    Raises:
        ValueError: As `parse`; pieces before the damage have come by then.

    >>> line = b'{"event_name":"open","timestamp":1767225600,"user_id":"u1"}\n'
    >>> [len(piece.events) for piece in parse_pieces([line] * 3, piece_bytes=1)]
    [3]
    """
    if piece_bytes < 1:
        raise ValueError(f"piece_bytes must be at least 1, got `{piece_bytes}`\nhint: try 64 << 20")
    source, encoding = _source(data)
    return Pieces(
        _core.Pieces(
            source,
            piece_bytes=piece_bytes,
            start=start,
            encoding=encoding,
            app_id=app_id,
            received_at_us=None if received_at is None else _epoch_us(received_at),
            truncate_ip=truncate_ip,
        )
    )


def _source(
    data: str | os.PathLike[str] | BytesReader | Iterable[bytes],
) -> tuple[Path | Callable[[], bytes], str | None]:
    """A path, or what gives the next bytes; and the encoding that a name announces."""
    if isinstance(data, bytes | bytearray | memoryview):
        return _next_of([bytes(data)]), None
    if isinstance(data, str | os.PathLike):
        path = _path(data)
        return path, ENCODINGS.get(path.suffix.lower())
    if hasattr(data, "read"):
        return lambda: _checked(data.read(CHUNK_BYTES)), None
    if isinstance(data, Iterable):
        return _next_of(data), None
    raise _not_bytes(data)


def _next_of(chunks: Iterable[bytes]) -> Callable[[], bytes]:
    # An empty chunk would be taken for the end.
    filled = (chunk for chunk in map(_checked, chunks) if chunk)
    return lambda: next(filled, b"")


def _epoch_us(moment: dt.datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError(
            f"received_at must have a time zone, got `{moment.isoformat()}`\n"
            "hint: write `datetime.now(UTC)`"
        )
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def _read(data: Source) -> tuple[bytes, str | None]:
    """All bytes of the data, and the encoding its name announces."""
    if isinstance(data, bytes):
        return data, None
    if isinstance(data, bytearray | memoryview):
        return bytes(data), None
    if isinstance(data, str | os.PathLike):
        return _read_path(data)
    if hasattr(data, "read"):
        return _checked(data.read()), None
    if isinstance(data, Iterable):
        return b"".join(_checked(chunk) for chunk in data), None
    raise _not_bytes(data)


def _read_path(path: str | os.PathLike[str]) -> tuple[bytes, str | None]:
    file = _path(path)
    return file.read_bytes(), ENCODINGS.get(file.suffix.lower())


def _path(path: str | os.PathLike[str]) -> Path:
    if isinstance(path, str) and path.lstrip()[:1] in {"{", "["}:
        raise TypeError("text is taken for a path\nhint: pass JSON as bytes, `text.encode()`")
    return Path(path)


def _checked(chunk: object) -> bytes:
    if isinstance(chunk, bytes | bytearray | memoryview):
        return bytes(chunk)
    raise _not_bytes(chunk)


def _not_bytes(data: object) -> TypeError:
    return TypeError(
        f"expected bytes, got `{type(data).__name__}`\n"
        "hint: pass bytes, a path, a file opened with `rb`, or an iterable of bytes"
    )
