"""Keys: shown once, kept as a hash, remembered by the server for a second."""

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from unmogrowp.catalog.apps import App
from unmogrowp.catalog.catalog import Catalog

FRESH_S = 0.8
REMEMBERED_MAX = 10_000

T = TypeVar("T")


@dataclass(frozen=True)
class Key:
    """What a key opens."""

    id: str
    app_id: str
    role: str


def new_key() -> str:
    """A key nobody can guess: 256 random bits."""
    return f"ug_{secrets.token_urlsafe(32)}"


def hash_of(key: str) -> str:
    """What is stored of a key. It has too many bits to need a slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()


class _Fresh(Generic[T]):
    """Answers of a look-up, each believed for a moment; a bounded number of them."""

    def __init__(self, look_up: Callable[[str], T | None]) -> None:
        self._look_up = look_up
        self._known: OrderedDict[str, tuple[float, T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str) -> T | None:
        now = time.monotonic()
        with self._lock:
            found = self._known.get(name)
        if found is not None and now - found[0] < FRESH_S:
            return found[1]
        value = self._look_up(name)
        with self._lock:
            self._known.pop(name, None)
            # What was not found is not remembered: a key works as soon as it is made.
            if value is not None:
                self._known[name] = (now, value)
            while len(self._known) > REMEMBERED_MAX:
                self._known.popitem(last=False)
        return value


class KeyRing:
    """The keys and apps of a catalog as the server sees them: at most a second old.

    Keys are looked up by their hash, so what a comparison could leak says nothing about a key.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._keys: _Fresh[Key] = _Fresh(lambda digest: _key(catalog, digest))
        self._apps: _Fresh[App] = _Fresh(catalog.app)

    def find(self, key: str) -> Key | None:
        """What a key opens; None for an unknown or revoked one."""
        return self._keys.get(hash_of(key))

    def app(self, app_id: str) -> App | None:
        """An app with its settings."""
        return self._apps.get(app_id)


def _key(catalog: Catalog, digest: str) -> Key | None:
    row = catalog.key_by_hash(digest)
    return Key(*row) if row else None
