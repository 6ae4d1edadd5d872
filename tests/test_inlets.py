"""Unmodified SDKs of others against a running server: only their host is changed."""

import gzip
import http.server
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

import httpx
import pytest
from posthog import Posthog
from segment.analytics.client import Client

from serving import Server, serving
from unmogrowp import _core

pytestmark = pytest.mark.service


def send_by_segment(
    url: str, key: str, calls: Callable[[Client], None], **settings: object
) -> None:
    errors: list[object] = []
    client = Client(key, host=url, on_error=lambda e, _: errors.append(e), **settings)
    calls(client)
    client.flush()
    client.join()
    assert not errors, errors


def send_by_posthog(
    url: str, key: str, calls: Callable[[Posthog], None], **settings: object
) -> None:
    errors: list[object] = []
    client = Posthog(key, host=url, on_error=lambda e, _: errors.append(e), **settings)
    calls(client)
    client.shutdown()
    assert not errors, errors


def stored(server: Server, **ids: str) -> list[dict[str, object]]:
    """The stored events of an id, in the order of their time."""
    server.settle()
    rows = [json.loads(line) for line in server.get("/v1/events").text.splitlines()]
    chosen = [row for row in rows if all(row.get(name) == value for name, value in ids.items())]
    return sorted(chosen, key=lambda row: str(row["timestamp"]))


def test_every_call_of_segments_sdk_arrives(server: Server) -> None:
    def calls(client: Client) -> None:
        context = {
            "ip": "198.51.100.7",
            "locale": "de-DE",
            "campaign": {"source": "meta", "medium": "cpc", "name": "spring"},
            "os": {"name": "iOS", "version": "18.1"},
        }
        bought = {"revenue": 12.5, "currency": "USD", "note": "für Zoë 😀"}
        client.track("seg-1", "purchase", bought, context=context, anonymous_id="seg-a")
        client.identify("seg-1", {"plan": "free"}, anonymous_id="seg-a")
        client.alias("seg-a", "seg-1")
        client.page("seg-1", "shop", "Home")
        client.screen("seg-1", "shop", "Start")
        client.group("seg-1", "team", {"size": 3})

    send_by_segment(server.url, server.key("write"), calls)
    rows = {str(row["event_name"]): row for row in stored(server, user_id="seg-1")}
    assert set(rows) == {"purchase", "identify", "alias", "page", "screen", "group"}
    purchase = rows["purchase"]
    assert (Decimal(str(purchase["revenue"])), purchase["currency"]) == (Decimal("12.5"), "USD")
    assert purchase["anonymous_id"] == rows["alias"]["anonymous_id"] == "seg-a"
    expected = {"source": "meta", "campaign": "spring", "ip": "198.51.100.7", "os": "iOS"}
    assert {name: purchase[name] for name in expected} == expected
    original = purchase["properties"]
    assert original["properties"] == {"revenue": 12.5, "currency": "USD", "note": "für Zoë 😀"}
    assert original["messageId"] == purchase["event_id"]


def test_every_call_of_posthogs_sdk_arrives(server: Server) -> None:
    visitor = str(uuid.uuid4())

    def calls(client: Posthog) -> None:
        ad = {"utm_source": "podcast", "utm_campaign": "launch"}
        client.capture("click", distinct_id=visitor, properties=ad)
        client.alias(visitor, "ph-1")
        client.capture("purchase", distinct_id="ph-1", properties={"revenue": 3, "currency": "EUR"})
        client.set(distinct_id="ph-1", properties={"plan": "pro"})
        client.group_identify("team", "t-1", {"size": 3})

    send_by_posthog(server.url, server.key("write"), calls)
    (click,) = [row for row in stored(server, anonymous_id=visitor) if row["event_name"] == "click"]
    assert (click["event_type"], click["source"], click["campaign"]) == (
        "click",
        "podcast",
        "launch",
    )
    rows = {str(row["event_name"]): row for row in stored(server, user_id="ph-1")}
    assert set(rows) == {"$create_alias", "purchase", "$set"}
    assert rows["$create_alias"]["anonymous_id"] == visitor
    assert rows["purchase"]["currency"] == "EUR"
    assert rows["purchase"]["properties"]["distinct_id"] == "ph-1"


def test_a_sale_finds_the_advertisement_across_an_alias(server: Server) -> None:
    app, visitor = "com.example.alias", str(uuid.uuid4())
    server.create_app(app)

    def calls(client: Posthog) -> None:
        client.capture("click", distinct_id=visitor, properties={"utm_source": "podcast"})
        client.alias(visitor, "member")
        paid = {"revenue": 3, "currency": "USD"}
        client.capture("purchase", distinct_id="member", properties=paid)

    send_by_posthog(server.url, server.key("write", app), calls)
    server.settle()
    report = server.get("/v1/reports/attribution", app=app, model="last_touch").json()
    assert [(row["channel"], row["conversions"]) for row in report["rows"]] == [("podcast", 1)]


