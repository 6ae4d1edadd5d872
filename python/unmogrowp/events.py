"""Bytes in, typed event columns and rejects out."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from unmogrowp import _core
from unmogrowp.sources import Format, Source, Stream, opened
from unmogrowp.table import Table

REJECTS_SHOWN = 5
# Plain bytes that are parsed at once.
PIECE_BYTES = 64 << 20
# What a person can be known by.
IDS = ("user_id", "anonymous_id", "device_id", "idfa", "gaid", "idfv")


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
    format: Format | None = None,  # noqa: A002 - as readers everywhere call it
    app_id: str | None = None,
    received_at: dt.datetime | None = None,
    truncate_ip: bool = False,
) -> Parsed:
    r"""Parse events: one object, an array, a batch or one object a line, compressed or not.

    Tables, Parquet, Arrow and CSV with a header are validated the same way: each row is an event
    whose fields are the columns that are not null or empty there, other columns being its
    `properties`. Bytes of a reject are those of the line of JSON that says its row.

    Args:
        data: Bytes, a path, a file opened for reading bytes, chunks of bytes, or a table with
            `__arrow_c_stream__`. Paths that end in `.csv`, `.tsv` (either may be compressed),
            `.parquet` and `.arrow` are read as such; the last two need PyArrow.
        format: `csv` or `json`: what the bytes are, whatever a path is called.
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
    given = opened(data, format)
    events, rejects = _core.parse(
        given.whole(),
        encoding=given.encoding,
        is_csv=given.is_csv,
        app_id=app_id,
        received_at_us=None if received_at is None else _epoch_us(received_at),
        truncate_ip=truncate_ip,
    )
    return Parsed(Table(events), Table(rejects))


def parse_pieces(  # noqa: PLR0913 - one keyword per setting
    data: Stream,
    *,
    format: Format | None = None,  # noqa: A002 - as readers everywhere call it
    piece_bytes: int = PIECE_BYTES,
    start: tuple[int, int] = (0, 0),
    app_id: str | None = None,
    received_at: dt.datetime | None = None,
    truncate_ip: bool = False,
) -> Pieces:
    r"""Parse lines of events piece by piece, in memory for one and 16 MiB of lines a thread.

    Every thread in turn reads and unpacks some lines, and parses them while others go on. All
    pieces together are what `parse` gives for the whole, row numbers and byte ranges of rejects
    included. An array or a batch is one value, and comes as one piece.

    Args:
        data: A path, a file opened for reading bytes, chunks of bytes, or a table, as for `parse`.
        format: As for `parse`.
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
    given = opened(data, format)
    return Pieces(
        _core.Pieces(
            given.source,
            piece_bytes=piece_bytes,
            start=start,
            encoding=given.encoding,
            is_csv=given.is_csv,
            app_id=app_id,
            received_at_us=None if received_at is None else _epoch_us(received_at),
            truncate_ip=truncate_ip,
        )
    )


def _epoch_us(moment: dt.datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError(
            f"received_at must have a time zone, got `{moment.isoformat()}`\n"
            "hint: write `datetime.now(UTC)`"
        )
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
