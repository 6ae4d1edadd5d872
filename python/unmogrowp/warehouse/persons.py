"""Identities and persons in SQL: an identity is its own person until the warehouse says more.

One with shared ids alone belongs to nobody, which is written as the nil UUID: it is counted as
itself.
"""

NIL = "toUUID('00000000-0000-0000-0000-000000000000')"
KNOWN = (
    "SELECT identity, argMax(person, version) AS person FROM persons "
    "WHERE app_id = {app_id:String} GROUP BY identity"
)


def with_person(select: str) -> str:
    """Add `person` to the rows of `select`, which has an `identity`."""
    person = f"if(p.person = {NIL}, s.identity, p.person)"
    join = f"({select}) AS s LEFT JOIN ({KNOWN}) AS p ON s.identity = p.identity"
    return f"SELECT s.*, {person} AS person FROM {join}"
