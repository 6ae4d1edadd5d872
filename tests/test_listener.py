"""The native listener beside the application: the same requests, the same answers, one intake."""

import contextlib
import gzip
import json
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving import APP, CLI, LISTENERS, Server, cli, event, ndjson, serving, until

pytestmark = pytest.mark.service
CORS = {"Origin": "https://shop.example"}
SEGMENT = b'{"type":"track","event":"open","userId":"u","timestamp":"2026-01-02T03:04:05Z"}'
BODY_BYTES_MAX = 4096
# What only one of the two says, and what is about the connection.
OWN_HEADERS = {"date", "server", "x-request-id", "connection"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = {"UNMOGROWP_LIMITS__BODY_BYTES": str(BODY_BYTES_MAX)}
    data_dir = tmp_path_factory.mktemp("listener") / "data"
    server = Server(data_dir, flags=LISTENERS["native"], env=limits).start()
    try:
        server.create_app()
        yield server
    finally:
        server.stop()


def both(
    server: Server,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    method: str = "POST",
) -> httpx.Response:
    """The one answer that both give; the listener's."""
    answers = [
        httpx.request(method, base + path, content=body, headers=headers, timeout=30)
        for base in (server.url, server.ingest_url)
    ]
    said = [
        (
            answer.status_code,
            answer.content,
            {name: value for name, value in answer.headers.items() if name not in OWN_HEADERS},
        )
        for answer in answers
    ]
    assert said[0] == said[1]
    assert answers[1].headers["x-request-id"]
    return answers[1]


def raw(server: Server) -> socket.socket:
    url = httpx.URL(server.ingest_url)
    return socket.create_connection((url.host, url.port or 80), timeout=20)


def head(server: Server, *lines: str) -> bytes:
    fixed = ("POST /v1/events HTTP/1.1", "Host: x", f"X-Api-Key: {server.key('write')}")
    return "\r\n".join([*fixed, *lines, "", ""]).encode()


def heard(connection: socket.socket, answers: int) -> bytes:
    """What comes until there are so many answers, or the other side closes."""
    found = b""
    with contextlib.suppress(OSError):
        while found.count(b"HTTP/1.1 ") < answers or not found.endswith(b"}"):
            chunk = connection.recv(65_536)
            if not chunk:
                break
            found += chunk
    return found


def test_both_store_events_and_know_what_the_other_stored(server: Server) -> None:
    body = ndjson([event(1, event_id="shared")])
    headers = server.headers("write")
    first = httpx.post(server.url + "/v1/events", content=body, headers=headers).json()
    second = httpx.post(server.ingest_url + "/v1/events/", content=body, headers=headers).json()
    assert (first["stored"], second["duplicate"]) == (1, 1)
    metrics = httpx.get(server.url + "/metrics").text
    assert "unmogrowp_events_duplicate_total 1" in metrics
    server.settle()
    assert len(server.get("/v1/events").text.splitlines()) == 1


def test_what_is_stored_can_be_read(server: Server) -> None:
    sent = event(2, event_id="read", event_name="purchase", revenue="4.99", currency="EUR")
    assert server.post(gzip.compress(ndjson([sent])), **{"Content-Encoding": "gzip"}).is_success
    server.settle()
    rows = [json.loads(line) for line in server.get("/v1/events").text.splitlines()]
    (row,) = [row for row in rows if row["event_name"] == "purchase"]
    assert (row["revenue"], row["user_id"], row["app_id"]) == ("4.99", sent["user_id"], APP)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer nobody"}, 401),
        ({"Authorization": "Basic !"}, 401),
        ({"Authorization": "Basic bm9ib2R5Og=="}, 401),
        ({"X-Api-Key": "k\xe9y"}, 401),
        (CORS, 401),
        (CORS | {"Cookie": "a=b"}, 401),
    ],
)
def test_who_has_no_key_is_refused(server: Server, headers: dict[str, str], status: int) -> None:
    sent = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = both(server, "/v1/events", b"{}", sent)  # type: ignore[arg-type]
    assert answer.status_code == status
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("path", "body", "extra", "status"),
    [
        ("/v1/events", b"", {}, 400),
        ("/v1/events", b"[{]", {}, 400),
        ("/v1/events", b'{"event_name":7}', {}, 200),
        ("/v1/events", b"x" * (BODY_BYTES_MAX + 1), {}, 413),
        ("/v1/events", b"{}", {"Content-Encoding": "lzma"}, 415),
        ("/v1/events", gzip.compress(b"{}", mtime=0)[:-9], {"Content-Encoding": "gzip"}, 400),
        ("/v1/track", SEGMENT, {}, 200),
        ("/v1/track/", SEGMENT, CORS, 200),
        ("/v1/batch", b'{"batch":[]}', {}, 200),
        ("/v1/identify", b"7", {}, 400),
        ("/batch/", b'{"batch":[]}', {}, 200),
    ],
)
def test_both_say_the_same(
    server: Server, path: str, body: bytes, extra: dict[str, str], status: int
) -> None:
    answer = both(server, path, body, server.headers("write") | extra)
    assert answer.status_code == status


