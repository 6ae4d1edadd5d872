"""`unmogrowp`: the command line. Exit codes: 0 done, 1 failed, 2 misused."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from unmogrowp import __version__
from unmogrowp.cli import catalog, files, remote, schema, serve
from unmogrowp.cli.options import Commands
from unmogrowp.errors import UnmogrowpError

FAILED, MISUSED = 1, 2
INTERRUPTED = 130

DESCRIPTION = """\
Open mobile measurement: events in, attribution out.

Start here:
  unmogrowp demo                       see it work on this machine
  unmogrowp serve                      run the server; no other program is needed
  unmogrowp apps create com.example.app --name Example --currency USD
  unmogrowp keys create --app com.example.app --role write
"""


def main(words: Sequence[str] | None = None) -> int:
    """Run one command."""
    parser = _parser()
    options = parser.parse_args(words)
    try:
        return int(options.run(options))
    except UnmogrowpError as error:
        sys.stderr.write(f"error: {error}\n")
        return FAILED
    except BrokenPipeError:
        # The reader of our output has seen enough; keep the interpreter from flushing again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="unmogrowp",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"unmogrowp {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument(
        "--data-dir", type=Path, help="where everything is kept (default: ./unmogrowp-data)"
    )
    where.add_argument("--config", type=Path, help="settings file (default: ./unmogrowp.toml)")
    for room in (serve, catalog, files, remote, schema):
        room.add(commands, where)
    _add_delegates(commands)
    return parser


def _add_delegates(commands: Commands) -> None:
    from unmogrowp import demo, simulate

    made = commands.add_parser(
        "simulate", help="write a simulated month of mobile traffic as NDJSON"
    )
    simulate.arguments(made)
    made.set_defaults(run=simulate.command)
    shown = commands.add_parser("demo", help="real SDKs and a simulated month, end to end")
    demo.arguments(shown)
    shown.set_defaults(run=demo.command)
