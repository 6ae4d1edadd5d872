"""Retention, LTV and ROAS of the events in the warehouse, by the library's own kernel."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unmogrowp.cohorts import cohorts as of_events
from unmogrowp.journeys import Duration
from unmogrowp.table import Table
from unmogrowp.warehouse import columns
from unmogrowp.warehouse.span import Span
from unmogrowp.warehouse.store import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa

_ALWAYS = (
    *("event_id", "app_id", "event_name", "event_type", "timestamp", "revenue_micros", "currency"),
    *("user_id", "anonymous_id", "device_id", "idfa", "gaid", "idfv", "source"),
)


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
        by: What to group by.
        days: Days since the start.
        lookbacks: Of clicks and of impressions.

    Returns:
        Columns as of `unmogrowp.cohorts`.
    """
    events = canonical(warehouse, Span(span.app_id), (*_ALWAYS, by))
    click, view = lookbacks
    return of_events(
        events,
        by=by,
        days=days,
        click_lookback=click,
        view_lookback=view,
        start=span.start,
        stop=span.stop,
    )


def canonical(warehouse: Warehouse, span: Span, names: Sequence[str]) -> "pa.Table":
    """The named columns of the events of `span`, as the kernels take them."""
    types = columns.event_types()
    unknown = [name for name in names if name not in types]
    if unknown:
        raise ValueError(f"unknown column `{unknown[0]}`\nhint: one of {', '.join(types)}")
    shown = ", ".join(columns.arrow(name, types[name]) for name in dict.fromkeys(names))
    sql = f"SELECT {shown} FROM events AS e FINAL WHERE {span.where('e.timestamp')}"
    return warehouse.arrow(f"{sql} ORDER BY e.timestamp, e.event_id", span.values())
