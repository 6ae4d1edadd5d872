"""What a server needs, each part tried."""

import http.client
import importlib.util
import json
import os
import resource
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unmogrowp.cli.asking import FILE, Server
from unmogrowp.errors import UnmogrowpError
from unmogrowp.info import info

if TYPE_CHECKING:
    from unmogrowp.config import Settings

# What each extra brings, by the names that are imported.
EXTRAS = {
    "server": ("clickhouse_connect", "granian", "litestar", "msgspec", "sqlalchemy", "uvloop"),
    "embedded": ("chdb", "clickhouse_connect", "pyarrow"),
}
FREE_BYTES_MIN = 1 << 30
SYNC_MS_MAX = 100.0
FILES_MIN = 1_024


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    is_good: bool
    said: str


def findings(settings: "Settings") -> Iterator[Finding]:
    """Look at everything that a server with these settings needs."""
    here = info()
    said = f"unmogrowp {here.version}, {here.simd}, {here.threads} threads"
    yield Finding("library", is_good=True, said=said)
    is_complete = True
    for extra, modules in EXTRAS.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        said = f"install unmogrowp[{extra}]: no {', '.join(missing)}" if missing else "installed"
        yield Finding(f"extra {extra}", not missing, said)
        is_complete &= not missing
    yield _files()
    yield _disk(settings.data_dir.absolute())
    if is_complete:
        yield from _kept(settings)
    if (settings.data_dir / FILE).exists():
        yield _server(settings.data_dir)
    else:
        yield Finding("server", is_good=True, said=f"none runs on `{settings.data_dir}`")
        yield _port(settings.host, settings.port)
        if is_complete:
            yield _warehouse(settings)


def _files() -> Finding:
    from unmogrowp.config import FILES_WANTED

    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY or files >= FILES_WANTED:
        return Finding("open files", is_good=True, said="as many as a server wants")
    said = f"{files:,} at most, so fewer than {FILES_WANTED:,} connections: see `ulimit -Hn`"
    return Finding("open files", is_good=files >= FILES_MIN, said=said)


def _disk(data_dir: Path) -> Finding:
    place = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    free = shutil.disk_usage(place).free
    said = f"{free / 1e9:,.1f} GB free below `{place}`"
    if not os.access(place, os.W_OK):
        return Finding("data directory", is_good=False, said=f"`{place}` cannot be written")
    if place != data_dir:
        return Finding("data directory", is_good=free >= FREE_BYTES_MIN, said=f"{said}; it is new")
    try:
        sync_ms = _synced_ms(place)
    except OSError as error:
        return Finding("data directory", is_good=False, said=f"{said}, but: {error}")
    is_good = free >= FREE_BYTES_MIN and sync_ms <= SYNC_MS_MAX
    return Finding("data directory", is_good=is_good, said=f"{said}, a sync takes {sync_ms:.1f} ms")


def _synced_ms(place: Path) -> float:
    """How long a small write takes to be durable: what each acknowledgement waits for."""
    with tempfile.TemporaryFile(dir=place) as file:
        file.write(bytes(1 << 16))
        file.flush()
        started = time.perf_counter()
        os.fsync(file.fileno())
        return (time.perf_counter() - started) * 1000


def _kept(settings: "Settings") -> Iterator[Finding]:
    """What lies in the data directory."""
    from unmogrowp.catalog import Catalog
    from unmogrowp.pipeline.receipt import KEY_FILE, public_key

    home = settings.data_dir
    if (home / "catalog.db").exists():
        try:
            with Catalog.open(home) as catalog:
                count = len(catalog.apps())
        except UnmogrowpError as error:
            yield Finding("catalog", is_good=False, said=_sentence(error))
        else:
            yield Finding("catalog", is_good=True, said=f"{count} apps")
    if (home / KEY_FILE).exists():
        yield Finding("receipts", is_good=True, said=f"signed by {public_key(home)}")


def _port(host: str, port: int) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            said = f"`{host}:{port}` cannot be had: {error.strerror}; choose another --port"
            return Finding("port", is_good=False, said=said)
    return Finding("port", is_good=True, said=f"`{host}:{port}` is free")


def _warehouse(settings: "Settings") -> Finding:
    """Ask it something; one in the data directory only where it is there already."""
    from unmogrowp.config import masked
    from unmogrowp.warehouse import Warehouse

    dsn = settings.warehouse_dsn
    if settings.warehouse.dsn is None and not (settings.data_dir / "warehouse").exists():
        return Finding(
            "warehouse", is_good=True, said="none yet; it will lie in the data directory"
        )
    try:
        with Warehouse(dsn) as warehouse:
            (row,) = warehouse.rows("SELECT version() AS version")
    except UnmogrowpError as error:
        return Finding("warehouse", is_good=False, said=_sentence(error))
    return Finding("warehouse", is_good=True, said=f"ClickHouse {row['version']} at {masked(dsn)}")


def _server(data_dir: Path) -> Finding:
    try:
        server = Server(data_dir)
        with server.get("/health/ready", {}, "application/json") as answer:
            ready = json.load(answer)
    except (UnmogrowpError, OSError, http.client.HTTPException) as error:
        return Finding("server", is_good=False, said=_sentence(error))
    away = ", ".join(ready["degraded"])
    problem = (ready["store"] or {}).get("problem")
    said = f"{server.url}: {ready['status']}{f', {away}' if away else ''}"
    return Finding("server", is_good=not away, said=f"{said}: {problem}" if problem else said)


def _sentence(error: Exception) -> str:
    return str(error).replace("\n", "; ")
