"""What the handlers of the ingest process work with."""

from dataclasses import dataclass
from pathlib import Path

from litestar import Request

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


def services_of(request: Request) -> Services:  # type: ignore[type-arg]
    """The services of the application that handles a request."""
    services = request.app.state.services
    assert isinstance(services, Services)  # noqa: S101 - set at start
    return services
