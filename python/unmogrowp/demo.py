"""`unmogrowp demo`: real SDKs and a simulated month into a fresh server, attribution out.

Everything goes through the public doors: the commands, the HTTP routes and the SDKs of others.
"""

import argparse
import contextlib
import json
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

from unmogrowp.errors import UnmogrowpError
from unmogrowp.sending import Connection, Json, Progress, Senders
from unmogrowp.simulate import Scenario, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = "com.example.demo"
MODELS = ("first_touch", "last_touch", "linear", "position_based", "time_decay")
DATA_DIR = Path("unmogrowp-data-demo")
COHORT_DAYS = (1, 7, 14)
SDK_USERS = 150
START_S = 60.0
VISIBLE_S = 120.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `unmogrowp demo` takes to its parser."""
    parser.add_argument("--events", type=int, default=1_000_000, help="simulated events to send")
    parser.add_argument("--seed", type=int, default=7, help="everything simulated follows from it")
    parser.add_argument(
        "--keep",
        action="store_true",
        help=f"leave the server running until Ctrl-C, with its data in ./{DATA_DIR}",
    )


def command(options: argparse.Namespace) -> int:
    """Run `unmogrowp demo`; the exit code is its result."""
    require_sdks()
    start = datetime.now(UTC).date() - timedelta(days=30)
    month = simulate(Scenario(seed=options.seed, events=options.events, start=start))
    data_dir = DATA_DIR if options.keep else Path(tempfile.mkdtemp(prefix="unmogrowp-demo-"))
    if options.keep and data_dir.exists():
        shutil.rmtree(data_dir)
    try:
        with serving(data_dir) as url:
            is_right = run(url, data_dir, month, events=options.events)
            if options.keep:
                say(f"\nserving on {url} with {data_dir}, Ctrl-C ends it")
                with contextlib.suppress(KeyboardInterrupt):
                    signal.pause()
            return 0 if is_right else 1
    finally:
        if not options.keep:
            shutil.rmtree(data_dir, ignore_errors=True)


def run(url: str, data_dir: Path, month: "Iterator[bytes]", *, events: int) -> bool:
    """Send everything to `url` and print what came of it; whether all of it arrived."""
    started = time.monotonic()
    cli("apps", "create", APP, "--name", "Demo", "--currency", "USD", data_dir=data_dir)
    write, read = (make_key(role, data_dir) for role in ("write", "read"))
    sent = send_segment(url, write)
    say(f"Segment's Python SDK sent {sent:,} events")
    by_posthog = send_posthog(url, write)
    say(f"PostHog's Python SDK sent {by_posthog:,} events")
    sent += by_posthog + send_month(url, write, month, events=events)
    reports = Reports(url, read)
    stored = wait_until_visible(reports, sent)
    print_attribution(reports, "install", "conversions", "Installs by channel")
    print_attribution(reports, "purchase", "value", "Revenue in USD by channel")
    print_cohorts(reports)
    say(f"\nevents sent {sent:,} {'=' if sent == stored else '≠'} events stored {stored:,}")
    say(f"done in {time.monotonic() - started:.0f} s on {url}")
    return sent == stored


# --- the server and its commands -----------------------------------------------------------


@contextlib.contextmanager
def serving(data_dir: Path) -> "Iterator[str]":
    """Run a server of its own on a free port; its URL."""
    data_dir.mkdir(parents=True, exist_ok=True)
    log = data_dir / "demo-server.log"
    arguments = ["serve", "--port", "0", "--data-dir", str(data_dir), "--json"]
    with log.open("wb") as errors:
        server = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-m", "unmogrowp.cli", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            # Ctrl-C is for the demo, which ends its server in an orderly way.
            process_group=0,
        )
    try:
        yield address_of(server, log)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(timeout=15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def address_of(server: "subprocess.Popen[bytes]", log: Path) -> str:
    """The URL a starting server prints when it is ready."""
    found: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in server.stdout or ():
            with contextlib.suppress(json.JSONDecodeError):
                said = json.loads(line)
                if isinstance(said, dict) and "url" in said:
                    found.put(str(said["url"]))

    threading.Thread(target=read, daemon=True).start()
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(queue.Empty):
            return found.get(timeout=0.1)
        if server.poll() is not None:
            break
    tail = log.read_text(errors="replace")[-2_000:]
    raise UnmogrowpError(f"the server did not start\nhint: its last words were\n{tail}")


def cli(*arguments: str, data_dir: Path) -> str:
    """Run one of our own commands; what it printed."""
    done = subprocess.run(  # noqa: S603 - this very program
        [sys.executable, "-m", "unmogrowp.cli", *arguments, "--data-dir", str(data_dir)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        name = " ".join(arguments[:2])
        raise UnmogrowpError(f"`unmogrowp {name}` failed\nhint: it said {done.stderr.strip()}")
    return done.stdout


def make_key(role: str, data_dir: Path) -> str:
    """A new key of the demo app."""
    said = cli("keys", "create", "--app", APP, "--role", role, "--json", data_dir=data_dir)
    return str(json.loads(said)["key"])


# --- traffic by the SDKs of others ----------------------------------------------------------


def require_sdks() -> None:
    """Say at once which SDK is missing, before anything is started."""
    import importlib

    for module, package in (
        ("segment.analytics", "segment-analytics-python"),
        ("posthog", "posthog"),
    ):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise UnmogrowpError(
                f"the demo sends real traffic through `{package}`, which is not installed\n"
                f"hint: pip install {package}"
            ) from error


@dataclass
class Failures:
    """What SDKs report from their threads."""

    seen: list[str] = field(default_factory=list)

    def __call__(self, error: object, *_: object) -> None:
        """Remember an error."""
        self.seen.append(str(error))

    def check(self, sdk: str) -> None:
        """Raise the first error, if there was one."""
        if self.seen:
            raise UnmogrowpError(f"{sdk} could not send its events\nhint: it said {self.seen[0]}")


def send_segment(url: str, key: str) -> int:
    """Four calls a user by Segment's SDK, only the host changed: click, install, sign-up, purchase.

    Returns:
        Events handed to the SDK, all of them delivered.
    """
    from segment.analytics.client import Client

    failures = Failures()
    client = Client(key, host=url, on_error=failures, max_retries=10)
    networks = ("newsletter", "podcast", "meta")
    for number in range(SDK_USERS):
        visitor, user = f"visitor-{number}", f"member-{number}"
        campaign = {"source": networks[number % 3], "medium": "referral", "name": "spring"}
        client.track(anonymous_id=visitor, event="click", context={"campaign": campaign})
        client.track(anonymous_id=visitor, event="install")
        client.identify(user, {"plan": "free"}, anonymous_id=visitor)
        client.track(user, "purchase", {"revenue": 9.5, "currency": "USD", "sku": "starter"})
    client.flush()
    client.join()
    failures.check("Segment's SDK")
    return 4 * SDK_USERS


def send_posthog(url: str, key: str) -> int:
    """Three calls a user by PostHog's SDK, only the host changed: click, install, purchase.

    Returns:
        Events handed to the SDK, all of them delivered.
    """
    from posthog import Posthog

    failures = Failures()
    client = Posthog(key, host=url, on_error=failures, max_retries=10)
    for number in range(SDK_USERS):
        user = f"player-{number}"
        ad = {"utm_source": "tiktok" if number % 2 else "podcast", "utm_campaign": "launch"}
        client.capture("click", distinct_id=user, properties=ad)
        client.capture("install", distinct_id=user)
        paid = {"revenue": "4.99", "currency": "USD"}
        client.capture("purchase", distinct_id=user, properties=paid)
    client.shutdown()
    failures.check("PostHog's SDK")
    return 3 * SDK_USERS


# --- a simulated month ----------------------------------------------------------------------


def send_month(url: str, key: str, chunks: "Iterator[bytes]", *, events: int) -> int:
    """Post a simulated month that ended yesterday over several connections.

    Returns:
        Events sent; every one of them was answered, and none refused.
    """
    with Senders(url, key, Progress(events, "simulated events sent")) as senders:
        for chunk in chunks:
            senders.give(chunk)
    if senders.sent.reasons:
        raise UnmogrowpError(f"the server refused simulated events: {senders.sent.reasons[0]}")
    return senders.sent.received


# --- what came of it ------------------------------------------------------------------------


class Reports:
    """The reports of the demo app."""

    def __init__(self, url: str, key: str) -> None:
        self._connection = Connection(url, key)

    def get(self, name: str, **query: str) -> Json:
        """One report."""
        return self._connection.get(f"/v1/reports/{name}", app_id=APP, **query)

    def rows(self, name: str, **query: str) -> list[Json]:
        """Its rows."""
        return cast("list[Json]", self.get(name, **query)["rows"])


def wait_until_visible(reports: Reports, sent: int) -> int:
    """Wait until every event is in the reports, and every conversion has its credit.

    Returns:
        Events the reports show in the end.
    """
    started = time.monotonic()
    while True:
        overview = reports.get("overview", interval="total")
        stored = int(cast("int", cast("Json", overview["total"])["events"]))
        if time.monotonic() > started + VISIBLE_S:
            return stored
        if stored >= sent and is_attributed(reports, overview):
            say(
                f"all of it is in the reports {time.monotonic() - started:.1f} s after the last 200"
            )
            return stored
        time.sleep(0.25)


def is_attributed(reports: Reports, overview: Json) -> bool:
    """Whether the attribution report knows as many conversions as the overview."""
    rows = cast("list[Json]", overview["rows"])
    for name in ("install", "purchase"):
        events = sum(cast("int", row["events"]) for row in rows if row["event_name"] == name)
        report = reports.get("attribution", model="last_touch", conversion=name)
        total = cast("Json", report["total"])
        if round(float(cast("float", total["conversions"]))) < events:
            return False
    return True


def print_attribution(reports: Reports, conversion: str, field_name: str, title: str) -> None:
    """Five models side by side."""
    cells: dict[str, dict[str, float]] = {}
    for model in MODELS:
        report = reports.get("attribution", model=model, conversion=conversion)
        rows = [*cast("list[Json]", report["rows"])]
        rows.append({"channel": "(unattributed)", **cast("Json", report["unattributed"])})
        for row in rows:
            channel = str(row["channel"]) if row["channel"] is not None else "(none)"
            by_model = cells.setdefault(channel, {})
            by_model[model] = by_model.get(model, 0.0) + amount(row[field_name])
    by_size = sorted(cells, key=lambda channel: -cells[channel].get("last_touch", 0.0))
    ordered = sorted(by_size, key=lambda channel: channel == "(unattributed)")
    body = [[c, *(f"{cells[c].get(m, 0.0):,.1f}" for m in MODELS)] for c in ordered]
    totals = [f"{sum(by.get(m, 0.0) for by in cells.values()):,.1f}" for m in MODELS]
    print_table(title, ["channel", *MODELS], [*body, ["total", *totals]])


def amount(value: object) -> float:
    """A count, a decimal text, or sums by currency, of which the demo has only one."""
    if isinstance(value, dict):
        return sum(amount(part) for part in value.values())
    return float(cast("str", value)) if value is not None else 0.0


def print_cohorts(reports: Reports) -> None:
    """Who came by which channel, how many came back and what they brought."""
    rows = reports.rows("cohorts", days=",".join(map(str, COHORT_DAYS)))
    names = ["source", "users"]
    names += [f"retention_{day}" for day in COHORT_DAYS] + [f"ltv_{day}" for day in COHORT_DAYS]
    body = [[shown(name, row.get(name)) for name in names] for row in rows]
    print_table("Cohorts by channel: retention and lifetime value in USD", names, body)


def shown(name: str, value: object) -> str:
    """A cell for people: shares as percentages, money in cents, nothing yet as a dash."""
    if value is None:
        return "-"
    if name.startswith("retention"):
        return f"{float(cast('float', value)):.1%}"
    return f"{amount(value):,.2f}" if name.startswith("ltv") else str(value)


def print_table(title: str, names: list[str], rows: list[list[str]]) -> None:
    """Print aligned columns: the first to the left, numbers to the right."""
    widths = [max(len(row[at]) for row in [names, *rows]) for at in range(len(names))]

    def line(row: list[str]) -> str:
        first, *rest = zip(row, widths, strict=True)
        return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)])

    say(f"\n{title}\n{line(names)}\n{'-' * len(line(names))}")
    for row in rows:
        say(line(row))


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
