"""What the OpenAPI document says beyond the signatures of the handlers.

Instants, time zones, models and bodies have types of their own there, so that a generated client
knows them, and a request that is valid by the document is one that the server takes.
"""

from typing import Any, final
from zoneinfo import available_timezones

from litestar import Request
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Example,
    OpenAPI,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Schema,
)

from unmogrowp.attribution import MODELS, VARIANTS

INSTANT = Schema(
    description="a date of the time zone `tz`, or an instant as RFC 3339 has it",
    one_of=[
        Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.DATE),
        Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.DATE_TIME),
    ],
)
COMPONENTS = {
    "Instant": INSTANT,
    "Model": Schema(
        type=OpenAPIType.STRING, description="an attribution model", enum=[*MODELS, *VARIANTS]
    ),
    "Days": Schema(
        type=OpenAPIType.STRING,
        description="days since the install, with commas between",
        pattern=r"^[0-9]{1,4}(,[0-9]{1,4}){0,9}$",
    ),
    "Limit": Schema(
        type=OpenAPIType.INTEGER, description="most rows", minimum=0, maximum=2**63 - 1
    ),
}
KINDS = {
    "from": "Instant",
    "to": "Instant",
    "tz": "TimeZone",
    "model": "Model",
    "days": "Days",
    "limit": "Limit",
}
EVENT = {
    "event_id": "0190c0de-7f6a-7c3e-8a10-2b4a6f1f0001",
    "event_name": "purchase",
    "timestamp": "2026-03-01T12:00:00Z",
    "user_id": "ana",
    "revenue": "9.99",
    "currency": "USD",
}
CALL = {"messageId": "m-1", "event": "Order Completed", "userId": "ana"}
CAPTURED = {"event": "purchase", "distinct_id": "ana", "timestamp": "2026-03-01T12:00:00Z"}
BATCH = Schema(
    type=OpenAPIType.OBJECT,
    required=["batch"],
    properties={"batch": Schema(type=OpenAPIType.ARRAY)},
)
# A record that is wrong is a reject with its reason, not a refused request.
BODIES: dict[str, tuple[Schema, object]] = {
    "/v1/events": (Schema(description="an event, an array of them, or `batch` with one"), EVENT),
    "/v1/batch": (BATCH, {"batch": [{"type": "track", **CALL}]}),
    "/batch": (
        Schema(
            any_of=[
                BATCH,
                Schema(
                    type=OpenAPIType.OBJECT,
                    required=["event"],
                    properties={"event": Schema(schema_not=Schema(type=OpenAPIType.NULL))},
                ),
                Schema(type=OpenAPIType.ARRAY),
            ]
        ),
        {"api_key": "KEY", "batch": [CAPTURED]},
    ),
}
ANY_CALL = (Schema(type=OpenAPIType.OBJECT), CALL)


@final
class Refined(JsonRenderPlugin):
    """The document as JSON, made when it is first asked for and not at every start."""

    def __init__(self) -> None:
        super().__init__()
        self._document: dict[str, Any] | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Ours in place of the one that Litestar gives."""
        del openapi_schema
        if self._document is None:
            document = request.app.openapi_schema
            refine(document)
            self._document = document.to_schema()
        return super().render(request, self._document)


def refine(document: OpenAPI) -> None:
    """Fill in what Litestar cannot know."""
    zones = Schema(
        type=OpenAPIType.STRING,
        description="an IANA time zone",
        enum=sorted(available_timezones()),
    )
    document.components.schemas.update({**COMPONENTS, "TimeZone": zones})
    for path, item in (document.paths or {}).items():
        for operation in (item.get, item.post, item.delete):
            if operation is not None:
                _parameters(operation)
                operation.summary = (operation.description or "").partition(".")[0]
        if item.post is not None:
            item.post.request_body = _body(path)


def _parameters(operation: Operation) -> None:
    for parameter in operation.parameters or []:
        if isinstance(parameter, Parameter) and parameter.name in KINDS:
            parameter.schema = Reference(f"#/components/schemas/{KINDS[parameter.name]}")


def _body(path: str) -> RequestBody:
    schema, value = BODIES.get(path, ANY_CALL)
    kind = OpenAPIMediaType(schema, examples={"one": Example(value=value)})
    return RequestBody(content={"application/json": kind}, required=True)
