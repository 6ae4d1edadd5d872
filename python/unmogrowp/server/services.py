"""What the handlers of the ingest process work with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litestar.connection import ASGIConnection

from unmogrowp.server import wire
from unmogrowp.server.auth import Access
from unmogrowp.server.bridge import Bridge


@dataclass(frozen=True)
class Services:
    """The intake, the keys and the way to the store, made once at start."""

    bridge: Bridge
    access: Access
    home: Path

    async def ask(self, name: str, params: wire.Params) -> wire.Answer:
        """Put a question to the store process.

        Raises:
            StoreAway: It does not answer.
        """
        return await wire.ask(wire.socket_of(self.home), wire.Question(name, params))


def services_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Services:
    """The services of the application that handles a request."""
    services = connection.app.state.services
    assert isinstance(services, Services)  # noqa: S101 - set at start
    return services
