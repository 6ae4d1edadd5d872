"""What a server promises when it, or a part of it, ends: test_chaos.py has invariant 1."""

import os
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from serving import APP, CLI, event, ndjson, serving, until

pytestmark = pytest.mark.service


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
