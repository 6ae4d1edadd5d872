"""Settings of the server: a TOML file, then the environment, then flags; each knows its origin."""

import difflib
import os
import tomllib
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, final

import msgspec

from unmogrowp import _core
from unmogrowp.errors import ConfigError

FILE = "unmogrowp.toml"
PREFIX = "UNMOGROWP_"
# Version of what lies in a data directory.
LAYOUT = 1
# Environment names that are not settings of the server.
OTHER_ENV = frozenset({"UNMOGROWP_THREADS"})
DEFAULT = "default"
# How many connections a server keeps open, and what else it opens: spool, catalog, store's sockets.
CONNECTIONS_MAX, OTHER_FILES = 16_384, 512
FILES_WANTED = CONNECTIONS_MAX + OTHER_FILES

Value: TypeAlias = "str | int | float | bool | Path | None"
Tree: TypeAlias = "dict[str, Value | Tree]"
Port: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Positive: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]


class Spool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much the spool keeps."""

    bytes_max: Positive | None = None
    segment_bytes: Annotated[int, msgspec.Meta(ge=1 << 16)] = 64 << 20
    ids_max: Positive = 10_000_000
    ids_window: str = "24h"

    def __post_init__(self) -> None:
        _core.duration_us("spool.ids_window", self.ids_window)

    @property
    def ids_window_s(self) -> int:
        """Seconds an event id is remembered."""
        return int(_core.duration_us("spool.ids_window", self.ids_window)) // 1_000_000


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one request may bring."""

    body_bytes: Positive = 10_000_000
    body_seconds: Positive = 30
    """How long a body may take to arrive."""
    decompressed_bytes: Positive = 64_000_000
    event_bytes: Positive = 1_000_000
    depth: Positive = 32
    records: Positive = 100_000
    key_events_per_s: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)] = 0
    """Events each key may send a second, two seconds' worth at once; 0: as many as it likes."""


class WarehouseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where events are stored; without a DSN chDB in the data directory."""

    dsn: str | None = None

    def __repr__(self) -> str:
        return f"WarehouseSettings(dsn={masked(self.dsn)!r})"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything the server can be told."""

    data_dir: Path = Path("unmogrowp-data")
    host: str = "127.0.0.1"
    port: Port = 8000
    listener: Literal["litestar", "native"] = "litestar"
    """`native`: events are taken on `ingest_port` too, by a listener without Python."""
    ingest_port: Port = 8001
    ingest_certificate: Path | None = None
    """A PEM chain: the native listener speaks TLS, with the key beside it."""
    ingest_certificate_key: Path | None = None
    spool: Spool = Spool()
    limits: Limits = Limits()
    warehouse: WarehouseSettings = WarehouseSettings()

    def __post_init__(self) -> None:
        names = ("ingest_certificate", "ingest_certificate_key")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) == 1:
            (missing,) = set(names) - set(given)
            raise ValueError(f"`{given[0]}` is set and `{missing}` is not\nhint: set both, or none")
        if given and self.listener != "native":
            raise ValueError(f"`{given[0]}` needs `listener = native`\nhint: or put a proxy before")

    @property
    def warehouse_dsn(self) -> str:
        """Where events are stored; chDB below the data directory unless told otherwise."""
        return self.warehouse.dsn or f"chdb://{self.data_dir.absolute() / 'warehouse'}"


GROUPS: dict[str, type[msgspec.Struct]] = {
    "spool": Spool,
    "limits": Limits,
    "warehouse": WarehouseSettings,
}


@final
@dataclass(frozen=True)
class Shown:
    """One setting as it may be printed."""

    name: str
    shown: str
    origin: str


@final
@dataclass(frozen=True)
class Loaded:
    """Settings, and where each one came from: a file, an environment name, a flag, `default`."""

    settings: Settings
    origins: dict[str, str]

    def shown(self) -> list[Shown]:
        """Every setting with its origin, secrets masked."""
        return [Shown(name, self._shown(name), origin) for name, origin in self.origins.items()]

    def _shown(self, name: str) -> str:
        group, _, leaf = name.rpartition(".")
        value = getattr(getattr(self.settings, group) if group else self.settings, leaf)
        text = masked(value) if name == "warehouse.dsn" else value
        return "-" if text is None else str(text)


def masked(dsn: str | None) -> str | None:
    """A DSN that may be printed: neither password nor query.

    >>> masked("https://ug:secret@host:8443/db?password=secret")
    'https://ug:***@host:8443/db?***'
    """
    if dsn is None:
        return None
    parts = urllib.parse.urlsplit(dsn)
    login, at, host = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")
    netloc = f"{user}{':***' if colon else ''}{at}{host}"
    query = "***" if parts.query else ""
    # Reassembled by hand: urlunsplit would eat the empty host of `chdb:///dir`.
    return f"{parts.scheme}://{netloc}{parts.path}{'?' if query else ''}{query}"


