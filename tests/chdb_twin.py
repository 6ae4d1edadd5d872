"""Rules once more, in ClickHouse's SQL on random tables: `python chdb_twin.py SEED COUNT`.

In a process of its own, since a process has one engine. Prints what disagreed, and how many tables
were compared.
"""

import math
import random
import sys

import chdb

import unmogrowp as ug
from attribution_reference import DAY
from test_attribution_laws import journeys, table_of

TWIN = """
with conversions as (
    select row, user_id, timestamp, value,
        lagInFrame(toNullable(timestamp)) over (partition by user_id, conversion_name
            order by timestamp, row rows between unbounded preceding and current row) as before
    from Python(given) where is_conversion
),
pairs as (
    select c.row as conversion, t.channel as channel, coalesce(c.value, 0) as value,
        toUnixTimestamp64Micro(c.timestamp) - toUnixTimestamp64Micro(t.timestamp) as age,
        row_number() over (partition by c.row order by t.timestamp desc, t.row desc) as from_end,
        row_number() over (partition by c.row order by t.timestamp, t.row) as from_start,
        count() over (partition by c.row) as touches,
        pow(2, -age / 604800000000.) as weight
    from conversions as c
    join (select * from Python(given) where not is_conversion) as t on t.user_id = c.user_id
    where age between 0 and if(t.touch_type = 'impression', 86400000000, 2592000000000)
        and ('{policy}' = 'overlap' or c.before is null or t.timestamp > c.before)
)
select channel, countIf(from_start = 1), countIf(from_end = 1), sum(1 / touches),
    sum(weight / total), sum(value * weight / total)
from (select *, sum(weight) over (partition by conversion) as total from pairs)
group by channel
"""
MODELS = [ug.FirstTouch(), ug.LastTouch(), ug.Linear(), ug.TimeDecay()]


def rows_of(choice: random.Random) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for _ in range(choice.randrange(1, 60)):
        row: dict[str, object] = {
            "user": choice.choice("abc"),
            "us": choice.randrange(40 * 4) * (DAY // 4),
        }
        if choice.random() < 0.3:
            row["conversion"] = choice.choice(["install", "purchase"])
            row["value"] = choice.choice([None, 0, -5, 12.25, 1e6])
        else:
            row["channel"] = choice.choice(["direct", "ads", "mail", None])
            row["type"] = choice.choice(["click", "impression", None])
        rows.append(row)
    return rows


def by_twin(given: object, policy: str) -> dict[str | None, list[float]]:  # noqa: ARG001 - by name
    rows = chdb.query(TWIN.format(policy=policy), "ArrowTable").to_pydict().values()
    return {channel: sums for channel, *sums in zip(*rows, strict=True)}


def by_library(given: object, policy: str) -> dict[str | None, list[float]]:
    compared = ug.compare(journeys(given, policy=policy), MODELS).to_pyarrow().to_pylist()
    names = [*(f"{model.name}_conversions" for model in MODELS), "time_decay_value"]
    found = {row["channel"]: [row[name] for name in names] for row in compared[:-1]}
    return {channel: sums for channel, sums in found.items() if any(sums)}


def main(seed: int, count: int) -> None:
    choice = random.Random(seed)
    for number in range(count):
        given, policy = table_of(rows_of(choice)), choice.choice(["partition", "overlap"])
        twin, own = by_twin(given, policy), by_library(given, policy)
        same = twin.keys() == own.keys() and all(
            math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-6)
            for channel in own
            for one, other in zip(twin[channel], own[channel], strict=True)
        )
        if not same:
            print(f"table {number}, {policy}: {twin} is not {own}")  # noqa: T201 - the answer
    print(f"{count} tables")  # noqa: T201 - the answer


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
