"""Spool segments in, warehouse rows out, each exactly once."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from unmogrowp import _core
from unmogrowp.pipeline.rival import refuse_rival
from unmogrowp.pipeline.state import Bounds, Position, State
from unmogrowp.warehouse import Warehouse

ROWS_MAX = 100_000
BYTES_MAX = 64 << 20
# With less than that waiting, a batch made ahead would only be a small one.
AHEAD_BYTES_MIN = 16 << 20
# A million events or so: with more waiting, inserts make room for nobody.
PATIENT_BYTES_MAX = 128 << 20
# Before everything.
NOWHERE: Position = (0, 0)


@dataclass(frozen=True, slots=True)
class Load:
    """A batch ready for the warehouse.

    Args:
        after: What it follows; None for the oldest.
        blocks: Table, end of the token and Native block of each insert.
    """

    after: Position | None
    batch_id: int
    first: Position
    last: Position
    blocks: list[tuple[str, str, bytes]]


class Shipper:
    """Moves what is durable in the spool into the warehouse.

    While one batch is inserted the next is read and encoded, where much is waiting.
    """

    def __init__(self, spool: Path, warehouse: Warehouse, state: State) -> None:
        self._folder = spool
        self._reader = _core.SpoolReader(spool)
        # How far the spool went when nothing was left to ship: a new segment has a head of its
        # own, so positions alone do not say it.
        self._drained: Position | None = None
        self._warehouse = warehouse
        self._state = state
        self._helper = ThreadPoolExecutor(1, "ship-ahead")
        # It stands where the thread stands that begins it: this one made room for nobody.
        self._helper.submit(self._reader.durable)
        self._ahead: Future[Load | None] | None = None

    def ship_once(self) -> bool:
        """Insert one batch; False where nothing is waiting."""
        bounds = self._state.open_batch()
        if bounds is None:
            load = self._next()
            if load is None:
                return False
            bounds = self._state.begin_batch(load.first, load.last)
        else:
            load = None
        # Before anything is read again: whoever is refused tries once a second.
        refuse_rival(self._warehouse, self._state)
        if load is None or load.batch_id != bounds.id:
            batch = self._reader.range(bounds.first, bounds.last)
            load = _load(bounds.first, batch, bounds.id)
        self._look_ahead(bounds)
        # The same bounds always give the same rows, so the same token means the same rows.
        token = "{}.{}-{}.{}".format(*bounds.first, *bounds.last)
        if repairs := self._state.counter("repairs"):
            token = f"{token}~{repairs}"
        token = self._state.token(token)
        for table, suffix, block in load.blocks:
            self._warehouse.insert(table, block, f"{token}-{suffix}")
        self._warehouse.check()
        self._state.finish_batch(bounds)
        self._reader.confirm(bounds.last)
        return True

    def ship_all(self) -> None:
        """Insert all that is durable by now, however much comes meanwhile."""
        upto = self._reader.durable() or NOWHERE
        while self._shipped() < upto and self.ship_once():
            pass

    def ship_again(self) -> None:
        """Insert the batch in doubt anew, whatever came of it: the tokens used so far are void."""
        self._state.next("repairs")
        if self._state.open_batch() is not None:
            self.ship_once()

    def lag_bytes(self) -> int:
        """Bytes of the spool that are not in the warehouse yet."""
        return self._bytes_after(self._shipped())

    def is_late(self) -> bool:
        """Whether so much waits that inserts should make room for nobody."""
        return self.lag_bytes() > PATIENT_BYTES_MAX

    def close(self) -> None:
        """End the thread that reads ahead."""
        self._helper.shutdown()

    def _shipped(self) -> Position:
        last = self._state.last_batch()
        return last.last if last is not None else NOWHERE

    def _bytes_after(self, position: Position) -> int:
        durable = self._reader.durable()
        if durable is None or durable == self._drained:
            return 0
        segment, offset = position
        if segment == durable[0]:
            return durable[1] - offset
        between = (self._folder / f"{number:010}.segment" for number in range(segment, durable[0]))
        sizes = sum(path.stat().st_size for path in between if path.exists())
        return max(1, durable[1] + sizes - offset)

    def _next(self) -> Load | None:
        """What follows the last batch, made ahead or now."""
        last = self._state.last_batch()
        after, batch_id = (last.last, last.id + 1) if last is not None else (None, 1)
        ahead, self._ahead = self._ahead, None
        load = ahead.result() if ahead is not None else None
        if load is not None and load.after == after:
            return load
        durable = self._reader.durable()
        load = self._after(after, batch_id)
        if load is None:
            self._drained = durable
        return load

    def _look_ahead(self, bounds: Bounds) -> None:
        if self._bytes_after(bounds.last) >= AHEAD_BYTES_MIN:
            self._ahead = self._helper.submit(self._after, bounds.last, bounds.id + 1)

    def _after(self, position: Position | None, batch_id: int) -> Load | None:
        batch = self._reader.next(position, rows_max=ROWS_MAX, bytes_max=BYTES_MAX)
        return _load(position, batch, batch_id) if batch is not None else None


def _load(after: Position | None, batch: _core.Batch, batch_id: int) -> Load:
    events = batch.events()
    blocks = [
        ("events", str(month), _core.native_events(events, month, batch_id))
        for month in batch.months
    ]
    if batch.rejects:
        blocks.append(("rejects", "rejects", _core.native(batch.refused())))
    return Load(after, batch_id, batch.first, batch.last, blocks)
