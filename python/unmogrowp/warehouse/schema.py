"""The event table in, the warehouse's tables and views out, as numbered migrations.

Base tables and what their views write to carry the same window for insert tokens: a repeated
insert is then stored once in all of them, even when the first try died half way.
"""

from dataclasses import dataclass

from unmogrowp import _core
from unmogrowp.events import IDS

MODELS = (
    "first_touch",
    "last_touch",
    "first_non_direct",
    "last_non_direct",
    "linear",
    "position_based",
    "j_shape",
    "inverse_j",
    "w_shape",
    "time_decay",
)

# What credit can be grouped by of a touch.
TOUCH_KEYS = ("channel", "campaign", "adset", "creative")

_DURABLE = (
    "non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1"
)
# A file per column is two hundred fsyncs per insert; merges give large parts their columns back.
_COMPACT = "ALTER TABLE events MODIFY SETTING min_bytes_for_wide_part = 134217728"
# Reports read these whole, and pay for each row that a newer one replaces and for each part more.
# Once nothing came for so long, a partition becomes one part, if it is not too large to be written
# anew: even where something comes just after, that takes a twentieth of the time.
MERGED_AT_REST = (
    "rollup_counts",
    "rollup_seen",
    "rollup_active",
    "rollup_earned",
    "touchpoints",
    "persons",
    "credits",
    "opens",
)
_AT_REST = (
    "MODIFY SETTING min_age_to_force_merge_seconds = 300, "
    "min_age_to_force_merge_on_partition_only = 1, "
    "max_bytes_to_merge_at_max_space_in_pool = 10000000000"
)
_LABEL = "LowCardinality(String)"
_TIME = "DateTime64(6, 'UTC')"
_TOUCHPOINT = (
    "app_id",
    "identity",
    "timestamp",
    "event_id",
    "event_name",
    "event_type",
    "source",
    "medium",
    "campaign",
    "adset",
    "creative",
    "site_id",
    "click_id",
    "country",
    "revenue_micros",
    "currency",
)
_BUCKET = "toStartOfFifteenMinutes(timestamp)"
COUNTS_SELECT = (
    f"SELECT app_id, {_BUCKET} AS bucket, event_name, event_type, source, campaign, country, "
    "currency, count() AS events, sum(ifNull(revenue_micros, 0)) AS revenue_micros "
    "FROM {source} GROUP BY ALL"
)
# A bit per day of the month, the first lowest.
SEEN_SELECT = (
    "SELECT app_id, identity, event_name, toStartOfMonth(timestamp, 'UTC') AS month, "
    "groupBitOr(bitShiftLeft(1::UInt32, toDayOfMonth(timestamp, 'UTC') - 1)) AS days "
    "FROM {source} GROUP BY app_id, identity, event_name, month"
)
# What a cohort follows: an event called `install` is one, whatever its type.
IS_TOUCH = "event_type IN ('click', 'impression') AND event_name != 'install'"
NEVER = "toDateTime64('2299-12-31 23:59:59.999999', 6, 'UTC')"
ACTIVE_SELECT = (
    "SELECT app_id, identity, toDate(timestamp, 'UTC') AS day, min(timestamp) AS first_at, "
    "max(timestamp) AS last_at, "
    f"min(if(event_name = 'install', timestamp, {NEVER})) AS install_at "
    f"FROM {{source}} WHERE NOT ({IS_TOUCH}) GROUP BY app_id, identity, day"
)
EARNED_SELECT = (
    "SELECT app_id, identity, timestamp, event_id, assumeNotNull(revenue_micros) AS micros, "
    "currency "
    f"FROM {{source}} WHERE revenue_micros IS NOT NULL AND NOT ({IS_TOUCH})"
)
# What each roll-up makes of events.
ROLLUPS = {
    "rollup_counts": COUNTS_SELECT,
    "rollup_seen": SEEN_SELECT,
    "rollup_active": ACTIVE_SELECT,
    "rollup_earned": EARNED_SELECT,
}


@dataclass(frozen=True, slots=True)
class Migration:
    """One step from an older warehouse to a newer one; each statement may run twice."""

    number: int
    name: str
    statements: tuple[str, ...]


MIGRATIONS_TABLE = (
    "CREATE TABLE IF NOT EXISTS migrations (number UInt32, name String, "
    f"applied_at {_TIME} DEFAULT now64(6)) ENGINE = ReplacingMergeTree ORDER BY number "
    "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
)


