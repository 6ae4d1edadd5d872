"""Canonical events in, one row per cohort out: retention, revenue, LTV and ROAS."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from unmogrowp import _core
from unmogrowp.identities import checked
from unmogrowp.journeys import Duration, microseconds
from unmogrowp.table import ArrowStream, Table

_DAY_MAX = 36_500
_FOREVER_US = 2**62
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def cohorts(  # noqa: PLR0913 - one keyword per setting
    events: ArrowStream,
    *,
    by: str = "source",
    days: Sequence[int] = (1, 7, 30),
    spend: ArrowStream | None = None,
    install: str = "install",
    click_lookback: Duration = "30d",
    view_lookback: Duration = "1d",
    start: dt.datetime | None = None,
    stop: dt.datetime | None = None,
    cut: Iterable[tuple[str, str]] = (),
) -> Table:
    """Follow people from the day they came.

    A person starts with the earliest `install` event, else with the first event that is no touch;
    whoever has touches only is no user. The start is credited to the last touch in its lookback,
    and all the person does from then on to that touch's `by`.

    Day N is `floor(elapsed / 24 h) = N` since the start. The newest event of the table says how
    long people were watched: a person counts for day N (`users_<N>`) once N days have passed by
    then. Younger people are in no share or mean of day N; revenue and ROAS are of everybody, so
    far.

    Args:
        events: Canonical events, e.g. `ug.parse(…).events`.
        by: A text column: `source`, `medium`, `campaign`, `adset`, `creative`, `site_id` or
            `click_id` of the touch, or any other, e.g. `country`, of the start.
        days: Days since the start, each its own set of columns.
        spend: A table with a column named as `by`, `amount` (a number) and `currency`; other
            columns, such as `date`, are not looked at.
        install: Name of the event people start with.
        click_lookback: How long before the start a click counts, inclusive.
        view_lookback: The same for impressions.
        start: Only people who started then or later; all that they did counts, whenever.
        stop: Only people who started before.
        cut: Pairs of kind and id that link nobody; see `ug.identities`.

    Returns:
        One row per cohort and currency, amounts of different currencies being never added; users
        and retention repeat in each. Ascending by cohort, then the null cohort, `(unattributed)`
        last: the `by` column, `currency` (null where no money moved), `users`, `users_<d>`,
        `retention_<d>` (share active on day d), `revenue_<d>` (up to and including day d),
        `ltv_<d>` (the same per user who counts), `spend`, `roas_<d>` (null without spend).
    """
    lookbacks = (click_lookback, view_lookback)
    asked = Cohorts(by, list(days), install, lookbacks, start, stop, checked(cut))
    return asked.of(events, spend=spend)


@dataclass(frozen=True, slots=True)
class Cohorts:
    """What to ask of events; the fields are `cohorts`' arguments."""

    by: str
    days: list[int]
    install: str = "install"
    lookbacks: tuple[Duration, Duration] = ("30d", "1d")
    start: dt.datetime | None = None
    stop: dt.datetime | None = None
    cut: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        wanted = self.days
        if any(not isinstance(day, int) or not 0 <= day <= _DAY_MAX for day in wanted):
            raise ValueError(
                f"days must be whole days from 0 on, got `{wanted!r}`\nhint: days=[1, 7]"
            )
        if len(set(wanted)) < len(wanted):
            raise ValueError(f"days must differ, got `{wanted!r}`\nhint: name each day once")

    def of(self, events: ArrowStream, *, spend: ArrowStream | None = None) -> Table:
        """The answer."""
        return Table(
            _core.cohorts(
                Table.read(events).batches,
                self.by,
                self.days,
                self.install,
                self.lookbacks_us,
                self.started_us,
                None if spend is None else Table.read(spend).batches,
                self.cut,
            )
        )

    @property
    def lookbacks_us(self) -> tuple[int, int]:
        """Of clicks and of impressions, in microseconds."""
        click, view = self.lookbacks
        return microseconds("click_lookback", click), microseconds("view_lookback", view)

    @property
    def started_us(self) -> tuple[int, int]:
        """From when to before when people started, in microseconds since 1970."""
        return _bound(self.start, -_FOREVER_US), _bound(self.stop, _FOREVER_US)


def _bound(moment: dt.datetime | None, default: int) -> int:
    if moment is None:
        return default
    if moment.tzinfo is None:
        raise ValueError(f"a bound needs a time zone, got `{moment}`\nhint: tzinfo=UTC")
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)
