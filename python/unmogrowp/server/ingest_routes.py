"""Routes that take events: ours, Segment's and PostHog's."""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response, post, route
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec

from unmogrowp.server.auth import SECURITY, caller_of
from unmogrowp.server.problems import documented
from unmogrowp.server.services import services_of
from unmogrowp.server.taking import SEGMENT_ROUTES, Sent, take

REFUSALS = documented(400, 401, 403, 408, 413, 415, 429, 500, 503)


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


async def _take(request: Request[Any, Any, Any], path: str) -> Response[bytes]:
    sent = Sent(path, request.headers, peer=caller_of(request).peer)
    body = await take(services_of(request), sent, request.stream())
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
    return await _take(request, "/v1/events")


async def take_segment(request: Request[Any, Any, Any]) -> Response[bytes]:
    """One route of Segment's tracking API."""
    return await _take(request, request.route_handler.opt["path"])


def _segment(route: str) -> HTTPRouteHandler:
    return post(
        f"/v1/{route}",
        status_code=200,
        responses={200: ResponseSpec(data_container=Thanks, generate_examples=False), **REFUSALS},
        security=SECURITY,
        tags=["ingest"],
        request_max_body_size=None,
        opt={"path": f"/v1/{route}"},
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
    return await _take(request, "/batch")


@route("/v1/events", http_method="OPTIONS", status_code=204, include_in_schema=False)
async def events_options() -> Response[None]:
    """What the path takes; made by Litestar itself it would not name both handlers' methods."""
    return Response(
        None, status_code=HTTPStatus.NO_CONTENT, headers={"allow": "GET, OPTIONS, POST"}
    )


HANDLERS = [
    events_options,
    take_events,
    *(_segment(route) for route in SEGMENT_ROUTES),
    take_posthog,
]
