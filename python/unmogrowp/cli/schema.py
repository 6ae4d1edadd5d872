"""`unmogrowp schema`: the event table."""

import argparse
import json
import sys

from unmogrowp import _core
from unmogrowp.cli.options import Commands
from unmogrowp.cli.show import print_table

JSON_TYPES: dict[str, dict[str, object]] = {
    "uuid": {"type": "string", "format": "uuid"},
    "time": {"type": ["string", "integer", "number"]},
    "ip": {"type": "string"},
    "text": {"type": "string"},
    "label": {"type": "string"},
    "micros": {"type": ["number", "string"]},
    "json": {"type": "object"},
}
SERVER_ONLY = frozenset({"client_timestamp", "received_at"})


def add(commands: Commands, _where: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser("schema", help="the columns of an event, or its JSON schema")
    parser.add_argument("--json", action="store_true", help="a JSON schema of what can be sent")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show the event table."""
    columns = _core.schema()
    if options.json:
        sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
    else:
        rows = [[name, kind, limit or "", doc] for name, kind, limit, doc in columns]
        print_table(["column", "kind", "bytes_max", "meaning"], rows)
    return 0


def json_schema() -> dict[str, object]:
    """What can be sent, as JSON Schema 2020-12."""
    properties: dict[str, object] = {}
    for name, kind, limit, doc in _core.schema():
        if name in SERVER_ONLY:
            continue
        field = "revenue" if name == "revenue_micros" else name
        bound = {"maxLength": limit} if limit and kind in {"text", "label"} else {}
        properties[field] = {**JSON_TYPES[kind], **bound, "description": doc}
    ids = ["user_id", "anonymous_id", "device_id", "idfa", "gaid", "idfv"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "event",
        "type": "object",
        "properties": properties,
        "required": ["timestamp"],
        "allOf": [
            {"anyOf": [{"required": [name]} for name in ("event_name", "event_type")]},
            {"anyOf": [{"required": [name]} for name in ids]},
        ],
        "dependentRequired": {"revenue": ["currency"]},
    }
