"""Retention, LTV and ROAS from what the warehouse keeps for them, by the library's own kernel."""

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from unmogrowp import _core
from unmogrowp.cohorts import Cohorts
from unmogrowp.journeys import Duration
from unmogrowp.table import Table
from unmogrowp.warehouse.persons import KNOWN, NIL, Known
from unmogrowp.warehouse.schema import IS_TOUCH, NEVER
from unmogrowp.warehouse.span import Span
from unmogrowp.warehouse.store import AS_DICTIONARY, Warehouse

# What is kept of a touch.
KEYS = ("source", "campaign", "adset", "creative")

_APP = "app_id = {app_id:String}"
_NOBODIES = f"SELECT identity FROM ({KNOWN}) WHERE person = {NIL}"
# As a UUID a column would be built value by value.
_IDENTITY = "UUIDToNum(e.identity) AS identity"
_ACTIVE = (
    f"SELECT {_IDENTITY}, first_at, last_at, install_at, "
    f"(install_at != {NEVER})::Bool AS has_installed FROM rollup_active AS e WHERE {_APP}"
)
_EARNED = (
    f"SELECT {_IDENTITY}, timestamp, micros, nullIf(currency, '') AS currency "
    f"FROM rollup_earned AS e FINAL WHERE {_APP}"
)
# Each of these is somebody else.
_ALONE = (
    "SELECT timestamp, revenue_micros AS micros, nullIf(currency, '') AS currency "
    f"FROM events AS e FINAL WHERE {_APP} AND NOT ({IS_TOUCH})"
)
_IN_ORDER = "ORDER BY timestamp, event_id"


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
        by: What to group by of the touch: `source`, `campaign`, `adset` or `creative`.
        days: Days since the start.
        lookbacks: Of clicks and of impressions.

    Returns:
        Columns as of `unmogrowp.cohorts`.
    """
    asked = Cohorts(by, list(days), lookbacks=lookbacks, start=span.start, stop=span.stop)
    if by not in KEYS:
        raise ValueError(f"unknown column `{by}`\nhint: one of {', '.join(KEYS)}")
    with ThreadPoolExecutor(1) as beside:
        return Table(_answer(warehouse, span.app_id, asked, beside))


def _answer(warehouse: Warehouse, app_id: str, asked: Cohorts, beside: Executor) -> _core.Batches:
    """What is read next comes in while a kernel of ours takes in what came before."""

    def table(sql: str) -> _core.Batches:
        return Table.read(warehouse.arrow(f"{sql} {AS_DICTIONARY}", {"app_id": app_id})).batches

    known = Known(warehouse, app_id, beside)
    some, rest = f"AND e.identity IN ({_NOBODIES})", f"AND e.identity NOT IN ({_NOBODIES})"
    if not known.has_nobody:
        some, rest = "AND 0", ""
    active = table(f"{_ACTIVE} {rest}")
    crowd = beside.submit(lambda: _core.Crowd(active, known.persons()))
    # To put touches in order takes longer than all else.
    touches = table(_touches(asked.by))
    earned, alone = table(f"{_EARNED} {rest}"), table(f"{_ALONE} {some}")

    def answer(touches: _core.Batches) -> tuple[_core.Batches, bool]:
        question = (asked.by, asked.days, asked.lookbacks_us, asked.started_us)
        return crowd.result().report(touches, earned, alone, *question)

    made, is_tied = answer(touches)
    return answer(table(f"{_touches(asked.by)} {_IN_ORDER}"))[0] if is_tied else made


def _touches(by: str) -> str:
    return (
        f"SELECT {_IDENTITY}, timestamp, (event_type = 'impression')::Bool AS is_view, "
        f"nullIf(e.{by}, '') AS {by} FROM touchpoints AS e WHERE {_APP} AND {IS_TOUCH}"
    )
