"""What SECURITY.md promises: each attack in it is tried on a real server."""

import contextlib
import gzip
import json
import os
import re
import resource
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import brotli
import httpx
import pytest
import zstandard

from serving import APP, LISTENERS, Server, event, files_with, ndjson, until

pytestmark = pytest.mark.service
BOMB_BYTES = 1 << 30
BLOCK = bytes(1 << 20)
GROWTH_KIB_MAX = 200 << 10
BODY_S, HEAD_S = 3, 10
CONNECTIONS = 10_000
OTHER = "com.example.other"


@pytest.fixture(scope="module", params=LISTENERS)
def server(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Server]:
    env = {"UNMOGROWP_LIMITS__BODY_SECONDS": str(BODY_S)}
    data_dir = tmp_path_factory.mktemp("attacks") / "data"
    server = Server(data_dir, flags=LISTENERS[request.param], env=env).start()
    try:
        server.create_app()
        server.create_app(OTHER)
        yield server
    finally:
        server.stop()


def is_well(server: Server) -> bool:
    """Whether it still takes an event."""
    receipt = server.post(ndjson([event(1, event_id=os.urandom(8).hex())]))
    return receipt.status_code == 200 and receipt.json()["stored"] == 1


def peak_kib(server: Server) -> int:
    """The most memory the ingest process ever had."""
    (pid,) = server.children("unmogrowp.server.ingest")
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(line)


def connected(server: Server) -> socket.socket:
    host, _, port = server.ingest_url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def head(server: Server, *lines: str) -> bytes:
    key = server.key("write")
    fixed = ("POST /v1/events HTTP/1.1", "Host: x", f"Authorization: Bearer {key}")
    return "\r\n".join([*fixed, *lines, "", ""]).encode()


def said(connection: socket.socket) -> bytes:
    """All that comes until the other side closes or stays silent."""
    found = b""
    with contextlib.suppress(OSError):
        while chunk := connection.recv(65_536):
            found += chunk
            if b"}" in chunk:
                break
    return found


