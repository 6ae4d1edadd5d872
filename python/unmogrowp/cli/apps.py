"""`unmogrowp apps`: the apps whose events are kept, and how they are credited."""

import argparse
import dataclasses
from typing import TYPE_CHECKING

from unmogrowp.cli.options import (
    Commands,
    UsageError,
    add_command,
    add_json,
    add_place,
    settings_of,
)
from unmogrowp.cli.show import print_json, print_line, print_table

if TYPE_CHECKING:
    from unmogrowp.catalog import App, Catalog

SETTINGS = """\
conversions=install,purchase  names of the events that convert;
click_lookback=30d, view_lookback=1d  how long before a conversion a touch counts;
policy=partition|overlap  whether a conversion consumes its touches;
truncate_ip=true|false  forget the end of addresses; retention=none|90d  how long events are kept;
cut=none|device_id:tablet,…  ids that link nobody"""


def add(commands: Commands) -> None:
    """Add the command and what can be done with apps."""
    parser = add_command(
        commands, "apps", "create apps and change their settings", "Works while the server runs."
    )
    verbs = parser.add_subparsers(title="what to do", metavar="VERB", required=True)
    create = add_command(verbs, "create", "add an app")
    create.add_argument("id", metavar="APP", help="what events call it, e.g. com.example.app")
    create.add_argument("--name", help="what people call it (default: its id)")
    create.add_argument(
        "--currency", default="USD", help="ISO 4217 code of its reports (default: USD)"
    )
    create.set_defaults(run=run_create)
    every = add_command(verbs, "list", "show all apps")
    every.set_defaults(run=run_list)
    show = add_command(verbs, "show", "show one app and its settings")
    show.add_argument("id", metavar="APP", help="its id")
    show.set_defaults(run=run_show)
    change = add_command(verbs, "set", "change settings of an app", f"Settings: {SETTINGS}.")
    change.add_argument("id", metavar="APP", help="its id")
    change.add_argument("settings", metavar="NAME=VALUE", nargs="+", help="e.g. click_lookback=7d")
    change.set_defaults(run=run_set)
    for one in (create, every, show, change):
        add_json(one)
        add_place(one)


def opened(options: argparse.Namespace) -> "Catalog":
    """The catalog of the data directory."""
    from unmogrowp.catalog import Catalog

    return Catalog.open(settings_of(options).data_dir)


def run_create(options: argparse.Namespace) -> int:
    """Add an app."""
    with opened(options) as catalog:
        app = catalog.create_app(options.id, options.name or options.id, options.currency)
    if options.json:
        print_json(described(app))
    else:
        print_line(f"app `{app.id}` is there; its events need a key:")
        print_line(f"  unmogrowp keys create --app {app.id} --role write")
    return 0


def run_list(options: argparse.Namespace) -> int:
    """Show all apps."""
    with opened(options) as catalog:
        apps = catalog.apps()
    if options.json:
        print_json([described(app) for app in apps])
        return 0
    rows = [[app.id, app.name, app.currency, app.settings.conversions] for app in apps]
    print_table(["app", "name", "currency", "conversions"], rows)
    return 0


def run_show(options: argparse.Namespace) -> int:
    """Show one app."""
    with opened(options) as catalog:
        app = catalog.show_app(options.id)
    _print(app, as_json=options.json)
    return 0


def run_set(options: argparse.Namespace) -> int:
    """Change settings, all or none."""
    texts = dict(_pair(text) for text in options.settings)
    with opened(options) as catalog:
        app = catalog.set_app(options.id, texts)
    _print(app, as_json=options.json)
    return 0


def described(app: "App") -> dict[str, object]:
    """An app as JSON shows it."""
    return dataclasses.asdict(app)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"expected NAME=VALUE, got `{text}`\nhint: e.g. `click_lookback=7d`")
    return name.strip(), value.strip()


def _print(app: "App", *, as_json: bool) -> None:
    if as_json:
        print_json(described(app))
        return
    rows: list[list[object]] = [["app", app.id], ["name", app.name], ["currency", app.currency]]
    rows += [[name, value] for name, value in dataclasses.asdict(app.settings).items()]
    print_table(["setting", "value"], rows)
