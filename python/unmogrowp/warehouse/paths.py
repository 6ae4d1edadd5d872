"""Reports by models of whole paths: an app's touchpoints through the library's own kernels.

The whole history is looked at, since touches count wherever they lie; conversions are counted by
their time and name, journeys that did not convert by the time of their last touch.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from unmogrowp import _core
from unmogrowp.attribution import Model, compare
from unmogrowp.journeys import Journeys, Policy
from unmogrowp.table import Table
from unmogrowp.warehouse import credit
from unmogrowp.warehouse.attribution import Question, attributed, summed, totals
from unmogrowp.warehouse.money import by_currency, decimal_text
from unmogrowp.warehouse.persons import with_person
from unmogrowp.warehouse.report import AttributionReport, Report, Row
from unmogrowp.warehouse.span import Span
from unmogrowp.warehouse.store import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa

GroupBy = Literal["channel", "campaign", "adset", "creative"]
_KEYS = {"channel": "source"} | {key: key for key in ("campaign", "adset", "creative")}
_COLUMNS = {
    "user": "person",
    "time": "timestamp",
    "channel": "channel",
    "is_conversion": "is_conversion",
    "value": "micros",
    "conversion_name": "event_name",
    "currency": "currency",
    "touch_type": "event_type",
    "weight": "weight",
}
SEPARATOR = " > "


@dataclass(frozen=True, slots=True)
class Rules:
    """How an app's journeys are made.

    Args:
        conversions: Names of the events that convert; a report may count some of them only.
        lookbacks_us: Of clicks and of impressions.
        policy: Whether a conversion consumes its touches.
    """

    conversions: Sequence[str]
    lookbacks_us: tuple[int, int]
    policy: Policy


def attribution(
    warehouse: Warehouse, span: Span, question: Question, *, model: Model, rules: Rules
) -> AttributionReport:
    """As `warehouse.attribution.attribution`, by a model of whole paths.

    Raises:
        ValueError: The model or what to group by cannot be used so.
    """
    name = model.name
    table = compare(_journeys(warehouse, span, question, rules), [model]).to_pyarrow()
    # The last rows are those of conversions without touches, which the credits know.
    rows = [row for row in table.to_pylist() if row["channel"] != "(unattributed)"]
    rows = [row for row in rows if row[f"{name}_conversions"] or row[f"{name}_value"]]
    sums = warehouse.rows(totals(span, question), question.values(span))
    micros = _micros(rows, f"{name}_value", attributed(sums))
    return {
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


def _micros(rows: list[Row], name: str, all_micros: dict[str, int]) -> list[int]:
    exact = [(str(row["currency"] or ""), Fraction(float(str(row[name])))) for row in rows]
    return credit.apportioned(exact, all_micros)


def paths(
    warehouse: Warehouse, span: Span, question: Question, *, rules: Rules, limit: int
) -> Report:
    """The sequences of channels people took, converting or not.

    Returns:
        `rows` of `path` (channels joined by ` > `), `channels`, `conversions`, `nulls` (how often
        it did not convert), `rate` and `value` by currency, those that converted most first;
        `total` of `paths`, `conversions`, `nulls` and `value` over all of them.
    """
    found = _journeys(warehouse, span, question, rules).to_paths().to_pyarrow()
    values = _values(warehouse, span, question)
    counts = {name: _sum(found, name) for name in ("conversions", "nulls")}
    micros: Counter[str] = Counter()
    for amounts in values.values():
        for row in amounts:
            micros[str(row["currency"])] += int(str(row["micros"]))
    all_amounts: list[Row] = [{"currency": c, "micros": m} for c, m in sorted(micros.items())]
    return {
        "rows": [_path_row(row, values) for row in found.slice(0, limit).to_pylist()],
        "total": {"paths": len(found), **counts, "value": by_currency(all_amounts, "micros")},
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
        "value": by_currency(values.get(names, []), "micros"),
    }


def _values(
    warehouse: Warehouse, span: Span, question: Question
) -> dict[tuple[str, ...], list[Row]]:
    """By path: `micros` of its conversions by `currency`."""
    sql = (
        f"SELECT arrayMap(x -> toString(x), {question.group_by}) AS path, "
        "toString(currency) AS currency, "
        "toInt64(sum(value_micros)) AS micros FROM credits FINAL "
        f"WHERE {question.where(span)} AND notEmpty(touch_id) GROUP BY path, currency "
        "ORDER BY currency"
    )
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in warehouse.rows(sql, question.values(span)):
        found.setdefault(tuple(map(str, _list(row["path"]))), []).append(row)
    return found


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


def _journeys(warehouse: Warehouse, span: Span, question: Question, rules: Rules) -> Journeys:
    if question.group_by not in _KEYS:
        raise ValueError(
            f"group_by `{question.group_by}` is the conversion's, and this looks at whole paths of "
            f"touches\nhint: one of {', '.join(_KEYS)}, or another model"
        )
    table = warehouse.arrow(_rows(span, question), _values_of(span, question, rules))
    return Journeys(
        _core.journeys(
            Table.read(table).batches,
            _COLUMNS,
            rules.lookbacks_us,
            rules.policy,
            span.bounds_us(),
        )
    )


def _rows(span: Span, question: Question) -> str:
    """Every touchpoint with its person; conversions outside the question weigh nothing."""
    key = f"nullIf(nullIf(toString({_KEYS[question.group_by]}), ''), '(unattributed)')"
    counts = ["event_name IN {conversions:Array(String)}", span.where("timestamp")]
    if question.currency is not None:
        counts.append("currency = {currency:String}")
    points = (
        "SELECT identity, timestamp, event_id, toString(event_name) AS event_name, "
        f"toString(event_type) AS event_type, {key} AS channel, "
        "event_name IN {all_conversions:Array(String)} AS is_conversion, "
        f"is_conversion AND {' AND '.join(counts)} AS is_counted, "
        "toFloat64(is_counted) AS weight, "
        "if(is_counted, ifNull(revenue_micros, 0), 0) AS micros, "
        "nullIf(toString(currency), '') AS currency "
        "FROM touchpoints FINAL WHERE app_id = {app_id:String}"
    )
    return (
        "SELECT person, timestamp, channel, toBool(is_conversion) AS is_conversion, micros, "
        "event_name, currency, event_type, weight "
        f"FROM ({with_person(points)}) ORDER BY timestamp, event_id"
    )


def _values_of(span: Span, question: Question, rules: Rules) -> dict[str, object]:
    return {**question.values(span), "all_conversions": list(rules.conversions)}
