"""Routes that take events: ours, Segment's and PostHog's."""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec

from unmogrowp import _core
from unmogrowp.server.auth import SECURITY, key_of
from unmogrowp.server.bridge import Sender
from unmogrowp.server.problems import documented
from unmogrowp.server.services import services_of

SEGMENT_ROUTES = ("batch", "track", "identify", "page", "screen", "group", "alias")
REFUSALS = documented(400, 401, 403, 413, 415, 429, 500, 503)


class Rejected(msgspec.Struct):
    """One event that was refused."""

    index: int
    event_id: str | None
    code: str
    field: str | None
    message: str


class Receipt(msgspec.Struct):
    """What became of the events of a request: everything not rejected is durable."""

    received: int
    stored: int
    duplicate: int
    rejected: list[Rejected]


class Thanks(msgspec.Struct):
    """What Segment's clients expect."""

    success: bool = True


class PostHogStatus(msgspec.Struct):
    """What PostHog's clients expect."""

    status: int = 1


RECEIVED = {200: ResponseSpec(data_container=Receipt, generate_examples=False), **REFUSALS}


async def _take(request: Request[Any, Any, Any], inlet: str) -> bytes:
    """Read the body, find whose it is and make it durable."""
    services = services_of(request)
    body = await services.bridge.collect(request.stream())
    encoding = request.headers.get("content-encoding")
    key = key_of(request.headers) or _key_in(inlet, body, encoding)
    app, key_id = services.access.writer(key)
    sender = Sender(app.id, key_id, inlet, truncate_ip=app.settings.truncate_ip)
    return await services.bridge.submit(body, encoding, sender)


def _key_in(inlet: str, body: bytes, encoding: str | None) -> str | None:
    if inlet == "native":
        return None
    return (_core.posthog_key if inlet == "posthog" else _core.segment_key)(body, encoding)


def _answer(body: bytes) -> Response[bytes]:
    return Response(body, status_code=HTTPStatus.OK, media_type="application/json")


@post(
    "/v1/events",
    status_code=200,
    responses=RECEIVED,
    security=SECURITY,
    tags=["ingest"],
    request_max_body_size=None,
)
async def take_events(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Store events: one object, an array, `{"batch":[…]}` or NDJSON, also compressed."""
    return _answer(await _take(request, "native"))


async def take_segment(request: Request[Any, Any, Any]) -> Response[bytes]:
    """One route of Segment's tracking API."""
    route = request.route_handler.opt["segment"]
    await _take(request, f"segment:{route}")
    return _answer(msgspec.json.encode(Thanks()))


def _segment(route: str) -> HTTPRouteHandler:
    return post(
        f"/v1/{route}",
        status_code=200,
        responses={200: ResponseSpec(data_container=Thanks, generate_examples=False), **REFUSALS},
        security=SECURITY,
        tags=["ingest"],
        request_max_body_size=None,
        opt={"segment": route},
    )(take_segment)


@post(
    "/batch",
    status_code=200,
    responses={
        200: ResponseSpec(data_container=PostHogStatus, generate_examples=False),
        **REFUSALS,
    },
    tags=["ingest"],
    request_max_body_size=None,
)
async def take_posthog(request: Request[Any, Any, Any]) -> Response[bytes]:
    """PostHog's capture API; the write key is `api_key` in the body."""
    await _take(request, "posthog")
    return _answer(msgspec.json.encode(PostHogStatus()))


HANDLERS = [take_events, *(_segment(route) for route in SEGMENT_ROUTES), take_posthog]