def load(
    flags: Mapping[str, Value],
    *,
    env: Mapping[str, str] | None = None,
    path: Path | None = None,
) -> Loaded:
    """Settings from the file, the environment and flags, the later winning.

    Args:
        flags: Settings given on the command line by their dotted names; None where not given.
        env: `UNMOGROWP_SPOOL__IDS_MAX` sets `spool.ids_max`; by default the process's own.
        path: The file; by default `unmogrowp.toml` here, where there is one.

    Raises:
        ConfigError: An unknown key or a wrong value.
    """
    layers = _Layers()
    file = path or Path(FILE)
    if path is not None or file.exists():
        layers.add(_read(file), str(file))
    for name, text in sorted((os.environ if env is None else env).items()):
        if name.startswith(PREFIX) and name not in OTHER_ENV:
            keys = name.removeprefix(PREFIX).lower().split("__")
            layers.add(_nested(keys, text), name)
    for name, value in flags.items():
        if value is not None:
            layers.add(_nested(name.split("."), value), _flag(name))
    return Loaded(layers.settings(), layers.origins)


def _flag(name: str) -> str:
    return "--" + name.rpartition(".")[2].replace("_", "-")


def _read(file: Path) -> Tree:
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise ConfigError(
            f"cannot read the settings in `{file}`: {(error.strerror or str(error)).lower()}\n"
            "hint: give an existing file, or leave `--config` out"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"`{file}` is not TOML\nhint: {error}") from error


def _nested(keys: list[str], value: Value) -> Tree:
    tree: Tree = {keys[-1]: value}
    for key in reversed(keys[:-1]):
        tree = {key: tree}
    return tree


@dataclass
class _Layers:
    """What was said so far, and by whom."""

    tree: Tree = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=lambda: dict.fromkeys(_names(), DEFAULT))

    def add(self, more: Tree, origin: str) -> None:
        """Lay a source over the ones before it."""
        for key, value in more.items():
            _expect_known("", key, Settings, origin)
            group = GROUPS.get(key)
            if group is None:
                self._put(self.tree, "", key, value, origin)
                continue
            if not isinstance(value, dict):
                raise ConfigError(
                    f"`{key}` in {origin} must be a group of settings, got `{value}`\n"
                    f"hint: there are {_listed(key, group)}"
                )
            inner = self.tree.setdefault(key, {})
            for name, leaf in value.items():
                _expect_known(f"{key}.", name, group, origin)
                # Always a dict: only this branch writes below a group's name.
                self._put(inner if isinstance(inner, dict) else {}, f"{key}.", name, leaf, origin)

    def _put(self, tree: Tree, at: str, key: str, value: "Value | Tree", origin: str) -> None:
        if isinstance(value, dict):
            raise ConfigError(
                f"`{at}{key}` in {origin} has no settings below it\nhint: write `{at}{key} = …`"
            )
        tree[key] = str(value) if isinstance(value, Path) else value
        self.origins[at + key] = origin

    def settings(self) -> Settings:
        """The layers as one value."""
        try:
            return msgspec.convert(self.tree, Settings, strict=False, dec_hook=_path)
        except msgspec.ValidationError as error:
            raise ConfigError(self._explained(str(error))) from error

    def _explained(self, message: str) -> str:
        what, _, where = message.partition(" - at `$.")
        name = where.rstrip("`")
        if not name or name in GROUPS:
            # A check of a whole group already says which setting it is about.
            return what
        above: Value | Tree = self.tree
        for part in name.split("."):
            above = above.get(part) if isinstance(above, dict) else None
        shown = "***" if name == "warehouse.dsn" else above
        return (
            f"`{name}` in {self.origins.get(name, DEFAULT)} has a wrong value: `{shown}`\n"
            f"hint: {what[:1].lower()}{what[1:]}"
        )


def _path(_kind: type, value: object) -> Path:
    """Paths are the only settings that msgspec has no form for."""
    if not isinstance(value, str) or not value:
        raise ValueError("expected the name of a file or directory")
    return Path(value)


def _names() -> list[str]:
    flat = [name for name in Settings.__struct_fields__ if name not in GROUPS]
    groups = GROUPS.items()
    return flat + [f"{at}.{name}" for at, group in groups for name in group.__struct_fields__]


def _listed(at: str, group: type[msgspec.Struct]) -> str:
    return ", ".join(f"`{at}.{name}`" for name in group.__struct_fields__)


def _expect_known(at: str, key: str, struct: type[msgspec.Struct], origin: str) -> None:
    if key in struct.__struct_fields__:
        return
    names = [at + name for name in struct.__struct_fields__]
    # A setting of a group written without it is as near as a misspelt one.
    near = difflib.get_close_matches(at + key, [*names, *_names()], 1)
    near = near or [name for name in _names() if name.rpartition(".")[2] == key]
    hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(names)}"
    raise ConfigError(f"unknown setting `{at}{key}` in {origin}\nhint: {hint}")
