"""Who is who of a million simulated events, beside PyArrow numbering the same ids.

Numbering ids is the least that finding people needs; `ug.identities` also links them, and says of
each which event did.
"""

import pyarrow as pa
import pytest

import unmogrowp as ug
from pairs import cpu_seconds, times_faster
from unmogrowp.events import IDS
from unmogrowp.simulate import Scenario, simulate

EVENTS = 1_000_000
FLOOR = 0.36


@pytest.fixture(scope="module")
def events() -> pa.Table:
    return ug.parse(simulate(Scenario(events=EVENTS))).events.to_pyarrow()


def test_identities_beside_numbering(events: pa.Table) -> None:
    columns = [events[name] for name in IDS]
    ids = sum(len(column) - column.null_count for column in columns)
    ratio, spread = times_faster(
        lambda: ug.identities(events),
        lambda: [column.dictionary_encode() for column in columns],
    )
    seconds = min(cpu_seconds(lambda: ug.identities(events)) for _ in range(5))
    print(
        f"\nidentities: {ids / seconds / 1e6:.1f} M ids/s, {ratio:.2f} x dictionary_encode "
        f"(floor {FLOOR}), spread {spread:.0%}"
    )
    assert ratio >= FLOOR
