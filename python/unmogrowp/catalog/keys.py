"""Keys: shown once, kept as a hash, remembered by the server for a moment."""

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar, final

if TYPE_CHECKING:
    from unmogrowp.catalog.apps import App
    from unmogrowp.catalog.catalog import Catalog

Role = Literal["write", "read", "admin"]
ROLES: tuple[Role, ...] = ("write", "read", "admin")
# A revocation is honoured within a second; the rest of that second is for the look-up itself.
FRESH_S = 0.8
REMEMBERED_MAX = 10_000

T = TypeVar("T")


@final
@dataclass(frozen=True)
class Key:
    """What a key opens."""

    id: str
    app_id: str
    role: Role


@final
@dataclass(frozen=True)
class KeyRow:
    """A key in a list: everything but the key itself."""

    id: str
    app_id: str
    role: Role
    created_at: str
    revoked_at: str | None


def new_key() -> str:
    """A key nobody can guess: 256 random bits."""
    return f"ug_{secrets.token_urlsafe(32)}"


def sha256(plaintext: str) -> str:
    """What is stored of a key: it has too many bits to need a slow hash."""
    return hashlib.sha256(plaintext.encode("utf-8", "surrogatepass")).hexdigest()


@final
class KeyRing:
    """Keys and apps of a catalog as the server sees them: less than a second old.

    Keys are known by their hash alone, so the time of a look-up tells nothing about a key.
    What is not there is asked for again every time: a new key works at once. Thread-safe.

    Args:
        catalog: Where keys and apps are.
        fresh_s: How long an answer is believed, in seconds.
    """

    def __init__(self, catalog: "Catalog", fresh_s: float = FRESH_S) -> None:
        self._keys: _Fresh[Key] = _Fresh(catalog.find_sha256, fresh_s)
        self._apps: _Fresh[App] = _Fresh(catalog.app, fresh_s)

    def find(self, plaintext: str) -> Key | None:
        """What a key opens; None for an unknown or revoked one."""
        return self._keys.find(sha256(plaintext))

    def remembers(self, plaintext: str) -> bool:
        """Whether a key was found a while ago, without asking again."""
        return self._keys.remembers(sha256(plaintext))

    def app(self, app_id: str) -> "App | None":
        """An app with its settings."""
        return self._apps.find(app_id)


class _Fresh(Generic[T]):
    """Answers to a question, each believed for a moment; a bounded number of them."""

    def __init__(self, ask: Callable[[str], T | None], fresh_s: float) -> None:
        self._ask = ask
        self._fresh_s = fresh_s
        self._known: OrderedDict[str, tuple[float, T]] = OrderedDict()
        self._lock = threading.Lock()

    def remembers(self, name: str) -> bool:
        """Whether there was an answer the last time."""
        with self._lock:
            return name in self._known

    def find(self, name: str) -> T | None:
        """The answer, believed for as long as it is fresh."""
        # Taken before the question is asked: an answer ages while it is on its way.
        now = time.monotonic()
        with self._lock:
            found = self._known.get(name)
        if found is not None and now - found[0] < self._fresh_s:
            return found[1]
        answer = self._ask(name)
        with self._lock:
            self._known.pop(name, None)
            if answer is not None:
                self._known[name] = (now, answer)
            while len(self._known) > REMEMBERED_MAX:
                self._known.popitem(last=False)
        return answer
