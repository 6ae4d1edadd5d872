"""Models over a million aggregated paths, beside NumPy on the same arrays.

NumPy has the paths as it likes them best: channel numbers end to end, and where each path ends.
Rules are gated by what a vectorised NumPy needs for the same credit; models of whole paths by what
NumPy needs to count who followed whom, which is where they begin.
"""

import os

import numpy as np
import pyarrow as pa
import pytest

import unmogrowp as ug
from pairs import cpu_seconds, times_faster

JOURNEYS = int(os.environ.get("UNMOGROWP_BENCH_PATHS", "1000000"))
CHANNELS, MEAN, CONVERTING = 16, 5.92, 0.155
RULES = [ug.FirstTouch(), ug.LastTouch(), ug.Linear(), ug.PositionBased(), ug.JShape()]


class Paths:
    """Paths of random channels, as both sides take them."""

    def __init__(self, journeys: int, channels: int) -> None:
        rng = np.random.default_rng(1)
        lengths = np.minimum(rng.geometric(1 / MEAN, journeys), 60)
        weights = 1 / np.arange(1, channels + 1)
        self.ends = np.cumsum(lengths)
        self.starts = self.ends - lengths
        self.lengths = lengths
        self.channels = channels
        self.touches = rng.choice(channels, int(lengths.sum()), p=weights / weights.sum())
        self.converted = rng.random(journeys) < CONVERTING

    def journeys(self) -> ug.Journeys:
        names = pa.array([f"channel {number:04}" for number in range(self.channels)])
        offsets = pa.array(np.concatenate([[0], self.ends]).astype(np.int32))
        paths = pa.ListArray.from_arrays(offsets, names.take(pa.array(self.touches)))
        counts = {"conversions": self.converted.astype(int), "nulls": (~self.converted).astype(int)}
        return ug.Journeys.from_paths(pa.table({"path": paths, **counts}))

    def by_numpy(self) -> list[np.ndarray]:
        """First, last, linear, U and J."""
        won = np.flatnonzero(self.converted)
        first, last = self.touches[self.starts[won]], self.touches[self.ends[won] - 1]
        lengths = self.lengths[won]
        inside = np.repeat(self.converted, self.lengths)
        touches, each = self.touches[inside], np.repeat(lengths, lengths)

        def summed(touches: np.ndarray, shares: np.ndarray | None = None) -> np.ndarray:
            return np.bincount(touches, shares, self.channels)

        made = [summed(first), summed(last), summed(touches, 1 / each)]
        for one, other in ((0.4, 0.4), (0.2, 0.6)):
            both = one + other
            rest = (1 - both) / np.maximum(each - 2, 1)
            rest[each <= 2] = 0
            ends = [
                np.select([lengths == 1, lengths == 2], [0.5, share / both], share)
                for share in (one, other)
            ]
            at_ends = np.where(lengths > 2, (1 - both) / np.maximum(lengths - 2, 1), 0)
            made.append(
                summed(touches, rest)
                + summed(first, ends[0] - at_ends)
                + summed(last, ends[1] - at_ends)
            )
        return made

    def counted(self) -> np.ndarray:
        """How often which channel came after which."""
        is_first = np.zeros(len(self.touches) + 1, bool)
        is_first[self.starts] = True
        before, after = self.touches[:-1], self.touches[1:]
        moves = (before * self.channels + after)[~is_first[1:-1]]
        return np.bincount(moves, minlength=self.channels**2)


@pytest.fixture(scope="module")
def paths() -> Paths:
    return Paths(JOURNEYS, CHANNELS)


@pytest.fixture(scope="module")
def journeys(paths: Paths) -> ug.Journeys:
    return paths.journeys()


def said(name: str, ratio: float, floor: float, spread: float, seconds: float) -> None:
    print(f"\n{name}: {ratio:.2f} x NumPy (floor {floor}), spread {spread:.0%}, {seconds:.4f} s")


def test_rules_beside_numpy(paths: Paths, journeys: ug.Journeys) -> None:
    shown = ug.compare(journeys, RULES).to_pyarrow()
    for model, expected in zip(RULES, paths.by_numpy(), strict=True):
        credit = shown[f"{model.name}_conversions"].to_pylist()[:-1]
        assert credit == pytest.approx(expected.tolist(), rel=1e-9)
    ratio, spread = times_faster(lambda: ug.compare(journeys, RULES), paths.by_numpy)
    seconds = min(cpu_seconds(lambda: ug.compare(journeys, RULES)) for _ in range(5))
    said(f"rules, {len(paths.touches) / seconds / 1e6:.0f} Mtouch/s", ratio, 2.0, spread, seconds)
    assert ratio >= 2.0


@pytest.mark.parametrize(
    ("model", "floor"),
    [
        (ug.Markov(), 1.3),
        (ug.Markov(2), 0.3),
        (ug.Shapley("conversion_rate"), 1.2),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_whole_paths_beside_counting(
    paths: Paths, journeys: ug.Journeys, model: ug.attribution.Model, floor: float
) -> None:
    ratio, spread = times_faster(lambda: ug.compare(journeys, [model]), paths.counted)
    seconds = min(cpu_seconds(lambda: ug.compare(journeys, [model])) for _ in range(5))
    said(model.name, ratio, floor, spread, seconds)
    assert ratio >= floor


def test_all_coalitions_of_twenty_channels() -> None:
    """A million coalitions, beside one pass of NumPy over as many sums for each channel."""
    journeys, sums = Paths(JOURNEYS, 20).journeys(), np.ones(1 << 20)
    model = ug.Shapley("conversion_rate")
    ratio, spread = times_faster(
        lambda: ug.compare(journeys, [model]), lambda: [sums + sums for _ in range(3 * 20)]
    )
    seconds = min(cpu_seconds(lambda: ug.compare(journeys, [model])) for _ in range(5))
    said("20 channels", ratio, 0.4, spread, seconds)
    assert ratio >= 0.4


def test_two_thousand_channels_beside_one_inverse() -> None:
    """A chain of 2,000 channels beside the inverse of a matrix of its size."""
    journeys = Paths(40_000, 2_000).journeys()
    matrix = np.eye(2_001) - np.random.default_rng(1).dirichlet(np.ones(2_001), 2_001) * 0.8
    ratio, spread = times_faster(
        lambda: ug.compare(journeys, [ug.Markov()]), lambda: np.linalg.inv(matrix), pairs=5
    )
    seconds = min(cpu_seconds(lambda: ug.compare(journeys, [ug.Markov()])) for _ in range(3))
    print(f"\n2,000 channels: {ratio:.2f} x numpy.linalg.inv, spread {spread:.0%}, {seconds:.2f} s")
    assert ratio >= 0.2
