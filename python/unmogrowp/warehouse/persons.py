"""Identities and persons in SQL: an identity is its own person until the warehouse says more."""

_KNOWN = (
    "SELECT identity, argMax(person, version) AS person FROM persons "
    "WHERE app_id = {app_id:String} GROUP BY identity"
)


def with_person(select: str) -> str:
    """Add `person` to the rows of `select`, which has an `identity`."""
    person = "if(p.identity = s.identity, p.person, s.identity)"
    join = f"({select}) AS s LEFT JOIN ({_KNOWN}) AS p ON s.identity = p.identity"
    return f"SELECT s.*, {person} AS person FROM {join}"
