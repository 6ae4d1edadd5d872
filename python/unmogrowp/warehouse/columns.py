"""How each stored column reads in text and in Arrow: where the null is, and how it is spelt."""

from unmogrowp import _core
from unmogrowp.warehouse.money import decimal_sql
from unmogrowp.warehouse.persons import NIL

_TIME_FORMAT = "'%Y-%m-%dT%H:%i:%S.%fZ'"
_WAREHOUSE_ONLY = ("identity", "batch_id")


def event_types() -> dict[str, str]:
    """Warehouse type of each column of the event, in stored order."""
    ddl = ((name, kind) for name, kind, _ in _core.events_ddl())
    return {name: kind for name, kind in ddl if name not in _WAREHOUSE_ONLY}


def text(name: str, kind: str) -> str:
    """SQL for the column as text; null where nothing was sent."""
    if kind == "UUID":
        return f"nullIf(toString({name}), '00000000-0000-0000-0000-000000000000')"
    if kind == "IPv6":
        # IPv4 is kept as a mapped IPv6 address and shown as it was sent.
        shown = f"replaceOne(toString({name}), '::ffff:', '')"
        return (
            f"if({name} = toIPv6('::'), NULL, if(isIPv4String({shown}), {shown}, toString({name})))"
        )
    if "DateTime64" in kind:
        return f"formatDateTime({name}, {_TIME_FORMAT}, 'UTC')"
    if "Int64" in kind:
        return decimal_sql(name)
    return f"nullIf(toString({name}), '')"


def json_member(name: str, kind: str) -> str:
    """SQL for `,"name":value`, or the empty text where nothing was sent."""
    shown = text(name, kind)
    label = text_name(name)
    if name == "properties":
        # Pasted as sent; a line break can only stand between tokens, where a space does as well.
        value = f"translate({shown}, '\\n\\r', '  ')"
    elif kind == "UUID" or "DateTime64" in kind or "Int64" in kind:
        value = f"concat('\"', {shown}, '\"')"
    else:
        value = f"toJSONString({shown})"
    return f"if(({shown}) IS NULL, '', concat(',\"{label}\":', assumeNotNull({value})))"


def text_name(name: str) -> str:
    """Name in NDJSON and CSV: money is a decimal there, so it is called as it was sent."""
    return "revenue" if name == "revenue_micros" else name


def arrow(name: str, kind: str) -> str:
    """SQL for the column as Arrow takes it: UUIDs and addresses as 16 bytes, nulls as nulls.

    The table is called `e`, because the result carries the name of what it is made from.
    """
    column = f"e.{name}"
    if kind == "UUID":
        packed = f"UUIDStringToNum(toString({column}))"
        return f"if({column} = {NIL}, NULL, {packed}) AS {name}"
    if kind == "IPv6":
        packed = f"reinterpretAsFixedString({column})"
        return f"if({column} = toIPv6('::'), NULL, {packed}) AS {name}"
    if "String" in kind:
        return f"nullIf(toString({column}), '') AS {name}"
    return f"{column} AS {name}"
