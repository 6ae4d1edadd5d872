"""Is it alive, is it ready, and what does it count."""

import resource
import time
from collections.abc import Iterator
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec

from unmogrowp.server.auth import caller_of
from unmogrowp.server.problems import documented
from unmogrowp.server.services import services_of
from unmogrowp.server.wire import STATUS, StoreAway

STARTED_S = time.time()
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Alive(msgspec.Struct):
    """The process answers."""

    status: str = "ok"


class StoreStatus(msgspec.Struct):
    """How far the store process is; null where the warehouse is not open yet."""

    lag_bytes: int | None = None
    unattributed_batches: int | None = None
    problem: str | None = None


class Ready(msgspec.Struct):
    """What works, what is behind, and how long a repeated event is recognised."""

    status: str
    degraded: list[str]
    spool: dict[str, Any]
    store: StoreStatus | None
    duplicate_window_s: float


@get("/health/live", tags=["health"])
async def live() -> Alive:
    """The process answers."""
    return Alive()


@get(
    "/health/ready",
    tags=["health"],
    responses={
        200: ResponseSpec(data_container=Ready, generate_examples=False),
        503: ResponseSpec(
            data_container=Ready, description="events are refused", generate_examples=False
        ),
    },
)
async def ready(request: Request[Any, Any, Any]) -> Response[Ready]:
    """Which parts are degraded, the warehouse lag, the time the duplicate window covers."""
    services = services_of(request)
    spool = services.bridge.intake.status()
    degraded = [] if spool["is_open"] else ["spool"]
    store = await _store_status(request)
    if store is None or store.problem:
        degraded.append("store")
    body = Ready(
        "degraded" if degraded else "ready", degraded, spool, store, spool["window_covers_s"]
    )
    status = HTTPStatus.SERVICE_UNAVAILABLE if "spool" in degraded else HTTPStatus.OK
    return Response(body, status_code=status)


async def _store_status(request: Request[Any, Any, Any]) -> StoreStatus | None:
    try:
        answer = await services_of(request).ask(STATUS, {})
        return msgspec.json.decode(await answer.body(), type=StoreStatus)
    except StoreAway:
        return None


def is_near(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """From this machine anybody may count; from elsewhere only whoever may read."""
    client = connection.client
    if client is None or not ip_address(client.host).is_loopback:
        services_of(connection).access.guest(caller_of(connection))


@get(
    "/metrics",
    tags=["health"],
    media_type=PROMETHEUS,
    responses=documented(401, 403, 500),
    guards=[is_near],
)
async def metrics(request: Request[Any, Any, Any]) -> Response[str]:
    """Counters kept in Rust, and what this process uses, as Prometheus text."""
    text = services_of(request).bridge.intake.metrics() + "".join(_process())
    return Response(text, media_type=PROMETHEUS)


def _process() -> Iterator[str]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = (
        ("start_time_seconds", "gauge", "When this process began.", STARTED_S),
        ("cpu_seconds_total", "counter", "Processor time.", used.ru_utime + used.ru_stime),
        ("max_resident_memory_bytes", "gauge", "Largest memory so far.", used.ru_maxrss * 1024),
    )
    for name, kind, meaning, value in figures:
        yield f"# HELP process_{name} {meaning}\n# TYPE process_{name} {kind}\n"
        yield f"process_{name} {value}\n"


HANDLERS = [live, ready, metrics]
