"""Reports by models of whole paths: those that the incremental job keeps, counted.

Conversions are counted by their time and name, journeys that did not convert by the time of their
last touch; touches count wherever they lie.
"""

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
    values = question.values(span) | {"limit": limit}
    found = warehouse.rows(_foremost(_rows(span, question)), values)
    total = found[0] if found else {"paths": 0, "all_conversions": 0, "all_nulls": 0}
    return {
        "rows": [_path_row(row) for row in found],
        "total": {
            "paths": int(str(total["paths"])),
            "conversions": int(str(total["all_conversions"])),
            "nulls": int(str(total["all_nulls"])),
            "value": _value(total.get("all_micros")),
        },
    }


def _foremost(rows: str) -> str:
    """The paths that converted most, of those the shortest, beside the sums of all."""
    path = f"arrayMap(x -> if(x = '{UNATTRIBUTED}', '', toString(x)), path)"
    micros = "sumMap(if(currency = '', map(), map(currency, value)))"
    by_path = (
        f"SELECT {path} AS channels, sum(conversions) AS conversions, sum(nulls) AS nulls, "
        f"{micros} AS micros FROM ({rows}) WHERE notEmpty(path) GROUP BY channels"
    )
    sums = ("conversions", "nulls")
    alls = ", ".join(f"sum({name}) OVER () AS all_{name}" for name in sums)
    return (
        f"SELECT channels, conversions, nulls, micros, count() OVER () AS paths, {alls}, "
        f"sumMap(micros) OVER () AS all_micros FROM ({by_path}) "
        "ORDER BY conversions DESC, length(channels), channels LIMIT {limit:UInt64}"
    )


def _path_row(row: Row) -> Row:
    channels = [channel or None for channel in _list(row["channels"])]
    converted, nulls = int(str(row["conversions"])), int(str(row["nulls"]))
    return {
        "path": SEPARATOR.join(str(channel or "(none)") for channel in channels),
        "channels": channels,
        "conversions": converted,
        "nulls": nulls,
        "rate": converted / (converted + nulls) if converted + nulls else 0.0,
        "value": _value(row["micros"]),
    }


def _value(micros: object) -> dict[str, str]:
    sums = micros.items() if isinstance(micros, dict) else ()
    return by_currency({"currency": currency, "micros": sum_} for currency, sum_ in sums)


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


def _found(
    warehouse: Warehouse, span: Span, question: Question, order: str | None = None
) -> "pa.Table":
    """Paths with their counts, a row for each currency; null is the currency of no value."""
    path = f"arrayMap(x -> nullIf(nullIf(toString(x), ''), '{UNATTRIBUTED}'), path) AS path"
    sql = (
        f"SELECT {path}, nullIf(currency, '') AS currency, toFloat64(conversions) AS conversions, "
        f"toFloat64(nulls) AS nulls, value FROM ({_rows(span, question)})"
    )
    if order is not None:
        sql = f"SELECT * FROM ({sql}) ORDER BY {order}"
    return warehouse.arrow(sql, question.values(span))


def _with_touches(kept: "pa.Table") -> "pa.Table":
    return kept.filter(_has_touches(kept))


def _has_touches(kept: "pa.Table") -> "pa.ChunkedArray":
    import pyarrow.compute as pc

    return pc.greater(pc.list_value_length(kept["path"]), 0)


def _sums(kept: "pa.Table") -> list[Row]:
    """As of `credit.split`, without reading the credits again."""
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
    if key not in TOUCH_KEYS:
        raise ValueError(
            f"group_by `{key}` is the conversion's, and this looks at whole paths of touches\n"
            f"hint: one of {', '.join(TOUCH_KEYS)}, or another model"
        )
    opens = f"{span.where('last_touch')} AND rule_version = {{rule_version:UInt64}}"
    return (
        f"SELECT {key} AS path, toString(currency) AS currency, count() AS conversions, "
        "0::UInt64 AS nulls, toInt64(sum(value_micros)) AS value "
        f"FROM credits FINAL WHERE {question.where(span)} GROUP BY path, credits.currency "
        f"UNION ALL SELECT {key} AS path, '' AS currency, 0::UInt64 AS conversions, "
        "count() AS nulls, 0::Int64 AS value "
        f"FROM opens FINAL WHERE {opens} AND notEmpty({key}) GROUP BY path"
    )
