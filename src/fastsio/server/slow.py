"""Handlers that block the event loop for too long, by name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator
from time import perf_counter
from typing import Any

__all__ = ["SlowHandlers"]

logger = logging.getLogger("fastsio.server")


class SlowHandlers:
    """Times the handlers of one server, and warns of those over the limit.

    What counts is time in which nothing else could run: a plain function's whole call, and of a coroutine
    each step from one suspension to the next.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        #: Steps that took longer than the limit.
        self.count = 0

    def watch(self, event: str, fn: Callable[..., Any]) -> Callable[..., Any]:
        """What to call in place of ``fn``, the handler of ``event``."""

        def call(*args: Any) -> Any:
            start = perf_counter()
            try:
                result = fn(*args)
            finally:
                self.check(event, fn, start)
            return _Watched(result, self, event, fn) if asyncio.iscoroutine(result) else result

        return call

    def check(self, event: str, fn: Callable[..., Any], start: float) -> None:
        """A step that began at ``start`` is over."""
        seconds = perf_counter() - start
        if seconds > self._limit:
            self.count += 1
            code = getattr(fn, "__code__", None)
            place = "" if code is None else f" ({code.co_filename}:{code.co_firstlineno})"
            logger.warning(
                "handler %s%s of %r blocked the event loop for %.3f s (option slow_handler is %g)",
                getattr(fn, "__qualname__", fn),
                place,
                event,
                seconds,
                self._limit,
            )


class _Watched(Coroutine[Any, Any, Any]):
    """A handler's coroutine, its steps timed."""

    __slots__ = ("_coroutine", "_event", "_fn", "_watcher")

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], watcher: SlowHandlers, event: str, fn: Callable[..., Any]
    ) -> None:
        self._coroutine = coroutine
        self._watcher = watcher
        self._event = event
        self._fn = fn

    def send(self, value: Any) -> Any:
        start = perf_counter()
        try:
            return self._coroutine.send(value)
        finally:
            self._watcher.check(self._event, self._fn, start)

    def throw(self, typ: Any, val: Any = None, tb: Any = None) -> Any:
        start = perf_counter()
        try:
            if val is None and tb is None:
                return self._coroutine.throw(typ)
            return self._coroutine.throw(typ, val, tb)
        finally:
            self._watcher.check(self._event, self._fn, start)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise TypeError("awaited by its task only")

    def __getattr__(self, name: str) -> Any:
        # Names, code and frame, for whoever inspects the task.
        return getattr(self._coroutine, name)
