"""Results on the screen: aligned columns for people, JSON for programs."""

import json
import sys
from collections.abc import Mapping, Sequence


def print_line(text: str) -> None:
    """One line on stdout."""
    sys.stdout.write(text + "\n")


def print_json(value: object) -> None:
    """One JSON value on one line of stdout."""
    print_line(json.dumps(value, ensure_ascii=False))


def note(text: str) -> None:
    """A line on stderr, where it is in nobody's way."""
    sys.stderr.write(text + "\n")


def note_progress(text: str) -> None:
    """What is going on, only where somebody watches."""
    if sys.stderr.isatty():
        note(text)


def print_table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Aligned columns; numbers to the right, everything else to the left."""
    texts = [[cell_text(cell) for cell in row] for row in rows]
    columns = list(zip(*texts, strict=True)) if texts else [() for _ in names]
    widths = [max(map(len, (name, *column))) for name, column in zip(names, columns, strict=True)]
    numeric = [_is_numeric([row[at] for row in rows]) for at in range(len(names))]
    for line in (names, *texts):
        cells = zip(line, widths, numeric, strict=True)
        aligned = (text.rjust(size) if right else text.ljust(size) for text, size, right in cells)
        print_line("  ".join(aligned).rstrip())


def cell_text(cell: object) -> str:
    """A value as people read it; control characters cannot play with the terminal."""
    match cell:
        case None:
            text = "-"
        case bool():
            text = str(cell).lower()
        case float():
            text = f"{cell:,.4f}".rstrip("0").rstrip(".")
        case int():
            text = f"{cell:,}"
        case Mapping():
            text = ", ".join(f"{cell_text(value)} {key}" for key, value in cell.items()) or "-"
        case list() | tuple():
            text = ",".join(cell_text(value) for value in cell)
        case _:
            text = str(cell)
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _is_numeric(cells: Sequence[object]) -> bool:
    given = [cell for cell in cells if cell is not None]
    return bool(given) and all(_is_number(cell) for cell in given)


def _is_number(cell: object) -> bool:
    if isinstance(cell, str):
        # Money is a decimal text.
        return cell.removeprefix("-").replace(".", "", 1).isdecimal()
    return isinstance(cell, int | float) and not isinstance(cell, bool)
