"""One way of taking events, served by Granian until its stdin ends: `front_app.py KIND DIR`.

Kinds: `front` and `routes` are ours with and without the front before the router; `bare` is a
Litestar handler that reads the body and answers, `parsing` one that calls `ug.parse` on it.
"""

import asyncio
import json
import sys
import threading
from pathlib import Path
from typing import Any

import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server
from litestar import Litestar, Request, Response, post

import unmogrowp as ug
from serving import APP
from unmogrowp import _core
from unmogrowp.catalog import Catalog, KeyRing
from unmogrowp.server import app
from unmogrowp.server.auth import Access
from unmogrowp.server.bridge import Body, Bridge
from unmogrowp.server.front import Front
from unmogrowp.server.services import Services
from unmogrowp.server.supervisor import free_port

BODY_BYTES_MAX, BODY_S = 10_000_000, 30.0
ANSWER = b'{"rejected":[]}'


@post("/v1/events", status_code=200, request_max_body_size=None)
async def bare(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Read the body."""
    await request.body()
    return Response(ANSWER, media_type="application/json")


@post("/v1/events", status_code=200, request_max_body_size=None)
async def parsing(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Read the body and parse it; nothing is stored."""
    ug.parse(await request.body())
    return Response(ANSWER, media_type="application/json")


def ours(kind: str, home: Path) -> tuple[Any, str]:
    """The application over a spool in `home`, and a key that may write."""
    catalog = Catalog.open(home)
    catalog.create_app(APP, "Bench", "USD")
    key, _ = catalog.create_key(APP, "write")
    bridge = Bridge(_core.Intake(str(home / "spool")), Body(BODY_BYTES_MAX, BODY_S))
    services = Services(bridge, Access(KeyRing(catalog), "token"), home)
    routes = app.build(services)
    return (Front(services, routes, app.CORS) if kind == "front" else routes), key


async def main(kind: str, home: Path) -> None:
    """Serve, say where, end with stdin."""
    peers = {"bare": bare, "parsing": parsing}
    served, key = (Litestar([peers[kind]]), "-") if kind in peers else ours(kind, home)
    port = free_port("127.0.0.1", 0)
    server = Server(
        served, address="127.0.0.1", port=port, interface=Interfaces.ASGI, log_enabled=False
    )
    loop = asyncio.get_running_loop()

    def watch() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(server.stop)

    threading.Thread(target=watch, daemon=True).start()
    sys.stdout.write(json.dumps({"port": port, "key": key}) + "\n")
    sys.stdout.flush()
    await server.serve()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], Path(sys.argv[2])))
