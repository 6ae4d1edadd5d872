"""Journeys and models in, credit out."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Literal, Protocol, cast

from unmogrowp import _core
from unmogrowp.comparison import Comparison
from unmogrowp.journeys import Duration, Journeys, microseconds
from unmogrowp.plots.bars import Series, bars
from unmogrowp.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Model(Protocol):
    """How credit is shared; `name` begins its columns in `compare`."""

    @property
    def name(self) -> str:
        """What its columns are called."""

    def rule(self) -> _core.Rule:
        """The model as the kernels take it."""


@dataclass(frozen=True)
class FirstTouch:
    """All credit to the first touch."""

    _: KW_ONLY
    name: str = "first_touch"

    def rule(self) -> _core.Rule:
        """The model as the kernels take it."""
        return _core.Rule.named("first_touch")


@dataclass(frozen=True)
class LastTouch:
    """All credit to the last touch."""

    _: KW_ONLY
    name: str = "last_touch"

    def rule(self) -> _core.Rule:
        """The model as the kernels take it."""
        return _core.Rule.named("last_touch")


@dataclass(frozen=True)
class FirstNonDirect:
    """All credit to the first touch whose channel is not in `direct`, else to the first."""

    direct: AbstractSet[str] = frozenset({"direct"})
    _: KW_ONLY
    name: str = "first_non_direct"

    def __post_init__(self) -> None:
        object.__setattr__(self, "direct", _names("direct", self.direct))

    def rule(self) -> _core.Rule:
        """The model as the kernels take it."""
        return _core.Rule.non_direct(sorted(self.direct), is_first=True)


@dataclass(frozen=True)
class LastNonDirect:
    """All credit to the last touch whose channel is not in `direct`, else to the last."""

    direct: AbstractSet[str] = frozenset({"direct"})
    _: KW_ONLY
    name: str = "last_non_direct"

    def __post_init__(self) -> None:
        object.__setattr__(self, "direct", _names("direct", self.direct))

    def rule(self) -> _core.Rule:
        """The model as the kernels take it."""
        return _core.Rule.non_direct(sorted(self.direct), is_first=False)


@dataclass(frozen=True)
class Linear:
    """The same credit to each touch."""

    _: KW_ONLY
    name: str = "linear"

    def rule(self) -> _core.Rule:
        """The model as the kernels take it."""
        return _core.Rule.named("linear")


@dataclass(frozen=True)
class PositionBased:
    """Shares for the first and the last touch, the rest evenly to the middle (U: 40/20/40).

    One touch gets everything; with two the shares of the ends are renormalised.
    """

    first: float = 0.4
    last: float = 0.4
    _: KW_ONLY
    name: str = "position_based"

    def __post_init__(self) -> None:
        self.rule()

    def rule(self) -> _core.Rule:
        """The model as the kernels take it."""
        return _core.Rule.position_based(self.first, self.last)


@dataclass(frozen=True)
class JShape:
    """20 % to the first touch, 60 % to the last, 20 % to the middle."""

    _: KW_ONLY
    name: str = "j_shape"

    def rule(self) -> _core.Rule:
        """The model as the kernels take it."""
        return _core.Rule.named("j_shape")


@dataclass(frozen=True)
class InverseJ:
    """60 % to the first touch, 20 % to the last, 20 % to the middle."""

    _: KW_ONLY
    name: str = "inverse_j"

    def rule(self) -> _core.Rule:
        """The model as the kernels take it."""
        return _core.Rule.named("inverse_j")


@dataclass(frozen=True)
class WShape:
    """30 % each to the first, the key and the last touch, 10 % to the rest.

    The key touch is the first one marked by `key_touch`. Roles on one touch add up; a role nobody
    fills (no key touch, no rest) is renormalised away.
    """

    _: KW_ONLY
    name: str = "w_shape"

    def rule(self) -> _core.Rule:
        """The model as the kernels take it."""
        return _core.Rule.named("w_shape")


@dataclass(frozen=True)
class TimeDecay:
    """A touch weighs `2 ** -(age / half_life)`, its age being the time to the conversion.

    With `step=True` only whole half-lives of age count.
    """

    half_life: Duration = "7d"
    step: bool = False
    _: KW_ONLY
    name: str = "time_decay"

    def __post_init__(self) -> None:
        self.rule()

    def rule(self) -> _core.Rule:
        """The model as the kernels take it."""
        return _core.Rule.time_decay(microseconds("half_life", self.half_life), self.step)


@dataclass(frozen=True)
class Markov:
    """By how much of the probability to convert is lost when a channel is removed.

    Paths are a chain whose states are their last touches, `order` of them at most. A channel's
    effect is the share of the probability to convert that goes with it, and all attributed
    conversions are shared by the effects. Everything is solved for, nothing simulated.

    Args:
        order: How many touches make a state, 1 to 8.
        removal: `redirect_to_null`: paths end where they meet the channel (Anderl et al. 2016);
            `redistribute`: what moved to the channel moves on as the rest of its state does, so
            that a channel may be in the way and have a negative effect, for which it earns nothing;
            `drop_paths`: the conversions whose path has the channel are lost.
        allocation: `global`: all conversions by all effects; `per_journey`: each conversion by
            the effects of the channels of its own path, evenly over the touches of one.
        name: What its columns are called: `markov`, of a higher order `markov_2` and so on.
    """

    order: int = 1
    removal: Literal["redirect_to_null", "redistribute", "drop_paths"] = "redirect_to_null"
    allocation: Literal["global", "per_journey"] = "global"
    _: KW_ONLY
    name: str = ""

    def __post_init__(self) -> None:
        self.rule()
        usual = "markov" if self.order == 1 else f"markov_{self.order}"
        object.__setattr__(self, "name", self.name or usual)

    def rule(self) -> _core.Rule:
        """The model as the kernels take it."""
        return _core.Rule.markov(
            _whole("order", self.order), str(self.removal), str(self.allocation)
        )


@dataclass(frozen=True)
class Shapley:
    """By what a channel adds to coalitions of other channels (Shapley 1953).

    Args:
        game: What a coalition is worth. `subset`: the conversions of journeys inside it; each
            distinct channel of a journey then earns the same, so that this is linear credit over
            distinct channels (Zhao et al. 2018). `conversion_rate`: the conversion rate of
            journeys inside it; credit may be negative. Up to 20 channels every coalition is
            looked at; of more, orders of channels are sampled (Castro et al. 2009), and `compare`
            adds the standard error of what each earned.
        ordered: For `subset`: whether a channel's credit is filed by the position of each of its
            occurrences. Sums by channel are the same.
        samples: How many orders are sampled, from 2 to 1,000,000; each is looked at backwards as
            well. Four times as many halve the errors.
        seed: The same seed draws the same orders, on any number of threads.
        name: What its columns are called: `shapley`, `shapley_conversion_rate` or
            `shapley_ordered`.
    """

    game: Literal["subset", "conversion_rate"] = "subset"
    ordered: bool = False
    _: KW_ONLY
    samples: int = 1_024
    seed: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        self.rule()
        if self.ordered and self.game != "subset":
            raise ValueError(
                'ordered is for game="subset"\nhint: leave ordered out, or choose that game'
            )
        usual = "shapley" if self.game == "subset" else f"shapley_{self.game}"
        object.__setattr__(
            self, "name", self.name or ("shapley_ordered" if self.ordered else usual)
        )

    def rule(self) -> _core.Rule:
        """The model as the kernels take it."""
        seed = _whole("seed", self.seed) % 2**64
        return _core.Rule.shapley(str(self.game), _whole("samples", self.samples), seed)


@dataclass(frozen=True)
class Counterfactual:
    """By how much less a path converts without the touch, among the paths that were seen.

    A touch's share is `max(rate(path) - rate(path without it), 0)`, normalised; all goes to the
    last touch where no touch makes a difference. A path that nobody took converts never.
    """

    _: KW_ONLY
    name: str = "counterfactual"

    def rule(self) -> _core.Rule:
        """The model as the kernels take it."""
        return _core.Rule.counterfactual()


def _whole(parameter: str, number: int) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise ValueError(f"{parameter} must be a whole number, got `{number!r}`\nhint: e.g. 1")
    return number


def _names(parameter: str, names: Iterable[str]) -> frozenset[str]:
    if isinstance(names, str):
        raise TypeError(f"{parameter} must be a set, got `{names!r}`\nhint: write {{{names!r}}}")
    return frozenset(names)


def attribute(journeys: Journeys, model: Model) -> Table:
    """Share each conversion's credit among its touches.

    Args:
        journeys: From `ug.journeys` or `Journeys.from_paths`.
        model: The rule, e.g. `TimeDecay(half_life="3d")`.

    Returns:
        One row per touch: `conversion_id`, `touch_index`, `channel`, `credit`, and where the
        journeys have them `value` and `currency`; conversions in input order, then touch order.
        A conversion without touches is one row of channel `(unattributed)` with credit 1.

    >>> import datetime as dt
    >>> import pyarrow as pa
    >>> import unmogrowp as ug
    >>> table = pa.table({
    ...     "user_id": [7, 7, 7],
    ...     "timestamp": pa.array([dt.datetime(2026, 1, n) for n in (1, 2, 3)]),
    ...     "channel": ["ads", "mail", None],
    ...     "is_conversion": [False, False, True],
    ... })
    >>> attribute(ug.journeys(table), LastTouch()).column("credit").to_pylist()
    [0.0, 1.0]
    """
    return Table(_core.attribute(_checked(journeys).core, _checked_model(model).rule()))


def compare(
    journeys: Journeys,
    models: Iterable[Model],
    *,
    intervals: float | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> Comparison:
    """Set models side by side.

    Args:
        journeys: From `ug.journeys` or `Journeys.from_paths`.
        models: Any number of models; `name=` tells two of a kind apart.
        intervals: How sure to be, e.g. `0.95`: adds the interval in which that share of the
            resamples of a bootstrap over people lies (percentiles, Efron 1979). Each person stands
            in a resample a Poisson(1) number of times (Chamandy et al. 2012), so that how many
            people there are varies as well, as it would in another month. People who never
            converted, and aggregated paths, count journey by journey.
        resamples: How many, from 2 to 10,000.
        seed: The same seed gives the same intervals, on any number of threads.

    Returns:
        One row per channel in ascending order, the null channel and `(unattributed)` last:
        `channel`, then of each model `<name>_conversions`, with intervals
        `<name>_conversions_low` and `<name>_conversions_high`, of a model that samples
        `<name>_conversions_standard_error`, and, where there is a value, `<name>_value`. Journeys
        with a currency have a column `currency` after `channel` and a row for each channel and
        each currency among the conversions. `.plot()` draws it.

    >>> import pyarrow as pa
    >>> import unmogrowp as ug
    >>> paths = pa.table({"path": ["a > b > c"], "conversions": [10]})
    >>> shown = compare(ug.Journeys.from_paths(paths), [FirstTouch(), PositionBased()])
    >>> shown.column("channel").to_pylist()
    ['a', 'b', 'c', '(unattributed)']
    >>> [round(credit, 9) for credit in shown.column("position_based_conversions").to_pylist()]
    [4.0, 2.0, 4.0, 0.0]
    >>> paths = pa.table({"path": ["a", "b"], "conversions": [10_000, 100]})
    >>> shown = compare(ug.Journeys.from_paths(paths), [Linear()], intervals=0.95)
    >>> low, high = (shown.column(f"linear_conversions_{end}") for end in ("low", "high"))
    >>> 9_700 < low.to_pylist()[0] < 9_900 and 10_100 < high.to_pylist()[0] < 10_300
    True
    """
    if isinstance(models, Iterable):
        listed = [_checked_model(model) for model in models]
    else:
        raise TypeError(f"models must be a list, got `{models!r}`\nhint: write [{models!r}]")
    rules = [(model.name, model.rule()) for model in listed]
    bootstrap = None
    if intervals is not None:
        count = _whole("resamples", resamples)
        bootstrap = (float(intervals), count, _whole("seed", seed) % 2**64)
    made = _core.compare(_checked(journeys).core, rules, bootstrap=bootstrap)
    return Comparison(made, [model.name for model in listed])


class Effects(Table):
    """Removal effects by channel, and the probability that a path converts at all."""

    def __init__(self, batches: _core.Batches, p_conversion: float) -> None:
        super().__init__(batches)
        self._p_conversion = p_conversion

    @property
    def p_conversion(self) -> float:
        """Conversions over journeys with touches, converting or not."""
        return self._p_conversion

    def plot(self, *, top: int = 15, ax: "Axes | None" = None) -> "Axes":
        """Bars by channel, the largest effect first.

        Args:
            top: How many channels; effects do not add up, so that the rest is left out.
            ax: Matplotlib axes to draw on, else a new figure is made.

        Returns:
            The axes, to change what you like.

        Raises:
            MissingExtra: Matplotlib is not installed.
        """
        columns = (self.column(name).to_pylist() for name in ("channel", "removal_effect"))
        rows = cast("list[tuple[str | None, float]]", list(zip(*columns, strict=True)))
        rows.sort(key=lambda row: (-row[1], row[0] is None, row[0]))
        names, effects = [name for name, _ in rows[:top]], [effect for _, effect in rows[:top]]
        left_out = f" (of {len(rows)})" if len(rows) > top else ""
        title = f"Share of conversions lost without the channel{left_out}"
        series = Series("removal_effect", effects, [None] * len(names))
        return bars(names, [series], title=title, ax=ax)


def removal_effects(journeys: Journeys, model: Markov) -> Effects:
    """What the removal of each channel costs.

    Args:
        journeys: From `ug.journeys` or `Journeys.from_paths`.
        model: The chain and the convention of removal.

    Returns:
        One row per channel in ascending order, the null channel last: `channel`,
        `removal_effect`, the share of the probability to convert that is lost without it. That
        probability is `.p_conversion`.

    >>> import pyarrow as pa
    >>> import unmogrowp as ug
    >>> table = pa.table({"path": ["a > b", "b"], "conversions": [1, 1], "nulls": [0, 2]})
    >>> effects = removal_effects(ug.Journeys.from_paths(table), Markov())
    >>> effects.p_conversion
    0.5
    >>> [round(effect, 9) for effect in effects.column("removal_effect").to_pylist()]
    [0.25, 1.0]
    """
    return Effects(*_core.removal_effects(_checked(journeys).core, _checked_model(model).rule()))


class Orders(Table):
    """How well a chain of each order foretells journeys, and the order that does so best."""

    @property
    def best(self) -> Markov:
        """The chain whose log-likelihood is highest, of equals the shorter one."""
        columns = (self.column(name).to_pylist() for name in ("log_likelihood", "order"))
        scores = zip(*columns, strict=True)
        return Markov(max(scores, key=lambda row: (row[0], -row[1]))[1])


def markov_orders(
    journeys: Journeys, orders: Iterable[int] = (1, 2, 3, 4), *, folds: int = 5, seed: int = 0
) -> Orders:
    """Choose the order of a chain by cross-validation.

    A longer memory fits the journeys it was counted from ever better, and foretells others worse
    once it remembers accidents. So each fold of the journeys is foretold by a chain counted from
    the others. Contexts are mixed with the next shorter ones (MacKay and Peto 1995), so that
    nothing is impossible only because it was not seen.

    Args:
        journeys: From `ug.journeys` or `Journeys.from_paths`, counted in whole numbers.
        orders: Which to try, 1 to 8.
        folds: How many, from 2 to 20.
        seed: The same seed deals journeys the same way.

    Returns:
        One row per order: `order`, `log_likelihood`, the mean over journeys of the natural
        logarithm of the probability of what they did, and its `standard_error`. `.best` is the
        chain to use.

    >>> import pyarrow as pa
    >>> import unmogrowp as ug
    >>> paths = pa.table({"path": ["a > b > c", "d > b > e"], "conversions": [500, 500]})
    >>> js = ug.Journeys.from_paths(paths)
    >>> markov_orders(js, (1, 2)).best.order
    2
    """
    listed = [_whole("orders", order) for order in orders]
    if not listed:
        raise ValueError("orders must not be empty\nhint: e.g. orders=(1, 2, 3)")
    counts = _whole("folds", folds), _whole("seed", seed) % 2**64
    return Orders(_core.markov_orders(_checked(journeys).core, listed, *counts))


def _checked(journeys: Journeys) -> Journeys:
    if not isinstance(journeys, Journeys):
        raise TypeError(
            f"expected journeys, got `{type(journeys).__name__}`\n"
            "hint: make them with `ug.journeys(table)`"
        )
    return journeys


def _checked_model(model: Model) -> Model:
    if isinstance(model, type):
        raise TypeError(
            f"expected a model, got the class `{model.__name__}`\nhint: write {model.__name__}()"
        )
    if not hasattr(model, "rule"):
        raise TypeError(
            f"expected a model, got `{model!r}`\nhint: pass e.g. ug.LastTouch() or ug.Linear()"
        )
    return model


MODELS: dict[str, type[Model]] = {
    "first_touch": FirstTouch,
    "last_touch": LastTouch,
    "first_non_direct": FirstNonDirect,
    "last_non_direct": LastNonDirect,
    "linear": Linear,
    "position_based": PositionBased,
    "j_shape": JShape,
    "inverse_j": InverseJ,
    "w_shape": WShape,
    "time_decay": TimeDecay,
    "markov": Markov,
    "shapley": Shapley,
    "counterfactual": Counterfactual,
}
VARIANTS: dict[str, Model] = {
    **{f"markov_{order}": Markov(order) for order in (2, 3, 4)},
    "shapley_conversion_rate": Shapley("conversion_rate"),
    "shapley_ordered": Shapley(ordered=True),
}


def model_named(name: str) -> Model:
    """A model by its column name, with default parameters.

    Raises:
        ValueError: There is none of that name.

    >>> model_named("linear")
    Linear(name='linear')
    """
    if name in VARIANTS:
        return VARIANTS[name]
    if name not in MODELS:
        known = ", ".join([*MODELS, *VARIANTS])
        raise ValueError(f"unknown model `{name}`\nhint: there are {known}")
    return MODELS[name]()
