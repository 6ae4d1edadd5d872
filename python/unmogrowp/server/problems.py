"""Every error as RFC 9457 `application/problem+json`, from one handler."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
)
from litestar.openapi.datastructures import ResponseSpec

from unmogrowp.errors import Refused
from unmogrowp.server.wire import StoreAway

PROBLEM_JSON = "application/problem+json"
STORE_RETRY_S = 2
log = logging.getLogger("unmogrowp.server")


@dataclass
class Problem:
    """What went wrong, as RFC 9457 says it."""

    type: str
    title: str
    status: int
    detail: str


class Denied(Exception):
    """A request that ends here, with the answer it gets."""

    def __init__(self, status: int, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_after = retry_after


def encode(status: int, detail: str, title: str | None = None) -> bytes:
    """A problem as bytes."""
    phrase = title or HTTPStatus(status).phrase
    return msgspec.json.encode(Problem("about:blank", phrase, status, detail))


def response(
    status: int,
    detail: str,
    *,
    title: str | None = None,
    retry_after: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    """A problem as a response."""
    sent = dict(headers or {}) | _headers(status, retry_after)
    return Response(
        encode(status, detail, title), status_code=status, media_type=PROBLEM_JSON, headers=sent
    )


def _headers(status: int, retry_after: int | None) -> dict[str, str]:
    sent = {}
    if retry_after is not None:
        sent["retry-after"] = str(retry_after)
    if status == HTTPStatus.UNAUTHORIZED:
        sent["www-authenticate"] = "Bearer"
    return sent


def plain(error: Exception) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers for an error that knows of no framework."""
    match error:
        case Denied():
            status, detail, title, retry = error.status, error.detail, None, error.retry_after
        case Refused():
            status, detail, title = error.status, error.detail, error.title
            retry = error.retry_after
        case StoreAway():
            status, title, retry = 503, None, STORE_RETRY_S
            detail = f"{error}\nhint: try again shortly"
        case _:
            (status, detail), title, retry = unexpected(error), None, None
    headers = {"content-type": PROBLEM_JSON} | _headers(status, retry)
    return status, encode(status, detail, title), headers


def unexpected(error: Exception) -> tuple[int, str]:
    """Log an error that nobody foresaw; the status and all that a client is told."""
    log.error("unexpected error", exc_info=error)
    return 500, "something went wrong here; the log says more"


def on_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Turn whatever a handler raised into its problem."""
    if isinstance(error, HTTPException):
        return response(error.status_code, _explain(request, error), headers=error.headers)
    status, body, headers = plain(error)
    media_type = headers.pop("content-type")
    return Response(body, status_code=status, media_type=media_type, headers=headers)


def _explain(request: Request[Any, Any, Any], error: HTTPException) -> str:
    match error:
        case NotFoundException():
            return f"no route `{request.url.path}`\nhint: see /schema/openapi.json"
        case MethodNotAllowedException():
            return f"`{request.url.path}` does not take {request.method}"
    parts = error.extra if isinstance(error.extra, list) else []
    words = [
        f"`{part.get('key', '?')}`: {part.get('message', '')}{_choices(request, part.get('key'))}"
        for part in parts
        if isinstance(part, dict)
    ]
    return "; ".join(words) or error.detail


def _choices(request: Request[Any, Any, Any], name: object) -> str:
    """What a parameter with a closed list of values takes."""
    field = request.route_handler.parsed_fn_signature.parameters.get(str(name))
    return f"\nhint: one of {', '.join(field.args)}" if field and field.is_literal else ""


def documented(*statuses: int) -> dict[int, ResponseSpec]:
    """The problems a route can answer, for OpenAPI."""
    return {
        status: ResponseSpec(
            data_container=Problem,
            description=HTTPStatus(status).phrase,
            media_type=PROBLEM_JSON,
            generate_examples=False,
        )
        for status in statuses
    }