def bomb(make: Callable[[], "Compressor"]) -> bytes:
    compressor = make()
    parts = [compressor.compress(BLOCK) for _ in range(BOMB_BYTES // len(BLOCK))]
    return b"".join([*parts, compressor.flush()])


class Compressor:
    """What `zlib`, `zstandard` and `brotli` have in common."""

    def __init__(self, step: Callable[[bytes], bytes], end: Callable[[], bytes]) -> None:
        self.compress, self.flush = step, end


def gzipped() -> Compressor:
    made = zlib.compressobj(9, zlib.DEFLATED, 31)
    return Compressor(made.compress, made.flush)


def deflated() -> Compressor:
    made = zlib.compressobj(9)
    return Compressor(made.compress, made.flush)


def zstd() -> Compressor:
    made = zstandard.ZstdCompressor(level=19).compressobj()
    return Compressor(made.compress, made.flush)


def brotlied() -> Compressor:
    made = brotli.Compressor(quality=5)
    return Compressor(made.process, made.finish)


@pytest.mark.parametrize(
    ("encoding", "make"),
    [("gzip", gzipped), ("deflate", deflated), ("zstd", zstd), ("br", brotlied)],
)
def test_a_bomb_of_a_gigabyte_is_a_413_in_little_memory(
    server: Server, encoding: str, make: Callable[[], Compressor]
) -> None:
    body = bomb(make)
    assert len(body) < 2 << 20
    assert is_well(server)
    before = peak_kib(server)
    for _ in range(3):
        answer = server.post(body, **{"Content-Encoding": encoding})
        assert answer.status_code == 413, answer.text
    assert peak_kib(server) - before < GROWTH_KIB_MAX
    assert is_well(server)


def test_a_bomb_in_a_bomb_is_refused(server: Server) -> None:
    inner = bomb(gzipped)
    before = peak_kib(server)
    body = gzip.compress(inner)
    assert server.post(body, **{"Content-Encoding": "gzip, gzip"}).status_code == 415
    # Unpacked once, it is bytes that are no events.
    assert server.post(body, **{"Content-Encoding": "gzip"}).json()["stored"] == 0
    assert peak_kib(server) - before < GROWTH_KIB_MAX


def test_a_body_that_trickles_in_is_cut_off(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(head(server, "Content-Length: 1000") + b"{")
        started = time.monotonic()
        answer = said(connection)
        assert b" 408 " in answer.splitlines()[0]
        assert b"limits.body_seconds" in answer
        assert time.monotonic() - started < BODY_S + 3
    assert is_well(server)


def test_a_head_that_trickles_in_is_cut_off(server: Server) -> None:
    with connected(server) as connection:
        connection.settimeout(HEAD_S + 5)
        connection.sendall(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        started = time.monotonic()
        said(connection)
        assert time.monotonic() - started < HEAD_S + 3
    assert is_well(server)


def test_text_that_looks_like_sql_is_text(server: Server) -> None:
    nasty = "x'; DROP TABLE events; -- {app_id:String} \\' \" `"
    fields = {"event_name": nasty, "source": nasty, "user_id": nasty, "campaign": nasty}
    body = ndjson([event(9, event_id="sql", **fields, properties={nasty: nasty})])
    receipt = server.post(body).json()
    assert receipt["stored"] == 1, receipt
    server.settle()
    found = server.get("/v1/events", event_name=nasty).text
    stored = [json.loads(line) for line in found.splitlines()]
    assert [row["source"] for row in stored] == [nasty]
    for path in ("attribution", "paths", "overview", "campaigns", "cohorts"):
        query = {"conversion": nasty, "currency": nasty} if path in {"attribution", "paths"} else {}
        answer = server.get(f"/v1/reports/{path}", **query)
        assert answer.status_code == 200, answer.text
    answer = server.get("/v1/reports/overview", app_id=nasty)
    assert answer.status_code == 403
    assert is_well(server)


def test_a_client_that_closes_its_half_is_answered_or_stores_nothing(server: Server) -> None:
    whole = ndjson([event(1, event_id="half-closed")])
    with connected(server) as connection:
        connection.sendall(head(server, f"Content-Length: {len(whole)}") + whole)
        connection.shutdown(socket.SHUT_WR)
        said(connection)
    with connected(server) as connection:
        cut = ndjson([event(2, event_id="cut-short")])
        connection.sendall(head(server, f"Content-Length: {len(cut)}") + cut[:-5])
        connection.shutdown(socket.SHUT_WR)
        said(connection)
    server.settle()
    assert "cut-short" not in server.get("/v1/events").text
    assert is_well(server)


def test_many_large_bodies_at_once_are_more_than_it_holds(server: Server) -> None:
    size, part = 9_000_000, 8_000_000
    before = peak_kib(server)
    with contextlib.ExitStack() as stack:
        open_now = [stack.enter_context(connected(server)) for _ in range(60)]
        for connection in open_now:
            connection.settimeout(5)
            with contextlib.suppress(OSError):
                connection.sendall(head(server, f"Content-Length: {size}") + bytes(part))
        heard = [said(connection).split(b" ", 2)[1:2] for connection in open_now]
    assert [b"503"] in heard, heard
    assert peak_kib(server) - before < 2 * (256 << 10) + GROWTH_KIB_MAX
    until(lambda: is_well(server), 10, "it takes events again")


IDLE = """
import resource, socket, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
held = [socket.create_connection((host, port), timeout=30) for _ in range(count)]
print("held", flush=True)
sys.stdin.read()
"""


def test_ten_thousand_open_connections_leave_room_for_a_client(server: Server) -> None:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    count = min(CONNECTIONS, files - 1_000)
    host, _, port = server.ingest_url.removeprefix("http://").partition(":")
    command = [sys.executable, "-c", IDLE, host, port, str(count)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as idle:
        try:
            assert idle.stdout is not None
            assert idle.stdout.readline() == "held\n"
            started = time.monotonic()
            assert is_well(server)
            assert time.monotonic() - started < 5
        finally:
            idle.kill()
    assert is_well(server)


def test_guessing_keys_is_slowed_down_and_harms_nobody_else(server: Server) -> None:
    good = server.headers("write")
    assert is_well(server)
    with httpx.Client(base_url=server.ingest_url) as client:
        heard = []
        for number in range(250):
            answer = client.post("/v1/events", headers={"X-Api-Key": f"ug_{number}"}, content="{}")
            heard.append(answer.status_code)
            if answer.status_code == 429:
                break
        assert heard[-1] == 429, "never slowed down"
        assert set(heard[:-1]) == {401}
        assert int(answer.headers["retry-after"]) >= 1
        body = ndjson([event(77)])
        assert client.post("/v1/events", headers=good, content=body).status_code == 200
    with httpx.Client(base_url=server.url) as client:
        # It may guess ten times a second again: what counts is that both ports count together.
        other = {"X-Api-Key": "guessed"}
        asked = [client.get("/v1/reports/overview", headers=other).status_code for _ in range(20)]
        assert 429 in asked, asked
    until(lambda: server.post(b"{}", Authorization="Bearer x").status_code == 401, 10, "it")


def test_a_key_tells_nothing_about_other_apps(server: Server) -> None:
    theirs = server.get("/v1/events", app=APP)
    assert theirs.status_code == 200
    headers = server.headers("read")
    answers = [
        httpx.get(server.url + "/v1/events", params={"app_id": app}, headers=headers)
        for app in (OTHER, "com.example.none")
    ]
    assert {answer.status_code for answer in answers} == {403}
    details = {answer.json()["detail"].partition("`")[0] for answer in answers}
    assert len(details) == 1


@pytest.mark.parametrize(
    "path",
    [
        "//v1/events",
        "/v1/../v1/events",
        "/v1/events/../../metrics",
        "/v1/%2e%2e/metrics",
        "/v1/events%00",
        "/v1/events;admin=1",
        "/v1/backup/",
        "/v1/backup?token=x",
        "/schema/../v1/backup",
        "/\\v1\\backup",
        "/" + "a" * 30_000,
    ],
)
def test_no_spelling_of_a_path_opens_what_its_key_does_not(server: Server, path: str) -> None:
    key = server.key("write")
    lines = [f"GET {path} HTTP/1.1", "Host: x", f"X-Api-Key: {key}", "Connection: close", "", ""]
    with connected(server) as connection:
        connection.sendall("\r\n".join(lines).encode())
        status = said(connection).split(b" ", 2)[1:2]
    assert status in ([b"403"], [b"404"], [b"400"], [b"414"], [b"405"]), status
    assert is_well(server)


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 2", "Content-Length: 50"],
        ["Content-Length: 2", "Transfer-Encoding: chunked"],
        ["Content-Length: -1"],
        ["Content-Length: 1e3"],
        ["Transfer-Encoding: chunked, identity"],
        ["X-Long: " + "a" * 1_000_000],
        ["Content-Length : 2"],
        *[[f"X-{number}: 1" for number in range(2_000)]],
    ],
)
def test_a_request_that_two_servers_may_read_differently_is_refused(
    server: Server, lines: list[str]
) -> None:
    smuggled = b"GET /v1/backup HTTP/1.1\r\nHost: x\r\n\r\n"
    with connected(server) as connection, contextlib.suppress(OSError):
        connection.sendall(head(server, *lines) + b"{}" + smuggled)
        answer = said(connection)
        assert answer.count(b"HTTP/1.1 ") <= 1, answer
        assert not answer or answer.split(b" ", 2)[1] in {b"400", b"431", b"413", b"501"}, answer
    assert is_well(server)


def test_a_request_has_an_id(server: Server) -> None:
    for path in ("/health/live", "/v1/nothing", "/v1/events"):
        answer = httpx.post(server.ingest_url + path, headers={"X-Request-Id": "edge-7"})
        assert answer.headers["x-request-id"] == "edge-7", path
        own = httpx.post(server.ingest_url + path, headers={"X-Request-Id": "a b"})
        again = httpx.post(server.ingest_url + path)
        ids = {own.headers["x-request-id"], again.headers["x-request-id"]}
        assert len(ids) == 2, path
        assert "a b" not in ids


def test_nothing_the_server_says_or_writes_holds_a_secret(server: Server) -> None:
    keys = {server.key(role) for role in ("write", "read", "admin")}
    token = json.loads((server.data_dir / "server.json").read_text())["token"]
    guess = "ug_" + os.urandom(16).hex()
    heard = []
    for key in [*keys, token, guess]:
        for sent in (
            {"X-Api-Key": key},
            {"Authorization": f"Bearer {key}"},
            {"Authorization": f"Basic {key}"},
            {"Authorization": f"Digest {key}"},
        ):
            for path in ("/v1/events", "/v1/reports/overview", "/v1/nothing", "/v1/track"):
                heard += [httpx.get(server.url + path, headers=sent, params={"tz": "x"})]
                heard += [httpx.post(server.ingest_url + path, headers=sent, content=b"{")]
        body = json.dumps({"api_key": key, "writeKey": key, "batch": 1}).encode()
        for path in ("/batch", "/v1/batch"):
            heard += [httpx.post(server.ingest_url + path, content=body)]
    heard += [httpx.get(server.url + path) for path in ("/metrics", "/health/ready")]
    everything = "".join(f"{answer.headers}{answer.text}" for answer in heard)
    log = (server.data_dir.parent / f"{server.data_dir.name}.log").read_text()
    for secret in [*keys, token, guess]:
        assert secret not in everything
        assert secret not in log
    assert files_with(server.data_dir, *keys, token, guess) == ["server.json"]
