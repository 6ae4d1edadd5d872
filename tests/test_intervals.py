"""Intervals of credit: columns, determinism, and a plain bootstrap by copies beside them."""

import datetime as dt
import math
import random

import pytest

import unmogrowp as ug
from unmogrowp import _core

pa = pytest.importorskip("pyarrow")

CHANNELS = ["ads", "mail", "search"]
MODELS = [ug.Linear(), ug.LastTouch(), ug.Markov(), ug.Shapley("conversion_rate")]
PEOPLE, RESAMPLES = 400, 300
Row = tuple[int, int, str | None, bool]


def people(seed: int = 3) -> list[list[Row]]:
    """Some touches each, and for three in five a conversion."""
    dice = random.Random(seed)
    found = []
    for who in range(PEOPLE):
        touches = sorted(dice.sample(range(100), dice.randint(1, 4)))
        weights = (5, 3, 1)
        rows: list[Row] = [(who, at, dice.choices(CHANNELS, weights)[0], False) for at in touches]
        if dice.random() < 0.6:
            rows.append((who, 200, None, True))
        found.append(rows)
    return found


def journeys(rows: list[Row]) -> ug.Journeys:
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    times = [start + dt.timedelta(minutes=row[1]) for row in rows]
    return ug.journeys(
        pa.table(
            {
                "user_id": [row[0] for row in rows],
                "timestamp": pa.array(times),
                "channel": [row[2] for row in rows],
                "is_conversion": [row[3] for row in rows],
            }
        )
    )


def credit(table: ug.Table, model: str, end: str = "") -> dict[str, float]:
    channels = table.column("channel").to_pylist()
    return dict(zip(channels, table.column(f"{model}_conversions{end}").to_pylist(), strict=True))


def by_copies() -> dict[tuple[str, str], list[float]]:
    """Credit of every resample, each person copied a Poisson(1) number of times."""
    dice, everybody = random.Random(8), people()
    weights = [math.exp(-1) / math.factorial(count) for count in range(9)]
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(RESAMPLES):
        counts = dice.choices(range(9), weights, k=PEOPLE)
        drawn = [own for own, count in zip(everybody, counts, strict=True) for _ in range(count)]
        rows = [(number, *row[1:]) for number, own in enumerate(drawn) for row in own]
        table = ug.compare(journeys(rows), MODELS)
        for model in MODELS:
            for channel, sum_ in credit(table, model.name).items():
                found.setdefault((model.name, channel), []).append(sum_)
    return found


def test_intervals_are_those_of_a_bootstrap_by_copies() -> None:
    rows = [row for own in people() for row in own]
    table = ug.compare(journeys(rows), MODELS, intervals=0.9, resamples=2_000, seed=1)
    for (model, channel), sums in by_copies().items():
        if channel == "(unattributed)":
            continue
        mean = sum(sums) / len(sums)
        deviation = (sum((one - mean) ** 2 for one in sums) / len(sums)) ** 0.5
        low, high = (credit(table, model, end)[channel] for end in ("_low", "_high"))
        # A normal has nine tenths within 1.645 deviations; quantiles of 300 copies are no better.
        assert (high - low) / (2 * 1.645 * deviation) == pytest.approx(1.0, abs=0.2), model
        assert low < credit(table, model)[channel] < high


def test_intervals_stand_beside_each_models_conversions() -> None:
    rows = [row for own in people() for row in own]
    table = ug.compare(journeys(rows), MODELS[:2], intervals=0.5, resamples=50)
    assert table.to_pyarrow().column_names == [
        "channel",
        "linear_conversions",
        "linear_conversions_low",
        "linear_conversions_high",
        "last_touch_conversions",
        "last_touch_conversions_low",
        "last_touch_conversions_high",
    ]
    wider = ug.compare(journeys(rows), MODELS[:2], intervals=0.99, resamples=50)
    for channel in CHANNELS:
        assert credit(wider, "linear", "_low")[channel] < credit(table, "linear", "_low")[channel]
        assert credit(wider, "linear", "_high")[channel] > credit(table, "linear", "_high")[channel]
    plain = ug.compare(journeys(rows), MODELS[:2]).to_pyarrow()
    assert plain.equals(table.to_pyarrow().select(plain.column_names))


