"""Journeys in, plain sentences out: how far their credit can be trusted, and what weakens it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from unmogrowp import _core
from unmogrowp.attribution import FirstTouch, LastTouch, Linear, Markov, Model, compare
from unmogrowp.comparison import UNATTRIBUTED
from unmogrowp.journeys import Journeys
from unmogrowp.table import Table

# From here on a share is worth a sentence.
_MUCH = 0.2
# Below so many conversions, the interval of a channel is wider than a third of its credit.
_FEW = 30
_SHOWN_MAX = 5


@dataclass(frozen=True, slots=True, repr=False)
class Quality:
    """What `ug.quality` found; printing it shows the findings.

    Args:
        conversions: How many there are.
        unattributed: How many of them have no touch.
        never_touched: Of those, by people who were never seen with a touch: organic, or the ids
            that would link them were lost.
        touched_later: By people whose touches all came after.
        touched_too_early: By people whose touches before lie outside their lookback.
        touches_consumed: By people whose touches an earlier conversion of that name consumed
            (`policy="partition"`).
        held_by_old_touches: Conversions that half the lookback would leave without a touch.
        unconverted: Journeys with touches that ended without a conversion.
        paths: Distinct paths that converted.
        seen_once: Conversions whose path converted only once.
        rare_channels: Channels on the paths of fewer than 30 conversions.
        disagreement: By pair of models the share of credit that moves from one to the other: half
            the sum of differences between their shares (total variation distance).
        findings: One sentence each, the weightiest first.
    """

    conversions: float
    unattributed: float
    never_touched: float
    touched_later: float
    touched_too_early: float
    touches_consumed: float
    held_by_old_touches: float
    unconverted: float
    paths: int
    seen_once: float
    rare_channels: tuple[str | None, ...]
    disagreement: dict[tuple[str, str], float]
    findings: tuple[str, ...] = ()

    @property
    def attributed(self) -> float:
        """Conversions with a touch."""
        return self.conversions - self.unattributed

    def __repr__(self) -> str:
        return "\n".join([f"Quality of {self.conversions:,.0f} conversions", *self._lines()])

    def _lines(self) -> list[str]:
        return [f"- {finding}" for finding in self.findings] or ["- nothing that weakens credit"]


def quality(
    journeys: Journeys,
    models: Sequence[Model] = (FirstTouch(), LastTouch(), Linear(), Markov()),
) -> Quality:
    """Say how far credit can be trusted.

    Args:
        journeys: From `ug.journeys` or `Journeys.from_paths`; aggregated paths have no times, so
            that nothing is known of their lookbacks.
        models: Which to compare; what all of them say alike does not depend on the choice.

    Returns:
        Counts of conversions, and a sentence for each of them that matters.

    >>> import pyarrow as pa
    >>> paths = pa.table({"path": ["a > b", "a > c"], "conversions": [60, 40]})
    >>> quality(Journeys.from_paths(paths), [FirstTouch(), LastTouch()])
    Quality of 100 conversions
    - The models disagree: 100 % of credit moves between first_touch and last_touch.
    """
    if not isinstance(journeys, Journeys):
        raise TypeError(f"expected journeys, got `{type(journeys).__name__}`\nhint: ug.journeys(…)")
    conversions, (never, later, early, consumed), stale = _core.quality(journeys.core)
    paths = _Paths.of(journeys)
    found = Quality(
        conversions=conversions,
        unattributed=never + later + early + consumed,
        never_touched=never,
        touched_later=later,
        touched_too_early=early,
        touches_consumed=consumed,
        held_by_old_touches=stale,
        unconverted=paths.unconverted,
        paths=paths.count,
        seen_once=paths.seen_once,
        rare_channels=paths.rare_channels,
        disagreement=_disagreement(compare(journeys, models), [model.name for model in models]),
    )
    weighed = sorted(_sentences(found), key=lambda pair: -pair[0])
    return replace(found, findings=tuple(sentence for _, sentence in weighed))


@dataclass(frozen=True, slots=True)
class _Paths:
    count: int
    unconverted: float
    seen_once: float
    rare_channels: tuple[str | None, ...]

    @classmethod
    def of(cls, journeys: Journeys) -> "_Paths":
        table = journeys.to_paths()
        columns = (table.column(name).to_pylist() for name in ("path", "conversions", "nulls"))
        on_path: dict[str | None, float] = {}
        count, seen_once, unconverted = 0, 0.0, 0.0
        for path, converted, nulls in zip(*columns, strict=True):
            count += converted > 0
            seen_once += converted if converted <= 1 else 0
            unconverted += nulls
            for channel in set(path):
                on_path[channel] = on_path.get(channel, 0.0) + converted
        rare = sorted((c for c, n in on_path.items() if n < _FEW), key=lambda c: (c is None, c))
        return cls(count, unconverted, seen_once, tuple(rare))


def _disagreement(table: Table, names: list[str]) -> dict[tuple[str, str], float]:
    shares: dict[str, dict[str | None, float]] = {}
    for name in names:
        own = shares.setdefault(name, {})
        columns = (table.column(c).to_pylist() for c in ("channel", f"{name}_conversions"))
        for channel, share in zip(*columns, strict=True):
            # A channel has a row for each currency; the last rows are of no channel.
            if channel != UNATTRIBUTED:
                own[channel] = own.get(channel, 0.0) + share
    totals = {name: sum(own.values()) or 1.0 for name, own in shares.items()}
    return {
        (one, other): sum(
            abs(share / totals[one] - shares[other][channel] / totals[other])
            for channel, share in shares[one].items()
        )
        / 2
        for one, other in combinations(names, 2)
    }


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _sentences(found: Quality) -> list[tuple[float, str]]:
    """What is worth saying, with its weight: the share it concerns."""
    said: list[tuple[float, str]] = []

    def say(count: float, of: float, sentence: str) -> None:
        share = count / of if of else 0.0
        if share >= _MUCH:
            said.append((share, sentence.format(_percent(share))))

    everything, attributed = found.conversions, found.attributed
    journeys = attributed + found.unconverted
    why = ": they are organic."
    if journeys and found.unconverted >= _MUCH * journeys:
        lost = _percent(found.unconverted / journeys)
        why = f", and {lost} of journeys end without one: ids may be lost in between."
    say(
        found.never_touched,
        everything,
        f"{{}} of conversions are by people never seen with a touch{why}",
    )
    say(
        found.touched_too_early,
        everything,
        "{} of conversions come after the lookback of all their touches: it may be too short.",
    )
    say(
        found.touched_later,
        everything,
        "{} of conversions are by people whose touches all came later: are clocks right?",
    )
    say(
        found.touches_consumed,
        everything,
        '{} of conversions find their touches consumed by an earlier one: policy="overlap"'
        " would credit them.",
    )
    say(
        found.held_by_old_touches,
        attributed,
        "{} of attributed conversions would lose all touches if lookbacks were half as long.",
    )
    say(
        found.seen_once,
        attributed,
        "{} of attributed conversions are the only one of their path: models of whole paths have"
        " little to go by.",
    )
    if found.disagreement:
        (one, other), moved = max(found.disagreement.items(), key=lambda pair: pair[1])
        say(moved, 1.0, f"The models disagree: {{}} of credit moves between {one} and {other}.")
    if found.rare_channels:
        names = ", ".join(str(channel) for channel in found.rare_channels[:_SHOWN_MAX])
        more = len(found.rare_channels) - _SHOWN_MAX
        names += f" and {more} more" if more > 0 else ""
        said.append((0.0, f"Fewer than {_FEW} conversions went through {names}: see intervals=."))
    return said
