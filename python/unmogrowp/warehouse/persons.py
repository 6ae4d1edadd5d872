"""Identities and persons in SQL: an identity is its own person until the warehouse says more.

One with shared ids alone belongs to nobody, which is written as the nil UUID: it is counted as
itself.
"""

from concurrent.futures import Executor
from typing import final

from unmogrowp import _core
from unmogrowp.table import Table
from unmogrowp.warehouse.store import Warehouse

NIL = "toUUID('00000000-0000-0000-0000-000000000000')"
KNOWN = "SELECT identity, person FROM persons FINAL WHERE app_id = {app_id:String}"
# As a UUID a column would be built value by value, and what a kernel reads has the newest row.
_KNOWN_AS_BYTES = (
    "SELECT UUIDToNum(identity) AS identity, UUIDToNum(person) AS person, version "
    "FROM persons WHERE app_id = {app_id:String}"
)
_HOW_MANY = "SELECT count() AS identities FROM identities WHERE app_id = {app_id:String}"


def with_person(select: str) -> str:
    """Add `person` to the rows of `select`, which has an `identity`."""
    person = f"if(p.person = {NIL}, s.identity, p.person)"
    join = f"({select}) AS s LEFT JOIN ({KNOWN}) AS p ON s.identity = p.identity"
    return f"SELECT s.*, {person} AS person FROM {join}"


@final
class Known:
    """Who of an app is who, taken in beside what is read meanwhile.

    Args:
        warehouse: Where it is read.
        app_id: The app.
        beside: Who takes it in.
    """

    def __init__(self, warehouse: Warehouse, app_id: str, beside: Executor) -> None:
        app = {"app_id": app_id}
        (row,) = warehouse.rows(_HOW_MANY, app)
        table = Table.read(warehouse.arrow(_KNOWN_AS_BYTES, app)).batches
        self._persons = beside.submit(_core.Persons, table, int(str(row["identities"])))
        self.has_nobody: bool = _core.has_nobody(table)

    def persons(self) -> _core.Persons:
        """For one report; waits until all are taken in."""
        return self._persons.result()
