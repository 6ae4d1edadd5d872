"""Is it alive, is it ready, and what does it count."""

import resource
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.openapi.datastructures import ResponseSpec

from unmogrowp.server.problems import documented
from unmogrowp.server.services import services_of
from unmogrowp.server.wire import StoreAway

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Alive(msgspec.Struct):
    """The process answers."""

    status: str = "ok"


class StoreStatus(msgspec.Struct):
    """How far the store process is."""

    lag_bytes: int
    unattributed_batches: int
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
        answer = await services_of(request).ask("status", {})
        return msgspec.json.decode(await answer.body(), type=StoreStatus)
    except StoreAway:
        return None


@get("/metrics", tags=["health"], media_type=PROMETHEUS, responses=documented(500))
async def metrics(request: Request[Any, Any, Any]) -> Response[str]:
    """Counters kept in Rust and the memory of this process, as Prometheus text."""
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    lines = (
        "# HELP process_max_resident_memory_bytes Largest resident memory so far.\n"
        "# TYPE process_max_resident_memory_bytes gauge\n"
        f"process_max_resident_memory_bytes {rss}\n"
    )
    text = services_of(request).bridge.intake.metrics() + lines
    return Response(text, media_type=PROMETHEUS)


HANDLERS = [live, ready, metrics]