def test_the_same_seed_says_the_same() -> None:
    rows = [row for own in people() for row in own]
    one, same, other = (
        ug.compare(journeys(rows), MODELS, intervals=0.9, resamples=40, seed=seed).to_pyarrow()
        for seed in (7, 7, 8)
    )
    assert one.equals(same)
    assert not one.equals(other)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"intervals": 95}, "share between 0 and 1"),
        ({"intervals": 0.0}, "share between 0 and 1"),
        ({"intervals": 1.0}, "share between 0 and 1"),
        ({"intervals": float("nan")}, "share between 0 and 1"),
        ({"intervals": 0.9, "resamples": 1}, "resamples from 2"),
        ({"intervals": 0.9, "resamples": 10_001}, "resamples from 2"),
        ({"intervals": 0.9, "resamples": 1.5}, "resamples must be a whole number"),
        ({"intervals": 0.9, "seed": -1}, "seed must be a whole number"),
    ],
)
def test_what_cannot_be_is_told(given: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ug.compare(journeys([(1, 1, "ads", False), (1, 2, None, True)]), MODELS, **given)


def test_journeys_without_anything_have_intervals_of_nothing() -> None:
    table = ug.compare(journeys([]), MODELS, intervals=0.9)
    assert set(credit(table, "linear", "_high").values()) == {0.0}


def test_stored_shares_have_the_intervals_of_their_journeys() -> None:
    everybody = people()
    js = journeys([row for own in everybody for row in own])
    credited = ug.attribute(js, ug.Linear()).to_pyarrow().to_pylist()
    lost = "(unattributed)"
    shares = pa.table(
        {
            # Nobody converts twice, so a conversion's number is as good as a name.
            "person": pa.array(
                [(row["conversion_id"] + 1).to_bytes(16) for row in credited], pa.binary(16)
            ),
            "key": [None if row["channel"] == lost else row["channel"] for row in credited],
            "currency": pa.array([None] * len(credited), pa.string()),
            "share": [row["credit"] for row in credited],
        }
    )
    found = ug.Table(_core.spread(ug.Table.read(shares).batches, (0.9, RESAMPLES, 4)))
    compared = ug.compare(js, [ug.Linear()], intervals=0.9, resamples=RESAMPLES, seed=4)
    for end in ("low", "high"):
        ends = dict(
            zip(found.column("key").to_pylist(), found.column(end).to_pylist(), strict=True)
        )
        expected = credit(compared, "linear", f"_{end}")
        assert {k or lost: v for k, v in ends.items()} == pytest.approx(
            {name: value for name, value in expected.items() if value}
        )


def test_those_of_nobody_are_drawn_one_by_one() -> None:
    def width(person: bytes) -> float:
        shares = {"person": pa.array([person] * 400, pa.binary(16)), "share": [1.0] * 400}
        labels = {"key": ["a"] * 400, "currency": ["EUR"] * 400}
        batches = ug.Table.read(pa.table({**shares, **labels})).batches
        found = ug.Table(_core.spread(batches, (0.9, RESAMPLES, 1)))
        (low,), (high,) = (found.column(end).to_pylist() for end in ("low", "high"))
        return float(high - low)

    # One person who comes two or three times as often is 400 conversions more each time.
    assert width(bytes(15) + b"1") >= 800
    assert 40 < width(bytes(16)) < 100
    with pytest.raises(ValueError, match="resamples from 2"):
        _core.spread(ug.Table.read(pa.table({"person": [b""]})).batches, (0.9, 1, 1))


def test_each_currency_has_intervals_of_its_own() -> None:
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    # Dollars come by way of ads, euros by mail, and of both some by way of nothing.
    ways = [("ads", "USD", 90), ("mail", "EUR", 40), (None, "USD", 30), (None, "EUR", 60)]
    rows, who = [], 0
    for channel, currency, count in ways:
        for _ in range(count):
            who += 1
            if channel is not None:
                rows.append((who, start, channel, False, None, 0.0))
            rows.append((who, start + dt.timedelta(hours=1), None, True, currency, 2.0))
    names = ("user_id", "timestamp", "channel", "is_conversion", "currency", "value")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    columns["currency"] = pa.array(columns["currency"], pa.string())
    js = ug.journeys(pa.table(columns), currency="currency", value="value")
    table = ug.compare(js, MODELS, intervals=0.95, resamples=400, seed=2).to_pyarrow().to_pylist()
    for model in MODELS:
        found = {}
        for row in table:
            ends = [row[f"{model.name}_conversions{end}"] for end in ("", "_low", "_high")]
            found[row["channel"], row["currency"]] = ends
        is_rule = model in MODELS[:2]
        for channel, currency, count in ways:
            point, low, high = found.pop((channel or "(unattributed)", currency))
            if channel is not None and not is_rule:
                # By the channel's share of all, whatever the currency.
                assert 0.4 * point < low < point < high < 1.6 * point, model.name
                continue
            assert point == pytest.approx(count)
            # Poisson of each person: a deviation is the root of the count.
            assert low == pytest.approx(count - 1.96 * count**0.5, abs=0.6 * count**0.5)
            assert high == pytest.approx(count + 1.96 * count**0.5, abs=0.6 * count**0.5)
        assert all(ends == [0.0] * 3 for ends in found.values()) == is_rule, model.name


def test_counts_of_paths_are_people_even_where_nobody_left() -> None:
    paths = pa.table({"path": ["ads", "mail"], "conversions": [400, 100]})
    table = ug.compare(ug.Journeys.from_paths(paths), MODELS, intervals=0.95, resamples=400)
    for model in MODELS[:3]:
        for channel, count in (("ads", 400), ("mail", 100)):
            low, high = (credit(table, model.name, end)[channel] for end in ("_low", "_high"))
            assert high - low == pytest.approx(2 * 1.96 * count**0.5, rel=0.25), model.name
