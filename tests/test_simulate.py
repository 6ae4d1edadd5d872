"""The simulator through its public names; rust/simulate measures the distributions."""

import argparse
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

import unmogrowp as ug
from unmogrowp import _core
from unmogrowp.errors import ConfigError, UnmogrowpError
from unmogrowp.simulate import Scenario, arguments, command, simulate


def text(**settings: object) -> bytes:
    return b"".join(simulate(Scenario(**settings)))


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    arguments(parser)
    return parser.parse_args(words)


def test_python_knows_every_setting_with_the_same_default() -> None:
    usual = Scenario()
    for name, default, meaning in _core.simulation_settings():
        assert getattr(usual, name) == default, name
        assert meaning.endswith(".")
    reals = {name for name, _, _ in _core.simulation_settings()}
    others = {"seed", "events", "start", "days", "app_id", "lines_max"}
    others |= {"is_truth_told", "is_sent_at_told"}
    assert set(Scenario.__dataclass_fields__) == reals | others
    rust = b"".join(_core.Simulation({"events": 3_000}))
    assert rust == text(events=3_000), "the defaults of both sides make the same bytes"


def test_every_line_is_a_good_event() -> None:
    dirty = {"late": 0.1, "clock_skew": 0.2, "is_sent_at_told": True}
    parsed = ug.parse(text(events=30_000, app_id="com.example.app", **dirty))
    assert (len(parsed.events), len(parsed.rejects)) == (30_000, 0)
    assert set(parsed.events.column("app_id").to_pylist()) == {"com.example.app"}
    ids = parsed.events.column("event_id").to_pylist()
    assert len(set(ids)) == 30_000


def test_a_duplicate_has_the_id_of_the_first() -> None:
    parsed = ug.parse(text(events=10_000, duplicates=0.2))
    ids = parsed.events.column("event_id").to_pylist()
    assert len(set(ids)) == 10_000
    assert 11_700 < len(ids) < 12_300


def test_events_lie_between_start_and_end() -> None:
    parsed = ug.parse(text(events=5_000, start=date(2024, 2, 28), days=3))
    times = parsed.events.column("timestamp").to_pylist()
    assert min(times).date() == date(2024, 2, 28)
    assert max(times).date() == date(2024, 3, 1)


def test_only_paid_installs_are_attributed_and_organic_ones_never() -> None:
    parsed = ug.parse(text(events=200_000))
    journeys = ug.journeys(parsed.events, conversion=["install"])
    credit = ug.attribute(journeys, ug.LastTouch())
    rows = len(set(credit.column("conversion_id").to_pylist()))
    channels = zip(
        credit.column("channel").to_pylist(), credit.column("credit").to_pylist(), strict=True
    )
    unattributed = sum(share for channel, share in channels if channel == "(unattributed)")
    assert abs(unattributed / rows - 0.30) < 0.02


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"organic": 1.5}, "organic must be a share"),
        ({"days": 0}, "days must be"),
        ({"events": -1}, "events must be a count"),
        ({"app_id": ""}, "app_id must be"),
        ({"start": date(1999, 1, 1)}, "start must be within"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused(settings: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word) as refused:
        simulate(Scenario(**settings))
    assert "\nhint: " in str(refused.value)


def test_the_command_writes_what_the_function_gives(tmp_path: Path) -> None:
    target = tmp_path / "events.ndjson"
    words = ["--events", "500", "--seed", "3", "--late", "0.2", "--start", "2025-05-05"]
    assert command(options(*words, "--hide-truth", "-o", str(target))) == 0
    expected = text(events=500, seed=3, late=0.2, start=date(2025, 5, 5), is_truth_told=False)
    assert target.read_bytes() == expected
    assert b"truth" not in expected


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    target = tmp_path / "nowhere" / "events.ndjson"
    with pytest.raises(UnmogrowpError, match=r"cannot write `.*nowhere"):
        command(options("--events", "5", "-o", str(target)))


def test_the_bytes_are_those_of_another_process() -> None:
    code = (
        "import sys; from unmogrowp.simulate import Scenario, simulate;"
        "sys.stdout.buffer.writelines(simulate(Scenario(events=2_000, lines_max=7)))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert other.stdout == text(events=2_000)
