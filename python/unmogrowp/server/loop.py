"""A step of the pipeline, repeated in a thread of its own until told to stop."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import final

from unmogrowp.errors import SinkDamaged, UnmogrowpError

IDLE_S = 0.2
# Rounds begin this far apart: each syncs many files, and the ingest process syncs on the same disk.
# A round with much to do takes longer than this by itself.
PACE_S = 0.5
RETRY_S = 1.0
log = logging.getLogger("unmogrowp.store")


@dataclass(frozen=True)
class Work:
    """What a loop repeats: `step` says whether it had anything to do."""

    step: Callable[[], bool]
    idle_s: float = IDLE_S
    is_late: Callable[[], bool] = lambda: False


@final
class Loop:
    """Work in two threads by turns: one made room for others, and one is for what is late.

    A thread that stands behind others on the processor may not come back by itself.

    Args:
        name: Of the work, in messages.
        work: What is repeated.
        give_up: Told of a store that is damaged.
        give_way: Makes the calling thread stand behind others from then on.
    """

    def __init__(
        self,
        name: str,
        work: Work,
        give_up: Callable[[SinkDamaged], None],
        give_way: Callable[[], None],
    ) -> None:
        self.problem: str | None = None
        self._name, self._work, self._give_up = name, work, give_up
        self._patient = ThreadPoolExecutor(1, f"{name}-patient", initializer=give_way)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the step at hand and end."""
        self._stop.set()
        self._thread.join()
        self._patient.shutdown()

    def _run(self) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                worked = self._once()
                self.problem = None
            except SinkDamaged as error:
                self._give_up(error)
                self._fail(str(error))
            except UnmogrowpError as error:
                self._fail(str(error))
            except Exception as error:
                # A bug must not end the thread in silence: what waits would wait for ever.
                log.exception("a step of %s failed", self._name)
                self._fail(f"{self._name}: {type(error).__name__}: {error}")
            else:
                took_s = time.monotonic() - started
                self._stop.wait(max(0.0, PACE_S - took_s) if worked else self._work.idle_s)

    def _once(self) -> bool:
        if self._work.is_late():
            return self._work.step()
        return self._patient.submit(self._work.step).result()

    def _fail(self, problem: str) -> None:
        if problem != self.problem:
            log.error("%s waits: %s", self._name, problem)
        self.problem = problem
        self._stop.wait(RETRY_S)
