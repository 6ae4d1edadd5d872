"""Every result is a `Table`: Arrow columns that any dataframe library takes without a copy."""

import html
from typing import TYPE_CHECKING, Protocol, final

from unmogrowp import _core
from unmogrowp.errors import MissingPackage

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

ROWS_SHOWN = 10


class ArrowStream(Protocol):
    """Anything that speaks Arrow: Polars, pandas, PyArrow, DuckDB, chDB and `Table` itself."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Export the table as an Arrow C stream."""


@final
class Column:
    """One column of a `Table`."""

    def __init__(self, batches: _core.Batches, name: str) -> None:
        self._batches = batches
        self.name = name

    def to_pylist(self) -> list[object]:
        """The values as Python objects, nulls as None."""
        return self._batches.values(self.name)

    def __len__(self) -> int:
        return len(self._batches)

    def __repr__(self) -> str:
        return f"Column({self.name}, {len(self)} rows)"


class Table:
    """Immutable Arrow columns.

    >>> import unmogrowp as ug
    >>> line = b'{"event_name":"install","timestamp":1767225600,"user_id":"u1"}'
    >>> ug.parse(line).events.column("event_name").to_pylist()
    ['install']
    """

    __slots__ = ("_batches",)

    def __init__(self, batches: _core.Batches) -> None:
        self._batches = batches

    @classmethod
    def read(cls, table: ArrowStream) -> "Table":
        """Take any Arrow table; a `TypeError` names what to do with anything else."""
        return table if isinstance(table, cls) else cls(_core.Batches.read(table))

    @property
    def batches(self) -> _core.Batches:
        """The columns as the kernels take them."""
        return self._batches

    @property
    def schema(self) -> dict[str, str]:
        """Arrow type of each column by name."""
        return dict(self._batches.fields())

    def column(self, name: str) -> Column:
        """One column; an unknown name is a `KeyError` that lists the known ones."""
        self._batches.values(name, 0)
        return Column(self._batches, name)

    def head(self, rows: int = ROWS_SHOWN) -> "Table":
        """The first rows, sharing memory with this table."""
        return Table(self._batches.head(rows))

    def to_polars(self) -> "pl.DataFrame":
        """This table as a Polars frame."""
        try:
            import polars as pl
        except ImportError as error:
            raise MissingPackage("polars") from error
        frame: pl.DataFrame = pl.DataFrame(self)
        return frame

    def to_pandas(self) -> "pd.DataFrame":
        """This table as a pandas frame."""
        frame: pd.DataFrame = self.to_pyarrow().to_pandas()
        return frame

    def to_pyarrow(self) -> "pa.Table":
        """This table as a PyArrow table."""
        try:
            import pyarrow as pa
        except ImportError as error:
            raise MissingPackage("pyarrow") from error
        return pa.table(self)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._batches.__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        return self._batches.__arrow_c_schema__()

    def __len__(self) -> int:
        return len(self._batches)

    def __repr__(self) -> str:
        names = list(self.schema)
        rows = self._shown()
        widths = [max(len(n), *(len(r[i]) for r in rows), 0) for i, n in enumerate(names)]
        lines = ["  ".join(n.ljust(w) for n, w in zip(names, widths, strict=True)).rstrip()]
        for row in rows:
            cells = (c.ljust(w) for c, w in zip(row, widths, strict=True))
            lines.append("  ".join(cells).rstrip())
        if len(self) > len(rows):
            lines.append(f"… {len(self) - len(rows)} more rows")
        return f"Table: {len(self)} rows × {len(names)} columns\n" + "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.schema)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self._shown()
        )
        size = f"{len(self)} rows × {len(self.schema)} columns"
        return (
            f"<table><caption>{size}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )

    def _shown(self) -> list[list[str]]:
        columns = [self._batches.values(name, ROWS_SHOWN) for name in self.schema]
        return [[_cell(value) for value in row] for row in zip(*columns, strict=True)]


def _cell(value: object) -> str:
    if value is None:
        return "null"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
