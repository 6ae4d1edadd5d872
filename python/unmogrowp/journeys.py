"""Touches and conversions in any order in, journeys out: what each conversion may credit."""

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, cast, final

from unmogrowp import _core
from unmogrowp.errors import SchemaError
from unmogrowp.identities import checked
from unmogrowp.plots.flow import Path, flow
from unmogrowp.plots.heatmap import Move, moves_heatmap
from unmogrowp.table import ArrowStream, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Duration = str | dt.timedelta
Policy = Literal["partition", "overlap"]
_Row = tuple[list[str | None], float, float]

_MICROSECOND = dt.timedelta(microseconds=1)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def microseconds(name: str, duration: Duration) -> int:
    """A duration in microseconds, exactly; `name` is the parameter an error speaks of."""
    if isinstance(duration, str):
        us: int = _core.duration_us(name, duration)
        return us
    if not isinstance(duration, dt.timedelta):
        raise TypeError(
            f"{name} must be a duration, got `{duration!r}`\nhint: write `7d` or a timedelta"
        )
    if duration < dt.timedelta():
        raise ValueError(
            f"{name} must not be negative, got `{duration!r}`\nhint: write `7d` for seven days"
        )
    return duration // _MICROSECOND


@final
class Journeys:
    """Touches in order, one journey per conversion.

    Made by `ug.journeys` or `Journeys.from_paths`; `ug.attribute` and `ug.compare` read it.
    """

    __slots__ = ("_core",)

    def __init__(self, core: _core.Journeys) -> None:
        self._core = core

    @classmethod
    def from_paths(cls, paths: ArrowStream, sep: str = " > ") -> "Journeys":
        """Aggregated paths instead of rows of touches and conversions.

        Args:
            paths: A table with columns `path` (text with `sep` between the channels, or a list of
                text), `conversions`, and where known `value` (of all conversions of the path
                together), `currency` (of the value) and `nulls` (how often the path ended without a
                conversion). A path may have several rows. An empty path has no touches: its
                conversions are unattributed.
            sep: What stands between two channels; exactly that, spaces included.

        Returns:
            Journeys without times, one per path; `TimeDecay` refuses them.

        >>> import unmogrowp as ug
        >>> import pyarrow as pa
        >>> paths = pa.table({"path": ["ads > mail", "ads"], "conversions": [2, 1]})
        >>> Journeys.from_paths(paths)
        Journeys(3 conversions, 0 unattributed, 3 touches)
        """
        if not sep:
            raise ValueError("sep must not be empty\nhint: pass what stands between two channels")
        return cls(_core.journeys_from_paths(Table.read(paths).batches, sep))

    @property
    def core(self) -> _core.Journeys:
        """The journeys as the kernels take them."""
        return self._core

    @property
    def conversions(self) -> float:
        """How many conversions there are."""
        return _whole(self._core.totals()[0])

    @property
    def unattributed(self) -> float:
        """How many of them have no touch."""
        return _whole(self._core.totals()[1])

    @property
    def touches(self) -> int:
        """How many touches there are, inside a conversion's lookback or not."""
        count: int = self._core.touch_count
        return count

    @property
    def span(self) -> tuple[dt.datetime, dt.datetime] | None:
        """Time of the first and the last row in UTC; none for paths and where no row is."""
        span = self._core.span_us
        return span and (_moment(span[0]), _moment(span[1]))

    def to_paths(self, *, whole: bool = False) -> Table:
        """Distinct paths and how often each was taken; `from_paths` takes them again.

        Args:
            whole: Whether to keep all there is to share: also `value`, also `currency` with a row
                for each path and currency, and an empty path for conversions without touches.
                `from_paths` of that credits what these journeys do, by every model but `TimeDecay`
                and `WShape`, and tables of several machines may be put below one another.

        Returns:
            `path` (a list of channels), `conversions` and `nulls` (how often it did not convert),
            those that converted most first, or in the order of paths where they are whole.

        >>> import pyarrow as pa
        >>> table = pa.table({"path": ["ads > mail", "ads", "ads"], "conversions": [2, 1, 4]})
        >>> Journeys.from_paths(table).to_paths().column("conversions").to_pylist()
        [5.0, 2.0]
        """
        return Table(self._core.aggregated() if whole else self._core.paths())

    def transitions(self) -> Table:
        """How often which channel came after which, converting or not.

        Returns:
            `kind`, `from`, `to`, `count` and `probability`. Of kind `start` are the channels that
            journeys begin with, of kind `move` those that came after another, of the kinds
            `conversion` and `null` how journeys ended after a channel. A probability is the share
            of all that came after `from`.

        >>> import pyarrow as pa
        >>> table = {"path": ["ads > mail", "ads"], "conversions": [1, 0], "nulls": [0, 3]}
        >>> moves = Journeys.from_paths(pa.table(table)).transitions()
        >>> moves.column("probability").to_pylist()
        [1.0, 0.25, 0.75, 1.0]
        """
        return Table(self._core.transitions())

    def plot(
        self,
        kind: Literal["paths", "transitions"] = "paths",
        *,
        top: int = 12,
        steps: int = 5,
        with_unconverted: bool = False,
        ax: "Axes | None" = None,
    ) -> "Axes":
        """Draw the paths that converted most, or where journeys go after each channel.

        Args:
            kind: `paths`: a Sankey diagram with a column for each step before the end, so that a
                channel that comes back is drawn anew and nothing loops. `transitions`: a heatmap
                of the moves of a chain of order 1.
            top: How many paths, or how many channels.
            steps: How many touches of a path; what lies further back is drawn as one.
            with_unconverted: Whether paths are chosen and drawn with the journeys that did not
                convert.
            ax: Matplotlib axes to draw on, else a new figure is made.

        Returns:
            The axes, to change what you like.

        Raises:
            ValueError: There is no such kind, or no step to draw.
            MissingExtra: Matplotlib is not installed.
        """
        if kind not in {"paths", "transitions"} or min(top, steps) < 1:
            raise ValueError(
                f"cannot plot `{kind}` of top={top}, steps={steps}\n"
                'hint: "paths" or "transitions", of at least one'
            )
        if kind == "transitions":
            names = ("kind", "from", "to", "count")
            columns = (self.transitions().column(name).to_pylist() for name in names)
            moves = cast("list[Move]", list(zip(*columns, strict=True)))
            return moves_heatmap(moves, top=top, ax=ax)
        return self._plot_paths(top, steps, with_unconverted=with_unconverted, ax=ax)

    def _plot_paths(
        self, top: int, steps: int, *, with_unconverted: bool, ax: "Axes | None"
    ) -> "Axes":
        names = ("path", "conversions", "nulls")
        found = Table(self._core.paths(by_all=with_unconverted))
        columns = (found.head(top).column(name).to_pylist() for name in names)
        paths = [
            Path(tuple(channels), converted, nulls if with_unconverted else 0.0)
            for channels, converted, nulls in cast("list[_Row]", list(zip(*columns, strict=True)))
        ]
        drawn = sum(path.conversions for path in paths)
        title = (
            f"{min(top, len(found)):,} of {len(found):,} paths, "
            f"{drawn:,.0f} of {self.conversions - self.unattributed:,.0f} attributed conversions"
        )
        return flow(paths, title=title, steps_max=steps, ax=ax)

    def __len__(self) -> int:
        return len(self._core)

    def __repr__(self) -> str:
        counts = (
            f"{self.conversions:,} conversions, {self.unattributed:,} unattributed, "
            f"{self.touches:,} touches"
        )
        span = self._core.span_us
        if span is None:
            return f"Journeys({counts})"
        return f"Journeys({counts}, {_shown(span[0])} to {_shown(span[1])})"


