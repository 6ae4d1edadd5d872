"""The attribution of `benches/test_compare.py` as others would write it.

Each takes a pyarrow table of `user_id, timestamp, channel, is_conversion` in no order and gives
credit by channel in the order of `MODELS`, with a lookback of 30 days and conversions that consume
the touches before them.
"""

import duckdb as duck
import numpy as np
import polars as pl
import pyarrow as pa

LOOKBACK_US = 30 * 86_400_000_000
HALF_LIFE_US = 7 * 86_400_000_000
MODELS = ("first_touch", "last_touch", "linear", "time_decay", "position_based")

Credit = dict[str, tuple[float, ...]]


def polars(table: pa.Table) -> Credit:
    """The plan that was fastest of several: only people who converted are sorted."""
    rows = pl.from_arrow(table).lazy().with_columns(time=pl.col("timestamp").cast(pl.Int64))
    converting = rows.filter(pl.col("is_conversion")).select("user_id").unique()
    run = ["user_id", "run"]
    touches = (
        rows.select("user_id", "channel", "is_conversion", "time")
        .join(converting, on="user_id", how="semi")
        .sort("user_id", "time", "is_conversion")
        .with_columns(run=pl.col("is_conversion").cum_sum() - pl.col("is_conversion"))
        .with_columns(at=pl.col("time").last().over(run))
        .with_columns(converts=pl.col("is_conversion").last().over(run))
        .filter(
            ~pl.col("is_conversion")
            & pl.col("converts")
            & (pl.col("at") - pl.col("time") <= LOOKBACK_US)
        )
        .with_columns(
            count=pl.len().over(run),
            place=pl.int_range(pl.len()).over(run),
            weight=2 ** ((pl.col("time") - pl.col("at")) / HALF_LIFE_US),
        )
        .with_columns(share=pl.col("weight") / pl.col("weight").sum().over(run))
    )
    is_first, is_last = pl.col("place") == 0, pl.col("place") == pl.col("count") - 1
    position = (
        pl.when(is_first & is_last)
        .then(1.0)
        .when(is_first | is_last)
        .then(pl.when(pl.col("count") == 2).then(0.5).otherwise(0.4))
        .otherwise(0.2 / (pl.col("count") - 2))
    )
    credit = touches.group_by("channel").agg(
        is_first.sum(),
        is_last.sum().alias("last"),
        (1 / pl.col("count")).sum().alias("linear"),
        pl.col("share").sum(),
        position.sum().alias("position"),
    )
    return {str(name): tuple(map(float, sums)) for name, *sums in credit.collect().iter_rows()}


ASOF = """
with touches as (
    select t.channel, c.row as conversion, t.timestamp as time,
        pow(2, -epoch_us(c.timestamp - t.timestamp) / 604800000000.0) as weight
    from (select * from rows where not is_conversion) t
    asof join (select *, row_number() over () as row from rows where is_conversion) c
        on t.user_id = c.user_id and t.timestamp <= c.timestamp
    where epoch_us(c.timestamp - t.timestamp) <= 2592000000000
),
placed as (
    select channel, weight / sum(weight) over whole as share,
        count(*) over whole as count,
        row_number() over (partition by conversion order by time) as place
    from touches window whole as (partition by conversion)
)
select channel, count(*) filter (place = 1), count(*) filter (place = count), sum(1.0 / count),
    sum(share),
    sum(case when count = 1 then 1.0 when count = 2 then 0.5
        when place = 1 or place = count then 0.4 else 0.2 / (count - 2) end)
from placed group by channel
"""


def duckdb(table: pa.Table) -> Credit:
    """Each touch joined to the next conversion."""
    connection = duck.connect()
    connection.register("rows", table)
    return {name: tuple(map(float, sums)) for name, *sums in connection.sql(ASOF).fetchall()}


CLICKHOUSE = """
with touches as (
    select t.channel as channel, c.row as conversion, t.time as time,
        pow(2, -(c.time - t.time) / 604800000000.) as weight
    from (select user_id, channel, toUnixTimestamp64Micro(timestamp) as time
        from Python(given) where not is_conversion) as t
    asof join (select user_id, toUnixTimestamp64Micro(timestamp) as time,
        rowNumberInAllBlocks() as row from Python(given) where is_conversion) as c
        on t.user_id = c.user_id and t.time <= c.time
    where c.time - t.time <= 2592000000000
),
placed as (
    select channel, weight / sum(weight) over (partition by conversion) as share,
        count() over (partition by conversion) as count,
        row_number() over (partition by conversion order by time) as place
    from touches
)
select channel, countIf(place = 1), countIf(place = count), sum(1 / count), sum(share),
    sum(multiIf(count = 1, 1, count = 2, 0.5, place = 1 or place = count, 0.4, 0.2 / (count - 2)))
from placed group by channel
"""


def chdb(table: pa.Table) -> Credit:
    """Each touch joined to the next conversion, by ClickHouse's engine in this process."""
    import chdb as engine  # one engine a process: loaded where it is asked

    given = table.set_column(2, "channel", table["channel"].cast(pa.string()))
    assert len(given) == len(table)
    rows = engine.query(CLICKHOUSE, "ArrowTable").to_pydict().values()
    return {name: tuple(map(float, sums)) for name, *sums in zip(*rows, strict=True)}


def numba(table: pa.Table) -> Credit:
    """What an expert writes: a stable sort by person and time, then one compiled loop."""
    from numba_kernel import credit

    channels = table["channel"].combine_chunks().dictionary
    sums = credit(
        table["user_id"].to_numpy(),
        table["timestamp"].cast(pa.int64()).to_numpy(),
        table["channel"].combine_chunks().indices.to_numpy().astype(np.uint8),
        table["is_conversion"].to_numpy(),
        len(channels),
    )
    return dict(zip(channels.to_pylist(), map(tuple, sums.tolist()), strict=True))