def test_a_key_may_be_in_the_body_of_an_sdk(server: Server) -> None:
    record = {"event": "open", "distinct_id": "u", "timestamp": "2026-01-02T03:04:05Z"}
    sent = json.dumps({"api_key": server.key("write"), "batch": [record]}).encode()
    assert both(server, "/batch", sent).json() == {"status": 1}
    assert both(server, "/batch", b'{"batch":[]}').status_code == 401
    writer = {"writeKey": server.key("write"), "batch": [json.loads(SEGMENT)]}
    assert both(server, "/v1/batch", json.dumps(writer).encode()).json() == {"success": True}


def test_a_read_key_may_not_write(server: Server) -> None:
    assert both(server, "/v1/events", b"{}", server.headers("read")).status_code == 403


def test_browsers_are_told_that_they_may_send(server: Server) -> None:
    asked = CORS | {"Access-Control-Request-Method": "POST"}
    for path in ("/v1/events", "/v1/batch", "/batch/"):
        answer = httpx.options(server.ingest_url + path, headers=asked)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "x-api-key" in answer.headers["access-control-allow-headers"]
        assert "POST" in answer.headers["access-control-allow-methods"]


def test_the_port_takes_events_only(server: Server) -> None:
    assert httpx.get(server.ingest_url + "/health/live").json() == {"status": "ok"}
    assert httpx.get(server.ingest_url + "/health/ready").json() == {"status": "ready"}
    reports = httpx.get(server.ingest_url + "/v1/reports/overview")
    assert reports.status_code == 404
    assert "--port" in reports.json()["detail"]
    wrong = httpx.get(server.ingest_url + "/v1/events")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST, OPTIONS")


def test_http_2_is_spoken_too(server: Server) -> None:
    with httpx.Client(http1=False, http2=True, base_url=server.ingest_url) as client:
        headers = server.headers("write")
        for number in range(20):
            body = ndjson([event(number, event_id=f"h2-{number}")])
            answer = client.post("/v1/events", content=body, headers=headers)
            assert (answer.http_version, answer.json()["stored"]) == ("HTTP/2", 1)


def test_requests_behind_each_other_are_answered_in_their_order(server: Server) -> None:
    bodies = [ndjson([event(number, event_id=f"pipe-{number}")] * number) for number in (1, 2, 3)]
    with raw(server) as connection:
        sent = [head(server, f"Content-Length: {len(body)}") + body for body in bodies]
        connection.sendall(b"".join(sent))
        answers = heard(connection, 3)
    counts = [
        json.loads(part.split(b"\r\n\r\n")[1])["received"]
        for part in answers.split(b"HTTP/1.1 ")[1:]
    ]
    assert counts == [1, 2, 3]


def test_a_body_in_chunks_of_one_byte_is_one_body(server: Server) -> None:
    body = ndjson([event(1, event_id="chunked")])
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    with raw(server) as connection:
        connection.sendall(head(server, "Transfer-Encoding: chunked"))
        for at in range(0, len(chunks), 7):
            connection.sendall(chunks[at : at + 7])
        connection.sendall(b"0\r\n\r\n")
        assert b'"stored":1' in heard(connection, 1)