def _whole(number: float) -> float:
    return int(number) if number.is_integer() else number


def _moment(us: int) -> dt.datetime:
    return _EPOCH + us * _MICROSECOND


def _shown(us: int) -> str:
    try:
        return f"{_moment(us):%Y-%m-%d %H:%M}"
    except OverflowError:
        return f"{us} µs"


def journeys(  # noqa: PLR0913 - one keyword per column, by contract
    table: ArrowStream,
    *,
    conversion: str | Iterable[str] | None = None,
    user: str = "user_id",
    time: str = "timestamp",
    channel: str = "channel",
    is_conversion: str = "is_conversion",
    value: str | None = "value",
    conversion_name: str | None = None,
    currency: str | None = None,
    touch_type: str | None = None,
    key_touch: str | None = None,
    conversion_id: str | None = None,
    click_lookback: Duration = "30d",
    view_lookback: Duration = "1d",
    policy: Policy = "partition",
    click_over_view: bool = False,
    cut: Iterable[tuple[str, str]] = (),
) -> Journeys:
    """Find the touches each conversion may credit.

    Args:
        table: Rows of touches and conversions in any order, from any Arrow-speaking library; or
            canonical events (`ug.parse(…).events`) together with `conversion`.
        conversion: Names of the events that convert, for canonical events only: touches are told
            by `event_type`, people by the ids seen together, channel is `source`.
        user: Column that names the person: integer, text or UUID.
        time: Timestamp column of any unit and zone.
        channel: Text column; a touch may have a null channel.
        is_conversion: Boolean column.
        value: Number column. Only where this default is missing there are no values.
        conversion_name: Text column; conversions of different names do not consume each other's
            touches.
        currency: Text column; results then have a row per channel and currency.
        touch_type: Text column; for touches where it says `impression` `view_lookback` applies.
        key_touch: Boolean column that marks the key touch of `WShape`.
        conversion_id: Column of any type that names the conversion; else its row number.
        click_lookback: How long before a conversion a touch counts, inclusive.
        view_lookback: The same for impressions.
        policy: `partition`: a conversion consumes the touches before it, the next conversion of
            the same name sees only later ones. `overlap`: each looks back on its own.
        click_over_view: Whether impressions earn nothing in a journey that has another touch.
        cut: Pairs of kind and id that link nobody in canonical events; see `ug.identities`.

    Returns:
        The journeys. The order of rows only matters between two of one person at the same time.
    """
    named = {
        "user": user,
        "time": time,
        "channel": channel,
        "is_conversion": is_conversion,
        "value": value,
        "conversion_name": conversion_name,
        "currency": currency,
        "touch_type": touch_type,
        "key_touch": key_touch,
        "conversion_id": conversion_id,
    }
    lookbacks = {"click_lookback": click_lookback, "view_lookback": view_lookback}
    click_us, view_us = (microseconds(name, lookback) for name, lookback in lookbacks.items())
    settings = (click_us, view_us, policy, click_over_view)
    given = Table.read(table)
    if conversion is None:
        columns = _columns(given, named, checked(cut))
        return Journeys(_core.journeys(given.batches, columns, settings))
    _refuse_columns(named)
    names = [conversion] if isinstance(conversion, str) else list(conversion)
    return Journeys(_core.journeys_of_events(given.batches, names, settings, checked(cut)))


def _refuse_columns(named: dict[str, str | None]) -> None:
    """Canonical events have columns of their own."""
    defaults = journeys.__kwdefaults__ or {}
    for role, name in named.items():
        if name != defaults[role]:
            raise TypeError(
                f"{role} cannot be chosen for canonical events, got `{name}`\n"
                "hint: leave it out, or leave out `conversion` and name every column"
            )


def _columns(
    given: Table, named: dict[str, str | None], cuts: list[tuple[str, str]]
) -> dict[str, str]:
    """The columns to read: those named, save a `value` that is named by default only."""
    if cuts:
        raise TypeError("cut is for canonical events\nhint: say what converts: conversion=[…]")
    columns = {role: name for role, name in named.items() if name is not None}
    if columns.get("value") == "value" and "value" not in given.schema:
        del columns["value"]
    is_conversion = columns["is_conversion"]
    known = given.schema.keys()
    # Canonical events without `conversion` are the likeliest mistake.
    if is_conversion not in known and {"event_name", "event_type"} <= known:
        raise SchemaError(
            f"no column `{is_conversion}` for is_conversion\n"
            'hint: for canonical events say what converts: conversion=["install", "purchase"]'
        )
    return columns
