"""`unmogrowp serve`."""

import argparse

from unmogrowp.cli.options import Commands, settings
from unmogrowp.errors import MissingExtra


def add(commands: Commands, where: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "serve",
        parents=[where],
        help="run the server",
        description="Run the server until SIGTERM. With no settings it needs no other program: "
        "events, warehouse and catalog lie in the data directory.",
    )
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port, 0 for any free one (default: 8000)")
    parser.add_argument(
        "--role",
        choices=["all", "ingest", "store"],
        default="all",
        help="ingest takes and keeps events, store ships and answers; all does both",
    )
    parser.add_argument("--json", action="store_true", help="print the start line as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve."""
    given = settings(options)
    try:
        from unmogrowp.server import supervisor
    except ImportError as error:
        raise MissingExtra("server") from error
    return supervisor.serve(given, role=options.role, as_json=options.json)
