"""Reports by models of whole paths: those that the incremental job keeps, counted.

Conversions are counted by their time and name, journeys that did not convert by the time of their
last touch; touches count wherever they lie.
"""

import itertools
from fractions import Fraction
from typing import TYPE_CHECKING

from unmogrowp.attribution import Model, Shapley, compare
from unmogrowp.comparison import UNATTRIBUTED
from unmogrowp.journeys import Journeys
from unmogrowp.table import Table
from unmogrowp.warehouse import credit
from unmogrowp.warehouse.attribution import Question, attributed, summed
from unmogrowp.warehouse.intervals import Intervals, of_lost, shown, spread
from unmogrowp.warehouse.money import by_currency, decimal_text
from unmogrowp.warehouse.report import AttributionReport, Report, Row
from unmogrowp.warehouse.schema import TOUCH_KEYS
from unmogrowp.warehouse.span import Span
from unmogrowp.warehouse.store import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa

SEPARATOR = " > "
ERROR = "conversions_standard_error"


def attribution(
    warehouse: Warehouse,
    span: Span,
    question: Question,
    *,
    model: Model,
    intervals: Intervals | None = None,
) -> AttributionReport:
    """As `warehouse.attribution.attribution`, by a model of whole paths.

    Raises:
        ValueError: The model or what to group by cannot be used so.
    """
    name = model.name
    # A bootstrap draws row by row.
    order = "path, currency, nulls" if intervals else None
    kept = _found(warehouse, span, question, order)
    sums = _sums(kept)
    found = Journeys.from_paths(_with_touches(kept))
    table = _compared(found, model, intervals).to_pyarrow()
    # The last rows are those of conversions without touches, which are summed already.
    rows = [row for row in table.to_pylist() if row["channel"] != UNATTRIBUTED]
    rows = [row for row in rows if row[f"{name}_conversions"] or row[f"{name}_value"]]
    micros = _micros(rows, f"{name}_value", attributed(sums))
    report: AttributionReport = {
        "model": name,
        "rows": [
            {
                question.group_by: row["channel"],
                "conversions": row[f"{name}_conversions"],
                "value": decimal_text(value) if row["currency"] else None,
                "currency": row["currency"],
            }
            for row, value in zip(rows, micros, strict=True)
        ],
        "unattributed": summed([row for row in sums if not row["is_attributed"]]),
        "total": summed(sums),
    }
    # Orders of more than twenty channels are sampled.
    if isinstance(model, Shapley) and model.game == "conversion_rate":
        for row, own in zip(report["rows"], rows, strict=True):
            row[ERROR] = own.get(f"{name}_{ERROR}", 0.0)
    if intervals is not None:
        for row, own in zip(report["rows"], rows, strict=True):
            low, high = (own[f"{name}_conversions_{end}"] for end in ("low", "high"))
            row.update(shown((low, high)))
        lost = of_lost(question.chosen(span))
        ends = spread(warehouse, span, lost, question.values(span), intervals)
        report["unattributed"] |= shown(ends.get((None, None), (0.0, 0.0)))
    return report


def _compared(found: Journeys, model: Model, intervals: Intervals | None) -> Table:
    if intervals is None:
        return compare(found, [model])
    level, resamples, seed = intervals.bootstrap
    return compare(found, [model], intervals=level, resamples=resamples, seed=seed)


def _micros(rows: list[Row], name: str, all_micros: dict[str, int]) -> list[int]:
    exact = [(str(row["currency"] or ""), Fraction(float(str(row[name])))) for row in rows]
    return credit.apportioned(exact, all_micros)


def paths(warehouse: Warehouse, span: Span, question: Question, *, limit: int) -> Report:
    """The sequences of channels people took, converting or not.

    Returns:
        `rows` of `path` (channels joined by ` > `), `channels`, `conversions`, `nulls` (how often
        it did not convert), `rate` and `value` by currency, those that converted most first;
        `total` of `paths`, `conversions`, `nulls` and `value` over all of them.
    """
    kept = _with_touches(_found(warehouse, span, question))
    found = Journeys.from_paths(kept).to_paths().to_pyarrow()
    values = _values(kept)
    counts = {name: _sum(found, name) for name in ("conversions", "nulls")}
    value = by_currency(itertools.chain.from_iterable(values.values()))
    return {
        "rows": [_path_row(row, values) for row in found.slice(0, limit).to_pylist()],
        "total": {"paths": len(found), **counts, "value": value},
    }


