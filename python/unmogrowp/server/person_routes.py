"""Routes about one person."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, delete
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, QueryParameter

from unmogrowp.server import wire
from unmogrowp.server.auth import SECURITY, caller_of
from unmogrowp.server.problems import documented
from unmogrowp.server.read_routes import GUARDS, answered
from unmogrowp.server.services import services_of

# `events.IDS`, as a type.
IdKind = Literal["user_id", "anonymous_id", "device_id", "idfa", "gaid", "idfv"]


class Receipt(msgspec.Struct):
    """What was erased, without saying of whom."""

    app_id: str
    id_kind: str
    salt: str
    id_sha256: str
    erased_at: str
    rows: dict[str, int]
    public_key: str
    signature: str


@delete(
    "/v1/persons",
    status_code=200,
    responses={
        200: ResponseSpec(data_container=Receipt, generate_examples=False),
        **documented(400, 401, 403, 404, 409, 429, 500, 503),
    },
    guards=GUARDS,
    security=SECURITY,
    opt={"query": {"app_id", "id_kind", "id"}},
    tags=["operations"],
)
async def erase_person(
    request: Request[Any, Any, Any],
    app_id: FromQuery[str],
    id_kind: FromQuery[IdKind],
    value: Annotated[str, QueryParameter(name="id", min_length=1)],
) -> Response[Any]:
    """Erase the person of one id: events, rejects, roll-ups, credit. For an app's admin key."""
    services = services_of(request)
    services.access.admin(caller_of(request), app_id)
    # So that what is shipped leaves the spool too.
    services.bridge.intake.seal()
    params: wire.Params = {"app_id": app_id, "kind": id_kind, "value": value}
    return await answered(await services.ask(wire.ERASE, params))


HANDLERS = [erase_person]
