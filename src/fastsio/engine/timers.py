"""Deadlines for many thousands of connections behind one loop timer.

A wheel of coarse ticks: a deadline is rounded up to a tick, entries of one tick share a bucket, and the loop
is asked to wake up once for the earliest bucket. Moving a deadline later, which is what every heartbeat does,
is one attribute write: the entry stays where it is and is put back when its old bucket comes up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

__all__ = ["Clock", "Deadline", "TimerWheel"]

logger = logging.getLogger("fastsio")


class TimerHandle(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """The part of an asyncio loop that the engine uses; tests pass a clock of their own."""

    def time(self) -> float: ...
    def call_later(self, delay: float, callback: Callable[[], object]) -> TimerHandle: ...
    def call_soon(self, callback: Callable[[], object]) -> object: ...


class Deadline(Protocol):
    """Something with one deadline at a time.

    ``deadline`` is in the clock's seconds, ``tick`` the bucket it sits in, 0 when in none.
    """

    deadline: float
    tick: int

    def expire(self) -> None:
        """The deadline has passed. The entry is in no bucket any more and may be armed again."""


class TimerWheel:
    """Arms and cancels :class:`Deadline` entries in O(1).

    :param clock: an asyncio loop, or anything with ``time`` and ``call_later``.
    :param granularity: seconds a deadline may be late; entries are never early.
    """

    def __init__(self, clock: Clock, granularity: float) -> None:
        self._clock = clock
        self._granularity = granularity
        self._buckets: dict[int, set[Deadline]] = {}
        self._handle: TimerHandle | None = None
        self._scheduled = 0

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def now(self) -> float:
        """The clock's time in seconds."""
        return self._clock.time()

    def arm(self, entry: Deadline, delay: float) -> None:
        """Let ``entry`` expire ``delay`` seconds from now, whatever was set before."""
        deadline = self._clock.time() + delay
        entry.deadline = deadline
        tick = self._tick(deadline)
        armed = entry.tick
        if armed:
            if armed <= tick:
                return
            self._remove(entry, armed)
        self._insert(entry, tick)

    def due(self, delay: float) -> float:
        """The deadline of what expires ``delay`` seconds from now."""
        return self._clock.time() + delay

    def can_wait(self, tick: int, deadline: float) -> bool:
        """Whether an armed entry with that ``tick`` need only write ``deadline`` to expire then instead."""
        return 0 < tick <= self._tick(deadline)

    def cancel(self, entry: Deadline) -> None:
        """Forget ``entry``; nothing happens if it is not armed."""
        armed = entry.tick
        if armed:
            self._remove(entry, armed)

    def _tick(self, deadline: float) -> int:
        """The first tick that is not before ``deadline``."""
        ticks = deadline / self._granularity
        tick = int(ticks)
        return tick + 1 if tick < ticks else tick

    def close(self) -> None:
        """Forget every entry and stop the loop timer."""
        for bucket in self._buckets.values():
            for entry in bucket:
                entry.tick = 0
        self._buckets.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _insert(self, entry: Deadline, tick: int) -> None:
        entry.tick = tick
        bucket = self._buckets.get(tick)
        if bucket is None:
            self._buckets[tick] = {entry}
            if self._handle is None or tick < self._scheduled:
                self._schedule(tick)
        else:
            bucket.add(entry)

    def _remove(self, entry: Deadline, tick: int) -> None:
        bucket = self._buckets.get(tick)
        if bucket is not None:  # else it is the one being expired
            bucket.discard(entry)
            if not bucket:
                del self._buckets[tick]
        entry.tick = 0

    def _schedule(self, tick: int) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._scheduled = tick
        delay = tick * self._granularity - self._clock.time()
        self._handle = self._clock.call_later(max(0.0, delay), self._run)

    def _run(self) -> None:
        now = self._clock.time()
        # Loops may wake a hair before the time asked for.
        current = int(now / self._granularity + 0.001)
        for tick in sorted(tick for tick in self._buckets if tick <= current):
            for entry in self._buckets.pop(tick, ()):
                if entry.tick != tick:
                    continue
                entry.tick = 0
                # In ticks, as when it was armed: in seconds, a rounding error could keep it for ever.
                due = self._tick(entry.deadline)
                if due > tick:
                    self._insert(entry, due)
                    continue
                try:
                    entry.expire()
                except Exception:
                    logger.exception("timer of %r failed", entry)
        # Only now, for all that is left: what was armed meanwhile need not be the earliest.
        if self._buckets:
            self._schedule(min(self._buckets))
        else:
            self._handle = None