@pytest.mark.parametrize("sdk", ["segment", "posthog"])
def test_compressed_batches_arrive(server: Server, sdk: str) -> None:
    user = f"gzip-{sdk}"
    key = server.key("write")
    if sdk == "segment":
        send_by_segment(server.url, key, lambda c: c.track(user, "zipped"), gzip=True)
    else:
        send_by_posthog(server.url, key, lambda c: c.capture("zipped", distinct_id=user), gzip=True)
    assert [row["event_name"] for row in stored(server, user_id=user)] == ["zipped"]


@contextmanager
def recording() -> Iterator[tuple[str, list[tuple[str, dict[str, str], bytes]]]]:
    """A loopback server that keeps what an SDK sends."""
    seen: list[tuple[str, dict[str, str], bytes]] = []

    class Recorder(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    recorder = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    thread = threading.Thread(target=recorder.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{recorder.server_port}", seen
    finally:
        recorder.shutdown()
        thread.join()
        recorder.server_close()


@pytest.mark.parametrize("settings", [{}, {"gzip": True}], ids=["plain", "gzip"])
def test_the_key_is_found_in_what_sdks_send(settings: dict[str, bool]) -> None:
    with recording() as (url, seen):
        send_by_segment(url, "wk", lambda c: c.track("u", "e"), **settings)
        send_by_posthog(url, "pk", lambda c: c.capture("e", distinct_id="u"), **settings)
    by_path = {path: (headers.get("content-encoding"), body) for path, headers, body in seen}
    encoding, body = by_path["/v1/batch"]
    assert _core.segment_key(body, encoding) == "wk"
    assert _core.segment_key(body, None) == "wk", "the first bytes say how it is compressed"
    encoding, body = by_path["/batch/"]
    assert _core.posthog_key(body, encoding) == "pk"
    assert (_core.posthog_key(b"nonsense"), _core.segment_key(gzip.compress(b"{}"))) == (None, None)


def test_the_same_batch_twice_is_stored_once(server: Server) -> None:
    with recording() as (url, seen):
        send_by_segment(url, server.key("write"), lambda c: c.track("twice", "open"))
    ((path, headers, body),) = seen
    kept = {"Authorization": headers["authorization"]}
    for _ in range(2):
        answer = httpx.post(server.url + path, content=body, headers=kept)
        assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert len(stored(server, user_id="twice")) == 1


def test_a_bad_record_is_a_reject_and_its_neighbours_are_stored(server: Server) -> None:
    batch = [
        {"type": "track", "event": "fine", "userId": "mixed", "timestamp": "2026-3-4T05:06:07Z"},
        {"type": "track", "event": "wrong", "userId": "mixed", "timestamp": "yesterday"},
        17,
        {"type": "track", "event": "cheap", "userId": "mixed", "properties": {"revenue": "1,5"}},
    ]
    body = json.dumps({"batch": batch, "writeKey": server.key("write")}).encode()
    answer = httpx.post(server.url + "/v1/batch", content=body)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    rows = stored(server, user_id="mixed")
    assert [row["event_name"] for row in rows] == ["fine", "cheap"]
    assert rows[0]["timestamp"].startswith("2026-03-04T05:06:07")
    rejects = server.get("/v1/rejects").json()["rows"]
    mine = {row["code"] for row in rejects if '"wrong"' in row["raw"] or row["raw"] == "17"}
    assert mine == {"invalid_timestamp", "not_an_object"}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/batch", b'{"batch":17}', 400),
        ("/v1/batch", b'{"userId":"u"}', 400),
        ("/v1/track", b"[]", 400),
        ("/v1/delete", b"{}", 404),
        ("/batch/", b'{"batch":[]}', 401),
        ("/batch/", b'{"batch":[],"api_key":"ug_nobody"}', 401),
    ],
)
def test_a_body_of_nobody_is_refused(server: Server, path: str, body: bytes, status: int) -> None:
    auth = httpx.BasicAuth(server.key("write"), "") if path.startswith("/v1") else None
    answer = httpx.post(server.url + path, content=body, auth=auth)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_empty_batch_is_thanked_for(server: Server) -> None:
    body = json.dumps({"batch": [], "api_key": server.key("write")}).encode()
    assert httpx.post(server.url + "/batch/", content=body).status_code == 200
    auth = httpx.BasicAuth(server.key("write"), "")
    answer = httpx.post(server.url + "/v1/batch", content=b'{"batch":[]}', auth=auth)
    assert (answer.status_code, answer.json()) == (200, {"success": True})


def test_sdks_outlive_a_restart(tmp_path) -> None:
    """What an SDK was told is stored stays stored; what it could not send, it sends again."""
    with serving(tmp_path / "data") as server:
        key = server.key("write")
        send_by_segment(server.url, key, lambda c: c.track("before", "open"))
        server.kill()
        server.start()
        send_by_segment(server.url, key, lambda c: c.track("after", "open"))
        assert len(stored(server, user_id="before")) == 1
        assert len(stored(server, user_id="after")) == 1
