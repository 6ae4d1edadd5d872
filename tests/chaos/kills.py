"""`kill -9` of a whole server, again and again, while clients send and repeat."""

import random
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from chaos.clients import Clients
from chaos.disk import Disk
from chaos.outcome import Outcome
from chaos.verdict import judge
from serving import APP, CLI, LISTENERS, Server, until

# A segment is full every few dozen requests, so that kills meet a rotation.
SEGMENT_BYTES = 1 << 20
AIM_S = 3.0
UP_S = 1.0
START_S = 1.5
HANG_MS = 400


class Aim:
    """Waits until a server does what a kill is to interrupt."""

    def __init__(self, server: Server, disk: Disk, dice: random.Random) -> None:
        self._server, self._disk, self._dice = server, disk, dice

    def any(self) -> None:
        """Whatever it does."""
        time.sleep(self._dice.uniform(0.05, 1.5))

    def sync(self) -> None:
        """A commit is written and not yet synced."""
        with self._disk.failing("sync_hangs_ms", HANG_MS):
            before = self._disk.hits
            self._wait(lambda: self._disk.hits > before)
            time.sleep(self._dice.uniform(0.0, HANG_MS / 1000))
            self._server.kill()

    def rotation(self) -> None:
        """A segment was sealed and the next one begins."""
        before = self._segments()
        self._wait(lambda: self._segments() - before)

    def insert(self) -> None:
        """A batch was begun and is not in the warehouse yet."""
        self._wait(lambda: self._state("select 1 from batches where is_done = 0"))
        time.sleep(self._dice.uniform(0.0, 0.1))

    def attribution(self) -> None:
        """A round of attribution has begun."""
        query = "select value from counters where name = 'round'"
        before = self._state(query)
        self._wait(lambda: self._state(query) != before)
        time.sleep(self._dice.uniform(0.0, 0.3))

    def settings(self) -> None:
        """The rules of the app change, and with them all its credit."""
        days = self._dice.randint(1, 60)
        command = [*CLI, "apps", "set", APP, f"click_lookback={days}d"]
        change = subprocess.Popen(
            [*command, "--data-dir", str(self._server.data_dir)], stdout=subprocess.DEVNULL
        )
        time.sleep(self._dice.uniform(0.2, 1.2))
        change.kill()
        change.wait()

    def _wait(self, what: Callable[[], object]) -> None:
        """Bounded: where traffic has ended the kill comes anyway."""
        deadline = time.monotonic() + AIM_S
        while not what() and time.monotonic() < deadline:
            time.sleep(0.002)

    def _segments(self) -> set[Path]:
        return set((self._server.data_dir / "spool").glob("*.segment"))

    def _state(self, query: str) -> object:
        path = f"file:{self._server.data_dir / 'store.db'}?mode=ro"
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(path, uri=True)) as db:
            return db.execute(query).fetchone()
        return None


MOMENTS = ("sync", "rotation", "insert", "attribution", "settings", "any")


def kills(folder: Path, *, events: int, count: int, seed: int) -> Outcome:
    """Kill a server so often while `events` are sent, then compare everything."""
    dice, disk = random.Random(seed), Disk(folder)
    env = {**disk.env, "UNMOGROWP_SPOOL__SEGMENT_BYTES": str(SEGMENT_BYTES)}
    server = Server(folder / "data", flags=LISTENERS["native"], env=env).start()
    try:
        server.create_app()
        hit: Counter[str] = Counter()
        rate = events / (count * (UP_S + START_S))
        with Clients(server, events, seed, rate) as clients:
            for number in range(count):
                moment = MOMENTS[number % len(MOMENTS)]
                getattr(Aim(server, disk, dice), moment)()
                hit[moment] += 1
                if server.process is not None:
                    server.kill()
                server.start()
            clients.hurry()
            until(clients.is_done, 120, "everything was acknowledged")
        # What the killed changes left is one of the values; the last word is the default.
        server.set_app("click_lookback=30d")
        server.settle()
        verdict = judge(server, clients.sent)
    finally:
        if server.process is not None:
            server.kill()
    moments = ", ".join(f"{count} × {name}" for name, count in hit.items())
    return Outcome(
        f"`kill -9` of all processes, {count} times",
        f"at these moments: {moments}; {clients.unanswered} requests had no answer and were"
        f" repeated; longest wait for one answer {clients.longest_s:.1f} s",
        verdict,
        seed,
    )
