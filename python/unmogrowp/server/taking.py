"""One ingest request, whichever way it came in: whose it is, and its events made durable."""

from collections.abc import AsyncIterator, Mapping

from unmogrowp import _core
from unmogrowp.server.auth import key_of
from unmogrowp.server.bridge import Sender
from unmogrowp.server.services import Services

SEGMENT_ROUTES = ("batch", "track", "identify", "page", "screen", "group", "alias")
SUCCESS = b'{"success":true}'
STATUS = b'{"status":1}'
INLETS: dict[str, tuple[str, bytes | None]] = {
    "/v1/events": ("native", None),
    **{f"/v1/{route}": (f"segment:{route}", SUCCESS) for route in SEGMENT_ROUTES},
    "/batch": ("posthog", STATUS),
    "/batch/": ("posthog", STATUS),
}
"""The inlet of a path, and what its clients expect to hear; None: the receipt itself."""


async def take(
    services: Services, headers: Mapping[str, str], chunks: AsyncIterator[bytes], path: str
) -> bytes:
    """Read a body, find whose it is and make its events durable.

    Returns:
        What the clients of that path expect to hear.

    Raises:
        Denied: No key that may write, a body that is too large, or a commit that failed.
        Refused: Nothing was stored.
    """
    inlet, thanks = INLETS[path]
    body = await services.bridge.collect(chunks)
    encoding = headers.get("content-encoding")
    app, key_id = services.access.writer(key_of(headers) or _key_in(inlet, body, encoding))
    sender = Sender(app.id, key_id, inlet, truncate_ip=app.settings.truncate_ip)
    receipt = await services.bridge.submit(body, encoding, sender)
    return receipt if thanks is None else thanks


def _key_in(inlet: str, body: bytes, encoding: str | None) -> str | None:
    if inlet == "native":
        return None
    return (_core.posthog_key if inlet == "posthog" else _core.segment_key)(body, encoding)
