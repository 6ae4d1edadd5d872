"""Orders of a chain, chosen by how well they foretell journeys they have not seen."""

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

import unmogrowp as ug


def from_paths(paths, conversions, nulls):
    return ug.Journeys.from_paths(
        pa.table({"path": paths, "conversions": conversions, "nulls": nulls})
    )


def generated(order, count=20_000, seed=5):
    """Journeys of a source that remembers `order` touches."""
    rng = np.random.default_rng(seed)
    following = rng.dirichlet([0.3] * 4, size=4**order)
    paths, ends = [], []
    for _ in range(count):
        path, state = [], 0
        while not path or rng.random() < 0.8:
            step = rng.choice(4, p=following[state]) if path else rng.integers(4)
            path.append("abcd"[step])
            state = (state * 4 + step) % 4**order
        paths.append(path)
        ends.append(int(rng.random() < 0.3))
    return from_paths(paths, ends, [1 - end for end in ends])


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_memory_of_the_source_is_found(order):
    scores = ug.markov_orders(generated(order))
    assert scores.best == ug.Markov(order)
    assert scores.column("order").to_pylist() == [1, 2, 3, 4]
    assert all(error > 0 for error in scores.column("standard_error").to_pylist())


def moves(journeys, order):
    """Every step and end of some journeys, with the contexts before it from the shortest on."""
    for path, end in journeys:
        steps = [*path, end]
        for at, step in enumerate(steps):
            lengths = range(min(at, order) + 1)
            contexts = [("any", tuple(steps[at - length : at])) for length in lengths]
            yield [*contexts, *([("start", tuple(steps[:at]))] if at < order else [])], step


def log_likelihoods(folds, order, channels):
    """Of the journeys of each fold, (path, outcome), move by move."""
    totals = []
    for held, journeys in enumerate(folds):
        others = [journey for n, fold in enumerate(folds) if n != held for journey in fold]
        seen = Counter((c, step) for contexts, step in moves(others, order) for c in contexts)
        alone = Counter(c for contexts, _ in moves(others, order) for c in contexts)
        total = 0.0
        for contexts, step in moves(journeys, order):
            chance = 1 / (channels + 2)
            for context in contexts:
                chance = (seen[context, step] + chance) / (alone[context] + 1)
            total += math.log(chance)
        totals.append(total)
    return totals


@pytest.mark.parametrize("order", [1, 2, 3])
def test_scores_are_those_of_moves_foretold_one_by_one(order):
    # Counts that folds divide: each gets as many of every path.
    given = {("a", "b"): (4, 2), ("b",): (2, 6), ("a", "a", "b", "c"): (2, 0), ("c", "a"): (0, 4)}
    js = from_paths(list(map(list, given)), *zip(*given.values(), strict=True))
    fold = [
        (path, end)
        for path, counts in given.items()
        for end, count in zip(("converted", "null"), counts, strict=True)
        for _ in range(count // 2)
    ]
    expected = sum(log_likelihoods([fold, fold], order, channels=3)) / sum(map(sum, given.values()))
    scores = ug.markov_orders(js, [order], folds=2)
    assert scores.column("log_likelihood").to_pylist()[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("count", "sizes"), [(3, [2, 1]), (5, [2, 2, 1]), (7, [3, 2, 2])])
def test_the_standard_error_is_that_of_a_mean_over_folds(count, sizes):
    """By how far the sum of a fold is off what the mean lets expect of as many journeys."""
    folds = [[(("a", "b"), "converted")] * size for size in sizes]
    sums = log_likelihoods(folds, 2, channels=2)
    mean = sum(sums) / count
    squares = sum((own - mean * size) ** 2 for own, size in zip(sums, sizes, strict=True))
    expected = math.sqrt(squares * len(sizes) / (len(sizes) - 1)) / count
    scores = ug.markov_orders(from_paths([["a", "b"]], [count], [0]), [2], folds=len(sizes))
    assert scores.column("log_likelihood").to_pylist() == pytest.approx([mean])
    assert scores.column("standard_error").to_pylist() == pytest.approx([expected])
    assert expected > 0


def test_every_journey_is_in_one_fold():
    """A path seen once is foretold without itself: by nothing but even chances, if it is alone."""
    scores = ug.markov_orders(from_paths([["a"]], [1], [0]), [1], folds=2)
    # Of one channel, a conversion and an end without one.
    assert scores.column("log_likelihood").to_pylist()[0] == pytest.approx(2 * math.log(1 / 3))


def test_neither_threads_nor_the_order_of_rows_show(monkeypatch):
    paths = [["a", "b"], ["b"], ["a", "c", "b"], ["c"]]
    counts = [3, 5, 7, 2], [11, 2, 0, 9]
    turned = [list(reversed(column)) for column in (paths, *counts)]
    first = ug.markov_orders(from_paths(paths, *counts)).to_pyarrow().to_pydict()
    assert ug.markov_orders(from_paths(*turned)).to_pyarrow().to_pydict() == first
    monkeypatch.setenv("UNMOGROWP_THREADS", "1")
    assert ug.markov_orders(from_paths(paths, *counts)).to_pyarrow().to_pydict() == first
    other = ug.markov_orders(from_paths(paths, *counts), seed=1).to_pyarrow().to_pydict()
    assert other != first


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"orders": [0]}, "order must be from 1 to 8, got `0`"),
        ({"orders": [9]}, "order must be from 1 to 8, got `9`"),
        ({"orders": []}, "orders must not be empty"),
        ({"folds": 1}, "folds must be from 2 to 20, got `1`"),
    ],
)
def test_what_cannot_be_tried_is_refused(asked, said):
    with pytest.raises(ValueError, match=said):
        ug.markov_orders(from_paths([["a"]], [1], [1]), **asked)


def test_parts_of_journeys_cannot_be_dealt():
    with pytest.raises(ValueError, match="some counts are no whole numbers"):
        ug.markov_orders(from_paths([["a"]], [1.5], [1.0]))
