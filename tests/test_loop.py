"""What the store does again and again: whose turn it is, and what a failure leaves."""

import threading
import time
from collections.abc import Callable

from unmogrowp.errors import SinkBusy, SinkDamaged
from unmogrowp.server.loop import PACE_S, Loop, Work

# No test waits longer.
WAIT_S = 10.0


def until(is_so: Callable[[], bool]) -> None:
    """Wait for something another thread does."""
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def unexpected(damage: SinkDamaged) -> None:
    """Nothing is damaged here."""
    raise damage


def test_only_what_is_late_is_done_by_a_thread_that_made_no_room() -> None:
    behind: list[int] = []
    took: list[tuple[bool, bool]] = []

    def step() -> bool:
        took.append((len(took) % 3 == 2, threading.get_ident() in behind))
        return False

    work = Work(step, idle_s=0.001, is_late=lambda: len(took) % 3 == 2)
    loop = Loop("ship", work, unexpected, lambda: behind.append(threading.get_ident()))
    loop.start()
    until(lambda: len(took) >= 9)
    loop.stop()
    assert len(behind) == 1
    assert all(is_late != is_behind for is_late, is_behind in took)


def test_a_step_that_fails_is_tried_again_and_says_why_meanwhile() -> None:
    failures: list[Exception] = [SinkBusy("busy"), ValueError("a bug")]
    seen: list[str | None] = []

    def step() -> bool:
        seen.append(loop.problem)
        if failures:
            raise failures.pop(0)
        return False

    loop = Loop("attribute", Work(step, idle_s=0.001), unexpected, lambda: None)
    loop.start()
    until(lambda: len(seen) >= 4)
    loop.stop()
    assert seen[:3] == [None, "busy", "attribute: ValueError: a bug"]
    assert loop.problem is None


def test_a_damaged_store_is_told_of() -> None:
    damage = SinkDamaged("not whole")

    def step() -> bool:
        raise damage

    told: list[SinkDamaged] = []
    loop = Loop("check", Work(step), told.append, lambda: None)
    loop.start()
    until(lambda: bool(told))
    loop.stop()
    assert told[0] is damage
    assert loop.problem == "not whole"


def test_rounds_begin_apart_and_what_is_idle_waits_as_long_as_it_says() -> None:
    begun: list[float] = []

    def step() -> bool:
        begun.append(time.monotonic())
        return len(begun) == 1

    loop = Loop("ship", Work(step, idle_s=WAIT_S), unexpected, lambda: None)
    loop.start()
    until(lambda: len(begun) >= 2)
    loop.stop()
    assert begun[1] - begun[0] > PACE_S / 2
    assert len(begun) == 2
