"""Impressions, clicks and conversions of each campaign."""

from unmogrowp.warehouse.attribution import Question
from unmogrowp.warehouse.money import by_currency, decimal_text
from unmogrowp.warehouse.overview import counts
from unmogrowp.warehouse.report import Report, Row
from unmogrowp.warehouse.span import Span
from unmogrowp.warehouse.store import Warehouse

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
    values = question.values(span)
    touches = warehouse.rows(_touches(span), values)
    credited = warehouse.rows(_credited(span, question), values)
    by_key: dict[tuple[str, str], list[Row]] = {}
    for row in credited:
        by_key.setdefault(_key(row), []).append(row)
    touched = {_key(row): row for row in touches}
    rows = [
        _row(key, touched.get(key), credit)
        for key in sorted({*by_key, *touched})
        for credit in by_key.get(key, [None])
    ]
    return {"rows": rows, "total": _total(touches, credited)}


def _key(row: Row) -> tuple[str, str]:
    return str(row["source"]), str(row["campaign"])


def _row(key: tuple[str, str], touches: Row | None, credit: Row | None) -> Row:
    currency = credit["currency"] if credit else None
    value = decimal_text(round(float(str(credit["micros"])))) if credit and currency else None
    return {
        "source": key[0] or None,
        "campaign": key[1] or None,
        "impressions": touches["impressions"] if touches else 0,
        "clicks": touches["clicks"] if touches else 0,
        "conversions": credit["conversions"] if credit else 0.0,
        "value": value,
        "currency": currency or None,
    }


def _touches(span: Span) -> str:
    return (
        "SELECT toString(source) AS source, toString(campaign) AS campaign, "
        "toInt64(sumIf(n, event_type = 'impression')) AS impressions, "
        "toInt64(sumIf(n, event_type = 'click')) AS clicks "
        f"FROM ({counts(span)}) WHERE {_TOUCHES} GROUP BY source, campaign"
    )


def _credited(span: Span, question: Question) -> str:
    lists = f"{question.model} AS shares, channel AS channels, campaign AS campaigns"
    found = (
        f"SELECT {lists}, currency, value_micros FROM credits FINAL WHERE {question.where(span)}"
    )
    return (
        "SELECT toString(one_channel) AS source, toString(one_campaign) AS campaign, "
        "toString(currency) AS currency, sumKahan(share) AS conversions, "
        f"sumKahan(share * value_micros) AS micros FROM ({found}) "
        "ARRAY JOIN shares AS share, channels AS one_channel, campaigns AS one_campaign "
        "GROUP BY source, campaign, currency ORDER BY source, campaign, currency"
    )


def _total(touches: list[Row], credited: list[Row]) -> Row:
    def sum_of(rows: list[Row], name: str) -> float:
        return sum(float(str(row[name])) for row in rows)

    micros: dict[str, float] = {}
    for row in credited:
        currency = str(row["currency"])
        micros[currency] = micros.get(currency, 0.0) + float(str(row["micros"]))
    summed: list[Row] = [{"currency": c, "micros": round(m)} for c, m in micros.items()]
    return {
        "impressions": int(sum_of(touches, "impressions")),
        "clicks": int(sum_of(touches, "clicks")),
        "conversions": sum_of(credited, "conversions"),
        "value": by_currency(summed, "micros"),
    }
