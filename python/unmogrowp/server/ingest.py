"""The ingest process: takes events and forwards reads. `python -m unmogrowp.server.ingest`."""

import asyncio
import logging
import resource
import signal
import sys
from contextlib import suppress

import uvloop
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from unmogrowp import _core
from unmogrowp.catalog import Catalog, KeyRing
from unmogrowp.config import FILES_WANTED, OTHER_FILES
from unmogrowp.errors import UnmogrowpError
from unmogrowp.server import app, logs
from unmogrowp.server.auth import Access
from unmogrowp.server.bridge import Body, Bridge
from unmogrowp.server.child import Orders, receive_orders, report_ready
from unmogrowp.server.front import Front
from unmogrowp.server.native import NativeListener
from unmogrowp.server.services import Services

WATCH_S = 1.0
BACKLOG = 4_096
# The one limit that is not the parser's.
BODY_SECONDS = "body_seconds"
log = logging.getLogger("unmogrowp.ingest")


def main() -> int:
    """Serve until SIGTERM; 1 where the spool cannot be opened."""
    logs.begin("ingest")
    orders = receive_orders()
    try:
        intake = open_intake(orders)
    except UnmogrowpError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    uvloop.run(_serve(orders, intake))
    return 0


def open_intake(orders: Orders) -> _core.Intake:
    """The intake over the spool of a data directory."""
    return _core.Intake(
        str(orders.home / "spool"),
        spool_bytes_max=orders.spool_bytes_max,
        segment_bytes=orders.segment_bytes,
        ids_max=orders.ids_max,
        ids_window_s=orders.ids_window_s,
        limits={name: value for name, value in orders.limits.items() if name != BODY_SECONDS},
    )


async def _serve(orders: Orders, intake: _core.Intake) -> None:
    catalog = Catalog.open(orders.home)
    access = Access(KeyRing(catalog), orders.token)
    bridge = Bridge(intake, Body(orders.limits["body_bytes"], orders.limits[BODY_SECONDS]))
    services = Services(bridge, access, orders.home)
    connections_max = _make_room()
    native = None
    if orders.ingest_port is not None:
        # Most come to the port that is made for many.
        connections_max -= (for_native := connections_max * 7 // 8)
        native = NativeListener(orders, orders.ingest_port, catalog, services, for_native)
    server = Server(
        Front(services, app.build(services), app.CORS),
        address=orders.host,
        port=orders.port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_enabled=False,
        backlog=BACKLOG,
        backpressure=connections_max,
        http1_settings=HTTP1Settings(header_read_timeout=10_000),
    )
    # The listener ends first: the server takes the spool with it.
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, lambda: None)
    serving = asyncio.create_task(server.serve())
    await _listening(orders, serving)
    report_ready()
    await _ended(ending, serving, bridge, native)
    if native is not None:
        await asyncio.to_thread(native.close)
    server.stop()
    await serving


async def _ended(
    ending: asyncio.Event,
    serving: "asyncio.Task[None]",
    bridge: Bridge,
    native: NativeListener | None,
) -> None:
    """Return once the process is told to end, or has to."""
    while not ending.is_set() and not serving.done():
        with suppress(TimeoutError):
            await asyncio.wait_for(ending.wait(), WATCH_S)
        if native is not None:
            native.keep_fresh()
        if bridge.is_broken():
            # The commit thread is gone: end, so that the supervisor starts a sound process.
            log.error("the spool takes no more commits, ending")
            return


def _make_room() -> int:
    """Have as many files open as the system lets, within reason; how many may be connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, FILES_WANTED)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return max(1, files - OTHER_FILES)


async def _listening(orders: Orders, serving: "asyncio.Task[None]") -> None:
    while not serving.done():
        try:
            _, writer = await asyncio.open_connection(orders.host, orders.port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return
    await serving


if __name__ == "__main__":
    sys.exit(main())
