"""`unmogrowp serve`: run the server."""

import argparse

from unmogrowp.cli.options import Commands, add_command, add_json, add_place, settings_of

FLAGS = (
    "host",
    "port",
    "listener",
    "ingest_port",
    "ingest_certificate",
    "ingest_certificate_key",
)


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "serve",
        "run the server until Ctrl-C or SIGTERM",
        "It needs no other program: events, warehouse and keys lie in the data directory.",
    )
    add_place(parser)
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port, 0 for any free one (default: 8000)")
    parser.add_argument(
        "--listener",
        choices=("litestar", "native"),
        help="native takes events on a port of its own, without Python (default: litestar)",
    )
    parser.add_argument(
        "--ingest-port",
        type=int,
        help="port of the native listener, 0 for any free one (default: 8001)",
    )
    for flag, what in (
        ("--ingest-certificate", "PEM chain, for TLS on the port of the native listener"),
        ("--ingest-certificate-key", "PEM private key of that certificate"),
    ):
        parser.add_argument(flag, metavar="FILE", help=what)
    parser.add_argument(
        "--role",
        choices=("all", "ingest", "store"),
        default="all",
        help="ingest accepts and spools events, store does the rest (default: all)",
    )
    add_json(parser, "print the start line as a JSON object")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve; the exit code is the supervisor's."""
    settings = settings_of(options, *FLAGS)
    from unmogrowp.server import supervisor

    return int(supervisor.serve(settings, role=options.role, as_json=options.json))
