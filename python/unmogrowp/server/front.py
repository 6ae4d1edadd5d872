"""What takes events before the router sees them; everything else goes on to Litestar, with an id.

A router, its request objects and its response objects cost more than parsing an event does.
The routes stay in the application behind: OpenAPI documents them there, and a spelling of a
path that is not in the table below is answered there.
"""

from collections.abc import AsyncIterator, Iterable

from litestar.config.cors import CORSConfig
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from unmogrowp.server import requests
from unmogrowp.server.problems import Denied, plain
from unmogrowp.server.services import Services
from unmogrowp.server.taking import INLETS, Sent, take

JSON = {"content-type": "application/json"}


class Gone(Exception):
    """The client left before its body was complete."""


class Front:
    """An ASGI application that answers `POST` on the ingest paths itself."""

    def __init__(self, services: Services, behind: ASGIApp, cors: CORSConfig) -> None:
        self._services = services
        self._behind = behind
        self._shared = {
            "access-control-allow-headers": ", ".join(sorted(set(cors.allow_headers))),
            "access-control-allow-methods": ", ".join(sorted(set(cors.allow_methods))),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or pass it on."""
        if scope["type"] != ScopeType.HTTP:
            await self._behind(scope, receive, send)
            return
        headers = _first(scope["headers"])
        request_id = requests.begin(headers.get(requests.HEADER))
        if not _is_ours(scope):
            await self._behind(scope, receive, _naming(send, request_id))
            return
        client = scope["client"]
        request = Sent(scope["path"], headers, client[0] if client else "")
        try:
            body = await take(self._services, request, _chunks(receive))
            status, sent = 200, JSON
        except Gone as error:
            # Where it only broke the rules of HTTP, it may still be there to hear so.
            status, body, sent = plain(Denied(400, str(error)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is answered
            status, body, sent = plain(error)
        sent = sent | self._cors(headers) | {requests.HEADER: request_id}
        raw = _encoded(sent, len(body))
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _cors(self, headers: dict[str, str]) -> dict[str, str]:
        """What a browser must read before it shows a page the answer."""
        origin = headers.get("origin")
        if not origin:
            return {}
        if "cookie" in headers:
            return self._shared | {"access-control-allow-origin": origin, "vary": "Origin"}
        return self._shared | {"access-control-allow-origin": "*"}


def _naming(send: Send, request_id: str) -> Send:
    """An answer of the application, with the id of its request."""

    async def named(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = (requests.HEADER.encode(), request_id.encode())
            message["headers"] = [*message["headers"], own]
        await send(message)

    return named


def _is_ours(scope: HTTPScope) -> bool:
    return scope["method"] == "POST" and scope["path"] in INLETS


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise Gone("the body broke off\nhint: send as many bytes as were announced")
        if message["body"]:
            yield message["body"]
        more = message["more_body"]


def _first(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name; of several with one name the first."""
    headers: dict[str, str] = {}
    for name, value in raw:
        headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return headers


def _encoded(headers: dict[str, str], length: int) -> list[tuple[bytes, bytes]]:
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return [*sent, (b"content-length", b"%d" % length)]
