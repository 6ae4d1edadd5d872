"""Credit by channel, campaign or country: what the kernels computed, summed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from unmogrowp.warehouse import credit
from unmogrowp.warehouse.intervals import Ends, Intervals, of_lost, of_touches, shown, spread
from unmogrowp.warehouse.money import by_currency, decimal_text
from unmogrowp.warehouse.report import AttributionReport, Row
from unmogrowp.warehouse.schema import MODELS, TOUCH_KEYS
from unmogrowp.warehouse.span import Span
from unmogrowp.warehouse.store import Warehouse

GroupBy = Literal["channel", "campaign", "adset", "creative", "country", "day"]
_OF_CONVERSION = {
    "country": "toString(country)",
    "day": "toString(toDate(conversion_time, {tz:String}))",
}


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask the credits; every field has the report's default but the rule version."""

    rule_version: int
    model: str = "last_touch"
    conversions: Sequence[str] = ()
    group_by: GroupBy = "channel"
    currency: str | None = None
    tz: str = "UTC"

    def __post_init__(self) -> None:
        known = (*TOUCH_KEYS, *_OF_CONVERSION)
        if self.group_by not in known:
            raise ValueError(f"unknown group_by `{self.group_by}`\nhint: one of {', '.join(known)}")

    def where(self, span: Span) -> str:
        """The condition on `credits`."""
        words = [span.where("conversion_time"), "rule_version = {rule_version:UInt64}"]
        if self.conversions:
            words.append("conversion_name IN {conversions:Array(String)}")
        if self.currency is not None:
            words.append("currency = {currency:String}")
        return " AND ".join(words)

    def chosen(self, span: Span) -> str:
        """SQL for the rows of `credits`."""
        return f"SELECT * FROM credits FINAL WHERE {self.where(span)}"

    def values(self, span: Span) -> dict[str, object]:
        """What the names in the queries stand for."""
        own = {"rule_version": self.rule_version, "tz": self.tz, "currency": self.currency}
        return {**span.values(), **own, "conversions": list(self.conversions)}


def attribution(
    warehouse: Warehouse, span: Span, question: Question, intervals: Intervals | None = None
) -> AttributionReport:
    """The conversions of `span` and which touch earned them.

    Args:
        warehouse: Where the credits are.
        span: App and time of the conversions.
        question: The model, and what to group by.
        intervals: Also `conversions_low` and `conversions_high` of each row and of those without
            a touch.

    Returns:
        `model`; `rows` of the `group_by` key (null for a touch without one), `conversions` (the
        sum of credits), `value` and `currency`, ascending; `unattributed` and `total` with
        `conversions` and `value` by currency.
    """
    if question.model not in MODELS:
        raise ValueError(f"unknown model `{question.model}`\nhint: one of {', '.join(MODELS)}")
    given = question.values(span)
    rows, sums = credit.split(warehouse.rows(_by_key(span, question), given))
    micros = credit.values(rows, attributed(sums))
    report: AttributionReport = {
        "model": question.model,
        "rows": [_row(*pair, question.group_by) for pair in zip(rows, micros, strict=True)],
        "unattributed": summed([row for row in sums if not row["is_attributed"]]),
        "total": summed(sums),
    }
    if intervals is not None:
        ends = _spread(warehouse, span, question, intervals)
        for row in report["rows"]:
            cell = (str(row[question.group_by] or ""), str(row["currency"] or ""))
            row.update(shown(ends[cell]))
        report["unattributed"] |= shown(ends.get((None, None), (0.0, 0.0)))
    return report


def _spread(
    warehouse: Warehouse, span: Span, question: Question, asked: Intervals
) -> dict[tuple[str | None, str | None], Ends]:
    key, lists = _key(question)
    conversions = question.chosen(span)
    shares = f"{of_touches(conversions, question.model, key, lists)} UNION ALL "
    shares += of_lost(conversions)
    return spread(warehouse, span, shares, question.values(span), asked)


def attributed(sums: list[Row]) -> dict[str, int]:
    """Micros that touches share, by currency, of rows of whole conversions."""
    shared = (row for row in sums if row["is_attributed"])
    return {str(row["currency"]): int(str(row["micros"])) for row in shared}


def _row(row: Row, micros: int, group_by: str) -> Row:
    return {
        group_by: row["key"] or None,
        "conversions": credit.conversions(row),
        "value": decimal_text(micros) if row["currency"] else None,
        "currency": row["currency"] or None,
    }


def _by_key(span: Span, question: Question) -> str:
    key, lists = _key(question)
    found = credit.by_touch(question.chosen(span), question.model, {"key": key}, lists)
    return f"{found} ORDER BY key = '', key, currency"


def _key(question: Question) -> tuple[str, tuple[str, ...]]:
    """SQL for what to group by, and the list beside the shares that it is made of."""
    of_conversion = _OF_CONVERSION.get(question.group_by)
    if of_conversion is not None:
        return of_conversion, ()
    return f"toString(one_{question.group_by})", (question.group_by,)


def summed(rows: list[Row]) -> Row:
    """Conversions and value by currency of rows of whole conversions."""
    count = sum(int(str(row["conversions"])) for row in rows)
    return {"conversions": count, "value": by_currency(rows)}
