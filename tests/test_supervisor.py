"""Starting, draining and starting again, with clients that do not let go."""

import json
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from serving import CLI, Server, event, ndjson, serving, until

pytestmark = pytest.mark.service


def stalled_upload(server: Server) -> socket.socket:
    """A client that sends half a request and then nothing."""
    url = httpx.URL(server.url)
    client = socket.create_connection((url.host, url.port))
    key = server.key("write")
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: a\r\nX-Api-Key: {key}\r\nContent-Length: 99\r\n\r\n{{"
    )
    client.sendall(head.encode())
    return client


def start(data_dir: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [*CLI, "serve", "--data-dir", str(data_dir), *flags]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)


def test_a_stalled_upload_does_not_keep_the_server_from_ending(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server, stalled_upload(server):
        assert server.process is not None
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=12) == 0
        assert time.monotonic() - started < 10


def test_a_new_server_starts_after_the_supervisor_was_killed(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server, stalled_upload(server):
        assert server.post(ndjson([event(1)])).json()["stored"] == 1
        assert server.process is not None
        server.process.kill()
        server.process.wait(timeout=10)
        server._close()
        # The children of the killed one are still ending.
        server.start()
        assert server.post(ndjson([event(1)])).json()["duplicate"] == 1


def test_a_child_that_ends_is_started_again(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        (ingest,) = server.children("unmogrowp.server.ingest")
        subprocess.run(["kill", "-9", str(ingest)], check=True)

        def serves() -> bool:
            try:
                return server.post(ndjson([event(1)])).status_code == 200
            except httpx.TransportError:
                return False

        until(serves, 15, "the ingest process was back")
        assert server.children("unmogrowp.server.ingest") != [ingest]


def test_a_taken_port_is_said_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        started = time.monotonic()
        done = start(tmp_path / "data", "--port", port)
    assert time.monotonic() - started < 8
    assert done.returncode == 1
    assert port in done.stderr
    assert "hint: choose another --port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_store_alone_does_not_claim_the_address(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    command = [*CLI, "serve", "--role", "store", "--json", "--data-dir", str(data_dir)]
    with serving(data_dir, "--role", "ingest") as server:
        before = (data_dir / "server.json").read_text()
        store = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert store.stdout is not None
            assert json.loads(store.stdout.readline()) == {"url": None}
        finally:
            store.terminate()
            assert store.wait(timeout=15) == 0
            store.stdout.close()
        assert (data_dir / "server.json").read_text() == before
        assert json.loads(before)["url"] == server.url


def arenas(server: Server, module: str) -> str | None:
    """In how many places a child may keep memory that it freed."""
    (pid,) = server.children(module)
    words = Path(f"/proc/{pid}/environ").read_text().split("\0")
    given = (word.partition("=") for word in words)
    return next((value for name, _, value in given if name == "MALLOC_ARENA_MAX"), None)


def test_the_store_keeps_what_it_freed_in_one_place_unless_told_otherwise(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        assert arenas(server, "unmogrowp.server.store") == "1"
        assert arenas(server, "unmogrowp.server.ingest") is None
        server.stop()
        server.env = {"MALLOC_ARENA_MAX": "3"}
        server.start()
        assert arenas(server, "unmogrowp.server.store") == "3"


def test_a_version_nobody_wrote_is_refused(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "VERSION").write_text("next\n")
    done = start(data_dir, "--port", "0")
    assert done.returncode == 1
    assert "`next`" in done.stderr
    assert "Traceback" not in done.stderr
