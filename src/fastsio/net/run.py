"""A program's event loop, and its end on a signal. The only place that knows uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["new_event_loop", "run"]

_T = TypeVar("_T")


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A uvloop loop if uvloop is installed, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def run(main: Callable[[], Coroutine[Any, Any, _T]]) -> _T | None:
    """Run ``main()`` to its end on a loop of its own.

    SIGINT and SIGTERM cancel it, so its ``finally`` is the place for a graceful stop; a second signal cancels
    that too.

    :param main: called once, inside the loop's thread.
    :returns: what ``main`` returned, or None after a signal.
    """
    loop = new_event_loop()
    signalled = False
    try:
        asyncio.set_event_loop(loop)
        task = loop.create_task(main())

        def stop() -> None:
            nonlocal signalled
            signalled = True
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            # Windows, and threads other than the main one, have no signal handlers.
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, stop)
        try:
            return loop.run_until_complete(task)
        except asyncio.CancelledError:
            if signalled:
                return None
            raise
    finally:
        try:
            _finish_tasks(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _finish_tasks(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
