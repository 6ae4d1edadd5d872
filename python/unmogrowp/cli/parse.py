"""`unmogrowp parse`: files of events in, typed columns and what is wrong with the rest out."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from unmogrowp.cli.files import OUTPUTS, concat, expect_output, reading, write_table
from unmogrowp.cli.options import Commands, add_command
from unmogrowp.cli.show import note, note_progress, print_line, print_table

if TYPE_CHECKING:
    from unmogrowp.events import Parsed
    from unmogrowp.table import Table

REJECTS_SHOWN = 20
REJECT_COLUMNS = ("row", "code", "field", "message")


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "parse",
        "check files of events and turn them into columns",
        "Takes JSON, arrays, batches and NDJSON, plain or compressed with gzip, zstd or brotli. "
        "Without -o it only says how many events are good and what is wrong with the others.",
    )
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="e.g. big.ndjson.zst")
    names = ", ".join(OUTPUTS)
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help=f"events: {names}")
    parser.add_argument("--rejects", metavar="FILE", type=Path, help=f"the bad records: {names}")
    parser.add_argument("--app", help="app of events that name none; others become rejects")
    parser.add_argument("--truncate-ip", action="store_true", help="forget the end of addresses")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Parse; rejects are a finding, not a failure."""
    for path in (options.output, options.rejects):
        expect_output(path)
    parsed = [_parsed(path, options) for path in options.files]
    if options.output is not None:
        write_table(concat([one.events for one in parsed]), options.output)
    if options.rejects is not None:
        write_table(concat([one.rejects for one in parsed]), options.rejects)
    for path, one in zip(options.files, parsed, strict=True):
        say = print_line if options.output is None else note
        say(f"{path}: {len(one.events):,} events, {len(one.rejects):,} rejects")
        if options.output is None:
            _print_rejects(one.rejects)
    return 0


def _parsed(path: Path, options: argparse.Namespace) -> "Parsed":
    from unmogrowp.events import parse

    note_progress(f"reading {path}")
    with reading(path):
        return parse(path, app_id=options.app, truncate_ip=options.truncate_ip)


def _print_rejects(rejects: "Table") -> None:
    if not len(rejects):
        return
    first = rejects.head(REJECTS_SHOWN)
    columns = (first.column(name).to_pylist() for name in REJECT_COLUMNS)
    print_table(REJECT_COLUMNS, list(zip(*columns, strict=True)))
    if len(rejects) > len(first):
        print_line(f"… {len(rejects) - len(first):,} more; `--rejects FILE` writes all of them")
