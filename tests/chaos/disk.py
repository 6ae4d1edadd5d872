"""The disk and the clock of a server, failing on command: the other end of shim.c."""

import mmap
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAMES = (
    "spool_full",
    "warehouse_full",
    "sync_fails",
    "sync_hangs_ms",
    "clock_offset_s",
    "hits",
)
FIELD = struct.Struct("=q")


class Disk:
    """Faults that the processes started with `env` meet.

    Args:
        folder: Where the shim is built and its file lies.
    """

    def __init__(self, folder: Path) -> None:
        shim, shared = folder / "shim.so", folder / "faults"
        source = Path(__file__).with_name("shim.c")
        flags = ["-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
        subprocess.run(["cc", *flags, "-o", shim, source, "-ldl"], check=True)
        shared.write_bytes(bytes(mmap.PAGESIZE))
        self.env = {"LD_PRELOAD": str(shim), "FAULTS_FILE": str(shared)}
        with shared.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    @contextmanager
    def failing(self, name: str, value: int = 1) -> Iterator[None]:
        """A fault for as long as the block runs."""
        self._set(name, value)
        try:
            yield
        finally:
            self._set(name, 0)

    @property
    def hits(self) -> int:
        """Calls that met a fault."""
        return int(FIELD.unpack_from(self._map, NAMES.index("hits") * FIELD.size)[0])

    def _set(self, name: str, value: int) -> None:
        FIELD.pack_into(self._map, NAMES.index(name) * FIELD.size, value)
