"""Acknowledgements: of many sockets to one event, and the callbacks that take them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from fastsio._emitter import EventEmitter, positional_limit
from fastsio._sockets import Settle, settle_callback, settle_future
from fastsio.exceptions import AckTimeout

if TYPE_CHECKING:
    from fastsio.engine.timers import Clock, TimerWheel

__all__ = ["AckCollector", "AskedSockets", "Settle", "call_soon", "settle_callback", "settle_future"]


def call_soon(clock: Clock, callback: Callable[..., Any], owner: EventEmitter, *args: Any) -> None:
    """Call a user's callback on the next turn of the loop, with as many of ``args`` as it takes."""
    settle = settle_callback(callback, False, owner)
    clock.call_soon(partial(settle, None, list(args[: positional_limit(callback)])))


class AskedSockets:
    """The sockets of this process that one broadcast asked: one entry, however many they are.

    ``on_over`` is called when the last has answered or the time is over; one that leaves stays awaited until
    then, since what it would have said is missing.
    """

    __slots__ = ("_on_answer", "_on_over", "_waiting", "deadline", "tick")

    def __init__(self, sids: set[str], on_answer: Callable[[Any], None], on_over: Callable[[], None]) -> None:
        self._waiting = sids
        self._on_answer = on_answer
        self._on_over = on_over
        self.deadline = 0.0
        self.tick = 0

    def answer(self, sid: str, args: list[Any]) -> None:
        """What a socket says; heard once, and only of those that were asked."""
        if sid in self._waiting:
            self._waiting.discard(sid)
            if not self._waiting:
                self._on_over()
            self._on_answer(args[0] if args else None)

    def expire(self) -> None:
        self._on_over()


class AckCollector:
    """The answers to one broadcast, of all processes of the cluster.

    ``settle(error, responses)`` is called once: when every process has said how many sockets it asked and
    all of those have answered, or after ``seconds`` with an :class:`AckTimeout`.
    """

    __slots__ = (
        "_missing",
        "_reported",
        "_responses",
        "_seconds",
        "_servers",
        "_settle",
        "_timers",
        "deadline",
        "tick",
    )

    def __init__(self, timers: TimerWheel, seconds: float, settle: Settle) -> None:
        self._timers = timers
        self._seconds = seconds
        self._settle: Settle | None = settle
        self._responses: list[Any] = []
        self._missing = 0
        self._reported = 0
        # Its number may be known only after the first answers have come.
        self._servers: int | None = None
        self.deadline = 0.0
        self.tick = 0
        timers.arm(self, seconds)

    def on_clients(self, count: int) -> None:
        """A process has asked ``count`` sockets."""
        self._missing += count
        self._reported += 1
        self._check()

    def on_servers(self, count: int) -> None:
        """The cluster has ``count`` processes."""
        self._servers = count
        self._check()

    def on_answer(self, response: Any) -> None:
        """A socket has answered."""
        if self._settle is not None:
            self._responses.append(response)
            self._missing -= 1
            self._check()

    def fail(self, error: BaseException) -> None:
        """Nothing more will come."""
        self._finish(error)

    def cancel(self) -> None:
        """Nobody wants to know any more."""
        self._settle = None
        self._timers.cancel(self)

    def expire(self) -> None:
        """The time is over."""
        self._finish(AckTimeout(self._seconds, self._responses))

    def _check(self) -> None:
        if self._missing == 0 and self._reported == self._servers:
            self._finish(None)

    def _finish(self, error: BaseException | None) -> None:
        settle = self._settle
        if settle is not None:
            self.cancel()
            settle(error, self._responses)
