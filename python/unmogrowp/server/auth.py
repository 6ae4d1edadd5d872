"""Who is asking: a key from the headers, and what it may do."""

import base64
import binascii
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from litestar.connection import ASGIConnection

from unmogrowp.catalog import App, Key, KeyRing
from unmogrowp.server.guesses import Guesses
from unmogrowp.server.problems import Denied

# Any of the three ways to send a key, as OpenAPI says it; app.py describes each.
SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"basic": []}, {"key": []}]
NO_KEY = "no key\nhint: send `Authorization: Bearer KEY` or `X-Api-Key: KEY`"


@dataclass(frozen=True, slots=True)
class Caller:
    """The key a request carries, and the address it comes from."""

    key: str | None
    peer: str


@dataclass(frozen=True)
class Access:
    """Checks keys against the catalog and the token of the running server."""

    ring: KeyRing
    token: str
    guesses: Guesses = field(default_factory=Guesses)

    def writer(self, caller: Caller) -> tuple[App, str]:
        """The app that a key may send events for, and the key's id.

        Raises:
            Denied: 401 without a known key, 429 after many guesses, 403 where it may not write.
        """
        found = self._known(caller)
        if found.role == "read":
            raise Denied(HTTPStatus.FORBIDDEN, "a read key may not send events")
        return self._app(found.app_id), found.id

    def guest(self, caller: Caller) -> Key | None:
        """Whose key it is; None for the token of this server, which opens every app.

        Raises:
            Denied: 401 without a known key, 429 after many guesses, 403 with one that may not read.
        """
        # As bytes: what a client sends need not be ASCII.
        key = caller.key
        if key is not None and secrets.compare_digest(key.encode(), self.token.encode()):
            return None
        found = self._known(caller)
        if found.role == "write":
            raise Denied(HTTPStatus.FORBIDDEN, "a write key may not read")
        return found

    def owner(self, caller: Caller) -> None:
        """Only the token of this server will do.

        Raises:
            Denied: 401 without a known key, 429 after many guesses, 403 with any other.
        """
        if self.guest(caller) is not None:
            raise Denied(HTTPStatus.FORBIDDEN, "only the owner of the data directory may do this")

    def admin(self, caller: Caller, app_id: str) -> App:
        """The app, for its admin key or the owner of the data directory.

        Raises:
            Denied: As `reader`; 403 for a read key.
        """
        found = self.guest(caller)
        if found is not None and (found.role != "admin" or found.app_id != app_id):
            raise Denied(HTTPStatus.FORBIDDEN, f"this key may not change `{app_id}`")
        return self._app(app_id)

    def reader(self, caller: Caller, app_id: str) -> App:
        """The app whose data a key may read.

        Raises:
            Denied: As `guest`; 403 for another app, whether it exists or not.
        """
        found = self.guest(caller)
        if found is not None and found.app_id != app_id:
            raise Denied(HTTPStatus.FORBIDDEN, f"this key may not read `{app_id}`")
        return self._app(app_id)

    def _known(self, caller: Caller) -> Key:
        if caller.key is None:
            raise Denied(HTTPStatus.UNAUTHORIZED, NO_KEY)
        # A key that was good before is none of the guesses, also where all share an address.
        if not self.ring.remembers(caller.key) and (wait_s := self.guesses.wait_s(caller.peer)):
            raise Denied(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too many unknown keys came from this address\nhint: see which key is sent",
                retry_after=math.ceil(wait_s),
            )
        found = self.ring.find(caller.key)
        if found is None:
            self.guesses.count(caller.peer)
            raise Denied(HTTPStatus.UNAUTHORIZED, "unknown or revoked key")
        return found

    def _app(self, app_id: str) -> App:
        app = self.ring.app(app_id)
        if app is None:
            raise Denied(HTTPStatus.NOT_FOUND, f"no app `{app_id}`")
        return app


def caller_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Caller:
    """Who asks, of a request to the application."""
    peer = connection.client.host if connection.client else ""
    return Caller(key_of(connection.headers), peer)


def key_of(headers: Mapping[str, str]) -> str | None:
    """The key a request carries, in any of the three ways."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip() or None
    if scheme.lower() == "basic":
        try:
            user = base64.b64decode(rest, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return None
        return user or None
    return headers.get("x-api-key") or None
