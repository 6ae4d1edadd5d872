"""Paths in, a Sankey diagram out: a column for each step before the end, so that no path loops."""

import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unmogrowp.plots.canvas import COLOURS, GREY, INK, axes, bare, colour, label, number, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EARLIER = "… earlier"
CONVERTED = "converted"
LEFT = "did not convert"

_COLUMN_INCHES = 1.7
_WIDTH = 0.12
_GAP = 0.03
_LINE_INCHES = 0.13


@dataclass(frozen=True, slots=True)
class Path:
    """Channels in order, and how often they led where."""

    channels: tuple[str | None, ...]
    conversions: float
    nulls: float


# A column, counted backwards from the end, which is 0; and who stands there.
_Node = tuple[int, str | None]


def flow(
    paths: Iterable[Path], *, title: str, steps_max: int = 5, ax: "Axes | None" = None
) -> "Axes":
    """Draw how paths come to their end; what lies further back than `steps_max` touches is one.

    Args:
        paths: Those to draw.
        title: What they are.
        steps_max: How many columns of touches there are at most.
        ax: Where to draw; a new figure where none is given.
    """
    flows, total = _flows(paths, steps_max)
    nodes = _placed(_sizes(flows), total)
    columns = {column for column, _ in nodes}
    ax = axes(ax, 1.6 + _COLUMN_INCHES * len(columns), 5.0)
    tints = _tints(nodes)
    _ribbons(ax, flows, nodes, tints)
    for (column, name), (low, high) in nodes.items():
        ax.fill_between((column, column + _WIDTH), low, high, color=tints[name], linewidth=0)
    deepest = min((low for low, _ in nodes.values()), default=-1.0)
    ax.set_xlim(min(columns, default=0) - 0.05, 0.9)
    ax.set_ylim(deepest - _GAP, _GAP)
    _words(ax, nodes, total)
    ordered = sorted(columns)
    ax.set_xticks(ordered, [_heading(column) for column in ordered], ha="left")
    ax.xaxis.tick_top()
    ax.set_yticks([])
    bare(ax, title)
    ax.tick_params(labelsize=8.5, labelcolor=GREY)
    return ax


def _words(ax: "Axes", nodes: dict[_Node, tuple[float, float]], total: float) -> None:
    """Name and number beside each node: in two lines, in one, or not at all, as there is room."""
    low, high = ax.get_ylim()
    inches = ax.get_window_extent().height / ax.figure.dpi / (high - low)
    for (column, name), (bottom, top) in nodes.items():
        room = (top - bottom + _GAP) * inches
        if room < _LINE_INCHES:
            continue
        count, share = number((top - bottom) * total), percent(top - bottom)
        parts = (label(name), f"{count} · {share}")
        said = ("\n" if room > 2.5 * _LINE_INCHES else "  ").join(parts)
        place = column + _WIDTH + 0.03, (top + bottom) / 2
        ax.text(*place, said, va="center", fontsize=8, color=INK, parse_math=False)


def _heading(column: int) -> str:
    words = {0: "outcome", -1: "last touch", -2: "one before"}
    return words.get(column, f"{-column - 1} before")


def _flows(paths: Iterable[Path], steps_max: int) -> tuple[dict[tuple[_Node, _Node], float], float]:
    """How much goes from node to node, and in all."""
    flows: dict[tuple[_Node, _Node], float] = defaultdict(float)
    total = 0.0
    for path in paths:
        names: list[str | None] = list(path.channels[-steps_max:])
        if len(path.channels) > steps_max:
            names.insert(0, EARLIER)
        for end, count in ((CONVERTED, path.conversions), (LEFT, path.nulls)):
            steps = [*names, end]
            nodes = [(at + 1 - len(steps), name) for at, name in enumerate(steps)]
            for one, other in itertools.pairwise(nodes):
                flows[one, other] += count
            total += count
    return {pair: count for pair, count in flows.items() if count > 0}, total or 1.0


def _sizes(flows: dict[tuple[_Node, _Node], float]) -> dict[_Node, float]:
    into: dict[_Node, float] = defaultdict(float)
    out: dict[_Node, float] = defaultdict(float)
    for (one, other), count in flows.items():
        out[one] += count
        into[other] += count
    return {node: max(into[node], out[node]) for node in {**into, **out}}


def _placed(sizes: dict[_Node, float], total: float) -> dict[_Node, tuple[float, float]]:
    """From where to where each node reaches: the largest of a column at the top."""
    placed: dict[_Node, tuple[float, float]] = {}
    tops: dict[int, float] = defaultdict(float)
    for node in sorted(sizes, key=lambda node: (node[0], -sizes[node], str(node[1]))):
        high = tops[node[0]]
        low = high - sizes[node] / total
        placed[node] = (low, high)
        tops[node[0]] = low - _GAP
    return placed


def _tints(nodes: Iterable[_Node]) -> dict[str | None, str]:
    """A colour for each name, the same in every column."""
    tints: dict[str | None, str] = {EARLIER: GREY, LEFT: GREY, CONVERTED: COLOURS[2]}
    free = [index for index in range(len(COLOURS)) if COLOURS[index] != COLOURS[2]]
    for _, name in nodes:
        if name not in tints:
            tints[name] = colour(free[(len(tints) - 3) % len(free)])
    return tints


def _ribbons(
    ax: "Axes",
    flows: dict[tuple[_Node, _Node], float],
    nodes: dict[_Node, tuple[float, float]],
    tints: dict[str | None, str],
) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    total = sum(count for (_, other), count in flows.items() if other[0] == 0) or 1.0
    left = {node: high for node, (_, high) in nodes.items()}
    right = dict(left)
    # From the top of both sides on, so that ribbons cross as little as may be.
    for (one, other), count in sorted(
        flows.items(), key=lambda item: (-nodes[item[0][0]][1], -nodes[item[0][1]][1])
    ):
        thick = count / total
        (start, top), (stop, end) = (one[0] + _WIDTH, left[one]), (other[0], right[other])
        left[one], right[other] = top - thick, end - thick
        middle = (start + stop) / 2
        corners = [
            (start, top),
            *((middle, top), (middle, end), (stop, end)),
            (stop, end - thick),
            *((middle, end - thick), (middle, top - thick), (start, top - thick)),
            (start, top),
        ]
        codes = [Outline.MOVETO, *[Outline.CURVE4] * 3, Outline.LINETO, *[Outline.CURVE4] * 3]
        outline = Outline(corners, [*codes, Outline.CLOSEPOLY])
        ax.add_patch(PathPatch(outline, facecolor=tints[one[1]], alpha=0.35, linewidth=0))
