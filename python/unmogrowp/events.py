"""Bytes in, typed event columns and rejects out."""

import datetime as dt
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, final

from unmogrowp import _core
from unmogrowp.table import Table

REJECTS_SHOWN = 5
# Brotli has no magic bytes, so its files are known by name; the others are tried by both.
# What a person can be known by.
IDS = ("user_id", "anonymous_id", "device_id", "idfa", "gaid", "idfv")
ENCODINGS = {".gz": "gzip", ".zst": "zstd", ".br": "br"}


class BytesReader(Protocol):
    """A file opened for reading bytes."""

    def read(self) -> bytes:
        """All bytes that are left."""


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
    if isinstance(path, str) and path.lstrip()[:1] in {"{", "["}:
        raise TypeError("text is taken for a path\nhint: pass JSON as bytes, `text.encode()`")
    file = Path(path)
    return file.read_bytes(), ENCODINGS.get(file.suffix.lower())


def _checked(chunk: object) -> bytes:
    if isinstance(chunk, bytes | bytearray | memoryview):
        return bytes(chunk)
    raise _not_bytes(chunk)


def _not_bytes(data: object) -> TypeError:
    return TypeError(
        f"expected bytes, got `{type(data).__name__}`\n"
        "hint: pass bytes, a path, a file opened with `rb`, or an iterable of bytes"
    )
