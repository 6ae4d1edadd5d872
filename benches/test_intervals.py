"""Intervals of a million journeys by 200 resamples, beside crediting 200 times.

A bootstrap by copies costs at least one `ug.compare` for each resample.
"""

import time

import numpy as np
import pyarrow as pa
import pytest

import unmogrowp as ug
from unmogrowp.attribution import Model

JOURNEYS, TOUCHES_MAX, CHANNELS, RESAMPLES = 1_000_000, 4, 16, 200
DAY_US = 86_400_000_000
ROUNDS = 5
# What a bootstrap by copies would cost at the least, over what ours does; models of whole paths
# have to be made anew for each resample.
RULES_FLOOR, PATHS_FLOOR = 10.0, 5.0
RULES = [
    ug.FirstTouch(),
    ug.LastTouch(),
    ug.Linear(),
    ug.TimeDecay(),
    ug.PositionBased(),
]


@pytest.fixture(scope="module")
def journeys() -> ug.Journeys:
    rng = np.random.default_rng(1)
    touches = rng.integers(1, TOUCHES_MAX + 1, JOURNEYS)
    rows = int((touches + 1).sum())
    ends = np.cumsum(touches + 1) - 1
    is_conversion = np.zeros(rows, bool)
    is_conversion[ends] = True
    times = np.sort(rng.integers(0, 10 * DAY_US, rows))
    names = pa.array([f"channel {number:02}" for number in range(CHANNELS)])
    keys = pa.array(rng.integers(0, CHANNELS, rows, dtype=np.int32))
    users = np.repeat(np.arange(JOURNEYS, dtype=np.uint64), touches + 1)
    table = pa.table(
        {
            "user_id": users,
            "timestamp": pa.array(times, pa.timestamp("us")),
            "channel": pa.DictionaryArray.from_arrays(keys, names),
            "is_conversion": is_conversion,
        }
    )
    return ug.journeys(table)


@pytest.mark.parametrize(
    "models",
    [
        RULES,
        [ug.Markov()],
        [ug.Markov(2)],
        [ug.Shapley("conversion_rate")],
        [ug.Counterfactual()],
    ],
    ids=lambda models: "five rules" if len(models) > 1 else models[0].name,
)
def test_intervals_beside_crediting_again(
    journeys: ug.Journeys, models: list[Model], request: pytest.FixtureRequest
) -> None:
    ug.compare(journeys, models)
    ratios, seconds = [], []
    for _ in range(ROUNDS):
        started = time.process_time()
        ug.compare(journeys, models)
        once, begun = time.process_time() - started, time.perf_counter()
        started = time.process_time()
        ug.compare(journeys, models, intervals=0.95, resamples=RESAMPLES)
        ratios.append(RESAMPLES * once / (time.process_time() - started))
        seconds.append(time.perf_counter() - begun)
    ratio = float(np.median(ratios))
    floor = RULES_FLOOR if models is RULES else PATHS_FLOOR
    shown = f"{ratio:.0f} × as fast as {RESAMPLES} times (floor {floor:.0f})"
    print(f"\n{request.node.callspec.id}: {np.median(seconds):.2f} s, {shown}")
    assert ratio >= floor
