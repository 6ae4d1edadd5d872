"""Credit by channel and model, side by side, and drawn."""

from typing import TYPE_CHECKING, Literal, final

from unmogrowp import _core
from unmogrowp.plots.bars import Series, bars
from unmogrowp.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNATTRIBUTED = "(unattributed)"

_Sums = dict[str | None, float]


@final
class Comparison(Table):
    """What `ug.compare` returns: a table that can be drawn."""

    __slots__ = ("_models",)

    def __init__(self, batches: _core.Batches, models: list[str]) -> None:
        super().__init__(batches)
        self._models = models

    def plot(
        self,
        what: Literal["conversions", "value"] = "conversions",
        *,
        currency: str | None = None,
        top: int = 15,
        ax: "Axes | None" = None,
    ) -> "Axes":
        """Bars by channel, a colour for each model, with intervals where they were asked for.

        Args:
            what: `conversions` or `value`.
            currency: Whose rows are drawn. Conversions of all currencies are drawn together
                without it; amounts cannot be.
            top: How many channels; those that earned least are drawn as one.
            ax: Matplotlib axes to draw on, else a new figure is made.

        Returns:
            The axes, to change what you like.

        Raises:
            ValueError: There is no value, or it is of several currencies.
            MissingExtra: Matplotlib is not installed.
        """
        chosen = self._rows(what, currency)
        credit = [self._sums(f"{model}_{what}", chosen) for model in self._models]
        names, rest = _ranked(credit, top)
        if rest:
            others = f"{len(rest)} others"
            names.append(others)
            for sums in credit:
                sums[others] = sum(sums[name] for name in rest)
        greys = any(sums[UNATTRIBUTED] for sums in credit)
        names += [UNATTRIBUTED] * greys
        series = [
            Series(model, [sums[name] for name in names], self._ends(f"{model}_{what}", names))
            for model, sums in zip(self._models, credit, strict=True)
        ]
        title = f"{what.capitalize()}{f' in {currency}' if currency else ''} by channel"
        return bars(names, series, title=title, greys=greys, ax=ax)

    def _rows(self, what: str, currency: str | None) -> list[bool]:
        """Which rows are meant."""
        if what not in {"conversions", "value"}:
            raise ValueError(f'no `{what}` to plot\nhint: "conversions" or "value"')
        if what == "value" and not any(name.endswith("_value") for name in self.schema):
            raise ValueError("there is no value to plot\nhint: name its column in ug.journeys")
        if "currency" not in self.schema:
            return [True] * len(self)
        currencies = self.column("currency").to_pylist()
        known = sorted({str(name) for name in currencies})
        if currency is not None and currency not in known:
            raise ValueError(f"no currency `{currency}`\nhint: there are {', '.join(known)}")
        if what == "value" and currency is None and len(known) > 1:
            raise ValueError(
                f'amounts of {", ".join(known)} do not add up\nhint: currency="{known[0]}"'
            )
        return [currency is None or str(name) == currency for name in currencies]

    def _sums(self, column: str, chosen: list[bool]) -> _Sums:
        sums: _Sums = {}
        columns = (self.column(name).to_pylist() for name in ("channel", column))
        for channel, credit, is_chosen in zip(*columns, chosen, strict=True):
            sums[channel] = sums.get(channel, 0.0) + (credit if is_chosen else 0.0)
        return sums

    def _ends(self, column: str, names: list[str | None]) -> list[tuple[float, float] | None]:
        """Intervals of single rows: their errors go together, so that sums have none."""
        if f"{column}_low" not in self.schema or "currency" in self.schema:
            return [None] * len(names)
        lows, highs = (self._sums(f"{column}_{end}", [True] * len(self)) for end in ("low", "high"))
        return [(lows[name], highs[name]) if name in lows else None for name in names]


def _ranked(credit: list[_Sums], top: int) -> tuple[list[str | None], list[str | None]]:
    """Channels by what all models together give them: the first, and the rest."""
    weight = {name: sum(sums[name] for sums in credit) for name in credit[0]} if credit else {}
    channels = [name for name in weight if name != UNATTRIBUTED]
    channels.sort(key=lambda name: (-weight[name], name is None, name))
    return channels[:top], channels[top:]
