"""The two steps of the store process over one warehouse."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

from unmogrowp.catalog import Catalog
from unmogrowp.errors import SinkBusy
from unmogrowp.pipeline import erase
from unmogrowp.pipeline.attribute import Attributor
from unmogrowp.pipeline.backup import Staging, remove_leftovers
from unmogrowp.pipeline.ship import Shipper
from unmogrowp.pipeline.state import Applied, State
from unmogrowp.warehouse import Warehouse

# Longer than any round takes.
CATCH_UP_S = 60.0


class Pipeline:
    """Ships and attributes; answers how far it is."""

    def __init__(self, warehouse: Warehouse, catalog: Catalog, state: State, spool: Path) -> None:
        self.warehouse = warehouse
        self.catalog = catalog
        self._state = state
        self._home = spool.parent
        self._shipping, self._attributing = threading.Lock(), threading.Lock()
        self._shipper = Shipper(spool, warehouse, state)
        self._attributor = Attributor(warehouse, catalog, state)

    @classmethod
    def open(cls, warehouse: Warehouse, home: Path) -> "Pipeline":
        """The pipeline of a data directory."""
        remove_leftovers(home)
        return cls(warehouse, Catalog.open(home), State(home / "store.db"), home / "spool")

    def ship_once(self) -> bool:
        """Move one batch into the warehouse; False where nothing is waiting."""
        with self._shipping:
            return self._shipper.ship_once()

    def attribute_once(self) -> bool:
        """Credit what is new; False where nothing is."""
        with self._attributing:
            return self._attributor.attribute_once()

    def applied(self, app_id: str) -> Applied | None:
        """The settings an app's reports rest on."""
        return self._state.applied(app_id)

    def status(self) -> dict[str, int]:
        """How far behind the warehouse is."""
        return {
            "lag_bytes": self._shipper.lag_bytes(),
            "unattributed_batches": self._attributor.waiting(),
        }

    def backup(self) -> Iterator[bytes]:
        """The data directory as an archive; the pipeline stands still while it is staged."""
        staging = Staging.make(self._home)
        try:
            with self._attributing, self._shipping:
                is_embedded = self.warehouse.is_embedded
                staging.take_stored(self.warehouse.without_merges() if is_embedded else None)
            staging.take_catalog()
            yield from staging.archive()
        finally:
            staging.remove()

    def erase(self, app_id: str, kind: str, value: str) -> dict[str, object]:
        """Erase the person of an id: what was acknowledged so far, and what was made of it.

        Returns:
            The receipt, as `erase.receipt` has it.

        Raises:
            EraseError: The id is shared by several people.
        """
        self._catch_up()
        with self._attributing, self._shipping:
            found = erase.find(self.warehouse, app_id, kind, value)
            gone = erase.erase(self.warehouse, app_id, found)
            # It remembers the ids it was given.
            self._attributor.forget()
        return erase.receipt(app_id, kind, value, gone)

    def _catch_up(self) -> None:
        """Ship and attribute what is waiting: who somebody is follows from all their events."""
        deadline = time.monotonic() + CATCH_UP_S
        while self._shipper.lag_bytes() or self._attributor.waiting():
            if not (self.ship_once() or self.attribute_once()):
                time.sleep(0.05)
            if time.monotonic() > deadline:
                raise SinkBusy("too many events wait to be stored\nhint: try again later")

    def close(self) -> None:
        """Let the files go."""
        self._shipper.close()
        self._state.close()
        self.catalog.close()
