"""Parts that the embedded engine could not write whole.

A failed write, of a full or broken disk, is an exception of the insert in a ClickHouse server. chDB
counts it and goes on: the insert succeeds and the part is cut short. So the count is looked at
before anything is taken for stored; the next opening sets the cut parts aside, in favour of those
they were merged from where they were.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unmogrowp.errors import SinkBusy

if TYPE_CHECKING:
    from unmogrowp.warehouse.store import Warehouse

FAILED = "SELECT value FROM system.events WHERE event = 'WriteBufferFromFileDescriptorWriteFailed'"
_BROKEN = (
    "SELECT table, name FROM system.detached_parts"
    " WHERE database = currentDatabase() AND startsWith(reason, 'broken')"
)
# More than the engine writes at once, so that it does not fail again at once.
_PROBE = bytes(8 << 20)


@dataclass(frozen=True, slots=True)
class Part:
    """A part that was set aside because it is not whole."""

    table: str
    name: str


def broken(warehouse: "Warehouse") -> list[Part]:
    """What the engine set aside when it opened."""
    return [Part(str(row["table"]), str(row["name"])) for row in warehouse.rows(_BROKEN)]


def remove(warehouse: "Warehouse", parts: list[Part]) -> None:
    """Delete what was set aside."""
    for table in {part.table for part in parts}:
        warehouse.command(
            f"ALTER TABLE {table} DROP DETACHED PARTITION ALL SETTINGS allow_drop_detached = 1"
        )


def probe(warehouse: "Warehouse") -> None:
    """Write to the disk of an embedded one.

    Raises:
        SinkBusy: It does not take it.
    """
    path = Path(warehouse.dsn.removeprefix("chdb://")) / "probe"
    try:
        with path.open("wb") as file:
            file.write(_PROBE)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise SinkBusy(
            f"the disk of the warehouse fails: {error}\nhint: it goes on once that is over"
        ) from error
    finally:
        path.unlink(missing_ok=True)
