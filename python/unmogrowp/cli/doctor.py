"""`unmogrowp doctor`: every setting with its origin, and whether what a server needs is there."""

import argparse
import http.client
import importlib.util
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unmogrowp.cli.asking import FILE, Server
from unmogrowp.cli.options import Commands, add_command, add_json, add_place, loaded
from unmogrowp.cli.show import print_json, print_line, print_table
from unmogrowp.errors import UnmogrowpError

if TYPE_CHECKING:
    from unmogrowp.config import Settings

# What each extra brings, by the names that are imported.
EXTRAS = {
    "server": ("clickhouse_connect", "granian", "litestar", "msgspec", "sqlalchemy", "uvloop"),
    "embedded": ("chdb", "clickhouse_connect", "pyarrow"),
}
FREE_BYTES_MIN = 1 << 30
RECEIPTS_KEY = "receipts.key"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    is_good: bool
    said: str


def add(commands: Commands) -> None:
    """Add the command."""
    more = "Ends with 1 where something needs a hand."
    parser = add_command(commands, "doctor", "show every setting and what a server lacks", more)
    add_place(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Look at everything; 1 where something needs a hand."""
    found = loaded(options)
    settings = [[v.name, v.shown, v.origin] for v in found.shown()]
    findings = list(_findings(found.settings))
    if options.json:
        known = {name: {"value": value, "origin": origin} for name, value, origin in settings}
        looked = {f.what: {"is_good": f.is_good, "said": f.said} for f in findings}
        print_json({"settings": known, "findings": looked})
    else:
        print_table(["setting", "value", "from"], settings)
        print_line("")
        rows = [[f.what, "ok" if f.is_good else "look here", f.said] for f in findings]
        print_table(["what", "state", "more"], rows)
    return int(not all(finding.is_good for finding in findings))


def _findings(settings: "Settings") -> Iterator[Finding]:
    for extra, modules in EXTRAS.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        said = f"install unmogrowp[{extra}]: no {', '.join(missing)}" if missing else "installed"
        yield Finding(f"extra {extra}", not missing, said)
    yield _disk(settings.data_dir.absolute())
    if (settings.data_dir / RECEIPTS_KEY).exists():
        yield _receipts(settings.data_dir)
    yield _server(settings.data_dir)


def _receipts(data_dir: Path) -> Finding:
    from unmogrowp.pipeline.receipt import public_key

    return Finding("receipts", is_good=True, said=f"signed by {public_key(data_dir)}")


def _disk(data_dir: Path) -> Finding:
    place = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    free = shutil.disk_usage(place).free
    if not os.access(place, os.W_OK):
        return Finding("data directory", is_good=False, said=f"`{place}` cannot be written")
    said = f"{free / 1e9:,.1f} GB free below `{place}`"
    return Finding("data directory", is_good=free >= FREE_BYTES_MIN, said=said)


def _server(data_dir: Path) -> Finding:
    if not (data_dir / FILE).exists():
        return Finding("server", is_good=True, said=f"none runs on `{data_dir}`")
    try:
        server = Server(data_dir)
        with server.get("/health/ready", {}, "application/json") as answer:
            ready = json.load(answer)
    except (UnmogrowpError, OSError, http.client.HTTPException) as error:
        return Finding("server", is_good=False, said=str(error).replace("\n", "; "))
    away = ", ".join(ready["degraded"])
    problem = (ready["store"] or {}).get("problem")
    said = f"{server.url}: {ready['status']}{f', {away}' if away else ''}"
    return Finding("server", is_good=not away, said=f"{said}: {problem}" if problem else said)
