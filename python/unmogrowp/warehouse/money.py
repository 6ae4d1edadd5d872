"""Integer micros in, decimal text out: exact, with two to six decimals."""

from collections import Counter
from collections.abc import Iterable, Mapping

_MICROS = 1_000_000


def decimal_text(micros: int) -> str:
    """Micros as a decimal string.

    >>> decimal_text(12_340_000), decimal_text(-1), decimal_text(0)
    ('12.34', '-0.000001', '0.00')
    """
    whole, rest = divmod(abs(micros), _MICROS)
    digits = f"{rest:06d}"
    sign = "-" if micros < 0 else ""
    return f"{sign}{whole}.{digits[:2]}{digits[2:].rstrip('0')}"


def decimal_sql(micros: str) -> str:
    """The SQL for the same text; null stays null."""
    digits = f"leftPad(toString(abs({micros}) % {_MICROS}), 6, '0')"
    return (
        f"concat(if({micros} < 0, '-', ''), toString(intDiv(abs({micros}), {_MICROS})), '.', "
        f"substring({digits}, 1, 2), trim(TRAILING '0' FROM substring({digits}, 3)))"
    )


def by_currency(rows: Iterable[Mapping[str, object]]) -> dict[str, str]:
    """Sums of `micros` by `currency` as decimal text, ascending; what has none is left out."""
    sums: Counter[str] = Counter()
    for row in rows:
        if row["currency"]:
            sums[str(row["currency"])] += int(str(row["micros"]))
    return {currency: decimal_text(micros) for currency, micros in sorted(sums.items())}
