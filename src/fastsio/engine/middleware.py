"""Running ``use`` functions: Node's ``fn(subject, next)`` and Python's ``fn(subject)``, plain or async."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from fastsio._emitter import positional_limit
from fastsio.exceptions import ConnectionRefused

__all__ = ["Middleware", "Next", "run_middlewares"]


class Middleware:
    """One ``use`` function; its signature is read once."""

    __slots__ = ("_takes_next", "fn")

    def __init__(self, fn: Callable[..., Any]) -> None:
        if not callable(fn):
            raise TypeError(f"a middleware must be callable, not {type(fn).__name__}")
        self.fn = fn
        self._takes_next = positional_limit(fn) >= 2

    async def run(self, subject: Any) -> None:
        """Let ``fn`` look at ``subject``; raises what it refuses with."""
        if not self._takes_next:
            result = self.fn(subject)
            if inspect.isawaitable(result):
                await result
            return
        answer = Next()
        result = self.fn(subject, answer)
        if inspect.isawaitable(result):
            await result
        await answer.wait()


class Next:
    """Node's ``next``: called without an argument to go on, with an exception (or any value) to refuse."""

    __slots__ = ("_answer", "_answered", "_waiter")

    def __init__(self) -> None:
        self._answered = False
        self._answer: Any = None
        self._waiter: asyncio.Future[None] | None = None

    def __call__(self, error: Any = None) -> None:
        if self._answered:
            return
        self._answered = True
        self._answer = error
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Wait for the call; raises what it refuses with."""
        if not self._answered:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if isinstance(self._answer, BaseException):
            raise self._answer
        if self._answer is not None:
            raise ConnectionRefused(str(self._answer))


async def run_middlewares(middlewares: Sequence[Middleware], subject: Any) -> None:
    """Run them in order until one refuses by raising; does not suspend unless one of them does."""
    for middleware in middlewares:
        await middleware.run(subject)
