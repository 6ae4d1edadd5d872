"""Sums of credit: exact, so that no order of rows and no number of threads shows in a report."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import floor

from unmogrowp.warehouse.report import Row

# A float below 2^63 is its whole part and so many binary digits more, two integers that add up
# in any order. Shares are at most 1, so they are counted in such units from the start.
_UNIT = 1 << 50


def by_touch(conversions: str, model: str, keys: Mapping[str, str], lists: Sequence[str]) -> str:
    """SQL for sums of credit by key and currency, and for the conversions behind them.

    All of it from one look at the credits, so that no round of attribution comes in between.

    Args:
        conversions: Rows of `credits`.
        model: The column of shares.
        keys: What to group by.
        lists: Those beside the shares that keys are made of, of which these see `one_` each.

    Returns:
        The query, without an order, for `split`.
    """
    # The conversion itself goes before its touches; keys are theirs.
    beside = (f"arrayPushFront({name}, '') AS one_{name}" for name in lists)
    own = f"arrayPushFront({model}, 0.)"
    joined = ", ".join((f"{own} AS share", f"arrayEnumerate({own}) AS place", *beside))
    named = (f"if(place = 1, '', {key}) AS {name}" for name, key in keys.items())
    return (
        f"SELECT {', '.join(named)}, toString(currency) AS currency, place = 1 AS is_whole, "
        f"notEmpty(touch_id) AS is_attributed, {_exact(f'share * {_UNIT}', 'share')}, "
        f"{_exact('share * value_micros', 'value')}, toInt64(count()) AS conversions, "
        f"toInt64(sum(value_micros)) AS micros FROM ({conversions}) ARRAY JOIN {joined} "
        f"GROUP BY {', '.join(keys)}, currency, is_whole, is_attributed"
    )


def split(found: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """Rows of credit, which `conversions` and `values` read, and those of whole conversions.

    The latter have `is_attributed` (whether touches share them), `currency`, `conversions` and
    `micros`.
    """
    rows: list[Row] = []
    wholes: list[Row] = []
    for row in found:
        (wholes if row["is_whole"] else rows).append(row)
    return rows, wholes


def _exact(term: str, name: str) -> str:
    whole, rest = f"floor({term})", f"({term} - floor({term})) * {_UNIT}"
    return ", ".join(
        f"toString(sum(toInt128(toInt64({part})))) AS {name}_{label}"
        for part, label in ((whole, "whole"), (rest, "rest"))
    )


def _read(row: Row, name: str) -> Fraction:
    return int(str(row[f"{name}_whole"])) + Fraction(int(str(row[f"{name}_rest"])), _UNIT)


def conversions(row: Row) -> float:
    """The sum of shares, rounded once."""
    return float(_read(row, "share") / _UNIT)


def values(rows: Sequence[Row], totals: dict[str, int]) -> list[int]:
    """Micros of each row, rounded such that those of a currency add up to its total."""
    return apportioned([(str(row["currency"]), _read(row, "value")) for row in rows], totals)


def apportioned(exact: Sequence[tuple[str, Fraction]], totals: dict[str, int]) -> list[int]:
    """Integers next to amounts of a currency each, which add up to the total of that currency."""
    shown = [0] * len(exact)
    for currency, total in totals.items():
        own = [index for index, (other, _) in enumerate(exact) if other == currency]
        amounts = [exact[index][1] for index in own]
        for index, micros in zip(own, _apportioned(amounts, total), strict=True):
            shown[index] = micros
    return shown


def _apportioned(exact: list[Fraction], total: int) -> list[int]:
    """Integers next to `exact` that add up: what is left goes where most was cut off."""
    if not exact:
        return []
    whole = [floor(value) for value in exact]
    each, left = divmod(total - sum(whole), len(whole))
    cut_most = sorted(range(len(whole)), key=lambda index: (whole[index] - exact[index], index))
    lucky = set(cut_most[:left])
    return [value + each + (index in lucky) for index, value in enumerate(whole)]
