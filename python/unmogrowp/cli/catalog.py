"""`unmogrowp apps` and `unmogrowp keys`. They work while the server runs."""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from unmogrowp.cli.options import Commands, settings
from unmogrowp.cli.show import print_table
from unmogrowp.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from unmogrowp.catalog import App, Catalog


def add(commands: Commands, where: argparse.ArgumentParser) -> None:
    """Add both commands."""
    _add_apps(commands, where)
    _add_keys(commands, where)


def _add_apps(commands: Commands, where: argparse.ArgumentParser) -> None:
    apps = commands.add_parser("apps", help="create, show and change apps")
    verbs = apps.add_subparsers(title="verbs", metavar="VERB", required=True)
    create = verbs.add_parser("create", parents=[where], help="add an app")
    create.add_argument("app", help="its id, e.g. com.example.app")
    create.add_argument("--name", help="its name (default: the id)")
    create.add_argument("--currency", default="USD", help="ISO 4217 code (default: USD)")
    create.add_argument("--json", action="store_true")
    create.set_defaults(run=create_app)
    change = verbs.add_parser("set", parents=[where], help="change settings of an app")
    change.add_argument("app")
    change.add_argument(
        "pairs",
        nargs="+",
        metavar="NAME=VALUE",
        help="conversions, click_lookback, view_lookback, policy, truncate_ip, retention",
    )
    change.set_defaults(run=set_app)
    for name, help_text, run in (
        ("show", "show one app", show_app),
        ("list", "list all apps", list_apps),
    ):
        verb = verbs.add_parser(name, parents=[where], help=help_text)
        if name == "show":
            verb.add_argument("app")
        verb.add_argument("--json", action="store_true")
        verb.set_defaults(run=run)


def _add_keys(commands: Commands, where: argparse.ArgumentParser) -> None:
    keys = commands.add_parser("keys", help="create, list and revoke keys")
    verbs = keys.add_subparsers(title="verbs", metavar="VERB", required=True)
    create = verbs.add_parser("create", parents=[where], help="make a key; it is shown only once")
    create.add_argument("--app", required=True)
    create.add_argument("--role", required=True, choices=["write", "read", "admin"])
    create.add_argument("--json", action="store_true")
    create.set_defaults(run=create_key)
    show = verbs.add_parser("list", parents=[where], help="list keys, without their secrets")
    show.add_argument("--app")
    show.add_argument("--json", action="store_true")
    show.set_defaults(run=list_keys)
    revoke = verbs.add_parser("revoke", parents=[where], help="a key opens nothing any more")
    revoke.add_argument("id")
    revoke.set_defaults(run=revoke_key)


@contextmanager
def _catalog(options: argparse.Namespace) -> Iterator["Catalog"]:
    try:
        from unmogrowp.catalog import Catalog
    except ImportError as error:
        raise MissingExtra("server") from error
    catalog = Catalog.open(settings(options).data_dir)
    try:
        yield catalog
    finally:
        catalog.close()


def create_app(options: argparse.Namespace) -> int:
    """Add an app."""
    with _catalog(options) as catalog:
        app = catalog.create_app(options.app, options.name or options.app, options.currency)
    return _show(app, as_json=options.json)


def set_app(options: argparse.Namespace) -> int:
    """Change settings of an app."""
    texts = {}
    for pair in options.pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ConfigError(f"expected NAME=VALUE, got `{pair}`\nhint: e.g. policy=overlap")
        texts[name] = text
    with _catalog(options) as catalog:
        app = catalog.set_app(options.app, texts)
    return _show(app, as_json=False)


def show_app(options: argparse.Namespace) -> int:
    """Show one app."""
    with _catalog(options) as catalog:
        found = [app for app in catalog.apps() if app.id == options.app]
        known = ", ".join(app.id for app in catalog.apps())
    if not found:
        raise ConfigError(f"no app `{options.app}`\nhint: there are: {known or 'none yet'}")
    return _show(found[0], as_json=options.json)


def list_apps(options: argparse.Namespace) -> int:
    """List all apps."""
    with _catalog(options) as catalog:
        apps = catalog.apps()
    if options.json:
        _print_json([asdict(app) for app in apps])
    else:
        rows = [
            [app.id, app.name, app.currency, ",".join(app.settings.conversions)] for app in apps
        ]
        print_table(["id", "name", "currency", "conversions"], rows)
    return 0


def create_key(options: argparse.Namespace) -> int:
    """Make a key."""
    with _catalog(options) as catalog:
        from unmogrowp.catalog.keys import hash_of, new_key

        key = new_key()
        key_id = catalog.create_key(options.app, options.role, hash_of(key))
    if options.json:
        _print_json({"key": key, "id": key_id, "app_id": options.app, "role": options.role})
    else:
        sys.stdout.write(f"{key}\n")
        sys.stderr.write(f"{options.role} key {key_id} of {options.app}; it is not shown again\n")
    return 0


def list_keys(options: argparse.Namespace) -> int:
    """List keys."""
    with _catalog(options) as catalog:
        keys = catalog.keys(options.app)
    if options.json:
        _print_json(keys)
    else:
        names = ["id", "app_id", "role", "created_at", "revoked_at"]
        print_table(names, [[key[name] or "" for name in names] for key in keys])
    return 0


def revoke_key(options: argparse.Namespace) -> int:
    """Revoke a key."""
    with _catalog(options) as catalog:
        catalog.revoke_key(options.id)
    return 0


def _show(app: "App", *, as_json: bool) -> int:
    values = {**asdict(app), **asdict(app.settings)}
    del values["settings"]
    if as_json:
        _print_json(values)
    else:
        for name, value in values.items():
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            sys.stdout.write(f"{name} = {text.lower() if isinstance(value, bool) else text}\n")
    return 0


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
