"""Journeys and models in, credit out."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import KW_ONLY, dataclass
from typing import Protocol

from unmogrowp import _core
from unmogrowp.journeys import Duration, Journeys, microseconds
from unmogrowp.table import Table


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


def compare(journeys: Journeys, models: Iterable[Model]) -> Table:
    """Set models side by side.

    Args:
        journeys: From `ug.journeys` or `Journeys.from_paths`.
        models: Any number of models; `name=` tells two of a kind apart.

    Returns:
        One row per channel in ascending order, the null channel and `(unattributed)` last:
        `channel`, then of each model `<name>_conversions` and, where there is a value,
        `<name>_value`. Journeys with a currency have a column `currency` after `channel` and a row
        for each channel and each currency among the conversions.

    >>> import pyarrow as pa
    >>> import unmogrowp as ug
    >>> paths = pa.table({"path": ["a > b > c"], "conversions": [10]})
    >>> shown = compare(ug.Journeys.from_paths(paths), [FirstTouch(), PositionBased()])
    >>> shown.column("channel").to_pylist()
    ['a', 'b', 'c', '(unattributed)']
    >>> [round(credit, 9) for credit in shown.column("position_based_conversions").to_pylist()]
    [4.0, 2.0, 4.0, 0.0]
    """
    if isinstance(models, Iterable):
        listed = [_checked_model(model) for model in models]
    else:
        raise TypeError(f"models must be a list, got `{models!r}`\nhint: write [{models!r}]")
    rules = [(model.name, model.rule()) for model in listed]
    return Table(_core.compare(_checked(journeys).core, rules))


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
}


def model_named(name: str) -> Model:
    """A model by its column name, with default parameters.

    Raises:
        ValueError: There is none of that name.

    >>> model_named("linear")
    Linear(name='linear')
    """
    if name not in MODELS:
        raise ValueError(f"unknown model `{name}`\nhint: there are {', '.join(MODELS)}")
    return MODELS[name]()
