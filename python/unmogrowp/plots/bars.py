"""Numbers by name in, horizontal bars out, a colour for each series."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unmogrowp.plots.canvas import FAINT, GREY, INK, axes, bare, colour, label, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BAR_INCHES = 0.2
_BARS_LABELLED_MAX = 60
_LEGEND_INCHES = 0.3


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of bars.

    Args:
        name: What the legend says.
        lengths: One per name.
        ends: From where to where each may lie; none where nobody knows.
    """

    name: str
    lengths: list[float]
    ends: list[tuple[float, float] | None]


def bars(
    names: list[str | None],
    series: list[Series],
    *,
    title: str,
    greys: int = 0,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw bars, the first name at the top.

    Args:
        names: What each group of bars is called.
        series: In the order of the legend.
        title: What the lengths are.
        greys: How many names at the end are no channel.
        ax: Where to draw; a new figure where none is given.
    """
    thick = 0.8 / len(series)
    ax = axes(ax, 8.0, 1.1 + len(names) * (len(series) * _BAR_INCHES + 0.12))
    places = [-row for row in range(len(names))]
    for index, one in enumerate(series):
        above = [place + 0.4 - thick * (index + 0.5) for place in places]
        fills = [GREY if row >= len(names) - greys else colour(index) for row in range(len(names))]
        ax.barh(above, one.lengths, height=thick * 0.92, color=fills, label=one.name)
        _whiskers(ax, above, one)
        if len(names) * len(series) <= _BARS_LABELLED_MAX:
            _numbers(ax, above, one)
    ax.set_yticks(places, [label(name) for name in names], parse_math=False)
    bare(ax, title)
    ax.xaxis.grid(visible=True, color=FAINT, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.margins(x=0.14, y=0.02)
    ax.xaxis.set_major_formatter(lambda value, _: number(value))
    if len(series) > 1:
        _legend(ax, series)
    return ax


def _whiskers(ax: "Axes", above: list[float], one: Series) -> None:
    for place, ends in zip(above, one.ends, strict=True):
        if ends is not None:
            ax.hlines([place], *ends, color=INK, linewidth=1.1)


def _numbers(ax: "Axes", above: list[float], one: Series) -> None:
    """What each bar says, beyond its end and whatever else is drawn there."""
    for place, length, ends in zip(above, one.lengths, one.ends, strict=True):
        reached = (length, *(ends or ()))
        beyond, side = (min(reached), -4) if length < 0 else (max(reached), 4)
        said = number(length)
        if ends is not None:
            # Beside a whisker a single number would be read as its end.
            said += " (" + " to ".join(map(number, ends)) + ")"
        ax.annotate(
            said,
            (beyond, place),
            xytext=(side, 0),
            textcoords="offset points",
            va="center",
            ha="left" if side > 0 else "right",
            fontsize=7.5,
            color=INK,
        )


def _legend(ax: "Axes", series: list[Series]) -> None:
    """Colours of channels, whatever the colour of the first bar."""
    from matplotlib.patches import Patch
    from matplotlib.transforms import ScaledTranslation

    patches = [Patch(color=colour(index), label=one.name) for index, one in enumerate(series)]
    # Below the numbers of the axis, however high the picture is.
    below = ScaledTranslation(0, -_LEGEND_INCHES, ax.figure.dpi_scale_trans)
    legend = ax.legend(
        handles=patches,
        loc="upper center",
        ncols=min(len(series), 4),
        frameon=False,
        fontsize=9,
        labelcolor=INK,
    )
    legend.set_bbox_to_anchor((0.5, 0.0), ax.transAxes + below)
    for text in legend.get_texts():
        text.set_parse_math(False)
