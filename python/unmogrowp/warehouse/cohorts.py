"""Retention, LTV and ROAS of the events in the warehouse, by the library's own kernel."""

from collections.abc import Sequence

from unmogrowp.cohorts import Cohorts
from unmogrowp.journeys import Duration
from unmogrowp.table import Table
from unmogrowp.warehouse import columns
from unmogrowp.warehouse.persons import KNOWN
from unmogrowp.warehouse.span import Span
from unmogrowp.warehouse.store import Warehouse


def cohorts(
    warehouse: Warehouse,
    span: Span,
    *,
    by: str = "source",
    days: Sequence[int] = (1, 7, 30),
    lookbacks: tuple[Duration, Duration] = ("30d", "1d"),
) -> Table:
    """The people who started in `span`, followed from the day they came.

    The whole history of the app is looked at, so no bound cuts a person's story.

    Args:
        warehouse: Where the events are.
        span: The app, and when people started.
        by: What to group by, a column of events.
        days: Days since the start.
        lookbacks: Of clicks and of impressions.

    Returns:
        Columns as of `unmogrowp.cohorts`.
    """
    asked = Cohorts(by, list(days), lookbacks=lookbacks, start=span.start, stop=span.stop)
    events, given = _events(by), {"app_id": span.app_id}
    return asked.of(warehouse.arrow(events, given), persons=warehouse.arrow(KNOWN, given))


def _events(by: str) -> str:
    """SQL for all events of the app, as the kernel takes them.

    Labels go as dictionaries, and identities as they are: ten million rows would be long in text.
    """
    types = columns.event_types()
    if by not in types:
        raise ValueError(f"unknown column `{by}`\nhint: one of {', '.join(types)}")
    key = f"nullIf({by}, '') AS {by}" if "String" in types[by] else columns.arrow(by, types[by])
    return (
        "SELECT timestamp, identity, event_name, event_type, revenue_micros, "
        f"nullIf(currency, '') AS currency, {key} FROM events AS e FINAL "
        "WHERE app_id = {app_id:String} ORDER BY timestamp, event_id "
        "SETTINGS output_format_arrow_low_cardinality_as_dictionary = 1"
    )