def _sum(table: "pa.Table", name: str) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(table[name]).as_py() or 0)


def _path_row(row: Row, values: dict[tuple[str, ...], list[Row]]) -> Row:
    channels = _list(row["path"])
    names = tuple(str(channel or "") for channel in channels)
    converted, nulls = float(str(row["conversions"])), float(str(row["nulls"]))
    return {
        "path": SEPARATOR.join(name or "(none)" for name in names),
        "channels": channels,
        "conversions": int(converted),
        "nulls": int(nulls),
        "rate": converted / (converted + nulls) if converted + nulls else 0.0,
        "value": by_currency(values.get(names, [])),
    }


def _values(found: "pa.Table") -> dict[tuple[str, ...], list[Row]]:
    """By path: `micros` of its conversions by `currency`."""
    import pyarrow.compute as pc

    values: dict[tuple[str, ...], list[Row]] = {}
    for row in found.filter(pc.field("conversions") > 0).to_pylist():
        names = tuple(str(name or "") for name in row["path"])
        values.setdefault(names, []).append({"currency": row["currency"], "micros": row["value"]})
    return values


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


def _found(
    warehouse: Warehouse, span: Span, question: Question, order: str | None = None
) -> "pa.Table":
    """Paths with their counts, a row for each currency; null is the currency of no value."""
    if question.group_by not in TOUCH_KEYS:
        raise ValueError(
            f"group_by `{question.group_by}` is the conversion's, and this looks at whole paths of "
            f"touches\nhint: one of {', '.join(TOUCH_KEYS)}, or another model"
        )
    sql = _rows(span, question)
    if order is not None:
        sql = f"SELECT * FROM ({sql}) ORDER BY {order}"
    return warehouse.arrow(sql, question.values(span))


def _with_touches(kept: "pa.Table") -> "pa.Table":
    return kept.filter(_has_touches(kept))


def _has_touches(kept: "pa.Table") -> "pa.ChunkedArray":
    import pyarrow.compute as pc

    return pc.greater(pc.list_value_length(kept["path"]), 0)


def _sums(kept: "pa.Table") -> list[Row]:
    """As `warehouse.attribution.totals`, without reading the credits again."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = ("is_attributed", "currency", "conversions", "micros")
    columns = (
        _has_touches(kept),
        pc.fill_null(kept["currency"], ""),
        kept["conversions"].cast(pa.int64()),
        kept["value"],
    )
    rows = pa.table(dict(zip(names, columns, strict=True)))
    rows = rows.filter(pc.field("conversions") > 0)
    summed = rows.group_by(list(names[:2])).aggregate([(name, "sum") for name in names[2:]])
    sums: list[Row] = summed.rename_columns(names).sort_by("currency").to_pylist()
    return sums


def _rows(span: Span, question: Question) -> str:
    """Journeys that converted are in the credits, the others are kept beside them.

    A conversion without touches has an empty path.
    """
    key = question.group_by
    path = f"arrayMap(x -> nullIf(nullIf(toString(x), ''), '{UNATTRIBUTED}'), {key}) AS path"
    opens = f"{span.where('last_touch')} AND rule_version = {{rule_version:UInt64}}"
    return (
        f"SELECT {path}, nullIf(toString(currency), '') AS currency, toFloat64(count()) AS "
        "conversions, toFloat64(0) AS nulls, toInt64(sum(value_micros)) AS value "
        f"FROM credits FINAL WHERE {question.where(span)} "
        f"GROUP BY {key}, currency UNION ALL "
        f"SELECT {path}, NULL AS currency, toFloat64(0) AS conversions, "
        "toFloat64(count()) AS nulls, toInt64(0) AS value "
        f"FROM opens FINAL WHERE {opens} AND notEmpty({key}) GROUP BY {key}"
    )
