"""The two steps of the store process over one warehouse."""

import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from unmogrowp.catalog import Catalog
from unmogrowp.errors import SinkBusy
from unmogrowp.pipeline import erase, retain
from unmogrowp.pipeline.attribute import Attributor
from unmogrowp.pipeline.backup import Staging, remove_leftovers
from unmogrowp.pipeline.receipt import receipt
from unmogrowp.pipeline.rival import foreign_batch
from unmogrowp.pipeline.ship import Shipper
from unmogrowp.pipeline.state import JOINED, Applied, State
from unmogrowp.warehouse import Warehouse, damage, schema

log = logging.getLogger("unmogrowp.pipeline")
# What an insert of events writes.
SHIPPED = frozenset({"events", "rejects", *schema.ROLLUPS})
_CREDITED = " UNION ALL ".join(
    f"SELECT version, rule_version FROM {t}" for t in ("credits", "opens")
)
_NEWEST = (
    "SELECT max(version) AS version, max(rule_version) AS rule_version, "
    "(SELECT max(batch_id) FROM events) AS batch_id "
    f"FROM ({_CREDITED} UNION ALL SELECT version, 0 AS rule_version FROM persons)"
)
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

    def repair(self) -> None:
        """Make good what the engine could not write whole before it was opened.

        The batch in doubt is inserted again and the roll-ups are made anew from the events. A round
        of attribution is done again by itself, and a failed merge gave its sources back.

        Raises:
            SinkBusy: The disk fails still.
        """
        parts = damage.broken(self.warehouse) if self.warehouse.is_embedded else []
        if not parts:
            return
        damage.probe(self.warehouse)
        log.warning("not whole, and made anew: %s", ", ".join(f"{p.table} {p.name}" for p in parts))
        if SHIPPED & {part.table for part in parts}:
            with self._shipping:
                self._shipper.ship_again()
            self.warehouse.rebuild_rollups()
        damage.remove(self.warehouse, parts)

    def join(self) -> None:
        """Make sure that what a memory counts from now on is newer than all in the warehouse.

        On a server the warehouse may have been filled from a data directory that is lost, or from
        this one after the moment it was restored to. In that case the events that were about to be
        shipped then are in the roll-ups already, and those are made anew. The same is done where
        another data directory filled the warehouse since: whoever was started last goes on.

        Raises:
            SinkBusy: The warehouse fails for now.
        """
        if self._state.counter(JOINED) and not foreign_batch(self.warehouse, self._state):
            return
        (found,) = self.warehouse.rows(_NEWEST)
        for name in ("version", "rule_version"):
            self._state.raise_counter(name, int(str(found[name])))
        self._state.raise_batch_id(int(str(found["batch_id"])))
        if self._state.last_batch() is not None and not self.warehouse.is_embedded:
            with self._shipping:
                self._shipper.ship_all()
            self.warehouse.rebuild_rollups()
        self._state.set_counter(JOINED, 1)

    def forget(self) -> None:
        """Finish an erasure that was cut short after its deletions, or done by an older version."""
        erase.forget(self.warehouse)

    def check(self) -> bool:
        """Make sure that what merges wrote is whole: their sources are there for some minutes.

        Raises:
            SinkDamaged: The store has to be opened anew.
        """
        self.warehouse.check()
        return False

    def ship_once(self) -> bool:
        """Move one batch into the warehouse; False where nothing is waiting."""
        with self._shipping:
            return self._shipper.ship_once()

    def attribute_once(self) -> bool:
        """Credit what is new; False where nothing is."""
        with self._attributing:
            return self._attributor.attribute_once()

    def is_shipping_late(self) -> bool:
        """Whether so much waits to be stored that it should make room for nobody."""
        return self._shipper.is_late()

    def is_attributing_late(self) -> bool:
        """Whether so much waits to be credited that it should make room for nobody."""
        return self._attributor.is_late()

    def applied(self, app_id: str) -> Applied | None:
        """The settings an app's reports rest on."""
        return self._state.applied(app_id)

    def has_opens(self, app_id: str) -> bool:
        """Whether the open journeys of an app are kept already."""
        return self._attributor.has_opens(app_id)

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
                self.warehouse.check()
            staging.take_catalog()
            yield from staging.archive()
        finally:
            staging.remove()

    def erase(self, app_id: str, kind: str, value: str) -> dict[str, object]:
        """Erase the person of an id: what was acknowledged so far, and what was made of it.

        Returns:
            The receipt, signed.

        Raises:
            EraseError: The id is shared by several people.
        """
        self._catch_up()
        with self._attributing, self._shipping:
            found = erase.find(self.warehouse, app_id, kind, value)
            gone = erase.erase(self.warehouse, app_id, found)
            self.warehouse.check()
            # It remembers the ids it was given.
            self._attributor.forget()
        return receipt(self._home, app_id, kind, value, gone)

    def retain_once(self) -> bool:
        """Delete what apps no longer want to keep, and log what; False: there is no hurry."""
        now = datetime.now(UTC)
        for app in self.catalog.apps():
            days = app.settings.retention_days
            if days is not None:
                self._retain(app.id, retain.kept_from(days, now))
        return False

    def _retain(self, app_id: str, start: datetime) -> None:
        with self._attributing, self._shipping:
            gone = retain.retain(self.warehouse, app_id, start)
            self.warehouse.check()
            if "identities" in gone:
                self._attributor.forget()
        if gone:
            what = ", ".join(f"{rows:,} of {table}" for table, rows in gone.items())
            log.info("retention of `%s`: before %s gone: %s", app_id, start.date(), what)

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
