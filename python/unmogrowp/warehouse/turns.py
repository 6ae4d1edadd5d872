"""Who goes first on the processors: whoever waits for an answer."""

import os
import sys
from contextlib import suppress

# At ten a thread gets a tenth of the time of one that wants the same processor.
BEHIND = 10
_NICE_MAX = 19


def stand_behind(thread: int) -> None:
    """Put a thread of this process behind others; it may not come back by itself.

    Does nothing where threads have no place of their own (any system but Linux).

    Args:
        thread: As of `threading.get_native_id`.
    """
    if sys.platform == "linux":
        # A sandbox may forbid it, and the thread works all the same.
        with suppress(OSError):
            nice = os.getpriority(os.PRIO_PROCESS, thread) + BEHIND
            os.setpriority(os.PRIO_PROCESS, thread, min(nice, _NICE_MAX))
