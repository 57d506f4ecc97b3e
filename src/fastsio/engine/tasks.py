"""Running user coroutines without a task where they do not need one.

``asyncio.Task`` starts a coroutine on the next loop turn. Handlers must start in the order their events
arrive, plain and async alike, so a coroutine is stepped at once; ``asyncio.current_task()`` is its own task
all the same.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any

from fastsio import _emitter

__all__ = ["start"]

logger = logging.getLogger("fastsio")

# Tasks are kept alive here while they run: the loop itself holds only weak references.
_running: set[asyncio.Task[Any]] = set()


async def _wrap(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


if sys.version_info >= (3, 12):

    def _eager(coroutine: Any, loop: asyncio.AbstractEventLoop) -> asyncio.Task[Any]:
        return asyncio.Task(coroutine, loop=loop, eager_start=True)

else:

    class _Begun(Coroutine[Any, Any, Any]):
        """A coroutine whose first step is already taken: hands its task what that step gave.

        All steps run in one context of its own, as those of a task do.
        """

        __slots__ = ("_context", "_coroutine", "_first", "_outcome")

        def __init__(self, coroutine: Any) -> None:
            self._coroutine = coroutine
            self._context = contextvars.copy_context()
            self._first = True
            self._outcome: tuple[str, Any] = ("", None)

        def begin(self) -> None:
            try:
                self._outcome = ("yield", self._context.run(self._coroutine.send, None))
            except StopIteration as stop:
                self._outcome = ("return", stop.value)
            except BaseException as error:
                # Without this frame, which would keep those of the callers, and so the task.
                assert error.__traceback__ is not None
                self._outcome = ("raise", error.with_traceback(error.__traceback__.tb_next))

        def send(self, value: Any) -> Any:
            if self._first:
                return self._take()
            return self._context.run(self._coroutine.send, value)

        def throw(self, typ: Any, val: Any = None, tb: Any = None) -> Any:
            if self._first:
                # Cancelled before the task's own first step, so what the coroutine waits for was not told.
                outcome = self._take()
                if isinstance(typ, asyncio.CancelledError) and outcome is not None and outcome.cancel():
                    return outcome
            if val is None:
                return self._context.run(self._coroutine.throw, typ)
            return self._context.run(self._coroutine.throw, typ, val, tb)

        def _take(self) -> Any:
            """What the first step gave, as that step would have."""
            self._first = False
            kind, outcome = self._outcome
            self._outcome = ("", None)
            if kind == "yield":
                return outcome
            try:
                raise StopIteration(outcome) if kind == "return" else outcome
            finally:
                del outcome  # the exception's traceback holds this frame

        def close(self) -> None:
            self._coroutine.close()

        def __await__(self) -> Generator[Any, Any, Any]:
            raise TypeError("awaited by its task only")

        def __getattr__(self, name: str) -> Any:
            # Names, code and frame, for whoever inspects the task.
            return getattr(self._coroutine, name)

    def _eager(coroutine: Any, loop: asyncio.AbstractEventLoop) -> asyncio.Task[Any]:
        begun = _Begun(coroutine)
        task: asyncio.Task[Any] = asyncio.Task(begun, loop=loop)
        # The documented hooks for implementors of tasks: the first step runs now, as this task.
        outer = asyncio.current_task(loop)
        if outer is not None:
            asyncio.tasks._leave_task(loop, outer)
        asyncio.tasks._enter_task(loop, task)
        try:
            begun.begin()
        finally:
            asyncio.tasks._leave_task(loop, task)
            if outer is not None:
                asyncio.tasks._enter_task(loop, outer)
        return task


def start(
    awaitable: Awaitable[Any],
    on_result: Callable[[Any], None] | None = None,
    on_error: Callable[[BaseException], None] | None = None,
) -> asyncio.Task[Any]:
    """Run ``awaitable`` up to its first suspension now, the rest as a task of the running loop.

    :param on_result: called with the result; at once if the awaitable never suspends (Python ≥ 3.12).
    :param on_error: called with the exception of ``awaitable`` or ``on_result``, cancellation excepted;
        without it the exception is logged.
    :raises RuntimeError: if no loop runs.
    """
    coroutine = awaitable if asyncio.iscoroutine(awaitable) else _wrap(awaitable)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        coroutine.close()
        raise
    task = _eager(coroutine, loop)
    try:
        if task.done():
            _finish(on_result, on_error, task)
        else:
            _running.add(task)
            task.add_done_callback(partial(_finish, on_result, on_error))
        return task
    finally:
        # An exception of the first step keeps this frame, and is itself kept by the task.
        del task


def _finish(
    on_result: Callable[[Any], None] | None,
    on_error: Callable[[BaseException], None] | None,
    task: asyncio.Task[Any],
) -> None:
    _running.discard(task)
    if task.cancelled():
        return
    error = task.exception()
    if error is None:
        if on_result is None:
            return
        try:
            on_result(task.result())
            return
        except Exception as failure:
            error = failure
    try:
        if on_error is not None:
            on_error(error)
        else:
            logger.error("%r failed", task, exc_info=error)
    finally:
        del error  # which may keep this frame


def _start_listener(
    awaitable: Awaitable[Any],
    ack: Callable[..., Any] | None,
    on_error: Callable[[BaseException], None],
) -> None:
    start(awaitable, None if ack is None else lambda result: _emitter.answer(ack, result), on_error)


_emitter.set_starter(_start_listener)
