"""Shares by row and column in, a heatmap out."""

from typing import TYPE_CHECKING

from unmogrowp.plots.canvas import COLOURS, INK, axes, bare, label, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

_CELL_INCHES = (0.78, 0.42)
_NUMBERED_MAX = 18
_DARK = 0.62


def heatmap(
    rows: list[str | None],
    columns: list[str | None],
    shares: list[list[float]],
    *,
    title: str,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw a cell for each row and column, the darker the larger its share.

    Args:
        rows: Their names, the first at the top.
        columns: Their names.
        shares: Row by row, from 0 to 1.
        title: What a share is of.
        ax: Where to draw; a new figure where none is given.
    """
    width, height = _CELL_INCHES
    ax = axes(ax, 2.4 + width * len(columns), 1.6 + height * len(rows))
    ax.imshow(shares, cmap=_blues(), vmin=0.0, vmax=_largest(shares), aspect="auto")
    names = [label(name) for name in columns]
    ax.set_xticks(range(len(columns)), names, rotation=40, ha="left", parse_math=False)
    ax.set_yticks(range(len(rows)), [label(name) for name in rows], parse_math=False)
    bare(ax, title)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    # White lines between the cells.
    ax.set_xticks([place - 0.5 for place in range(1, len(columns))], minor=True)
    ax.set_yticks([place - 0.5 for place in range(1, len(rows))], minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="minor", length=0)
    if len(columns) <= _NUMBERED_MAX:
        _numbers(ax, shares)
    return ax


# Of what came after what: `start`, `move`, `conversion` or `null`, from, to, and how often.
Move = tuple[str, str | None, str | None, float]


def moves_heatmap(moves: list[Move], *, top: int, ax: "Axes | None" = None) -> "Axes":
    """Draw where journeys go after each channel; the channels that are seen least are one."""
    seen: dict[str | None, float] = {}
    for kind, _, to, count in moves:
        if kind in {"start", "move"}:
            seen[to] = seen.get(to, 0.0) + count
    ordered = sorted(seen, key=lambda name: (-seen[name], name is None, name))
    places = {name: min(place, top) for place, name in enumerate(ordered)}
    names = ordered[:top] + [f"{len(ordered) - top} others"] * (len(ordered) > top)
    counts = [[0.0] * (len(names) + 2) for _ in range(len(names) + 1)]
    for kind, start, to, count in moves:
        row = 0 if kind == "start" else places[start] + 1
        column = {"conversion": len(names), "null": len(names) + 1}.get(kind)
        counts[row][places[to] if column is None else column] += count
    shares = [[count / (sum(row) or 1.0) for count in row] for row in counts]
    return heatmap(
        ["(start)", *names],
        [*names, "(conversion)", "(no conversion)"],
        shares,
        title="Where journeys go next",
        ax=ax,
    )


def _blues() -> "Colormap":
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("blues", ["#f4f7fa", COLOURS[0]])


def _largest(shares: list[list[float]]) -> float:
    return max((share for row in shares for share in row), default=0.0) or 1.0


def _numbers(ax: "Axes", shares: list[list[float]]) -> None:
    dark = _DARK * _largest(shares)
    for row, cells in enumerate(shares):
        for column, share in enumerate(cells):
            if share > 0:
                ink = "white" if share > dark else INK
                said = percent(share)
                ax.text(column, row, said, ha="center", va="center", fontsize=7.5, color=ink)
