"""What both children share: settings over stdin, a watch on the parent, a word when ready.

The supervisor holds the other end of a child's stdin. Its first line is the child's settings;
its end is the end of the parent, however that came about, and so of the child.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import msgspec

# Shorter than a new server waits for the spool and the port of the one whose child this is.
ORPHAN_DRAIN_S = 3.0
READY = "ready"


class Orders(msgspec.Struct, frozen=True):
    """What a child is told: where things are and what the limits are."""

    data_dir: str
    host: str
    port: int
    ingest_port: int | None
    ingest_certificate: tuple[str, str] | None
    token: str
    dsn: str
    spool_bytes_max: int | None
    segment_bytes: int
    ids_max: int
    ids_window_s: int
    limits: dict[str, int]

    @property
    def home(self) -> Path:
        """The data directory."""
        return Path(self.data_dir)


def receive_orders() -> Orders:
    """Read the settings and from then on end with the parent."""
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders)
    threading.Thread(target=_end_with_parent, daemon=True, name="parent").start()
    return orders


def report_ready() -> None:
    """Tell the supervisor that this child serves."""
    sys.stdout.write(READY + "\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    # A raw read: the buffered reader's lock would be held at interpreter exit.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_DRAIN_S)
    os._exit(1)
