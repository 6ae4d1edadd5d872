"""What all pictures share: where they are drawn, their colours, and how text is written."""

from typing import TYPE_CHECKING

from unmogrowp.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Told apart by eyes that see no red or green, and in print (after Okabe and Ito 2008).
COLOURS = (
    "#2b6cb0",
    "#e08a1e",
    "#2f9e77",
    "#b8557f",
    "#6b5ca5",
    "#56a3d9",
    "#a3741f",
    "#86b049",
    "#d1605e",
    "#4b7f8c",
)
GREY = "#9aa3ad"
INK = "#2d3742"
FAINT = "#e4e8ec"
_LETTERS_MAX = 28


def axes(given: "Axes | None", width: float, height: float) -> "Axes":
    """The axes to draw on: those given, else new ones of a size in inches.

    Raises:
        MissingExtra: Matplotlib is not installed.
    """
    if given is not None:
        return given
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise MissingExtra("viz") from error
    _, made = plt.subplots(figsize=(width, height), layout="constrained", dpi=110)
    return made


def colour(index: int) -> str:
    """The colour of the thing numbered `index`."""
    return COLOURS[index % len(COLOURS)]


def label(name: str | None) -> str:
    """A channel's name, short enough to stand beside a bar."""
    text = "(none)" if name is None else name
    return text if len(text) <= _LETTERS_MAX else text[: _LETTERS_MAX - 1] + "…"


def number(count: float) -> str:
    """Three digits, and thousands apart.

    >>> number(12345.6), number(12.345), number(0.123456), number(3.0)
    ('12,346', '12.3', '0.123', '3')
    """
    if count == 0 or abs(count) >= 100 or float(count).is_integer():  # noqa: PLR2004 - three digits
        return f"{count:,.0f}"
    return f"{count:.3g}"


def percent(share: float) -> str:
    """A share as a percentage of two digits at least.

    >>> percent(0.5), percent(0.0123), percent(0.00001), percent(0)
    ('50 %', '1.2 %', '<0.1 %', '0 %')
    """
    if 0 < share < 0.001:  # noqa: PLR2004 - what one decimal can show
        return "<0.1 %"
    text = f"{100 * share:.1f}" if share < 0.1 else f"{100 * share:.0f}"  # noqa: PLR2004 - two digits
    return text.removesuffix(".0") + " %"


def bare(ax: "Axes", title: str) -> None:
    """No frame, quiet ticks, and a title at the left."""
    for side in ax.spines.values():
        side.set_visible(False)
    ax.tick_params(length=0, labelsize=9, labelcolor=INK)
    ax.set_title(title, loc="left", fontsize=11, color=INK, pad=10)
