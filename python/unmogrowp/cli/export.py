"""`unmogrowp export`: stored events of the running server into a file."""

import argparse
from pathlib import Path

from unmogrowp.cli.asking import add_span, copy, server_of, span
from unmogrowp.cli.files import replacing
from unmogrowp.cli.options import Commands, UsageError, add_command, add_place
from unmogrowp.cli.show import note_progress

FORMATS = {
    ".ndjson": "application/x-ndjson",
    ".csv": "text/csv",
    ".arrow": "application/vnd.apache.arrow.stream",
    ".parquet": "application/vnd.apache.parquet",
}


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "export",
        "write stored events into a file",
        "The file appears when it is whole. Its name decides the format.",
    )
    add_span(parser)
    parser.add_argument("--event-name", help="only events of this name")
    parser.add_argument("--limit", type=int, help="at most so many (default: all)")
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, required=True, help=", ".join(FORMATS)
    )
    add_place(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write events."""
    path: Path = options.output
    accept = FORMATS.get(path.suffix.lower())
    if accept is None:
        raise UsageError(f"cannot write `{path}`\nhint: end its name with {' or '.join(FORMATS)}")
    limit = None if options.limit is None else str(options.limit)
    query = span(options) | {"event_name": options.event_name, "limit": limit}
    note_progress(f"writing {path}")
    with (
        server_of(options).get("/v1/events", query, accept) as answer,
        replacing(path) as part,
        part.open("wb") as file,
    ):
        copy(answer, file)
    return 0
