"""What a fault did, and the page that says so."""

import os
import platform
from dataclasses import dataclass, fields
from datetime import UTC, datetime

from chaos.verdict import Verdict

COUNTS = [field.name for field in fields(Verdict)]
HEAD = """\
# Durability

Written by `make chaos`: a real server is broken on purpose while eight connections send
simulated events, four of them to the native listener, and repeat each request until it is
answered with a 200. Where the store stands still they send as fast as answers come, ten events
a request; else 12,000 events a second. Afterwards everything
the server holds is compared with what was sent: each event id in the base table; counts and
revenue by day, event name and currency in the roll-ups; the credit table, touch by touch and
share by share, with the one that the library computes at rest from the events sent; the
attribution report of eleven models with `ug.compare`. Lost, doubled, invented, roll-ups, credits
and reports count differences: anything but 0 is a fault of ours. `tests/chaos` holds the faults,
`tests/test_chaos.py` runs the kills and the failing disks in small with every `make test`.

A `kill -9` does not lose what the operating system holds. Writes that are torn, reordered or
lost in a power cut are the matter of the simulated disk below the spool
(`rust/spool/tests/recovery.rs`): `make proofs` runs the spool on 100,000 schedules of such faults,
`make test` on 20,000. A schedule that fails names its seed; `SPOOL_SEEDS=4711..4712` repeats it. A
segment cut at any byte, or with any one bit turned round, gives every commit that is whole.
"""


@dataclass(frozen=True)
class Outcome:
    """One fault, in words and figures."""

    fault: str
    seen: str
    verdict: Verdict
    seed: int


def page(outcomes: list[Outcome]) -> str:
    """docs/durability.md."""
    release = ".".join(platform.release().split(".")[:2])
    machine = f"{os.cpu_count()} cores, {platform.system()} {release}"
    lines = [
        HEAD,
        f"Run on {datetime.now(UTC):%Y-%m-%d}, {machine}.\n",
        f"| fault | {' | '.join(COUNTS)} | seed |",
        f"|---|{'--:|' * len(COUNTS)}--:|",
    ]
    for one in outcomes:
        shown = " | ".join(f"{getattr(one.verdict, name):,}" for name in COUNTS)
        lines.append(f"| {one.fault} | {shown} | {one.seed} |")
    lines.append("\n## What was seen meanwhile\n")
    lines += [f"- **{one.fault}**: {one.seen}." for one in outcomes]
    lines.append("\nAgain with other seeds: `make chaos SEED=12`.")
    return "\n".join(lines) + "\n"
