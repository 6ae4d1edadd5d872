"""`unmogrowp schema`: what an event may hold, for people and as a JSON schema."""

import argparse
import json

from unmogrowp.cli.options import Commands, add_command, add_json
from unmogrowp.cli.show import print_line, print_table

JsonSchema = dict[str, object]

# What can be sent for a column of each kind.
TYPES: dict[str, JsonSchema] = {
    "uuid": {"type": ["string", "null"], "format": "uuid"},
    "time": {"type": ["string", "number", "null"]},
    "ip": {"type": ["string", "null"]},
    "text": {"type": ["string", "null"]},
    "label": {"type": ["string", "null"]},
    "micros": {"type": ["number", "string", "null"]},
    "json": {"type": ["object", "null"]},
}
# The server fills these; the same names in an event would be properties.
SERVER_ONLY = frozenset({"client_timestamp", "received_at"})
SENT_AS = {"revenue_micros": "revenue"}
IDENTITY = ("user_id", "anonymous_id", "device_id", "idfa", "gaid", "idfv")


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "schema", "show what an event may hold")
    add_json(parser, "print a JSON schema of one event")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show the event table."""
    from unmogrowp import _core

    columns = _core.schema()
    if options.json:
        print_line(json.dumps(json_schema(columns), indent=2, ensure_ascii=False))
        return 0
    rows = [[name, kind, bytes_max or None, doc] for name, kind, bytes_max, doc in columns]
    print_table(["column", "type", "bytes at most", "meaning"], rows)
    return 0


def json_schema(columns: list[tuple[str, str, int, str]]) -> JsonSchema:
    """A JSON schema of what may be sent; it cannot say everything that the parser checks."""
    properties = {
        SENT_AS.get(name, name): _property(name, kind, bytes_max, doc)
        for name, kind, bytes_max, doc in columns
        if name not in SERVER_ONLY
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "event",
        "type": "object",
        "properties": properties,
        "required": ["timestamp"],
        "allOf": [_one_of(("event_name", "event_type")), _one_of(IDENTITY)],
        "dependentRequired": {"revenue": ["currency"]},
    }


def _property(name: str, kind: str, bytes_max: int, doc: str) -> JsonSchema:
    shown: JsonSchema = {**TYPES[kind], "description": doc}
    if name == "event_id":
        # Any text is an id: one that is no UUID is mapped to one.
        del shown["format"]
    if bytes_max:
        # Characters, while the limit counts bytes: a longer text is certainly refused.
        shown["maxLength"] = bytes_max
    return shown


def _one_of(names: tuple[str, ...]) -> JsonSchema:
    return {"anyOf": [{"required": [name]} for name in names]}
