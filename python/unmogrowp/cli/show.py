"""Tables for people."""

import sys
from collections.abc import Sequence


def print_table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns aligned under their names."""
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(line[at]) for line in (list(names), *texts)) for at in range(len(names))]
    for line in (list(names), *texts):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
