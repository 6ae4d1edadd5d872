"""The faults of `make chaos` in small: nothing acknowledged is lost, doubled or wrong."""

from pathlib import Path

import pytest

from chaos.faults import suffer
from chaos.kills import MOMENTS, kills

pytestmark = pytest.mark.service

SEED = 5


def test_kills_at_every_kind_of_moment(tmp_path: Path) -> None:
    outcome = kills(tmp_path, events=9_000, count=len(MOMENTS), seed=SEED)
    assert outcome.verdict.is_clean, outcome


@pytest.mark.parametrize(
    "name",
    [
        "disk full on the spool",
        "fdatasync returns EIO",
        "fdatasync hangs",
        "disk full on the warehouse",
    ],
)
def test_a_failing_disk(tmp_path: Path, name: str) -> None:
    outcome = suffer(tmp_path, name, seconds=1.0, seed=SEED)
    assert outcome.verdict.is_clean, outcome
