"""How far off a report's conversions may be: a bootstrap over the people behind them."""

from collections.abc import Sequence
from dataclasses import dataclass

from unmogrowp import _core
from unmogrowp.table import Table
from unmogrowp.warehouse.report import Row
from unmogrowp.warehouse.span import Span
from unmogrowp.warehouse.store import Warehouse

Ends = tuple[float, float]
ENDS = ("conversions_low", "conversions_high")


@dataclass(frozen=True, slots=True)
class Intervals:
    """What to measure.

    Args:
        level: The share of resamples inside an interval, e.g. 0.95.
        resamples: How many.
        seed: The same seed gives the same intervals.
    """

    level: float
    resamples: int = 200
    seed: int = 0

    @property
    def bootstrap(self) -> tuple[float, int, int]:
        """As the kernels take it."""
        return self.level, self.resamples, self.seed % 2**64


def of_lost(conversions: str) -> str:
    """SQL for the shares of `conversions` without touches: one each, of no key and no currency."""
    return (
        "SELECT person, conversion_time, conversion_id, toUInt32(0) AS number, "
        "CAST(NULL, 'Nullable(String)') AS key, CAST(NULL, 'Nullable(String)') AS currency, "
        f"toFloat64(1) AS share FROM ({conversions}) WHERE empty(touch_id)"
    )


def of_touches(conversions: str, model: str, key: str, lists: Sequence[str]) -> str:
    """SQL for the share of each touch of `conversions` by one model.

    Args:
        conversions: Rows of `credits`.
        model: The column of shares.
        key: What to group by.
        lists: Those beside the shares that `key` is made of, of which it sees `one_` each.
    """
    named = (f"{name} AS one_{name}" for name in lists)
    joined = ", ".join((f"{model} AS share", "arrayEnumerate(touch_id) AS n", *named))
    return (
        "SELECT person, conversion_time, conversion_id, toUInt32(n) AS number, "
        f"toNullable({key}) AS key, toNullable(toString(currency)) AS currency, share "
        f"FROM ({conversions}) ARRAY JOIN {joined}"
    )


def spread(
    warehouse: Warehouse, span: Span, shares: str, values: dict[str, object], asked: Intervals
) -> dict[tuple[str | None, str | None], Ends]:
    """By key and currency: between which sums they may lie. `shares` is SQL of the above."""
    # The order of rows numbers the people and rounds the sums, so that it must not be chance.
    sql = (
        "SELECT person, key, currency, share "
        f"FROM ({shares}) ORDER BY person, conversion_time, conversion_id, number"
    )
    rows = Table.read(warehouse.arrow(sql, {**span.values(), **values})).batches
    found = Table(_core.spread(rows, asked.bootstrap))
    names = ("key", "currency", "low", "high")
    columns = [found.column(name).to_pylist() for name in names]
    return {(k, c): (low, high) for k, c, low, high in zip(*columns, strict=True)}


def shown(ends: Ends) -> Row:
    """The columns of an interval."""
    return dict(zip(ENDS, ends, strict=True))
