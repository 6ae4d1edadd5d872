"""One ingest request, whichever way it came in: whose it is, and its events made durable."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from unmogrowp import _core
from unmogrowp.server.auth import Caller, key_of
from unmogrowp.server.bridge import Sender
from unmogrowp.server.problems import Denied
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


@dataclass(frozen=True, slots=True)
class Sent:
    """A request before its body: the path it went to, its headers and who sent it."""

    path: str
    headers: Mapping[str, str]
    peer: str


async def take(services: Services, sent: Sent, chunks: AsyncIterator[bytes]) -> bytes:
    """Read a body, find whose it is and make its events durable.

    Returns:
        What the clients of that path expect to hear.

    Raises:
        Denied: No key that may write, a body that is too large or too slow, or a commit that
            failed.
        Refused: Nothing was stored.
    """
    inlet, thanks = INLETS[sent.path]
    encoding = sent.headers.get("content-encoding")
    caller = Caller(key_of(sent.headers), sent.peer)
    if caller.key is not None or inlet == "native":
        # Before the body: nothing of it is kept for whoever has no key.
        try:
            app, key_id = services.access.writer(caller)
        except Denied:
            await services.bridge.discard(chunks)
            raise
        body = await services.bridge.collect(chunks)
    else:
        body = await services.bridge.collect(chunks)
        caller = Caller(_key_in(inlet, body, encoding), sent.peer)
        app, key_id = services.access.writer(caller)
    sender = Sender(app.id, key_id, inlet, truncate_ip=app.settings.truncate_ip)
    receipt = await services.bridge.submit(body, encoding, sender)
    return receipt if thanks is None else thanks


def _key_in(inlet: str, body: bytes, encoding: str | None) -> str | None:
    return (_core.posthog_key if inlet == "posthog" else _core.segment_key)(body, encoding)