def migrations() -> tuple[Migration, ...]:
    """Every migration in order; the last number is the version of the warehouse."""
    return (
        Migration(1, "events and rejects", (_events(), _rejects())),
        Migration(2, "roll-ups", _rollup_counts()),
        Migration(3, "attribution", (_touchpoints(), _identities(), _persons(), _credits())),
        Migration(
            4, "work tables", (_work("marks", "person"), _work("changes", "identity", "person"))
        ),
        Migration(5, "members of a person", _members()),
        Migration(6, "cheaper inserts", (_COMPACT, _codecs())),
        Migration(7, "open journeys", (_opens(),)),
        Migration(8, "roll-ups of cohorts", _rollups_of_cohorts()),
        Migration(9, "people by month", _rollup_of_people()),
        Migration(10, "merged at rest", _merged_at_rest()),
    )


def _table(name: str, columns: list[str], engine: str) -> str:
    body = ",\n    ".join(columns)
    return f"CREATE TABLE IF NOT EXISTS {name} (\n    {body}\n) {engine}\nSETTINGS {_DURABLE}"


def _types() -> dict[str, str]:
    return {name: kind for name, kind, _ in _core.events_ddl()}


def _events() -> str:
    columns = [f"{name} {kind} CODEC({codec})" for name, kind, codec in _core.events_ddl()]
    columns += [
        # Replacing keeps the greatest version: counting down from the top keeps the first copy.
        "precedence UInt64 DEFAULT 18446744073709551615 - batch_id CODEC(Delta(8), ZSTD(1))",
        "INDEX batches batch_id TYPE minmax GRANULARITY 1",
    ]
    return _table(
        "events",
        columns,
        "ENGINE = ReplacingMergeTree(precedence) PARTITION BY toYYYYMM(timestamp) "
        "ORDER BY (app_id, timestamp, event_id)",
    )


def _codecs() -> str:
    """The codecs of a new table for an older one."""
    columns = (
        f"MODIFY COLUMN {name} {kind} CODEC({codec})" for name, kind, codec in _core.events_ddl()
    )
    return f"ALTER TABLE events {', '.join(columns)}"


def _merged_at_rest() -> tuple[str, ...]:
    return tuple(f"ALTER TABLE {table} {_AT_REST}" for table in MERGED_AT_REST)


def _rejects() -> str:
    columns = [f"app_id {_LABEL}", f"received_at {_TIME}", "`index` UInt32", "event_id String"]
    columns += [f"code {_LABEL}", f"field {_LABEL}", "message String", "raw String CODEC(ZSTD(3))"]
    return _table(
        "rejects",
        columns,
        "ENGINE = MergeTree PARTITION BY toDate(received_at) "
        "ORDER BY (app_id, received_at, `index`) "
        "TTL toDateTime(received_at) + INTERVAL 7 DAY",
    )


def _rollup_counts() -> tuple[str, str]:
    keys = ("event_name", "event_type", "source", "campaign", "country", "currency")
    columns = [f"app_id {_LABEL}", "bucket DateTime('UTC')"]
    columns += [f"{key} {_LABEL}" for key in keys]
    columns += ["events UInt64", "revenue_micros Int64"]
    table = _table(
        "rollup_counts",
        columns,
        "ENGINE = SummingMergeTree((events, revenue_micros)) PARTITION BY toYYYYMM(bucket) "
        f"ORDER BY (app_id, bucket, {', '.join(keys)})",
    )
    return table, _view("rollup_counts", COUNTS_SELECT)


def _rollups_of_cohorts() -> tuple[str, ...]:
    return _late({"rollup_active": _rollup_active(), "rollup_earned": _rollup_earned()})


def _rollup_of_people() -> tuple[str, ...]:
    """In place of a row per person, name and day, which there were many of."""
    gone = ("DROP VIEW IF EXISTS rollup_users_view SYNC", "DROP TABLE IF EXISTS rollup_users SYNC")
    return (*_late({"rollup_seen": _rollup_seen()}), *gone)


def _late(tables: dict[str, str]) -> tuple[str, ...]:
    """Roll-ups that an older warehouse does not have: filled from its events."""
    views = (_view(name, ROLLUPS[name]) for name in tables)
    large = "SETTINGS max_execution_time = 0, max_bytes_before_external_group_by = 2000000000"
    selects = {name: ROLLUPS[name].format(source="events") for name in tables}
    known = (f"INSERT INTO {name} {select} {large}" for name, select in selects.items())
    return (*tables.values(), *views, *known)


