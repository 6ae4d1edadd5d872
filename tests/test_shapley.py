"""The game of conversion rates of more channels than coalitions can be counted for."""

import numpy as np
import pyarrow as pa
import pytest

import paths_reference as reference
import unmogrowp as ug

GAME = ug.Shapley("conversion_rate")
DUMMIES = {(f"dummy {number:02}",): (0, 0) for number in range(20)}
SMALL = {
    ("ads", "mail"): (7, 3),
    ("ads",): (1, 9),
    ("mail", "web", "ads"): (5, 1),
    ("web",): (2, 2),
    ("web", "mail"): (0, 4),
    ("push", "web"): (3, 3),
}


def from_paths(given):
    paths = list(given)
    counts = {
        name: [given[path][at] for path in paths]
        for at, name in enumerate(("conversions", "nulls"))
    }
    return ug.Journeys.from_paths(
        pa.table({"path": pa.array(paths, pa.list_(pa.string())), **counts})
    )


def credit_of(table, name="shapley_conversion_rate"):
    columns = (f"{name}_conversions", f"{name}_conversions_standard_error")
    values = (table.column(column).to_pylist() for column in columns)
    credit = dict(zip(table.column("channel").to_pylist(), zip(*values, strict=True), strict=True))
    assert credit.pop("(unattributed)") == (0.0, 0.0)
    return credit


def test_sampled_credit_lies_within_its_errors_of_the_exact():
    exact = reference.shapley_conversion_rate(SMALL)
    credit = credit_of(ug.compare(from_paths(SMALL | DUMMIES), [GAME]))
    for channel, expected in exact.items():
        earned, error = credit[channel]
        assert 0 < error < 0.5
        assert abs(earned - float(expected)) < 5 * error
    total = sum(converted for converted, _ in SMALL.values())
    assert sum(earned for earned, _ in credit.values()) == pytest.approx(total, rel=1e-9)


def test_who_adds_nothing_earns_nothing_for_certain():
    credit = credit_of(ug.compare(from_paths(SMALL | DUMMIES), [GAME]))
    assert all(credit[channel] == (0.0, 0.0) for (channel,) in DUMMIES)


def by_all_coalitions(sets, conversions, journeys, channels):
    """Shapley values by the transform over all subsets."""
    sums = [np.zeros(1 << channels) for _ in range(2)]
    for counts, total in zip((conversions, journeys), sums, strict=True):
        np.add.at(total, sets, counts)
        for channel in range(channels):
            halves = total.reshape(-1, 2, 1 << channel)
            halves[:, 1] += halves[:, 0]
    rates = np.divide(*sums, out=np.zeros(1 << channels), where=sums[1] > 0)
    sizes = np.bitwise_count(np.arange(1 << channels, dtype=np.uint32)).astype(int)
    weight = np.cumprod([1 / channels, *(k / (channels - k) for k in range(1, channels))])
    values = []
    for channel in range(channels):
        without, with_it = (rates.reshape(-1, 2, 1 << channel)[:, side] for side in (0, 1))
        size = sizes.reshape(-1, 2, 1 << channel)[:, 0]
        values.append((weight[size] * (with_it - without)).sum())
    return np.array(values)


def test_twenty_two_channels_earn_what_all_coalitions_say():
    rng, channels = np.random.default_rng(3), 22
    sets = [rng.choice(channels, rng.integers(1, 5), replace=False) for _ in range(400)]
    conversions, nulls = rng.integers(0, 9, 400), rng.integers(1, 30, 400)
    names = [[f"{channel:02}" for channel in path] for path in sets]
    table = pa.table({"path": names, "conversions": conversions, "nulls": nulls})
    made = ug.compare(ug.Journeys.from_paths(table), [ug.Shapley("conversion_rate", samples=4_000)])
    masks = [sum(1 << int(channel) for channel in path) for path in sets]
    values = by_all_coalitions(masks, conversions, conversions + nulls, channels)
    exact = values / values.sum() * conversions.sum()
    earned, errors = (np.array(column) for column in zip(*credit_of(made).values(), strict=True))
    away = (earned - exact) / errors
    assert np.abs(away).max() < 4.5
    # An error that is too large is as wrong as one that is too small.
    assert 0.5 < np.sqrt((away**2).mean()) < 1.7


def test_four_times_the_orders_halve_the_errors():
    js = from_paths(SMALL | DUMMIES)
    few, many = (
        sum(error for _, error in credit_of(ug.compare(js, [model])).values())
        for model in (
            ug.Shapley("conversion_rate", samples=500),
            ug.Shapley("conversion_rate", samples=2_000),
        )
    )
    assert 0.4 < many / few < 0.6


def test_neither_threads_nor_order_show_but_the_seed_does(monkeypatch):
    given = SMALL | DUMMIES
    turned = dict(reversed(list(given.items())))

    def made(paths, **chosen):
        table = ug.compare(from_paths(paths), [ug.Shapley("conversion_rate", **chosen)])
        return table.to_pyarrow().to_pydict()

    first = made(given)
    assert made(turned) == first
    assert made(given, seed=1) != first
    for threads in ("1", "3"):
        monkeypatch.setenv("UNMOGROWP_THREADS", threads)
        assert made(given) == first


def test_orders_are_drawn_evenly():
    """In a game that only the first to come wins, each of many wins as often as any other."""
    given = {(f"{number:02}",): (1, 0) for number in range(25)}
    credit = credit_of(
        ug.compare(from_paths(given), [ug.Shapley("conversion_rate", samples=5_000)])
    )
    for earned, error in credit.values():
        assert abs(earned - 1.0) < 4.5 * error


def test_two_that_convert_only_together_share_alike_in_every_order():
    """Read forwards, whoever comes later earns all of it, and read backwards the other."""
    credit = credit_of(ug.compare(from_paths({("ads", "mail"): (4, 0)} | DUMMIES), [GAME]))
    assert (credit["ads"], credit["mail"]) == ((2.0, 0.0), (2.0, 0.0))


def test_the_error_is_that_of_a_mean_of_orders():
    """Each of many earns half in the orders that it begins, half in those that it ends."""
    given = {(f"{number:02}",): (1, 0) for number in range(25)}
    credit = credit_of(ug.compare(from_paths(given), [ug.Shapley("conversion_rate", samples=50)]))
    for earned, error in credit.values():
        mean = earned / 25
        variance = mean / 2 - mean**2
        assert error == pytest.approx(25 * (variance / 49) ** 0.5)
    assert sum(earned > 0 for earned, _ in credit.values()) > 20


@pytest.mark.parametrize("samples", [0, 1, 1_000_001])
def test_too_few_or_too_many_orders_are_refused(samples):
    with pytest.raises(ValueError, match=f"samples must be from 2 to 1,000,000, got `{samples}`"):
        ug.Shapley("conversion_rate", samples=samples)
