"""`unmogrowp parse`: files of events in, typed columns and what is wrong with the rest out."""

import argparse
import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from unmogrowp.cli.files import OUTPUTS, expect_output, reading, writing
from unmogrowp.cli.options import Commands, UsageError, add_command, positive
from unmogrowp.cli.parts import Parts, is_folder
from unmogrowp.cli.show import note, note_progress, print_line, print_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from unmogrowp.events import Parsed, Pieces
    from unmogrowp.table import Table

REJECTS_SHOWN = 20
REJECT_COLUMNS = ("row", "code", "field", "message")
PROGRESS_S = 2.0


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "parse",
        "check files of events and turn them into columns",
        "Takes JSON, arrays, batches, NDJSON and CSV with a header, plain or compressed with gzip, "
        "zstd or brotli, and Parquet and Arrow files. "
        "Lines are read piece by piece, so that a file may be larger than memory. "
        "Without -o it only says how many events are good and what is wrong with the others.",
    )
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="e.g. big.ndjson.zst")
    names = ", ".join(OUTPUTS)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help=f"events: {names}; a name without an ending is a folder with a Parquet file for each "
        "piece, where a call that was broken off goes on",
    )
    parser.add_argument("--rejects", metavar="FILE", type=Path, help=f"the bad records: {names}")
    parser.add_argument(
        "--piece-mib",
        metavar="N",
        type=positive,
        default=64,
        help="MiB of lines whose columns are written together; memory holds those and up to 16 MiB "
        "of lines a thread (default: 64)",
    )
    parser.add_argument("--app", help="app of events that name none; others become rejects")
    parser.add_argument("--truncate-ip", action="store_true", help="forget the end of addresses")
    parser.set_defaults(run=run)


@dataclass
class Counts:
    """What a file had in it."""

    events: int = 0
    rejects: int = 0
    first: "list[tuple[object, ...]]" = field(default_factory=list)
    """The rejects that are shown."""

    def add(self, piece: "Parsed") -> None:
        """Count a piece."""
        self.events += len(piece.events)
        self.rejects += len(piece.rejects)
        wanted = REJECTS_SHOWN - len(self.first)
        if wanted > 0 and len(piece.rejects):
            head = piece.rejects.head(wanted)
            columns = (head.column(name).to_pylist() for name in REJECT_COLUMNS)
            self.first += zip(*columns, strict=True)


def run(options: argparse.Namespace) -> int:
    """Parse; rejects are a finding, not a failure."""
    if options.output is not None and is_folder(options.output):
        return _into_parts(options)
    for path in (options.output, options.rejects):
        expect_output(path)
    say = print_line if options.output is None else note
    with contextlib.ExitStack() as stack:
        keep_events = _keeping(stack, options.output)
        keep_rejects = _keeping(stack, options.rejects)
        for path in options.files:
            counts = Counts()
            for _, piece in _pieces(path, options):
                counts.add(piece)
                keep_events(piece.events)
                keep_rejects(piece.rejects)
            say(f"{path}: {counts.events:,} events, {counts.rejects:,} rejects")
            if options.output is None:
                _print_rejects(counts)
    return 0


def _into_parts(options: argparse.Namespace) -> int:
    """A file for each piece; one that was broken off goes on behind its last one."""
    if options.rejects is not None:
        raise UsageError(
            f"`--rejects` is of no use with the folder `{options.output}`\n"
            "hint: the rejects are written into it, too"
        )
    same = {"app": options.app, "truncate_ip": options.truncate_ip}
    parts = Parts.of(options.output, options.files, same)
    for path in options.files[parts.file :]:
        for pieces, piece in _pieces(path, options, start=(parts.rows, parts.bytes)):
            parts.keep(piece, pieces.place)
        parts.next_file()
    note(f"{options.output}: {parts.events:,} events, {parts.rejects:,} rejects")
    return 0


def _keeping(stack: contextlib.ExitStack, path: Path | None) -> "Callable[[Table], None]":
    """Where tables go: a file, or nowhere."""
    if path is None:
        return lambda _: None
    write = stack.enter_context(writing(path))
    return lambda table: write(table.to_pyarrow())


def _pieces(
    path: Path, options: argparse.Namespace, start: tuple[int, int] = (0, 0)
) -> "Iterator[tuple[Pieces, Parsed]]":
    """The pieces of a file, with a word now and then on how far it is."""
    from unmogrowp.events import parse_pieces
    from unmogrowp.sources import is_table

    note_progress(f"reading {path}")
    with reading(path):
        size = max(path.stat().st_size, 1)
        pieces = parse_pieces(
            path,
            piece_bytes=options.piece_mib << 20,
            start=start,
            app_id=options.app,
            truncate_ip=options.truncate_ip,
        )
        said = time.monotonic()
        for piece in pieces:
            yield pieces, piece
            if time.monotonic() - said > PROGRESS_S:
                said = time.monotonic()
                # Of a file of tables, only the rows are seen.
                how_far = f"{pieces.place[0]:,} rows"
                if not is_table(path):
                    how_far = f"{min(pieces.read_bytes / size, 1):.0%}"
                note_progress(f"{path}: {how_far} read")


def _print_rejects(counts: Counts) -> None:
    if not counts.rejects:
        return
    print_table(REJECT_COLUMNS, counts.first)
    if counts.rejects > len(counts.first):
        more = counts.rejects - len(counts.first)
        print_line(f"… {more:,} more; `--rejects FILE` writes all of them")
