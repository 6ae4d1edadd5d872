"""`unmogrowp keys`: who may send and read an app's events."""

import argparse
import dataclasses

from unmogrowp.cli.apps import opened
from unmogrowp.cli.options import Commands, add_command, add_json, add_place
from unmogrowp.cli.show import note, print_json, print_line, print_table


def add(commands: Commands) -> None:
    """Add the command and what can be done with keys."""
    parser = add_command(
        commands,
        "keys",
        "create, list and revoke keys",
        "Works while the server runs: a key works at once, and stops within a second.",
    )
    verbs = parser.add_subparsers(title="what to do", metavar="VERB", required=True)
    create = add_command(
        verbs, "create", "make a key and show it", "It is shown once: only its hash is kept."
    )
    create.add_argument("--app", required=True, help="the app it is for")
    create.add_argument(
        "--role",
        required=True,
        choices=("write", "read", "admin"),
        help="write sends events, read reads them and reports, admin does both",
    )
    create.set_defaults(run=run_create)
    every = add_command(verbs, "list", "show keys, without the keys themselves")
    every.add_argument("--app", help="only those of one app")
    every.set_defaults(run=run_list)
    revoke = add_command(verbs, "revoke", "make a key useless, for good")
    revoke.add_argument("id", metavar="ID", help="its id, see `unmogrowp keys list`")
    revoke.set_defaults(run=run_revoke)
    for one in (create, every, revoke):
        add_json(one)
        add_place(one)


def run_create(options: argparse.Namespace) -> int:
    """Make a key."""
    with opened(options) as catalog:
        plaintext, key = catalog.create_key(options.app, options.role)
    if options.json:
        print_json({"key": plaintext, **dataclasses.asdict(key)})
        return 0
    print_line(plaintext)
    note(f"this {key.role} key of `{key.app_id}` is shown only now; its id is `{key.id}`")
    return 0


def run_list(options: argparse.Namespace) -> int:
    """Show keys."""
    with opened(options) as catalog:
        if options.app is not None:
            catalog.show_app(options.app)
        keys = [dataclasses.asdict(key) for key in catalog.keys(options.app)]
    if options.json:
        print_json(keys)
        return 0
    names = ["id", "app_id", "role", "created_at", "revoked_at"]
    print_table(names, [[key[name] for name in names] for key in keys])
    return 0


def run_revoke(options: argparse.Namespace) -> int:
    """Revoke a key."""
    with opened(options) as catalog:
        catalog.revoke_key(options.id)
    if options.json:
        print_json({"id": options.id, "revoked": True})
    else:
        print_line(f"key `{options.id}` opens nothing any more")
    return 0
