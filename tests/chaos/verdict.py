"""What a server holds in the end against what was acknowledged: events, roll-ups, credit."""

import json
import os
import subprocess
import sys
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import unmogrowp as ug
from rule_models import MODELS
from serving import APP, Server

# Sums of at most some thousand shares, in two orders.
NEAR = 1e-9


@dataclass(frozen=True)
class Verdict:
    """Counts of what is wrong; all of them 0 is the only good one."""

    events: int
    lost: int
    doubled: int
    invented: int
    rollups: int
    """Days, names and currencies whose count or revenue differs from the events sent."""
    conversions: int
    credits: int
    """Conversions whose stored touches or shares differ from those computed at rest."""
    reports: int
    """Rows of attribution reports that differ from `ug.compare`."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        wrong = (self.lost, self.doubled, self.invented, self.rollups, self.credits, self.reports)
        return not any(wrong) and self.events > 0 and self.conversions > 0


def judge(server: Server, sent: list[bytes], dsn: str | None = None) -> Verdict:
    """Compare a server at rest with what was sent to it; the server is stopped at the end."""
    wanted = Counter(str(json.loads(line)["event_id"]) for line in sent)
    found = Counter(_ids(server))
    journeys = ug.journeys(ug.parse(b"\n".join(sent)).events, conversion=["install", "purchase"])
    reports = _reports_that_differ(server, journeys)
    rollups = _rollups_that_differ(server, sent)
    server.stop()
    credited = _credited(server.data_dir, dsn)
    at_rest = _at_rest(journeys)
    return Verdict(
        events=found.total(),
        lost=len(wanted - found),
        doubled=sum(count - 1 for count in found.values()),
        invented=len(found.keys() - wanted.keys()),
        rollups=rollups,
        conversions=len(at_rest),
        credits=sum(
            credited.get(name) != at_rest.get(name) for name in credited.keys() | at_rest.keys()
        ),
        reports=reports,
    )


def _ids(server: Server) -> list[str]:
    return [json.loads(line)["event_id"] for line in server.get("/v1/events").text.splitlines()]


def _rollups_that_differ(server: Server, sent: list[bytes]) -> int:
    wanted: dict[tuple[str, str, str | None], list[Decimal]] = {}
    for event in map(json.loads, sent):
        key = (event["timestamp"][:10], event["event_name"], event.get("currency"))
        sums = wanted.setdefault(key, [Decimal(), Decimal()])
        sums[0] += 1
        sums[1] += Decimal(str(event.get("revenue") or 0))
    found = {}
    for row in server.get("/v1/reports/overview", interval="day").json()["rows"]:
        key = (row["time"][:10], row["event_name"], row["currency"])
        found[key] = [Decimal(row["events"]), Decimal(row["revenue"] or 0)]
    return sum(found.get(key) != wanted.get(key) for key in found.keys() | wanted.keys())


def _reports_that_differ(server: Server, journeys: ug.Journeys) -> int:
    wrong = 0
    for model in [*MODELS, ug.Markov()]:
        compared = ug.compare(journeys, [model])
        channels = compared.column("channel").to_pylist()
        shares = compared.column(f"{model.name}_conversions").to_pylist()
        wanted = _summed(zip(channels, shares, strict=True))
        report = server.get("/v1/reports/attribution", model=model.name).json()
        found = _summed((row["channel"], row["conversions"]) for row in report["rows"])
        found["(unattributed)"] = report["unattributed"]["conversions"]
        names = found.keys() | wanted.keys()
        wrong += sum(abs(found[n] - wanted[n]) > NEAR * max(1, found[n]) for n in names)
    return wrong


def _summed(rows: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Conversions by channel, whatever their currency."""
    sums: dict[str, float] = defaultdict(float)
    for channel, conversions in rows:
        sums[channel] += conversions
    return sums


Credit = list[tuple[str | None, list[float]]]


def _at_rest(journeys: ug.Journeys) -> dict[str, Credit]:
    """Per conversion its touches: the channel and the share of each model."""
    found: dict[str, Credit] = {}
    for model in MODELS:
        seen: Counter[str] = Counter()
        for row in ug.attribute(journeys, model).to_pyarrow().to_pylist():
            name = str(uuid.UUID(bytes=row["conversion_id"]))
            own = found.setdefault(name, [])
            if row["touch_index"] is None:
                continue
            if seen[name] == len(own):
                own.append((row["channel"], []))
            own[seen[name]][1].append(row["credit"])
            seen[name] += 1
    return found


def _credited(data_dir: Path, dsn: str | None) -> dict[str, Credit]:
    """The credit table as stored, read in a process of its own: an engine has one directory."""
    dsn = dsn or f"chdb://{data_dir / 'warehouse'}"
    command = [sys.executable, "-m", "chaos.credited", dsn, str(data_dir / "store.db"), APP]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, env=env)
    rows = (json.loads(line) for line in done.stdout.splitlines())
    return {row["id"]: [(name, shares) for name, shares in row["touches"]] for row in rows}
