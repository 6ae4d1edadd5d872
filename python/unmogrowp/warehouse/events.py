"""The stored events themselves, page by page, so that memory holds one page however many."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from unmogrowp.errors import MissingExtra
from unmogrowp.warehouse import columns
from unmogrowp.warehouse.span import Span
from unmogrowp.warehouse.store import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["ndjson", "csv", "arrow", "parquet"]
FORMATS: tuple[Format, ...] = ("ndjson", "csv", "arrow", "parquet")
PAGE_ROWS = 50_000
_ORDER = "ORDER BY timestamp, event_id"
# Qualified, since what is shown may carry the name of what it is made from.
_ORDER_OUTSIDE = "ORDER BY e.timestamp, e.event_id"
_PLAIN_SLASHES = "SETTINGS output_format_json_escape_forward_slashes = 0"


@dataclass(frozen=True, slots=True)
class Page:
    """Where one page lies: the condition, its values, and how many rows it may have."""

    where: str
    values: dict[str, object]
    rows_max: int


def stream(
    warehouse: Warehouse,
    span: Span,
    *,
    event_name: str | None = None,
    limit: int | None = None,
    fmt: Format = "ndjson",
) -> Iterator[bytes]:
    """The events of `span` by (timestamp, event_id), as chunks of bytes.

    Args:
        warehouse: Where they are.
        span: App and time.
        event_name: Only events of this name.
        limit: At most so many events.
        fmt: `ndjson` (a member per value sent, money as decimal text), `csv` (with a header), or
            `arrow` (an IPC stream) and `parquet`: `revenue_micros` as int64, `properties` as
            text, UUIDs and addresses as 16 bytes.
    """
    if fmt not in FORMATS:
        raise ValueError(f"unknown format `{fmt}`\nhint: one of {', '.join(FORMATS)}")
    pages = _pages(warehouse, span, event_name, limit)
    if fmt == "ndjson":
        return _ndjson(warehouse, pages)
    if fmt == "csv":
        return _csv(warehouse, pages)
    return _arrow(warehouse, pages, fmt)


def _pages(
    warehouse: Warehouse, span: Span, event_name: str | None, limit: int | None
) -> Iterator[Page]:
    where, values = span.where("timestamp"), span.values()
    if event_name is not None:
        where += " AND event_name = {event_name:String}"
        values["event_name"] = event_name
    left = limit
    while left is None or left > 0:
        rows = PAGE_ROWS if left is None else min(left, PAGE_ROWS)
        last = warehouse.rows(
            "SELECT toString(timestamp) AS time, toString(event_id) AS id FROM events FINAL "
            f"WHERE {where} {_ORDER} LIMIT 1 OFFSET {{skip:UInt64}}",
            {**values, "skip": rows - 1},
        )
        yield Page(where, dict(values), rows)
        if not last:
            return
        left = None if left is None else left - rows
        # The key of the last row seen is where the next page begins, whatever came in meanwhile.
        if "after_time" not in values:
            where += (
                " AND timestamp >= {after_time:DateTime64(6, 'UTC')} AND (timestamp, event_id) > "
                "({after_time:DateTime64(6, 'UTC')}, {after_id:UUID})"
            )
        values |= {"after_time": last[0]["time"], "after_id": last[0]["id"]}


def _select(page: Page, what: str) -> str:
    source = f"SELECT * FROM events FINAL WHERE {page.where} {_ORDER} LIMIT {page.rows_max}"
    return f"SELECT {what} FROM ({source}) AS e {_ORDER_OUTSIDE}"


def _ndjson(warehouse: Warehouse, pages: Iterator[Page]) -> Iterator[bytes]:
    members = ", ".join(columns.json_member(*item) for item in columns.event_types().items())
    line = f"concat('{{', substring(concat({members}), 2), '}}')"
    for page in pages:
        sql = f"{_select(page, line)} {_PLAIN_SLASHES}"
        if chunk := warehouse.raw(sql, page.values, fmt="TSVRaw"):
            yield chunk


def _csv(warehouse: Warehouse, pages: Iterator[Page]) -> Iterator[bytes]:
    types = columns.event_types()
    shown = ", ".join(f"ifNull({columns.text(*item)}, '')" for item in types.items())
    yield (",".join(columns.text_name(name) for name in types) + "\n").encode()
    for page in pages:
        if chunk := warehouse.raw(_select(page, shown), page.values, fmt="CSV"):
            yield chunk


def _arrow(warehouse: Warehouse, pages: Iterator[Page], fmt: Format) -> Iterator[bytes]:
    sink = _Drain()
    writer: pa.ipc.RecordBatchStreamWriter | pa.parquet.ParquetWriter | None = None
    for page in pages:
        table = _table(warehouse, page)
        writer = writer or _writer(sink, table.schema, fmt)
        writer.write_table(table)
        yield sink.drain()
    if writer is not None:
        writer.close()
    yield sink.drain()


def _table(warehouse: Warehouse, page: Page) -> "pa.Table":
    types = columns.event_types()
    shown = ", ".join(columns.arrow(*item) for item in types.items())
    return warehouse.arrow(_select(page, shown), page.values)


def _writer(
    sink: "_Drain", schema: "pa.Schema", fmt: Format
) -> "pa.ipc.RecordBatchStreamWriter | pa.parquet.ParquetWriter":
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtra("embedded") from error
    if fmt == "parquet":
        return pq.ParquetWriter(sink, schema, compression="zstd")
    return pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), schema)


class _Drain:
    """A file that is only written, and emptied as it fills."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._written = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        self.closed = True

    def drain(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)
