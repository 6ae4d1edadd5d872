"""`unmogrowp erase`: one person out of everything that is kept."""

import argparse
import json
import sys
from pathlib import Path

from unmogrowp.cli.asking import server_of
from unmogrowp.cli.options import Commands, UsageError, add_command, add_json, add_place
from unmogrowp.cli.show import note_progress, print_json, print_line
from unmogrowp.events import IDS

ABOUT = """\
Whoever has the id: all events of all ids seen together with it, what was refused of them, their
part of roll-ups and reports, their credit. Events of the person that arrive later are new."""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "erase", "erase a person from an app, for good", ABOUT)
    parser.add_argument("--app", help="id of the app")
    one = parser.add_mutually_exclusive_group(required=True)
    for kind in IDS:
        one.add_argument(f"--{kind.replace('_', '-')}", metavar="ID")
    one.add_argument(
        "--check", metavar="RECEIPT", type=Path, help="see whether a receipt is genuine"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask whether it is meant")
    add_json(parser, "print the receipt")
    add_place(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Erase, and say what is gone."""
    if options.check is not None:
        return _check(options.check)
    if options.app is None:
        raise UsageError("whose app is it?\nhint: say --app APP")
    kind, value = next((kind, getattr(options, kind)) for kind in IDS if getattr(options, kind))
    if not options.yes and not _is_meant(f"erase the person of {kind} `{value}`?"):
        return 1
    note_progress("erasing")
    query = {"app_id": options.app, "id_kind": kind, "id": value}
    with server_of(options).ask("DELETE", "/v1/persons", query, "application/json") as answer:
        receipt = json.loads(answer.read())
    if options.json:
        print_json(receipt)
        return 0
    rows = {table: count for table, count in receipt["rows"].items() if count}
    shown = ", ".join(f"{count:,} of {table}" for table, count in rows.items())
    print_line(f"erased {shown}" if shown else "nothing was known of this person")
    return 0


def _check(path: Path) -> int:
    # A server's libraries load slowly.
    from unmogrowp.pipeline.receipt import is_genuine

    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"`{path}` is no receipt: {error}\nhint: name a file of JSON") from error
    if not (isinstance(found, dict) and is_genuine(found)):
        print_line("not genuine: it is not what was signed")
        return 1
    print_line(f"genuine, signed by {found['public_key']}; `unmogrowp doctor` names its own key")
    return 0


def _is_meant(question: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("an erasure cannot be undone\nhint: say --yes where nobody can be asked")
    sys.stderr.write(f"{question} This cannot be undone. [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
