"""Whether another data directory fills the same warehouse.

Both would number their batches alike and take each other's for their own.
"""

from unmogrowp.errors import SinkRefused
from unmogrowp.pipeline.state import State
from unmogrowp.warehouse import Warehouse

_FOREIGN = "SELECT max(batch_id) AS newest FROM events WHERE batch_id > {newest:UInt64}"


def foreign_batch(warehouse: Warehouse, state: State) -> int:
    """The newest batch if it has a larger number than any that was given out here, or 0."""
    if warehouse.is_embedded:
        # Its directory is locked.
        return 0
    (found,) = warehouse.rows(_FOREIGN, {"newest": state.newest_batch_id()})
    return int(str(found["newest"]))


def refuse_rival(warehouse: Warehouse, state: State) -> None:
    """Write nothing beside another data directory.

    Raises:
        SinkRefused: The warehouse has batches that were not numbered here.
    """
    if found := foreign_batch(warehouse, state):
        raise SinkRefused(
            f"another data directory fills the warehouse: batch `{found}` is not from here\n"
            "hint: stop its server and start this one anew, or give this one a warehouse of its own"
        )
