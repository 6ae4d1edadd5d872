"""Models of whole paths, in plain Python and exact fractions: what the kernels must agree with.

Aggregated paths are `{path: (conversions, nulls)}` with tuples of channels.
"""

from fractions import Fraction
from itertools import combinations, permutations
from math import factorial

from attribution_reference import DAY


def paths(rows, *, click=30 * DAY, view=DAY, journeys=(), click_over_view=False):
    """Paths of rows as in `attribution_reference`, given the touches of each conversion."""
    found = {}

    def add(touches, conversions, nulls):
        path = tuple(touches)
        if path:
            old = found.get(path, (0, 0))
            found[path] = (old[0] + conversions, old[1] + nulls)

    for touches in journeys:
        add([touch.channel for touch in touches], 1, 0)
    for user in {row["user"] for row in rows}:
        own = [row | {"row": n} for n, row in enumerate(rows) if row["user"] == user]
        own.sort(key=lambda row: (row["us"], "conversion" in row, row["row"]))
        for journey in unconverted(own, click, view):
            clicks = [row for row in journey if row.get("type") != "impression"]
            left = clicks if click_over_view and clicks else journey
            add([row.get("channel") for row in left], 0, 1)
    return found


def unconverted(own, click, view):
    """One person's touches inside no window, cut at conversions and at gaps."""
    journey, last = [], None
    for place, row in enumerate(own):
        if "conversion" in row:
            yield journey
            journey, last = [], None
            continue
        lookback = view if row.get("type") == "impression" else click
        later = [other for other in own[place:] if "conversion" in other]
        if any(other["us"] - row["us"] <= lookback for other in later):
            continue
        if last is not None and row["us"] - last > click:
            yield journey
            journey = []
        journey.append(row)
        last = row["us"]
    yield journey


def solved(rows, right):
    """The solution of a linear system in fractions, by Gauss."""
    size = len(rows)
    rows = [[*row, value] for row, value in zip(rows, right, strict=True)]
    for pivot in range(size):
        best = next(row for row in range(pivot, size) if rows[row][pivot] != 0)
        rows[pivot], rows[best] = rows[best], rows[pivot]
        rows[pivot] = [cell / rows[pivot][pivot] for cell in rows[pivot]]
        for row in range(size):
            if row != pivot and rows[row][pivot] != 0:
                factor = rows[row][pivot]
                rows[row] = [a - factor * b for a, b in zip(rows[row], rows[pivot], strict=True)]
    return [row[-1] for row in rows]


def chain(given, order):
    """How often which state led where, and how often each was left."""
    moves, totals = {}, {}
    for path, (conversions, nulls) in given.items():
        states = [()] + [path[max(0, n + 1 - order) : n + 1] for n in range(len(path))]
        for state, following in zip(states, [*states[1:], None], strict=True):
            totals[state] = totals.get(state, 0) + conversions + nulls
            ends = (
                [(following, conversions + nulls)]
                if following is not None
                else [("converted", conversions), ("null", nulls)]
            )
            for end, count in ends:
                moves[state, end] = moves.get((state, end), 0) + count
    return moves, totals


def p_conversion(given, *, order=1, without=None, redistributes=False):
    """Probability to convert of the chain when states with a channel end paths, or when what led
    there goes where the rest goes."""
    moves, totals = chain(given, order)
    is_gone = lambda state: without is not None and without[0] in state  # noqa: E731
    if redistributes:
        for (state, end), count in list(moves.items()):
            if end not in ("converted", "null") and is_gone(end):
                totals[state] -= count
    ending = {
        state for (state, end), count in moves.items() if end in ("converted", "null") and count
    }
    for _ in totals:
        ending |= {
            s for (s, end), count in moves.items() if end in ending and count and not is_gone(end)
        }
    # Whoever goes round for ever converts never.
    states = [state for state in totals if totals[state] and state in ending and not is_gone(state)]
    if () not in states:
        return Fraction(0)
    chance = lambda state, end: Fraction(moves.get((state, end), 0), totals[state])  # noqa: E731
    matrix = [
        [Fraction(int(row == column)) - chance(row, column) for column in states] for row in states
    ]
    right = [chance(state, "converted") for state in states]
    return solved(matrix, right)[states.index(())]


def effects(given, *, order=1, redistributes=False):
    """The removal effect of each channel."""
    whole = p_conversion(given, order=order)
    channels = {channel for path in given for channel in path}
    if whole == 0:
        return dict.fromkeys(channels, Fraction(0))
    removed = {"order": order, "redistributes": redistributes}
    return {
        channel: 1 - p_conversion(given, without=(channel,), **removed) / whole
        for channel in channels
    }


def shared(worths, total):
    """`total` by shares of all worths."""
    whole = sum(worths.values())
    return {c: (total * worth / whole if whole else Fraction(0)) for c, worth in worths.items()}


def markov(given, *, order=1):
    return shared(effects(given, order=order), sum(c for c, _ in given.values()))


def markov_per_journey(given):
    worths, credit = effects(given), {}
    for path, (conversions, _) in given.items():
        own = {channel: worths[channel] for channel in path}
        if not sum(own.values()):
            own = dict.fromkeys(own, Fraction(1))
        for channel, part in shared(own, conversions).items():
            credit[channel] = credit.get(channel, 0) + part
    return credit


def rate_of(given, coalition):
    inside = [counts for path, counts in given.items() if set(path) <= set(coalition)]
    conversions = sum(c for c, _ in inside)
    return Fraction(conversions, sum(c + n for c, n in inside) or 1)


def shapley(worth, channels):
    """The Shapley value of a game, over all coalitions."""
    values = dict.fromkeys(channels, Fraction(0))
    for channel in channels:
        others = [other for other in channels if other != channel]
        for size in range(len(others) + 1):
            share = Fraction(
                factorial(size) * factorial(len(channels) - size - 1), factorial(len(channels))
            )
            for coalition in combinations(others, size):
                values[channel] += share * (worth((*coalition, channel)) - worth(coalition))
    return values


def shapley_by_orders(worth, channels):
    """The same as an average over all orders of joining."""
    values = dict.fromkeys(channels, Fraction(0))
    for order in permutations(channels):
        for place, channel in enumerate(order):
            values[channel] += worth(order[: place + 1]) - worth(order[:place])
    return {channel: value / factorial(len(channels)) for channel, value in values.items()}


def shapley_subset(given):
    channels = sorted({channel for path in given for channel in path}, key=str)
    inside = lambda coalition: Fraction(  # noqa: E731
        sum(c for path, (c, _) in given.items() if set(path) <= set(coalition))
    )
    return shapley(inside, channels)


def shapley_conversion_rate(given):
    channels = sorted({channel for path in given for channel in path}, key=str)
    values = shapley_by_orders(lambda coalition: rate_of(given, coalition), channels)
    return shared(values, sum(c for c, _ in given.values()))


def counterfactual(given):
    def rate(path):
        conversions, nulls = given.get(path, (0, 0))
        return Fraction(conversions, (conversions + nulls) or 1)

    credit = {channel: Fraction(0) for path in given for channel in path}
    for path, (conversions, _) in given.items():
        worths = [max(rate(path) - rate(path[:n] + path[n + 1 :]), 0) for n in range(len(path))]
        if not sum(worths):
            worths[-1] = Fraction(1)
        for channel, worth in zip(path, worths, strict=True):
            credit[channel] += conversions * worth / sum(worths)
    return credit
