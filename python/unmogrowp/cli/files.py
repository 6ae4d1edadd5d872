"""Tables from and into files, in the format the name ends with; no loop over rows is here."""

import contextlib
import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from unmogrowp.cli.options import UsageError
from unmogrowp.errors import MissingExtra, UnmogrowpError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from types import ModuleType

    import pyarrow as pa

    from unmogrowp.table import Table


class TableWriter(Protocol):
    """What Parquet and CSV are written by."""

    def write_table(self, table: "pa.Table") -> None:
        """Append a table."""


OUTPUTS = (".parquet", ".arrow", ".csv")
ARROW_FILE_MAGIC = b"ARROW1"
# PyArrow comes with the embedded warehouse.
EXTRA = "embedded"
ADDRESSES = ["ip"]


def expect_output(path: Path | None) -> None:
    """Refuse a name before any work is done for it.

    Raises:
        UsageError: There is no format of that name.
    """
    if path is not None and path.suffix.lower() not in OUTPUTS:
        raise UsageError(f"cannot write `{path}`\nhint: end its name with {' or '.join(OUTPUTS)}")


def read_table(path: Path) -> "Table":
    """Events from Parquet, Arrow (file or stream) or JSON in any shape `parse` takes."""
    from unmogrowp.events import parse
    from unmogrowp.table import Table

    with reading(path):
        match path.suffix.lower():
            case ".parquet":
                return Table.read(_read_parquet(path))
            case ".arrow" | ".feather":
                return Table.read(_read_arrow(path))
            case _:
                return parse(path).events


@contextlib.contextmanager
def reading(path: Path) -> "Iterator[None]":
    """Errors of reading a file name it."""
    try:
        yield
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UnmogrowpError(
            f"cannot read `{path}`: {why}\nhint: check the name and its permissions"
        ) from error
    except UnmogrowpError:
        raise
    except ValueError as error:
        raise UnmogrowpError(f"cannot read `{path}`: {error}") from error


def write_table(table: "pa.Table", path: Path) -> None:
    """A table into a file, whole or not at all."""
    with writing(path) as write:
        write(table)


@contextlib.contextmanager
def writing(path: Path) -> "Iterator[Callable[[pa.Table], None]]":
    """A file that tables of one schema are appended to; it is there once it is whole.

    Raises:
        UnmogrowpError: It cannot be written.
    """
    with replacing(path) as part, contextlib.ExitStack() as stack:
        match path.suffix.lower():
            case ".parquet":
                yield _appending(stack, part, _parquet_writer)
            case ".csv":
                append = _appending(stack, part, _csv_writer)
                yield lambda table: append(as_text(table))
            case _:
                # A file has one dictionary per column for all of its batches.
                tables: list[pa.Table] = []
                yield tables.append
                _write_arrow(require_pyarrow().concat_tables(tables), part)


def _appending(
    stack: contextlib.ExitStack,
    part: Path,
    opened: "Callable[[Path, pa.Schema], AbstractContextManager[TableWriter]]",
) -> "Callable[[pa.Table], None]":
    """Append to a writer that is opened with the schema of the first table."""
    writers: list[TableWriter] = []

    def append(table: "pa.Table") -> None:
        if not writers:
            writers.append(stack.enter_context(opened(part, table.schema)))
        writers[0].write_table(table)

    return append


@contextlib.contextmanager
def replacing(path: Path) -> "Iterator[Path]":
    """A file beside `path` that takes its place once it is whole.

    Raises:
        UnmogrowpError: It cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UnmogrowpError(
            f"cannot write `{path}`: {why}\nhint: check the folder, its space and permissions"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def require_pyarrow() -> "ModuleType":
    """PyArrow, which writes the files.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise MissingExtra(EXTRA) from error


def _read_parquet(path: Path) -> "pa.Table":
    require_pyarrow()
    import pyarrow.parquet

    # Through a handle: PyArrow's own message on a missing file would hide why.
    with path.open("rb") as file:
        return pyarrow.parquet.read_table(file)


def _read_arrow(path: Path) -> "pa.Table":
    pa = require_pyarrow()
    with path.open("rb") as file:
        is_file = file.read(len(ARROW_FILE_MAGIC)) == ARROW_FILE_MAGIC
        file.seek(0)
        reader = pa.ipc.open_file(file) if is_file else pa.ipc.open_stream(file)
        return reader.read_all()


def _parquet_writer(part: Path, schema: "pa.Schema") -> "AbstractContextManager[TableWriter]":
    import pyarrow.parquet

    writer = pyarrow.parquet.ParquetWriter(part, schema, compression="zstd")
    opened: AbstractContextManager[TableWriter] = writer
    return opened


def _csv_writer(part: Path, schema: "pa.Schema") -> "AbstractContextManager[TableWriter]":
    import pyarrow.csv

    writer: AbstractContextManager[TableWriter] = pyarrow.csv.CSVWriter(part, schema)
    return writer


def _write_arrow(table: "pa.Table", path: Path) -> None:
    pa = require_pyarrow()
    # A file has one dictionary per column for all of its batches.
    whole = table.unify_dictionaries()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, whole.schema) as writer:
        writer.write_table(whole)


def as_text(table: "pa.Table") -> "pa.Table":
    """A table as the server writes it to CSV: UUIDs, addresses, RFC 3339 times, decimal money."""
    from unmogrowp import _core
    from unmogrowp.table import Table

    pa = require_pyarrow()
    import pyarrow.compute as pc

    texts = pa.table(_core.as_text(Table.read(table).batches, addresses=ADDRESSES))
    for at, field in enumerate(texts.schema):
        if pa.types.is_timestamp(field.type):
            shown = pc.strftime(texts[at], format="%Y-%m-%dT%H:%M:%SZ")
            texts = texts.set_column(at, field.name, shown)
        elif pa.types.is_dictionary(field.type):
            texts = texts.set_column(at, field.name, texts[at].cast(field.type.value_type))
        elif field.name == "revenue_micros":
            texts = texts.set_column(at, "revenue", _decimals(texts[at]))
    return texts


def _decimals(micros: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Integer millionths as decimal texts: two decimals, more only where they say something."""
    pa = require_pyarrow()
    import pyarrow.compute as pc

    wide = [chunk.cast(pa.decimal128(38, 0)).view(pa.decimal128(38, 6)) for chunk in micros.chunks]
    texts = pa.chunked_array(wide, pa.decimal128(38, 6)).cast(pa.string())
    return pc.replace_substring_regex(texts, pattern=r"(\.\d\d\d*?)0+$", replacement=r"\1")
