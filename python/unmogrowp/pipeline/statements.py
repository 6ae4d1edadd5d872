"""The SQL of the incremental job. App ids are part of every key and join."""

NIL = "toUUID('00000000-0000-0000-0000-000000000000')"
RANGE = "batch_id > {after:UInt64} AND batch_id <= {upto:UInt64}"
IDS = "user_id, anonymous_id, device_id, idfa, gaid, idfv"
TOUCHPOINT = (
    "app_id, identity, timestamp, event_id, event_name, event_type, source, campaign, adset,"
    " creative, country, revenue_micros, currency"
)
IS_TOUCHPOINT = (
    "(event_type IN ('click', 'impression') OR event_name IN {conversions:Array(String)})"
)
# A person is named by an identity; an identity without a row here is its own person.
CURRENT = (
    "(SELECT app_id, identity, argMax(person, version) AS person FROM persons"
    " GROUP BY app_id, identity)"
)

IDENTITIES = f"SELECT app_id, identity, {IDS} FROM events WHERE {RANGE} GROUP BY ALL"
REMEMBERED = f"SELECT app_id, identity, {IDS} FROM identities GROUP BY ALL"
REMEMBER = (
    f"INSERT INTO identities (app_id, identity, {IDS}, first_seen)"
    f" SELECT app_id, identity, {IDS}, min(timestamp) FROM events"
    f" WHERE {RANGE} GROUP BY app_id, identity, {IDS}"
)

# An identity with shared ids alone has no person: it is marked by its own name.
MARK_CHANGED = f"INSERT INTO marks SELECT app_id, if(person = {NIL}, identity, person) FROM changes"
MARK_PREVIOUS = (
    "INSERT INTO marks SELECT app_id, argMax(person, version) FROM persons"
    " WHERE (app_id, identity) IN (SELECT app_id, identity FROM changes)"
    " GROUP BY app_id, identity"
)
MOVE = (
    "INSERT INTO persons SELECT app_id, identity, person, {version:UInt64} FROM changes"
    " WHERE person != identity OR (app_id, identity) IN"
    " (SELECT app_id, identity FROM persons)"
)

GATHER_ALL = (
    f"INSERT INTO touchpoints ({TOUCHPOINT}) SELECT {TOUCHPOINT} FROM events"
    f" WHERE app_id = {{app_id:String}} AND {IS_TOUCHPOINT}"
)
GATHER = f"{GATHER_ALL} AND {RANGE}"
MARK_TOUCHED = (
    f"INSERT INTO marks SELECT DISTINCT e.app_id, if(p.person = {NIL}, e.identity, p.person)"
    f" FROM (SELECT app_id, identity FROM events WHERE app_id = {{app_id:String}} AND {RANGE}"
    f" AND {IS_TOUCHPOINT}) AS e LEFT JOIN {CURRENT} AS p"
    " ON e.app_id = p.app_id AND e.identity = p.identity"
)
MARKED_APPS = "SELECT DISTINCT app_id FROM marks ORDER BY app_id"
COUNT = "SELECT count() AS touchpoints FROM touchpoints WHERE app_id = {app_id:String}"

# Whose touchpoints are read: those of marked persons, or of everybody in the app.
MARKED = (
    "(app_id, identity) IN (SELECT app_id, person FROM marks UNION ALL"
    f" SELECT app_id, identity FROM {CURRENT} WHERE (app_id, person) IN"
    " (SELECT app_id, person FROM marks))"
)
ALL = "1"


def touchpoints(whose: str) -> str:
    """The touchpoints of some people, each with its person, in order of time."""
    return (
        "SELECT t.app_id AS app_id, if(p.identity = t.identity, p.person, t.identity) AS person,"
        " t.event_id AS event_id, t.timestamp AS timestamp, t.event_name AS event_name,"
        " t.event_type AS event_type, t.source AS source, t.campaign AS campaign,"
        " t.adset AS adset, t.creative AS creative, t.country AS country,"
        " t.revenue_micros AS revenue_micros, t.currency AS currency"
        f" FROM (SELECT * FROM touchpoints FINAL WHERE app_id = {{app_id:String}} AND {whose}) AS t"
        f" LEFT JOIN {CURRENT} AS p ON t.app_id = p.app_id AND t.identity = p.identity"
        " WHERE cityHash64(person) % {parts:UInt64} = {part:UInt64}"
        " ORDER BY t.timestamp, t.event_id"
    )


FORGET = (
    "DELETE FROM credits WHERE app_id = {app_id:String} AND rule_version < {rule_version:UInt64}"
)
