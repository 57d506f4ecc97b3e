"""Handlers that run one at a time: ``socket.on("event", fn, serialize=True)``."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from fastsio._emitter import answer
from fastsio.engine import tasks
from fastsio.exceptions import TooManyEvents

if TYPE_CHECKING:
    from fastsio.server.socket import Socket

__all__ = ["Turns"]

logger = logging.getLogger("fastsio.server")


class _Turn(NamedTuple):
    """A call that waits; ``ack``, unless None, is answered with what it returns."""

    socket: Socket
    event: str
    fn: Callable[..., Any]
    call: Callable[..., Any]
    args: tuple[Any, ...]
    ack: Callable[..., Any] | None


class Turns:
    """The serialized calls of one socket, in the order in which its events came.

    Knows the socket only while a call runs, so that the two form no cycle. What still waits when the socket
    disconnects is forgotten.
    """

    __slots__ = ("_busy", "_limit", "_said", "_waiting")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[_Turn] = deque()
        self._busy = False
        self._said = False

    def take(
        self,
        socket: Socket,
        event: str,
        fn: Callable[..., Any],
        call: Callable[..., Any],
        args: tuple[Any, ...],
        ack: Callable[..., Any] | None,
    ) -> None:
        """Call ``call(*args)`` for the handler ``fn``, now or when those before it are over.

        :raises TooManyEvents: if ``limit`` wait already.
        """
        if len(self._waiting) >= self._limit:
            if not self._said:
                self._said = True
                logger.warning(
                    "%r: %d events wait for serialized handlers, further ones are refused "
                    "(option max_serialized_events)",
                    socket,
                    self._limit,
                )
            raise TooManyEvents(event, f"{self._limit} wait already")
        self._waiting.append(_Turn(socket, event, fn, call, args, ack))
        if not self._busy:
            self._go_on()

    def _go_on(self, task: asyncio.Task[Any] | None = None) -> None:
        self._busy = False
        waiting = self._waiting
        while waiting and not self._busy:
            turn = waiting.popleft()
            if not turn.socket.connected:
                waiting.clear()
                return
            self._busy = True
            self._busy = self._begin(turn)
        self._said = self._said and len(waiting) > self._limit // 2

    def _begin(self, turn: _Turn) -> bool:
        """Make one call; whether it is still running afterwards."""
        socket, event, fn, call, args, ack = turn
        try:
            result = call(*args)
            if hasattr(result, "__await__"):
                task = tasks.start(
                    result,
                    None if ack is None else partial(answer, ack),
                    partial(socket._listener_failed, event, fn),
                )
                if not task.done():
                    task.add_done_callback(self._go_on)
                    return True
            elif ack is not None:
                answer(ack, result)
        except Exception as error:
            socket._listener_failed(event, fn, error)
        return False
