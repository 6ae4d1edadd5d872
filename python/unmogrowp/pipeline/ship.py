"""Spool segments in, warehouse rows out, each exactly once."""

from pathlib import Path

from unmogrowp import _core
from unmogrowp.pipeline.state import Bounds, Position, State
from unmogrowp.warehouse import Warehouse

ROWS_MAX = 100_000
BYTES_MAX = 64 << 20


class Shipper:
    """Moves what is durable in the spool into the warehouse."""

    def __init__(self, spool: Path, warehouse: Warehouse, state: State) -> None:
        self._folder = spool
        self._reader = _core.SpoolReader(spool)
        # How far the spool went when nothing was left to ship: a new segment has a head of its
        # own, so positions alone do not say it.
        self._drained: Position | None = None
        self._warehouse = warehouse
        self._state = state

    def ship_once(self) -> bool:
        """Insert one batch; False where nothing is waiting."""
        bounds = self._state.open_batch()
        if bounds is None:
            batch = self._next()
            if batch is None:
                return False
            bounds = self._state.begin_batch(batch.first, batch.last)
        else:
            batch = self._reader.range(bounds.first, bounds.last)
        self._insert(bounds, batch)
        self._state.finish_batch(bounds)
        self._reader.confirm(bounds.last)
        return True

    def lag_bytes(self) -> int:
        """Bytes of the spool that are not in the warehouse yet."""
        durable = self._reader.durable()
        if durable is None or durable == self._drained:
            return 0
        last = self._state.last_batch()
        segment, offset = last.last if last else (0, 0)
        if segment == durable[0]:
            return durable[1] - offset
        between = (self._folder / f"{number:010}.segment" for number in range(segment, durable[0]))
        sizes = sum(path.stat().st_size for path in between if path.exists())
        return max(1, durable[1] + sizes - offset)

    def _next(self) -> _core.Batch | None:
        last = self._state.last_batch()
        after = last.last if last else None
        durable = self._reader.durable()
        batch = self._reader.next(after, rows_max=ROWS_MAX, bytes_max=BYTES_MAX)
        if batch is None:
            self._drained = durable
        return batch

    def _insert(self, bounds: Bounds, batch: _core.Batch) -> None:
        # The same bounds always give the same rows, so the same token means the same rows.
        token = "{}.{}-{}.{}".format(*bounds.first, *bounds.last)
        events = batch.events()
        for month in batch.months:
            block = _core.native_events(events, month, bounds.id)
            self._warehouse.insert("events", block, f"{token}-{month}")
        if batch.rejects:
            block = _core.native(batch.refused())
            self._warehouse.insert("rejects", block, f"{token}-rejects")
