"""How often somebody may come with a key that nobody knows."""

import threading
import time
from collections import OrderedDict

PER_S = 10.0
BURST = 100.0
# Whoever came longest ago is forgotten first: a flood of addresses costs no more memory.
PEERS_MAX = 10_000


class Guesses:
    """A bucket of guesses for each peer: `BURST` at once, `PER_S` a second after that."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, peer: str) -> float:
        """Seconds until a peer may guess again; 0 where it may now."""
        with self._lock:
            return max(0.0, (1.0 - self._now_left(peer)) / PER_S)

    def count(self, peer: str) -> None:
        """It guessed wrong."""
        with self._lock:
            left = self._now_left(peer) - 1.0
            self._left[peer] = (left, time.monotonic())
            self._left.move_to_end(peer)
            if len(self._left) > PEERS_MAX:
                self._left.popitem(last=False)

    def _now_left(self, peer: str) -> float:
        left, at = self._left.get(peer, (BURST, 0.0))
        return min(BURST, left + (time.monotonic() - at) * PER_S)
