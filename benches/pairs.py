"""Two ways of doing the same, interleaved and compared by CPU time, so that a busy machine moves
both."""

import statistics
import time
from collections.abc import Callable


def cpu_seconds(work: Callable[[], object]) -> float:
    """What one call costs on all threads of this process."""
    started = time.process_time()
    work()
    return time.process_time() - started


def times_faster(
    ours: Callable[[], object], theirs: Callable[[], object], *, pairs: int = 9
) -> tuple[float, float]:
    """How often ours fits into theirs: the median over pairs, and the spread."""
    ours()
    theirs()
    ratios = []
    for pair in range(pairs):
        first, second = (ours, theirs) if pair % 2 else (theirs, ours)
        a, b = cpu_seconds(first), cpu_seconds(second)
        ratios.append(b / a if pair % 2 else a / b)
    middle = statistics.median(ratios)
    return middle, (max(ratios) - min(ratios)) / middle