def _rollup_seen() -> str:
    """On which days of a month an identity did what."""
    columns = [f"app_id {_LABEL}", "identity UUID", f"event_name {_LABEL}", "month Date"]
    columns += ["days SimpleAggregateFunction(groupBitOr, UInt32)"]
    return _table(
        "rollup_seen",
        columns,
        "ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(month) "
        "ORDER BY (app_id, identity, event_name, month)",
    )


def _rollup_active() -> str:
    """When an identity did something that is no touch, by day."""
    columns = [f"app_id {_LABEL}", "identity UUID", "day Date"]
    ends = (("first_at", "min"), ("last_at", "max"), ("install_at", "min"))
    columns += [f"{name} SimpleAggregateFunction({end}, {_TIME})" for name, end in ends]
    return _table(
        "rollup_active",
        columns,
        "ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(day) ORDER BY (app_id, identity, day)",
    )


def _rollup_earned() -> str:
    columns = [f"app_id {_LABEL}", "identity UUID", f"timestamp {_TIME}", "event_id UUID"]
    columns += ["micros Int64", f"currency {_LABEL}"]
    return _table(
        "rollup_earned",
        columns,
        "ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(timestamp) "
        "ORDER BY (app_id, identity, timestamp, event_id)",
    )


def _view(target: str, select: str, *, source: str = "events") -> str:
    name = f"{target}_view"
    return (
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {name} TO {target} "
        f"AS {select.format(source=source)}"
    )


def _touchpoints() -> str:
    types = _types()
    return _table(
        "touchpoints",
        [f"{name} {types[name]}" for name in _TOUCHPOINT],
        "ENGINE = ReplacingMergeTree ORDER BY (app_id, identity, timestamp, event_id)",
    )


def _identities() -> str:
    types = _types()
    columns = [f"app_id {_LABEL}", "identity UUID"]
    columns += [f"{name} SimpleAggregateFunction(any, {types[name]})" for name in IDS]
    columns += [f"first_seen SimpleAggregateFunction(min, {_TIME})"]
    return _table(
        "identities", columns, "ENGINE = AggregatingMergeTree ORDER BY (app_id, identity)"
    )


def _persons() -> str:
    return _table(
        "persons",
        [f"app_id {_LABEL}", "identity UUID", "person UUID", "version UInt64"],
        "ENGINE = ReplacingMergeTree(version) ORDER BY (app_id, identity)",
    )


def _members() -> tuple[str, str, str]:
    """Who is or was of a person: `persons` the other way round, so that nobody has to read it."""
    columns = [f"app_id {_LABEL}", "person UUID", "identity UUID"]
    engine = "ENGINE = ReplacingMergeTree ORDER BY (app_id, person, identity)"
    select = "SELECT app_id, person, identity FROM {source}"
    known = f"INSERT INTO members {select.format(source='persons')}"
    view = _view("members", select, source="persons")
    return _table("members", columns, engine), view, known


def _opens() -> str:
    """Journeys that did not convert, by person: whoever is credited anew replaces theirs."""
    columns = [f"app_id {_LABEL}", "rule_version UInt64", "person UUID", "place UInt32"]
    columns += [f"last_touch {_TIME}"]
    columns += [f"{key} Array({_LABEL})" for key in TOUCH_KEYS]
    columns += ["version UInt64"]
    return _table(
        "opens",
        columns,
        "ENGINE = ReplacingMergeTree(version) ORDER BY (app_id, rule_version, person, place)",
    )


def _work(name: str, *uuids: str) -> str:
    """What one round of the incremental job needs and the next one empties."""
    columns = ", ".join(f"{column} UUID" for column in uuids)
    return f"CREATE TABLE IF NOT EXISTS {name} (app_id String, {columns}) ENGINE = Memory"


def _credits() -> str:
    columns = [
        f"app_id {_LABEL}",
        "rule_version UInt64",
        f"conversion_time {_TIME}",
        "conversion_id UUID",
        f"conversion_name {_LABEL}",
        "person UUID",
        "value_micros Int64",
        f"currency {_LABEL}",
        f"country {_LABEL}",
        "touch_id Array(UUID)",
        f"touch_time Array({_TIME})",
    ]
    columns += [f"{key} Array({_LABEL})" for key in TOUCH_KEYS]
    columns += [f"{model} Array(Float64)" for model in MODELS]
    columns += ["version UInt64"]
    return _table(
        "credits",
        columns,
        "ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(conversion_time) "
        "ORDER BY (app_id, rule_version, conversion_time, conversion_id)",
    )
