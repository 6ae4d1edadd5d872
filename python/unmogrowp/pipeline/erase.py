"""One person's events out of the warehouse, with everything that was made of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from unmogrowp.errors import UnmogrowpError
from unmogrowp.events import IDS
from unmogrowp.pipeline import deletion
from unmogrowp.pipeline.statements import APP
from unmogrowp.warehouse import Warehouse
from unmogrowp.warehouse.persons import with_person

# Rows that name whom they are about; the ids come last, so that an erasure that was cut short
# finds them when it is asked for again.
_BY_IDENTITY = ("events", "touchpoints", "rollup_seen", "rollup_active", "rollup_earned")
_IDS_LAST = ("persons", "members", "identities")
_WHO = "identity IN {identities:Array(UUID)}"
# The tables of which the engine keeps the text of a deletion that is done.
_TOLD = (
    "SELECT DISTINCT table FROM system.mutations WHERE database = currentDatabase() AND is_done"
    " AND command NOT LIKE '%DELETE WHERE 0%' ORDER BY table"
)


class EraseError(UnmogrowpError):
    """The person cannot be told from others."""


@dataclass(frozen=True, slots=True)
class Found:
    """A person: identities, their ids as text, and by what name credit knows them."""

    identities: list[str]
    persons: list[str]
    ids: list[str]


def find(warehouse: Warehouse, app_id: str, kind: str, value: str) -> Found:
    """Whom an id belongs to; nobody where it was never seen.

    Raises:
        EraseError: It is shared by several people, or no kind of id.
    """
    if kind not in IDS:
        raise EraseError(f"unknown id `{kind}`\nhint: one of {', '.join(IDS)}")
    given: dict[str, object] = {"app_id": app_id, "value": value}
    known = f"SELECT DISTINCT identity FROM identities WHERE {APP}"
    owners = with_person(f"{known} AND lower(toString({kind})) = lower({{value:String}})")
    sql = f"SELECT DISTINCT toString(person) AS person FROM ({owners})"
    persons = [str(row["person"]) for row in warehouse.rows(sql, given)]
    if len(persons) > 1:
        raise EraseError(
            f"{kind} `{value}` is shared by `{len(persons)}` people\nhint: name an id of one person"
        )
    given["persons"] = persons
    members = (
        f"SELECT toString(identity) AS identity FROM ({with_person(known)}) "
        "WHERE person IN {persons:Array(UUID)}"
    )
    identities = {str(row["identity"]) for row in warehouse.rows(members, given)} | set(persons)
    given["identities"] = sorted(identities)
    texts = ", ".join(f"toString({name})" for name in IDS)
    ids = warehouse.rows(
        f"SELECT DISTINCT arrayJoin([{texts}]) AS id FROM identities WHERE {APP} AND {_WHO}", given
    )
    nobody = {"", "00000000-0000-0000-0000-000000000000"}
    shown = {str(row["id"]) for row in ids} - nobody
    return Found(sorted(identities), persons, sorted(shown | {value}))


def erase(warehouse: Warehouse, app_id: str, found: Found) -> dict[str, int]:
    """Delete all rows about a person and make the roll-ups anew.

    Returns:
        How many rows each table lost.
    """
    given: dict[str, object] = {
        "app_id": app_id,
        "identities": found.identities,
        "persons": found.persons,
        "ids": found.ids,
    }
    gone: dict[str, int] = {}
    for table in _BY_IDENTITY:
        gone[table] = _delete(warehouse, table, _WHO, given)
    gone["credits"] = _delete(warehouse, "credits", "person IN {persons:Array(UUID)}", given)
    # The identities have the person among them, and one of nobody has journeys by its own name.
    own = "person IN {identities:Array(UUID)}"
    gone["opens"] = _delete(warehouse, "opens", own, given)
    # By digest: the text of a deletion is kept beside the table for a while.
    holds = f"{APP} AND arrayExists(id -> position(raw, id) > 0, {{ids:Array(String)}})"
    digests = f"SELECT DISTINCT cityHash64(raw) AS digest FROM rejects WHERE {holds}"
    given["digests"] = [int(str(row["digest"])) for row in warehouse.rows(digests, given)]
    those = "cityHash64(raw) IN {digests:Array(UInt64)}"
    gone["rejects"] = _delete(warehouse, "rejects", those, given)
    if gone["events"]:
        warehouse.rebuild_rollups()
    for table in _IDS_LAST:
        gone[table] = _delete(warehouse, table, _WHO, given)
    forget(warehouse)
    return gone


def forget(warehouse: Warehouse) -> None:
    """Have the engine forget whose rows it deleted: it keeps the texts of deletions.

    Of the last one it always does (what its setting means by 0 is all), so the last is of nothing.
    """
    for row in warehouse.rows(_TOLD):
        table = f"ALTER TABLE {row['table']}"
        warehouse.command(f"{table} MODIFY SETTING finished_mutations_to_keep = 1")
        warehouse.command(f"{table} DELETE WHERE 0 SETTINGS mutations_sync = 2")


def _delete(warehouse: Warehouse, table: str, whose: str, given: Mapping[str, object]) -> int:
    rows = deletion.count(warehouse, table, whose, given)
    if rows:
        # Replaced parts go within seconds instead of minutes, since they hold what was deleted.
        warehouse.command(f"ALTER TABLE {table} MODIFY SETTING old_parts_lifetime = 1")
        deletion.delete(warehouse, table, whose, given)
    return rows
