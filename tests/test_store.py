"""Reads that are long, slow or cut off: the store process and the wire to it."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving import APP, Server, event, ndjson, serving
from unmogrowp.warehouse import turns

pytestmark = pytest.mark.service

EVENTS = 40_000
SLOW_READERS = 20


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with more events than any buffer on the way holds."""
    pad = "x" * 500
    with serving(tmp_path_factory.mktemp("store") / "data") as server:
        for first in range(0, EVENTS, 5_000):
            batch = [event(first + n, properties={"pad": pad}) for n in range(5_000)]
            assert server.post(ndjson(batch)).json()["stored"] == 5_000
        server.settle()
        yield server


@contextlib.contextmanager
def export(server: Server) -> Iterator[httpx.Response]:
    headers = server.headers("read")
    url, query = server.url + "/v1/events", {"app_id": APP}
    with httpx.stream("GET", url, params=query, headers=headers, timeout=30) as answer:
        yield answer


def test_an_export_is_whole(full: Server) -> None:
    lines = full.get("/v1/events").text.splitlines()
    assert len(lines) == EVENTS
    assert len(full.get("/v1/events", limit="123").text.splitlines()) == 123


def test_slow_readers_keep_nobody_from_reading(full: Server) -> None:
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(export(full)) for _ in range(SLOW_READERS)]
        assert {answer.status_code for answer in slow} == {200}
        assert full.get("/v1/reports/overview").json()["total"]["events"] == EVENTS
        assert httpx.get(full.url + "/health/ready", timeout=5).json()["status"] == "ready"
        # They lose nothing by being slow.
        assert sum(1 for _ in slow[0].iter_lines()) == EVENTS


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no place of their own elsewhere")
def test_reports_go_before_what_is_shipped_and_credited(full: Server) -> None:
    (store,) = full.children("unmogrowp.server.store")
    behind = os.getpriority(os.PRIO_PROCESS, store) + turns.BEHIND
    nices: dict[str, list[int]] = {}
    for task in Path(f"/proc/{store}/task").iterdir():
        name = (task / "comm").read_text().strip()
        nices.setdefault(name, []).append(os.getpriority(os.PRIO_PROCESS, int(task.name)))
    # Those that ship, credit, check and retain, and what they begin.
    assert nices["python"].count(behind) >= 4
    assert nices["python"].count(behind - turns.BEHIND) > 4


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_an_answer_cut_short_never_ends_as_if_it_were_whole(
    full: Server, number: signal.Signals
) -> None:
    (store,) = full.children("unmogrowp.server.store")
    try:
        with export(full) as answer:
            chunks = answer.iter_raw()
            next(chunks)
            os.kill(store, number)
            with pytest.raises(httpx.RemoteProtocolError):
                list(chunks)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(store, signal.SIGCONT)
    full.settle()
