"""The open loop's clock: tells when each message is due, whatever became of the ones before."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
import sys
from collections.abc import Callable

from fastsio.loadtest.clock import clock

__all__ = ["Pacer"]

# Messages become due in steps no finer than this (nanoseconds).
_STEP = 1_000_000
_CLOCK_MONOTONIC = 1
_NONBLOCK_CLOEXEC = 0o4000 | 0o2000000


def timer_descriptor(period: int) -> int | None:
    """A descriptor that becomes readable every ``period`` nanoseconds (Linux); None elsewhere.

    Event loops count milliseconds, which would make every message up to one late.
    """
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
    except (OSError, AttributeError):
        return None
    if descriptor < 0:
        return None
    seconds, rest = divmod(period, 1_000_000_000)
    # struct itimerspec: interval, then first expiry.
    timing = struct.pack("@llll", seconds, rest, seconds, rest)
    if libc.timerfd_settime(descriptor, 0, timing, None) < 0:
        os.close(descriptor)
        return None
    return int(descriptor)


class Pacer:
    """Calls ``offer(intended)`` ``rate`` times a second; ``intended`` is in nanoseconds of the clock.

    ``late`` is told, once per step, by how many nanoseconds this process was behind.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        rate: float,
        offer: Callable[[int], None],
        late: Callable[[int], None],
    ) -> None:
        self._loop = loop
        self._offer = offer
        self._late = late
        self._rate = rate
        self._step = max(_STEP, int(1e9 / rate))
        self._began = 0
        self._given = 0
        self._steps = 0
        self._descriptor: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin now."""
        self._began = clock()
        self._descriptor = timer_descriptor(self._step)
        if self._descriptor is not None:
            self._loop.add_reader(self._descriptor, self._tick)
        else:
            self._timer = self._loop.call_later(self._step / 1e9, self._tick)

    def _tick(self) -> None:
        now = clock()
        if self._descriptor is not None:
            try:
                os.read(self._descriptor, 8)
            except BlockingIOError:
                return
        else:
            self._timer = self._loop.call_later(self._step / 1e9, self._tick)
        last = (now - self._began) // self._step
        if last > self._steps:
            self._late(now - self._began - (self._steps + 1) * self._step)
        # Every step that has passed, each with its own time: a late one does not forgive the messages.
        while self._steps < last:
            self._steps += 1
            passed = self._steps * self._step
            # A step may be a rounded message: 1e-6 of one makes up for it.
            due = int(passed * self._rate / 1e9 + 1e-6) - self._given
            self._given += due
            intended = self._began + passed
            for _ in range(due):
                self._offer(intended)

    def stop(self) -> None:
        """No message is due any more."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
