"""`unmogrowp`: the command line. Exit codes: 0 done, 1 failed, 2 misused."""

import argparse
import os
import sys
from collections.abc import Sequence

from unmogrowp import __version__
from unmogrowp.cli import (
    apps,
    attribute,
    backup,
    doctor,
    erase,
    export,
    keys,
    parse,
    replay,
    report,
    schema,
    serve,
)
from unmogrowp.cli.options import Commands, Parser, UsageError, add_command, add_place
from unmogrowp.errors import ConfigError, MissingExtra, UnmogrowpError

FAILED, MISUSED, INTERRUPTED = 1, 2, 130

DESCRIPTION = """\
Open mobile measurement: events in, attribution out.

Start here:
  unmogrowp demo                       see it work on this machine
  unmogrowp serve                      run the server; no other program is needed
  unmogrowp apps create com.example.app --name Example --currency USD
  unmogrowp keys create --app com.example.app --role write
"""
EPILOG = "`unmogrowp COMMAND --help` explains each. Exit codes: 0 done, 1 failed, 2 misused."
# Packages that only the server needs; without them its commands name the extra.
SERVER_PACKAGES = frozenset(
    {"clickhouse_connect", "granian", "litestar", "msgspec", "sqlalchemy", "uvloop"}
)


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is its result."""
    try:
        options = _options(words)
        return int(options.run(options))
    except (UsageError, ConfigError) as error:
        return _fail(error, MISUSED)
    except UnmogrowpError as error:
        return _fail(error, FAILED)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in SERVER_PACKAGES:
            raise
        return _fail(MissingExtra("server"), FAILED)
    except BrokenPipeError:
        # The reader of our output has seen enough; keep the interpreter from flushing again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED


def _fail(error: Exception, code: int) -> int:
    sys.stderr.write(f"error: {error}\n")
    return code


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    options, unknown = _parser().parse_known_args(words)
    if unknown:
        options.parser.refuse(unknown)
    return options


def _parser() -> Parser:
    parser = Parser(
        prog="unmogrowp",
        description=DESCRIPTION,
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"unmogrowp {__version__}")
    add_place(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    modules = (
        serve,
        apps,
        keys,
        parse,
        attribute,
        report,
        export,
        replay,
        erase,
        backup,
        schema,
        doctor,
    )
    for command in modules:
        command.add(commands)
    _add_delegates(commands)
    return parser


def _add_delegates(commands: Commands) -> None:
    """Add the commands whose modules know their own arguments."""
    from unmogrowp import demo, simulate

    simulated = add_command(commands, "simulate", "write a simulated month of events as NDJSON")
    simulate.arguments(simulated)
    simulated.set_defaults(run=simulate.command)
    shown = add_command(commands, "demo", "watch a server take real traffic and report on it")
    demo.arguments(shown)
    shown.set_defaults(run=demo.command)
