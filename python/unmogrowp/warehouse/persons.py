"""Identities and persons in SQL: an identity is its own person until the warehouse says more.

One with shared ids alone belongs to nobody, which is written as the nil UUID: it is counted as
itself.
"""

from unmogrowp.table import Table
from unmogrowp.warehouse.store import Warehouse

NIL = "toUUID('00000000-0000-0000-0000-000000000000')"
KNOWN = "SELECT identity, person FROM persons FINAL WHERE app_id = {app_id:String}"
# As a UUID a column would be built value by value.
_KNOWN_AS_BYTES = (
    f"SELECT UUIDToNum(identity) AS identity, UUIDToNum(person) AS person FROM ({KNOWN})"
)


def with_person(select: str) -> str:
    """Add `person` to the rows of `select`, which has an `identity`."""
    person = f"if(p.person = {NIL}, s.identity, p.person)"
    join = f"({select}) AS s LEFT JOIN ({KNOWN}) AS p ON s.identity = p.identity"
    return f"SELECT s.*, {person} AS person FROM {join}"


def known_table(warehouse: Warehouse, app_id: str) -> Table:
    """`identity` and `person`, 16 bytes each, of identities that are or were not their own."""
    return Table.read(warehouse.arrow(_KNOWN_AS_BYTES, {"app_id": app_id}))
