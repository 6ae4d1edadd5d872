"""The two steps of the store process over one warehouse."""

from pathlib import Path

from unmogrowp.catalog import Catalog
from unmogrowp.pipeline.attribute import Attributor
from unmogrowp.pipeline.ship import Shipper
from unmogrowp.pipeline.state import Applied, State
from unmogrowp.warehouse import Warehouse


class Pipeline:
    """Ships and attributes; answers how far it is."""

    def __init__(self, warehouse: Warehouse, catalog: Catalog, state: State, spool: Path) -> None:
        self.warehouse = warehouse
        self.catalog = catalog
        self._state = state
        self._shipper = Shipper(spool, warehouse, state)
        self._attributor = Attributor(warehouse, catalog, state)

    @classmethod
    def open(cls, warehouse: Warehouse, home: Path) -> "Pipeline":
        """The pipeline of a data directory."""
        return cls(warehouse, Catalog.open(home), State(home / "store.db"), home / "spool")

    def ship_once(self) -> bool:
        """Move one batch into the warehouse; False where nothing is waiting."""
        return self._shipper.ship_once()

    def attribute_once(self) -> bool:
        """Credit what is new; False where nothing is."""
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

    def close(self) -> None:
        """Let the files go."""
        self._state.close()
        self.catalog.close()
