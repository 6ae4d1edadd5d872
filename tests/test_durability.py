"""Invariant 1: what was acknowledged is stored exactly once, whatever is killed and whenever."""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest

from serving import APP, CLI, Server, event, ndjson, serving, until

pytestmark = pytest.mark.service

KILLS = 3
CONNECTIONS = 4
PER_REQUEST = 50


class Client(threading.Thread):
    """Sends numbered batches and repeats each until it is answered."""

    def __init__(self, server: Server, number: int, stop: threading.Event) -> None:
        super().__init__()
        self.acknowledged: set[str] = set()
        self.sent: set[str] = set()
        self._server = server
        self._number = number
        self._stop_event = stop
        self._headers = server.headers("write")

    def run(self) -> None:
        batch = 0
        while not self._stop_event.is_set():
            ids = [f"{self._number}-{batch}-{n}" for n in range(PER_REQUEST)]
            body = ndjson([self._event(one, n) for n, one in enumerate(ids)])
            self.sent.update(ids)
            while not self._stop_event.is_set():
                if self._answered(body):
                    self.acknowledged.update(ids)
                    break
            batch += 1

    def _event(self, event_id: str, number: int) -> dict[str, object]:
        kinds = [
            {"event_name": "ad", "event_type": "click", "source": "meta"},
            {"event_name": "purchase", "revenue": "1.25", "currency": "USD"},
            {},
        ]
        return event(number, event_id=event_id, own_id=event_id, **kinds[number % 3])

    def _answered(self, body: bytes) -> bool:
        try:
            answer = httpx.post(
                self._server.url + "/v1/events", content=body, headers=self._headers, timeout=10
            )
        except httpx.HTTPError:
            time.sleep(0.05)
            return False
        return answer.status_code == 200


def stored_ids(server: Server) -> list[str]:
    lines = server.get("/v1/events").text.splitlines()
    return [json.loads(line)["properties"]["own_id"] for line in lines]


def test_nothing_acknowledged_is_lost_or_doubled_over_kills(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        stop = threading.Event()
        clients = [Client(server, number, stop) for number in range(CONNECTIONS)]
        try:
            for client in clients:
                client.start()
            for kill in range(KILLS):
                before = sum(len(client.acknowledged) for client in clients)
                more = before + 600 * (kill + 1)
                until(
                    lambda more=more: sum(len(c.acknowledged) for c in clients) > more,
                    30,
                    "the clients got answers",
                )
                server.kill()
                server.start()
        finally:
            stop.set()
            for client in clients:
                client.join()
        server.settle()
        found = stored_ids(server)
        acknowledged = set().union(*(client.acknowledged for client in clients))
        sent = set().union(*(client.sent for client in clients))
        assert len(found) == len(set(found)), "doubled"
        assert acknowledged <= set(found), "lost"
        assert set(found) <= sent, "invented"
        total = server.get("/v1/reports/overview").json()["total"]
        assert total["events"] == len(found), "roll-up and base differ"
        report = server.get("/v1/reports/attribution", conversion="purchase").json()
        purchases = sum(int(one.rsplit("-", 1)[1]) % 3 == 1 for one in found)
        assert report["total"]["conversions"] == purchases
        shared = sum(row["conversions"] for row in report["rows"])
        assert shared + report["unattributed"]["conversions"] == pytest.approx(purchases)


def test_an_event_repeated_after_a_restart_is_a_duplicate(tmp_path: Path) -> None:
    body = ndjson([event(n) for n in range(10)])
    with serving(tmp_path / "data") as server:
        assert server.post(body).json()["stored"] == 10
        server.stop()
        server.start()
        assert server.post(body).json()["duplicate"] == 10


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_with_the_store_gone_events_are_taken_and_reads_answer_503(
    tmp_path: Path, number: signal.Signals
) -> None:
    with serving(tmp_path / "data") as server:
        server.post(ndjson([event(1)]))
        server.settle()
        (store,) = server.children("unmogrowp.server.store")
        os.kill(store, number)
        try:
            started = time.monotonic()
            answer = server.get("/v1/reports/overview")
            if number == signal.SIGSTOP:
                assert answer.status_code == 503
                assert answer.headers["retry-after"]
                assert "store" in httpx.get(server.url + "/health/ready").json()["degraded"]
            assert time.monotonic() - started < 8
            assert server.post(ndjson([event(2)])).json()["stored"] == 1
        finally:
            if number == signal.SIGSTOP:
                os.kill(store, signal.SIGCONT)
        server.settle()
        assert server.get("/v1/reports/overview").json()["total"]["events"] == 2


def test_no_orphan_serves_on_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        children = server.children()
        assert len(children) == 2
        assert server.process is not None
        server.process.kill()
        server.process.wait(timeout=10)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), 12, "both ended")
        with pytest.raises(httpx.HTTPError):
            httpx.get(server.url + "/health/live", timeout=2)


def test_sigterm_drains_within_ten_seconds(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        server.post(ndjson([event(1)]))
        assert server.process is not None
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=12) == 0
        assert time.monotonic() - started < 10
        assert not (server.data_dir / "server.json").exists()


def test_a_second_server_on_the_same_data_ends_with_a_clear_message(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        command = [*CLI, "serve", "--port", "0", "--data-dir", str(server.data_dir)]
        started = time.monotonic()
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
        assert time.monotonic() - started < 8
        assert done.returncode == 1
        assert "in use by another server" in done.stderr
        assert "hint:" in done.stderr
        mode = (server.data_dir / "server.json").stat().st_mode & 0o777
        assert mode == 0o600


def test_a_data_directory_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "data"
    home.mkdir()
    (home / "VERSION").write_text("999\n")
    command = [*CLI, "serve", "--port", "0", "--data-dir", str(home)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert "999" in done.stderr


def test_two_apps_never_see_each_other(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        other = "com.example.other"
        server.create_app(other)
        same = ndjson([event(1, user_id="ana"), event(2, event_name="install", user_id="ana")])
        for app in (APP, other):
            assert server.post(same, **server.headers("write", app)).json()["stored"] == 2
        click = event(3, event_name="ad", event_type="click", source="meta", user_id="ana")
        assert server.post(ndjson([click]), **server.headers("write", other)).json()["stored"] == 1
        server.settle()
        assert server.get("/v1/reports/overview").json()["total"]["events"] == 2
        total = server.get("/v1/reports/overview", app=other).json()["total"]
        assert (total["events"], total["users"]) == (3, 1)
        mine = server.get("/v1/reports/attribution").json()
        assert mine["unattributed"]["conversions"] == 1


def test_ingest_and_store_run_apart_and_meet_in_the_data_directory(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--role", "ingest") as server:
        assert server.post(ndjson([event(1)])).json()["stored"] == 1
        assert server.get("/v1/events").status_code == 503
        command = [*CLI, "serve", "--role", "store", "--data-dir", str(server.data_dir)]
        store = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert store.stdout is not None
            assert store.stdout.readline() == "the store runs\n"
            server.settle()
            assert len(server.get("/v1/events").text.splitlines()) == 1
        finally:
            store.terminate()
            assert store.wait(timeout=15) == 0
            store.stdout.close()
