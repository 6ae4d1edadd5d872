"""What was refused, with the reason and the bytes that were sent."""

from unmogrowp.warehouse.span import Span
from unmogrowp.warehouse.store import Warehouse

_SELECT = (
    "SELECT formatDateTime(r.received_at, '%Y-%m-%dT%H:%i:%S.%fZ', 'UTC') AS received_at, `index`, "
    "nullIf(event_id, '') AS event_id, toString(code) AS code, "
    "nullIf(toString(field), '') AS field, message, toValidUTF8(r.raw) AS raw, "
    "if(isValidUTF8(r.raw), NULL, base64Encode(r.raw)) AS raw_base64 FROM rejects AS r"
)


def rejects(
    warehouse: Warehouse, span: Span, *, limit: int | None = None
) -> list[dict[str, object]]:
    """The rejects of `span` (by time of receipt), oldest first.

    Returns:
        `received_at`, `index`, `event_id`, `code`, `field`, `message`, `raw`, and `raw_base64`
        with the exact bytes where `raw` is not valid UTF-8.
    """
    values = span.values()
    sql = f"{_SELECT} WHERE {span.where('r.received_at')} ORDER BY r.received_at, `index`"
    if limit is not None:
        sql += " LIMIT {limit:UInt64}"
        values["limit"] = limit
    return warehouse.rows(sql, values)
