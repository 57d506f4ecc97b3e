"""The events of a socket as an asynchronous iterator."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastsio.exceptions import FastSIOError

__all__ = ["EventStream"]


class EventStream(AsyncIterator[tuple[str, tuple[Any, ...]]]):
    """The events of a socket, for one ``async for``."""

    def __init__(self, limit: int, leave: Callable[[EventStream], None]) -> None:
        self._leave = leave
        self._limit = limit
        self._waiting: deque[tuple[str, tuple[Any, ...]]] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._ended = False

    def put(self, event: str, args: tuple[Any, ...]) -> None:
        """Of the socket: an event."""
        if len(self._waiting) >= self._limit:
            self._error = FastSIOError(
                f"events() fell behind: {self._limit} events wait for the loop (limit)"
            )
            self.close()
            return
        self._waiting.append((event, args))
        self._notify()

    def end(self) -> None:
        """Of the socket: no further events."""
        self._ended = True
        self._notify()

    def close(self) -> None:
        """Take no further events; those that wait can still be read."""
        self._leave(self)
        self.end()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def __anext__(self) -> tuple[str, tuple[Any, ...]]:
        while not self._waiting:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        return self._waiting.popleft()
