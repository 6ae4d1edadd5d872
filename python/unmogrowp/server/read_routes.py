"""Routes that read: stored events, rejects and reports, answered by the store process."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

from litestar import Request, Response, get
from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, QueryParameter
from litestar.response import Stream

from unmogrowp.server import times, wire
from unmogrowp.server.auth import SECURITY, caller_of
from unmogrowp.server.problems import STORE_RETRY_S, Denied, documented
from unmogrowp.server.services import services_of

From = Annotated[str | None, QueryParameter(name="from", description="first instant or date")]
To = Annotated[str | None, QueryParameter(name="to", description="first instant not included")]
Limit = Annotated[int | None, QueryParameter(ge=0, le=2**63 - 1, description="most rows")]
Level = Annotated[
    float | None,
    QueryParameter(gt=0, lt=1, description="how sure to be, e.g. 0.95: adds intervals"),
]
Resamples = Annotated[int, QueryParameter(ge=2, le=1_000, description="of intervals")]
Seed = Annotated[int, QueryParameter(ge=0, le=2**63 - 1, description="of intervals")]
GroupBy = Literal["channel", "campaign", "adset", "creative", "country", "day"]
Interval = Literal["hour", "day", "week", "month", "total"]

PROBLEMS = documented(400, 401, 403, 404, 406, 429, 500, 503)
ROWS = {
    200: ResponseSpec(
        data_container=dict[str, Any], description="rows and total", generate_examples=False
    ),
    **PROBLEMS,
}
FORMATS = {
    "application/x-ndjson": "ndjson",
    "text/csv": "csv",
    "application/vnd.apache.arrow.stream": "arrow",
    "application/vnd.apache.parquet": "parquet",
}


def only_known_queries(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Refuse a query parameter that the route does not have."""
    known = handler.opt["query"]
    for name in connection.query_params:
        if name not in known:
            raise Denied(
                HTTPStatus.BAD_REQUEST,
                f"unknown query parameter `{name}`\nhint: there are {', '.join(sorted(known))}",
            )


