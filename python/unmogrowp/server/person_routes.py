"""Routes about one person."""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response, delete
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery

from unmogrowp.events import IDS
from unmogrowp.server import wire
from unmogrowp.server.auth import SECURITY, key_of
from unmogrowp.server.problems import Denied, documented
from unmogrowp.server.read_routes import GUARDS, answered
from unmogrowp.server.services import services_of


class Receipt(msgspec.Struct):
    """What was erased, without saying of whom."""

    app_id: str
    id_kind: str
    salt: str
    id_sha256: str
    erased_at: str
    rows: dict[str, int]


@delete(
    "/v1/persons",
    status_code=200,
    responses={
        200: ResponseSpec(data_container=Receipt, generate_examples=False),
        **documented(400, 401, 403, 404, 500, 503),
    },
    guards=GUARDS,
    security=SECURITY,
    opt={"query": {"app_id", *IDS}},
    tags=["operations"],
)
async def erase_person(
    request: Request[Any, Any, Any],
    app_id: FromQuery[str],
    user_id: FromQuery[str | None] = None,
    anonymous_id: FromQuery[str | None] = None,
    device_id: FromQuery[str | None] = None,
    idfa: FromQuery[str | None] = None,
    gaid: FromQuery[str | None] = None,
    idfv: FromQuery[str | None] = None,
) -> Response[Any]:
    """Erase the person of one id: events, rejects, roll-ups, credit. For an app's admin key."""
    services = services_of(request)
    services.access.admin(key_of(request.headers), app_id)
    values = (user_id, anonymous_id, device_id, idfa, gaid, idfv)
    given = [(kind, value) for kind, value in zip(IDS, values, strict=True) if value]
    if len(given) != 1:
        raise Denied(HTTPStatus.BAD_REQUEST, f"name one id\nhint: one of {', '.join(IDS)}")
    # So that what is shipped leaves the spool too.
    services.bridge.intake.seal()
    kind, value = given[0]
    params: wire.Params = {"app_id": app_id, "kind": kind, "value": value}
    return await answered(await services.ask(wire.ERASE, params))


HANDLERS = [erase_person]
