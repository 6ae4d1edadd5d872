"""Every error as RFC 9457 `application/problem+json`, from one handler."""

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
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
    status: int, detail: str, *, title: str | None = None, retry_after: int | None = None
) -> Response[bytes]:
    """A problem as a response."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(
        encode(status, detail, title), status_code=status, media_type=PROBLEM_JSON, headers=headers
    )


def on_error(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Turn whatever a handler raised into its problem."""
    match error:
        case Denied():
            return response(error.status, error.detail, retry_after=error.retry_after)
        case Refused():
            return response(
                error.status, error.detail, title=error.title, retry_after=error.retry_after
            )
        case StoreAway():
            return response(503, f"{error}\nhint: try again shortly", retry_after=STORE_RETRY_S)
        case ValidationException():
            return response(400, _explain(error))
        case HTTPException():
            return response(error.status_code, error.detail)
    log.error("unexpected error", exc_info=error)
    return response(500, "something went wrong here; the log says more")


def _explain(error: ValidationException) -> str:
    parts = error.extra if isinstance(error.extra, list) else []
    words = [
        f"`{part.get('key', '?')}`: {part.get('message', '')}"
        for part in parts
        if isinstance(part, dict)
    ]
    return "; ".join(words) or error.detail


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
