"""Settings of the server: a TOML file, then the environment, then flags; each knows its origin."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec

from unmogrowp import _core
from unmogrowp.errors import ConfigError

FILE = "unmogrowp.toml"
PREFIX = "UNMOGROWP_"
# Environment names that are not settings of the server.
OTHER_ENV = frozenset({"UNMOGROWP_THREADS"})

Tree: TypeAlias = dict[str, "str | int | float | bool | Tree | None"]


class Spool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much the spool keeps."""

    bytes_max: int | None = None
    ids_max: int = 10_000_000
    ids_window: str = "24h"

    @property
    def ids_window_s(self) -> int:
        """Seconds an event id is remembered."""
        return _core.duration_us("spool.ids_window", self.ids_window) // 1_000_000


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one request may bring."""

    body_bytes: int = 10_000_000
    decompressed_bytes: int = 64_000_000
    event_bytes: int = 1_000_000
    depth: int = 32
    records: int = 100_000


class WarehouseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where events are stored; without a DSN chDB in the data directory."""

    dsn: str | None = None


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything the server can be told."""

    data_dir: Path = Path("unmogrowp-data")
    host: str = "127.0.0.1"
    port: int = 8000
    spool: Spool = Spool()
    limits: Limits = Limits()
    warehouse: WarehouseSettings = WarehouseSettings()


@dataclass(frozen=True)
class Loaded:
    """Settings, and where each one that is not a default came from."""

    settings: Settings
    origins: dict[str, str]


def load(
    flags: Mapping[str, str | int | None], *, env: Mapping[str, str], path: Path | None = None
) -> Loaded:
    """Settings from the file, the environment and flags, the later winning.

    Args:
        flags: Top-level settings given on the command line; None where not given.
        env: The environment; `UNMOGROWP_SPOOL__IDS_MAX` sets `spool.ids_max`.
        path: The file; by default `unmogrowp.toml` here, where there is one.

    Raises:
        ConfigError: An unknown key or a wrong value.
    """
    tree: Tree = {}
    origins: dict[str, str] = {}
    file = path or Path(FILE)
    if path is not None or file.exists():
        _merge(tree, _read(file), str(file), origins)
    for name, text in sorted(env.items()):
        if name.startswith(PREFIX) and name not in OTHER_ENV:
            keys = name.removeprefix(PREFIX).lower().split("__")
            _merge(tree, _nested(keys, text), name, origins)
    given: Tree = {name: value for name, value in flags.items() if value is not None}
    _merge(tree, given, "flag", origins)
    try:
        settings = msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error))) from error
    return Loaded(settings, origins)


def _read(file: Path) -> Tree:
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read `{file}`: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"`{file}` is not TOML: {error}") from error


def _nested(keys: list[str], text: str) -> Tree:
    tree: Tree = {keys[-1]: text}
    for key in reversed(keys[:-1]):
        tree = {key: tree}
    return tree


def _merge(tree: Tree, more: Tree, origin: str, origins: dict[str, str], at: str = "") -> None:
    for key, value in more.items():
        _known(at, key, origin)
        below = tree.get(key)
        if isinstance(value, dict):
            inner = below if isinstance(below, dict) else {}
            tree[key] = inner
            _merge(inner, value, origin, origins, f"{at}{key}.")
        else:
            tree[key] = value
            origins[at + key] = origin


def _known(at: str, key: str, origin: str) -> None:
    rooms = {"": Settings, "spool.": Spool, "limits.": Limits, "warehouse.": WarehouseSettings}
    names = rooms[at].__struct_fields__
    if key not in names:
        near = difflib.get_close_matches(key, names, 1)
        hint = f"did you mean `{at}{near[0]}`?" if near else f"there are {', '.join(names)}"
        raise ConfigError(f"unknown setting `{at}{key}` in {origin}\nhint: {hint}")


def _explain(message: str) -> str:
    what, _, where = message.partition(" - at `$.")
    return f"setting `{where.rstrip('`') or '?'}`: {what[:1].lower()}{what[1:]}"
