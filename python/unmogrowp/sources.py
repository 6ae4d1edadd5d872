"""Whatever events come in, as bytes the parser takes: JSON or CSV, compressed or not."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from unmogrowp import _core
from unmogrowp.errors import MissingExtra
from unmogrowp.table import ArrowStream

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_BYTES = 1 << 20
# Rows of a file of tables that are read at once.
BATCH_ROWS = 16_384
# Brotli has no magic bytes, so its files are known by name; the others are tried by both.
ENCODINGS = {".gz": "gzip", ".zst": "zstd", ".br": "br"}
TEXTS = {".csv", ".tsv"}
PARQUET = {".parquet", ".pq"}
ARROW = {".arrow", ".arrows", ".feather", ".ipc"}
Format = Literal["json", "csv"]


class BytesReader(Protocol):
    """A file opened for reading bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes at most, or all that are left."""


Stream = str | os.PathLike[str] | BytesReader | Iterable[bytes] | ArrowStream
Source = bytes | bytearray | memoryview | Stream


@dataclass(frozen=True, slots=True)
class Opened:
    """A path or a callable that gives the next bytes, none at the end; and what they are."""

    source: Path | Callable[[], bytes]
    encoding: str | None = None
    is_csv: bool = False
    rest: Callable[[], bytes] | None = None
    """All that is left at once, where the source can give it."""

    def whole(self) -> bytes:
        """All the bytes, as they are."""
        if isinstance(self.source, Path):
            return self.source.read_bytes()
        if self.rest is not None:
            return self.rest()
        return b"".join(iter(self.source, b""))


def opened(data: Source, fmt: Format | None = None) -> Opened:
    """What to read, however it was given.

    Args:
        data: Bytes, a path, a file opened for reading bytes, chunks of bytes, or a table.
        fmt: What the bytes are; None: what the name of a path says, else JSON.

    Raises:
        TypeError: It is none of these.
        ValueError: The format is not known.
        MissingExtra: A file of tables needs PyArrow.
    """
    if fmt not in {None, "json", "csv"}:
        raise ValueError(f"unknown format `{fmt}`\nhint: `json`, `csv` or None")
    if isinstance(data, bytes | bytearray | memoryview):
        return Opened(_next_of([bytes(data)]), is_csv=fmt == "csv")
    if isinstance(data, str | os.PathLike):
        return _of_path(_path(data), fmt)
    if hasattr(data, "__arrow_c_stream__"):
        return Opened(_next_of([_core.json_lines(_core.Batches.read(data))]))
    if hasattr(data, "read"):
        read = data.read
        return Opened(
            lambda: _checked(read(CHUNK_BYTES)),
            is_csv=fmt == "csv",
            rest=lambda: _checked(read()),
        )
    if isinstance(data, Iterable):
        return Opened(_next_of(data), is_csv=fmt == "csv")
    raise _not_bytes(data)


def is_table(path: Path) -> bool:
    """Whether a file is called as one that holds tables."""
    return path.suffix.lower() in PARQUET | ARROW


def _of_path(path: Path, fmt: Format | None) -> Opened:
    suffix = path.suffix.lower()
    encoding = ENCODINGS.get(suffix)
    if encoding:
        suffix = Path(path.stem).suffix.lower()
    elif fmt is None and is_table(path):
        return Opened(_next_of(_lines(path, suffix)))
    is_csv = suffix in TEXTS if fmt is None else fmt == "csv"
    return Opened(path, encoding, is_csv)


def _lines(path: Path, suffix: str) -> Iterator[bytes]:
    """The rows of a file of tables, some at a time."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtra("embedded") from error
    try:
        batches = _parquet(path) if suffix in PARQUET else _arrow(path)
        yield from map(_said, batches)
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:
            raise
        raise ValueError(f"{path} is broken: {error}\nhint: write it anew") from error


def _parquet(path: Path) -> "Iterator[pa.RecordBatch]":
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(BATCH_ROWS)


def _arrow(path: Path) -> "Iterator[pa.RecordBatch]":
    """Both kinds of Arrow's own files: one that is read from its end, and a stream."""
    import pyarrow as pa

    with path.open("rb") as file:
        is_stream = file.read(6) != b"ARROW1"
        file.seek(0)
        if is_stream:
            yield from pa.ipc.open_stream(file)
        else:
            reader = pa.ipc.open_file(file)
            yield from map(reader.get_batch, range(reader.num_record_batches))


def _said(batch: "pa.RecordBatch") -> bytes:
    return _core.json_lines(_core.Batches.read(batch))


def _next_of(chunks: Iterable[bytes]) -> Callable[[], bytes]:
    # An empty chunk would be taken for the end.
    filled = (chunk for chunk in map(_checked, chunks) if chunk)
    return lambda: next(filled, b"")


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
        "hint: pass bytes, a path, a file opened with `rb`, an iterable of bytes, or a table"
    )
