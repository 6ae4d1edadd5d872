"""The SQL of the incremental job. App ids are part of every key and join."""

from dataclasses import dataclass

from unmogrowp.events import IDS
from unmogrowp.warehouse.persons import NIL

RANGE = "batch_id > {after:UInt64} AND batch_id <= {upto:UInt64}"
_IDS = ", ".join(IDS)
TOUCHPOINT = (
    "app_id, identity, timestamp, event_id, event_name, event_type, source, campaign, adset,"
    " creative, country, revenue_micros, currency"
)
IS_TOUCHPOINT = (
    "(event_type IN ('click', 'impression') OR event_name IN {conversions:Array(String)})"
)
APP = "app_id = {app_id:String}"
APPS = f"SELECT DISTINCT app_id FROM events WHERE {RANGE} ORDER BY app_id"
IDENTITIES = f"SELECT app_id, identity, {_IDS} FROM events WHERE {RANGE} GROUP BY ALL"
REMEMBERED = (
    f"SELECT app_id, identity, {_IDS} FROM identities"
    " WHERE identity >= {first:UUID} AND identity <= {last:UUID}"
)
HOW_MANY = "SELECT count() AS identities FROM identities"
REMEMBER = (
    f"INSERT INTO identities (app_id, identity, {_IDS}, first_seen)"
    f" SELECT app_id, identity, {_IDS}, min(timestamp) FROM events"
    f" WHERE {RANGE} GROUP BY app_id, identity, {_IDS}"
)

# The work tables live in memory: where this mark is gone, so is all that was put in after it.
BEGIN = "INSERT INTO marks SELECT '', {round:UUID}"
STILL = "SELECT count() AS found FROM marks WHERE app_id = '' AND person = {round:UUID}"

# An identity with shared ids alone has no person: it is marked by its own name.
MARK_CHANGED = f"INSERT INTO marks SELECT app_id, if(person = {NIL}, identity, person) FROM changes"
MARK_PREVIOUS = (
    "INSERT INTO marks SELECT app_id, argMax(person, version) FROM persons"
    " WHERE (app_id, identity) IN (SELECT app_id, identity FROM changes)"
    " GROUP BY app_id, identity"
)
MOVE = (
    "INSERT INTO persons SELECT app_id, identity, person, {version:UInt64} FROM changes"
    " WHERE person != identity OR (app_id, identity) IN (SELECT app_id, identity FROM persons"
    " WHERE (app_id, identity) IN (SELECT app_id, identity FROM changes))"
)


def current(identities: str) -> str:
    """`identity, person` of identities with a row; one without is its own person.

    What the round at hand links counts already: it is moved into `persons` when all is credited.
    """
    return (
        "SELECT identity, argMax(person, version) AS person FROM ("
        f"SELECT identity, person, version FROM persons WHERE {APP} AND {identities}"
        " UNION ALL SELECT identity, person, 18446744073709551615 AS version FROM changes"
        f" WHERE {APP} AND {identities}) GROUP BY identity"
    )


GATHER_ALL = (
    f"INSERT INTO touchpoints ({TOUCHPOINT}) SELECT {TOUCHPOINT} FROM events"
    f" WHERE {APP} AND {IS_TOUCHPOINT}"
)
GATHER = f"{GATHER_ALL} AND {RANGE}"
TOUCHED = f"SELECT DISTINCT identity FROM events WHERE {APP} AND {RANGE} AND {IS_TOUCHPOINT}"
MARK_TOUCHED = (
    f"INSERT INTO marks SELECT {{app_id:String}}, if(p.person = {NIL}, e.identity, p.person)"
    f" FROM ({TOUCHED}) AS e"
    f" LEFT JOIN ({current(f'identity IN ({TOUCHED})')}) AS p ON e.identity = p.identity"
)
MARKED_APPS = "SELECT DISTINCT app_id FROM marks ORDER BY app_id"
ANY_EVENT = f"SELECT 1 AS one FROM events WHERE {APP} LIMIT 1"
COUNT = f"SELECT count() AS touchpoints FROM touchpoints WHERE {APP}"

MARKS = f"SELECT person FROM marks WHERE {APP}"
# Who is or was of a marked person, and who is marked by an own name.
SUSPECTS = " UNION ALL ".join(
    [MARKS]
    + [
        f"SELECT identity FROM {table} WHERE {APP} AND person IN ({MARKS})"
        for table in ("members", "changes")
    ]
)


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose touchpoints are read: identities to look at, and which of them to keep."""

    identities: str
    keep: str
    is_some: bool = True


EVERYBODY = Whose("1", "1", is_some=False)
# A person is credited whole or not at all, so suspects of somebody unmarked go again.
MARKED = Whose(f"identity IN ({SUSPECTS})", f"(person IN ({MARKS}) OR person = {NIL})")


def touchpoints(whose: Whose) -> str:
    """The touchpoints of some people, each with its person, in order of time."""
    columns = ", ".join(f"t.{name} AS {name}" for name in TOUCHPOINT.split(", "))
    return (
        f"SELECT {columns}, if(p.identity = t.identity, p.person, t.identity) AS person"
        f" FROM (SELECT * FROM touchpoints FINAL WHERE {APP} AND {whose.identities}) AS t"
        f" LEFT JOIN ({current(whose.identities)}) AS p ON t.identity = p.identity"
        f" WHERE cityHash64(person) % {{parts:UInt64}} = {{part:UInt64}} AND {whose.keep}"
        " ORDER BY t.timestamp, t.event_id"
    )


# Whose open journeys are made anew, or are somebody else's by now, and how many there were.
OPENED = (
    "SELECT app_id, person, toInt64(max(place) + 1) AS places FROM opens"
    f" WHERE {APP} AND rule_version = {{rule_version:UInt64}} AND person IN ({MARKS} UNION ALL"
    f" SELECT identity FROM changes WHERE {APP}) GROUP BY app_id, person"
)
FORGET = tuple(
    f"DELETE FROM {table} WHERE {APP} AND rule_version < {{rule_version:UInt64}}"
    for table in ("credits", "opens")
)
