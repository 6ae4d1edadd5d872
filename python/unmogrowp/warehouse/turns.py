"""Who goes first on the processors: whoever waits for an answer."""

import os
import sys
from contextlib import suppress

# At ten a thread gets a tenth of the time of one that wants the same processor.
BEHIND = 10


def stand_behind() -> None:
    """Put the calling thread behind others; it may not come back by itself.

    Does nothing where threads have no place of their own (any system but Linux).
    """
    if sys.platform == "linux":
        # A sandbox may forbid it, and the thread works all the same.
        with suppress(OSError):
            os.nice(BEHIND)
