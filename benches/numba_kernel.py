"""`benches/peers.py`'s kernel in numba: rows are filed by person, then go through one loop."""

import numpy as np
from numba import njit

LOOKBACK_US = 30 * 86_400_000_000
HALF_LIFE_US = 7 * 86_400_000_000
DRAWER_BITS = 11


@njit(cache=True)
def filed(users, times, channels, converts):
    """Rows moved into drawers by a hash of the person."""
    shift = np.uint64(64 - DRAWER_BITS)
    factor = np.uint64(0x9E3779B97F4A7C15)
    ends = np.zeros((1 << DRAWER_BITS) + 1, np.int64)
    for user in users:
        ends[((user * factor) >> shift) + 1] += 1
    ends = np.cumsum(ends)
    place = ends[:-1].copy()
    count = len(users)
    keys, when = np.empty(count, np.uint64), np.empty(count, np.int64)
    what = np.empty(count, np.int16)
    for row in range(count):
        drawer = (users[row] * factor) >> shift
        at = place[drawer]
        place[drawer] += 1
        keys[at], when[at] = users[row], times[row]
        what[at] = -1 if converts[row] else channels[row]
    return ends, keys, when, what


@njit(cache=True)
def journey(when, what, start, stop, time, sums):
    """Credit of one conversion at `time` whose touches are `start` to `stop`."""
    while start < stop and time - when[start] > LOOKBACK_US:
        start += 1
    count = stop - start
    if count == 0:
        return
    sums[what[start], 0] += 1
    sums[what[stop - 1], 1] += 1
    total = 0.0
    for at in range(start, stop):
        total += 2.0 ** ((when[at] - when[stop - 1]) / HALF_LIFE_US)
    for at in range(start, stop):
        channel = what[at]
        sums[channel, 2] += 1 / count
        sums[channel, 3] += 2.0 ** ((when[at] - when[stop - 1]) / HALF_LIFE_US) / total
        is_end = at in (start, stop - 1)
        if count <= 2:
            sums[channel, 4] += 1 / count
        else:
            sums[channel, 4] += 0.4 if is_end else 0.2 / (count - 2)


@njit(cache=True)
def credit(users, times, channels, converts, channel_count):
    """Sums by channel and model."""
    ends, keys, when, what = filed(users, times, channels, converts)
    sums = np.zeros((channel_count, 5))
    for drawer in range(len(ends) - 1):
        low, high = ends[drawer], ends[drawer + 1]
        # By person, within a person by time.
        by_time = np.argsort(when[low:high], kind="mergesort")
        order = by_time[np.argsort(keys[low:high][by_time], kind="mergesort")]
        own, at_time, says = keys[low:high][order], when[low:high][order], what[low:high][order]
        start = 0
        for row in range(len(own)):
            if row > 0 and own[row] != own[row - 1]:
                start = row
            if says[row] < 0:
                journey(at_time, says, start, row, at_time[row], sums)
                start = row + 1
    return sums
