"""The front and the application behind it answer the same requests with the same words."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import pytest

from unmogrowp import _core
from unmogrowp.catalog import Catalog, KeyRing
from unmogrowp.server import app as application
from unmogrowp.server.auth import Access
from unmogrowp.server.bridge import Body, Bridge
from unmogrowp.server.front import Front
from unmogrowp.server.services import Services

APP = "com.example.app"
BODY_BYTES_MAX, BODY_S = 4096, 5.0
EVENT = {"event_name": "open", "timestamp": "2026-01-02T03:04:05Z", "user_id": "u"}
ONE = json.dumps(EVENT).encode()
MIXED = ONE + b'\n{"event_name":7}\n' + json.dumps(EVENT | {"app_id": "other"}).encode()
SEGMENT = b'{"type":"track","event":"open","userId":"u","timestamp":"2026-01-02T03:04:05Z"}'
ASGI = Callable[[Any, Any, Any], Awaitable[None]]
CORS = {"origin": "https://shop.example"}


class Answer(NamedTuple):
    """What a client sees."""

    status: int
    headers: dict[str, str]
    body: bytes


class Both(NamedTuple):
    """The application alone and with its front, over one intake, and keys by role."""

    bridge: Bridge
    alone: Any
    front: Front
    keys: dict[str, str]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    home = tmp_path_factory.mktemp("front")
    with Catalog.open(home) as catalog:
        catalog.create_app(APP, "Example", "USD")
        keys = {role: catalog.create_key(APP, role)[0] for role in ("read", "write")}
        intake = _core.Intake(str(home / "spool"), limits={"body_bytes": BODY_BYTES_MAX})
        bridge = Bridge(intake, Body(BODY_BYTES_MAX, BODY_S))
        services = Services(bridge, Access(KeyRing(catalog), "token"), home)
        alone = application.build(services)
        yield Both(bridge, alone, Front(services, alone, application.CORS), keys)
        intake.close()


async def ask(
    app: ASGI, path: str, chunks: list[bytes], headers: dict[str, str], method: str
) -> Answer:
    left = list(chunks)
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        body = left.pop(0) if left else b""
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 9),
        "scheme": "http",
        "method": method,
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), *raw],
        "state": {},
        "extensions": {},
    }
    await app(scope, receive, send)
    sent = {name.decode().lower(): value.decode() for name, value in said[0]["headers"]}
    return Answer(said[0]["status"], sent, b"".join(part["body"] for part in said[1:]))


def compare(
    both: Both,
    path: str,
    chunks: list[bytes],
    headers: dict[str, str] | None = None,
    method: str = "POST",
) -> Answer:
    """The one answer that both give."""

    async def run() -> tuple[Answer, Answer]:
        both.bridge.start()
        try:
            alone = await ask(both.alone, path, chunks, headers or {}, method)
            return alone, await ask(both.front, path, chunks, headers or {}, method)
        finally:
            asyncio.get_running_loop().remove_reader(both.bridge.intake.fileno())

    alone, front = asyncio.run(run())
    # The front is the one that gives a request its id.
    assert front.headers.pop("x-request-id")
    assert front == alone
    return front


def bearer(both: Both, role: str = "write") -> dict[str, str]:
    return {"authorization": f"Bearer {both.keys[role]}"}


def test_events_are_stored_by_every_spelling_of_the_path(both: Both) -> None:
    for path in ("/v1/events", "/v1/events/"):
        answer = compare(both, path, [ONE], bearer(both))
        assert (answer.status, json.loads(answer.body)["stored"]) == (200, 1)
        assert answer.headers["content-type"] == "application/json"


def test_records_that_are_refused_are_named(both: Both) -> None:
    answer = compare(both, "/v1/events", [MIXED], {"x-api-key": both.keys["write"]})
    codes = [one["code"] for one in json.loads(answer.body)["rejected"]]
    assert codes == ["wrong_type", "app_mismatch"]


def test_a_body_in_single_bytes_is_one_body(both: Both) -> None:
    chunks = [bytes([byte]) for byte in ONE] + [b""]
    assert json.loads(compare(both, "/v1/events", chunks, bearer(both)).body)["stored"] == 1


def test_compressed_bodies_are_read(both: Both) -> None:
    headers = bearer(both) | {"content-encoding": "gzip"}
    assert compare(both, "/v1/events", [gzip.compress(ONE)], headers).status == 200
    assert compare(both, "/v1/events", [gzip.compress(ONE)[:-9]], headers).status == 400
    assert (
        compare(both, "/v1/events", [ONE], bearer(both) | {"content-encoding": "x"}).status == 415
    )


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer nobody"}, 401),
        ({"authorization": "Basic !"}, 401),
        ({"x-api-key": "k\xe9y"}, 401),
        (CORS, 401),
    ],
)
def test_who_has_no_key_is_refused(both: Both, headers: dict[str, str], status: int) -> None:
    answer = compare(both, "/v1/events", [ONE], headers)
    assert answer.status == status
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_read_key_may_not_write(both: Both) -> None:
    assert compare(both, "/v1/events", [ONE], bearer(both, "read")).status == 403


@pytest.mark.parametrize("body", [b"", b"[{]", b'{"batch":[{'])
def test_a_broken_body_is_a_400(both: Both, body: bytes) -> None:
    assert compare(both, "/v1/events", [body], bearer(both)).status == 400


def test_a_body_that_is_too_large_names_the_limit(both: Both) -> None:
    answer = compare(both, "/v1/events", [b"x" * BODY_BYTES_MAX, b"y"], bearer(both))
    assert answer.status == 413
    assert f"`{BODY_BYTES_MAX + 1}`" in json.loads(answer.body)["detail"]


def test_browsers_may_read_the_answer(both: Both) -> None:
    answer = compare(both, "/v1/events", [ONE], bearer(both) | CORS)
    assert answer.headers["access-control-allow-origin"] == "*"
    headers = bearer(both) | CORS | {"cookie": "a=b"}
    answer = compare(both, "/v1/events", [ONE], headers)
    assert answer.headers["access-control-allow-origin"] == CORS["origin"]
    preflight = CORS | {"access-control-request-method": "POST"}
    assert compare(both, "/v1/events", [], preflight, "OPTIONS").status == 204


def test_clients_of_others_hear_what_they_expect(both: Both) -> None:
    assert compare(both, "/v1/track", [SEGMENT], bearer(both)).body == b'{"success":true}'
    event = {"event": "open", "distinct_id": "u", "timestamp": EVENT["timestamp"]}
    sent = json.dumps({"api_key": both.keys["write"], "batch": [event]}).encode()
    for path in ("/batch", "/batch/"):
        assert compare(both, path, [sent]).body == b'{"status":1}'
    assert compare(both, "/batch/", [b'{"batch":[]}']).status == 401


def test_what_is_not_ingest_goes_on(both: Both) -> None:
    assert compare(both, "/health/live", [], method="GET").status == 200
    assert compare(both, "/nowhere", [ONE]).status == 404
    assert compare(both, "/v1/track", [], method="GET").status == 405


def test_a_client_that_leaves_stores_nothing(both: Both) -> None:
    said: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        said.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/events", "headers": [], "client": None}
    before = both.bridge.intake.status()
    asyncio.run(both.front(scope, receive, send))  # type: ignore[arg-type]
    assert both.bridge.intake.status() == before
    assert said[0]["status"] in {400, 401}
