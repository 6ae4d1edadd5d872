"""`unmogrowp parse` and `unmogrowp attribute`: the library over files."""

import argparse
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from unmogrowp.cli.options import Commands
from unmogrowp.errors import MissingExtra, UnmogrowpError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from unmogrowp.table import Table

T = TypeVar("T")

OUTPUTS = (".parquet", ".csv", ".arrow")


def add(commands: Commands, _where: argparse.ArgumentParser) -> None:
    """Add both commands."""
    parse = commands.add_parser(
        "parse",
        help="read events into typed columns and say what is wrong with the rest",
        description="Read events (JSON or NDJSON, plain or compressed). Without -o, say how many "
        "were good and why the others were not.",
    )
    parse.add_argument("file", type=Path, help="events.ndjson, .json, .gz, .zst, .br")
    parse.add_argument("-o", "--output", type=Path, help=f"one of {', '.join(OUTPUTS)}")
    parse.add_argument("--rejects", type=Path, help="where rejects go, same formats")
    parse.set_defaults(run=parse_file)
    attribute = commands.add_parser(
        "attribute",
        help="credit the conversions in a file of events",
        description="Credit the conversions in a file of events, models side by side.",
    )
    attribute.add_argument("file", type=Path, help="events as .parquet, .arrow or NDJSON")
    attribute.add_argument(
        "--model", action="append", default=[], help="may be repeated (default: last_touch)"
    )
    attribute.add_argument(
        "--conversion", action="append", default=[], help="event names (default: install, purchase)"
    )
    attribute.add_argument("--click-lookback", default="30d")
    attribute.add_argument("--view-lookback", default="1d")
    attribute.add_argument("--policy", choices=["partition", "overlap"], default="partition")
    attribute.add_argument("-o", "--output", type=Path, help=f"one of {', '.join(OUTPUTS)}")
    attribute.set_defaults(run=attribute_file)


def parse_file(options: argparse.Namespace) -> int:
    """Read events."""
    from unmogrowp.events import parse

    for path in (options.output, options.rejects):
        _check_output(path)
    parsed = _reading(options.file, lambda: parse(options.file))
    if options.output is not None:
        write(parsed.events, options.output)
    if options.rejects is not None:
        write(parsed.rejects, options.rejects)
    sys.stderr.write(f"{len(parsed.events)} events, {len(parsed.rejects)} rejects\n")
    if options.output is None:
        sys.stdout.write(f"{parsed.events.head()!r}\n")
        if len(parsed.rejects):
            sys.stdout.write(f"{parsed.rejects.head()!r}\n")
    return 0


def attribute_file(options: argparse.Namespace) -> int:
    """Credit conversions."""
    from unmogrowp.attribution import compare, model_named
    from unmogrowp.journeys import journeys

    _check_output(options.output)
    models = [model_named(name) for name in options.model or ["last_touch"]]
    made = journeys(
        _reading(options.file, lambda: read(options.file)),
        conversion=options.conversion or ["install", "purchase"],
        click_lookback=options.click_lookback,
        view_lookback=options.view_lookback,
        policy=options.policy,
    )
    credited = compare(made, models)
    if options.output is not None:
        write(credited, options.output)
    else:
        sys.stdout.write(f"{credited!r}\n")
    return 0


def read(path: Path) -> "Table":
    """A table of events from a file."""
    from unmogrowp.events import parse
    from unmogrowp.table import Table

    if path.suffix == ".parquet":
        return Table.read(_parquet().read_table(path))
    if path.suffix == ".arrow":
        import pyarrow as pa

        with pa.memory_map(str(path)) as source:
            return Table.read(pa.ipc.open_stream(source).read_all())
    return parse(path).events


def write(table: "Table", path: Path) -> None:
    """A table into a file, in the format its name ends with."""
    parquet = _parquet()
    if path.suffix == ".parquet":
        parquet.write_table(table.to_pyarrow(), path, compression="zstd")
        return
    import pyarrow as pa

    arrow = table.to_pyarrow()
    if path.suffix == ".arrow":
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, arrow.schema) as stream:
            stream.write_table(arrow)
        return
    import pyarrow.csv

    binary = [field.name for field in arrow.schema if pa.types.is_fixed_size_binary(field.type)]
    if binary:
        raise UnmogrowpError(
            f"CSV has no form for the binary columns {', '.join(binary)}\nhint: use .parquet"
        )
    pyarrow.csv.write_csv(arrow, path)


def _parquet() -> "ModuleType":
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtra("embedded") from error


def _reading(path: Path, work: "Callable[[], T]") -> "T":
    try:
        return work()
    except OSError as error:
        raise UnmogrowpError(f"cannot read `{path}`: {error.strerror or error}") from error
    except ValueError as error:
        raise UnmogrowpError(f"`{path}`: {error}") from error


def _check_output(path: Path | None) -> None:
    if path is not None and path.suffix not in OUTPUTS:
        raise UnmogrowpError(f"cannot write `{path}`\nhint: name it {', '.join(OUTPUTS)}")
