"""Rows of an app out of a table."""

from collections.abc import Mapping

from unmogrowp.pipeline.statements import APP
from unmogrowp.warehouse import Warehouse


def count(warehouse: Warehouse, table: str, which: str, given: Mapping[str, object]) -> int:
    """How many of an app's rows a condition holds for."""
    sql = f"SELECT count() AS rows FROM {table} WHERE {APP} AND {which}"
    (row,) = warehouse.rows(sql, given)
    return int(str(row["rows"]))


def delete(warehouse: Warehouse, table: str, which: str, given: Mapping[str, object]) -> None:
    """Delete them, and wait until it is done."""
    sql = f"ALTER TABLE {table} DELETE WHERE {APP} AND {which} SETTINGS mutations_sync = 2"
    warehouse.command(sql, given)