def test_a_head_in_single_bytes_is_one_head(server: Server) -> None:
    body = ndjson([event(1, event_id="dripped")])
    with raw(server) as connection:
        for byte in head(server, f"Content-Length: {len(body)}") + body:
            connection.sendall(bytes([byte]))
        assert b'"stored":1' in heard(connection, 1)


@pytest.mark.parametrize(
    "line",
    [
        "Content-Length: ten",
        "Content-Length: -1",
        "Content-Length: 2\r\nContent-Length: 3",
        "Transfer-Encoding: gzip",
        "X-Long: " + "x" * (1 << 20),
    ],
)
def test_a_head_that_breaks_the_rules_ends_the_connection(server: Server, line: str) -> None:
    with raw(server) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(head(server, line) + b"{}")
        answer = heard(connection, 1)
    assert not answer or answer.split(b" ")[1] in {b"400", b"431"}, answer[:200]
    assert server.post(ndjson([event(1)])).status_code == 200


def test_a_new_key_works_at_once_and_a_revoked_one_stops_within_a_second(server: Server) -> None:
    words = ("keys", "create", "--app", APP, "--role", "write", "--json")
    made = json.loads(cli(*words, data_dir=server.data_dir))
    headers = {"Authorization": f"Bearer {made['key']}"}
    stop = threading.Event()

    def keep_asking() -> None:
        # A key in use is asked for again before its answer is old.
        while not stop.is_set():
            server.post(b"{}", **headers)

    asking = threading.Thread(target=keep_asking)
    assert server.post(ndjson([event(1)]), **headers).status_code == 200
    asking.start()
    cli("keys", "revoke", made["id"], data_dir=server.data_dir)
    revoked = time.monotonic()
    until(lambda: server.post(b"{}", **headers).status_code == 401, 2.0, "the key was refused")
    assert time.monotonic() - revoked < 1.5
    stop.set()
    asking.join()


def test_addresses_are_cut_where_the_app_says_so(tmp_path: Path) -> None:
    with serving(tmp_path / "data", *LISTENERS["native"]) as server:
        server.set_app("truncate_ip=true")
        assert server.post(ndjson([event(1, ip="203.0.113.77")])).json()["stored"] == 1
        server.settle()
        assert json.loads(server.get("/v1/events").text)["ip"] == "203.0.113.0"


def test_what_is_being_sent_when_it_ends_is_answered_first(tmp_path: Path) -> None:
    with serving(tmp_path / "data", *LISTENERS["native"]) as server, raw(server) as connection:
        assert server.process is not None
        body = ndjson([event(1, event_id="last")])
        connection.sendall(head(server, f"Content-Length: {len(body)}") + body[:-9])
        until(lambda: server.post(ndjson([event(2)])).is_success, 5, "the first is on its way")
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        connection.sendall(body[-9:])
        assert b'"stored":1' in heard(connection, 1)
        assert server.process.wait(timeout=10) == 0


def test_it_says_where_it_listens(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--role", "ingest", *LISTENERS["native"]) as server:
        assert server.ingest_url != server.url
        assert server.post(ndjson([event(1)])).json()["stored"] == 1
        said = httpx.get(server.url + "/health/ready").json()
        assert said["store"] is None


def test_its_line_comes_before_the_last_one(tmp_path: Path) -> None:
    ports = ("--port", "0", *LISTENERS["native"])
    command = [*CLI, "serve", "--data-dir", str(tmp_path / "data"), *ports]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first, last = process.stdout.readline(), process.stdout.readline()
        process.terminate()
    assert re.fullmatch(r"ingest on http://127.0.0.1:\d+\n", first)
    assert re.fullmatch(r"listening on http://127.0.0.1:\d+\n", last)


def test_two_ports_are_two(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = ("--listener", "native", "--port", port, "--ingest-port", port)
    command = [*CLI, "serve", "--data-dir", str(tmp_path / "data"), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode != 0
    assert "--ingest-port" in done.stderr
    assert "hint: " in done.stderr