def may_read(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """Who may not read at all is told so before what is wrong with the question."""
    services_of(connection).access.guest(caller_of(connection))


GUARDS = [may_read, only_known_queries]


def _accepted(request: Request[Any, Any, Any], formats: dict[str, str], default: str) -> str:
    accept = request.headers.get("accept", "")
    wanted = _by_preference(accept)
    for media in wanted:
        if media in formats:
            return formats[media]
        if media in {"*/*", "application/*", "application/json"}:
            return default
    if not accept.strip():
        return default
    raise Denied(
        HTTPStatus.NOT_ACCEPTABLE,
        f"cannot answer with `{accept}`\nhint: there are {', '.join(formats)}",
    )


def _by_preference(accept: str) -> list[str]:
    """The media types of an `Accept` header, the most wanted first (RFC 9110, 12.5.1)."""
    ranked: list[tuple[float, str]] = []
    for part in accept.split(","):
        media, *parameters = (word.strip().lower() for word in part.split(";"))
        qualities = [word.removeprefix("q=") for word in parameters if word.startswith("q=")]
        try:
            quality = float(qualities[0]) if qualities else 1.0
        except ValueError:
            quality = 0.0
        if media and quality > 0:
            ranked.append((-quality, media))
    return [media for _, media in sorted(ranked, key=lambda pair: pair[0])]


async def _answer(
    request: Request[Any, Any, Any], name: str, app_id: str, params: wire.Params
) -> Response[Any]:
    services = services_of(request)
    services.access.reader(caller_of(request), app_id)
    return await answered(await services.ask(name, {"app_id": app_id, **params}))


async def answered(answer: wire.Answer) -> Response[Any]:
    """The store's answer as one of ours.

    Raises:
        Denied: What the store refused.
    """
    if answer.head.status != HTTPStatus.OK:
        detail = (await answer.body()).decode()
        is_away = answer.head.status == HTTPStatus.SERVICE_UNAVAILABLE
        raise Denied(answer.head.status, detail, retry_after=STORE_RETRY_S if is_away else None)
    return Stream(answer.chunks, media_type=answer.head.content_type)


def _span(start: str | None, stop: str | None, tz: str) -> wire.Params:
    zone = times.zone(tz)
    return {
        "start_us": times.instant_us("from", start, zone),
        "stop_us": times.instant_us("to", stop, zone),
        "tz": tz,
    }


@get(
    "/v1/events",
    responses={
        200: ResponseSpec(
            data_container=bytes,
            description="the stored events",
            media_type="application/x-ndjson",
            generate_examples=False,
        ),
        **PROBLEMS,
    },
    guards=GUARDS,
    security=SECURITY,
    opt={"query": {"app_id", "from", "to", "tz", "event_name", "limit"}},
    tags=["read"],
)
async def read_events(
    request: Request[Any, Any, Any],
    app_id: FromQuery[str],
    start: From = None,
    stop: To = None,
    tz: FromQuery[str] = "UTC",
    event_name: FromQuery[str | None] = None,
    limit: Limit = None,
) -> Response[Any]:
    """The stored events: NDJSON, CSV, Arrow or Parquet by `Accept`."""
    shape = _accepted(request, FORMATS, "ndjson")
    params = {**_span(start, stop, tz), "event_name": event_name, "limit": limit, "format": shape}
    return await _answer(request, "events", app_id, params)


@get(
    "/v1/rejects",
    responses=ROWS,
    guards=GUARDS,
    security=SECURITY,
    opt={"query": {"app_id", "from", "to", "tz", "limit"}},
    tags=["read"],
)
async def read_rejects(
    request: Request[Any, Any, Any],
    app_id: FromQuery[str],
    start: From = None,
    stop: To = None,
    tz: FromQuery[str] = "UTC",
    limit: Limit = None,
) -> Response[Any]:
    """What was refused in the last seven days, with code, reason and raw bytes."""
    shape = _accepted(request, {"application/json": "json", "text/csv": "csv"}, "json")
    params = {**_span(start, stop, tz), "limit": limit, "format": shape}
    return await _answer(request, "rejects", app_id, params)


@get(
    "/v1/backup",
    responses={
        200: ResponseSpec(
            data_container=bytes,
            description="a tar archive of the data directory",
            media_type="application/x-tar",
            generate_examples=False,
        ),
        **PROBLEMS,
    },
    guards=GUARDS,
    security=SECURITY,
    opt={"query": set()},
    tags=["operations"],
)
async def read_backup(request: Request[Any, Any, Any]) -> Response[Any]:
    """Everything that was acknowledged before; for the owner of the data directory."""
    services = services_of(request)
    services.access.owner(caller_of(request))
    return await answered(await services.ask(wire.BACKUP, {}))


SPAN = {"app_id", "from", "to", "tz"}
SHAPES = {"application/json": "json", "text/csv": "csv"}


def _reporting(path: str, *own: str) -> get:
    """A route for a report with `own` query parameters beside app and time."""
    return get(
        path,
        responses=ROWS,
        guards=GUARDS,
        security=SECURITY,
        tags=["reports"],
        opt={"query": SPAN | set(own)},
    )


@_reporting("/v1/reports/overview", "interval")
async def report_overview(
    request: Request[Any, Any, Any],
    app_id: FromQuery[str],
    start: From = None,
    stop: To = None,
    tz: FromQuery[str] = "UTC",
    interval: FromQuery[Interval] = "day",
) -> Response[Any]:
    """Events, users and revenue by time and event name."""
    params = {**_span(start, stop, tz), "interval": interval}
    return await _report(request, "overview", app_id, params)


@_reporting("/v1/reports/campaigns")
async def report_campaigns(
    request: Request[Any, Any, Any],
    app_id: FromQuery[str],
    start: From = None,
    stop: To = None,
    tz: FromQuery[str] = "UTC",
) -> Response[Any]:
    """Impressions, clicks, conversions and value by source and campaign."""
    return await _report(request, "campaigns", app_id, _span(start, stop, tz))


@_reporting("/v1/reports/cohorts", "by", "days")
async def report_cohorts(
    request: Request[Any, Any, Any],
    app_id: FromQuery[str],
    start: From = None,
    stop: To = None,
    tz: FromQuery[str] = "UTC",
    by: FromQuery[Literal["source", "campaign", "adset", "creative"]] = "source",
    days: FromQuery[str] = "1,7,30",
) -> Response[Any]:
    """Retention and revenue of people by the channel their install was attributed to."""
    params = {**_span(start, stop, tz), "by": by, "days": _days(days)}
    return await _report(request, "cohorts", app_id, params)


@_reporting(
    "/v1/reports/attribution",
    *("model", "conversion", "group_by", "currency", "intervals", "resamples", "seed"),
)
async def report_attribution(
    request: Request[Any, Any, Any],
    app_id: FromQuery[str],
    model: FromQuery[str] = "last_touch",
    start: From = None,
    stop: To = None,
    tz: FromQuery[str] = "UTC",
    conversion: FromQuery[str | None] = None,
    group_by: FromQuery[GroupBy] = "channel",
    currency: FromQuery[str | None] = None,
    intervals: Level = None,
    resamples: Resamples = 200,
    seed: Seed = 0,
) -> Response[Any]:
    """Each channel's share of the conversions in a time range, by one model."""
    params: wire.Params = {**_span(start, stop, tz), "model": model, "group_by": group_by}
    params |= {"conversion": conversion, "currency": currency}
    params |= {"intervals": intervals, "resamples": resamples, "seed": seed}
    return await _report(request, "attribution", app_id, params)


@_reporting("/v1/reports/paths", "conversion", "group_by", "currency", "limit")
async def report_paths(
    request: Request[Any, Any, Any],
    app_id: FromQuery[str],
    start: From = None,
    stop: To = None,
    tz: FromQuery[str] = "UTC",
    conversion: FromQuery[str | None] = None,
    group_by: FromQuery[Literal["channel", "campaign", "adset", "creative"]] = "channel",
    currency: FromQuery[str | None] = None,
    limit: Limit = None,
) -> Response[Any]:
    """Sequences of channels people took and how often each converted, the most frequent first."""
    params: wire.Params = {**_span(start, stop, tz), "group_by": group_by, "currency": currency}
    params |= {"conversion": conversion, "limit": PATHS_MAX if limit is None else limit}
    return await _report(request, "paths", app_id, params)


async def _report(
    request: Request[Any, Any, Any], name: str, app_id: str, params: wire.Params
) -> Response[Any]:
    shape = _accepted(request, SHAPES, "json")
    return await _answer(request, name, app_id, {**params, "format": shape})


DIGITS_MAX = 4
# Without a limit: more paths than people read.
PATHS_MAX = 100


def _days(text: str) -> list[str]:
    days = [part.strip() for part in text.split(",")]
    if not all(day.isascii() and day.isdigit() and len(day) <= DIGITS_MAX for day in days):
        raise Denied(
            HTTPStatus.BAD_REQUEST, f"`days` must be numbers, got `{text}`\nhint: e.g. days=1,7,30"
        )
    return list(dict.fromkeys(days))


HANDLERS = [
    read_events,
    read_rejects,
    read_backup,
    report_overview,
    report_campaigns,
    report_cohorts,
    report_attribution,
    report_paths,
]
