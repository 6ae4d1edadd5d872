"""A seed in, a month of mobile traffic out: `unmogrowp simulate`.

docs/simulator.md holds every assumption. The work is done by the Rust crate `rust/simulate`.
"""

import argparse
import sys
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from unmogrowp import _core
from unmogrowp.errors import ConfigError, UnmogrowpError

if TYPE_CHECKING:
    from collections.abc import Iterator

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is simulated. Shares run from 0 to 1, medians are in the unit their name ends with.

    >>> from unmogrowp.simulate import Scenario, simulate
    >>> lines = b"".join(simulate(Scenario(seed=1, events=3))).splitlines()
    >>> len(lines)
    3
    """

    seed: int = 7
    events: int = 1_000_000
    start: date = date(2026, 1, 1)
    days: int = 30
    app_id: str | None = None
    lines_max: int = 2_000
    is_truth_told: bool = True
    is_sent_at_told: bool = False

    organic: float = 0.30
    prospects: float = 0.50
    ios: float = 0.45
    idfa: float = 0.60
    gaid: float = 0.95

    exposures: float = 3.0
    exposure_days: float = 7.0
    click_rate: float = 0.08
    loyalty: float = 0.40
    ctit_body_weight: float = 0.75
    ctit_body_median_s: float = 80.0
    ctit_body_sigma: float = 0.9
    ctit_tail_median_s: float = 7_200.0
    ctit_tail_sigma: float = 1.4
    weekend: float = 1.2

    retention_day_1: float = 0.35
    retention_exponent: float = 0.5
    sessions: float = 1.0
    screens: float = 2.0
    sign_ups: float = 0.50
    payers: float = 0.08
    purchases: float = 0.35
    purchase_median: float = 6.0
    purchase_sigma: float = 1.4

    late: float = 0.0
    late_median_s: float = 21_600.0
    duplicates: float = 0.0
    clock_skew: float = 0.0
    clock_skew_median_s: float = 900.0

    def settings(self) -> dict[str, bool | int | float | str]:
        """The values by the names the simulator knows them by."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["start_day"] = (values.pop("start") - _EPOCH).days
        return {name: value for name, value in values.items() if value is not None}


def simulate(scenario: Scenario | None = None) -> "Iterator[bytes]":
    """Stream a scenario as NDJSON.

    Args:
        scenario: What is simulated; the defaults of `Scenario` without one.

    Returns:
        Chunks of at most `lines_max` whole lines, in the order in which the events arrive.

    Raises:
        ConfigError: The scenario cannot be; the message names the setting.
    """
    try:
        return _core.Simulation((scenario or Scenario()).settings())
    except ValueError as error:
        raise ConfigError(str(error)) from None


_FIRST = {
    "seed": "everything follows from it",
    "events": "lines, without the copies of --duplicates",
    "days": "length in days",
    "app_id": "app of every event; without it the key decides",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `unmogrowp simulate` takes to its parser."""
    usual = Scenario()
    for name, meaning in _FIRST.items():
        default = getattr(usual, name)
        kind = str if default is None else int
        suffix = "" if default is None else f" (default {default})"
        parser.add_argument(_flag(name), type=kind, default=default, help=meaning + suffix)
    parser.add_argument(
        "--start",
        type=date.fromisoformat,
        default=usual.start,
        metavar="DATE",
        help=f"first day (default {usual.start})",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="file to write; - is stdout")
    parser.add_argument("--hide-truth", action="store_true", help="no `properties.truth`")
    parser.add_argument("--sent-at", action="store_true", help="in-app events carry `sent_at`")
    group = parser.add_argument_group("assumptions, see docs/simulator.md")
    for name, default, meaning in _core.simulation_settings():
        text = f"{meaning[0].lower()}{meaning[1:].rstrip('.')} (default {default:g})"
        group.add_argument(_flag(name), type=float, default=default, metavar="X", help=text)


def command(options: argparse.Namespace) -> int:
    """Run `unmogrowp simulate`; the exit code is its result."""
    names = [field.name for field in fields(Scenario)]
    given = {name: getattr(options, name) for name in names if hasattr(options, name)}
    given["is_truth_told"] = not options.hide_truth
    given["is_sent_at_told"] = options.sent_at
    chunks = simulate(Scenario(**given))
    if options.output in {None, "-"}:
        _write(chunks, sys.stdout.buffer)
        return 0
    try:
        with Path(options.output).open("wb") as file:
            _write(chunks, file)
    except OSError as error:
        raise UnmogrowpError(
            f"cannot write `{options.output}`: {error.strerror}\nhint: choose another --output"
        ) from error
    return 0


def _write(chunks: "Iterator[bytes]", file: BinaryIO) -> None:
    file.writelines(chunks)
    file.flush()


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
