"""One fault each, on a server that is being sent events as fast as it answers."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from chaos.clients import Clients
from chaos.disk import Disk
from chaos.outcome import Outcome
from chaos.verdict import judge
from clickhouse_over_http import clickhouse, free_port
from serving import LISTENERS, Server, until

FULL_S = 5.0
EVENTS_A_SECOND = 12_000
# More than clients can send while a fault lasts that is met at full rate.
EVENTS_MAX = 20_000_000
WARM_S = 1.0
CLOCK_JUMP_S = 3_600


@dataclass
class Scene:
    """A server under a fault, its clients and its disk."""

    server: Server
    clients: Clients
    disk: Disk
    seconds: float

    def answers(self) -> str:
        """What clients were told so far."""
        told = ", ".join(f"{n} × {status}" for status, n in sorted(self.clients.statuses.items()))
        return f"{told}, {self.clients.unanswered} × nothing"

    def reads(self) -> int:
        """The status that a report has now."""
        return self.server.get("/v1/reports/overview").status_code


Fault = Callable[[Scene], str]


def spool_full(scene: Scene) -> str:
    """Nothing can be written below `spool/`."""
    return _refusing(scene, "spool_full", "no space left for the spool")


def sync_fails(scene: Scene) -> str:
    """`fdatasync` of the spool returns EIO."""
    return _refusing(scene, "sync_fails", "every sync of the spool failed")


def _refusing(scene: Scene, name: str, what: str) -> str:
    with scene.disk.failing(name):
        # What was being committed may still be answered.
        time.sleep(0.2)
        before = scene.clients.acknowledged
        time.sleep(scene.seconds)
        taken = scene.clients.acknowledged - before
        hits = scene.disk.hits
    assert taken == 0, f"{taken} events were acknowledged while {what}"
    assert scene.clients.statuses[503], "a client was told why"
    assert hits, "the fault was met"
    return (
        f"{what} for {scene.seconds:.0f} s ({hits} calls failed): no event was acknowledged"
        f" meanwhile; clients heard {scene.answers()}"
    )


def sync_hangs(scene: Scene) -> str:
    """`fdatasync` of the spool takes long."""
    hang_ms = int(scene.seconds * 1000)
    with scene.disk.failing("sync_hangs_ms", hang_ms):
        time.sleep(0.2)
        before = scene.clients.acknowledged
        time.sleep(scene.seconds / 2)
        taken = scene.clients.acknowledged - before
        live = httpx.get(scene.server.url + "/health/live", timeout=5).status_code
        hits = scene.disk.hits
    assert hits, "the fault was met"
    assert taken == 0, f"{taken} events were acknowledged during a sync"
    assert live == 200, live
    return (
        f"every sync took {scene.seconds:.0f} s: no event was acknowledged before its own had"
        f" ended, `/health/live` answered {live}; clients heard {scene.answers()}"
    )


def warehouse_full(scene: Scene) -> str:
    """Nothing can be written below `warehouse/`."""
    with scene.disk.failing("warehouse_full"):
        rate = scene.clients.per_second(scene.seconds)
        until(lambda: "store" in _degraded(scene.server), 15, "the store says that it waits")
        hits = scene.disk.hits
    assert rate, "events were taken meanwhile"
    assert hits, "the fault was met"
    return (
        f"no space left for the warehouse ({hits} writes failed): {rate:,.0f} events/s were"
        f" acknowledged meanwhile and `/health/ready` named the store; it caught up by itself"
    )


def store_killed(scene: Scene) -> str:
    """The store process alone is killed."""
    (store,) = scene.server.children("unmogrowp.server.store")
    os.kill(store, signal.SIGKILL)
    rate = scene.clients.per_second(2.0)
    until(lambda: scene.reads() == 200, 15, "reports are back")
    (after,) = scene.server.children("unmogrowp.server.store")
    assert after != store
    return f"{rate:,.0f} events/s were acknowledged meanwhile; another store answered reports"


def store_stopped(scene: Scene) -> str:
    """The store process stands still while ingest goes on."""
    (store,) = scene.server.children("unmogrowp.server.store")
    before = scene.clients.per_second(min(3.0, scene.seconds))
    os.kill(store, signal.SIGSTOP)
    try:
        rate = scene.clients.per_second(scene.seconds)
        status = scene.reads()
    finally:
        os.kill(store, signal.SIGCONT)
    assert rate, "events were taken meanwhile"
    assert status == 503, status
    return (
        f"stopped for {scene.seconds:.0f} s: {rate:,.0f} events/s were acknowledged, before it"
        f" {before:,.0f} with the store at work beside them; reports answered {status}"
    )


def supervisor_killed(scene: Scene) -> str:
    """The supervisor alone is killed; its children must not serve on."""
    children = scene.server.children()
    process = scene.server.process
    assert process is not None
    process.kill()
    process.wait()
    started = time.monotonic()
    until(lambda: not any(map(_runs, children)), 12, "no orphan runs")
    took = time.monotonic() - started
    scene.server.kill()
    scene.server.start()
    return f"its {len(children)} children had ended {took:.1f} s later; a new server went on"


def warehouse_away(scene: Scene) -> str:
    """The warehouse, a server of its own here, cannot be reached."""
    rate = scene.clients.per_second(scene.seconds)
    status = scene.reads()
    assert rate, "events were taken meanwhile"
    assert status == 503, status
    return (
        f"not reachable for {scene.seconds:.0f} s: {rate:,.0f} events/s were acknowledged"
        f" meanwhile, reports answered {status}"
    )


def clock_jumps(scene: Scene) -> str:
    """The wall clock goes an hour forward, then two back, then right again."""
    rates = []
    for offset in (CLOCK_JUMP_S, -CLOCK_JUMP_S):
        with scene.disk.failing("clock_offset_s", offset):
            rates.append(scene.clients.per_second(scene.seconds / 2))
    assert all(rates), "events were taken meanwhile"
    return f"an hour forward and an hour back: {min(rates):,.0f} events/s or more meanwhile"


LONG_S = 60.0
FAULTS: dict[str, tuple[Fault, float]] = {
    "disk full on the spool": (spool_full, FULL_S),
    "fdatasync returns EIO": (sync_fails, FULL_S),
    "fdatasync hangs": (sync_hangs, FULL_S),
    "disk full on the warehouse": (warehouse_full, FULL_S),
    "store process killed": (store_killed, FULL_S),
    "store process stopped": (store_stopped, LONG_S),
    "supervisor killed": (supervisor_killed, FULL_S),
    "warehouse away": (warehouse_away, LONG_S),
    "clock jumps": (clock_jumps, FULL_S),
}
"""Each with the seconds it lasts at full size."""


def suffer(folder: Path, name: str, *, seconds: float, seed: int) -> Outcome:
    """Break a server in one way while events come in, then compare everything."""
    fault, _ = FAULTS[name]
    disk = Disk(folder)
    with contextlib.ExitStack() as stack:
        port = free_port() if fault is warehouse_away else None
        dsn = f"http://127.0.0.1:{port}" if port else None
        env = {**disk.env, **({"UNMOGROWP_WAREHOUSE__DSN": dsn} if dsn else {})}
        server = stack.enter_context(_started(folder / "data", env))
        is_full_rate = fault is store_stopped
        events = EVENTS_MAX if is_full_rate else int(EVENTS_A_SECOND * (seconds + WARM_S))
        rate = None if is_full_rate else EVENTS_A_SECOND
        with Clients(server, events, seed, rate) as clients:
            time.sleep(WARM_S)
            seen = fault(Scene(server, clients, disk, seconds))
            if is_full_rate:
                clients.enough()
            clients.hurry()
            if port:
                stack.enter_context(clickhouse(folder / "clickhouse", port))
            until(clients.is_done, 120, "everything was acknowledged")
        server.settle(600)
        verdict = judge(server, clients.sent, dsn)
    return Outcome(name, seen, verdict, seed)


@contextlib.contextmanager
def _started(data_dir: Path, env: dict[str, str]) -> Iterator[Server]:
    server = Server(data_dir, flags=LISTENERS["native"], env=env).start()
    try:
        server.create_app()
        yield server
    finally:
        if server.process is not None:
            server.kill()


def _degraded(server: Server) -> list[str]:
    return list(httpx.get(server.url + "/health/ready", timeout=30).json()["degraded"])


def _runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False
