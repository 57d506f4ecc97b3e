"""How long to wait before the next attempt to reconnect."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

__all__ = ["Backoff"]

# Doubling beyond this changes nothing below any sensible maximum, and would overflow a float in the end.
_MOST_DOUBLINGS = 60


class Backoff:
    """The reference's exponential back-off with jitter, to the millisecond.

    :param delay: seconds before the first attempt, before jitter.
    :param delay_max: seconds no delay exceeds.
    :param factor: share of a delay that jitter may add or take, 0 to 1.
    :param draw: gives random numbers in [0, 1).
    """

    def __init__(
        self, delay: float, delay_max: float, factor: float, draw: Callable[[], float] = random.random
    ) -> None:
        self.delay = delay
        self.delay_max = delay_max
        self.factor = factor
        self.attempts = 0
        self._draw = draw

    def duration(self) -> float:
        """Seconds before the next attempt, which is counted."""
        milliseconds = self.delay * 1000 * 2.0 ** min(self.attempts, _MOST_DOUBLINGS)
        self.attempts += 1
        if self.factor:
            # One draw decides both the size of the deviation and its sign.
            drawn = self._draw()
            deviation = math.floor(drawn * self.factor * milliseconds)
            milliseconds += deviation if math.floor(drawn * 10) & 1 else -deviation
        return int(min(milliseconds, self.delay_max * 1000)) / 1000

    def reset(self) -> None:
        """Begin again with the first delay."""
        self.attempts = 0
