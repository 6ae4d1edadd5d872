"""The rules again, in plain Python, by the words of the contract: what the kernels must agree with.

Times are integers of microseconds; a row is a dict as in `tests/cases/attribution`.
"""

import math
import re
from typing import NamedTuple

UNITS = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "us": 1}
DAY = UNITS["d"]


class Touch(NamedTuple):
    time: int
    row: int
    channel: str | None
    is_key: bool


def microseconds(text: str) -> int:
    return sum(int(n) * UNITS[unit] for n, unit in re.findall(r"(\d+)([a-z]+)", text))


def clicks_first(touches, rows):
    """Without impressions, if there is anything else."""
    clicks = [touch for touch in touches if rows[touch.row].get("type") != "impression"]
    return clicks or touches


def journeys(rows, *, click=30 * DAY, view=DAY, policy="partition"):
    """The touches of each conversion, in input order."""
    numbered = [(row | {"row": number}) for number, row in enumerate(rows)]
    found = {}
    for user in {row["user"] for row in rows}:
        own = [row for row in numbered if row["user"] == user]
        own.sort(key=lambda row: (row["us"], "conversion" in row, row["row"]))
        seen, consumed = [], {}
        for row in own:
            if "conversion" not in row:
                seen.append(row)
                continue
            start = consumed.get(row["conversion"], 0) if policy == "partition" else 0
            consumed[row["conversion"]] = len(seen)
            found[row["row"]] = [
                Touch(touch["us"], touch["row"], touch.get("channel"), touch.get("key") is True)
                for touch in seen[start:]
                if row["us"] - touch["us"] <= (view if touch.get("type") == "impression" else click)
            ]
    return [found[number] for number in sorted(found)]


def one(touches, index):
    return [float(position == index % len(touches)) for position in range(len(touches))]


def first_touch(touches, _time):
    return one(touches, 0)


def last_touch(touches, _time):
    return one(touches, -1)


def first_non_direct(touches, _time, direct=("direct",)):
    return one(touches, next((i for i, t in enumerate(touches) if t.channel not in direct), 0))


def last_non_direct(touches, _time, direct=("direct",)):
    last = [i for i, touch in enumerate(touches) if touch.channel not in direct]
    return one(touches, last[-1] if last else -1)


def linear(touches, _time):
    return [1 / len(touches)] * len(touches)


def position_based(touches, _time, first=0.4, last=0.4):
    if len(touches) == 1:
        return [1.0]
    if len(touches) == 2:
        return [first / (first + last), last / (first + last)]
    return [first, *[(1 - first - last) / (len(touches) - 2)] * (len(touches) - 2), last]


def j_shape(touches, time):
    return position_based(touches, time, 0.2, 0.6)


def inverse_j(touches, time):
    return position_based(touches, time, 0.6, 0.2)


def w_shape(touches, _time):
    key = [i for i, touch in enumerate(touches) if touch.is_key][:1]
    roles = [0, *key, len(touches) - 1]
    weights = [0.3 * roles.count(i) for i in range(len(touches))]
    rest = weights.count(0)
    weights = [weight or 0.1 / rest for weight in weights]
    return [weight / math.fsum(weights) for weight in weights]


def time_decay(touches, time, half_life=7 * DAY, *, step=False):
    ages = [(time - touch.time) // half_life if step else time - touch.time for touch in touches]
    unit = 1 if step else half_life
    weights = [2.0 ** -((age - min(ages)) / unit) for age in ages]
    return [weight / math.fsum(weights) for weight in weights]


RULES = [
    first_touch,
    last_touch,
    first_non_direct,
    last_non_direct,
    linear,
    position_based,
    j_shape,
    inverse_j,
    w_shape,
    time_decay,
]
