"""Impressions, clicks and conversions of each campaign."""

from unmogrowp.warehouse import credit
from unmogrowp.warehouse.attribution import Question, attributed
from unmogrowp.warehouse.money import by_currency, decimal_text
from unmogrowp.warehouse.overview import counts
from unmogrowp.warehouse.report import Report, Row
from unmogrowp.warehouse.span import Span
from unmogrowp.warehouse.store import Warehouse

_LISTS = ("channel", "campaign")
_TOUCHES = "event_type IN ('click', 'impression')"


def campaigns(warehouse: Warehouse, span: Span, question: Question) -> Report:
    """Touches of `span` beside the conversions of `span`, by source and campaign.

    Args:
        warehouse: Where the events are.
        span: App and time, of touches and of conversions alike.
        question: Rule version, model and filters of the credits; its `group_by` is not looked at.

    Returns:
        `rows` of `source`, `campaign`, `impressions`, `clicks`, `conversions`, `value`,
        `currency`: a row per currency, impressions and clicks repeat in each; and `total`.
    """
    given = question.values(span)
    touches = warehouse.rows(_touches(span), given)
    credited, sums = credit.split(warehouse.rows(_credited(span, question), given))
    by_key: dict[tuple[str, str], list[Row]] = {}
    for row, micros in zip(credited, credit.values(credited, attributed(sums)), strict=True):
        key = (str(row["channel_key"]), str(row["campaign_key"]))
        by_key.setdefault(key, []).append(_earned(row, micros))
    touched = {(str(row["source"]), str(row["campaign"])): row for row in touches}
    rows = [
        _row(key, touched.get(key), earned)
        for key in sorted({*by_key, *touched})
        for earned in by_key.get(key, [_NOTHING])
    ]
    return {"rows": rows, "total": _total(touches, sums)}


_NOTHING: Row = {"conversions": 0.0, "value": None, "currency": None}


def _earned(row: Row, micros: int) -> Row:
    value = decimal_text(micros) if row["currency"] else None
    shares = credit.conversions(row)
    return {"conversions": shares, "value": value, "currency": row["currency"] or None}


def _row(key: tuple[str, str], touches: Row | None, earned: Row) -> Row:
    return {
        "source": key[0] or None,
        "campaign": key[1] or None,
        "impressions": touches["impressions"] if touches else 0,
        "clicks": touches["clicks"] if touches else 0,
        **earned,
    }


def _touches(span: Span) -> str:
    return (
        "SELECT toString(source) AS source, toString(campaign) AS campaign, "
        "toInt64(sumIf(n, event_type = 'impression')) AS impressions, "
        "toInt64(sumIf(n, event_type = 'click')) AS clicks "
        f"FROM ({counts(span)}) WHERE {_TOUCHES} GROUP BY source, campaign"
    )


def _credited(span: Span, question: Question) -> str:
    # Called as no column is, which the engine would take for them.
    keys = {f"{name}_key": f"toString(one_{name})" for name in _LISTS}
    found = credit.by_touch(question.chosen(span), question.model, keys, _LISTS)
    return f"{found} ORDER BY {', '.join(keys)}, currency"


def _total(touches: list[Row], sums: list[Row]) -> Row:
    def sum_of(rows: list[Row], name: str) -> int:
        return sum(int(str(row[name])) for row in rows)

    shared = [row for row in sums if row["is_attributed"]]
    return {
        "impressions": sum_of(touches, "impressions"),
        "clicks": sum_of(touches, "clicks"),
        "conversions": sum_of(shared, "conversions"),
        "value": by_currency(shared),
    }
